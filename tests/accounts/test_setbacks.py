"""One of many that fails waits alone, and is seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts import setbacks
from accounts.models import Setback
from hosting import doctor
from tests.factories import AT

pytestmark = pytest.mark.django_db(databases="__all__")
MINUTE = timedelta(minutes=1)
NO_SUCH_DAY = ValueError("no such day")


def fail(organisation, row_id=1, *, at=AT, failure=NO_SUCH_DAY):
    with setbacks.apart(
        work="testing", row_id=row_id, name="Alder", organisation=organisation, at=at
    ):
        raise failure


def left_out(at):
    return set(setbacks.waiting(work="testing", at=at))


def test_what_fails_goes_no_further_and_is_written_down(cast, caplog):
    fail(cast.customer)

    row = Setback.objects.get()
    assert (row.work, row.row_id, row.organisation) == ("testing", 1, cast.customer)
    assert (row.failure, row.tries, row.failed_at) == ("ValueError: no such day", 1, AT)
    assert "The work of testing fails for Alder" in caplog.text
    assert "Traceback" in caplog.text


def test_what_does_not_fail_leaves_no_trace(cast):
    with setbacks.apart(work="testing", row_id=1, name="x", organisation=cast.customer, at=AT):
        pass

    assert not Setback.objects.exists()


def test_a_worker_that_is_ended_is_no_setback(cast):
    with pytest.raises(SystemExit):
        fail(cast.customer, failure=SystemExit())

    assert not Setback.objects.exists()


def test_it_is_tried_again_ever_more_rarely(cast):
    at, waits = AT, []
    for _ in range(8):
        fail(cast.customer, at=at)
        row = Setback.objects.get()
        waits.append((row.next_try_at - at) // MINUTE)
        at = row.next_try_at

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (row.failed_first_at, row.tries) == (AT, 8)


def test_it_is_left_out_until_its_time_and_only_in_its_work(cast):
    fail(cast.customer, 7)

    assert left_out(AT) == {7}
    assert left_out(AT + MINUTE) == set()
    assert set(setbacks.waiting(work="other", at=AT)) == set()


def test_a_wait_from_a_clock_that_was_set_back_does_not_count(cast):
    fail(cast.customer, at=datetime(2040, 1, 1, tzinfo=UTC))

    assert left_out(AT) == set()


def test_it_is_over_once_a_sweep_came_past_without_it(cast):
    fail(cast.customer, 1)
    fail(cast.customer, 2, at=AT + MINUTE)
    setbacks.forget(work="other", at=AT + MINUTE)
    assert Setback.objects.count() == 2

    setbacks.forget(work="testing", at=AT + MINUTE)

    assert Setback.objects.get().row_id == 2


def test_it_can_be_taken_up_at_once(cast):
    fail(cast.customer)
    setbacks.try_now(setback=Setback.objects.get(), at=AT)

    assert left_out(AT) == set()


def test_doctor_says_whom_it_failed_for(cast):
    [finding] = doctor.examine(only=["sweeps"])
    assert (finding.is_well, finding.text) == (True, "nobody is left behind")

    fail(cast.customer)
    fail(cast.other_customer, 2)
    [finding] = doctor.examine(only=["sweeps"])

    assert not finding.is_well
    assert finding.text == "2 fail in a sweep, such as Alder in that of testing."
    assert finding.remedy.startswith("It says: ValueError: no such day")
