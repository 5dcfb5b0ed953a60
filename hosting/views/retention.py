"""How long mail stays in one mailbox: the rules in words, what they will remove, and changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor
from hosting.forms.keeping import RuleForm, WindowForm
from hosting.views import actor_of, load, sees_bills
from hosting.views.rules import HORIZON, is_trial, saved_text, tell, trial
from mailstore import cooling, policy, retention, rules, tripwire
from mailstore.engine import EngineError, engine
from mailstore.models import Mailbox, PendingChange, PurgeRun
from mailstore.quotas import byte_text

_MOST_DATES = 5


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One sentence per folder, and what goes when."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = RuleForm(initial={"folder": request.GET.get("folder", "")[:255]})
    return render(request, "hosting/retention.html", _context(actor, mailbox, rule_form=form))


def _context(actor: Actor, mailbox: Mailbox, **forms: Any) -> dict[str, Any]:
    now = timezone.now()
    try:
        outlooks = retention.outlook(mailbox=mailbox, engine=engine(), until=now + HORIZON)
    except EngineError:
        outlooks = []
    going = {mailbox.pk: sum(found.bytes for found in outlooks)}
    sees = sees_bills(actor, mailbox.organisation)
    return {
        "mailbox": mailbox,
        "folders": [_folder(found) for found in outlooks],
        "saved_text": saved_text(going, at=now) if sees else "",
        "is_unavailable": not outlooks,
        "own_rules": rules.own_rules(mailbox),
        "limits": tripwire.thresholds_of(mailbox),
        "pending": PendingChange.objects.waiting().filter(mailbox=mailbox),
        "runs": PurgeRun.objects.filter(mailbox=mailbox).order_by("-pk")[:10],
        "horizon_days": HORIZON.days,
        "rule_form": RuleForm(),
        "window_form": WindowForm(initial={"window_days": mailbox.window_days}),
        **forms,
    }


def _folder(found: retention.FolderOutlook) -> dict[str, Any]:
    by_date: dict[datetime, list[retention.Fate]] = {}
    for fate in found.fates:
        day = fate.goes_at.replace(hour=0, minute=0, second=0, microsecond=0)
        by_date.setdefault(day, []).append(fate)
    days = sorted(by_date)
    ages = [fate.message.saved_at for fate in found.fates]
    return {
        "sentence": found.decision.sentence,
        "going": len(found.fates),
        "messages": found.state.messages,
        "size_text": byte_text(found.bytes),
        "oldest": min(ages, default=None),
        "newest": max(ages, default=None),
        "dates": [{"day": day, "count": len(by_date[day])} for day in days[:_MOST_DATES]],
        "more_dates": max(0, len(days) - _MOST_DATES),
    }


@login_required
@require_POST
def set_rule(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Show what a rule would do, or set it; one that removes mail sooner waits."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = RuleForm(request.POST)
    tried: dict[str, Any] = {}
    if form.is_valid() and is_trial(request):
        tried = trial(mailbox, form, sees_bills=sees_bills(actor, mailbox.organisation))
    elif form.is_valid():
        try:
            change = cooling.ask_rule(
                actor=actor,
                target=mailbox,
                rule=form.rule,
                engine=engine(),
                wait=settings.COOLING_OFF,
                at=timezone.now(),
            )
        except policy.RuleRefused as refusal:
            form.add_error(None, str(refusal))
        except EngineError:
            form.add_error(None, _("The mail server cannot be reached. Try again in a minute."))
        else:
            return _done(request, mailbox, change)
    context = _context(actor, mailbox, rule_form=form) | tried
    return render(request, "hosting/retention.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def remove_rule(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Go back to what the layers above say."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    return _asked(
        request,
        mailbox,
        lambda: cooling.ask_rule_removal(
            actor=actor,
            target=mailbox,
            folder=request.POST.get("folder", ""),
            wait=settings.COOLING_OFF,
            at=timezone.now(),
        ),
    )


@login_required
@require_POST
def set_window(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """For how long removed mail can be brought back."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = WindowForm(request.POST)
    if not form.is_valid():
        context = _context(actor, mailbox, window_form=form)
        return render(request, "hosting/retention.html", context, status=422)
    return _asked(
        request,
        mailbox,
        lambda: cooling.ask_window(
            actor=actor,
            mailbox=mailbox,
            window_days=form.cleaned_data["window_days"],
            wait=settings.COOLING_OFF,
            at=timezone.now(),
        ),
    )


@login_required
@require_POST
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
            at=timezone.now(),
        ),
    )


def _asked(
    request: HttpRequest, mailbox: Mailbox, verb: Callable[[], PendingChange | None]
) -> HttpResponse:
    return _done(request, mailbox, verb())


def _done(request: HttpRequest, mailbox: Mailbox, change: PendingChange | None) -> HttpResponse:
    tell(request, change)
    return redirect("mailboxes:retention", uuid=mailbox.uuid)
