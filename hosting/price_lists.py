"""Price lists: opened, named, and made the one that holds unless another was agreed.

A list's currency is that of all its prices and of all bills from it, so it is settled with the
first of them.
"""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting.models import Invoice, PriceList

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
    price_list.save()
    _record("price_list.changed", price_list, actor=actor, at=at)
    return price_list


@transaction.atomic
def make_default(*, actor: Actor, price_list: PriceList, at: datetime) -> None:
    """Let a list hold for every buyer with whom none was agreed; raises `ListRefused`.

    It takes the place of the one before.
    """
    _must_sell(actor, price_list)
    _refuse_other_currency(price_list)
    same = PriceList.objects.filter(seller=price_list.seller, audience=price_list.audience)
    same.update(is_default=False)
    same.filter(pk=price_list.pk).update(is_default=True)
    _record("price_list.made_default", price_list, actor=actor, at=at)


def is_used(price_list: PriceList) -> bool:
    """Whether anything was priced or billed in its currency."""
    return price_list.prices.exists() or price_list.invoices.exists()


def _must_sell(actor: Actor, price_list: PriceList) -> None:
    seller = price_list.seller
    actor.must(Capability.SEE_BILLS, lineage=seller.lineage if seller else ())


def _refuse_other_currency(price_list: PriceList) -> None:
    """Whoever buys from the default and has bills goes on in the same currency."""
    billed = Invoice.objects.filter(
        Q(customer__billing_profile=None) | Q(customer__billing_profile__price_list=None),
        seller=price_list.seller,
        price_list__audience=price_list.audience,
    ).exclude(currency=price_list.currency)
    found = billed.select_related("customer").first()
    if found is not None:
        message = (
            f"{found.customer} has bills in {found.currency}, so a list in "
            f"{price_list.currency} cannot hold for everybody. Agree on it with each buyer."
        )
        raise ListRefused(message)


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
