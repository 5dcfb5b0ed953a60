"""Acting in a customer: coming, leaving, and what the customer reads of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import visits
from accounts.access import Actor, Forbidden
from accounts.models import Event, Visit
from hosting import activity, history
from hosting.forms.customers import ReasonForm
from hosting.views import actor_of, look_of
from hosting.views.customers import load_customer

PAGE_LENGTH = 20
# So many changes of one visit are shown; whoever imports a list makes thousands.
_MOST_SHOWN = 20
_LONGEST_KEY = 18


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def enter(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Say why, and act in the customer from then on."""
    actor = actor_of(request)
    customer = load_customer(actor, uuid)
    if not visits.may_begin(actor, customer):
        raise Forbidden
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            visit = visits.begin(
                actor=actor,
                organisation=customer,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            )
        except visits.Refused as refusal:
            form.add_error("reason", str(refusal))
        else:
            visits.remember(request, visit)
            return redirect("dashboard:overview")
    minutes = int(visits.LENGTH.total_seconds()) // 60
    context = {"form": form, "customer": customer, "minutes": minutes}
    status = 422 if form.errors else 200
    return render(request, "hosting/visit.html", context, status=status)


@login_required
@require_POST
def leave(request: HttpRequest) -> HttpResponse:
    """Act for oneself again, and go back to where one came from."""
    visit = request.visit  # type: ignore[attr-defined]
    if visit is None:
        return redirect("dashboard:overview")
    origin = actor_of(request).origin
    visits.end(visit=visit, at=timezone.now(), origin=origin)
    back = visits.forget(request)
    messages.success(request, _("You left %(name)s.") % {"name": visit.organisation})
    return redirect(back) if back else redirect("customers:detail", uuid=visit.organisation.uuid)


@login_required
@require_safe
def visit_list(request: HttpRequest) -> HttpResponse:
    """Who came, when, why, and what they changed, newest first."""
    actor = actor_of(request)
    after = request.GET.get("after", "")
    found = Visit.objects.visible_to(actor).select_related("organisation").order_by("-pk")
    if after.isascii() and after.isdecimal() and len(after) <= _LONGEST_KEY:
        found = found.filter(pk__lt=int(after))
    page = list(found[: PAGE_LENGTH + 1])
    context = {
        "visits": _rows(page[:PAGE_LENGTH], actor=actor, house_name=look_of(request).name),
        "next_after": page[PAGE_LENGTH - 1].pk if len(page) > PAGE_LENGTH else "",
        "is_first_page": not after,
        "names_customers": bool(actor.seller_ids) or actor.is_staff,
    }
    return render(request, "hosting/visits.html", context)


def _rows(page: list[Visit], *, actor: Actor, house_name: str) -> list[dict[str, Any]]:
    changes: dict[int, list[Event]] = {visit.pk: [] for visit in page}
    for event in _changes(list(changes), actor=actor):
        changes[event.visit_id or 0].append(event)
    now = timezone.now()
    return [
        {
            "person": visit.person,
            "seller": visit.seller,
            "organisation": visit.organisation.name,
            "reason": visit.reason,
            "begun_at": visit.begun_at,
            "ended_at": visit.ended_at or (visit.ends_at if visit.ends_at <= now else None),
            "changes": history.told_of_all(changes[visit.pk][:_MOST_SHOWN], house_name=house_name),
            "has_more": len(changes[visit.pk]) > _MOST_SHOWN,
        }
        for visit in page
    ]


def _changes(keys: list[int], *, actor: Actor) -> Any:
    """The first changes of each visit that the actor may read, and one more if there are more."""
    place = Window(RowNumber(), partition_by=F("visit"), order_by="seq")
    readable = Event.objects.filter(activity.readable(actor), visit__in=keys)
    made = readable.exclude(kind__startswith="access.")
    return made.annotate(place=place).filter(place__lte=_MOST_SHOWN + 1).order_by("seq")
