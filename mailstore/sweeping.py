"""What is due: found by its moment, worked off, and once a week looked for everywhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import F, Q

from mailstore import due, purging, retention, working
from mailstore.engine import Engine, EngineError, EngineUnavailable
from mailstore.models import OPEN_STATES, FullSweep, Mailbox, PurgeRun
from mailstore.models.mailboxes import MailboxQuerySet
from mailstore.purging import Clock

logger = logging.getLogger(__name__)


def plan_due(*, engine: Engine, at: datetime, limit: int = 200) -> int:
    """Plan the runs of mailboxes where something may be due; returns how many were looked at."""
    looked_at = 0
    for mailbox in _quiet(Q(retention_due_at__isnull=True))[:limit]:
        looked_at += _looked(purging.plan_retention, mailbox, engine=engine, at=at)
    for mailbox in _quiet(Q(retention_due_at__lte=at)).order_by("retention_due_at")[:limit]:
        looked_at += _looked(purging.plan_retention, mailbox, engine=engine, at=at)
    for mailbox in _quiet(Q(store_due_at__lte=at)).order_by("store_due_at")[:limit]:
        looked_at += _looked(purging.plan_store, mailbox, engine=engine, at=at)
    return looked_at


def run_open(*, engine: Engine, now: Clock, limit: int = 50) -> int:
    """Work off runs that are not finished, oldest first; returns how many were finished."""
    waiting = PurgeRun.objects.exclude(kind=PurgeRun.Kind.CLOSING).filter(working.free(now()))
    finished = 0
    for run in waiting.order_by("id")[:limit]:
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
    noted = 0
    for mailbox in asked.order_by("retrievals_asked_at")[:limit]:
        asked_at = mailbox.retrievals_asked_at
        try:
            noted += retention.note_retrieved(mailbox=mailbox, engine=engine, at=at)
        except EngineUnavailable as error:
            logger.warning("The mail server cannot be reached: %s", error)
            break
        except EngineError:
            logger.exception("The mail server could not say what was fetched in %s", mailbox.uuid)
        # What was fetched meanwhile asks anew.
        asked.filter(pk=mailbox.pk, retrievals_asked_at=asked_at).update(retrievals_asked_at=None)
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
    rest = Mailbox.objects.standing().filter(pk__gt=sweep.last_id).order_by("pk")
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
        due.note(mailbox, **moments)
    return missed


def _earlier(true: datetime | None, noted: datetime | None, *, at: datetime) -> bool:
    """Whether something is due already of which the row did not know."""
    return true is not None and true <= at and noted is not None and noted > at


def _quiet(condition: Q) -> MailboxQuerySet:
    """Mailboxes that are neither frozen nor being purged."""
    quiet = Mailbox.objects.standing().filter(condition, frozen_at__isnull=True)
    return _with_people(quiet.exclude(purge_runs__state__in=OPEN_STATES))


def _with_people(mailboxes: MailboxQuerySet) -> MailboxQuerySet:
    return mailboxes.select_related("organisation__parent", "domain")


def _looked(
    plan: Callable[..., PurgeRun | None], mailbox: Mailbox, *, engine: Engine, at: datetime
) -> bool:
    """Plan for one mailbox; one that fails does not hold up the rest, a dead server does."""
    try:
        plan(mailbox=mailbox, engine=engine, at=at)
    except EngineUnavailable:
        raise
    except EngineError:
        logger.exception("The mail server could not say what is due in %s", mailbox.uuid)
        return False
    return True
