"""Which price holds for whom and when, and how one price follows another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting.models import BillingProfile, Invoice, Plan, Price, PriceList

# What the column of a price holds.
_PLACES = 6
_TOO_MUCH = Decimal(10) ** 6
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
    profiles = BillingProfile.objects.filter(organisation__in=organisations)
    agreed = profiles.exclude(price_list=None).select_related("price_list__seller")
    lists = {profile.organisation_id: profile.price_list for profile in agreed}
    by_seller = _defaults()
    found = {}
    for organisation in organisations:
        chosen = lists.get(organisation.pk) or _default(organisation, by_seller)
        if chosen is not None:
            found[organisation.pk] = chosen
    return found


def _defaults() -> dict[tuple[int | None, str], PriceList]:
    """The list of each seller for each kind of buyer."""
    lists = PriceList.objects.filter(is_default=True).select_related("seller")
    return {(each.seller_id, each.audience): each for each in lists}


def _default(
    organisation: Organisation, by_seller: Mapping[tuple[int | None, str], PriceList]
) -> PriceList | None:
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


def shop_window() -> PriceList | None:
    """The list that the public pages show."""
    lists = PriceList.objects.filter(seller=None, audience=PriceList.Audience.RETAIL)
    return lists.filter(is_default=True).first()


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
    """All prices that begin before `until`, oldest first, by the keys of list and plan."""
    found: dict[tuple[int, int], list[Price]] = {}
    begun = Price.objects.filter(
        price_list__in=set(price_lists), starts_on__lt=until.astimezone(UTC).date()
    )
    for price in begun.select_related("plan", "price_list").order_by("starts_on"):
        found.setdefault((price.price_list_id, price.plan_id), []).append(price)
    return {key: tuple(prices) for key, prices in found.items()}


def buyers_from(price_list: PriceList) -> QuerySet[Organisation]:
    """Who buys from a list, as `lists_for` says of each: by agreement, or for want of one."""
    agreed = Q(billing_profile__price_list=price_list)
    if not price_list.is_default:
        return Organisation.objects.filter(agreed)
    none_agreed = Q(billing_profile=None) | Q(billing_profile__price_list=None)
    return Organisation.objects.filter(agreed | none_agreed & _by_default(price_list))


def _by_default(price_list: PriceList) -> Q:
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
    """Take back a price whose day has not come; raises `PriceRefused`."""
    _must_sell(actor, price.price_list)
    if price.starts_at <= at:
        message = "This price holds already. Let another one follow it instead."
        raise PriceRefused(message)
    with transaction.atomic():
        _record("price.withdrawn", price=price, actor=actor, at=at)
        price.delete()


def agree(*, actor: Actor, profile: BillingProfile, price_list: PriceList | None) -> None:
    """Let an organisation buy from another list, in the same currency once it has bills.

    Raises `PriceRefused`. The profile is changed, not saved.
    """
    organisation = profile.organisation
    actor.must(Capability.SEE_BILLS, lineage=_lineage_of_seller(organisation))
    if price_list is not None:
        _refuse_list_of_others(organisation, price_list)
    after = price_list or _default(organisation, _defaults())
    billed = Invoice.objects.filter(customer=organisation).order_by("-pk").first()
    if billed is not None and after is not None and billed.currency != after.currency:
        message = (
            f"{organisation} has bills in {billed.currency}, so it cannot buy in "
            f"{after.currency}. Open another organisation for that."
        )
        raise PriceRefused(message)
    profile.price_list = price_list


def _refuse_list_of_others(organisation: Organisation, price_list: PriceList) -> None:
    """A list is for buyers of one kind, and its seller is the buyer's or the house."""
    kinds = PriceList.Audience
    is_reseller = organisation.kind == Organisation.Kind.RESELLER
    seller = seller_of(organisation)
    if price_list.audience != (kinds.WHOLESALE if is_reseller else kinds.RETAIL):
        message = f"{price_list} is for {price_list.get_audience_display().lower()}."
        raise PriceRefused(message)
    if price_list.seller_id not in {None, seller.pk if seller else None}:
        message = f"{organisation} does not buy from whoever keeps {price_list}."
        raise PriceRefused(message)


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
    actor.must(Capability.SEE_BILLS, lineage=seller.lineage if seller else ())


def _lineage_of_seller(organisation: Organisation) -> tuple[int, ...]:
    return organisation.lineage[1:]


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
            "monthly_price": str(price.monthly_price),
            "included_bytes": price.included_bytes,
            "storage_price": str(price.storage_price),
            "currency": price.price_list.currency,
        },
    )
