"""Everything that happened: to be read, filtered, taken away and proved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts import checkpoints
from accounts.access import Actor, Capability, Forbidden
from accounts.models import Organisation, OwnChain
from hosting import activity, history
from hosting.activity import Reader, Wanted, files
from hosting.views import actor_of, look_of

_MOST_SHOWN = 10
# Whoever has more than these finds one by its own page.
_MOST_TO_CHOOSE = 50


@login_required
@require_safe
@vary_on_headers("HX-Request")
def home(request: HttpRequest) -> HttpResponse:
    """What happened, newest first, by what was asked for."""
    actor, wanted = actor_of(request), Wanted.of(request.GET.dict())
    reader = _reader(request)
    is_of_many = not (wanted.organisation or wanted.mailbox) and _reads_several(actor)
    events, last = activity.page(
        activity.found(actor, wanted),
        after=request.GET.get("after", ""),
        looks_back_from=timezone.now() if is_of_many else None,
    )
    context: dict[str, Any] = {
        "lines": [reader.line(event) for event in events],
        "wanted": wanted,
        "names_organisations": is_of_many,
        "next_url": f"?{wanted.query(after=last)}" if last else "",
        "first_url": f"?{wanted.query()}",
        "is_first_page": "after" not in request.GET,
    }
    if request.htmx and not request.htmx.history_restore_request:  # type: ignore[attr-defined]
        return render(request, "hosting/_activity_lines.html", context)
    context |= {
        "whos": [(value, name) for value, (name, _condition) in activity.WHO.items()],
        "whats": [(value, name) for value, (name, _kinds) in history.GROUPS.items()],
        "organisations": _choices(actor),
        "query": wanted.query(),
        "chains": _chains(actor, wanted),
        "checkpoint": checkpoints.last(),
    }
    return render(request, "hosting/activity.html", context)


@login_required
@require_safe
def as_csv(request: HttpRequest) -> HttpResponseBase:
    """What was asked for, as a table."""
    events = activity.found(actor_of(request), Wanted.of(request.GET.dict()))
    lines = files.csv_lines(events, reader=_reader(request))
    return _file(lines, name="activity.csv", content_type="text/csv; charset=utf-8")


@login_required
@require_safe
def as_json_lines(request: HttpRequest) -> HttpResponseBase:
    """What was asked for, for programs."""
    events = activity.found(actor_of(request), Wanted.of(request.GET.dict()))
    lines = files.json_lines(events, reader=_reader(request))
    return _file(lines, name="activity.jsonl", content_type="application/jsonl")


@login_required
@require_safe
def proof(request: HttpRequest, uuid: UUID) -> HttpResponseBase:
    """Everything of one organisation, in a form that shows whether anything is missing."""
    actor = actor_of(request)
    visible = Organisation.objects.visible_to(actor).select_related("parent")
    organisation = get_object_or_404(visible, uuid=uuid)
    if not may_prove(actor, organisation):
        raise Forbidden
    lines = files.proof_lines(organisation, reader=_reader(request))
    name = f"activity-proof-{organisation.uuid}.jsonl"
    return _file(lines, name=name, content_type="application/jsonl")


def may_prove(actor: Actor, organisation: Organisation) -> bool:
    """A proof leaves nothing out, so it is for owners; load `parent` with the organisation."""
    return actor.can(Capability.MANAGE_KEYS, lineage=organisation.lineage)


def _reader(request: HttpRequest) -> Reader:
    return Reader(actor=actor_of(request), house_name=look_of(request).name)


def _file(lines: Iterator[str], *, name: str, content_type: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        lines,
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _reads_several(actor: Actor) -> bool:
    return actor.is_staff or bool(actor.seller_ids) or len(actor.organisation_ids) > 1


def _choices(actor: Actor) -> list[Organisation]:
    """The organisations to choose from, where they are several and few enough for a list."""
    if not _reads_several(actor):
        return []
    found = list(activity.organisations_of(actor)[: _MOST_TO_CHOOSE + 1])
    return found if 1 < len(found) <= _MOST_TO_CHOOSE else []


def _chains(actor: Actor, wanted: Wanted) -> list[dict[str, Any]]:
    """Of whom a proof can be taken, and with what it ends now."""
    own = OwnChain.objects.filter(organisation__in=actor.only_with(Capability.MANAGE_KEYS).roles)
    if wanted.organisation:
        visible = Organisation.objects.visible_to(actor).filter(uuid=wanted.organisation)
        own = OwnChain.objects.filter(organisation__in=visible)
    return [
        {
            "name": chain.organisation.name,
            "place": chain.place,
            "link": chain.link,
            "url": reverse("activity:proof", args=[chain.organisation.uuid]),
        }
        for chain in own.select_related("organisation__parent").order_by("organisation__name")[
            :_MOST_SHOWN
        ]
        if may_prove(actor, chain.organisation)
    ]
