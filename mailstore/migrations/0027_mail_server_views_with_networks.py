"""The views that Dovecot signs people in by: with networks, and closed to mailbox passwords."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from django.db import migrations

before = import_module("mailstore.migrations.0017_mail_server_views_with_standing")

# Dovecot holds an address against `allow_nets` before it says anything of a refusal.
APP_PASSWORD = f"""
CREATE VIEW dovecot_app_password AS
SELECT username, proto, digest, device, allow_nets,
    CASE WHEN reason IS NOT NULL THEN 'y' END AS nologin, reason
FROM (
    SELECT m.address AS username, p.proto AS proto, w.digest AS digest,
        {before.HEX.format(column="w.uuid")} AS device,
        CASE WHEN w.allow_nets <> '' THEN w.allow_nets END AS allow_nets,
        {before.APP_PASSWORD_REFUSED} AS reason
    FROM mailstore_apppassword w
    JOIN mailstore_mailbox m ON m.id = w.mailbox_id
    {before.OWNERS}
    CROSS JOIN {before.PROTOCOLS}
    WHERE w.revoked_at IS NULL AND {before.STANDS}
) answers
"""

PASSDB = before.PASSDB.replace(
    "WHERE m.password_hash <> ''", "WHERE m.password_hash <> '' AND NOT m.app_passwords_only"
)


def drop_views(apps: object, schema_editor: object) -> None:
    """Take the two away; the user query is not concerned."""
    for name in ("dovecot_app_password", "dovecot_passdb"):
        schema_editor.execute(f"DROP VIEW {name}")


def create_views(apps: object, schema_editor: object) -> None:
    """Make them as they stand here."""
    for view in (APP_PASSWORD, PASSDB):
        schema_editor.execute(view)


def create_views_of_before(apps: object, schema_editor: object) -> None:
    """Make them as they were."""
    for view in (before.APP_PASSWORD, before.PASSDB):
        schema_editor.execute(view)


class Migration(migrations.Migration):
    """Views only."""

    dependencies: ClassVar = [("mailstore", "0026_networks_and_app_passwords_only")]

    operations: ClassVar = [
        migrations.RunPython(drop_views, create_views_of_before),
        migrations.RunPython(create_views, drop_views),
    ]
