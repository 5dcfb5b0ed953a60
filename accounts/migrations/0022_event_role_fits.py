"""The column of an event's role takes the longest role, which is that of the billing staff.

SQLite heeds no length, and would make the table anew and lose its triggers; PostgreSQL only
notes the new length.
"""

from django.db import migrations, models

LONGER = "ALTER TABLE accounts_event ALTER COLUMN role TYPE varchar(20)"
SHORTER = "ALTER TABLE accounts_event ALTER COLUMN role TYPE varchar(10)"


def on_postgresql(statement):
    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(statement)

    return run


class Migration(migrations.Migration):
    dependencies = [("accounts", "0021_nobody_answers_since")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunPython(on_postgresql(LONGER), on_postgresql(SHORTER))
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="event",
                    name="role",
                    field=models.CharField(
                        blank=True, db_default="", default="", max_length=20, verbose_name="role"
                    ),
                )
            ],
        )
    ]
