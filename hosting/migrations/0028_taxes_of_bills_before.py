"""Bills that were written before have their one rate as a row as well."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

# So many rows are written at once.
PIECE = 1000


def add_taxes(apps: Any, schema_editor: Any) -> None:
    """All lines of such a bill were taxed at the rate of its own month."""
    taxes = apps.get_model("hosting", "InvoiceTax")
    bills = apps.get_model("hosting", "Invoice").objects.order_by("pk")
    taxes.objects.bulk_create(
        (
            taxes(
                invoice=bill,
                number=1,
                percent=bill.vat_percent,
                note=bill.vat_note,
                net_minor=bill.net_minor,
                vat_minor=bill.vat_minor,
            )
            for bill in bills.iterator(chunk_size=PIECE)
        ),
        batch_size=PIECE,
    )


class Migration(migrations.Migration):
    """Rows only."""

    dependencies: ClassVar = [("hosting", "0027_taxes_of_bills")]

    operations: ClassVar = [migrations.RunPython(add_taxes, migrations.RunPython.noop)]
