"""How purging is doing: what is due, running, late, failed or stopped, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.db.models import Q, QuerySet, Sum

from mailstore import holding
from mailstore.models import (
    OPEN_STATES,
    Alarm,
    FullSweep,
    Hold,
    Mailbox,
    PurgeRun,
    RestoreRun,
    WorkState,
)
from mailstore.models.mailboxes import MailboxQuerySet
from mailstore.models.purging import PurgeRunQuerySet, RestoreRunQuerySet

Run = TypeVar("Run", PurgeRun, RestoreRun)

# The sweep looks every minute; a quarter of an hour is several lost turns.
LATE = timedelta(minutes=15)
_MOST_FAILED = 50


@dataclass(frozen=True, kw_only=True)
class Health:
    """`lag_minutes` is how long the oldest mailbox that is due has waited for its look."""

    due: int
    running: int
    paused: int
    late: int
    failed: list[PurgeRun | RestoreRun]
    lag_minutes: int
    last_sweep: FullSweep | None
    frozen: int
    held: int
    holds: int
    open_alarms: int
    store_bytes: int


def report(*, at: datetime) -> Health:
    """The state of purging now. A fixed number of queries, each on an index of what is due."""
    waiting = due(at)
    oldest = min(
        (
            moment
            for field in ("retention_due_at", "store_due_at")
            for moment in waiting.filter(**{f"{field}__lte": at})
            .order_by(field)
            .values_list(field, flat=True)[:1]
        ),
        default=at,
    )
    runs = PurgeRun.objects.open()
    return Health(
        due=waiting.count(),
        running=runs.exclude(state=WorkState.PAUSED).count(),
        paused=runs.filter(state=WorkState.PAUSED).count(),
        late=late(at).count(),
        failed=[*_first(failed()), *_first(failed_restores())],
        lag_minutes=int((at - oldest).total_seconds() // 60),
        last_sweep=FullSweep.objects.exclude(finished_at=None).order_by("-started_at").first(),
        frozen=Mailbox.objects.filter(frozen_at__isnull=False).count(),
        held=holding.held().count(),
        holds=Hold.objects.standing().count(),
        open_alarms=Alarm.objects.open().count(),
        store_bytes=Mailbox.objects.standing().aggregate(all=Sum("store_bytes"))["all"] or 0,
    )


def due(at: datetime) -> MailboxQuerySet:
    """Mailboxes that wait for their look; frozen ones and those at work do not."""
    moments = Q(retention_due_at__lte=at) | Q(store_due_at__lte=at)
    quiet = Mailbox.objects.standing().filter(moments, frozen_at__isnull=True)
    return quiet.exclude(purge_runs__state__in=OPEN_STATES)


def late(at: datetime) -> PurgeRunQuerySet:
    """Runs that were planned long ago, and that nothing is known to hold up."""
    return PurgeRun.objects.open().filter(
        planned_at__lte=at - LATE, failure="", state__in=(WorkState.PLANNED, WorkState.RUNNING)
    )


def failed_restores() -> RestoreRunQuerySet:
    """The same for what was to come back, which nothing but a failure holds up."""
    return RestoreRun.objects.open().exclude(failure="")


def _first(runs: QuerySet[Run]) -> list[Run]:
    return list(runs.select_related("mailbox").order_by("pk")[:_MOST_FAILED])


def failed() -> PurgeRunQuerySet:
    """Runs whose last turn ended in a failure, and that go on with the next one.

    What a hold or an alarm stops waits, which is no failure.
    """
    unstopped = PurgeRun.objects.open().filter(mailbox__frozen_at__isnull=True)
    return unstopped.exclude(failure="").exclude(mailbox__in=holding.held())
