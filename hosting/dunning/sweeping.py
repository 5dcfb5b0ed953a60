"""The sweep: begins runs, takes steps that are due, and ends what was paid, each once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F

from accounts import outbox, setbacks
from accounts.access import system
from accounts.models import Organisation
from hosting.dunning import debts, telling, words
from hosting.dunning.debts import Debt, today
from hosting.dunning.deciding import Decision, Move, Owed, Position, decide
from hosting.ledger.posting import lock_customer
from hosting.models import Dunning, DunningStep
from hosting.models.dunning import DunningQuerySet
from hosting.steps import SWITCHES, Action, last_stop
from mailstore import standing
from mailstore.models import Restriction

logger = logging.getLogger(__name__)

_WORK = "dunning"
_HOUSE = system(_WORK)
_PIECE = 200
# A run that was taken back may go on at once; more moves than these no course has.
_MOST_MOVES = 5
_STATES = {
    Action.MAIL: Restriction.State.PAST_DUE,
    Action.LIMIT: Restriction.State.PAST_DUE,
    Action.READ_ONLY: Restriction.State.SUSPENDED,
    Action.PUT_OFF: Restriction.State.SUSPENDED,
    Action.CLOSE: Restriction.State.CLOSED,
}


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What the sweep would do with one customer; `run` is not stored if it would begin."""

    run: Dunning
    debt: Debt | None
    decision: Decision


def sweep(*, at: datetime) -> int:
    """Do what is due. Any number of workers may; returns how many moves this one made.

    A customer for whom that fails holds up nobody else, and is tried again later.
    """
    debts.tell_of_overdue(at=at)
    moved = 0
    for customer in _without_a_run(at=at):
        with _apart(customer, at=at):
            moved += _begin(customer, at=at, now=at)
    for customer in _with_a_move(at=at):
        with _apart(customer, at=at):
            moved += work_off(customer, at=at)
    setbacks.forget(work=_WORK, at=at)
    return moved


def _apart(customer: Organisation, *, at: datetime) -> AbstractContextManager[None]:
    return setbacks.apart(
        work=_WORK, row_id=customer.pk, name=str(customer), organisation=customer, at=at
    )


def _without_a_run(*, at: datetime) -> Iterator[Organisation]:
    later = set(setbacks.waiting(work=_WORK, at=at))
    for pk in debts.customers_without_a_run(at):
        if pk not in later:
            yield Organisation.objects.select_related("parent").get(pk=pk)


def _with_a_move(*, at: datetime) -> Iterator[Organisation]:
    later = setbacks.waiting(work=_WORK, at=at)
    for runs in _pieces(Dunning.objects.open().live().exclude(customer__in=later)):
        try:
            foreseen = _of_open_runs(runs, at=at)
        except Exception as failure:  # noqa: BLE001  # Whose it is, each shows on its own.
            logger.warning("One of %s runs cannot be judged: %s", len(runs), failure)
            yield from (run.customer for run in runs)
        else:
            yield from (each.run.customer for each in foreseen)


def work_off(customer: Organisation, *, at: datetime, now: datetime | None = None) -> int:
    """Do what is due for one customer now, for example because it has just paid.

    `now` is what time it really is, where `at` is by the clock of a test organisation.
    """
    moves = 0
    while moves < _MOST_MOVES and _make(customer, at=at, now=now or at):
        moves += 1
    return moves


def follow(customer: Organisation, *, at: datetime, now: datetime) -> int:
    """What `sweep` does, for one test organisation at its clock's moment."""
    debts.tell_of_overdue(at=at, among=customer)
    if Dunning.objects.open().filter(customer=customer).exists():
        return work_off(customer, at=at, now=now)
    return _begin(customer, at=at, now=now)


def foresee(*, at: datetime) -> Iterator[Foreseen]:
    """What the next sweep would do first for each customer, without doing it."""
    missing = debts.customers_without_a_run(at)
    found = debts.of(missing, at=at)
    for customer in Organisation.objects.filter(pk__in=found).order_by("pk"):
        run = Dunning(customer=customer, began_at=at, due_on=found[customer.pk].due_on)
        yield from _foreseen([run], found, at=at)
    for runs in _pieces(Dunning.objects.open().live()):
        yield from _of_open_runs(runs, at=at)


def _pieces(runs: DunningQuerySet) -> Iterator[list[Dunning]]:
    ordered, last = runs.select_related("customer__parent").order_by("pk"), 0
    while piece := list(ordered.filter(pk__gt=last)[:_PIECE]):
        last = piece[-1].pk
        yield piece


def _of_open_runs(runs: list[Dunning], *, at: datetime) -> list[Foreseen]:
    found = debts.of([run.customer_id for run in runs], at=at)
    return list(_foreseen(runs, found, at=at))


