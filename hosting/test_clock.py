"""Test mode: a test organisation's time goes on when somebody advances it, and all that falls due.

An advance is a row, worked off in legs. Each leg moves the clock to the next moment at which
something can be due, and then does it; so whatever is killed in between is done again from the
moment at which the clock stands, by verbs that do nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import F, Min, Q, QuerySet

from accounts import outbox, spans
from accounts.access import Actor, Capability, system
from accounts.models import Organisation
from hosting import dunning, invoicing, ledger, metering, meters, months, ordering, spending
from hosting.clocks import moment_for, now_for
from hosting.models import ClockAdvance, Dunning, Limits, OpenItem, TestClock
from hosting.periods import Period
from mailstore import closing, cooling, standing
from mailstore.engine import Engine
from mailstore.models import Mailbox, PendingChange

__all__ = [
    "MOST",
    "AdvanceUnderWay",
    "ClockRefused",
    "advance",
    "follow_standing",
    "moment_for",
    "now_for",
    "resume",
    "run",
]

# In one advance: enough for two ends of months, and little enough to be done soon.
MOST = timedelta(days=62)
_LEASE = timedelta(minutes=2)
_DAY = timedelta(days=1)
# When a day has begun everywhere, as dunning counts days.
_NOON = time(12, tzinfo=UTC)
_CLOCK = system("test clock")


class ClockRefused(Exception):
    """The clock cannot be advanced so; the text says why."""


class AdvanceUnderWay(ClockRefused):
    """The clock is on its way already."""


class _LeaseLost(Exception):
    """Somebody else works on this advance now; nothing of this leg was kept."""


@transaction.atomic
def advance(
    *,
    actor: Actor,
    organisation: Organisation,
    to: datetime | None = None,
    seconds: int | None = None,
    at: datetime,
) -> ClockAdvance:
    """Ask for the clock to go on, to a moment or by seconds; raises `ClockRefused`.

    A worker does it, and all that falls due until then. `at` is what time it really is.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=organisation.lineage)
    if not organisation.is_test:
        message = "Only a test organisation has a clock that can be advanced."
        raise ClockRefused(message)
    now = _locked(organisation).now
    target = _target(now, to=to, seconds=seconds)
    if ClockAdvance.objects.under_way().filter(organisation=organisation).exists():
        message = "The clock is on its way already. Wait until it is there."
        raise AdvanceUnderWay(message)
    asked = ClockAdvance.objects.create(
        organisation=organisation,
        started_from=now,
        target=target,
        total_count=_days(target - now),
        asked_at=at,
        asked_by=actor.name,
    )
    outbox.record(
        kind="test_clock.advancing",
        at=now,
        actor=actor,
        organisation=organisation,
        subject=asked.subject,
        data={"target": target.isoformat()},
    )
    outbox.nudge("hosting.advance_test_clock", advance_id=asked.pk)
    return asked


def run(*, advance_id: int, engine: Engine, now: Callable[[], datetime]) -> bool:
    """Work one advance off from where its clock stands; returns whether it was ours to do."""
    asked = _claimed(advance_id, at=now())
    if asked is None:
        return False
    try:
        moment = _moment(asked)
        _do_due(asked, moment, engine=engine, now=now)
        while moment < asked.target:
            moment = _move(asked, moment, now=now)
            _do_due(asked, moment, engine=engine, now=now)
        _finish(asked, at=now())
    except _LeaseLost:
        return False
    return True


def resume(*, engine: Engine, now: Callable[[], datetime]) -> int:
    """Take up advances that nobody has begun, or whose worker died; returns how many it ended."""
    free = ClockAdvance.objects.under_way().filter(_is_free(now())).order_by("pk")
    keys = list(free.values_list("pk", flat=True))
    return sum(run(advance_id=key, engine=engine, now=now) for key in keys)


def _locked(organisation: Organisation) -> TestClock:
    TestClock.objects.get_or_create(
        organisation=organisation, defaults={"now": organisation.created_at}
    )
    return TestClock.objects.select_for_update().get(organisation=organisation)


def _target(now: datetime, *, to: datetime | None, seconds: int | None) -> datetime:
    if (to is None) == (seconds is None):
        message = "Say to which moment, or by how many seconds: one of the two."
        raise ClockRefused(message)
    try:
        target = now + timedelta(seconds=seconds) if seconds is not None else to
    except OverflowError:
        target = datetime.max.replace(tzinfo=UTC)
    if target is None or target <= now:
        message = f"The clock only goes forward; it stands at {now:%Y-%m-%dT%H:%M:%SZ}."
        raise ClockRefused(message)
    if target - now > MOST:
        message = f"At most {MOST.days} days at once. Advance it again from there."
        raise ClockRefused(message)
    return target


