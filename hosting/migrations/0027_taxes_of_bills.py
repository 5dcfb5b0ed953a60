"""Bills have a row for each rate of VAT, and a month can be billed again after a credit note."""

from __future__ import annotations

from typing import Any, ClassVar

import django.db.models.deletion
from django.db import migrations, models

TABLE = "hosting_invoicetax"
FINAL = "What was charged is never edited."
STANDS = "A month is billed again only once its bill was taken back."
TAKEN_BACK = """EXISTS (
    SELECT 1 FROM hosting_invoice before
    JOIN hosting_invoice note ON note.corrects_id = before.id
    WHERE before.id = NEW.replaces_id AND before.kind = 'invoice'
        AND before.customer_id = NEW.customer_id AND before.period = NEW.period
)"""
SQLITE = (
    # Deleting stays possible here: it is how a test database is emptied.
    (
        f"CREATE TRIGGER {TABLE}_is_final BEFORE UPDATE ON {TABLE} "
        f"BEGIN SELECT RAISE(ABORT, '{FINAL}'); END"
    ),
    (
        "CREATE TRIGGER hosting_invoice_replaces BEFORE INSERT ON hosting_invoice "
        f"WHEN NEW.replaces_id IS NOT NULL AND NOT (NEW.kind = 'invoice' AND {TAKEN_BACK}) "
        f"BEGIN SELECT RAISE(ABORT, '{STANDS}'); END"
    ),
)
POSTGRESQL = (
    # The function is there since 0007.
    (
        f"CREATE TRIGGER {TABLE}_is_final BEFORE UPDATE OR DELETE ON {TABLE} "
        "FOR EACH ROW EXECUTE FUNCTION hosting_refuse_edit()"
    ),
    (
        "CREATE FUNCTION hosting_invoice_replaces() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NOT (NEW.kind = 'invoice' AND {TAKEN_BACK}) THEN RAISE EXCEPTION '{STANDS}' "
        "USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$"
    ),
    # A million bills of a close are not asked.
    (
        "CREATE TRIGGER hosting_invoice_replaces BEFORE INSERT ON hosting_invoice "
        "FOR EACH ROW WHEN (NEW.replaces_id IS NOT NULL) "
        "EXECUTE FUNCTION hosting_invoice_replaces()"
    ),
)


def add_triggers(apps: Any, schema_editor: Any) -> None:
    """In the dialect of the database."""
    dialect = {"sqlite": SQLITE, "postgresql": POSTGRESQL}[schema_editor.connection.vendor]
    for statement in dialect:
        schema_editor.execute(statement, params=None)


def drop_triggers(apps: Any, schema_editor: Any) -> None:
    """Take them back."""
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for table, name in (
        (TABLE, f"{TABLE}_is_final"),
        ("hosting_invoice", "hosting_invoice_replaces"),
    ):
        on = f" ON {table}" if is_postgresql else ""
        schema_editor.execute(f"DROP TRIGGER {name}{on}", params=None)
    if is_postgresql:
        schema_editor.execute("DROP FUNCTION hosting_invoice_replaces()", params=None)


class Migration(migrations.Migration):
    """A table, a column on bills and on their lines, and triggers."""

    dependencies: ClassVar = [("hosting", "0026_exports")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="InvoiceTax",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveSmallIntegerField()),
                (
                    "percent",
                    models.DecimalField(decimal_places=2, max_digits=5, verbose_name="VAT percent"),
                ),
                ("note", models.CharField(blank=True, max_length=200, verbose_name="VAT note")),
                ("net_minor", models.BigIntegerField(verbose_name="net")),
                ("vat_minor", models.BigIntegerField(verbose_name="VAT")),
            ],
            options={
                "verbose_name": "VAT of a bill",
                "verbose_name_plural": "VAT of bills",
            },
        ),
        migrations.RemoveConstraint(
            model_name="invoice",
            name="hosting_invoice_once",
        ),
        migrations.AddField(
            model_name="invoice",
            name="replaces",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="replaced_by",
                to="hosting.invoice",
                verbose_name="replaces",
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="tax_number",
            field=models.PositiveSmallIntegerField(null=True),
        ),
        migrations.AddIndex(
            model_name="contract",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", False)),
                fields=["ended_at"],
                name="hosting_contract_ended",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "invoice"), ("replaces__isnull", True)),
                fields=("customer", "period"),
                name="hosting_invoice_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("replaces__isnull", False)),
                fields=("replaces",),
                name="hosting_invoice_replaced_once",
            ),
        ),
        migrations.AddField(
            model_name="invoicetax",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="taxes",
                to="hosting.invoice",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoicetax",
            constraint=models.UniqueConstraint(
                fields=("invoice", "number"), name="hosting_invoicetax_once"
            ),
        ),
        migrations.RunPython(add_triggers, drop_triggers),
    ]
