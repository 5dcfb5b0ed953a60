"""All lines of a bill as rows, with the whole numbers that each was computed from."""

from __future__ import annotations

from collections.abc import Iterator

from accounts.staff import csv_line
from hosting import money
from hosting.invoicing import charged
from hosting.models import Invoice
from hosting.papers import lines

COLUMNS = (
    "invoice",
    "line",
    "kind",
    "customer",
    "mailbox",
    "protocol",
    "month",
    "seconds",
    "used_byte_seconds",
    "included_byte_seconds",
    "quantity",
    "unit_price",
    "net",
    "vat_percent",
    "currency",
)


def csv_of(invoice: Invoice) -> Iterator[str]:
    """One line of CSV after another, the first of which names the columns."""
    yield csv_line(COLUMNS)
    taxes = charged.taxes_of([invoice.pk])
    for row in lines.rows_of(invoice).iterator(chunk_size=2000):
        charge = lines.charge_of(row)
        yield csv_line(
            (
                invoice.number,
                row.position,
                row.kind,
                row.mailbox.organisation.name if row.mailbox else "",
                charge.address,
                row.price.plan.protocol,
                str(charge.period),
                row.seconds,
                row.used_byte_seconds,
                row.included_byte_seconds,
                charge.quantity,
                charge.unit_price,
                money.from_minor(row.net_minor, currency=invoice.currency),
                taxes[row.tax_key].percent,
                invoice.currency,
            )
        )
