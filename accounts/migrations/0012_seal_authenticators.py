"""Authenticator apps move to a table of our own, where their secrets are sealed.

Until now they lay in the table of `django_otp.plugins.otp_totp`, in clear. That table goes, so that
no copy of a secret stays behind; the rows of an app that is not installed any more are reached by
plain SQL. Its way back makes no secret readable again: who had an app enrols it anew.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import migrations

from accounts import sealing

FORMER = "otp_totp_totpdevice"


def move(apps, schema_editor):
    connection = schema_editor.connection
    if FORMER not in connection.introspection.table_names():
        return
    Authenticator = apps.get_model("accounts", "Authenticator")
    with connection.cursor() as cursor:
        look = connection.introspection.get_table_description(cursor, FORMER)
        known = {column.name for column in look}
        # Another release of the library may not have noted when.
        moments = [name for name in ("created_at", "last_used_at") if name in known]
        names = ["user_id", "name", "confirmed", "key", "drift", "last_t", *moments]
        cursor.execute(f"SELECT {', '.join(names)} FROM {FORMER} ORDER BY id")
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    now = datetime.now(UTC)
    Authenticator.objects.using(connection.alias).bulk_create(
        Authenticator(
            user_id=row["user_id"],
            name=row["name"],
            confirmed=row["confirmed"],
            sealed_secret=sealing.seal(bytes.fromhex(row["key"])),
            drift=row["drift"],
            last_step=row["last_t"],
            created_at=_moment(row.get("created_at")) or now,
            last_used_at=_moment(row.get("last_used_at")),
        )
        for row in rows
    )
    schema_editor.execute(f"DROP TABLE {FORMER}")


def _moment(value):
    """SQLite gives moments as text, in UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if value is not None and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_second_factors"),
    ]

    operations = [
        migrations.RunPython(move, migrations.RunPython.noop),
    ]
