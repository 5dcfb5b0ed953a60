"""The use of a month as CSV, from which its bill can be computed again with nothing else.

One line is one mailbox on one day at one price under one contract, or something that was put
right. `docs/billing.md` explains the columns and the sum to a customer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from accounts.models import Organisation
from accounts.staff import csv_line
from hosting import billing, forecasting, invoicing, meters, money
from hosting.billing import Buyer
from hosting.invoicing import charged
from hosting.metering import Piece
from hosting.models import Invoice, Price
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
    "waived_byte_seconds",
    "correction_of",
    "correction_on",
    "correction_net",
)
# What a line about use says of corrections.
_NO_CORRECTION = ("", "", "")


@dataclass(frozen=True, kw_only=True)
class Month:
    """A month of one buyer, on the terms of its bill if there is one already.

    The bill, or the last one that put it right, knew what was written down until `known_at`.
    """

    buyer: Buyer
    period: Period
    vat_percent: str
    bill: Invoice | None = None
    known_at: datetime | None = None


def month(organisation: Organisation, *, period: Period) -> Month:
    """A month to export; load `parent` with the organisation. Raises `pricing.NoPrice`.

    Of a month whose bill was taken back, it is what that bill said.
    """
    standing = charged.bill_of(organisation.pk, period)
    bill = standing or charged.taken_back_bill_of(organisation.pk, period)
    if bill is not None:
        return Month(
            buyer=billing.on_terms_of(bill, organisation=organisation),
            period=period,
            vat_percent=str(bill.vat_percent),
            bill=bill,
            known_at=(standing and charged.known_at(organisation.pk, period)) or bill.issued_at,
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
    test_clocks = billing.test_clocks([chosen.buyer])
    names = dict(Organisation.objects.filter(pk__in=owners).values_list("pk", "name"))
    parts = billing.stretches(
        [chosen.buyer],
        period=chosen.period,
        end=end,
        owners=owners,
        only=only,
        known_at=chosen.known_at,
    )
    while piece := list(islice(parts, _AT_ONCE)):
        keys = [part.held.mailbox_id for part in piece]
        uuids = dict(Mailbox.objects.filter(pk__in=keys).values_list("pk", "uuid"))
        spans = list(billing.spans(piece, now=end, test_clocks=test_clocks))
        found = meters.pieces_of(spans, known_at=chosen.known_at)
        for part, days in zip(piece, found, strict=True):
            whose = names[part.held.organisation_id], part.held.address, uuids[part.held.mailbox_id]
            contract = _text(part.held.start), _text(part.held.end)
            terms = *_month(chosen), *whose, *_terms(chosen, part.price), *contract
            yield from (csv_line([*terms, *_cells(day), *_NO_CORRECTION]) for day in days)
    yield from (csv_line(row) for row in _corrections(chosen, at=at, only=only))


def _month(chosen: Month) -> tuple[object, ...]:
    return chosen.period, chosen.period.seconds


def _terms(chosen: Month, price: Price, vat_percent: str | None = None) -> tuple[object, ...]:
    """The plan and the price: the same on each day."""
    return (
        price.plan.slug,
        price.starts_on,
        price.currency,
        money.EXPONENTS[price.currency],
        price.monthly_price,
        price.included_bytes,
        price.storage_price,
        "yes" if chosen.buyer.pools_storage else "no",
        chosen.vat_percent if vat_percent is None else vat_percent,
    )


def _cells(day: Piece) -> tuple[object, ...]:
    times = _text(day.start), _text(day.end), day.end - day.start
    return *times, day.byte_seconds, day.waived


def _text(unix_seconds: int | None) -> str:
    if unix_seconds is None:
        return ""
    return datetime.fromtimestamp(unix_seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Found(NamedTuple):
    """Something that was put right, or will be by the next bill."""

    mailbox_id: int | None
    price: Price
    percent: Decimal
    month: Period
    # The bill that it stands on.
    number: str
    net_minor: int


def _corrections(chosen: Month, *, at: datetime, only: int | None) -> Iterator[tuple[object, ...]]:
    """What the bill puts right of other months, and what others put right of this one."""
    bill = chosen.bill
    found = [
        each
        for each in (_to_come(chosen, at=at) if bill is None else _on_bills(bill))
        if only in {None, each.mailbox_id}
    ]
    keys = {each.mailbox_id for each in found if each.mailbox_id is not None}
    mailboxes = Mailbox.objects.select_related("organisation").in_bulk(keys)
    for each in found:
        mailbox = mailboxes[each.mailbox_id] if each.mailbox_id is not None else None
        net = money.from_minor(each.net_minor, currency=each.price.currency)
        whose = (
            (mailbox.organisation.name, mailbox.address, mailbox.uuid) if mailbox else ("", "", "")
        )
        terms = *_month(chosen), *whose, *_terms(chosen, each.price, str(each.percent))
        yield (*terms, "", "", "", "", 0, 0, 0, each.month, each.number, net)


def _to_come(chosen: Month, *, at: datetime) -> list[_Found]:
    buyer = chosen.buyer
    late = invoicing.late([buyer], period=chosen.period, known_at=at)
    return [
        _Found(
            each.charge.mailbox_id,
            each.charge.price,
            each.tax.percent,
            each.charge.period,
            "",
            each.net_minor,
        )
        for each in late.get(buyer.organisation.pk, ())
    ]


def _on_bills(bill: Invoice) -> list[_Found]:
    rows = [
        row
        for lines in (charged.corrections_on(bill), charged.corrections_of(bill))
        for row in lines.select_related("invoice", "price__plan", "price__price_list").order_by(
            "invoice", "position"
        )
    ]
    taxes = charged.taxes_of({row.invoice_id for row in rows})
    return [
        _Found(
            row.mailbox_id,
            row.price,
            taxes[row.tax_key].percent,
            Period.of_day(row.period),
            row.invoice.number,
            row.net_minor,
        )
        for row in rows
    ]
