"""What a purge and a return stand on fails: the mail server, the disk, the clock, the queue."""

from __future__ import annotations

import os
import random
import resource
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Event
from mailstore import purging, recovery, sweeping, working
from mailstore.engine.doveadm import DoveadmEngine
from mailstore.models import Mailbox, PurgeRun, WorkState
from tests.live.faults import (
    ACTOR,
    Place,
    home_of,
    in_a_process,
    kill_at,
    pulled,
    seed,
    stored,
    sweep,
    wanted,
    wanted_in_store,
)

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

# Dovecot dates by its own clock, so the clock of the rules goes ahead instead.
LATER = timedelta(days=40)


@pytest.fixture
def program(make_program):
    program = make_program()
    Mailbox.objects.update(window_days=365)
    program.mailbox.refresh_from_db()
    return program


def check_purged(program, model, folder="Junk"):
    """All of the folder is in the store, once, and the receipt says so."""
    assert stored(program) == wanted_in_store(model.of(folder))
    assert pulled(program.imap(), folder, "INBOX") == wanted(model.of("INBOX"))
    run = PurgeRun.objects.get()
    assert (run.state, run.messages) == (WorkState.DONE, len(model.of(folder)))
    assert Event.objects.filter(kind="purge.finished").count() == 1


def go_on(program, at):
    """Sweep on: the lease of who died must run out first."""
    for turn in (1, 2, 3):
        sweep(program.live, at + turn * 2 * working.LEASE)


# The mail server ------------------------------------------------------------------------


@contextmanager
def mail_server_dies(dovecot, folder, *, files):
    """End all of Dovecot as soon as the folder, in the making, holds so many messages."""
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            try:
                count = sum(1 for _file in folder.glob("u.*"))
            except FileNotFoundError:
                count = 0
            if count >= files:
                dovecot.kill()
                return
            time.sleep(0.0002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


@pytest.mark.parametrize("chance", range(5))
def test_mail_server_dies_in_the_middle_of_a_move(chance, program, dovecot, counts):
    model = seed(program, {"Junk": 150, "INBOX": 3})
    at = timezone.now() + LATER
    folder = home_of(program.mailbox) / "expunged/mailboxes/Junk/dbox-Mails"

    with mail_server_dies(dovecot, folder, files=random.Random(chance).randint(1, 140)):
        sweep(program.live, at)
    if not dovecot.started:
        dovecot.start()
        counts(**{"deaths in the middle": 1})
    go_on(program, at)

    check_purged(program, model)
    counts(messages=153)


@pytest.mark.parametrize(
    "place",
    [
        Place(name="before a batch", owner=DoveadmEngine, function="remove", is_before=True),
        Place(name="after a batch", owner=DoveadmEngine, function="remove"),
        Place(name="before it is read", owner=DoveadmEngine, function="present", is_before=True),
    ],
    ids=str,
)
def test_purge_waits_for_the_mail_server(place, program, dovecot, monkeypatch, counts):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 3)
    model = seed(program, {"Junk": 7, "INBOX": 3})
    at = timezone.now() + LATER

    with place.reached(dovecot.stop):
        sweep(program.live, at)
    assert PurgeRun.objects.get().state == WorkState.RUNNING
    dovecot.start()
    go_on(program, at)

    check_purged(program, model)
    counts(outages=1, messages=10)


def test_return_waits_for_the_mail_server(program, dovecot, monkeypatch, counts):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 3)
    model = seed(program, {"INBOX": 8})
    uids = [letter.uid for letter in model.letters]
    program.live.remove(user=program.address, folder="INBOX", uids=uids)
    ask_for_all(program)
    at = timezone.now()

    place = Place(name="", owner=DoveadmEngine, function="restore", call=2, is_before=True)
    with place.reached(dovecot.stop):
        recovery.run_open(engine=program.live, now=lambda: at)
    dovecot.start()
    recovery.run_open(engine=program.live, now=lambda: at + 2 * working.LEASE)

    assert pulled(program.imap(), "INBOX") == wanted(model.letters)
    assert stored(program) == {}
    counts(outages=1, messages=8)


