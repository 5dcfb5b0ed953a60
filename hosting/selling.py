"""What can be ordered: a plan on sale that has a price for everybody who pays for it.

Every door to an order asks here, one mailbox at a time or many, so that none is sold for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from accounts.models import Organisation
from hosting import clocks, pricing
from hosting.models import Plan


class NotOnSale(Exception):
    """The plan is not sold any more."""


REFUSALS = (NotOnSale, pricing.NoPrice)


def refuse_off_sale(plan: Plan) -> None:
    """Raise `NotOnSale` unless the plan can be ordered at all."""
    if not plan.is_on_sale:
        message = f"{plan} is not on sale any more."
        raise NotOnSale(message)


class Shelf:
    """What some organisations can order at a moment, in one query, or two with test organisations.

    Load `parent` with them. A test organisation's moment is that of its own clock.
    """

    def __init__(
        self, organisations: Iterable[Organisation], *, plans: Iterable[Plan], at: datetime
    ) -> None:
        buyers = {each.pk: each for each in organisations}
        self._at = at
        self._clocks = clocks.moments(buyers.values())
        payers = {each.pk: each for buyer in buyers.values() for each in _payers(buyer)}
        self._lists, self._first_days = pricing.shelves_for(
            list(payers.values()), {plan.pk for plan in plans}
        )

    def check(self, organisation: Organisation, plan: Plan) -> None:
        """Raise `NotOnSale` or `pricing.NoPrice` where it cannot be ordered."""
        refuse_off_sale(plan)
        self.check_price(organisation, plan)

    def check_price(self, organisation: Organisation, plan: Plan) -> None:
        """Raise `pricing.NoPrice` unless it has a price for all who pay for the mailbox.

        A customer is not told what its seller pays, and so not that a price is missing there.
        """
        moment = self._clocks.get(organisation.pk, self._at)
        for payer in _payers(organisation):
            if not self._has_price(payer, plan, at=moment):
                has_list = payer == organisation and payer.pk in self._lists
                place = f"on {self._lists[payer.pk]}" if has_list else f"for {organisation}"
                message = f"{plan} has no price {place} yet."
                raise pricing.NoPrice(message)

    def _has_price(self, payer: Organisation, plan: Plan, *, at: datetime) -> bool:
        price_list = self._lists.get(payer.pk)
        first = self._first_days.get((price_list.pk, plan.pk)) if price_list else None
        # Prices begin with a day of UTC.
        return first is not None and first <= at.astimezone(UTC).date()


def _payers(organisation: Organisation) -> Iterator[Organisation]:
    """Who gets a bill for its mailboxes: itself, and the reseller above it (`owners_of`).

    The house pays nobody for its own.
    """
    if organisation.kind == Organisation.Kind.PROVIDER:
        return
    yield organisation
    seller = pricing.seller_of(organisation)
    if seller is not None and not organisation.is_test:
        yield seller
