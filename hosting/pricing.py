"""Which price holds for whom and when, and how one price follows another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, FilteredRelation, Max, Q, QuerySet

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting.models import Plan, Price, PriceList

# What the column of a price holds.
_PLACES = 6
_TOO_MUCH = Decimal(10) ** 6
# By the key of the seller, None standing for the house, and the kind of buyer.
Defaults = dict[tuple[int | None, str], PriceList]
_HOLDS = "This price holds already, or a test bill has it. Let another one follow it instead."
_DAY_TAKEN = "Another price begins on that day already. Withdraw it first."


class PriceRefused(Exception):
    """The price cannot be set so; the text says why."""


class NoPrice(Exception):
    """Nothing says what this costs."""


def list_for(organisation: Organisation) -> PriceList:
    """The list an organisation buys from; load `parent` with it. Raises `NoPrice`."""
    found = lists_for([organisation])
    if organisation.pk not in found:
        message = f"There is no price list for {organisation}."
        raise NoPrice(message)
    return found[organisation.pk]


def lists_for(organisations: Sequence[Organisation]) -> dict[int, PriceList]:
    """The lists that organisations buy from: what was agreed, or the seller's for such buyers.

    A reseller that keeps no list of its own sells at the prices of the house.
    """
    return _chosen(organisations, _lists(organisations))


def shelves_for(
    organisations: Sequence[Organisation], plans: Iterable[int]
) -> tuple[dict[int, PriceList], dict[tuple[int, int], date]]:
    """The same lists, and the first day of each plan's prices by the keys of list and plan."""
    of_these = FilteredRelation("prices", condition=Q(prices__plan__in=set(plans)))
    lists = _lists(organisations).annotate(
        sold=of_these, sold_plan=F("sold__plan_id"), sold_from=F("sold__starts_on")
    )
    rows = list(lists)
    first_days: dict[tuple[int, int], date] = {}
    for each in sorted(rows, key=lambda row: row.sold_from or date.max):
        if each.sold_plan is not None:
            first_days.setdefault((each.pk, each.sold_plan), each.sold_from)
    return _chosen(organisations, rows), first_days


def _lists(organisations: Sequence[Organisation]) -> QuerySet[Any]:
    """The lists agreed with some organisations, and those for everybody else."""
    keys = [organisation.pk for organisation in organisations]
    of_these = FilteredRelation("buyers", condition=Q(buyers__organisation__in=keys))
    lists = PriceList.objects.annotate(agreed=of_these, agreed_with=F("agreed__organisation_id"))
    wanted = lists.filter(Q(is_default=True) | Q(agreed_with__isnull=False))
    return wanted.select_related("seller")


def _chosen(organisations: Sequence[Organisation], lists: Iterable[Any]) -> dict[int, PriceList]:
    agreed, defaults = _sorted_out(lists)
    found = {}
    for organisation in organisations:
        chosen = agreed.get(organisation.pk) or _default(organisation, defaults)
        if chosen is not None:
            found[organisation.pk] = chosen
    return found


def _sorted_out(lists: Iterable[Any]) -> tuple[dict[int, PriceList], Defaults]:
    """The lists that were agreed, by the buyer's key, and those for everybody else."""
    agreed: dict[int, PriceList] = {}
    defaults: Defaults = {}
    for each in lists:
        if each.agreed_with is not None:
            agreed[each.agreed_with] = each
        if each.is_default:
            defaults[each.seller_id, each.audience] = each
    return agreed, defaults


def default_for(organisation: Organisation) -> PriceList | None:
    """The list that an organisation buys from if none is agreed with it."""
    defaults = PriceList.objects.filter(is_default=True).select_related("seller")
    by_seller: Defaults = {(each.seller_id, each.audience): each for each in defaults}
    return _default(organisation, by_seller)


def _default(organisation: Organisation, by_seller: Defaults) -> PriceList | None:
    kinds = PriceList.Audience
    if organisation.kind == Organisation.Kind.RESELLER:
        return by_seller.get((None, kinds.WHOLESALE))
    seller = seller_of(organisation)
    own = by_seller.get((seller.pk, kinds.RETAIL)) if seller else None
    return own or by_seller.get((None, kinds.RETAIL))


