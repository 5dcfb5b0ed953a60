"""What the rule pages of mailboxes, domains and organisations do alike: try, set and remove."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.access import Actor
from hosting import clocks, itemising
from hosting.forms.keeping import RuleForm
from mailstore import checking, cooling, policy, previewing, rules
from mailstore.engine import EngineError, engine
from mailstore.models import PendingChange
from mailstore.quotas import byte_text

_MOST_DATES = 6


def ask(
    request: HttpRequest, *, actor: Actor, target: rules.Target, form: RuleForm, sees_bills: bool
) -> dict[str, Any] | None:
    """Try or set the rule of a posted form; what the page shows of a trial, None once it is set.

    What is refused stands in the form. What a trial saves is for those only who see bills.
    """
    if not form.is_valid():
        return {}
    try:
        if is_trial(request):
            is_new_folder = form.cleaned_data["is_new_folder"]
            asked = {"rule": form.rule, "is_new_folder": is_new_folder}
            title = _("What this rule would do")
            return _tried(target, asked, title=title, sees_bills=sees_bills)
        change = cooling.ask_rule(
            actor=actor,
            target=target,
            rule=form.rule,
            engine=engine(),
            wait=settings.COOLING_OFF,
            at=clocks.now_for(cooling.organisation_of(target)),
            now=timezone.now(),
            is_new_folder=form.cleaned_data["is_new_folder"],
        )
    except policy.RuleRefused as refusal:
        form.add_error(None, str(refusal))
        return {}
    except EngineError:
        form.add_error(None, _("The mail server cannot be reached. Try again in a minute."))
        return {}
    tell(request, change)
    return None


def remove(
    request: HttpRequest, *, actor: Actor, target: rules.Target, sees_bills: bool
) -> dict[str, Any] | None:
    """The same for taking the rule of a posted folder away; what is refused is told on top."""
    folder = request.POST.get("folder", "")
    try:
        if is_trial(request):
            title = _("What it would do to remove this rule")
            return _tried(target, {"without_folder": folder}, title=title, sees_bills=sees_bills)
        change = cooling.ask_rule_removal(
            actor=actor,
            target=target,
            folder=folder,
            engine=engine(),
            wait=settings.COOLING_OFF,
            at=clocks.now_for(cooling.organisation_of(target)),
            now=timezone.now(),
        )
    except policy.RuleRefused as refusal:
        messages.error(request, str(refusal))
        return {}
    except EngineError:
        messages.error(request, _("The mail server cannot be reached. Try again in a minute."))
        return {}
    tell(request, change)
    return None


def is_trial(request: HttpRequest) -> bool:
    """Whether what was asked for is only to be looked at."""
    return "try" in request.POST


def tell(request: HttpRequest, change: PendingChange | None) -> None:
    """Whether what was asked for holds already, or when it will."""
    if change is None:
        messages.success(request, _("This holds from now on."))
        return
    when = f"{change.effective_at:%-d %B %Y, %H:%M} UTC"
    text = _("This makes mail less safe, so it takes effect on %(when)s. You can call it off.")
    messages.success(request, text % {"when": when})


def _tried(
    target: rules.Target, asked: dict[str, Any], *, title: str, sees_bills: bool
) -> dict[str, Any]:
    """What goes by what is tried out, beside what goes without it. Raises `EngineError`."""
    now = timezone.now()
    until = now + timedelta(days=previewing.HORIZON_DAYS)
    as_it_is, as_it_would_be = checking.compare(
        target=target, engine=engine(), until=until, **asked
    )
    return {
        "trial": {"title": title, **compared(as_it_is, as_it_would_be)},
        "saved_text": itemising.saved_text(as_it_would_be.bytes_of, at=now) if sees_bills else "",
        "horizon_days": previewing.HORIZON_DAYS,
    }


def compared(now: previewing.Preview, then: previewing.Preview) -> dict[str, Any]:
    """Two previews as the table of a trial shows them."""
    goes_now = {folder.folder: folder.going for folder in now.folders}
    rows = folder_rows(then.folders)
    return {
        "mailboxes": then.mailboxes,
        "looked_at": then.looked_at,
        "stopped": then.stopped,
        "more": then.going - now.going,
        "folders": [{**row, "now": goes_now.get(row["name"], 0)} for row in rows],
    }


def folder_rows(folders: Sequence[previewing.FolderPreview]) -> list[dict[str, Any]]:
    """What a page says of each folder: what lies in it, and what goes on which days."""
    return [
        {
            "name": folder.folder,
            "sentence": folder.sentence,
            "messages": folder.messages,
            "going": folder.going,
            "size_text": byte_text(folder.going_bytes),
            "oldest": folder.oldest,
            "newest": folder.newest,
            "dates": [
                {"day": day, "count": folder.days[day]} for day in sorted(folder.days)[:_MOST_DATES]
            ],
            "more_dates": max(0, len(folder.days) - _MOST_DATES),
        }
        for folder in folders
    ]
