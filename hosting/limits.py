"""How far an organisation may go with all below it, looked at under a lock before it goes further.

Limits stand on an organisation and on everybody above it; all of them hold. Their rows are
locked from the top of the tree down, so those who order at once wait for each other and the
last place is given out once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from django.db.models import Q, QuerySet, Sum

from accounts.models import Organisation
from hosting import billing, clocks, money, pricing
from hosting.billing import Buyer
from hosting.models import Limits, Plan, Price, Spending
from hosting.periods import Period
from mailstore import quotas
from mailstore.models import Domain, Mailbox, Usage

# SQLite takes at most 32,766 values in one query.
_AT_ONCE = 10_000


LimitName = Literal["mailbox_count", "domain_count", "stored_bytes", "spend_cap_minor"]


class LimitReached(Exception):
    """An organisation may not go further; the text says which, and how far it may go.

    `limit`, `current` and `requested` are counts, bytes, or the smallest unit of the currency in
    which it buys; `requested` comes on top of `current`. Space is not asked for by amount, so
    there it is None.
    """

    def __init__(
        self,
        message: str,
        *,
        organisation: Organisation,
        limit_of: LimitName,
        limit: int,
        current: int,
        requested: int | None,
    ) -> None:
        super().__init__(message)
        self.organisation = organisation
        self.limit_of = limit_of
        self.limit = limit
        self.current = current
        self.requested = requested


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for. `instead_of` is the plan that a mailbox leaves for `plan`."""

    mailboxes: int = 0
    domains: int = 0
    plan: Plan | None = None
    instead_of: Plan | None = None

    @property
    def is_more_space(self) -> bool:
        """Whether more mail could be kept than before."""
        if self.plan is None or self.instead_of is None:
            return self.mailboxes > 0
        return self.plan.ceiling_bytes > self.instead_of.ceiling_bytes


@dataclass(kw_only=True)
class Room:
    """What is left below one limit. None stands for no limit; money is not rounded."""

    limits: Limits
    mailboxes: int | None
    domains: int | None
    stored_bytes: int | None
    spend: Decimal | None
    buyer: Buyer | None
    # What the organisation pays for each plan, by the plan's key.
    prices: Mapping[int, Price]

    def check(self, wanted: Wanted, *, owner: Organisation) -> None:
        """Raise `LimitReached` if it does not fit."""
        refusal = self._refusal_of(wanted, more=self._more(wanted, owner))
        if refusal is not None:
            raise refusal

    def count_in(self, wanted: Wanted, *, owner: Organisation) -> None:
        """There is so much less left."""
        if self.mailboxes is not None:
            self.mailboxes -= wanted.mailboxes
        if self.domains is not None:
            self.domains -= wanted.domains
        if self.spend is not None:
            self.spend -= self._more(wanted, owner)

    def _refusal_of(self, wanted: Wanted, *, more: Decimal) -> LimitReached | None:
        limits, name = self.limits, self.limits.organisation
        if _lacks(self.mailboxes, wanted.mailboxes):
            message = f"{name} may have {limits.mailboxes} mailboxes, and has them."
            figures = (limits.mailboxes, self.mailboxes, wanted.mailboxes)
            return self._refusal(message, "mailbox_count", *figures)
        if _lacks(self.domains, wanted.domains):
            message = f"{name} may have {limits.domains} domains, and has them."
            figures = (limits.domains, self.domains, wanted.domains)
            return self._refusal(message, "domain_count", *figures)
        if wanted.is_more_space and _lacks(self.stored_bytes, 1):
            most = quotas.byte_text(limits.stored_bytes or 0)
            message = f"{name} may keep {most} of mail, and keeps as much."
            return self._refusal(
                message, "stored_bytes", limits.stored_bytes, self.stored_bytes, None
            )
        if more > 0 and self.spend is not None and more > self.spend:
            message = f"{name} may spend {self._cap_text()} a month; this would go beyond it."
            figures = (limits.cap_minor, self._minor(self.spend), self._minor(more))
            return self._refusal(message, "spend_cap_minor", *figures)
        return None

    def _refusal(
        self,
        message: str,
        limit_of: LimitName,
        limit: int | None,
        left: int | None,
        requested: int | None,
    ) -> LimitReached:
        return LimitReached(
            message,
            organisation=self.limits.organisation,
            limit_of=limit_of,
            limit=limit or 0,
            current=(limit or 0) - (left or 0),
            requested=requested,
        )

    def _minor(self, amount: Decimal) -> int:
        return money.to_minor(Fraction(amount), currency=self._currency())

    def _currency(self) -> str:
        return self.buyer.currency if self.buyer else "EUR"

    def _more(self, wanted: Wanted, owner: Organisation) -> Decimal:
        """How much more is paid a month; for what a test organisation has, by itself alone."""
        if owner.is_test and owner.pk != self.limits.organisation_id:
            return Decimal(0)
        return self._price(wanted.plan) - self._price(wanted.instead_of)

    def _cap_text(self) -> str:
        return money.minor_text(self.limits.cap_minor or 0, currency=self._currency())

    def _price(self, plan: Plan | None) -> Decimal:
        price = self.prices.get(plan.pk) if plan else None
        return price.monthly_price if price else Decimal(0)


