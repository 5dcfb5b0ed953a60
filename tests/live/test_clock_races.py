"""Test clocks against a real database: advanced by everybody at once, and killed anywhere."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta

import pytest

from accounts.models import Event
from hosting import clocks, invoicing, meters, test_clock
from hosting.dunning import sweeping
from hosting.invoicing import closing, writing
from hosting.models import (
    ClockAdvance,
    Dunning,
    Invoice,
    InvoiceCounter,
    MeterStep,
)
from mailstore.engine import engine
from tests.factories import make_cast
from tests.hosting.billing_rows import GIGABYTE, make_profile, moment
from tests.hosting.simulated import (
    MADE,
    REALLY,
    ask,
    keeps,
    make_test_customer,
    make_test_mailbox,
)
from tests.live.faults import Place, in_a_process, kill_after, kill_at, lifetimes

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

DAY = 86_400
TARGET = moment(18, month=12)


@pytest.fixture
def trial():
    """A test organisation that keeps so much that it comes to be stopped for its debt."""
    cast = make_cast()
    make_profile(cast.provider)
    customer = make_test_customer(cast.provider)
    keeps(make_test_mailbox(customer), 300 * GIGABYTE)
    return customer


def all_ended(pids):
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def work(asked, at=REALLY):
    test_clock.run(advance_id=asked.pk, engine=engine(), now=lambda: at)


def go_on(asked):
    """As the sweep does, once the lease of whoever was killed is over."""
    work(asked, at=REALLY + timedelta(minutes=10))


def assert_all_was_done_once(trial, asked):
    """What one undisturbed worker leaves behind."""
    asked.refresh_from_db()
    assert (asked.state, asked.done_count, asked.problems) == ("done", 59, [])
    assert clocks.now_for(trial) == TARGET
    bills = Invoice.objects.order_by("period")
    assert [each.number for each in bills] == ["TEST-000001", "TEST-000002"]
    assert [each.period.month for each in bills] == [10, 11]
    assert InvoiceCounter.objects.get(is_test=True).next_number == 3
    assert [problem for each in bills for problem in invoicing.verify(each)] == []
    # One size for all the time, so that October has 12 days of it.
    [step] = MeterStep.objects.values_list("bytes", flat=True)
    assert step == 300 * GIGABYTE
    lines = [line.used_byte_seconds for line in bills[0].lines.all()]
    assert set(lines) == {12 * DAY * 300 * GIGABYTE}
    run = Dunning.objects.get()
    steps = list(run.steps.order_by("version").values_list("version", flat=True))
    assert steps == list(range(1, run.version + 1))
    kinds = Event.objects.filter(organisation=trial, kind="test_clock.advanced")
    assert kinds.count() == 1
    trial.refresh_from_db()
    assert trial.state == "suspended"


def test_clock_asked_for_by_many_at_once_is_advanced_once(trial, counts):
    def once():
        with suppress(test_clock.AdvanceUnderWay):
            ask(trial, seconds=DAY)

    pids = [in_a_process(once) for _ in range(12)]

    assert all_ended(pids) == [0] * 12
    [asked] = ClockAdvance.objects.all()
    assert asked.target == MADE + timedelta(days=1)
    counts(asked_at_once=12)


def test_advance_worked_on_by_many_at_once_is_made_once(trial, counts):
    asked = ask(trial, to=TARGET)

    pids = [in_a_process(lambda: work(asked)) for _ in range(6)]

    assert all_ended(pids) == [0] * 6
    assert_all_was_done_once(trial, asked)
    counts(workers_at_once=6)


PLACES = [
    Place(name="before anything", owner=test_clock, function="_do_due", is_before=True),
    Place(name="before sizes are noted", owner=meters, function="note_sizes", is_before=True),
    Place(name="with sizes noted", owner=meters, function="note_sizes"),
    Place(
        name="before the clock moved", owner=test_clock, function="_move", is_before=True, call=2
    ),
    Place(name="with the clock moved", owner=test_clock, function="_move"),
    Place(name="with the counter locked", owner=closing, function="lock_counter"),
    Place(name="with the bill written", owner=closing, function="write"),
    Place(name="with the bill's event made", owner=writing, function="_events"),
    Place(name="before the second bill", owner=closing, function="_write", is_before=True, call=2),
    Place(name="with a month closed", owner=test_clock, function="_close_month", call=2),
    Place(name="with a run begun", owner=sweeping, function="_begin", call=3),
    Place(name="within a move of the run", owner=sweeping, function="_hold_to"),
    Place(name="after a move of the run", owner=sweeping, function="_make", call=3),
    Place(name="before the end", owner=test_clock, function="_finish", is_before=True),
    Place(name="after the end", owner=test_clock, function="_finish"),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_advance_that_is_killed_at_a_named_place_goes_on(trial, place, counts):
    asked = ask(trial, to=TARGET)
    kill_at(place, lambda: work(asked))

    pids = [in_a_process(lambda: go_on(asked)) for _ in range(2)]

    assert all_ended(pids) == [0, 0]
    assert_all_was_done_once(trial, asked)
    counts(kills=1)


def test_advance_that_is_killed_anywhere_is_made_once(trial, counts):
    asked = ask(trial, to=TARGET)
    kills = 0
    for turn, seconds in enumerate(lifetimes(7)):
        # Each turn finds the lease of the one before it over.
        at = REALLY + timedelta(minutes=10 * turn)
        pid = in_a_process(lambda at=at: work(asked, at))
        if not kill_after(seconds, pid):
            break
        kills += 1

    assert kills > 1
    assert_all_was_done_once(trial, asked)
    counts(kills=kills)
