"""What a month has cost so far, what it will come to, and what would make it less.

A forecast says what the bill will be if nothing changes from now on. It is computed by the
code that also writes the bill, and so is every saving: the bill with less, taken from the bill.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from hosting import billing, charges, invoicing, metering, ordering, pricing, vat
from hosting.billing import Buyer
from hosting.charges import Charge, Kind, Measured
from hosting.invoicing import Correction
from hosting.models import Contract, Price
from hosting.periods import Period
from hosting.vat import Group, Tax
from mailstore.models import Mailbox

# Growth is told from the last two weeks, and not from fewer days than these.
_PACE_DAYS = 14
_LEAST_PACE_DAYS = 3
_DAY = timedelta(days=1)


class Line(NamedTuple):
    """One line of a bill in the making; either side is None where it has no such line."""

    so_far: Charge | None
    whole: Charge | None

    @property
    def either(self) -> Charge:
        """What the line is about."""
        found = self.whole or self.so_far
        assert found is not None  # noqa: S101  # `_paired` makes no empty line
        return found

    @property
    def so_far_minor(self) -> int:
        """What it costs already."""
        return self.so_far.net_minor if self.so_far else 0

    @property
    def whole_minor(self) -> int:
        """What it will cost."""
        return self.whole.net_minor if self.whole else 0


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A month that is not over, for one buyer. Amounts are minor units before tax."""

    buyer: Buyer
    period: Period
    lines: Sequence[Line]
    # What earlier months were charged too much or too little; the next bill puts it right.
    corrections: Sequence[Correction] = ()

    @property
    def so_far_minor(self) -> int:
        """What the month has cost by now."""
        return self.corrected_minor + sum(line.so_far_minor for line in self.lines)

    @property
    def whole_minor(self) -> int:
        """What the bill will say if nothing changes."""
        return self.corrected_minor + sum(line.whole_minor for line in self.lines)

    @property
    def corrected_minor(self) -> int:
        """What is put right, all in all."""
        return sum(line.net_minor for line in self.corrections)

    def taxes(self, tax: Tax, *, net_minor: int) -> list[Group]:
        """A net as the bill would tax it: what is put right in it as its own month was."""
        own = tax, net_minor - self.corrected_minor
        late = ((line.tax, line.net_minor) for line in self.corrections)
        return [group for group in vat.grouped(tax, (own, *late)) if group.net_minor]

    def of_mailbox(self, mailbox_id: int) -> list[Line]:
        """The lines of one mailbox."""
        return [line for line in self.lines if line.either.mailbox_id == mailbox_id]

    def whole_minor_with(self, less_bytes: Mapping[int, int]) -> int:
        """What the bill would say with so many bytes less from now on, by the mailbox's key."""
        measured = [
            Measured(
                mailbox_id=mailbox_id,
                address=whole.address,
                price=whole.price,
                seconds=whole.seconds,
                used_byte_seconds=max(
                    0, whole.used_byte_seconds - less_bytes.get(mailbox_id, 0) * rest
                ),
            )
            for mailbox_id, whole, rest in self._rests()
        ]
        lines_minor = _sum(measured, period=self.period, pools=self.buyer.pools_storage)
        return self.corrected_minor + lines_minor

    def _rests(self) -> Iterator[tuple[int, Charge, int]]:
        """The mailboxes' lines, with the seconds of each that are still to come."""
        for so_far, whole in self.lines:
            if whole and whole.kind == Kind.MAILBOX and whole.mailbox_id is not None:
                yield whole.mailbox_id, whole, whole.seconds - (so_far.seconds if so_far else 0)


def forecast(buyer: Buyer, *, at: datetime, only: int | None = None) -> Forecast:
    """The month of `at`. `only` narrows it to one mailbox, unless its space is shared.

    What earlier months put right belongs to the whole bill, so it is left out then.
    """
    period = Period.of(at)
    narrowed = None if buyer.pools_storage else only
    so_far = billing.charges(buyer, period=period, until=at, only=narrowed)
    whole = billing.charges(buyer, period=period, only=narrowed)
    late = invoicing.late([buyer], period=period, known_at=at) if only is None else {}
    return Forecast(
        buyer=buyer,
        period=period,
        lines=_paired(so_far, whole),
        corrections=late.get(buyer.organisation.pk, ()),
    )