def seller_of(organisation: Organisation) -> Organisation | None:
    """Who bills the organisation: the reseller above it, or the house (None)."""
    parent = organisation.parent
    return parent if parent and parent.kind == Organisation.Kind.RESELLER else None


def shop_window(seller_id: int | None = None) -> PriceList | None:
    """The list that the public pages show: a reseller's own at its host, else that of the house."""
    retail = PriceList.objects.filter(audience=PriceList.Audience.RETAIL, is_default=True)
    own = retail.filter(seller=seller_id).first() if seller_id is not None else None
    return own or retail.filter(seller=None).first()


def price_at(*, price_list: PriceList, plan: Plan, at: datetime) -> Price:
    """The price that holds at a moment; raises `NoPrice`."""
    prices = prices_at(price_list=price_list, plans=[plan], at=at)
    if not prices:
        message = f"{plan} has no price on {price_list} yet."
        raise NoPrice(message)
    return prices[plan.pk]


def prices_at(
    *, price_list: PriceList, plans: Iterable[Plan | int], at: datetime
) -> dict[int, Price]:
    """The prices that hold at a moment, by the plan's key."""
    begun = Price.objects.filter(
        price_list=price_list, plan__in=list(plans), starts_on__lte=at.astimezone(UTC).date()
    )
    ordered = begun.select_related("price_list", "plan").order_by("starts_on")
    return {price.plan_id: price for price in ordered}


def successions(
    price_lists: Iterable[int], *, until: datetime
) -> dict[tuple[int, int], Sequence[Price]]:
    """All prices that begin before the day of `until`, oldest first, by list and plan."""
    found: dict[tuple[int, int], list[Price]] = {}
    begun = Price.objects.filter(
        price_list__in=set(price_lists), starts_on__lt=until.astimezone(UTC).date()
    )
    for price in begun.select_related("plan", "price_list").order_by("starts_on"):
        found.setdefault((price.price_list_id, price.plan_id), []).append(price)
    return {key: tuple(prices) for key, prices in found.items()}


def newest_key() -> int:
    """The key of the price that was set last; 0 where there is none."""
    newest: int | None = Price.objects.aggregate(key=Max("pk"))["key"]
    return newest or 0


def buyers_from(price_list: PriceList) -> QuerySet[Organisation]:
    """Who buys from a list, as `lists_for` says of each: by agreement, or for want of one."""
    agreed = Q(billing_profile__price_list=price_list)
    if not price_list.is_default:
        return Organisation.objects.filter(agreed)
    return Organisation.objects.filter(agreed | _by_default(price_list))


def buyers_by_default(price_list: PriceList) -> QuerySet[Organisation]:
    """Who buys from a list for want of an agreement, if it is the one for its kind of buyers."""
    return Organisation.objects.filter(_by_default(price_list))


def _by_default(price_list: PriceList) -> Q:
    none_agreed = Q(billing_profile=None) | Q(billing_profile__price_list=None)
    return none_agreed & _of_kind(price_list)


def _of_kind(price_list: PriceList) -> Q:
    kinds = Organisation.Kind
    if price_list.audience == PriceList.Audience.WHOLESALE:
        return Q(kind=kinds.RESELLER)
    if price_list.seller_id is not None:
        return Q(kind=kinds.CUSTOMER, parent=price_list.seller_id)
    own = PriceList.objects.filter(
        audience=PriceList.Audience.RETAIL, is_default=True, seller__isnull=False
    )
    return Q(kind=kinds.CUSTOMER) & ~Q(parent__in=own.values("seller"))


def draft(
    *,
    price_list: PriceList,
    plan: Plan,
    starts_on: date,
    monthly_price: Decimal,
    included_bytes: int = 0,
    storage_price: Decimal = Decimal(0),
    at: datetime,
) -> Price:
    """A price that could be set; nothing is written. Raises `PriceRefused`."""
    price = Price(
        price_list=price_list,
        plan=plan,
        starts_on=starts_on,
        monthly_price=monthly_price,
        included_bytes=included_bytes,
        storage_price=storage_price,
    )
    _refuse_if_impossible(price, at=at)
    return price


