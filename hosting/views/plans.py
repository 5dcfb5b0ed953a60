"""Another plan or protocol for a mailbox: the choices, one of them in detail, and the way back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Actor
from hosting import changing, clocks, comparing, presenting
from hosting.changing import Proposal
from hosting.forms.ordering import ChangePlanForm
from hosting.models import Plan
from hosting.views import actor_of, load, may_manage, sees_price
from mailstore.engine import EngineError, engine
from mailstore.models import Mailbox
from mailstore.quotas import byte_text

_MOST_DATES = 5


@login_required
@require_safe
def choose(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """POP and IMAP side by side, each as it would be for this mailbox."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    context = {
        "mailbox": mailbox,
        "may_manage": may_manage(actor, mailbox),
        "sees_price": sees_price(actor, mailbox),
        "space": presenting.spaces([mailbox])[mailbox.address],
        "device_count": max(1, mailbox.app_passwords.filter(revoked_at__isnull=True).count()),
        **_choices(mailbox),
    }
    return render(request, "hosting/plans.html", context)


def _choices(mailbox: Mailbox) -> dict[str, Any]:
    try:
        found = comparing.options(mailbox, at=clocks.now_for(mailbox.organisation))
    except comparing.REFUSALS as refusal:
        return {"columns": [], "refusal": str(refusal)}
    return {"columns": found.items()}


@login_required
@require_http_methods(["GET", "POST"])
def change(request: HttpRequest, uuid: UUID, slug: str) -> HttpResponse:
    """What one plan would change and cost, and the button that does it."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    plan = get_object_or_404(Plan, slug=slug)
    at = timezone.now()
    try:
        proposal = changing.propose(mailbox=mailbox, plan=plan, at=at)
        waits = proposal.settled.effect.waits
        form = ChangePlanForm(
            request.POST if request.method == "POST" else None, mailbox=mailbox, waits=waits
        )
        if request.method == "POST" and form.is_valid():
            _make(actor, mailbox, plan, form)
            messages.success(request, _done_text(proposal))
            return redirect("mailboxes:detail", uuid=mailbox.uuid)
    except comparing.REFUSALS as refusal:
        context = {"mailbox": mailbox, "plan": plan, "refusal": str(refusal)}
        return render(request, "hosting/change_plan.html", context, status=409)
    has_price = sees_price(actor, mailbox)
    context = _proposal_context(proposal, form=form, has_price=has_price) | {
        "may_manage": may_manage(actor, mailbox),
        "sees_price": has_price,
    }
    status = 422 if form.errors else 200
    return render(request, "hosting/change_plan.html", context, status=status)


def _make(actor: Actor, mailbox: Mailbox, plan: Plan, form: ChangePlanForm) -> None:
    changing.change(
        actor=actor,
        mailbox=mailbox,
        plan=plan,
        gathers=form.cleaned_data["gathers"],
        widens=form.cleaned_data["widens"],
        wait=settings.COOLING_OFF,
        at=timezone.now(),
    )


def _done_text(proposal: Proposal) -> str:
    settled = proposal.settled
    if not settled.effect.is_switch:
        return _("The plan is %(plan)s from now on.") % {"plan": settled.plan}
    return _("Mail is read by %(protocol)s from now on. Set up your mail programs anew.") % {
        "protocol": settled.plan.get_protocol_display()
    }


def _proposal_context(
    proposal: Proposal, *, form: ChangePlanForm, has_price: bool
) -> dict[str, Any]:
    settled = proposal.settled
    mailbox = settled.contract.mailbox
    found = comparing.differences(proposal, wait=settings.COOLING_OFF, has_price=has_price)
    devices = comparing.devices(mailbox, protocol=settled.plan.protocol)
    return {
        "mailbox": mailbox,
        "proposal": proposal,
        "settled": settled,
        "plan": settled.plan,
        "changed": [one for one in found if one.is_change],
        "same": [one for one in found if not one.is_change],
        "devices": devices if settled.effect.is_switch else [],
        "may_widen": any(device.is_shut_out for device in devices),
        "undo_until": proposal.at + settings.COOLING_OFF,
        "form": form,
        **_letters(proposal),
    }


def _letters(proposal: Proposal) -> dict[str, Any]:
    try:
        found = comparing.letters(proposal, engine=engine(), wait=settings.COOLING_OFF)
    except EngineError:
        return {"letters": None}
    going = [
        {
            "folder": one.folder,
            "size_text": byte_text(one.folder.going_bytes),
            "dates": list(one.days.items())[:_MOST_DATES],
            "more_dates": max(0, len(one.days) - _MOST_DATES),
        }
        for one in found.going
    ]
    return {
        "letters": found,
        "hidden": presenting.folders(found.hidden),
        "going": going,
        "horizon_days": comparing.HORIZON.days,
    }


@login_required
@require_POST
def take_back(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Go back to the plan before the last change."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    try:
        made = changing.take_back(
            actor=actor, mailbox=mailbox, wait=settings.COOLING_OFF, at=timezone.now()
        )
    except comparing.REFUSALS as refusal:
        messages.error(request, str(refusal))
    else:
        done = _("The mailbox is back on %(plan)s, with everything in it.")
        messages.success(request, done % {"plan": made.new_plan})
    return redirect("mailboxes:detail", uuid=mailbox.uuid)
