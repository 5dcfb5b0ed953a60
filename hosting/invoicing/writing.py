"""Writing bills down: the next numbers of a seller, the rows, and the event of each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from accounts import outbox
from accounts.access import Actor
from accounts.models import Event, Organisation
from hosting import ledger, storing, vat
from hosting.billing import Buyer
from hosting.charges import Charge
from hosting.invoicing import reviewing
from hosting.invoicing.corrections import Correction
from hosting.invoicing.reviewing import Unusual
from hosting.models import BillingProfile, Invoice, InvoiceCounter, InvoiceLine, InvoiceTax
from hosting.periods import Period
from hosting.vat import Group, Tax

# The fields of a line, in the order in which `_rows` gives their values.
_LINE = (
    "invoice_id",
    "position",
    "kind",
    "mailbox_id",
    "price_id",
    "period",
    "seconds",
    "used_byte_seconds",
    "included_byte_seconds",
    "net_minor",
    "tax_number",
)


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
    corrections: Sequence[Correction]
    # Of the month itself; a correction is taxed as its own month was.
    tax: Tax
    # What is left out of the lines until somebody has looked at it.
    unusual: Unusual | None = None
    # The bill of the same month that was taken back before.
    replaces: Invoice | None = None

    @cached_property
    def taxes(self) -> list[Group]:
        """Its sums by what applies to them, those of the month itself first."""
        own = self.tax, sum(line.net_minor for line in self.lines)
        late = ((each.tax, each.net_minor) for each in self.corrections)
        return vat.grouped(self.tax, (own, *late))

    @property
    def net_minor(self) -> int:
        """The sum of its lines."""
        return sum(group.net_minor for group in self.taxes)

    @property
    def vat_minor(self) -> int:
        """The tax on the sum of each rate."""
        return sum(group.vat_minor for group in self.taxes)

    @property
    def total_minor(self) -> int:
        """What is to be paid."""
        return self.net_minor + self.vat_minor


def lock_counter(seller: Organisation | None, *, is_test: bool = False) -> InvoiceCounter:
    """The counter of a seller, locked until the transaction ends, so that no number is lost.

    Begin with it: whoever waits here sees afterwards what the other one has written. Bills of
    test organisations are numbered apart.
    """
    if seller is not None or is_test:
        prefix = "TEST-" if is_test else ""
        prefix += f"R{seller.pk}-" if seller else ""
        InvoiceCounter.objects.get_or_create(
            seller=seller, is_test=is_test, defaults={"prefix": prefix}
        )
    return InvoiceCounter.objects.select_for_update().get(seller=seller, is_test=is_test)


def write(
    bills: Sequence[Bill], *, counter: InvoiceCounter, actor: Actor, at: datetime
) -> list[Invoice]:
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
    storing.store(list(_taxes(bills, invoices)))
    storing.store_values(InvoiceLine, _LINE, _rows(bills, invoices))
    terms = [bill.profile.payment_days for bill in bills]
    ledger.enter(invoices, payment_days=terms, actor=actor, at=at)
    storing.store(list(_events(bills, invoices, actor=actor, at=at)))
    for bill, invoice in zip(bills, invoices, strict=True):
        if bill.unusual is not None:
            reviewing.hold(bill=invoice, found=bill.unusual, actor=actor, at=at)
    return invoices


def _invoice(bill: Bill, *, number: str, at: datetime) -> Invoice:
    return Invoice(
        uuid=uuid.uuid4(),
        number=number,
        customer_id=bill.buyer.organisation.pk,
        seller_id=bill.seller.pk if bill.seller else None,
        price_list_id=bill.buyer.price_list.pk,
        pools_storage=bill.buyer.pools_storage,
        newest_price=bill.buyer.newest_price,
        replaces_id=bill.replaces.pk if bill.replaces else None,
        period=bill.period.first_day,
        issued_at=at,
        currency=bill.buyer.currency,
        vat_percent=bill.tax.percent,
        vat_note=bill.tax.note,
        net_minor=bill.net_minor,
        vat_minor=bill.vat_minor,
        total_minor=bill.total_minor,
        logo_id=bill.seller_profile.logo_id,
        seller_text=bill.seller_profile.as_text(),
        customer_text=bill.profile.as_text(),
    )


def _taxes(bills: Sequence[Bill], invoices: Sequence[Invoice]) -> Iterator[InvoiceTax]:
    for bill, invoice in zip(bills, invoices, strict=True):
        for number, group in enumerate(bill.taxes, start=1):
            yield InvoiceTax(
                invoice_id=invoice.pk,
                number=number,
                percent=group.tax.percent,
                note=group.tax.note,
                net_minor=group.net_minor,
                vat_minor=group.vat_minor,
            )


def _rows(bills: Sequence[Bill], invoices: Sequence[Invoice]) -> Iterator[tuple[Any, ...]]:
    for bill, invoice in zip(bills, invoices, strict=True):
        taxes = {group.tax: number for number, group in enumerate(bill.taxes, start=1)}
        late = InvoiceLine.Kind.CORRECTION
        corrections = [(late, each.charge, taxes[each.tax]) for each in bill.corrections]
        lines = [(line.kind, line, None) for line in bill.lines]
        for position, (kind, line, tax_number) in enumerate([*lines, *corrections], start=1):
            yield (
                invoice.pk,
                position,
                kind.value,
                line.mailbox_id,
                line.price.pk,
                line.period.first_day,
                line.seconds,
                line.used_byte_seconds,
                line.included_byte_seconds,
                line.net_minor,
                tax_number,
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
                **({"replaces": bill.replaces.number} if bill.replaces else {}),
            },
        )
