"""What orders would cost, from the lines that bills would have of them; nothing stays of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounts.access import Actor
from accounts.models import Organisation
from hosting import billing, clocks, metering, money, ordering, pricing
from hosting.billing import Buyer, Held
from hosting.changing import Month
from hosting.charges import charge
from hosting.models import Plan
from hosting.periods import Period
from mailstore.models import Domain


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a new mailbox brings to the bill of this month and of a full one, while it is empty.

    It needs none of the included space then. What it adds to space that is shared, and may save
    other mailboxes that way, is left out.
    """

    this_month: Month
    full_month: Month


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What one order would cost, and the address that it would open."""

    address: str
    # None where nobody pays for the mailbox.
    cost: Cost | None


@dataclass(frozen=True, kw_only=True)
class Total:
    """What many new mailboxes cost together, without tax, in the smallest unit of a currency."""

    currency: str
    this_month_minor: int
    full_month_minor: int

    @property
    def this_month_text(self) -> str:
        """The rest of this month in words."""
        return money.minor_text(self.this_month_minor, currency=self.currency)

    @property
    def full_month_text(self) -> str:
        """A full month in words."""
        return money.minor_text(self.full_month_minor, currency=self.currency)


class Quotes:
    """What new mailboxes of some organisations cost, in at most five statements for all.

    Load `parent` with the organisations. A mailbox of a test organisation begins at the moment
    of its own clock.
    """

    def __init__(self, owners: Collection[Organisation], *, at: datetime) -> None:
        self._at = at
        self._clocks = clocks.moments(owners)
        house = Organisation.Kind.PROVIDER
        paying = {owner.pk: owner for owner in owners if owner.kind != house}
        found = billing.buyers_of(list(paying.values()))
        self._buyers: Mapping[int, Buyer] = {buyer.organisation.pk: buyer for buyer in found}
        last = max([at, *self._clocks.values()])
        lists = [buyer.price_list.pk for buyer in found]
        self._prices = pricing.successions(lists, until=Period.of(last).next.ends_at)
        self._known: dict[tuple[int, int], Cost | None] = {}

    def of(self, owner: Organisation, plan: Plan) -> Cost | None:
        """The cost of one mailbox more; None where nobody pays, as for those of the house."""
        key = owner.pk, plan.pk
        if key not in self._known:
            buyer = self._buyers.get(owner.pk)
            self._known[key] = None if buyer is None else self._cost(buyer, plan)
        return self._known[key]

    def totals(self, wanted: Iterable[tuple[Organisation, Plan]]) -> list[Total]:
        """What mailboxes cost together, by currency. Each is rounded by itself, as on a bill."""
        sums: dict[str, tuple[int, int]] = {}
        for owner, plan in wanted:
            cost = self.of(owner, plan)
            if cost is not None:
                currency = cost.this_month.currency
                this_month, full_month = sums.get(currency, (0, 0))
                sums[currency] = (
                    this_month + cost.this_month.after_minor,
                    full_month + cost.full_month.after_minor,
                )
        return [
            Total(currency=currency, this_month_minor=this_month, full_month_minor=full_month)
            for currency, (this_month, full_month) in sorted(sums.items())
        ]

    def _cost(self, buyer: Buyer, plan: Plan) -> Cost:
        starts_at = self._clocks.get(buyer.organisation.pk, self._at)
        period = Period.of(starts_at)
        this_month, full_month = (
            self._month(buyer, plan, starts_at=starts_at, period=each)
            for each in (period, period.next)
        )
        return Cost(this_month=this_month, full_month=full_month)

    def _month(self, buyer: Buyer, plan: Plan, *, starts_at: datetime, period: Period) -> Month:
        held = Held(buyer.organisation.pk, 0, "", plan.pk, metering.seconds(starts_at), None, 0, 0)
        prices = self._prices.get((buyer.price_list.pk, plan.pk), ())
        parts = billing.stretches_of(held, prices, start=period.start, end=period.end)
        lines = charge(
            [billing.measured(part, 0) for part in parts], period=period, pools=buyer.pools_storage
        )
        return Month(period=period, currency=buyer.currency, before=[], after=lines)


def totals(sold: Collection[tuple[Organisation, Plan]], *, at: datetime) -> list[Total]:
    """What new mailboxes, each given by its owner and its plan, cost together by currency."""
    return Quotes([owner for owner, _plan in sold], at=at).totals(sold)


def order(
    *,
    actor: Actor,
    domain: Domain,
    local_part: str,
    plan: Plan,
    external_ref: str = "",
    quota_bytes: int | None = None,
    at: datetime,
) -> Quote:
    """The quote for an order; raises all that `ordering.order` would raise.

    The order is placed and undone, so what it says is what the order would do.
    """
    with transaction.atomic():
        mailbox = ordering.order(
            actor=actor,
            domain=domain,
            local_part=local_part,
            plan=plan,
            external_ref=external_ref,
            quota_bytes=quota_bytes,
            at=at,
        )
        transaction.set_rollback(True)
    owner = domain.organisation
    return Quote(address=mailbox.address, cost=Quotes([owner], at=at).of(owner, plan))
