"""The database itself refuses to change a price that somebody was charged."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

SENTENCE = "A price that was charged is never edited."
SQLITE = f"""
CREATE TRIGGER hosting_price_stays BEFORE UPDATE ON hosting_price
WHEN EXISTS (SELECT 1 FROM hosting_invoiceline WHERE price_id = OLD.id)
BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END
"""
POSTGRESQL = f"""
CREATE FUNCTION hosting_price_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM hosting_invoiceline WHERE price_id = OLD.id) THEN
        RAISE EXCEPTION '{SENTENCE}' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hosting_price_stays BEFORE UPDATE ON hosting_price
FOR EACH ROW EXECUTE FUNCTION hosting_price_stays();
"""


def add_trigger(apps: Any, schema_editor: Any) -> None:
    """In the dialect of the database."""
    vendor = schema_editor.connection.vendor
    schema_editor.execute(SQLITE if vendor == "sqlite" else POSTGRESQL, params=None)


def drop_trigger(apps: Any, schema_editor: Any) -> None:
    """Take it back."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER hosting_price_stays", params=None)
    else:
        schema_editor.execute("DROP FUNCTION hosting_price_stays() CASCADE", params=None)


class Migration(migrations.Migration):
    """A trigger only."""

    dependencies: ClassVar = [("hosting", "0015_billing_logos")]

    operations: ClassVar = [migrations.RunPython(add_trigger, drop_trigger)]