def _days(span: timedelta) -> int:
    """Days, begun ones counted whole."""
    return -(-span // _DAY)


def _claimed(advance_id: int, *, at: datetime) -> ClockAdvance | None:
    mine = ClockAdvance.objects.under_way().filter(_is_free(at), pk=advance_id)
    if not mine.update(lease_until=at + _LEASE, fence=F("fence") + 1):
        return None
    return ClockAdvance.objects.select_related("organisation__parent").get(pk=advance_id)


def _is_free(at: datetime) -> Q:
    return ~spans.lasts("lease_until", at=at, longest=_LEASE)


def _mine(asked: ClockAdvance) -> QuerySet[ClockAdvance]:
    return ClockAdvance.objects.under_way().filter(pk=asked.pk, fence=asked.fence)


def _moment(asked: ClockAdvance) -> datetime:
    return TestClock.objects.get(organisation=asked.organisation).now


@transaction.atomic
def _move(asked: ClockAdvance, moment: datetime, *, now: Callable[[], datetime]) -> datetime:
    """Let the clock go on to where something can be due next; what is kept counts until there."""
    target = _next_moment(asked, moment)
    done = min(asked.total_count, _days(target - asked.started_from))
    if not _mine(asked).update(lease_until=now() + _LEASE, done_count=done):
        raise _LeaseLost
    meters.note_sizes(_addresses(asked.organisation), at=metering.seconds(moment))
    moved = TestClock.objects.filter(organisation=asked.organisation, now=moment)
    if not moved.update(now=target):
        raise _LeaseLost
    return target


def _addresses(organisation: Organisation) -> list[str]:
    standing_ = Mailbox.objects.standing().filter(organisation=organisation).order_by("pk")
    return list(standing_.values_list("address", flat=True))


def _next_moment(asked: ClockAdvance, moment: datetime) -> datetime:
    return min(
        (each for each in _moments(asked.organisation, moment) if moment < each < asked.target),
        default=asked.target,
    )


def _moments(organisation: Organisation, moment: datetime) -> Iterator[datetime]:
    """The next end of a month, and of each wait; each day for those who owe or cap something."""
    yield Period.of(moment).ends_at
    changes = PendingChange.objects.waiting().filter(
        organisation=organisation, effective_at__gt=moment
    )
    closings = Mailbox.objects.filter(
        organisation=organisation, state=Mailbox.State.CLOSING, erase_after__gt=moment
    )
    waits = (
        changes.aggregate(at=Min("effective_at"))["at"],
        closings.aggregate(at=Min("erase_after"))["at"],
    )
    yield from (wait for wait in waits if wait is not None)
    if _looks_daily(organisation):
        noon = datetime.combine(moment.astimezone(UTC).date(), _NOON)
        yield noon if noon > moment else noon + _DAY


def _looks_daily(organisation: Organisation) -> bool:
    return (
        OpenItem.objects.of(organisation).filter(open_minor__gt=0).exists()
        or Dunning.objects.open().filter(customer=organisation).exists()
        or Limits.objects.capped().filter(organisation=organisation).exists()
    )


def _do_due(
    asked: ClockAdvance, moment: datetime, *, engine: Engine, now: Callable[[], datetime]
) -> None:
    """All that is due in one organisation at its moment; done twice, it does nothing more.

    A month is closed before anything of this moment changes what it is about.
    """
    organisation = asked.organisation
    organisation.refresh_from_db()
    _end_contracts(organisation)
    _close_month(asked, moment)
    ledger.settle(customer=organisation, at=moment)
    dunning.follow(organisation, at=moment, now=now())
    _all_of(lambda: cooling.make_due(engine=engine, at=moment, among=organisation, now=now()))
    _follow_standing(organisation, at=moment, now=now())
    _end_contracts(organisation)
    _all_of(lambda: closing.close_for_good(actor=_CLOCK, at=moment, among=organisation))
    spending.watch(at=moment, among=organisation)


def _all_of(work: Callable[[], int]) -> None:
    """Work in pieces, until nothing more can be done of it."""
    while work():
        pass


def _end_contracts(organisation: Organisation) -> None:
    _all_of(lambda: ordering.end_contracts(among=organisation))


def follow_standing(*, at: datetime) -> int:
    """Let mailboxes follow test organisations that were stopped or freed while time stood still."""
    waiting = list(standing.tests_to_follow().select_related("parent"))
    for organisation in waiting:
        _follow_standing(organisation, at=moment_for(organisation, at), now=at)
    return len(waiting)


def _follow_standing(organisation: Organisation, *, at: datetime, now: datetime) -> None:
    grace, reopen = settings.CLOSING_GRACE, partial(ordering.reopen, follows_standing=True)
    _all_of(lambda: standing.bring_back(reopen=reopen, at=at, among=organisation, now=now))
    _all_of(lambda: standing.close_along(grace=grace, at=at, among=organisation, now=now))


def _close_month(asked: ClockAdvance, moment: datetime) -> None:
    """Bill the month before, and those that could not be billed when the clock came there."""
    problems = list(asked.problems)
    for month in months.due_on_test_clock(asked.organisation, at=moment):
        progress = invoicing.close_month(
            actor=_CLOCK, period=month, at=moment, among=asked.organisation
        )
        problems += [problem for problem in progress.problems if problem not in problems]
    if problems != asked.problems:
        asked.problems = problems
        _mine(asked).update(problems=problems)


@transaction.atomic
def _finish(asked: ClockAdvance, *, at: datetime) -> None:
    done = _mine(asked).update(
        state=ClockAdvance.State.DONE,
        done_count=F("total_count"),
        lease_until=None,
        finished_at=at,
    )
    if not done:
        raise _LeaseLost
    outbox.record(
        kind="test_clock.advanced",
        at=asked.target,
        actor=_CLOCK,
        organisation=asked.organisation,
        subject=asked.subject,
        data={"now": asked.target.isoformat(), "problems": asked.problems},
    )
