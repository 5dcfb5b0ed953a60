"""Whom a bill is for, and what was measured for it, out of contracts, prices and the meter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from accounts.models import Organisation, OrganisationQuerySet
from hosting import clocks, metering, meters, pricing
from hosting.charges import Charge, Measured, charge
from hosting.metering import DAY_SECONDS, Span
from hosting.models import BillingProfile, Contract, Invoice, Price, PriceList
from hosting.periods import Period

NO_CLOCKS: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Buyer:
    """Who pays: a customer for its own mailboxes, a reseller for all those below it."""

    organisation: Organisation
    price_list: PriceList
    pools_storage: bool
    # Prices with a greater key were set after a test organisation was billed, and do not count.
    newest_price: int | None = None

    @property
    def currency(self) -> str:
        """The currency of everything it buys."""
        return self.price_list.currency


class Held(NamedTuple):
    """A contract as the bill needs it; its times are seconds of Unix time."""

    organisation_id: int
    mailbox_id: int
    address: str
    plan_id: int
    start: int
    end: int | None
    start_mark: int
    end_mark: int


class Stretch(NamedTuple):
    """A part of a contract's time, at one price."""

    held: Held
    price: Price
    start: int
    end: int


def buyer(organisation: Organisation) -> Buyer:
    """The terms of one organisation; load `parent` with it. Raises `pricing.NoPrice`."""
    return Buyer(
        organisation=organisation,
        price_list=pricing.list_for(organisation),
        pools_storage=organisation.pk in _pooling([organisation]),
    )


def on_terms_of(bill: Invoice, *, organisation: Organisation) -> Buyer:
    """The buyer of a bill with its terms; load `price_list` with the bill."""
    return Buyer(
        organisation=organisation,
        price_list=bill.price_list,
        pools_storage=bill.pools_storage,
        newest_price=bill.newest_price,
    )


def buyers_of(organisations: Sequence[Organisation]) -> list[Buyer]:
    """The terms of those that have a price list, in a few queries."""
    lists = pricing.lists_for(organisations)
    pooling = _pooling(organisations)
    return [
        Buyer(
            organisation=organisation,
            price_list=lists[organisation.pk],
            pools_storage=organisation.pk in pooling,
        )
        for organisation in organisations
        if organisation.pk in lists
    ]


def _pooling(organisations: Sequence[Organisation]) -> frozenset[int]:
    pooling = BillingProfile.objects.filter(organisation__in=organisations, pools_storage=True)
    return frozenset(pooling.values_list("organisation_id", flat=True))


def buyers() -> OrganisationQuerySet:
    """Everybody who gets bills: customers and resellers, by key."""
    kinds = (Organisation.Kind.CUSTOMER, Organisation.Kind.RESELLER)
    return Organisation.objects.filter(kind__in=kinds).select_related("parent").order_by("pk")


