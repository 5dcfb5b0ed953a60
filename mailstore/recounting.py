"""The nightly recount: what the meter noted, beside what the mail server counts itself.

A report can be lost: the database was away, or a server died. The next change of the mailbox
heals the figure; until then the meter runs on a wrong one. Each night every mailbox is
compared. What differs may only be on its way, so it is compared again after a while, and is
drift once neither side has moved. Then the report is put right from that moment on, and the
drift is written down in the same transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from mailstore.engine import Engine, Size
from mailstore.models import Drift, Mailbox, Recount, Suspicion, Usage

logger = logging.getLogger(__name__)

# Dovecot brings its reports together for up to ten seconds, and may have to wait for a lock.
PATIENCE = timedelta(seconds=60)
_NOTHING = Size(bytes=0, messages=0)


def recount(*, engine: Engine, at: datetime, due_at: datetime, chunk: int = 5_000) -> bool:
    """Settle suspicions, then look at the next mailboxes; True once all were looked at.

    It begins anew when the last one began before `due_at`. One that was killed goes on where
    it was: to look twice at a mailbox does no harm.
    """
    settle(engine=engine, at=at)
    run = last()
    if run is None or (run.finished_at and run.started_at < due_at <= at):
        run = Recount.objects.create(started_at=at)
    if run.finished_at:
        return True
    rest = Mailbox.objects.standing().filter(pk__gt=run.last_id).order_by("pk")
    found = list(rest.values_list("pk", "address")[:chunk])
    unanswered = _look(
        [address for _pk, address in found], engine=engine, at=at, right_since=_all_right_at(run)
    )
    Recount.objects.filter(pk=run.pk, last_id=run.last_id).update(
        last_id=found[-1][0] if found else run.last_id,
        looked_at=F("looked_at") + len(found),
        unanswered=F("unanswered") + unanswered,
        finished_at=None if found else at,
    )
    return not found


def last() -> Recount | None:
    """The last recount, whether it is over or not."""
    return Recount.objects.order_by("-started_at").first()


def drifts(*, since: datetime) -> QuerySet[Drift]:
    """What was put right since then."""
    return Drift.objects.filter(until__gte=int(since.timestamp()))


def ahead(*, at: datetime) -> int:
    """How many meters wait for the clock: it was set forward by mistake, and back again."""
    return Usage.objects.filter(since__gt=int((at + PATIENCE).timestamp())).count()


def due_at(*, now: datetime, hour: int) -> datetime:
    """The last time that the clock (UTC) passed this hour."""
    today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def settle(*, engine: Engine, at: datetime, limit: int = 1_000) -> int:
    """Look again at what was suspected a while ago; returns how many were drift."""
    waiting = Suspicion.objects.filter(seen_at__lte=at - PATIENCE).order_by("seen_at")[:limit]
    suspicions = list(waiting)
    if not suspicions:
        return 0
    names = [suspicion.username for suspicion in suspicions]
    reports = {report.username: report for report in Usage.objects.filter(username__in=names)}
    sizes = engine.sizes(users=names)
    return sum(
        _settled(each, reports.get(each.username), sizes.get(each.username), at=at)
        for each in suspicions
    )


def _settled(
    suspicion: Suspicion, report: Usage | None, size: Size | None, *, at: datetime
) -> bool:
    """Whether it was drift. A side that moved meanwhile is given time again, or was right."""
    if size != _true(suspicion) and _is_as_noted(suspicion, report):
        return _wait(suspicion, size, at=at)
    is_drift = _put_right(suspicion)
    suspicion.delete()
    return is_drift


def _wait(suspicion: Suspicion, size: Size | None, *, at: datetime) -> bool:
    """Give it time again, unless nobody has the address any more."""
    if size is not None:
        suspicion.true_bytes, suspicion.true_messages = size.bytes, size.messages
    elif not Mailbox.objects.standing().filter(address=suspicion.username).exists():
        suspicion.delete()
        return False
    suspicion.seen_at = at
    suspicion.save()
    return False


def _is_as_noted(suspicion: Suspicion, report: Usage | None) -> bool:
    if report is None:
        return not suspicion.is_reported
    noted = suspicion.noted_bytes, suspicion.noted_messages, suspicion.noted_since
    return suspicion.is_reported and (report.bytes, report.messages, report.since) == noted


def _true(suspicion: Suspicion) -> Size:
    return Size(bytes=suspicion.true_bytes, messages=suspicion.true_messages)


def _put_right(suspicion: Suspicion) -> bool:
    """Write the true figure and the drift, unless a report comes in at this very moment."""
    with transaction.atomic(using=settings.REPORTS_DATABASE):
        if not _is_written(suspicion):
            return False
        until = Usage.objects.get(username=suspicion.username).since
        if suspicion.noted_bytes != suspicion.true_bytes:
            Drift.objects.create(
                username=suspicion.username,
                since=min(suspicion.since, until) if suspicion.is_reported else until,
                until=until,
                noted_bytes=suspicion.noted_bytes,
                true_bytes=suspicion.true_bytes,
            )
    logger.warning(
        "%s was noted with %s bytes and has %s",
        suspicion.username,
        suspicion.noted_bytes,
        suspicion.true_bytes,
    )
    return True


def _is_written(suspicion: Suspicion) -> bool:
    true = {"bytes": suspicion.true_bytes, "messages": suspicion.true_messages}
    if not suspicion.is_reported:
        return Usage.objects.get_or_create(username=suspicion.username, defaults=true)[1]
    unchanged = Usage.objects.filter(
        username=suspicion.username,
        bytes=suspicion.noted_bytes,
        messages=suspicion.noted_messages,
        since=suspicion.noted_since,
    )
    return bool(unchanged.update(**true))


def _look(names: Sequence[str], *, engine: Engine, at: datetime, right_since: int) -> int:
    """Suspect each mailbox whose two figures differ; returns how many gave no answer.

    The reports are read first. Mail that comes in between then looks like drift, and is found
    to be none; the other way round, drift could look like none.
    """
    reports = {
        report.username: report
        for piece in _pieces(names)
        for report in Usage.objects.filter(username__in=piece)
    }
    sizes = engine.sizes(users=names)
    suspicions = [
        _suspicion(name, reports.get(name), sizes[name], at=at, right_since=right_since)
        for name in names
        if name in sizes and sizes[name] != _noted(reports.get(name))
    ]
    Suspicion.objects.bulk_create(suspicions, ignore_conflicts=True, batch_size=500)
    return len(names) - len(sizes)


def _pieces(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """SQLite takes at most 32,766 values in one query."""
    for start in range(0, len(names), 10_000):
        yield names[start : start + 10_000]


def _noted(report: Usage | None) -> Size:
    return _NOTHING if report is None else Size(bytes=report.bytes, messages=report.messages)


def _suspicion(
    name: str, report: Usage | None, size: Size, *, at: datetime, right_since: int
) -> Suspicion:
    noted = _noted(report)
    noted_since = right_since if report is None else report.since
    return Suspicion(
        username=name,
        since=max(noted_since, right_since),
        is_reported=report is not None,
        noted_bytes=noted.bytes,
        noted_messages=noted.messages,
        noted_since=noted_since,
        true_bytes=size.bytes,
        true_messages=size.messages,
        seen_at=at,
    )


def _all_right_at(run: Recount) -> int:
    """When every report was known to be right: the last recount that had all answers began."""
    before = Recount.objects.filter(finished_at__isnull=False, unanswered=0)
    latest = before.filter(started_at__lt=run.started_at).order_by("-started_at").first()
    return int(latest.started_at.timestamp()) if latest else 0
