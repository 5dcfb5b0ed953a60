"""The devices of a mailbox: who signs in, "was this you?", copies that stay, and the history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor
from hosting import device_lines, programs
from hosting.forms.devices import CopiesForm, HistoryForm
from hosting.itemising import saved_text
from hosting.views import actor_of, load, may_manage, sees_price
from mailstore import copies, devices
from mailstore.engine import EngineError, engine
from mailstore.models import Device, Mailbox, Place, SignIn
from mailstore.quotas import byte_text

PAGE_LENGTH = 50
_LONGEST_KEY = 18
# So many questions at a time; the others come as these are answered.
_MOST_ASKED = 3


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Each program that signs in, the last seen first."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    at = timezone.now()
    found = Device.objects.filter(mailbox=mailbox)
    page, after = _page(found, moment="last_at", after=request.GET.get("after", ""))
    rows = device_lines.rows(mailbox, page, at=at)
    asked = [row for row in rows if row["asked"]]
    context = {
        "mailbox": mailbox,
        "may_manage": may_manage(actor, mailbox),
        "devices": rows,
        "asked": asked[:_MOST_ASKED],
        "more_asked": len(asked[_MOST_ASKED:]),
        "next_url": f"?{urlencode({'after': after})}" if after else "",
        "is_first_page": "after" not in request.GET,
        "are_letters_on": devices.are_letters_on(mailbox),
        "history_days": settings.SIGN_IN_HISTORY.days,
        "failed_count": device_lines.failed_count(mailbox, since=at - settings.SIGN_IN_HISTORY),
        **_copies(actor, mailbox, page, at=at),
    }
    return render(request, "hosting/devices.html", context)


@login_required
@require_safe
def history(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Sign-ins and failed tries, hour by hour, the last first."""
    mailbox = load(actor_of(request), uuid)
    names = device_lines.names_of(mailbox)
    form = HistoryForm(request.GET or None, names=names)
    form.is_valid()
    found = SignIn.objects.filter(form.condition, mailbox=mailbox)
    page, after = _page(found, moment="hour_at", after=request.GET.get("after", ""))
    asked = {name: value for name, value in request.GET.items() if name != "after"}
    context = {
        "mailbox": mailbox,
        "form": form,
        "rows": device_lines.history(page, names),
        "next_url": "?" + urlencode({**asked, "after": after}) if after else "",
        "first_url": "?" + urlencode(asked),
        "is_first_page": "after" not in request.GET,
        "is_filtered": form.is_filtered,
        "history_days": settings.SIGN_IN_HISTORY.days,
    }
    return render(request, "hosting/sign_ins.html", context)


@login_required
@require_POST
def confirm(request: HttpRequest, uuid: UUID, device_uuid: UUID) -> HttpResponse:
    """It was the owner; what came after the page was made is asked again."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    device = _load(mailbox, device_uuid)
    newest = _whole(request.POST.get("newest", ""))
    seen = Place.objects.filter(device=device, pk=newest).first() if newest else None
    devices.confirm(actor=actor, device=device, seen=seen, at=timezone.now())
    messages.success(request, _("Noted: you know this place."))
    return redirect("mailboxes:devices", uuid=uuid)


@login_required
@require_POST
def lock_out(request: HttpRequest, uuid: UUID, device_uuid: UUID) -> HttpResponse:
    """It was somebody else: nothing signs in with that any more."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    found = devices.lock_out(actor=actor, device=_load(mailbox, device_uuid), at=timezone.now())
    messages.success(request, _("It is locked out, and its open sessions end."))
    if found.removed:
        text = _(
            "It removed messages since %(since)s UTC: %(count)s. Roll the mailbox back to that "
            "moment to get them again."
        )
        since = f"{found.since.astimezone(UTC):%-d %B %Y, %H:%M}"
        messages.warning(request, text % {"count": found.removed, "since": since})
        return redirect("mailboxes:removed", uuid=uuid)
    return redirect("mailboxes:devices", uuid=uuid)


@login_required
@require_POST
def leave_copies(request: HttpRequest, uuid: UUID, device_uuid: UUID) -> HttpResponse:
    """The copies stay, and nobody asks again until the mailbox has grown much."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    copies.leave(actor=actor, device=_load(mailbox, device_uuid), at=timezone.now())
    messages.success(request, _("The copies stay. You are asked again once there is much more."))
    return redirect("mailboxes:devices", uuid=uuid)


@login_required
@require_POST
def letters(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Letters about devices, on or off for this mailbox."""
    actor = actor_of(request)
    is_on = request.POST.get("state") == "on"
    devices.switch_letters(actor=actor, mailbox=load(actor, uuid), is_on=is_on, at=timezone.now())
    done = _("You get letters about devices.") if is_on else _("No more letters about that.")
    messages.success(request, done)
    return redirect("mailboxes:devices", uuid=uuid)


def _load(mailbox: Mailbox, uuid: UUID) -> Device:
    found = Device.objects.filter(mailbox=mailbox)
    return get_object_or_404(found.select_related("mailbox__organisation__parent"), uuid=uuid)


def _copies(actor: Actor, mailbox: Mailbox, page: list[Device], *, at: datetime) -> dict[str, Any]:
    """Context for the question what is to become of copies, if there is one."""
    keeping = copies.keepers(mailbox=mailbox, devices=page, at=at)
    if not keeping:
        return {"keepers": []}
    names = device_lines.names_of(mailbox)
    context = {
        "keepers": [{"uuid": d.uuid, "name": names.get(d.credential, "")} for d in keeping],
        "copies_form": CopiesForm(),
        "programs": programs.copy_settings(),
    }
    try:
        found = copies.measured(mailbox=mailbox, devices=keeping, engine=engine())
    except EngineError:
        return context
    costs = saved_text({mailbox.pk: found.bytes}, at=at) if sees_price(actor, mailbox) else ""
    return context | {
        "copies": found,
        "copies_text": byte_text(found.bytes),
        "copies_cost_text": costs,
    }


def _page(found: QuerySet[Any], *, moment: str, after: str) -> tuple[list[Any], str]:
    """One page of what goes by a moment and the key, the last first, and where to go on."""
    place = _place(after)
    if place is not None:
        at, key = place
        found = found.filter(Q(**{f"{moment}__lt": at}) | Q(**{moment: at, "pk__lt": key}))
    page = list(found.order_by(f"-{moment}", "-pk")[: PAGE_LENGTH + 1])
    if len(page) <= PAGE_LENGTH:
        return page, ""
    last = page[PAGE_LENGTH - 1]
    micros = int(getattr(last, moment).timestamp()) * 10**6 + getattr(last, moment).microsecond
    return page[:PAGE_LENGTH], f"{micros}-{last.pk}"


def _place(after: str) -> tuple[datetime, int] | None:
    """A place as an address names it; None for what is none."""
    micros, _dash, key = after.partition("-")
    if not (_whole(micros) and _whole(key)):
        return None
    try:
        at = datetime.fromtimestamp(int(micros) // 10**6, tz=UTC)
    except (OverflowError, ValueError):
        return None
    return at.replace(microsecond=int(micros) % 10**6), int(key)


def _whole(text: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= _LONGEST_KEY
    return int(text) if is_number else 0
