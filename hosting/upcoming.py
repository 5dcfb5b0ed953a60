"""The next bill as plain values: what it would say now, and at the end of the month.

Both come from the lines that also make the bill (`hosting.forecasting`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.models import Organisation
from hosting import billing, clocks, forecasting
from hosting.charges import Charge, Kind
from hosting.forecasting import Forecast, Line
from hosting.models.plans import GIGABYTE
from hosting.periods import Period
from hosting.vat import Tax
from mailstore.models import Mailbox

# SQLite takes at most 32,766 values in one query.
_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True)
class Side:
    """One line at one moment. What has no line there yet is nothing of nothing."""

    quantity: str
    seconds: int
    used_byte_seconds: str
    included_byte_seconds: str
    amount_minor: int


@dataclass(frozen=True, kw_only=True)
class UpcomingLine:
    """One line; without a mailbox it is about the space that all share."""

    kind: str
    mailbox: UUID | None
    address: str
    plan: str
    # `mailbox_month`, or `gigabyte_month` of so many bytes.
    unit: str
    unit_bytes: int | None
    unit_price: str
    currency: str
    # The month that it is about: a correction is about an earlier one.
    period: Period
    now: Side
    forecast: Side


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What a bill adds up to; without tax where too little is known for it."""

    net_minor: int
    vat_minor: int | None
    total_minor: int | None


@dataclass(frozen=True, kw_only=True)
class Upcoming:
    """The next bill of a customer or reseller."""

    currency: str
    period: Period
    computed_at: datetime
    vat_percent: str | None
    lines: Sequence[UpcomingLine]
    now: Sums
    forecast: Sums


def upcoming(organisation: Organisation, *, at: datetime) -> Upcoming:
    """The bill of the month of `at`; load `parent` with it. Raises `pricing.NoPrice`.

    A test organisation's is that of its clock's month.
    """
    at = clocks.moment_for(organisation, at)
    buyer = billing.buyer(organisation)
    found = forecasting.forecast(buyer, at=at)
    tax = forecasting.tax_of(buyer, period=found.period)
    return Upcoming(
        currency=buyer.currency,
        period=found.period,
        computed_at=at,
        vat_percent=str(tax.percent) if tax else None,
        lines=_lines(found),
        now=_sums(found, found.so_far_minor, tax),
        forecast=_sums(found, found.whole_minor, tax),
    )


def _sums(found: Forecast, net_minor: int, tax: Tax | None) -> Sums:
    if tax is None:
        return Sums(net_minor=net_minor, vat_minor=None, total_minor=None)
    vat_minor = sum(group.vat_minor for group in found.taxes(tax, net_minor=net_minor))
    return Sums(net_minor=net_minor, vat_minor=vat_minor, total_minor=net_minor + vat_minor)


def _lines(found: Forecast) -> list[UpcomingLine]:
    late = [each.charge for each in found.corrections]
    charges = [*(line.either for line in found.lines), *late]
    names = _names(charge.mailbox_id for charge in charges)
    lines = [_line(line, names) for line in found.lines]
    return [*lines, *(_correction(charge, names) for charge in late)]


def _names(keys: Iterable[int | None]) -> Mapping[int, UUID]:
    wanted = sorted({key for key in keys if key is not None})
    found: dict[int, UUID] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        piece = Mailbox.objects.filter(pk__in=wanted[start : start + _AT_ONCE])
        found |= dict(piece.order_by().values_list("pk", "uuid"))
    return found


def _line(line: Line, names: Mapping[int, UUID]) -> UpcomingLine:
    return _shown(
        line.either,
        names,
        kind=line.either.kind.value,
        now=_side(line.so_far),
        forecast=_side(line.whole),
    )


def _correction(charge: Charge, names: Mapping[int, UUID]) -> UpcomingLine:
    side = _side(charge)
    return _shown(charge, names, kind=Kind.CORRECTION.value, now=side, forecast=side)


def _shown(
    charge: Charge, names: Mapping[int, UUID], *, kind: str, now: Side, forecast: Side
) -> UpcomingLine:
    is_storage = charge.kind == Kind.STORAGE
    return UpcomingLine(
        kind=kind,
        mailbox=None if charge.mailbox_id is None else names[charge.mailbox_id],
        address=charge.address,
        plan=charge.price.plan.slug,
        unit="gigabyte_month" if is_storage else "mailbox_month",
        unit_bytes=GIGABYTE if is_storage else None,
        unit_price=f"{charge.unit_price:f}",
        currency=charge.price.currency,
        period=charge.period,
        now=now,
        forecast=forecast,
    )


def _side(charge: Charge | None) -> Side:
    if charge is None:
        return Side(
            quantity="0.000000",
            seconds=0,
            used_byte_seconds="0",
            included_byte_seconds="0",
            amount_minor=0,
        )
    return Side(
        quantity=f"{charge.quantity:f}",
        seconds=charge.seconds,
        used_byte_seconds=str(charge.used_byte_seconds),
        included_byte_seconds=str(charge.included_byte_seconds),
        amount_minor=charge.net_minor,
    )
