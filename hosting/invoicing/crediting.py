"""Credit notes: the mirror of a bill, with its prices, rate and rounding."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction

from accounts import outbox
from accounts.access import Actor, Capability
from hosting import ledger, storing
from hosting.invoicing.writing import lock_counter
from hosting.models import Invoice, InvoiceLine, InvoiceTax

MIRRORED = (
    "customer_id",
    "seller_id",
    "price_list_id",
    "pools_storage",
    "newest_price",
    "period",
    "currency",
    "vat_percent",
    "vat_note",
    "logo_id",
    "seller_text",
    "customer_text",
)


class CreditRefused(Exception):
    """The bill cannot be taken back; the text says why."""


@transaction.atomic
def credit(*, actor: Actor, invoice: Invoice, reason: str, at: datetime) -> Invoice:
    """Take a whole bill back; raises `CreditRefused`. Only its seller may."""
    seller = invoice.seller
    actor.must(Capability.SEE_BILLS, lineage=seller.lineage if seller else ())
    if invoice.kind != Invoice.Kind.INVOICE:
        message = "A credit note cannot be taken back."
        raise CreditRefused(message)
    if not reason.strip():
        message = "Say why the bill is taken back; the credit note shows it."
        raise CreditRefused(message)
    counter = lock_counter(seller, is_test=invoice.customer.is_test)
    if Invoice.objects.filter(corrects=invoice).exists():
        message = f"{invoice.number} was taken back already."
        raise CreditRefused(message)
    note = Invoice(
        uuid=uuid.uuid4(),
        kind=Invoice.Kind.CREDIT_NOTE,
        number=f"{counter.prefix}{counter.next_number:06}",
        corrects=invoice,
        reason=reason.strip()[:300],
        issued_at=at,
        net_minor=-invoice.net_minor,
        vat_minor=-invoice.vat_minor,
        total_minor=-invoice.total_minor,
        **{name: getattr(invoice, name) for name in MIRRORED},
    )
    counter.next_number += 1
    counter.save(update_fields=["next_number"])
    note.save()
    storing.store([_mirrored_tax(tax, note) for tax in invoice.taxes.order_by("number")])
    storing.store([_mirrored(line, note) for line in invoice.lines.order_by("position")])
    try:
        ledger.credit(actor=actor, note=note, at=at)
    except ledger.LedgerRefused as refusal:
        message = f"What {invoice.number} gave the customer is no longer there. {refusal}"
        raise CreditRefused(message) from refusal
    outbox.record(
        kind="invoice.credited",
        at=at,
        actor=actor,
        organisation=invoice.customer,
        subject=("invoice", str(note.uuid), note.number),
        data={
            "corrects": invoice.number,
            "invoice": str(invoice.uuid),
            "reason": note.reason,
        },
    )
    return note


def _mirrored(line: InvoiceLine, note: Invoice) -> InvoiceLine:
    return InvoiceLine(
        invoice_id=note.pk,
        position=line.position,
        kind=line.kind,
        mailbox_id=line.mailbox_id,
        price_id=line.price_id,
        period=line.period,
        seconds=line.seconds,
        used_byte_seconds=line.used_byte_seconds,
        included_byte_seconds=line.included_byte_seconds,
        net_minor=-line.net_minor,
        tax_number=line.tax_number,
    )


def _mirrored_tax(tax: InvoiceTax, note: Invoice) -> InvoiceTax:
    return InvoiceTax(
        invoice_id=note.pk,
        number=tax.number,
        percent=tax.percent,
        note=tax.note,
        net_minor=-tax.net_minor,
        vat_minor=-tax.vat_minor,
    )