def ask_for_all(program):
    return recovery.roll_back(
        actor=ACTOR,
        mailbox=program.mailbox,
        engine=program.live,
        moment=timezone.now() - timedelta(hours=1),
        at=timezone.now(),
    )


# The disk -------------------------------------------------------------------------------


@contextmanager
def full_disk(dovecot):
    """No process that serves commands can lengthen a file, as on a disk without space."""
    workers = [dovecot.master, *dovecot.processes("doveadm")]
    limits = {worker.pid: worker.rlimit(resource.RLIMIT_FSIZE) for worker in workers}
    for worker in workers:
        worker.rlimit(resource.RLIMIT_FSIZE, (1, limits[worker.pid][1]))
    yield
    for worker in (one for one in workers if one.is_running()):
        worker.rlimit(resource.RLIMIT_FSIZE, limits[worker.pid])
    for worker in dovecot.processes("doveadm"):
        worker.kill()


def test_full_disk_puts_a_purge_off(program, dovecot, counts):
    model = seed(program, {"Junk": 20, "INBOX": 3})
    at = timezone.now() + LATER

    with full_disk(dovecot):
        sweep(program.live, at)
        assert not PurgeRun.objects.filter(state=WorkState.DONE).exists()
    go_on(program, at)

    check_purged(program, model)
    counts(messages=23)


def test_full_disk_puts_a_return_off(program, dovecot, counts):
    model = seed(program, {"INBOX": 20})
    uids = [letter.uid for letter in model.letters]
    program.live.remove(user=program.address, folder="INBOX", uids=uids)
    run = ask_for_all(program)
    at = timezone.now()

    with full_disk(dovecot):
        recovery.run_open(engine=program.live, now=lambda: at)
        run.refresh_from_db()
        assert run.state != WorkState.DONE
    for turn in (1, 2):
        recovery.run_open(engine=program.live, now=lambda turn=turn: at + turn * 2 * working.LEASE)

    assert pulled(program.imap(), "INBOX") == wanted(model.letters)
    assert stored(program) == {}
    counts(messages=20)


# The queue and the clock ----------------------------------------------------------------


def test_twenty_deliveries_of_one_purge(program, monkeypatch, counts):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 5)
    model = seed(program, {"Junk": 60, "INBOX": 3})
    at = timezone.now() + LATER
    run = purging.plan_retention(mailbox=program.mailbox, engine=program.live, at=at)

    def work():
        return purging.work_off(run=run, engine=program.live, now=lambda: at)

    for pid in [in_a_process(work) for _ in range(20)]:
        os.waitpid(pid, 0)

    check_purged(program, model)
    counts(deliveries=20, messages=63)


def test_purge_goes_on_when_the_queue_was_emptied(program):
    model = seed(program, {"Junk": 5, "INBOX": 3})
    at = timezone.now() + LATER
    # Planned, and the task that would have told a worker is lost.
    assert purging.plan_retention(mailbox=program.mailbox, engine=program.live, at=at)

    assert sweeping.run_open(engine=program.live, now=lambda: at) == 1

    check_purged(program, model)


def test_clock_set_back_neither_stops_nor_hastens(program, monkeypatch, counts):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 3)
    model = seed(program, {"Junk": 8, "Trash": 2, "INBOX": 3})
    at = timezone.now() + LATER
    place = Place(name="after a batch", owner=DoveadmEngine, function="remove")
    kill_at(place, lambda: sweep(program.live, at))

    # What was planned goes on although its lease ends in weeks, and nothing new is planned.
    for turn in (0, 1):
        sweep(program.live, timezone.now() + turn * 2 * working.LEASE)

    run = PurgeRun.objects.get()
    assert (run.state, run.messages) == (WorkState.DONE, 10)
    assert stored(program) == wanted_in_store(model.of("Junk", "Trash"))
    assert pulled(program.imap(), "Junk", "INBOX") == wanted(model.of("INBOX"))
    counts(kills=1, messages=13)


def test_nothing_is_planned_while_the_clock_is_slow(program):
    model = seed(program, {"Junk": 3})
    sweep(program.live, timezone.now())

    sweep(program.live, timezone.now() - timedelta(days=400))

    assert pulled(program.imap(), "Junk") == wanted(model.letters)
    assert not PurgeRun.objects.exists()
