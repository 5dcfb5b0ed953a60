"""What was charged for a month, all in all: the one place that answers it.

A month has one bill that stands, or none. What came late is put right on later bills, and a
credit note takes a whole bill back with what that put right of other months. So the lines about
a month, whatever they stand on, add up to what was charged for it: those of credit notes are
the negative of those that they take back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import NamedTuple

from django.db.models import Max, QuerySet, Sum

from hosting.models import Invoice, InvoiceLine, InvoiceTax
from hosting.periods import Period
from hosting.vat import Tax

_CREDIT_NOTE = Invoice.Kind.CREDIT_NOTE
_CORRECTION = InvoiceLine.Kind.CORRECTION


class Key(NamedTuple):
    """What an amount is about: a mailbox, or all that share, at a price, taxed so."""

    mailbox_id: int | None
    price_id: int
    tax: Tax


def bill_of(customer_id: int, month: Period) -> Invoice | None:
    """The bill of a month that stands; load nothing more than its price list with it."""
    bills = Invoice.objects.standing().filter(customer=customer_id, period=month.first_day)
    return bills.select_related("price_list").first()


def taken_back_bill_of(customer_id: int, month: Period) -> Invoice | None:
    """The last bill of a month that was taken back."""
    bills = Invoice.objects.filter(
        customer=customer_id,
        period=month.first_day,
        kind=Invoice.Kind.INVOICE,
        credit_notes__isnull=False,
    )
    return bills.select_related("price_list").order_by("-pk").first()


def tax_of(bill: Invoice) -> Tax:
    """What applied to the month of a bill."""
    return Tax(percent=bill.vat_percent, note=bill.vat_note)


def nets(customer_id: int, month: Period) -> dict[Key, int]:
    """What was charged for a month so far, by mailbox, price and tax; nothing of it is 0."""
    lines = _lines_about(customer_id, month)
    sums = lines.order_by().values_list("invoice", "tax_number", "mailbox", "price")
    rows = list(sums.annotate(Sum("net_minor")))
    taxes = taxes_of({row[0] for row in rows})
    found: dict[Key, int] = {}
    for invoice, number, mailbox, price, net_minor in rows:
        key = Key(mailbox, price, taxes[invoice, number or 1])
        found[key] = found.get(key, 0) + net_minor
    return {key: net_minor for key, net_minor in found.items() if net_minor}


def one_line_each(customer_id: int, month: Period) -> dict[tuple[int | None, int], InvoiceLine]:
    """A line that was charged for each mailbox and price of a month, with both of them."""
    lines = _lines_about(customer_id, month).select_related("mailbox", "price__price_list")
    return {(line.mailbox_id, line.price_id): line for line in lines.order_by("pk")}


def known_at(customer_id: int, month: Period) -> datetime | None:
    """When what stands of a month was last computed; None if nothing does."""
    standing = Invoice.objects.standing().filter(customer=customer_id)
    lines = InvoiceLine.objects.filter(invoice__in=standing, period=month.first_day)
    latest: datetime | None = lines.aggregate(at=Max("invoice__issued_at"))["at"]
    return latest


def corrections_on(bill: Invoice) -> QuerySet[InvoiceLine]:
    """What a bill puts right of other months."""
    return bill.lines.filter(kind=_CORRECTION).exclude(period=bill.period)


def corrections_of(bill: Invoice) -> QuerySet[InvoiceLine]:
    """What other bills put right of the month of one, as far as they and it stand."""
    if bill.credit_notes.exists():
        return InvoiceLine.objects.none()
    others = Invoice.objects.standing().filter(customer=bill.customer_id).exclude(pk=bill.pk)
    return InvoiceLine.objects.filter(invoice__in=others, kind=_CORRECTION, period=bill.period)


def unsettled(organisations: Sequence[int]) -> Iterator[tuple[int, Period]]:
    """The months of whom credit notes may have left wrong: put right, and put wrong again.

    A bill that was taken back took with it what it had put right of other months; and what
    other bills had put right of its own month has nothing to stand on any more.
    """
    credited = Invoice.objects.filter(kind=_CREDIT_NOTE, customer__in=organisations)
    owners = list(credited.order_by().values_list("customer", flat=True).distinct())
    if not owners:
        return
    lines = InvoiceLine.objects.filter(invoice__customer__in=owners, kind=_CORRECTION)
    months = lines.order_by().values_list("invoice__customer", "period").distinct()
    for owner, first_day in months:
        yield owner, Period.of_day(first_day)


def taxes_of(invoices: Iterable[int]) -> dict[tuple[int, int], Tax]:
    """What applies to lines, by bill and number (`InvoiceLine.tax_key`)."""
    rows = InvoiceTax.objects.filter(invoice__in=list(invoices))
    return {
        (invoice, number): Tax(percent=percent, note=note)
        for invoice, number, percent, note in rows.values_list(
            "invoice", "number", "percent", "note"
        )
    }


def numbers(customer_id: int, months: Sequence[date]) -> dict[date, str]:
    """The number of each month's bill: the one that stands, or the last that was taken back."""
    bills = Invoice.objects.filter(
        customer=customer_id, period__in=months, kind=Invoice.Kind.INVOICE
    )
    return dict(bills.order_by("pk").values_list("period", "number"))


def _lines_about(customer_id: int, month: Period) -> QuerySet[InvoiceLine]:
    return InvoiceLine.objects.filter(invoice__customer=customer_id, period=month.first_day)
