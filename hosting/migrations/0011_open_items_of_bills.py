"""Bills that were written before the ledger stand in it as well."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.db import migrations

TERM_DAYS = 14
_POSTED_BY = {"actor_kind": "system", "actor_id": "ledger", "actor_name": "ledger"}


def enter_bills(apps: Any, schema_editor: Any) -> None:
    """An open item for each bill; what was taken back by a credit note is settled."""
    invoices = apps.get_model("hosting", "Invoice").objects
    for invoice in invoices.filter(kind="invoice").order_by("pk").iterator():
        billed = max(invoice.total_minor, 0)
        apps.get_model("hosting", "OpenItem").objects.create(
            invoice=invoice,
            due_on=(invoice.issued_at + timedelta(days=TERM_DAYS)).date(),
            billed_minor=billed,
            open_minor=billed,
        )
        note = invoices.filter(corrects=invoice).first()
        if note is None and invoice.total_minor < 0:
            _enter_credit(apps, invoice)
        elif note is not None and billed:
            apps.get_model("hosting", "LedgerEntry").objects.create(
                kind="credited",
                invoice=invoice,
                at=note.issued_at,
                currency=invoice.currency,
                amount_minor=billed,
                reason=note.number,
                **_POSTED_BY,
            )


def _enter_credit(apps: Any, invoice: Any) -> None:
    payment = apps.get_model("hosting", "Payment").objects.create(
        seller_id=invoice.seller_id,
        customer_id=invoice.customer_id,
        source="bill",
        external_id=invoice.number,
        currency=invoice.currency,
        amount_minor=-invoice.total_minor,
        received_on=invoice.issued_at.date(),
        reference=invoice.number,
        recorded_at=invoice.issued_at,
    )
    apps.get_model("hosting", "LedgerEntry").objects.create(
        kind="received",
        payment=payment,
        at=invoice.issued_at,
        currency=invoice.currency,
        amount_minor=payment.amount_minor,
        **_POSTED_BY,
    )


class Migration(migrations.Migration):
    """Rows only."""

    dependencies: ClassVar = [("hosting", "0010_ledger_posts_itself")]

    operations: ClassVar = [migrations.RunPython(enter_bills, migrations.RunPython.noop)]
