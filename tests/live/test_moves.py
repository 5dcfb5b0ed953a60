"""Moves and removals on a real Dovecot: nothing is gone, and nothing is kept twice."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from threading import Barrier

import pytest
from django.db import connection
from django.utils import timezone

from accounts.access import system
from mailstore import holding, logbook, recovery, tripwire
from mailstore.engine import EngineRefused
from mailstore.models import Alarm, Mailbox, MessageCopy, Removal
from tests.patience import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ACTOR = system("tests")
MANY = 250


def fill(client, folder, messages=MANY):
    client.create(folder)
    for number in range(messages):
        client.append(folder, "", None, f"Subject: {folder} {number}\r\n\r\nx\r\n".encode())


def stored(program):
    return sorted(message.subject for message in program.live.removed_mail(user=program.address))


def subjects(folder, messages=MANY):
    return sorted(f"{folder} {number}" for number in range(messages))


def held(program, folder):
    return len(program.live.messages(user=program.address, folder=folder))


def told():
    return sum(Removal.objects.values_list("messages", flat=True))


def noted(program, removals):
    """Have the log read until it told of so many removals."""

    def is_noted():
        logbook.read(path=program.server.log)
        return told() == removals

    eventually(is_noted)


def expunge(client, folder):
    client.select(folder)
    client.store("1:*", "+FLAGS.SILENT", r"(\Deleted)")
    return client


@pytest.mark.parametrize("turn", range(4))
def test_two_sessions_that_expunge_two_copies_at_once_destroy_nothing(turn, make_program):
    program = make_program("imap", f"race-{turn}")
    first, second = program.imap(), program.imap()
    fill(first, "Work")
    first.create("Other")
    first.select("Work")
    first.copy("1:*", "Other")
    sessions = [expunge(first, "Work"), expunge(second, "Other")]
    gate = Barrier(2)

    def remove(client):
        gate.wait()
        return client.expunge()[0]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(remove, sessions)) == ["OK", "OK"]

    noted(program, 2 * MANY)
    assert tripwire.watch(engine=program.live, at=timezone.now()) == 1
    assert (stored(program), told()) == (subjects("Work"), MANY)
    alarm = Alarm.objects.get()
    assert alarm.messages == MANY
    run = tripwire.roll_back(actor=ACTOR, alarm=alarm, engine=program.live, at=timezone.now())
    recovery.work_off(run=run, engine=program.live, now=timezone.now)
    # Where it was before it was copied.
    assert (held(program, "Work"), held(program, "Other"), stored(program)) == (MANY, 0, [])


def test_copy_that_is_removed_while_a_session_moves_it_is_kept(make_program):
    program = make_program("imap", "move-race")
    first, second = program.imap(), program.imap()
    fill(first, "Work")
    first.create("Other")
    first.select("Work")
    second.select("Other")

    def drain():
        for _ in range(200):
            second.noop()
            second.uid("STORE", "1:*", "+FLAGS.SILENT", r"(\Deleted)")
            second.expunge()

    with ThreadPoolExecutor(1) as pool:
        draining = pool.submit(drain)
        first.uid("MOVE", "1:*", "Other")
        draining.result()

    logbook.read(path=program.server.log)
    tripwire.watch(engine=program.live, at=timezone.now())
    left = held(program, "Other") + held(program, "Work")
    assert len(set(stored(program))) + left == MANY


class Slow:
    """The mail server, before which something else has a second's time to happen."""

    def __init__(self, engine, meanwhile):
        self.engine, self.meanwhile = engine, meanwhile

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def remove_for_good(self, **asked):
        self.meanwhile()
        time.sleep(1)
        self.engine.remove_for_good(**asked)


def test_hold_that_is_placed_meanwhile_waits_for_what_leaves_the_store(make_program, cast):
    program = make_program("imap", "held")
    client = program.imap()
    fill(client, "Work")
    client.select("Work")
    client.uid("MOVE", "1:*", "Trash")
    noted(program, MANY)
    left_when_held = []

    def hold():
        asked = {"matter": "m", "reason": "r", "at": timezone.now()}
        with closing(connection):
            holding.place(actor=ACTOR, by=cast.sam, scope=cast.domain, **asked)
            left_when_held.append(stored(program))

    with ThreadPoolExecutor(1) as pool:
        placing = []
        engine = Slow(program.live, lambda: placing.append(pool.submit(hold)))
        tripwire.watch(engine=engine, at=timezone.now())
        placing[0].result()

    assert left_when_held == [[]]


def by_move(client):
    client.select("Work")
    client.uid("MOVE", "1:*", "Trash")


def by_copy(client):
    client.select("Work")
    client.copy("1:*", "Trash")
    expunge(client, "Work").expunge()


def by_copy_and_close(client):
    client.select("Work")
    client.copy("1:*", "Trash")
    expunge(client, "Work").close()


@pytest.mark.parametrize("move", [by_move, by_copy, by_copy_and_close])
def test_move_leaves_no_second_copy_and_fires_nothing(move, make_program):
    program = make_program("imap", f"mover-{move.__name__}")
    Mailbox.objects.update(trip_messages=MANY)
    client = program.imap()
    fill(client, "Work")
    move(client)
    client.logout()

    noted(program, MANY)
    # A row is of one minute, and they may have gone in two.
    assert set(MessageCopy.objects.values_list("folder", flat=True)) == {"Trash"}
    assert tripwire.watch(engine=program.live, at=timezone.now()) == 0
    assert (stored(program), held(program, "Trash"), told()) == ([], MANY, 0)


def purge(program, uids):
    """As a worker does it: a move fails where a message went meanwhile, and is tried again."""
    for _ in range(MANY):
        with suppress(EngineRefused):
            program.live.remove(user=program.address, folder="Work", uids=uids)
            return
    pytest.fail("the purge never came to an end")


def test_purge_and_program_that_remove_the_same_lose_nothing(make_program):
    program = make_program("imap", "purge-race")
    client = program.imap()
    fill(client, "Work")
    expunge(client, "Work")
    uids = [message.uid for message in program.live.messages(user=program.address, folder="Work")]
    moment = timezone.now().replace(microsecond=0)
    with ThreadPoolExecutor(1) as pool:
        removing = pool.submit(purge, program, uids)
        client.expunge()
        removing.result()

    assert sorted(set(stored(program))) == subjects("Work")
    run = recovery.roll_back(
        actor=ACTOR,
        mailbox=program.mailbox,
        engine=program.live,
        moment=moment,
        at=timezone.now(),
    )
    recovery.work_off(run=run, engine=program.live, now=timezone.now)
    assert held(program, "Work") == MANY
