"""What a reseller buys at and sells at, and another price of its own from a day on."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Actor, Capability
from accounts.models import Organisation
from accounts.stepping_up import changes_need_fresh_proof, needs_fresh_proof
from hosting import money, price_lists, pricing, repricing, searching
from hosting.forms.prices import PriceForm
from hosting.models import Plan, Price, PriceList
from hosting.models.plans import GIGABYTE
from hosting.views import actor_of
from hosting.views.customers import must_sell

_MOST_SHOWN = 200


@login_required
@require_safe
def prices(request: HttpRequest) -> HttpResponse:
    """To the one reseller that concerns a person, or the choice where there are more."""
    found = list(_resellers(actor_of(request))[:_MOST_SHOWN])
    if not found:
        raise Http404
    if len(found) == 1:
        return redirect("customers:prices_of", uuid=found[0].uuid)
    return render(request, "hosting/prices_choice.html", {"resellers": found})


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Each plan: bought at, sold at, and what is left between."""
    actor = actor_of(request)
    reseller = _load(actor, uuid)
    at = timezone.now()
    own = _own_list(reseller)
    bought, sold = _wholesale(reseller), own or pricing.shop_window()
    context = {
        "reseller": reseller,
        "bought": bought,
        "sold": sold,
        "is_own": own is not None,
        "may_set": actor.can(Capability.MANAGE_BILLS, lineage=reseller.lineage),
        "rows": _rows(bought, sold, at=at),
        "coming": _coming(own, at=at) if own else [],
        "agreed": list(PriceList.objects.filter(seller=reseller, is_default=False)),
    }
    return render(request, "hosting/prices.html", context)


@login_required
@require_POST
@needs_fresh_proof
def open_own(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Begin a list of one's own, with the prices of the house as they stand."""
    actor = actor_of(request)
    reseller = _load(actor, uuid)
    try:
        price_lists.open_own(actor=actor, seller=reseller, at=timezone.now())
    except price_lists.ListRefused as refusal:
        messages.error(request, str(refusal))
    else:
        opened = _("You have a list of your own. Nothing changes until you set a price.")
        messages.success(request, opened)
    return redirect("customers:prices_of", uuid=uuid)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@changes_need_fresh_proof
def set_price(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A form by GET, what it would change for whom, and the price by POST."""
    actor = actor_of(request)
    reseller = _load(actor, uuid)
    actor.must(Capability.MANAGE_BILLS, lineage=reseller.lineage)
    own, at = _own_list(reseller), timezone.now()
    if own is None:
        raise Http404
    asked = request.POST or (request.GET if "starts_on" in request.GET else None)
    form = PriceForm(asked, initial=_present(own, request.GET.get("plan", ""), at=at))
    outlook = None
    if form.is_bound and form.is_valid():
        try:
            outlook = repricing.foresee(pricing.draft(price_list=own, **form.terms, at=at))
            if request.method == "POST":
                pricing.succeed(actor=actor, price_list=own, **form.terms, at=at)
                messages.success(request, _("The price is set."))
                return redirect("customers:prices_of", uuid=uuid)
        except pricing.PriceRefused as refusal:
            form.add_error(None, str(refusal))
    context = {"reseller": reseller, "form": form, "outlook": _outlook_texts(outlook)}
    status = 422 if form.errors else 200
    return render(request, "hosting/price_set.html", context, status=status)


@login_required
@require_POST
@needs_fresh_proof
def withdraw(request: HttpRequest, uuid: UUID, price_id: int) -> HttpResponse:
    """Take back a price whose day has not come."""
    actor = actor_of(request)
    reseller = _load(actor, uuid)
    own = Price.objects.filter(price_list__seller=reseller)
    price = get_object_or_404(own.select_related("price_list__seller__parent", "plan"), pk=price_id)
    try:
        pricing.withdraw(actor=actor, price=price, at=timezone.now())
    except pricing.PriceRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Taken back."))
    return redirect("customers:prices_of", uuid=uuid)


def _resellers(actor: Actor) -> Any:
    """Those whose prices the actor's role shows."""
    resellers = Organisation.objects.filter(kind=Organisation.Kind.RESELLER)
    seeing = must_sell(actor).only_with(Capability.SEE_BILLS)
    if not seeing.is_staff:
        resellers = resellers.filter(pk__in=searching.sellers_of(seeing))
    return resellers.select_related("parent").order_by("name", "pk")


def _load(actor: Actor, uuid: UUID) -> Organisation:
    reseller: Organisation = get_object_or_404(_resellers(actor), uuid=uuid)
    return reseller


def _own_list(reseller: Organisation) -> PriceList | None:
    lists = PriceList.objects.filter(seller=reseller, audience=PriceList.Audience.RETAIL)
    return lists.filter(is_default=True).select_related("seller__parent").first()


def _wholesale(reseller: Organisation) -> PriceList | None:
    try:
        return pricing.list_for(reseller)
    except pricing.NoPrice:
        return None


def _rows(
    bought: PriceList | None, sold: PriceList | None, *, at: datetime
) -> list[dict[str, Any]]:
    """Every plan that is on sale, or has a price."""
    plans = list(Plan.objects.order_by("pk"))
    buys = pricing.prices_at(price_list=bought, plans=plans, at=at) if bought else {}
    sells = pricing.prices_at(price_list=sold, plans=plans, at=at) if sold else {}
    return [
        {
            "plan": plan,
            "buys": buys.get(plan.pk),
            "sells": sells.get(plan.pk),
            **_between(buys.get(plan.pk), sells.get(plan.pk)),
        }
        for plan in plans
        if plan.pk in buys or plan.pk in sells
    ]


def _between(buys: Price | None, sells: Price | None) -> dict[str, Any]:
    """What is left of a mailbox-month and of a GB-month; nothing across currencies."""
    if buys is None or sells is None or buys.currency != sells.currency:
        return {}
    left = sells.monthly_price - buys.monthly_price
    storage = sells.storage_price - buys.storage_price
    return {
        "left_text": money.price_text(left, currency=buys.currency),
        "left_storage_text": (
            money.price_text(storage, currency=buys.currency) if sells.storage_price else ""
        ),
        "is_loss": left < 0 or storage < 0,
    }


def _coming(own: PriceList, *, at: datetime) -> list[Price]:
    """What was set and holds on a later day."""
    later = own.prices.filter(starts_on__gt=at.date()).select_related("plan", "price_list")
    return list(later.order_by("starts_on", "plan"))


def _present(own: PriceList, slug: str, *, at: datetime) -> dict[str, Any]:
    """What holds now, to begin with."""
    plan = Plan.objects.filter(slug=slug[:50]).first()
    price = pricing.prices_at(price_list=own, plans=[plan], at=at).get(plan.pk) if plan else None
    if price is None:
        return {"plan": slug}
    return {
        "plan": slug,
        "monthly_price": f"{price.monthly_price.normalize():f}",
        "gigabytes": f"{(Decimal(price.included_bytes) / GIGABYTE).normalize():f}",
        "storage_price": f"{price.storage_price.normalize():f}",
    }


def _outlook_texts(outlook: repricing.Outlook | None) -> dict[str, Any] | None:
    if outlook is None:
        return None
    return {
        "price": outlook.price,
        "mailboxes": outlook.mailboxes,
        "customers": outlook.customers,
        "before_text": outlook.text(outlook.before),
        "after_text": outlook.text(outlook.after),
        "most_affected": [
            {
                "name": each.organisation.name,
                "mailboxes": each.mailboxes,
                "before_text": outlook.text(each.before),
                "after_text": outlook.text(each.after),
            }
            for each in outlook.most_affected
        ],
    }
