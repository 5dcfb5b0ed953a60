"""Removed mail: find it, bring it back, roll the mailbox back, or have it destroyed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from accounts.access import Actor
from accounts.stepping_up import needs_fresh_proof
from hosting import clocks
from hosting.forms.keeping import MomentForm, RemovedSearchForm
from hosting.forms.mailboxes import AddressForm
from hosting.views import actor_of, load, may_manage
from mailstore import cooling, holding, recovery
from mailstore.engine import EngineError, RemovedSearch, engine
from mailstore.models import Mailbox, RestoreRun
from mailstore.quotas import byte_text

MOST_SHOWN = 200
# RFC 3501 has uids of 32 bits.
_HIGHEST_UID = 2**32 - 1
_MOST_DIGITS = 10
_REFUSALS = (recovery.NothingToRestore, recovery.NotEnoughSpace, recovery.RestoreUnderWay)


@login_required
@require_safe
def removed(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What can be brought back, the last removed first."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = RemovedSearchForm(request.GET or None)
    form.is_valid()
    context = {
        "mailbox": mailbox,
        "may_manage": may_manage(actor, mailbox),
        "form": form,
        "moment_form": MomentForm(),
        "run": _last_run(mailbox),
        **_found(mailbox, form.search, request=request),
    }
    return render(request, "hosting/removed.html", context)


def _found(
    mailbox: Mailbox, search: RemovedSearch, *, request: HttpRequest | None = None
) -> dict[str, Any]:
    number = _page_number(request)
    skip = (number - 1) * MOST_SHOWN
    try:
        found = recovery.listing(
            mailbox=mailbox, engine=engine(), search=search, most=MOST_SHOWN, skip=skip
        )
    except EngineError:
        return {"is_unavailable": True, "rows": []}
    rows = [
        {
            "value": f"{one.message.uid}/{one.message.folder}",
            "subject": one.message.subject or _("(no subject)"),
            "sender": one.message.sender,
            "folder": one.message.folder,
            "size_text": byte_text(one.message.bytes),
            "removed_at": one.message.removed_at,
            "until": one.until,
            "how": one.origin.text,
        }
        for one in found.rows
    ]
    has_more = found.total > skip + MOST_SHOWN
    return {
        "rows": rows,
        "found_count": found.total,
        "later_url": _page_url(request, number - 1) if number > 1 else "",
        "earlier_url": _page_url(request, number + 1) if has_more else "",
    }


def _page_number(request: HttpRequest | None) -> int:
    asked = request.GET.get("page", "") if request else ""
    is_number = asked.isascii() and asked.isdecimal() and len(asked) <= _MOST_DIGITS
    return max(1, int(asked)) if is_number else 1


def _page_url(request: HttpRequest | None, number: int) -> str:
    asked = request.GET.copy() if request else QueryDict(mutable=True)
    asked["page"] = str(number)
    return f"?{asked.urlencode()}"


def _last_run(mailbox: Mailbox) -> RestoreRun | None:
    return RestoreRun.objects.filter(mailbox=mailbox).order_by("-pk").first()


@login_required
@require_safe
def progress(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """How far the last restore is, as a fragment; at its end the list is another one."""
    mailbox = load(actor_of(request), uuid)
    run = _last_run(mailbox)
    if request.htmx and run is not None and run.finished_at:  # type: ignore[attr-defined]
        return HttpResponseClientRefresh()
    return render(request, "hosting/_restore.html", {"mailbox": mailbox, "run": run})


@login_required
@require_POST
def restore(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Bring the ticked messages back."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    chosen = [_chosen(value) for value in request.POST.getlist("message")]
    return _begin(
        request,
        mailbox,
        lambda: recovery.restore(
            actor=actor,
            mailbox=mailbox,
            engine=engine(),
            chosen=[one for one in chosen if one is not None],
            at=timezone.now(),
        ),
    )


def _chosen(value: str) -> tuple[str, int] | None:
    uid, _slash, folder = value.partition("/")
    is_number = uid.isascii() and uid.isdecimal() and len(uid) <= _MOST_DIGITS
    return (folder, int(uid)) if is_number and 0 < int(uid) <= _HIGHEST_UID else None


@login_required
@require_POST
def roll_back(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Bring back all that was removed since a moment."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = MomentForm(request.POST)
    if not form.is_valid():
        context = {
            "mailbox": mailbox,
            "may_manage": may_manage(actor, mailbox),
            "form": RemovedSearchForm(),
            "moment_form": form,
        }
        found = _found(mailbox, RemovedSearch())
        return render(request, "hosting/removed.html", {**context, **found}, status=422)
    moment = form.cleaned_data["moment"]
    return _begin(
        request,
        mailbox,
        lambda: recovery.roll_back(
            actor=actor, mailbox=mailbox, engine=engine(), moment=moment, at=timezone.now()
        ),
    )


def _begin(request: HttpRequest, mailbox: Mailbox, verb: Callable[[], RestoreRun]) -> HttpResponse:
    try:
        run = verb()
    except _REFUSALS as refusal:
        messages.error(request, str(refusal))
    except EngineError:
        messages.error(request, _("The mail server cannot be reached. Try again in a minute."))
    else:
        count = sum(len(batch.items) for batch in run.batches.all())
        text = ngettext("%(count)s message comes back.", "%(count)s messages come back.", count)
        messages.success(request, text % {"count": count})
    return redirect("mailboxes:removed", uuid=mailbox.uuid)


@login_required
@require_http_methods(["GET", "POST"])
@needs_fresh_proof
def empty(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Have removed mail destroyed, all or what is ticked, after the cooling-off.

    The list sends what is ticked, and then the address is asked.
    """
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    ticked = request.POST.getlist("message")
    if "some" in request.POST and not ticked:
        messages.error(request, _("Nothing is ticked."))
        return redirect("mailboxes:removed", uuid=mailbox.uuid)
    is_confirmed = request.method == "POST" and ("address" in request.POST or not ticked)
    form = AddressForm(request.POST if is_confirmed else None, mailbox=mailbox)
    if is_confirmed and form.is_valid():
        try:
            _ask_to_destroy(actor, mailbox, ticked)
        except (holding.Stopped, recovery.NothingToRestore) as refusal:
            form.add_error(None, str(refusal))
        except EngineError:
            form.add_error(None, _("The mail server cannot be reached. Try again in a minute."))
        else:
            return redirect("changes:list")
    context = {"mailbox": mailbox, "form": form, "ticked": ticked, "wait_hours": _wait_hours()}
    return render(request, "hosting/empty_store.html", context, status=422 if form.errors else 200)


def _ask_to_destroy(actor: Actor, mailbox: Mailbox, ticked: list[str]) -> None:
    wait, at = settings.COOLING_OFF, clocks.now_for(mailbox.organisation)
    if not ticked:
        cooling.ask_to_empty_store(
            actor=actor, mailbox=mailbox, until=timezone.now(), wait=wait, at=at
        )
        return
    chosen = [one for one in map(_chosen, ticked) if one is not None]
    cooling.ask_to_destroy(
        actor=actor, mailbox=mailbox, engine=engine(), chosen=chosen, wait=wait, at=at
    )


def _wait_hours() -> int:
    return int(settings.COOLING_OFF.total_seconds() // 3600)
