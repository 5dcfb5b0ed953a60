"""Asking for a deed, confirming it as the second person, and calling it off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Case, F, Q, Sum, When
from django.utils.translation import gettext

from accounts import alone, outbox
from accounts.access import Actor, ActorKind, Forbidden
from accounts.models import Organisation, User
from hosting.bulk import telling
from hosting.bulk.deeds import Deed
from hosting.bulk.list_of_deeds import DEEDS
from hosting.models import BulkItem, BulkRequest

# Whoever has more to do brings a list, or asks twice.
MOST_ROWS = 10_000
_OPEN_FOR = timedelta(days=1)
_HOUR = timedelta(hours=1)
_AT_ONCE = 1_000
_NAME_LENGTH = 320

_State = BulkRequest.State


class Refused(Exception):
    """It cannot be asked for, confirmed or called off; the text says why."""


class NotFresh(Exception):
    """It needs a second factor that was shown a moment ago."""


def threshold() -> int:
    """Above so many rows in an hour a second person confirms."""
    return alone.at_most()


def needs_second(request: BulkRequest, *, at: datetime) -> bool:
    """Whether a second person has to confirm a draft, as things stand now.

    What the same person asked for alone within the last hour counts as well: otherwise many small
    requests would come to a large one.
    """
    return request.row_count + _done_alone(request, at=at) > threshold()


@transaction.atomic
def draft(
    *, actor: Actor, deed: Deed, chosen: Sequence[tuple[int, str]], at: datetime
) -> BulkRequest:
    """Freeze a choice of rows, by key and name, to look at what the deed would do to them."""
    person = _person(actor, deed)
    if not chosen:
        message = gettext("Choose some rows first.")
        raise Refused(message)
    if len(chosen) > MOST_ROWS:
        message = gettext("That is more than %(most)s rows. Narrow the list down.")
        raise Refused(message % {"most": MOST_ROWS})
    request = BulkRequest.objects.create(
        deed=deed.name,
        asked_by=person,
        asked_at=at,
        expires_at=at + _OPEN_FOR,
        row_count=len(chosen),
    )
    BulkItem.objects.bulk_create(
        (
            BulkItem(request=request, row_id=key, name=name[:_NAME_LENGTH])
            for key, name in sorted(dict(chosen).items())
        ),
        batch_size=_AT_ONCE,
    )
    return request


def put(*, actor: Actor, request: BulkRequest, what: dict[str, Any], reason: str) -> None:
    """Keep what was typed into a draft, so that it can be foreseen and nothing is lost."""
    mine = BulkRequest.objects.filter(pk=request.pk, state=_State.DRAFT, asked_by=int(actor.id))
    if not mine.update(what=what, reason=" ".join(reason.split())[:500]):
        raise _changed()
    request.refresh_from_db()


@transaction.atomic
def ask(*, actor: Actor, request: BulkRequest, is_fresh: bool, at: datetime) -> BulkRequest:
    """Say yes to a draft: it runs now or, above the threshold, once somebody else says so too.

    Raises `Refused`, `Forbidden` and `NotFresh`.
    """
    deed = DEEDS[request.deed]
    person = _person(actor, deed)
    if person.pk != request.asked_by_id:
        message = gettext("Only who chose the rows can ask for it.")
        raise Refused(message)
    if not request.reason:
        message = gettext("Say why. It is kept with what is done.")
        raise Refused(message)
    # Of two requests at once, the second counts the first.
    User.objects.select_for_update().get(pk=person.pk)
    is_large = needs_second(request, at=at)
    if (is_large or deed.is_grave) and not is_fresh:
        raise NotFresh
    target = _State.ASKED if is_large else _State.RUNNING
    _move(
        request,
        source=_State.DRAFT,
        target=target,
        at=at,
        needs_second=is_large,
        asked_at=at,
        expires_at=at + _OPEN_FOR,
    )
    record("bulk.asked", request, actor=actor, at=at)
    if is_large:
        telling.asked(request, at=at)
    else:
        outbox.nudge("hosting.run_bulk", request_id=request.pk)
    return request


@transaction.atomic
def confirm(*, actor: Actor, request: BulkRequest, is_fresh: bool, at: datetime) -> BulkRequest:
    """Say yes as the second person. Raises `Refused`, `Forbidden` and `NotFresh`."""
    person = _person(actor, DEEDS[request.deed])
    if person.pk == request.asked_by_id:
        message = gettext("Somebody else has to confirm it.")
        raise Refused(message)
    if not is_fresh:
        raise NotFresh
    _move(
        request,
        source=_State.ASKED,
        target=_State.RUNNING,
        at=at,
        confirmed_by=person,
        confirmed_at=at,
    )
    record("bulk.confirmed", request, actor=actor, at=at)
    telling.confirmed(request, at=at)
    outbox.nudge("hosting.run_bulk", request_id=request.pk)
    return request


@transaction.atomic
def call_off(*, actor: Actor, request: BulkRequest, at: datetime) -> None:
    """Leave it, or what is left of it; what is done stays done. Anybody may who could confirm."""
    _person(actor, DEEDS[request.deed])
    sources = (_State.DRAFT, _State.ASKED, _State.RUNNING)
    open_ones = BulkRequest.objects.filter(pk=request.pk, state__in=sources)
    if not open_ones.update(state=_State.CALLED_OFF, ended_at=at, ended_by=actor.name[:254]):
        raise _changed()
    was_draft = request.state == _State.DRAFT
    request.refresh_from_db()
    if not was_draft:
        record("bulk.called_off", request, actor=actor, at=at)
        telling.ended(request, at=at)


def forget_expired(*, at: datetime, limit: int = 100) -> int:
    """End what nobody confirmed in time, and drop drafts that nobody asked for."""
    over = BulkRequest.objects.over(at=at).select_related("asked_by", "confirmed_by")
    return sum(_expire(request, at=at) for request in over.order_by("expires_at")[:limit])


@transaction.atomic
def _expire(request: BulkRequest, *, at: datetime) -> bool:
    row = BulkRequest.objects.over(at=at).filter(pk=request.pk)
    if request.state == _State.DRAFT:
        # Its rows first: the database would look for them one draft at a time.
        drafts = row.filter(state=_State.DRAFT)
        gone = drafts.exists()
        BulkItem.objects.filter(request__in=drafts).delete()
        drafts.delete()
        return gone
    if not row.filter(state=_State.ASKED).update(state=_State.EXPIRED, ended_at=at):
        return False
    request.refresh_from_db()
    record("bulk.expired", request, actor=telling.HOUSE, at=at)
    telling.ended(request, at=at)
    return True


def record(kind: str, request: BulkRequest, *, actor: Actor, at: datetime) -> None:
    """Leave a fact of a request; the house keeps it, with both names and the reason."""
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=Organisation.objects.get(kind=Organisation.Kind.PROVIDER),
        subject=request.subject,
        data={
            "deed": request.deed,
            "reason": request.reason,
            "rows": request.row_count,
            "done": request.done_count,
            "failed": request.failed_count,
            "asked_by": str(request.asked_by),
            "confirmed_by": str(request.confirmed_by or ""),
        },
    )


def may(person: User, deed: Deed) -> bool:
    """Whether somebody may ask for a deed or confirm it, as things stand now."""
    return person.is_active and person.is_staff and person.has_perm(deed.permission)


def may_see(person: User, deed: Deed) -> bool:
    """Whether somebody may look at requests for a deed: whoever may look at what it changes."""
    return person.is_active and person.is_staff and person.has_perm(deed.sight)


def _done_alone(request: BulkRequest, *, at: datetime) -> int:
    """Rows of the deed that the person had done, or has waiting, without anybody else's yes."""
    lately = BulkRequest.objects.filter(
        asked_by=request.asked_by_id, deed=request.deed, needs_second=False, asked_at__gt=at - _HOUR
    )
    begun = lately.exclude(state=_State.DRAFT).exclude(pk=request.pk)
    touched = Case(
        When(state=_State.CALLED_OFF, then=F("done_count") + F("failed_count")),
        default=F("row_count"),
    )
    return int(begun.aggregate(rows=Sum(touched))["rows"] or 0)


def _person(actor: Actor, deed: Deed) -> User:
    if actor.kind is ActorKind.USER:
        person = User.objects.filter(pk=int(actor.id)).first()
        if person is not None and may(person, deed):
            return person
    raise Forbidden


def _move(request: BulkRequest, *, source: str, target: str, at: datetime, **changes: Any) -> None:
    in_time = BulkRequest.objects.filter(Q(expires_at__gt=at), pk=request.pk, state=source)
    if not in_time.update(state=target, **changes):
        raise _changed()
    request.refresh_from_db()


def _changed() -> Refused:
    return Refused(gettext("It has changed meanwhile, or its time is over."))