def succeed(
    *,
    actor: Actor,
    price_list: PriceList,
    plan: Plan,
    starts_on: date,
    monthly_price: Decimal,
    included_bytes: int = 0,
    storage_price: Decimal = Decimal(0),
    at: datetime,
) -> Price:
    """Set what a plan costs from a day on; raises `PriceRefused`.

    The first price of a plan on a list may begin on any day. Each later one begins after
    today, because what holds now was promised.
    """
    _must_sell(actor, price_list)
    price = draft(
        price_list=price_list,
        plan=plan,
        starts_on=starts_on,
        monthly_price=monthly_price,
        included_bytes=included_bytes,
        storage_price=storage_price,
        at=at,
    )
    try:
        with transaction.atomic():
            price.save()
            _record("price.set", price=price, actor=actor, at=at)
    except IntegrityError as error:
        raise PriceRefused(_DAY_TAKEN) from error
    return price


def withdraw(*, actor: Actor, price: Price, at: datetime) -> None:
    """Take back a price whose day has come on no clock; raises `PriceRefused`."""
    _must_sell(actor, price.price_list)
    if price.starts_at <= at or price.invoice_lines.exists():
        raise PriceRefused(_HOLDS)
    with transaction.atomic():
        _record("price.withdrawn", price=price, actor=actor, at=at)
        price.delete()


def _refuse_if_impossible(price: Price, *, at: datetime) -> None:
    _refuse_if_no_amount(price)
    if price.plan.protocol == "pop" and price.storage_price:
        message = "A POP mailbox has one flat price: its bill is known in advance."
        raise PriceRefused(message)
    others = Price.objects.filter(price_list=price.price_list, plan=price.plan)
    if price.starts_at <= at and others.exists():
        message = "A new price begins tomorrow at the earliest; what holds now was promised."
        raise PriceRefused(message)
    if others.filter(starts_on=price.starts_on).exists():
        raise PriceRefused(_DAY_TAKEN)


def _refuse_if_no_amount(price: Price) -> None:
    for amount in (price.monthly_price, price.storage_price):
        places = amount.as_tuple().exponent
        if not isinstance(places, int) or places < -_PLACES or amount >= _TOO_MUCH:
            message = f"A price has up to {_PLACES} decimals and is below {_TOO_MUCH}."
            raise PriceRefused(message)
    if price.monthly_price <= 0:
        message = "The price per month must be above zero."
        raise PriceRefused(message)
    if price.storage_price < 0 or price.included_bytes < 0:
        message = "What a gigabyte costs and what is included cannot be negative."
        raise PriceRefused(message)


def _must_sell(actor: Actor, price_list: PriceList) -> None:
    seller = price_list.seller
    actor.must(Capability.MANAGE_BILLS, lineage=seller.lineage if seller else ())


def _terms(price: Price) -> dict[str, dict[str, Any]]:
    """What it costs, and what it cost by the price that this one follows."""
    earlier = Price.objects.filter(
        price_list=price.price_list, plan=price.plan, starts_on__lt=price.starts_on
    )
    before = earlier.order_by("-starts_on").first()
    return {
        "monthly_price": _old_and_new("monthly_price", before, price),
        "included_bytes": {
            "old": None if before is None else before.included_bytes,
            "new": price.included_bytes,
        },
        "storage_price": _old_and_new("storage_price", before, price),
    }


def _old_and_new(name: str, before: Price | None, price: Price) -> dict[str, str | None]:
    old = None if before is None else str(getattr(before, name))
    return {"old": old, "new": str(getattr(price, name))}


def _record(kind: str, *, price: Price, actor: Actor, at: datetime) -> None:
    seller = price.price_list.seller or Organisation.objects.filter(kind="provider").first()
    if seller is None:
        return
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=seller,
        subject=("price", str(price.pk), str(price)),
        data={
            "plan": price.plan.slug,
            "starts_on": price.starts_on.isoformat(),
            **_terms(price),
            "currency": price.price_list.currency,
        },
    )
