"""Changes that cool off: what is on its way, and the button that calls it off."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Capability
from accounts.models import Organisation
from hosting import clocks
from hosting.views import actor_of
from mailstore import cooling
from mailstore.models import PendingChange

MOST_SHOWN = 100


@login_required
@require_safe
def change_list(request: HttpRequest) -> HttpResponse:
    """What waits, soonest first; then what became of the last ones."""
    actor = actor_of(request)
    visible = PendingChange.objects.visible_to(actor).select_related("mailbox")
    closing = actor.only_with(Capability.MANAGE_PEOPLE)
    own = Organisation.objects.filter(pk__in=closing.organisation_ids, parent__isnull=False)
    context = {
        "closable": own.exclude(state=Organisation.State.CLOSED).order_by("name"),
        "waiting": visible.waiting().order_by("effective_at")[:MOST_SHOWN],
        "ended": visible.exclude(ended_at=None).order_by("-ended_at")[:20],
    }
    return render(request, "hosting/changes.html", context)


@login_required
@require_POST
def call_off(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Stop a change before it is made."""
    actor = actor_of(request)
    changes = PendingChange.objects.visible_to(actor).select_related("organisation__parent")
    change = get_object_or_404(changes, uuid=uuid)
    try:
        cooling.call_off(actor=actor, change=change, at=clocks.now_for(change.organisation))
    except cooling.NotWaiting as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Called off. Everything stays as it is."))
    return redirect("changes:list")