def monthly_cost(buyer: Buyer, *, at: datetime) -> Decimal:
    """What all mailboxes of a buyer cost a month whatever they keep, not rounded."""
    owners = owners_of([buyer.organisation])
    running = Contract.objects.filter(ends_at=None, mailbox__organisation__in=list(owners))
    counts = dict(running.order_by().values_list("plan").annotate(Count("pk")))
    prices = pricing.prices_at(price_list=buyer.price_list, plans=counts, at=at)
    return sum(
        (prices[plan].monthly_price * count for plan, count in counts.items() if plan in prices),
        Decimal(0),
    )


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A running contract as if it ended at a moment, and the mailbox went over to another plan.

    `mark` is what the meter says there (`Contract`). Without a plan the mailbox closes.
    """

    mailbox_id: int
    plan_id: int | None
    at: int
    mark: int

    def taken(self, contracts: Iterable[Held]) -> Iterator[Held]:
        """The contracts as they would be."""
        for held in contracts:
            if held.mailbox_id != self.mailbox_id or held.end is not None:
                yield held
                continue
            yield held._replace(end=self.at, end_mark=self.mark)
            if self.plan_id is not None:
                yield held._replace(plan_id=self.plan_id, start=self.at, start_mark=self.mark)


def charges(
    buyer: Buyer,
    *,
    period: Period,
    until: datetime | None = None,
    only: int | None = None,
    known_at: datetime | None = None,
    turn: Turn | None = None,
) -> list[Charge]:
    """The lines of a month: all of it, or of what has gone by at `until`, which is now.

    Of a month that is not over, the whole is a forecast: nothing changes from now on. `only`
    is the key of the one mailbox to look at, and `turn` what is to happen to one. Of drift and
    of ends of contracts, only what was written down until `known_at` counts.
    """
    found = charges_of([buyer], period=period, until=until, only=only, known_at=known_at, turn=turn)
    return found[buyer.organisation.pk]


def foreseen(buyer: Buyer, *, mailbox_id: int, turn: Turn | None, period: Period) -> list[Charge]:
    """The lines of a whole month that a mailbox has a part in, with or without a turn.

    Where included space is shared these are the lines of all that share it.
    """
    only = None if buyer.pools_storage else mailbox_id
    lines = charges(buyer, period=period, only=only, turn=turn)
    return [line for line in lines if line.mailbox_id in {mailbox_id, None}]


def charges_of(
    alike: Sequence[Buyer],
    *,
    period: Period,
    until: datetime | None = None,
    only: int | None = None,
    known_at: datetime | None = None,
    turn: Turn | None = None,
) -> dict[int, list[Charge]]:
    """The same for several buyers, by the key of the organisation.

    They are all customers or all resellers.
    """
    end = end_of(period, until=until)
    owners = owners_of([each.organisation for each in alike])
    parts = list(
        stretches(
            alike,
            period=period,
            end=end,
            owners=owners,
            only=only,
            turn=turn,
            known_at=known_at,
        )
    )
    found: dict[int, list[Measured]] = {each.organisation.pk: [] for each in alike}
    counted = spans(parts, now=end, test_clocks=test_clocks(alike))
    used = meters.byte_seconds(counted, known_at=known_at)
    for part, byte_seconds in zip(parts, used, strict=True):
        found[owners[part.held.organisation_id]].append(measured(part, byte_seconds))
    return {
        each.organisation.pk: charge(
            found[each.organisation.pk], period=period, pools=each.pools_storage
        )
        for each in alike
    }


def test_clocks(alike: Sequence[Buyer]) -> dict[int, int]:
    """The seconds at which those of these buyers are that are there for testing, by key."""
    found = clocks.moments(each.organisation for each in alike)
    return {key: metering.seconds(moment) for key, moment in found.items()}


def end_of(period: Period, *, until: datetime | None) -> int:
    """The second at which counting stops."""
    return period.end if until is None else min(period.end, metering.seconds(until))


def stretches(
    alike: Sequence[Buyer],
    *,
    period: Period,
    end: int,
    owners: Mapping[int, int],
    only: int | None = None,
    turn: Turn | None = None,
    known_at: datetime | None = None,
) -> Iterator[Stretch]:
    """The parts of all contracts of a month until `end`, each at one price.

    `owners` is what `owners_of` says of the buyers. Ends that were written down after
    `known_at` are not known yet.
    """
    lists = {each.organisation.pk: each.price_list.pk for each in alike}
    newest = {each.organisation.pk: each.newest_price for each in alike}
    prices = pricing.successions(lists.values(), until=period.ends_at)
    contracts: Iterable[Held] = _held(
        owners, start=period.start, end=end, only=only, known_at=known_at
    )
    for held in contracts if turn is None else turn.taken(contracts):
        owner = owners[held.organisation_id]
        succession = _set_until(newest[owner], prices.get((lists[owner], held.plan_id), ()))
        yield from stretches_of(held, succession, start=period.start, end=end)


def _set_until(newest: int | None, prices: Sequence[Price]) -> Sequence[Price]:
    return prices if newest is None else [price for price in prices if price.pk <= newest]


def unpriced(alike: Sequence[Buyer], *, period: Period) -> dict[int, list[str]]:
    """The plans that buyers had in a month and that their list has no price for, by their keys.

    They have one list together, and the same prices of it count.
    """
    owners = owners_of([each.organisation for each in alike])
    price_list, newest = alike[0].price_list.pk, alike[0].newest_price
    prices = pricing.successions([price_list], until=period.ends_at)
    priced = [plan for (_list, plan), them in prices.items() if _set_until(newest, them)]
    held = _touching(owners, start=period.start, end=period.end).exclude(plan__in=priced)
    found: dict[int, list[str]] = {}
    names = held.order_by("plan__name").values_list("mailbox__organisation_id", "plan__name")
    for organisation, plan in names.distinct():
        known = found.setdefault(owners[organisation], [])
        if plan not in known:
            known.append(plan)
    return found


def owners_of(organisations: Sequence[Organisation]) -> dict[int, int]:
    """Who pays for the mailboxes of whom; a reseller pays for those of its customers too.

    For those of test organisations nobody pays but themselves, and they pay nothing.
    """
    payers = {organisation.pk for organisation in organisations}
    owners = {pk: pk for pk in payers}
    if organisations[0].kind == Organisation.Kind.RESELLER:
        below = Organisation.objects.filter(parent__in=payers, is_test=False)
        owners |= dict(below.values_list("pk", "parent_id"))
    return owners


def _touching(owners: Mapping[int, int], *, start: int, end: int) -> QuerySet[Contract]:
    """The contracts of these organisations' mailboxes that touch the time."""
    return _begun(owners, end=end).filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=metering.moment(start))
    )


