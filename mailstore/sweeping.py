"""What is due: found by its moment, worked off, and once a week looked for everywhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q

from accounts import setbacks
from mailstore import due, health, holding, planning, purging, retrievals, turns, working
from mailstore.engine import (
    Engine,
    EngineError,
    EngineRefused,
    EngineUnavailable,
    OutcomeUnknown,
)
from mailstore.models import FullSweep, Mailbox, PurgeRun
from mailstore.models.mailboxes import MailboxQuerySet
from mailstore.purging import Clock

logger = logging.getLogger(__name__)


def plan_due(*, engine: Engine, at: datetime, limit: int = 200) -> int:
    """Plan the runs of mailboxes where something may be due; returns how many were looked at."""
    unknown = _waiting(Q(retention_due_at__isnull=True))
    by_rules = _waiting(Q(retention_due_at__lte=at)).order_by("retention_due_at")
    of_store = _waiting(Q(store_due_at__lte=at)).order_by("store_due_at")
    return _take_turn(
        [unknown, by_rules], _BY_RULES, engine=engine, at=at, limit=limit
    ) + _take_turn([of_store], _OF_STORE, engine=engine, at=at, limit=limit)


def _take_turn(
    lists: Sequence[MailboxQuerySet], way: _Way, *, engine: Engine, at: datetime, limit: int
) -> int:
    """Look at the first of each list. Who was refused lately waits, and holds up nobody."""
    waiting = setbacks.waiting(work=way.work, at=at)
    # Before the look at those without a moment gives them one.
    some = [list(mailboxes.exclude(pk__in=waiting)[:limit]) for mailboxes in lists]
    looked_at = sum(_looked_at(each, way, engine=engine, at=at) for each in some)
    if all(len(each) < limit for each in some):
        setbacks.forget(work=way.work, at=at)
    return looked_at


def run_open(
    *, engine: Engine, now: Clock, limit: int = 50, keys: Sequence[int] | None = None
) -> int:
    """Work off runs that are not finished, oldest first; returns how many were finished.

    `keys` narrows to some of them. What was stopped and still is waits, and what was tried less
    often goes first, or a hold over many mailboxes would leave no turn for all others.
    """
    waiting = PurgeRun.objects.exclude(kind=PurgeRun.Kind.CLOSING).filter(working.free(now()))
    waiting = waiting.exclude(mailbox__state=Mailbox.State.CLOSED)
    waiting = waiting.exclude(holding.stopped_work(), ~Q(failure=""))
    if keys is not None:
        waiting = waiting.filter(pk__in=keys)
    finished = 0
    for run in waiting.order_by("attempts", "id")[:limit]:
        try:
            finished += purging.work_off(run=run, engine=engine, now=now)
        except EngineUnavailable as error:
            logger.warning("The mail server cannot be reached: %s", error)
            break
        except EngineError:
            logger.exception("The mail server refused to go on with purge %s", run.uuid)
    return finished


def note_retrievals(*, engine: Engine, at: datetime, limit: int = 500) -> int:
    """Note what POP programs fetched, where the log told that they did; returns how many."""
    asked = Mailbox.objects.standing().filter(retrievals_asked_at__isnull=False)
    noted, began = 0, time.monotonic()
    for mailbox in asked.order_by("retrievals_asked_at")[:limit]:
        asked_at = mailbox.retrievals_asked_at
        # Hundreds take a while, and each is noted under the moment of its own look.
        by_now = at + timedelta(seconds=int(time.monotonic() - began))
        try:
            noted += retrievals.note(mailbox=mailbox, engine=engine, at=by_now)
        except EngineUnavailable as error:
            logger.warning("The mail server cannot be reached: %s", error)
            break
        except EngineError:
            logger.exception("The mail server could not say what was fetched in %s", mailbox.uuid)
            # It asks again, behind all others.
            asked.filter(pk=mailbox.pk).update(retrievals_asked_at=at)
            continue
        # What was fetched meanwhile asks anew.
        done = asked.filter(pk=mailbox.pk, retrievals_asked_at=asked_at)
        done.exclude(retrievals.unsettled()).update(retrievals_asked_at=None)
    return noted


def sweep_fully(*, engine: Engine, at: datetime, every: timedelta, chunk: int = 500) -> bool:
    """Look at the next mailboxes of the sweep over all; True once there is nothing to do.

    It begins anew when the last one began `every` ago. A mailbox where something was due
    before its own next moment counts as missed, and is put right.
    """
    sweep = FullSweep.objects.order_by("-started_at").first()
    if sweep is None or (sweep.finished_at and sweep.started_at <= at - every):
        sweep = FullSweep.objects.create(started_at=at)
    if sweep.finished_at:
        return True
    standing = Mailbox.objects.standing().exclude(state=Mailbox.State.CLOSING)
    rest = standing.filter(pk__gt=sweep.last_id).order_by("pk")
    mailboxes = list(_with_people(rest)[:chunk])
    missed = sum(_is_missed(mailbox, engine=engine, at=at) for mailbox in mailboxes)
    FullSweep.objects.filter(pk=sweep.pk, last_id=sweep.last_id).update(
        last_id=mailboxes[-1].pk if mailboxes else sweep.last_id,
        looked_at=F("looked_at") + len(mailboxes),
        missed=F("missed") + missed,
        finished_at=None if mailboxes else at,
    )
    return not mailboxes


def _is_missed(mailbox: Mailbox, *, engine: Engine, at: datetime) -> bool:
    try:
        moments = due.next_moments(mailbox, engine=engine, at=at)
    except EngineUnavailable:
        raise
    except EngineError:
        logger.exception("The mail server could not say what is due in %s", mailbox.uuid)
        return False
    missed = _earlier(moments["retention_due_at"], mailbox.retention_due_at, at=at) or _earlier(
        moments["store_due_at"], mailbox.store_due_at or at + timedelta(days=1), at=at
    )
    if not PurgeRun.objects.open().filter(mailbox=mailbox).exists():
        due.note_unless_changed(mailbox, **moments)
    return missed


def _earlier(true: datetime | None, noted: datetime | None, *, at: datetime) -> bool:
    """Whether something is due already of which the row did not know."""
    return true is not None and true <= at and noted is not None and noted > at


def _waiting(condition: Q) -> MailboxQuerySet:
    return _with_people(due.waiting(condition))


def _with_people(mailboxes: MailboxQuerySet) -> MailboxQuerySet:
    return mailboxes.select_related("organisation__parent", "domain")


@dataclass(frozen=True, kw_only=True)
class _Way:
    """How to plan for mailboxes: many together, or one alone."""

    work: str
    together: Callable[..., Iterable[Sequence[planning.Draft]]]
    alone: Callable[..., PurgeRun | None]


_BY_RULES = _Way(
    work=health.BY_RULES, together=planning.by_rules_each, alone=purging.plan_retention
)
_OF_STORE = _Way(work=health.OF_STORE, together=planning.of_store_each, alone=purging.plan_store)


def _looked_at(mailboxes: Iterable[Mailbox], way: _Way, *, engine: Engine, at: datetime) -> int:
    """Plan for many; of whom the mail server cannot tell together, it is asked alone."""
    waiting = {mailbox.pk: mailbox for mailbox in mailboxes}
    looked_at = 0
    try:
        for drafts in way.together(mailboxes=list(waiting.values()), engine=engine, at=at):
            planning.settle_each(drafts, at=at)
            looked_at += len(drafts)
            for draft in drafts:
                del waiting[draft.mailbox.pk]
    except (EngineRefused, OutcomeUnknown) as error:
        logger.warning("The mail server could not say what is due in many: %s", error)
    for mailbox in waiting.values():
        with turns.apart(mailbox, named=way.work, at=at):
            way.alone(mailbox=mailbox, engine=engine, at=at)
            looked_at += 1
    return looked_at
