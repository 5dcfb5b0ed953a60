from typing import Any

import django.db.models.functions.text
from django.db import migrations, models


def begin_by_pattern(_apps: Any, schema_editor: Any) -> None:
    """PostgreSQL sorts text by language, so finding what begins alike takes an index of its own."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE INDEX accounts_organisation_begins ON accounts_organisation "
            "(lower(name) text_pattern_ops)"
        )


def drop_pattern(_apps: Any, schema_editor: Any) -> None:
    """Its way back."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX IF EXISTS accounts_organisation_begins")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0015_sessions_stay_open"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="apikey",
            index=models.Index(fields=["hint"], name="accounts_apikey_hint"),
        ),
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(
                condition=models.Q(
                    ("sent_at__isnull", True), models.Q(("failure", ""), _negated=True)
                ),
                fields=["id"],
                name="accounts_notice_refused",
            ),
        ),
        migrations.AddIndex(
            model_name="organisation",
            index=models.Index(
                django.db.models.functions.text.Lower("name"), name="accounts_organisation_name"
            ),
        ),
        migrations.AddIndex(
            model_name="organisation",
            index=models.Index(fields=["external_ref"], name="accounts_organisation_ref"),
        ),
        migrations.RunPython(begin_by_pattern, drop_pattern),
    ]
