"""The nightly recount beside a real mail server that goes on delivering, and killed half-way."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from mailstore import recounting
from mailstore.engine.doveadm import DoveadmEngine
from mailstore.models import Drift, Recount, Suspicion, Usage
from tests.live.faults import Place, kill_at
from tests.live.test_faults import deliver_until, in_background
from tests.patience import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

PLACES = [
    Place(name="before asking", owner=DoveadmEngine, function="sizes", is_before=True),
    Place(name="after asking", owner=DoveadmEngine, function="sizes"),
    Place(
        name="before the report is put right",
        owner=recounting,
        function="_is_written",
        is_before=True,
    ),
    Place(name="after it is put right, not committed", owner=recounting, function="_is_written"),
    Place(name="after the drift is committed", owner=recounting, function="_put_right"),
    Place(name="after all suspicions", owner=recounting, function="settle"),
]


def recount(live, at, due_at):
    while not recounting.recount(engine=live, at=at, due_at=due_at, chunk=2):
        pass


def lose_a_report(program):
    """Leave the row as it would be if nothing had been said of the last message."""
    eventually(lambda: Usage.objects.get(username=program.address).messages == 1)
    before = Usage.objects.get(username=program.address)
    program.deliver("Unreported")
    eventually(lambda: Usage.objects.get(username=program.address).messages == 2)
    figures = {"bytes": before.bytes, "messages": before.messages}
    Usage.objects.filter(username=program.address).update(**figures)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_recount_that_is_killed_anywhere_finds_each_drift_once(make_program, live, place, counts):
    program = make_program("imap")
    program.deliver("First")
    lose_a_report(program)
    now = timezone.now()
    recount(live, now, due_at=now)
    assert Suspicion.objects.count() == 1
    later = now + recounting.PATIENCE

    kill_at(place, lambda: recount(live, later, due_at=now))
    recount(live, later, due_at=now)

    [size] = live.sizes(users=[program.address]).values()
    usage = Usage.objects.get(username=program.address)
    assert (usage.bytes, usage.messages) == (size.bytes, size.messages)
    assert Drift.objects.get().true_bytes == size.bytes
    assert not Suspicion.objects.exists()
    counts(kills=1)


def test_mail_that_arrives_all_the_while_is_no_drift(make_program, live, monkeypatch, counts):
    # What LMTP delivers is reported at its end; a program that stays signed in takes longer.
    patience = timedelta(seconds=5)
    monkeypatch.setattr(recounting, "PATIENCE", patience)
    programs = [make_program("imap", f"busy{number}") for number in range(2)]
    looks = 0
    until = time.monotonic() + 3 * patience.total_seconds()
    with (
        in_background(lambda stop: deliver_until(programs[0], stop, most=2_000)) as first,
        in_background(lambda stop: deliver_until(programs[1], stop, most=2_000)) as second,
    ):
        while time.monotonic() < until:
            now = timezone.now()
            recounting.recount(engine=live, at=now, due_at=now)
            looks += 1
    delivered = len(first[0]) + len(second[0])
    eventually(lambda: sum(Usage.objects.values_list("messages", flat=True)) == delivered)
    time.sleep(patience.total_seconds())
    for _ in range(2):
        now = timezone.now()
        recounting.recount(engine=live, at=now, due_at=now)

    assert not Drift.objects.exists()
    assert sum(Usage.objects.values_list("messages", flat=True)) == delivered
    counts(looks=looks, deliveries=delivered, recounts=Recount.objects.count())


def test_report_and_correction_at_once_leave_what_was_reported(make_program, live):
    program = make_program("imap")
    program.deliver("First")
    lose_a_report(program)
    now = timezone.now()
    recount(live, now, due_at=now)
    suspicion = Suspicion.objects.get()

    program.deliver("At the very moment")
    eventually(lambda: Usage.objects.get(username=program.address).messages == 3)

    assert recounting._put_right(suspicion) is False
    [size] = live.sizes(users=[program.address]).values()
    assert Usage.objects.get(username=program.address).bytes == size.bytes
    assert not Drift.objects.exists()
