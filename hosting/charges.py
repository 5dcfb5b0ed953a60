"""From measured use to money: exact until each line is rounded, once.

The formulas: a mailbox costs its monthly price times the seconds it was on it, by the seconds
of the month. Storage costs the price of a GB-month times the byte-seconds above what is
included, by 10^9 times the seconds of the month. What is included shrinks with the seconds.

What is included is shared by all mailboxes of a buyer that pools, and else by all prices of one
plan that a mailbox was on: a price that begins within a month takes nothing from it. What those
that share go beyond it together is charged where each went beyond its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from hosting import money
from hosting.models import InvoiceLine, Price
from hosting.models.plans import GIGABYTE
from hosting.periods import Period

Kind = InvoiceLine.Kind
# The mailbox, the price and the kind of a line: what it is about, once a month.
Key = tuple[int | None, int, str]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A mailbox at one price within a month: for how long, and what it used."""

    mailbox_id: int
    address: str
    price: Price
    seconds: int
    used_byte_seconds: int


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One line. Without a mailbox it is about all that share what is included."""

    kind: Kind
    mailbox_id: int | None
    address: str
    price: Price
    period: Period
    seconds: int
    used_byte_seconds: int
    included_byte_seconds: int
    net_minor: int

    @property
    def key(self) -> Key:
        """What it is about, once a month."""
        return self.mailbox_id, self.price.pk, self.kind

    @property
    def quantity(self) -> Decimal:
        """Mailbox-months or GB-months, to six decimals; only shown, never computed with."""
        if self.kind == Kind.STORAGE:
            above = self.used_byte_seconds - self.included_byte_seconds
            exact = Fraction(above, GIGABYTE * self.period.seconds)
        else:
            exact = Fraction(self.seconds, self.period.seconds)
        return Decimal(money.half_up(exact * 10**6)).scaleb(-6)

    @property
    def unit_price(self) -> Decimal:
        """The price of one mailbox-month or GB-month."""
        is_storage = self.kind == Kind.STORAGE
        return self.price.storage_price if is_storage else self.price.monthly_price


def charge(measured: Iterable[Measured], *, period: Period, pools: bool) -> list[Charge]:
    """The lines of one buyer and month, in the order in which they are shown.

    However a mailbox's time was cut into pieces at one price, they count together.
    """
    whole = sorted(_together(measured), key=_place)
    lines = [_mailbox_charge(each, period) for each in whole]
    metered = [line for line in lines if line.price.storage_price]
    if pools:
        pool = _by_price(metered)
        return [*lines, *_storage(pool, _above(pool))]
    above = _above_by_plan(metered)
    return [each for line in lines for each in (line, *_storage([line], [above.get(line.key, 0)]))]


def included(price: Price, *, seconds: int) -> int:
    """The byte-seconds that come with a mailbox on this price for so long."""
    return price.included_bytes * seconds


def storage_minor(price: Price, *, above_byte_seconds: int, period: Period) -> int:
    """What so many byte-seconds above the included ones cost; nothing if there are none."""
    numerator, denominator = price.storage_price.as_integer_ratio()
    return money.minor_of(
        numerator * max(0, above_byte_seconds),
        denominator * GIGABYTE * period.seconds,
        currency=price.currency,
    )


def mailbox_minor(price: Price, *, seconds: int, period: Period) -> int:
    """What a mailbox costs that was on this price for so many seconds of the month."""
    numerator, denominator = price.monthly_price.as_integer_ratio()
    return money.minor_of(
        numerator * seconds, denominator * period.seconds, currency=price.currency
    )


def _together(measured: Iterable[Measured]) -> list[Measured]:
    found: dict[tuple[int, int], Measured] = {}
    for each in measured:
        key = each.mailbox_id, each.price.pk
        known = found.get(key)
        found[key] = each if known is None else _sum(known, each)
    return list(found.values())


def _sum(one: Measured, other: Measured) -> Measured:
    return replace(
        one,
        seconds=one.seconds + other.seconds,
        used_byte_seconds=one.used_byte_seconds + other.used_byte_seconds,
    )


def _place(measured: Measured) -> tuple[str, int, str, int]:
    price = measured.price
    return measured.address, measured.mailbox_id, price.starts_on.isoformat(), price.pk


def _mailbox_charge(measured: Measured, period: Period) -> Charge:
    return Charge(
        kind=Kind.MAILBOX,
        mailbox_id=measured.mailbox_id,
        address=measured.address,
        price=measured.price,
        period=period,
        seconds=measured.seconds,
        used_byte_seconds=measured.used_byte_seconds,
        included_byte_seconds=included(measured.price, seconds=measured.seconds),
        net_minor=mailbox_minor(measured.price, seconds=measured.seconds, period=period),
    )


def _storage(parts: Sequence[Charge], above: Iterable[int]) -> Iterator[Charge]:
    """The storage lines of parts, each so many byte-seconds above what covers it."""
    for part, beyond in zip(parts, above, strict=True):
        if beyond:
            yield replace(
                part,
                kind=Kind.STORAGE,
                included_byte_seconds=part.used_byte_seconds - beyond,
                net_minor=storage_minor(part.price, above_byte_seconds=beyond, period=part.period),
            )


def _above(parts: Sequence[Charge]) -> list[int]:
    """How far parts that share what is included go beyond it, in byte-seconds, part by part.

    All that they go beyond it together is split by how far each went beyond its own; none gets
    more than that, since what another one left over only makes the whole less.
    """
    own = [part.used_byte_seconds - part.included_byte_seconds for part in parts]
    beyond = [max(0, each) for each in own]
    together = sum(own)
    if len(parts) == 1 or together <= 0:
        return beyond if together > 0 else [0] * len(parts)
    return money.split(together, beyond)


def _above_by_plan(metered: Iterable[Charge]) -> dict[Key, int]:
    """The same for mailboxes that share with nobody, each at all prices of one plan together."""
    by_plan: dict[tuple[int | None, int], list[Charge]] = {}
    for line in metered:
        by_plan.setdefault((line.mailbox_id, line.price.plan_id), []).append(line)
    return {
        part.key: beyond
        for parts in by_plan.values()
        for part, beyond in zip(parts, _above(parts), strict=True)
    }


def _by_price(metered: Iterable[Charge]) -> list[Charge]:
    """All mailboxes at each price together, by the plan's short name and the price's first day."""
    found: dict[int, list[Charge]] = {}
    for line in metered:
        found.setdefault(line.price.pk, []).append(line)
    return sorted(map(_pooled, found.values()), key=_place_of_price)


def _pooled(shares: Sequence[Charge]) -> Charge:
    return replace(
        shares[0],
        mailbox_id=None,
        address="",
        seconds=sum(each.seconds for each in shares),
        used_byte_seconds=sum(each.used_byte_seconds for each in shares),
        included_byte_seconds=sum(each.included_byte_seconds for each in shares),
        net_minor=0,
    )


def _place_of_price(part: Charge) -> tuple[str, str, int]:
    price = part.price
    return price.plan.slug, price.starts_on.isoformat(), price.pk