def _foreseen(runs: list[Dunning], found: dict[int, Debt], *, at: datetime) -> Iterator[Foreseen]:
    told = telling.told_at_of(runs)
    for run in runs:
        debt = found.get(run.customer_id)
        decision = _decide(run, debt, told_at=told.get(run.about), at=at)
        if decision is not None:
            yield Foreseen(run=run, debt=debt, decision=decision)


def _decide(
    run: Dunning, debt: Debt | None, *, told_at: datetime | None, at: datetime
) -> Decision | None:
    position = Position(
        day=run.day,
        next_day=run.next_day,
        next_on=run.next_on,
        written_on=run.written_on,
        told_on=run.written_on if run.customer.is_test else told_at and today(told_at),
        is_paused=run.paused_at is not None,
    )
    owed = Owed(due_on=counted_from(run, debt), is_small=debt.is_small) if debt else None
    return decide(position, owed, steps=settings.DUNNING_STEPS, today=today(at))


def counted_from(run: Dunning, debt: Debt) -> date:
    """The day from which the steps count: the oldest bill's, or a later one that staff gave."""
    return max(debt.due_on, run.extended_until or debt.due_on)


def _begin(customer: Organisation, *, at: datetime, now: datetime) -> int:
    """Open a run for who owes something and has none; then do what is due in it."""
    with transaction.atomic():
        lock_customer(customer)
        debt = debts.of([customer.pk], at=at).get(customer.pk)
        if debt is None or Dunning.objects.open().filter(customer=customer).exists():
            return 0
        Dunning.objects.create(customer=customer, began_at=at, due_on=debt.due_on)
    return work_off(customer, at=at, now=now)


@transaction.atomic
def _make(customer: Organisation, *, at: datetime, now: datetime) -> bool:
    """The next move of one run. Nobody pays, and nobody else moves it, at the same time."""
    lock_customer(customer)
    run = (
        Dunning.objects.open().select_related("customer__parent").filter(customer=customer).first()
    )
    if run is None:
        return False
    debt = debts.of([customer.pk], at=at).get(customer.pk)
    decision = _decide(run, debt, told_at=telling.told_at(run), at=at)
    if decision is None:
        return False
    before = last_stop(settings.DUNNING_STEPS, run.day)
    if not _write_down(run, decision, debt=debt, at=at):
        return False
    stop = last_stop(settings.DUNNING_STEPS, run.day)
    _hold_to(run, debt=debt, action=stop, at=at, now=now)
    telling.write(run, decision, debt=debt, before=before, now=stop, at=at)
    outbox.record(
        kind=f"dunning.{decision.move}",
        at=at,
        actor=_HOUSE,
        organisation=run.customer,
        subject=run.subject,
        data={"day": run.day, "next_on": str(run.next_on or ""), "next_day": run.next_day},
    )
    return True


def _write_down(run: Dunning, decision: Decision, *, debt: Debt | None, at: datetime) -> bool:
    """Move the row on, unless somebody has moved it since it was read."""
    step = decision.next_step
    changed = Dunning.objects.open().filter(pk=run.pk, version=run.version)
    if not changed.update(
        version=F("version") + 1,
        letters=F("letters") + 1,
        written_on=today(at),
        due_on=counted_from(run, debt) if debt else run.due_on,
        day=decision.day,
        next_day=step and step.day,
        next_on=decision.next_on,
        ended_at=at if decision.move is Move.END else None,
    ):
        return False
    run.refresh_from_db()
    DunningStep.objects.create(
        dunning=run,
        version=run.version,
        kind=decision.move.value,
        at=at,
        day=run.day,
        next_day=run.next_day,
        next_on=run.next_on,
    )
    return True


def _hold_to(
    run: Dunning, *, debt: Debt | None, action: Action, at: datetime, now: datetime
) -> None:
    """Let the organisation's switches be as the step says. On the day itself nothing is late."""
    debts_of_it = Restriction.objects.standing().filter(
        organisation=run.customer, cause=Restriction.Cause.DEBT
    )
    if debt is not None and run.day:
        standing.impose(
            actor=_HOUSE,
            organisation=run.customer,
            cause=Restriction.Cause.DEBT,
            state=_STATES[action],
            stops=SWITCHES[action],
            reason=_reason(debt),
            at=at,
            now=now,
        )
    elif debts_of_it.exists():
        standing.lift(
            actor=_HOUSE,
            organisation=run.customer,
            cause=Restriction.Cause.DEBT,
            reason="Nothing is overdue any more.",
            at=at,
            now=now,
        )


def _reason(debt: Debt) -> str:
    oldest = debt.bills[0]
    return (
        f"{debt.total_text} is overdue. The oldest bill, {oldest.number}, was due on "
        f"{words.day_text(oldest.due_on)}."
    )
