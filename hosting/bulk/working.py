"""Doing what was asked for, row by row, each once; whoever is killed in between is followed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import OperationalError, transaction
from django.db.models import F, Q
from django.utils.translation import gettext

from accounts import membership, spans
from accounts.access import Actor
from accounts.models import User
from hosting.bulk import asking, telling
from hosting.bulk.deeds import Deed
from hosting.bulk.list_of_deeds import DEEDS
from hosting.models import BulkItem, BulkRequest

logger = logging.getLogger(__name__)

# Far longer than one row takes; a killed run goes on after that.
_LEASE = timedelta(minutes=2)
_PIECE = 100
_NAME_LENGTH = 254


class _LeaseLost(Exception):
    """Somebody else is at it, or it was called off; nothing of this row was kept."""


def resume(*, now: Callable[[], datetime]) -> int:
    """Take up every request that nobody works on; returns how many."""
    free = BulkRequest.objects.running().filter(_is_free(now()))
    keys = list(free.order_by("pk").values_list("pk", flat=True)[:100])
    return sum(run(request_id=key, now=now) for key in keys)


def run(*, request_id: int, now: Callable[[], datetime]) -> bool:
    """Work a request off from where it stands; returns whether it was ours to do."""
    mine = BulkRequest.objects.running().filter(pk=request_id)
    until = now() + _LEASE
    if not mine.filter(_is_free(now())).update(leased_until=until):
        return False
    request = BulkRequest.objects.select_related("asked_by", "confirmed_by").get(pk=request_id)
    deed = DEEDS[request.deed]
    if not all(asking.may(person, deed) for person in _who_said_yes(request)):
        # It would be done in the name of somebody who may not do it any more.
        _end(request, until=until, state=BulkRequest.State.CALLED_OFF, at=now())
        return True
    actor = _in_both_names(request)
    waiting = request.items.filter(state=BulkItem.State.WAITING).order_by("id")
    try:
        while piece := list(waiting[:_PIECE]):
            for item in piece:
                until = _do(request, item, deed=deed, actor=actor, until=until, now=now)
    except _LeaseLost:
        return False
    _end(request, until=until, state=BulkRequest.State.FINISHED, at=now())
    return True


def _do(
    request: BulkRequest,
    item: BulkItem,
    *,
    deed: Deed,
    actor: Actor,
    until: datetime,
    now: Callable[[], datetime],
) -> datetime:
    """Do one row under the lease that lasts `until`; returns the end of the new lease."""
    at = now()
    renewed = at + _LEASE
    try:
        with transaction.atomic():
            _note(request, item, BulkItem.State.DONE, until=until, renewed=renewed)
            row = deed.rows().filter(pk=item.row_id).first()
            if row is None:
                raise asking.Refused(gettext("It is gone."))  # noqa: TRY301  # It undoes the note.
            deed.do(actor=actor, row=row, what=request.what, reason=request.reason, at=at)
    except (_LeaseLost, OperationalError):
        # A database that is away, or a lock that was not got: the next turn tries this row again.
        raise
    except Exception as failure:
        what = str(failure)
        if not isinstance(failure, (asking.Refused, *deed.refusals)):
            logger.exception("The bulk request %s fails for %s", request.pk, item.name)
            what = f"{type(failure).__name__}: {failure}"
        _fail(request, item, what, until=until, renewed=renewed)
    return renewed


def _fail(
    request: BulkRequest, item: BulkItem, problem: str, *, until: datetime, renewed: datetime
) -> None:
    with transaction.atomic():
        _note(request, item, BulkItem.State.FAILED, until=until, renewed=renewed, problem=problem)


def _note(
    request: BulkRequest,
    item: BulkItem,
    state: BulkItem.State,
    *,
    until: datetime,
    renewed: datetime,
    problem: str = "",
) -> None:
    """Count the row and hold the lease, in the transaction that does it."""
    count = "done_count" if state == BulkItem.State.DONE else "failed_count"
    held = BulkRequest.objects.running().filter(pk=request.pk, leased_until=until)
    if not held.update(leased_until=renewed, **{count: F(count) + 1}):
        raise _LeaseLost
    waiting = BulkItem.objects.filter(pk=item.pk, state=BulkItem.State.WAITING)
    if not waiting.update(state=state, problem=problem.replace("\0", "")[:300]):
        raise _LeaseLost


@transaction.atomic
def _end(request: BulkRequest, *, until: datetime, state: str, at: datetime) -> None:
    held = BulkRequest.objects.running().filter(pk=request.pk, leased_until=until)
    if not held.update(state=state, leased_until=None, ended_at=at):
        return
    request.refresh_from_db()
    kind = "bulk.finished" if state == BulkRequest.State.FINISHED else "bulk.called_off"
    asking.record(kind, request, actor=telling.HOUSE, at=at)
    telling.ended(request, at=at)


def _who_said_yes(request: BulkRequest) -> list[User]:
    said = (request.asked_by, request.confirmed_by)
    return [person for person in said if person is not None]


def _in_both_names(request: BulkRequest) -> Actor:
    """Who asked, with who confirmed beside it, so that every fact names both."""
    actor = membership.actor_for(request.asked_by)
    if request.confirmed_by is None:
        return actor
    both = gettext("%(first)s, confirmed by %(second)s")
    names = {"first": actor.name, "second": request.confirmed_by}
    return replace(actor, name=(both % names)[:_NAME_LENGTH])


def _is_free(at: datetime) -> Q:
    return ~spans.lasts("leased_until", at=at, longest=_LEASE)
