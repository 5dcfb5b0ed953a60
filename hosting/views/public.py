"""The pages that anybody may see."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from hosting import money, ordering, pricing
from hosting.forms.ordering import EstimateForm, limits
from hosting.models import Plan, Price
from mailstore import quotas

_TYPICAL = {"gb": 3, "devices": 2}


@require_safe
def choice(request: HttpRequest) -> HttpResponse:
    """POP or IMAP, in consequences."""
    return render(request, "hosting/choice.html", _choice_context(request))


@require_safe
def estimate(request: HttpRequest) -> HttpResponse:
    """Prices and advice for what somebody needs, as a fragment."""
    return render(request, "hosting/_estimate.html", _choice_context(request))


@require_safe
def health(_request: HttpRequest) -> HttpResponse:
    """Whether the panel answers and reaches its database."""
    Plan.objects.exists()
    return JsonResponse({"status": "ok"})


def shown(price: Price) -> dict[str, Any]:
    """A plan and what it costs, in words."""
    plan = price.plan
    return {
        "slug": plan.slug,
        "name": plan.name,
        "protocol": plan.protocol,
        "price_text": price.price_text,
        "storage_price_text": price.storage_price_text,
        "quota_text": quotas.byte_text(plan.quota_bytes),
        "ceiling_text": quotas.byte_text(plan.ceiling_bytes),
        "included_text": quotas.byte_text(price.included_bytes),
        "window_days": plan.window_days,
    }


def bill(price: Price, space: str, *, at: datetime) -> dict[str, Any]:
    """What a mailbox costs until the end of the month, and then each month.

    At most it costs what all of `space` bytes would, kept throughout.
    """
    offered = {str(step): step for step, _label in limits(price.plan)}
    limit = offered.get(space, price.plan.quota_bytes)
    most = money.text(price.monthly_cost(stored_bytes=limit), currency=price.currency)
    return {
        **shown(price),
        "limit_text": quotas.byte_text(limit),
        "most_text": most,
        "rest_text": ordering.rest_of_month_text(price, at=at),
    }


def _choice_context(request: HttpRequest) -> dict[str, Any]:
    seller_id = request.seller_id  # type: ignore[attr-defined]
    offers = ordering.offers(pricing.shop_window(seller_id), at=timezone.now())
    context: dict[str, Any] = {name: shown(price) for name, price in offers.items()}
    form = EstimateForm({**_TYPICAL, **request.GET.dict()})
    # Where the sliders stand: an answer that is no number leaves its slider at the typical one.
    context["needs"] = _TYPICAL | (form.cleaned_data if form.is_valid() else {})
    if form.is_valid() and {"pop", "imap"} <= offers.keys():
        context["estimate"] = ordering.estimate(
            pop=offers["pop"],
            imap=offers["imap"],
            gigabytes=form.cleaned_data["gb"],
            devices=form.cleaned_data["devices"],
        )
    return context
