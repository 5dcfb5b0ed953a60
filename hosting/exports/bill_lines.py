"""The lines of a month's invoices and credit notes as CSV, with all that each was computed from."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from accounts.access import Actor
from accounts.models import Organisation
from accounts.staff import csv_line
from hosting import money
from hosting.models import Invoice, InvoiceLine
from hosting.periods import Period

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
    for bill in bills.select_related("customer", "corrects").order_by("pk").iterator(_AT_ONCE):
        rows = bill.lines.select_related("mailbox", "price__plan").order_by("position")
        for row in rows.iterator(_AT_ONCE):
            yield csv_line([*_of_bill(bill), *_of_line(row, bill)])


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
    yield bill.vat_percent
