"""How long mail stays in one mailbox: the rules in words, what they will remove, and changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor
from accounts.stepping_up import needs_fresh_proof
from hosting import clocks, itemising
from hosting.forms.keeping import RuleForm, ThresholdsForm, WindowForm
from hosting.views import actor_of, load, rule_setting, sees_bills
from mailstore import alarm_letters, cooling, fates, previewing, retention, rules, thresholds
from mailstore.engine import EngineError, engine
from mailstore.models import Mailbox, PendingChange, PurgeRun


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One sentence per folder, and what goes when."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    folder = request.GET.get("folder", "")[:255]
    initial = RuleForm.initial_of(rules.own_rules(mailbox), folder)
    context = _context(actor, mailbox, rule_form=RuleForm(initial=initial))
    return render(request, "hosting/retention.html", context)


def _context(actor: Actor, mailbox: Mailbox, **forms: Any) -> dict[str, Any]:
    now = timezone.now()
    until = now + timedelta(days=previewing.HORIZON_DAYS)
    stopped_text = fates.stopped_text(mailbox)
    try:
        outlooks = retention.outlook(mailbox=mailbox, engine=engine(), until=until)
    except EngineError:
        outlooks = []
    found = previewing.of_outlooks(mailbox, outlooks, is_stopped=bool(stopped_text))
    sees = sees_bills(actor, mailbox.organisation)
    return {
        "mailbox": mailbox,
        "folders": rule_setting.folder_rows(found.folders),
        "saved_text": itemising.saved_text(found.bytes_of, at=now) if sees else "",
        "is_unavailable": not outlooks,
        "stopped_text": stopped_text,
        "own_rules": rules.own_rules(mailbox),
        "limits": thresholds.of(mailbox),
        "told_count": len(alarm_letters.outside(mailbox.organisation)),
        "pending": PendingChange.objects.waiting().reaching(mailbox),
        "runs": PurgeRun.objects.filter(mailbox=mailbox).order_by("-pk")[:10],
        "horizon_days": previewing.HORIZON_DAYS,
        "rule_form": RuleForm(),
        "window_form": WindowForm(initial={"window_days": mailbox.window_days}),
        "thresholds_form": ThresholdsForm(initial=ThresholdsForm.initial_of(mailbox)),
        **forms,
    }


@login_required
@require_POST
def set_rule(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Show what a rule would do, or set it; one that removes mail sooner waits."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = RuleForm(request.POST, kept=rules.own_rules(mailbox))
    shown = rule_setting.ask(
        request,
        actor=actor,
        target=mailbox,
        form=form,
        sees_bills=sees_bills(actor, mailbox.organisation),
    )
    if shown is None:
        return redirect("mailboxes:retention", uuid=mailbox.uuid)
    context = _context(actor, mailbox, rule_form=form) | shown
    return render(request, "hosting/retention.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def remove_rule(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Show what it would do to go back to what the layers above say, or do it."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    shown = rule_setting.remove(
        request, actor=actor, target=mailbox, sees_bills=sees_bills(actor, mailbox.organisation)
    )
    if not shown:
        return redirect("mailboxes:retention", uuid=mailbox.uuid)
    return render(request, "hosting/retention.html", _context(actor, mailbox) | shown)


@login_required
@require_POST
@needs_fresh_proof
def set_window(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """For how long removed mail can be brought back."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = WindowForm(request.POST)
    if not form.is_valid():
        context = _context(actor, mailbox, window_form=form)
        return render(request, "hosting/retention.html", context, status=422)
    days = form.cleaned_data["window_days"]
    if rule_setting.is_trial(request):
        context = _context(actor, mailbox, window_form=form) | _tried_window(mailbox, days)
        context["sees_cost"] = sees_bills(actor, mailbox.organisation)
        return render(request, "hosting/retention.html", context)
    return _asked(
        request,
        mailbox,
        lambda: cooling.ask_window(
            actor=actor,
            mailbox=mailbox,
            window_days=days,
            wait=settings.COOLING_OFF,
            at=clocks.now_for(mailbox.organisation),
            now=timezone.now(),
        ),
    )


@login_required
@require_POST
@needs_fresh_proof
def set_tripwire(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Switch the tripwire on at once, or off after the wait."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    return _asked(
        request,
        mailbox,
        lambda: cooling.ask_tripwire(
            actor=actor,
            mailbox=mailbox,
            is_on=request.POST.get("state") == "on",
            wait=settings.COOLING_OFF,
            at=clocks.now_for(mailbox.organisation),
        ),
    )


@login_required
@require_POST
@needs_fresh_proof
def set_thresholds(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Have the tripwire fire sooner at once, or later after the wait."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = ThresholdsForm(request.POST)
    if form.is_valid():
        try:
            change = cooling.ask_thresholds(
                actor=actor,
                target=mailbox,
                **form.cleaned_data,
                wait=settings.COOLING_OFF,
                at=clocks.now_for(mailbox.organisation),
            )
        except thresholds.ThresholdsRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            return _done(request, mailbox, change)
    context = _context(actor, mailbox, thresholds_form=form)
    return render(request, "hosting/retention.html", context, status=422)


def _tried_window(mailbox: Mailbox, window_days: int) -> dict[str, Any]:
    """What would be gone for good on the day on which a shorter window takes effect."""
    at = timezone.now() + settings.COOLING_OFF
    try:
        now, then = (
            previewing.of_window(mailbox=mailbox, window_days=days, engine=engine(), at=at)
            for days in (mailbox.window_days, window_days)
        )
    except EngineError:
        return {"is_unavailable": True}
    return {
        "window_trial": {
            "days": window_days,
            "at": clocks.now_for(mailbox.organisation) + settings.COOLING_OFF,
            **rule_setting.compared(now, then),
        }
    }


def _asked(
    request: HttpRequest, mailbox: Mailbox, verb: Callable[[], PendingChange | None]
) -> HttpResponse:
    return _done(request, mailbox, verb())


def _done(request: HttpRequest, mailbox: Mailbox, change: PendingChange | None) -> HttpResponse:
    rule_setting.tell(request, change)
    return redirect("mailboxes:retention", uuid=mailbox.uuid)