def _begun(owners: Mapping[int, int], *, end: int) -> QuerySet[Contract]:
    return Contract.objects.filter(
        mailbox__organisation__in=list(owners), starts_at__lt=metering.moment(end)
    )


def _held(
    owners: Mapping[int, int],
    *,
    start: int,
    end: int,
    only: int | None,
    known_at: datetime | None,
) -> Iterator[Held]:
    """The same as the bill needs them, or those of the one mailbox `only`."""
    contracts = _touching(owners, start=start, end=end)
    running = _unended(owners, end=end, known_at=known_at) if known_at else []
    if running:
        contracts = contracts.exclude(pk__in=running)
    if only is not None:
        contracts = contracts.filter(mailbox=only)
    yield from _read(contracts)
    if running:
        for held in _read(Contract.objects.filter(pk__in=running)):
            if only in {None, held.mailbox_id}:
                yield held._replace(end=None, end_mark=0)


def _read(contracts: QuerySet[Contract]) -> Iterator[Held]:
    rows = contracts.values_list(
        "mailbox__organisation_id",
        "mailbox_id",
        "mailbox__address",
        "plan_id",
        "starts_at",
        "ends_at",
        "start_mark",
        "end_mark",
    )
    for organisation, mailbox, address, plan, starts_at, ends_at, *marks in rows.iterator():
        begins = metering.seconds(starts_at)
        ends = None if ends_at is None else metering.seconds(ends_at)
        yield Held(organisation, mailbox, address, plan, begins, ends, *marks)


def _unended(owners: Mapping[int, int], *, end: int, known_at: datetime) -> list[int]:
    """The contracts that nobody knew the end of yet.

    One that another followed had ended for everybody: both cannot run.
    """
    followed = Contract.objects.filter(
        mailbox=OuterRef("mailbox"), starts_at__gte=OuterRef("ends_at"), starts_at__lte=known_at
    ).exclude(pk=OuterRef("pk"))
    late = _begun(owners, end=end).filter(ended_at__gt=known_at, ends_at__lt=metering.moment(end))
    return list(late.exclude(Exists(followed)).values_list("pk", flat=True))


def stretches_of(held: Held, prices: Sequence[Price], *, start: int, end: int) -> Iterator[Stretch]:
    """The parts of a contract's time at one price each; none where nothing says a price."""
    if not prices:
        return
    first = max(start, held.start)
    last = end if held.end is None else min(end, held.end)
    begins = [metering.seconds(price.starts_at) for price in prices]
    # What has no price is not charged.
    ends = [*begins[1:], last] if begins else []
    for price, begin, until in zip(prices, begins, ends, strict=True):
        stretch = Stretch(held, price, max(first, begin), min(last, until))
        if stretch.start < stretch.end:
            yield stretch


def spans(
    stretches: Sequence[Stretch], *, now: int, test_clocks: Mapping[int, int] = NO_CLOCKS
) -> Iterator[Span]:
    """The same as the meter reads them; what runs on has its mark at `now`."""
    is_midnight = now % DAY_SECONDS == 0
    open_names = {
        s.held.address
        for s in stretches
        if s.end == now != s.held.end and s.held.organisation_id not in test_clocks
    }
    marks = {} if is_midnight else metering.marks(open_names, at=now)
    for held, _price, start, end in stretches:
        running = marks.get(held.address, 0) if end == now else 0
        yield Span(
            username=held.address,
            start=start,
            end=end,
            start_mark=held.start_mark if start == held.start else 0,
            end_mark=held.end_mark if end == held.end else running,
            clock=test_clocks.get(held.organisation_id),
        )


def measured(stretch: Stretch, byte_seconds: int) -> Measured:
    """A stretch with what was used in it."""
    return Measured(
        mailbox_id=stretch.held.mailbox_id,
        address=stretch.held.address,
        price=stretch.price,
        seconds=stretch.end - stretch.start,
        used_byte_seconds=byte_seconds,
    )
