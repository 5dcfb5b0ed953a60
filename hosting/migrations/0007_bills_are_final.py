"""The database itself refuses to change what was charged."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

TABLES = ("hosting_invoice", "hosting_invoiceline")
SENTENCE = "What was charged is never edited."


def _sqlite(table: str) -> list[str]:
    # Deleting stays possible here: it is how a test database is emptied.
    trigger = (
        f"CREATE TRIGGER {table}_is_final BEFORE UPDATE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END"
    )
    return [trigger]


def _postgresql(table: str) -> list[str]:
    function = (
        "CREATE OR REPLACE FUNCTION hosting_refuse_edit() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{SENTENCE}' USING ERRCODE = 'check_violation'; END $$"
    )
    trigger = (
        f"CREATE TRIGGER {table}_is_final BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION hosting_refuse_edit()"
    )
    return [function, trigger]


def add_triggers(apps: Any, schema_editor: Any) -> None:
    """One for each table."""
    dialect = {"sqlite": _sqlite, "postgresql": _postgresql}[schema_editor.connection.vendor]
    for table in TABLES:
        for statement in dialect(table):
            schema_editor.execute(statement, params=None)


def drop_triggers(apps: Any, schema_editor: Any) -> None:
    """Take them back."""
    for table in TABLES:
        on = f" ON {table}" if schema_editor.connection.vendor == "postgresql" else ""
        schema_editor.execute(f"DROP TRIGGER {table}_is_final{on}", params=None)


class Migration(migrations.Migration):
    """Triggers only."""

    dependencies: ClassVar = [("hosting", "0006_plans_without_prices")]

    operations: ClassVar = [migrations.RunPython(add_triggers, drop_triggers)]
