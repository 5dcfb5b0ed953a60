"""Writing bills down: the next numbers of a seller, the rows, and the event of each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts import outbox
from accounts.access import Actor
from accounts.models import Event, Organisation
from hosting import ledger, storing
from hosting.billing import Buyer
from hosting.charges import Charge
from hosting.models import BillingProfile, Invoice, InvoiceCounter, InvoiceLine
from hosting.periods import Period
from hosting.vat import Tax


@dataclass(frozen=True, kw_only=True)
class Bill:
    """All that a bill says, before it has a number."""

    buyer: Buyer
    # None stands for the house itself.
    seller: Organisation | None
    seller_profile: BillingProfile
    profile: BillingProfile
    period: Period
    lines: Sequence[Charge]
    corrections: Sequence[Charge]
    tax: Tax

    @property
    def net_minor(self) -> int:
        """The sum of its lines."""
        return sum(line.net_minor for line in (*self.lines, *self.corrections))


def lock_counter(seller: Organisation | None) -> InvoiceCounter:
    """The counter of a seller, locked until the transaction ends, so that no number is lost.

    Begin with it: whoever waits here sees afterwards what the other one has written.
    """
    if seller is not None:
        prefix = f"R{seller.pk}-"
        InvoiceCounter.objects.get_or_create(seller=seller, defaults={"prefix": prefix})
    return InvoiceCounter.objects.select_for_update().get(seller=seller)


def write(bills: Sequence[Bill], *, counter: InvoiceCounter, actor: Actor, at: datetime) -> None:
    """Write bills of one seller under the next numbers; call it with the counter locked."""
    first = counter.next_number
    invoices = [
        _invoice(bill, number=f"{counter.prefix}{number:06}", at=at)
        for number, bill in enumerate(bills, start=first)
    ]
    counter.next_number = first + len(bills)
    counter.save(update_fields=["next_number"])
    storing.number(invoices)
    storing.store(invoices)
    storing.store(list(_rows(bills, invoices)))
    terms = [bill.profile.payment_days for bill in bills]
    ledger.enter(invoices, payment_days=terms, actor=actor, at=at)
    storing.store(list(_events(bills, invoices, actor=actor, at=at)))


def _invoice(bill: Bill, *, number: str, at: datetime) -> Invoice:
    vat_minor = bill.tax.on(bill.net_minor)
    return Invoice(
        uuid=uuid.uuid4(),
        number=number,
        customer_id=bill.buyer.organisation.pk,
        seller_id=bill.seller.pk if bill.seller else None,
        price_list_id=bill.buyer.price_list.pk,
        pools_storage=bill.buyer.pools_storage,
        period=bill.period.first_day,
        issued_at=at,
        currency=bill.buyer.currency,
        vat_percent=bill.tax.percent,
        vat_note=bill.tax.note,
        net_minor=bill.net_minor,
        vat_minor=vat_minor,
        total_minor=bill.net_minor + vat_minor,
        seller_text=bill.seller_profile.as_text(),
        customer_text=bill.profile.as_text(),
    )


def _rows(bills: Sequence[Bill], invoices: Sequence[Invoice]) -> Iterator[InvoiceLine]:
    for bill, invoice in zip(bills, invoices, strict=True):
        corrections = [(InvoiceLine.Kind.CORRECTION, line) for line in bill.corrections]
        lines = [(line.kind, line) for line in bill.lines]
        for position, (kind, line) in enumerate([*lines, *corrections], start=1):
            yield InvoiceLine(
                invoice_id=invoice.pk,
                position=position,
                kind=kind,
                mailbox_id=line.mailbox_id,
                price_id=line.price.pk,
                period=line.period.first_day,
                seconds=line.seconds,
                used_byte_seconds=line.used_byte_seconds,
                included_byte_seconds=line.included_byte_seconds,
                net_minor=line.net_minor,
            )


def _events(
    bills: Sequence[Bill], invoices: Sequence[Invoice], *, actor: Actor, at: datetime
) -> Iterator[Event]:
    for bill, invoice in zip(bills, invoices, strict=True):
        yield outbox.event(
            kind="invoice.issued",
            at=at,
            actor=actor,
            organisation=bill.buyer.organisation,
            subject=("invoice", str(invoice.uuid), invoice.number),
            data={
                "period": str(bill.period),
                "total_minor": invoice.total_minor,
                "currency": invoice.currency,
            },
        )