def _lacks(left: int | None, wanted: int) -> bool:
    """Whether there is a limit, and less left than is wanted."""
    return wanted > 0 and left is not None and wanted > left


class Rooms:
    """What is left for some organisations, as long as the transaction lasts."""

    def __init__(self, rooms: Iterable[Room]) -> None:
        self._rooms = {room.limits.organisation_id: room for room in rooms}

    def take(self, organisation: Organisation, wanted: Wanted) -> None:
        """Count something in for an organisation and all above it, or raise `LimitReached`."""
        found = [self._rooms[pk] for pk in organisation.lineage if pk in self._rooms]
        for room in found:
            room.check(wanted, owner=organisation)
        for room in found:
            room.count_in(wanted, owner=organisation)


def lock_rows(organisations: Iterable[Organisation]) -> list[Limits]:
    """Lock the limits of these and of all above them; load `parent` with them.

    For who counts later and locks something else before, since limits come first everywhere.
    """
    lineage = {pk for organisation in organisations for pk in organisation.lineage}
    rows = Limits.objects.filter(organisation__in=lineage)
    # Whoever stands higher is locked first: an organisation is made after the one above it.
    locked = rows.select_for_update(of=("self",)).order_by("organisation_id")
    return list(locked.select_related("organisation__parent"))


def lock(organisations: Iterable[Organisation], *, at: datetime) -> Rooms:
    """Lock the limits of these and of all above them, and look at what is left.

    Call it in the transaction that opens what is counted. Without a limit it costs one query. What
    a test organisation spends is counted in the month in which its own clock is.
    """
    found = lock_rows(organisations)
    there = clocks.moments(row.organisation for row in found)
    return Rooms(_room(row, at=there.get(row.organisation_id, at)) for row in found)


@dataclass(frozen=True, kw_only=True)
class Use:
    """How far an organisation has gone with all below it."""

    mailboxes: int
    domains: int
    stored_bytes: int


def use_of(organisation: Organisation) -> Use:
    """What its limits are compared with."""
    return Use(
        mailboxes=_counting(organisation).count(),
        domains=Domain.objects.filter(_below(organisation)).count(),
        stored_bytes=_stored_bytes(organisation),
    )


def _room(limits: Limits, *, at: datetime) -> Room:
    owner = limits.organisation
    buyer = billing.buyer(owner) if limits.cap_minor is not None else None
    return Room(
        limits=limits,
        mailboxes=_left(limits.mailboxes, lambda: _counting(owner).count()),
        domains=_left(limits.domains, lambda: Domain.objects.filter(_below(owner)).count()),
        stored_bytes=_left(limits.stored_bytes, lambda: _stored_bytes(owner)),
        spend=_spend_left(limits, buyer, at=at) if buyer else None,
        buyer=buyer,
        prices=_prices(buyer, at=at) if buyer else {},
    )


def _left(most: int | None, count: Callable[[], int]) -> int | None:
    return None if most is None else most - count()


def _spend_left(limits: Limits, buyer: Buyer, *, at: datetime) -> Decimal:
    """The cap less the fixed prices of all mailboxes and what storage has cost this month."""
    cap_minor = limits.cap_minor or 0
    month = Period.of(at).first_day
    known = Spending.objects.filter(organisation=limits.organisation, period=month).first()
    left_minor = cap_minor - (known.storage_minor if known else 0)
    left = money.from_minor(left_minor, currency=buyer.currency)
    return left - billing.monthly_cost(buyer, at=at)


def _prices(buyer: Buyer, *, at: datetime) -> Mapping[int, Price]:
    plans = Plan.objects.values_list("pk", flat=True)
    return pricing.prices_at(price_list=buyer.price_list, plans=plans, at=at)


def _counting(organisation: Organisation) -> QuerySet[Mailbox]:
    """Mailboxes that take a place: not those that are on their way out."""
    ending = (Mailbox.State.CLOSING, Mailbox.State.CLOSED)
    return Mailbox.objects.filter(_below(organisation)).exclude(state__in=ending)


def _below(organisation: Organisation) -> Q:
    return (
        Q(organisation=organisation)
        | Q(organisation__parent=organisation)
        | Q(organisation__parent__parent=organisation)
    )


def _stored_bytes(organisation: Organisation) -> int:
    addresses = list(_counting(organisation).order_by().values_list("address", flat=True))
    return sum(
        _sum(addresses[start : start + _AT_ONCE]) for start in range(0, len(addresses), _AT_ONCE)
    )


def _sum(addresses: Sequence[str]) -> int:
    found = Usage.objects.filter(username__in=addresses).aggregate(total=Sum("bytes"))
    return found["total"] or 0
