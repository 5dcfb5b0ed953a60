"""When single messages go, found by their folder and the day on which they arrived."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from hosting.forms.keeping import ArrivalForm
from hosting.views import actor_of, load
from mailstore import fates
from mailstore.engine import EngineError, engine
from mailstore.quotas import byte_text

_MOST_SHOWN = 200


@login_required
@require_safe
def index(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The messages of one day in one folder, each with when it goes and why."""
    mailbox = load(actor_of(request), uuid)
    now = timezone.now()
    context = {
        "mailbox": mailbox,
        "stopped_text": fates.stopped_text(mailbox),
        "most": _MOST_SHOWN,
    }
    try:
        used = engine().folder_usage(user=mailbox.address)
        form = ArrivalForm(request.GET or None, folders=[each.folder for each in used])
        if form.is_valid():
            folder, day = form.cleaned_data["folder"], form.cleaned_data["day"]
            found = fates.of_arrivals(
                mailbox=mailbox, engine=engine(), folder=folder, day=day, at=now
            )
            context |= {
                "rows": [_row(fate) for fate in found[:_MOST_SHOWN]],
                "count": len(found),
                "has_asked": True,
            }
    except EngineError:
        form = ArrivalForm(request.GET or None, folders=["INBOX"])
        context["failure"] = _("The mail server cannot be reached. Try again in a minute.")
    context["form"] = form
    status = 422 if form.errors else 200
    return render(request, "hosting/message_fates.html", context, status=status)


def _row(fate: fates.MessageFate) -> dict[str, object]:
    return {
        "uid": fate.message.uid,
        "arrived_at": fate.message.saved_at,
        "size_text": byte_text(fate.message.bytes),
        "message_id": fate.message.message_id,
        "goes_at": fate.goes_at,
        "sentence": fate.sentence,
    }
