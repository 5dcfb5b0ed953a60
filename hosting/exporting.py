"""The use of a month as CSV, from which its bill can be computed again with nothing else.

One line is one mailbox on one day at one price under one contract. `docs/billing.md` explains
the columns and the sum to a customer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from accounts.models import Organisation
from accounts.staff import csv_line
from hosting import billing, forecasting, invoicing, metering, money
from hosting.billing import Buyer, Stretch
from hosting.metering import Piece
from hosting.models import Invoice
from hosting.periods import Period
from mailstore.models import Mailbox

# So many parts of contracts are read from the meter at once.
_AT_ONCE = 500
COLUMNS = (
    "month",
    "month_seconds",
    "organisation",
    "mailbox",
    "mailbox_id",
    "plan",
    "price_from",
    "currency",
    "currency_decimals",
    "monthly_price",
    "included_bytes",
    "storage_price",
    "shares_included",
    "vat_percent",
    "contract_from",
    "contract_until",
    "from",
    "until",
    "seconds",
    "byte_seconds",
)


@dataclass(frozen=True, kw_only=True)
class Month:
    """A month of one buyer, on the terms of its bill if there is one already.

    Of drift, the bill knew what was written down until `known_at`.
    """

    buyer: Buyer
    period: Period
    vat_percent: str
    known_at: datetime | None = None


def month(organisation: Organisation, *, period: Period) -> Month:
    """A month to export; load `parent` with the organisation. Raises `pricing.NoPrice`."""
    bills = Invoice.objects.filter(customer=organisation, period=period.first_day)
    bill = bills.filter(kind=Invoice.Kind.INVOICE).select_related("price_list").first()
    if bill is not None:
        buyer = Buyer(
            organisation=organisation,
            price_list=bill.price_list,
            pools_storage=bill.pools_storage,
        )
        return Month(
            buyer=buyer,
            period=period,
            vat_percent=str(bill.vat_percent),
            known_at=invoicing.last_known_at(bill),
        )
    buyer = billing.buyer(organisation)
    tax = forecasting.tax_of(buyer, period=period)
    return Month(buyer=buyer, period=period, vat_percent=str(tax.percent) if tax else "")


def file_name(chosen: Month, *, only: Mailbox | None = None) -> str:
    """A name that says what is in the file, in characters that every system takes."""
    subject = only.address if only else chosen.buyer.organisation.name
    plain = "".join(each if each.isascii() and each.isalnum() else "-" for each in subject)
    return f"usage-{chosen.period}-{plain}.csv".lower()


def lines(chosen: Month, *, at: datetime, only: int | None = None) -> Iterator[str]:
    """The file line by line: the month until `at`, of all mailboxes or of one."""
    yield csv_line(COLUMNS)
    end = billing.end_of(chosen.period, until=at)
    owners = billing.owners_of([chosen.buyer.organisation])
    names = dict(Organisation.objects.filter(pk__in=owners).values_list("pk", "name"))
    parts = billing.stretches(
        [chosen.buyer], period=chosen.period, end=end, owners=owners, only=only
    )
    while piece := list(islice(parts, _AT_ONCE)):
        keys = [part.held.mailbox_id for part in piece]
        uuids = dict(Mailbox.objects.filter(pk__in=keys).values_list("pk", "uuid"))
        spans = list(billing.spans(piece, now=end))
        found = metering.pieces_of(spans, known_at=chosen.known_at)
        for part, days in zip(piece, found, strict=True):
            whose = names[part.held.organisation_id], part.held.address, uuids[part.held.mailbox_id]
            terms = chosen.period, chosen.period.seconds, *whose, *_terms(chosen, part)
            yield from (csv_line([*terms, *_cells(day)]) for day in days)


def _terms(chosen: Month, part: Stretch) -> tuple[object, ...]:
    """The plan, the price and the contract: the same on each day."""
    price, held = part.price, part.held
    return (
        price.plan.slug,
        price.starts_on,
        price.currency,
        money.EXPONENTS[price.currency],
        price.monthly_price,
        price.included_bytes,
        price.storage_price,
        "yes" if chosen.buyer.pools_storage else "no",
        chosen.vat_percent,
        _text(held.start),
        "" if held.end is None else _text(held.end),
    )


def _cells(day: Piece) -> tuple[object, ...]:
    return _text(day.start), _text(day.end), day.end - day.start, day.byte_seconds


def _text(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
