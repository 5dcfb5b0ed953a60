"""The lines of a month's invoices and credit notes as CSV, with all that each was computed from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db.models import Q

from accounts.access import Actor
from accounts.models import Organisation
from accounts.staff import csv_line
from hosting import money
from hosting.invoicing import charged
from hosting.models import Invoice, InvoiceLine
from hosting.periods import Period

# The lines of so many bills are one question, and so many rows are held at one time.
_BILLS_AT_ONCE = 500
_AT_ONCE = 1_000
COLUMNS = (
    "number",
    "kind",
    "corrects",
    "month",
    "issued_on",
    "is_issued_by_reseller",
    "customer_id",
    "customer",
    "external_ref",
    "position",
    "line_kind",
    "line_month",
    "mailbox_id",
    "mailbox",
    "plan",
    "seconds",
    "used_byte_seconds",
    "included_byte_seconds",
    "monthly_price",
    "storage_price",
    "currency",
    "net",
    "vat_percent",
)


def lines(*, actor: Actor, organisation: Organisation, month: Period) -> Iterator[str]:
    """Line by line: of all bills of a month that an organisation got or issued."""
    yield csv_line(COLUMNS)
    issued = Q(seller=organisation)
    if organisation.kind == Organisation.Kind.PROVIDER:
        issued = Q(seller__isnull=True)
    bills = Invoice.objects.visible_to(actor).filter(
        issued | Q(customer=organisation), period=month.first_day
    )
    found = bills.select_related("customer", "corrects").order_by("pk")
    last_pk = 0
    while piece := list(found.filter(pk__gt=last_pk)[:_BILLS_AT_ONCE]):
        yield from _of_bills(piece)
        last_pk = piece[-1].pk


def _of_bills(bills: Sequence[Invoice]) -> Iterator[str]:
    """The lines of some bills, in their order: two statements, however many bills there are."""
    by_key = {bill.pk: bill for bill in bills}
    taxes = charged.taxes_of(by_key)
    rows = InvoiceLine.objects.filter(invoice__in=by_key).order_by("invoice_id", "position")
    for row in rows.select_related("mailbox", "price__plan").iterator(_AT_ONCE):
        bill = by_key[row.invoice_id]
        yield csv_line([*_of_bill(bill), *_of_line(row, bill), taxes[row.tax_key].percent])


def _of_bill(bill: Invoice) -> Iterator[object]:
    yield from (bill.number, bill.kind, bill.corrects or "", Period.of_day(bill.period))
    yield from (bill.issued_at.date(), "yes" if bill.seller_id else "no")
    yield from (bill.customer.uuid, bill.customer.name, bill.customer.external_ref)


def _of_line(row: InvoiceLine, bill: Invoice) -> Iterator[object]:
    yield from (row.position, row.kind, Period.of_day(row.period))
    yield from (row.mailbox.uuid, row.mailbox.address) if row.mailbox else ("", "")
    yield from (row.price.plan.slug, row.seconds)
    yield from (row.used_byte_seconds, row.included_byte_seconds)
    yield from (row.price.monthly_price, row.price.storage_price, bill.currency)
    yield money.from_minor(row.net_minor, currency=bill.currency)