def _paired(so_far: Iterable[Charge], whole: Iterable[Charge]) -> list[Line]:
    """Both sides of each line, in the order of the bill.

    A line may be there so far only: what is included grows with the month.
    """
    sides = {line.key: line for line in so_far}, {line.key: line for line in whole}
    both = {**sides[1], **sides[0]}
    lines = [Line(sides[0].get(key), sides[1].get(key)) for key in both]
    return sorted(lines, key=_place)


def _place(line: Line) -> tuple[bool, str, int, str, int, bool]:
    """By mailbox, then by price, what is shared at the end."""
    charge, price = line.either, line.either.price
    is_storage = charge.kind == Kind.STORAGE
    return (
        charge.mailbox_id is None,
        charge.address,
        charge.mailbox_id or 0,
        price.starts_on.isoformat(),
        price.pk,
        is_storage,
    )


def tax_of(buyer: Buyer, *, period: Period) -> Tax | None:
    """What the bill of a month adds to the net, or None while too little is known for it."""
    seller = invoicing.seller_profile(pricing.seller_of(buyer.organisation))
    if seller is None:
        return None
    profile = invoicing.profiles([buyer], fallback=seller)[buyer.organisation.pk]
    try:
        return vat.between(seller=seller, customer=profile, on=period.first_day)
    except vat.NoRate:
        return None


class Kept(NamedTuple):
    """A mailbox as it is now: what it holds, and at which price."""

    bytes: int
    price: Price


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The mailboxes of a buyer as they are now, kept so for a whole month at today's prices."""

    buyer: Buyer
    period: Period
    # By the mailbox's key.
    kept: Mapping[int, Kept]

    def month_minor(self, less_bytes: Mapping[int, int]) -> int:
        """What a month costs with so many bytes less, by the mailbox's key."""
        seconds = self.period.seconds
        measured = [
            Measured(
                mailbox_id=mailbox_id,
                address="",
                price=kept.price,
                seconds=seconds,
                used_byte_seconds=max(0, kept.bytes - less_bytes.get(mailbox_id, 0)) * seconds,
            )
            for mailbox_id, kept in self.kept.items()
        ]
        return _sum(measured, period=self.period, pools=self.buyer.pools_storage)

    def saving_minor(self, less_bytes: Mapping[int, int]) -> int:
        """What a month costs less without these bytes; nothing within what is included."""
        return self.month_minor({}) - self.month_minor(less_bytes)


def standings(
    customers: Sequence[Buyer], *, at: datetime, only: int | None = None
) -> list[Standing]:
    """How things stand with customers, in a few queries however many mailboxes they have.

    `only` narrows it to one mailbox.
    """
    owners = {each.organisation.pk: each for each in customers}
    running = Contract.objects.filter(ends_at=None, mailbox__organisation__in=list(owners))
    if only is not None:
        running = running.filter(mailbox=only)
    columns = ("mailbox__organisation_id", "mailbox_id", "mailbox__address", "plan_id")
    rows = list(running.values_list(*columns))
    sizes = metering.sizes(address for _owner, _mailbox, address, _plan in rows)
    prices = _prices(customers, at=at)
    kept: dict[int, dict[int, Kept]] = {owner: {} for owner in owners}
    for owner, mailbox, address, plan in rows:
        price = prices.get((owners[owner].price_list.pk, plan))
        if price is not None:
            kept[owner][mailbox] = Kept(sizes.get(address, 0), price)
    return [
        Standing(buyer=each, period=Period.of(at), kept=kept[owner])
        for owner, each in owners.items()
    ]


def _prices(buyers: Iterable[Buyer], *, at: datetime) -> dict[tuple[int, int], Price]:
    lists = [each.price_list.pk for each in buyers]
    begun = pricing.successions(lists, until=at + _DAY)
    return {key: prices[-1] for key, prices in begun.items()}


