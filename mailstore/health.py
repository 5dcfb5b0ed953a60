"""How purging is doing: what is due, running, late, failed or stopped, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Q, QuerySet, Sum

from accounts.models import Setback
from mailstore import due as moments
from mailstore import holding
from mailstore.models import (
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
# What a sweep does for one mailbox, by which its setbacks are found.
BY_RULES, OF_STORE = "looking by the rules", "looking by the window"
LOOKING = (BY_RULES, OF_STORE)
# Nobody counts further: above it, a page says "1,000+".
MOST_COUNTED = 1_000


@dataclass(frozen=True, kw_only=True)
class Health:
    """`lag_minutes` is how long the oldest mailbox that is due has waited for its look.

    Of those due, `unlooked` have no moment, because their rules changed or they are new.
    `refused` could not be looked at, and are tried again. Counts end with one more than
    `MOST_COUNTED`.
    """

    due: int
    unlooked: int
    refused: int
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
    untold_alarms: int


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
        due=_count(waiting),
        unlooked=_count(waiting.filter(retention_due_at__isnull=True)),
        refused=_count(refused()),
        running=_count(runs.exclude(state=WorkState.PAUSED)),
        paused=_count(runs.filter(state=WorkState.PAUSED)),
        late=_count(late(at)),
        failed=[*_first(failed()), *_first(failed_restores())],
        lag_minutes=int((at - oldest).total_seconds() // 60),
        last_sweep=FullSweep.objects.exclude(finished_at=None).order_by("-started_at").first(),
        frozen=_count(Mailbox.objects.filter(frozen_at__isnull=False)),
        held=_count(holding.held()),
        holds=_count(Hold.objects.standing()),
        open_alarms=_count(Alarm.objects.open()),
        untold_alarms=_count(Alarm.objects.open().untold()),
    )


def store_bytes() -> int:
    """How much removed mail is kept, in bytes, of all mailboxes that keep any."""
    keeping = Mailbox.objects.standing().filter(store_bytes__gt=0)
    return keeping.aggregate(all=Sum("store_bytes"))["all"] or 0


def refused() -> QuerySet[Setback]:
    """Mailboxes of which the mail server would not say what is due, the last that failed first."""
    return Setback.objects.filter(work__in=LOOKING).order_by("-failed_at", "pk")


def _count(rows: QuerySet[Any]) -> int:
    return rows.order_by().values("pk")[: MOST_COUNTED + 1].count()


def due(at: datetime) -> MailboxQuerySet:
    """Mailboxes that wait for their look; see `mailstore.due.waiting`."""
    is_due = Q(retention_due_at__lte=at) | Q(store_due_at__lte=at)
    return moments.waiting(is_due | Q(retention_due_at__isnull=True))


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


def failing() -> PurgeRunQuerySet:
    """Runs whose last turn did not get on, whatever the reason."""
    return PurgeRun.objects.open().exclude(failure="")


def failed() -> PurgeRunQuerySet:
    """Runs whose last turn ended in a failure, and that go on with the next one.

    What a hold, an alarm or closing stops waits, which is no failure.
    """
    living = failing().exclude(mailbox__state=Mailbox.State.CLOSED)
    return living.exclude(holding.stopped_work())
