"""Retention rules of an organisation or a domain: what holds below, and what a rule would do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import forecasting, itemising
from hosting.forms.keeping import RuleForm
from hosting.views import actor_of, sees_bills
from mailstore import cooling, policy, previewing, rules
from mailstore.engine import EngineError, engine
from mailstore.models import Domain, PendingChange
from mailstore.quotas import byte_text

# How far a preview looks ahead, and how many mailboxes a page asks.
HORIZON = timedelta(days=60)
_MOST_ASKED = 200
_MOST_LISTED = 200
_MOST_DATES = 6

Scope = Organisation | Domain


@login_required
@require_safe
def scopes(request: HttpRequest) -> HttpResponse:
    """Every organisation and domain that may have rules of its own."""
    actor = actor_of(request)
    context = {
        "organisations": Organisation.objects.visible_to(actor).order_by("name")[:_MOST_LISTED],
        "domains": Domain.objects.visible_to(actor).order_by("name")[:_MOST_LISTED],
    }
    return render(request, "hosting/rule_scopes.html", context)


@login_required
@require_safe
def detail(request: HttpRequest, kind: str, uuid: UUID) -> HttpResponse:
    """The rules of one place."""
    actor = actor_of(request)
    scope = _load(actor, kind, uuid)
    context = _context(actor, scope, kind=kind, form=RuleForm())
    return render(request, "hosting/rules.html", context)


@login_required
@require_POST
def set_rule(request: HttpRequest, kind: str, uuid: UUID) -> HttpResponse:
    """Show what a rule would do, or set it; one that removes mail sooner waits."""
    actor = actor_of(request)
    scope = _load(actor, kind, uuid)
    form = RuleForm(request.POST)
    tried: dict[str, Any] = {}
    if form.is_valid() and is_trial(request):
        tried = trial(scope, form, sees_bills=sees_bills(actor, _owner(scope)))
    elif form.is_valid():
        try:
            change = cooling.ask_rule(
                actor=actor,
                target=scope,
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
            tell(request, change)
            return redirect("rules:detail", kind=kind, uuid=uuid)
    context = _context(actor, scope, kind=kind, form=form) | tried
    return render(request, "hosting/rules.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def remove_rule(request: HttpRequest, kind: str, uuid: UUID) -> HttpResponse:
    """Go back to what the layers above say."""
    actor = actor_of(request)
    change = cooling.ask_rule_removal(
        actor=actor,
        target=_load(actor, kind, uuid),
        folder=request.POST.get("folder", ""),
        wait=settings.COOLING_OFF,
        at=timezone.now(),
    )
    tell(request, change)
    return redirect("rules:detail", kind=kind, uuid=uuid)


def tell(request: HttpRequest, change: PendingChange | None) -> None:
    """Whether what was asked for holds already, or when it will."""
    if change is None:
        messages.success(request, _("This holds from now on."))
        return
    when = f"{change.effective_at:%-d %B %Y, %H:%M} UTC"
    text = _("This makes mail less safe, so it takes effect on %(when)s. You can call it off.")
    messages.success(request, text % {"when": when})


def is_trial(request: HttpRequest) -> bool:
    """Whether the rule in the form is only to be looked at."""
    return "try" in request.POST


def trial(target: rules.Target, form: RuleForm, *, sees_bills: bool) -> dict[str, Any]:
    """Context for what the rule in a valid form would remove, beside what goes without it.

    What that saves is for those only who see bills.
    """
    now = timezone.now()
    until = now + HORIZON
    try:
        rules.check_bounds(target=target, rule=form.rule)
        found = [
            previewing.preview(
                target=target, engine=engine(), until=until, rule=rule, most=_MOST_ASKED
            )
            for rule in (None, form.rule)
        ]
    except policy.RuleRefused as refusal:
        form.add_error(None, str(refusal))
        return {}
    except EngineError:
        form.add_error(None, _("The mail server cannot be reached. Try again in a minute."))
        return {}
    return {
        "trial": _trial_rows(*found),
        "saved_text": saved_text(found[1].bytes_of, at=now) if sees_bills else "",
        "horizon_days": HORIZON.days,
    }


def saved_text(bytes_of: Mapping[int, int], *, at: datetime) -> str:
    """What a month costs less at today's prices without so much of each mailbox."""
    going = {mailbox: size for mailbox, size in bytes_of.items() if size}
    return itemising.savings_text(forecasting.monthly_savings(going, at=at))


def _trial_rows(now: previewing.Preview, then: previewing.Preview) -> dict[str, Any]:
    goes_now = {folder.folder: folder.going for folder in now.folders}
    return {
        "mailboxes": then.mailboxes,
        "looked_at": then.looked_at,
        "more": then.going - now.going,
        "folders": [
            {
                "name": folder.folder,
                "sentence": folder.sentence,
                "messages": folder.messages,
                "now": goes_now.get(folder.folder, 0),
                "then": folder.going,
                "size_text": byte_text(folder.going_bytes),
                "oldest": folder.oldest,
                "newest": folder.newest,
                "dates": [
                    {"day": day, "count": folder.days[day]}
                    for day in sorted(folder.days)[:_MOST_DATES]
                ],
                "more_dates": max(0, len(folder.days) - _MOST_DATES),
            }
            for folder in then.folders
        ],
    }


def _load(actor: Actor, kind: str, uuid: UUID) -> Scope:
    """The place if the actor may know of it; a stranger's answers like an absent one."""
    if kind == "domain":
        domains = Domain.objects.visible_to(actor).select_related("organisation__parent")
        return get_object_or_404(domains, uuid=uuid)
    organisations = Organisation.objects.visible_to(actor).select_related("parent")
    return get_object_or_404(organisations, uuid=uuid)


def _owner(scope: Scope) -> Organisation:
    return scope.organisation if isinstance(scope, Domain) else scope


def _context(actor: Actor, scope: Scope, *, kind: str, form: RuleForm) -> dict[str, Any]:
    organisation = _owner(scope)
    place = {"domain": scope} if isinstance(scope, Domain) else {"organisation": scope}
    waiting = PendingChange.objects.waiting()
    if not isinstance(scope, Domain):
        waiting = waiting.filter(domain=None, mailbox=None)
    return {
        "scope": scope,
        "kind": kind,
        "own_rules": rules.own_rules(scope),
        "above": rules.above(scope),
        "mailbox_count": rules.mailboxes_under(scope).count(),
        "pending": waiting.filter(**place),
        "may_manage": actor.can(Capability.MANAGE_MAIL, lineage=organisation.lineage),
        "rule_form": form,
    }