def _sum(measured: Iterable[Measured], *, period: Period, pools: bool) -> int:
    return sum(line.net_minor for line in charges.charge(measured, period=period, pools=pools))


def monthly_savings(less_bytes: Mapping[int, int], *, at: datetime) -> dict[str, int]:
    """What a month costs all owners less without these bytes: minor units by currency.

    `less_bytes` is by the key of the mailbox. Each owner pays its own prices.
    """
    owners = Mailbox.objects.filter(pk__in=less_bytes).values("organisation")
    live = billing.buyers().filter(pk__in=owners, is_test=False)
    customers = billing.buyers_of(list(live))
    found: dict[str, int] = {}
    for standing in standings(customers, at=at):
        saved = standing.saving_minor(less_bytes)
        currency = standing.buyer.currency
        found[currency] = found.get(currency, 0) + saved
    return found


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """What a mailbox costs on a plan, with its own use. Amounts are minor units before tax."""

    price: Price
    is_now: bool
    this_month_minor: int
    # None where the mailbox is younger.
    last_month_minor: int | None
    # How much of what it keeps the plan has no room for, at its highest limit.
    too_much_bytes: int


def alternatives(mailbox: Mailbox, found: Forecast, *, at: datetime) -> list[Alternative]:
    """The mailbox as it is, and on the other plans on sale, each with its own use alone.

    Space that is shared with other mailboxes is left out: it may make each of them cheaper.
    """
    now = [line.whole for line in found.of_mailbox(mailbox.pk) if line.whole]
    period = found.period.previous
    before = billing.charges(found.buyer, period=period, only=mailbox.pk)
    size = metering.sizes([mailbox.address]).get(mailbox.address, 0)
    prices = ordering.offers(found.buyer.price_list, at=at)
    held = _price_now(mailbox, now, at=at)
    if held is not None:
        # What it is on may not be on sale any more.
        prices[mailbox.protocol] = held
    return [
        Alternative(
            price=price,
            is_now=protocol == mailbox.protocol,
            this_month_minor=_cost_at(price, now, mailbox=mailbox, period=found.period),
            last_month_minor=(
                _cost_at(price, before, mailbox=mailbox, period=period) if before else None
            ),
            too_much_bytes=max(0, size - price.plan.ceiling_bytes),
        )
        for protocol, price in prices.items()
    ]


def _price_now(mailbox: Mailbox, lines: Iterable[Charge], *, at: datetime) -> Price | None:
    """The price that holds for the plan it is on, or was on last.

    A month has lines of each plan that the mailbox was on, and of prices still to come.
    """
    plan = ordering.last_plan(mailbox)
    prices = [line.price for line in lines if line.price.plan == plan]
    begun = [price for price in prices if price.starts_at <= at]
    return max(begun, key=lambda price: price.starts_on, default=None)


def _cost_at(price: Price, lines: Iterable[Charge], *, mailbox: Mailbox, period: Period) -> int:
    """What the time and use of some lines would have cost at another price."""
    own = [line for line in lines if line.kind == Kind.MAILBOX and line.mailbox_id == mailbox.pk]
    measured = Measured(
        mailbox_id=mailbox.pk,
        address=mailbox.address,
        price=price,
        seconds=sum(line.seconds for line in own),
        used_byte_seconds=sum(line.used_byte_seconds for line in own),
    )
    return _sum([measured], period=period, pools=False)


def days_until_full(
    days: Mapping[int, int], *, today: int, used_bytes: int, quota_bytes: int
) -> int | None:
    """At the pace of the last two weeks, or None where a mailbox does not grow.

    `days` has byte-seconds by day, as `metering.by_day` gives them.
    """
    known = [day for day in sorted(days) if today - _PACE_DAYS <= day < today]
    if len(known) < _LEAST_PACE_DAYS or used_bytes >= quota_bytes:
        return None
    first, last = known[0], known[-1]
    growth = (days[last] - days[first]) // metering.DAY_SECONDS
    if growth <= 0:
        return None
    return (quota_bytes - used_bytes) * (last - first) // growth
