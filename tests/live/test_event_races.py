"""The trail of events against a real database: many at once, killed anywhere, tampered with."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from accounts import chaining, checkpoints, numbering, outbox, seals, verifying
from accounts.access import system
from accounts.models import ChainHead, Event, EventCounter
from tests.accounts.unguarded import unguarded
from tests.factories import AT, make_cast
from tests.live.faults import Place, in_a_process, kill_at, killed

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ACTOR = system("tests")
CHANCES = int(os.environ.get("KILLS", "6"))


@pytest.fixture
def organisations(settings, tmp_path):
    settings.CHECKPOINT_FILE = str(tmp_path / "checkpoints")
    cast = make_cast()
    return [cast.customer, cast.other_customer, cast.reseller]


def record(organisations, count, *, pause=0.0):
    for number in range(count):
        with transaction.atomic():
            outbox.record(
                kind="mailbox.suspended",
                at=AT,
                actor=ACTOR,
                organisation=organisations[number % len(organisations)],
                subject=("mailbox", "0" * 32, f"m{number}"),
                data={"number": number},
            )
            time.sleep(pause * random.random())


def follow():
    numbering.number_all()
    while chaining.chain(limit=7):
        pass


def is_whole():
    """No place is missing or given twice, and every link is what it must be."""
    follow()
    count = Event.objects.count()
    places = sorted(Event.objects.values_list("position", flat=True))
    assert places == list(range(1, count + 1))
    assert (ChainHead.objects.get().position, EventCounter.objects.get().last_position) == (
        count,
        count,
    )
    assert verifying.verify().faults == []
    return count


def test_many_who_record_number_and_chain_at_once_make_one_chain(organisations, counts):
    recorders = [lambda: record(organisations, 25, pause=0.01)] * 4
    followers = [lambda: [follow() for _turn in range(15)]] * 4
    before = Event.objects.count()

    pids = [in_a_process(work) for work in (*recorders, *followers)]
    endings = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]

    assert set(endings) == {0}
    assert is_whole() == before + 100
    counts(recorded_at_once=100, followers=4)


PLACES = [
    Place(name="before places are given", owner=numbering, function="_write", is_before=True),
    Place(name="with places given", owner=numbering, function="_write"),
    Place(name="after the places are committed", owner=numbering, function="number"),
    Place(name="with the head locked", owner=chaining, function="_extend", is_before=True),
    Place(name="with some links computed", owner=chaining, function="next_link", call=5),
    Place(name="with the links written", owner=seals, function="seal", is_before=True, call=2),
    Place(name="before the commit", owner=chaining, function="_extend"),
    Place(name="after the commit", owner=chaining, function="chain"),
    Place(name="in the second batch", owner=chaining, function="_extend", call=2),
    Place(name="before the checkpoint", owner=checkpoints, function="_store", is_before=True),
    Place(
        name="before the file is written", owner=checkpoints, function="_remember", is_before=True
    ),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_follower_that_is_killed_leaves_nothing_half_done(place, organisations, counts):
    record(organisations, 20)

    def work():
        follow()
        checkpoints.write(at=AT)

    kill_at(place, work)

    assert verifying.verify().faults == []
    is_whole()
    counts(killed=1)


def test_followers_that_are_killed_by_chance_leave_one_chain(organisations, counts):
    chance = random.Random(7)
    for _turn in range(CHANCES):
        recorder = in_a_process(lambda: record(organisations, 30, pause=0.002))
        follower = in_a_process(lambda: [follow() for _again in range(10_000)])
        time.sleep(0.05 + chance.random() * 0.4)
        os.kill(follower, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(recorder, signal.SIGKILL)
        killed(follower)
        killed(recorder)
        is_whole()
    counts(killed=2 * CHANCES)


def test_what_an_earlier_release_recorded_is_chained_in_batches(organisations, counts):
    """The rows as a migration leaves them, with places and without links; a worker dies twice."""
    record(organisations, 60)
    numbering.number_all()
    kill_at(Place(name="third batch", owner=chaining, function="_extend", call=3), follow)
    kill_at(Place(name="second batch", owner=chaining, function="chain", call=2), follow)

    is_whole()
    counts(chained_later=60)


def test_the_database_refuses_to_change_the_past(organisations):
    record(organisations, 5)
    follow()
    statements = (
        "UPDATE accounts_event SET actor_name = 'nobody'",
        "UPDATE accounts_event SET link = ''",
        "UPDATE accounts_event SET position = NULL",
        "UPDATE accounts_event SET data = '{}' WHERE position = 3",
        "DELETE FROM accounts_event WHERE position = 3",
        *(["TRUNCATE accounts_event CASCADE"] if connection.vendor == "postgresql" else []),
    )
    for statement in statements:
        with (
            pytest.raises(DatabaseError, match="written once"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    assert is_whole() == Event.objects.count()


TAMPERED = {
    "changed": "UPDATE accounts_event SET actor_name = 'nobody' WHERE position = 9",
    "removed": "DELETE FROM accounts_event WHERE position = 9",
    "cut off": "DELETE FROM accounts_event WHERE position >= 9",
    "forged data": """UPDATE accounts_event SET data = '{"number": 77}' WHERE position = 9""",
}


@pytest.mark.parametrize("how", TAMPERED)
def test_the_command_finds_what_was_tampered_with(how, organisations, capsys):
    record(organisations, 20)
    follow()
    with unguarded(), connection.cursor() as cursor:
        cursor.execute(TAMPERED[how])

    with pytest.raises(SystemExit) as end:
        call_command("verify_events")

    assert end.value.code == 1
    assert "At place" in capsys.readouterr().out
