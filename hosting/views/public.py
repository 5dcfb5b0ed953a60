"""The pages that anybody may see."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from hosting import money, ordering
from hosting.forms import EstimateForm, limits
from hosting.models import Plan
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


def plans_on_sale() -> dict[str, Plan]:
    """The first plan on sale of each protocol."""
    plans: dict[str, Plan] = {}
    for plan in Plan.objects.on_sale():
        plans.setdefault(plan.protocol, plan)
    return plans


def shown_plan(plan: Plan) -> dict[str, Any]:
    """A plan in words."""
    return {
        "slug": plan.slug,
        "name": plan.name,
        "protocol": plan.protocol,
        "price_text": plan.price_text,
        "storage_price_text": plan.storage_price_text,
        "quota_text": quotas.byte_text(plan.quota_bytes),
        "ceiling_text": quotas.byte_text(plan.ceiling_bytes),
        "included_text": quotas.byte_text(plan.included_bytes),
        "window_days": plan.window_days,
    }


def bill(plan: Plan, space: str) -> dict[str, Any]:
    """What a mailbox on a plan costs a month, and at most, if all of `space` bytes were kept."""
    offered = dict(limits(plan))
    limit = int(space) if space.isdecimal() and int(space) in offered else plan.quota_bytes
    most = money.text(plan.monthly_cost(stored_bytes=limit), currency=plan.currency)
    return {**shown_plan(plan), "limit_text": quotas.byte_text(limit), "most_text": most}


def _choice_context(request: HttpRequest) -> dict[str, Any]:
    plans = plans_on_sale()
    context: dict[str, Any] = {name: shown_plan(plan) for name, plan in plans.items()}
    form = EstimateForm({**_TYPICAL, **request.GET.dict()})
    # Where the sliders stand: an answer that is no number leaves its slider at the typical one.
    context["needs"] = _TYPICAL | (form.cleaned_data if form.is_valid() else {})
    if form.is_valid() and {"pop", "imap"} <= plans.keys():
        context["estimate"] = ordering.estimate(
            pop=plans["pop"],
            imap=plans["imap"],
            gigabytes=form.cleaned_data["gb"],
            devices=form.cleaned_data["devices"],
        )
    return context
