"""Price lists: opened, named, and made the one that holds unless another was agreed.

A list's currency is that of all its prices and of all bills from it, so it is settled with the
first of them.
"""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import agreeing, pricing
from hosting.models import Invoice, Price, PriceList

_SETTLED = ("seller_id", "audience", "currency")


class ListRefused(Exception):
    """The list cannot be so; the text says why."""


def check(*, actor: Actor, price_list: PriceList) -> None:
    """Raise `ListRefused` where `keep` would."""
    _must_sell(actor, price_list)
    try:
        price_list.clean_fields()
    except ValidationError as error:
        raise ListRefused(" ".join(error.messages)) from error
    if price_list.seller_id and price_list.audience == PriceList.Audience.WHOLESALE:
        message = "Only the house sells to resellers."
        raise ListRefused(message)
    before = PriceList.objects.filter(pk=price_list.pk).first()
    if before is None:
        return
    if is_used(before) and any(getattr(before, n) != getattr(price_list, n) for n in _SETTLED):
        message = (
            f"{before} has prices or bills already, so its seller, its buyers and its currency "
            "stay. Open another list."
        )
        raise ListRefused(message)


@transaction.atomic
def keep(*, actor: Actor, price_list: PriceList, at: datetime) -> PriceList:
    """Store a new list or a changed one; raises `ListRefused`."""
    check(actor=actor, price_list=price_list)
    is_new = price_list.pk is None
    # Whether it holds for everybody may have changed since it was read.
    price_list.save(update_fields=None if is_new else ["name", *_SETTLED])
    _record("price_list.changed", price_list, actor=actor, at=at)
    return price_list


@transaction.atomic
def make_default(*, actor: Actor, price_list: PriceList, at: datetime) -> None:
    """Let a list hold for every buyer with whom none was agreed; raises `ListRefused`.

    It takes the place of the one before.
    """
    _must_sell(actor, price_list)
    moving, before = _checked_move(price_list, at=at)
    try:
        agreeing.refuse_to_reach_back(moving, before, price_list, at=at)
    except pricing.PriceRefused as refusal:
        raise ListRefused(str(refusal)) from refusal
    _let_hold(price_list, actor=actor, at=at)


def _let_hold(price_list: PriceList, *, actor: Actor, at: datetime) -> None:
    same = PriceList.objects.filter(seller=price_list.seller, audience=price_list.audience)
    same.update(is_default=False)
    same.filter(pk=price_list.pk).update(is_default=True)
    _record("price_list.made_default", price_list, actor=actor, at=at)


@transaction.atomic
def open_own(*, actor: Actor, seller: Organisation, at: datetime) -> PriceList:
    """A list of a reseller's own, for everybody, with all prices of the house as they stand.

    So nothing costs more or less until another price follows. Raises `ListRefused`.
    """
    actor.must(Capability.MANAGE_BILLS, lineage=seller.lineage)
    Organisation.objects.select_for_update(no_key=True).get(pk=seller.pk)
    retail = PriceList.Audience.RETAIL
    if PriceList.objects.filter(seller=seller, audience=retail, is_default=True).exists():
        message = f"{seller} has a list of its own already."
        raise ListRefused(message)
    house = PriceList.objects.filter(seller=None, audience=retail, is_default=True).first()
    if house is None:
        message = "The house has no list for customers yet."
        raise ListRefused(message)
    own = PriceList(seller=seller, name=seller.name[:60], audience=retail, currency=house.currency)
    keep(actor=actor, price_list=own, at=at)
    Price.objects.bulk_create(_copy(price, own) for price in house.prices.order_by("pk"))
    # Months that wait for their bills cost the same by it.
    _checked_move(own, at=at)
    _let_hold(own, actor=actor, at=at)
    own.is_default = True
    return own


def _copy(price: Price, price_list: PriceList) -> Price:
    return Price(
        price_list=price_list,
        plan_id=price.plan_id,
        starts_on=price.starts_on,
        monthly_price=price.monthly_price,
        included_bytes=price.included_bytes,
        storage_price=price.storage_price,
    )


def is_used(price_list: PriceList) -> bool:
    """Whether anything was priced or billed in its currency."""
    return price_list.prices.exists() or price_list.invoices.exists()


def _must_sell(actor: Actor, price_list: PriceList) -> None:
    seller = price_list.seller
    actor.must(Capability.MANAGE_BILLS, lineage=seller.lineage if seller else ())


def _checked_move(
    price_list: PriceList, *, at: datetime
) -> tuple[QuerySet[Organisation], PriceList | None]:
    """Who would move to a list that holds for everybody, and from which; raises `ListRefused`.

    Whoever buys from the default goes on in the same currency, and at a price for all it has.
    Those are also customers of resellers without a list of their own, so whose bills are meant
    is said by who buys, not by who wrote them.
    """
    moving = pricing.buyers_by_default(price_list)
    billed = Invoice.objects.filter(customer__in=moving).exclude(currency=price_list.currency)
    found = billed.select_related("customer").first()
    if found is not None:
        message = (
            f"{found.customer} has bills in {found.currency}, so a list in "
            f"{price_list.currency} cannot hold for everybody. Agree on it with each buyer."
        )
        raise ListRefused(message)
    before = _holding(price_list.seller, price_list) or _holding(None, price_list)
    try:
        agreeing.refuse_to_move(moving, before, price_list, at=at)
    except pricing.PriceRefused as refusal:
        raise ListRefused(str(refusal)) from refusal
    return moving, before


def _holding(seller: Organisation | None, price_list: PriceList) -> PriceList | None:
    """The list of a seller that holds now for the buyers of another."""
    same = PriceList.objects.filter(seller=seller, audience=price_list.audience)
    return same.filter(is_default=True).first()


def _record(kind: str, price_list: PriceList, *, actor: Actor, at: datetime) -> None:
    seller = price_list.seller or Organisation.objects.filter(kind="provider").first()
    if seller is None:
        return
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=seller,
        subject=("price_list", str(price_list.pk), str(price_list)),
        data={"audience": price_list.audience, "currency": price_list.currency},
    )
