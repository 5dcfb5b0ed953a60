"""The end of an organisation at its own wish, and taking that back."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import Actor
from accounts.models import Organisation
from accounts.stepping_up import needs_fresh_proof
from hosting import clocks
from hosting.forms.mailboxes import CloseAllForm
from hosting.views import actor_of
from mailstore import cooling, standing
from mailstore.models import Mailbox, Restriction


def _load(actor: Actor, uuid: UUID) -> Organisation:
    visible = Organisation.objects.visible_to(actor).select_related("parent__parent")
    return get_object_or_404(visible, uuid=uuid)


@login_required
@require_http_methods(["GET", "POST"])
@needs_fresh_proof
def close(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask, by typing its name, that the organisation be closed; every owner may call it off."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    at = clocks.now_for(organisation)
    form = CloseAllForm(request.POST or None, organisation=organisation)
    if request.method == "POST" and form.is_valid():
        try:
            cooling.ask_to_close_all(
                actor=actor, organisation=organisation, wait=settings.COOLING_OFF, at=at
            )
        except standing.Refused as refusal:
            messages.error(request, str(refusal))
        else:
            noted = _("The closing was noted. Until it begins, everything goes on as before.")
            messages.success(request, noted)
        return redirect("changes:list")
    context = {
        "organisation": organisation,
        "form": form,
        "mailbox_count": Mailbox.objects.standing().filter(organisation=organisation).count(),
        "closes_at": at + settings.COOLING_OFF,
        "grace_days": settings.CLOSING_GRACE.days,
    }
    status = 422 if form.errors else 200
    return render(request, "hosting/close_all.html", context, status=status)


@login_required
@require_POST
def keep(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Take the closing back, as long as nothing was erased."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    try:
        standing.lift(
            actor=actor,
            organisation=organisation,
            cause=Restriction.Cause.WISH,
            reason=f"{actor.name} took it back.",
            at=clocks.now_for(organisation),
            now=timezone.now(),
        )
    except standing.Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Taken back. The mailboxes follow within a minute."))
    return redirect("dashboard:overview")
