"""From measured use to money: exact until each line is rounded, once.

The formulas: a mailbox costs its monthly price times the seconds it was on it, by the seconds
of the month. Storage costs the price of a GB-month times the byte-seconds above what is
included, by 10^9 times the seconds of the month. What is included shrinks with the seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from hosting import money
from hosting.models import InvoiceLine, Price
from hosting.models.plans import GIGABYTE
from hosting.periods import Period

Kind = InvoiceLine.Kind


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
    def key(self) -> tuple[int | None, int, str]:
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
    metered = [each for each in whole if each.price.storage_price]
    if pools:
        return [*lines, *_pooled(metered, period)]
    return [line for each in lines for line in (each, *_storage(each))]


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


def _storage(mailbox: Charge) -> list[Charge]:
    """The storage line that belongs to a mailbox's line, if it used more than is included."""
    above = mailbox.used_byte_seconds - mailbox.included_byte_seconds
    if not mailbox.price.storage_price or above <= 0:
        return []
    net_minor = storage_minor(mailbox.price, above_byte_seconds=above, period=mailbox.period)
    return [
        Charge(
            kind=Kind.STORAGE,
            mailbox_id=mailbox.mailbox_id,
            address=mailbox.address,
            price=mailbox.price,
            period=mailbox.period,
            seconds=mailbox.seconds,
            used_byte_seconds=mailbox.used_byte_seconds,
            included_byte_seconds=mailbox.included_byte_seconds,
            net_minor=net_minor,
        )
    ]


def _pooled(metered: Sequence[Measured], period: Period) -> list[Charge]:
    """One storage line a price, over all mailboxes that share it."""
    by_price: dict[int, list[Measured]] = {}
    for each in metered:
        by_price.setdefault(each.price.pk, []).append(each)
    pools = [
        Charge(
            kind=Kind.MAILBOX,
            mailbox_id=None,
            address="",
            price=shares[0].price,
            period=period,
            seconds=sum(each.seconds for each in shares),
            used_byte_seconds=sum(each.used_byte_seconds for each in shares),
            included_byte_seconds=sum(
                included(each.price, seconds=each.seconds) for each in shares
            ),
            net_minor=0,
        )
        for shares in by_price.values()
    ]
    return [line for pool in pools for line in _storage(pool)]
