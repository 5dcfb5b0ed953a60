"""Plans and what they cost whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, TypedDict, cast

from hosting import pricing
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.listing import Listing
from hosting.api.problems import not_found
from hosting.models import Plan, Price, PriceList


class PriceDocument(TypedDict):
    """What a plan costs.

    Prices may be finer than the smallest unit, so they are decimal strings in the currency
    itself; a gigabyte has 10^9 bytes.
    """

    currency: str
    monthly_price: str
    included_bytes: int
    storage_price_per_gigabyte_month: str


class PlanDocument(TypedDict):
    """What can be ordered.

    `price` is what the organisation of the key pays for it itself; a key that is for others alone
    is not told.
    """

    object: Literal["plan"]
    id: str
    name: str
    protocol: Literal["pop", "imap"]
    quota_bytes: int
    quota_ceiling_bytes: int
    recoverable_window_days: int
    price: PriceDocument | None


def document(plan: Plan, price: Price | None) -> PlanDocument:
    """One plan with its price, if it has one."""
    return {
        "object": "plan",
        "id": plan.slug,
        "name": plan.name,
        "protocol": cast('Literal["pop", "imap"]', plan.protocol),
        "quota_bytes": plan.quota_bytes,
        "quota_ceiling_bytes": plan.ceiling_bytes,
        "recoverable_window_days": plan.window_days,
        "price": None if price is None else _price(price),
    }


def _price(price: Price) -> PriceDocument:
    return {
        "currency": price.currency,
        "monthly_price": f"{price.monthly_price:f}",
        "included_bytes": price.included_bytes,
        "storage_price_per_gigabyte_month": f"{price.storage_price:f}",
    }


def documents(call: Call, plans: Sequence[Plan]) -> list[PlanDocument]:
    """Plans with the prices that the organisation of the key pays now."""
    price_list = _list_of(call)
    prices = pricing.prices_at(price_list=price_list, plans=plans, at=call.at) if price_list else {}
    return [document(plan, prices.get(plan.pk)) for plan in plans]


def _list_of(call: Call) -> PriceList | None:
    if call.api_key.organisation_id not in call.actor.organisation_ids:
        # A narrow key may be in a customer's hands, who is not told what its seller pays.
        return None
    try:
        return pricing.list_for(call.api_key.organisation)
    except pricing.NoPrice:
        return None


PLANS: Listing[Plan] = Listing(
    shown=list, document=PlanDocument, sorts={"position": ("position", "pk")}
)


class Plans(Endpoint):
    """All plans on sale."""

    @operation(name="list_plans", scope="mailboxes:read", lists=PLANS)
    def get(self, call: Call) -> Answer:
        """List the plans on sale."""
        plans = Plan.objects.filter(is_on_sale=True)
        return PLANS.page(call, plans, shown=partial(documents, call))


class OnePlan(Endpoint):
    """One plan."""

    @operation(name="get_plan", scope="mailboxes:read", gives=PlanDocument)
    def get(self, call: Call, *, plan: str) -> Answer:
        """Show a plan on sale."""
        found = Plan.objects.on_sale().filter(slug=plan).first()
        if found is None:
            raise not_found()
        return Answer(document=documents(call, [found])[0])
