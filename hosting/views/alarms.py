"""The tripwire's page: who, from where, how much; and the two buttons."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor, Capability
from hosting.views import actor_of, may_manage
from mailstore import recovery, sign_ins, tripwire
from mailstore.engine import EngineError, engine
from mailstore.models import Alarm
from mailstore.quotas import byte_text


def _load(actor: Actor, uuid: UUID) -> Alarm:
    alarms = Alarm.objects.visible_to(actor).select_related("mailbox__organisation__parent")
    alarm = get_object_or_404(alarms, uuid=uuid)
    actor.must(Capability.SEE_MAIL, lineage=alarm.mailbox.organisation.lineage)
    return alarm


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What was removed, by which device and from where."""
    actor = actor_of(request)
    alarm = _load(actor, uuid)
    mailbox = alarm.mailbox
    labels = sign_ins.labels_of(mailbox)
    rows = [
        {
            "device": labels.get(removal.device, _("The mailbox password")),
            "service": removal.service.upper(),
            "address": removal.address,
            "folder": removal.folder,
            "messages": removal.messages,
            "size_text": byte_text(removal.bytes),
            "began_at": removal.began_at,
        }
        for removal in tripwire.removals_behind(alarm)
    ]
    context = {
        "alarm": alarm,
        "mailbox": mailbox,
        "size_text": byte_text(alarm.bytes),
        "rows": rows,
        "may_manage": may_manage(actor, mailbox),
    }
    return render(request, "hosting/alarm.html", context)


@login_required
@require_POST
def dismiss(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """It was the owner."""
    actor = actor_of(request)
    alarm = _load(actor, uuid)
    try:
        tripwire.dismiss(actor=actor, alarm=alarm, at=timezone.now())
    except tripwire.NothingToAnswer as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("The mailbox is unlocked. Nothing else has changed."))
    return redirect("mailboxes:detail", uuid=alarm.mailbox.uuid)


@login_required
@require_POST
def roll_back(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """It was not: bring all of it back, and lock the devices out."""
    actor = actor_of(request)
    alarm = _load(actor, uuid)
    try:
        tripwire.roll_back(actor=actor, alarm=alarm, engine=engine(), at=timezone.now())
    except (
        tripwire.NothingToAnswer,
        recovery.NothingToRestore,
        recovery.NotEnoughSpace,
        recovery.RestoreUnderWay,
    ) as refusal:
        messages.error(request, str(refusal))
    except EngineError:
        messages.error(request, _("The mail server cannot be reached. Try again in a minute."))
    else:
        done = _("All of it comes back. The devices that removed it can no longer sign in.")
        messages.success(request, done)
        return redirect("mailboxes:removed", uuid=alarm.mailbox.uuid)
    return redirect("alarms:detail", uuid=alarm.uuid)
