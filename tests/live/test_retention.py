"""Nothing is gone at once, on a real Dovecot, with workers that are killed."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from accounts.access import system
from mailstore import (
    logbook,
    purging,
    receipts,
    recovery,
    retention,
    retrievals,
    rules,
    sweeping,
    tripwire,
    working,
)
from mailstore.engine import RemovedSearch, uids_of
from mailstore.models import (
    Alarm,
    FetchDoubt,
    Mailbox,
    PurgeRun,
    Removal,
    RestoreRun,
    WorkState,
)
from mailstore.policy import CountedFrom, Rule
from tests.live.faults import in_a_process, kill_after, lifetimes
from tests.patience import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ACTOR = system("tests")
# Dovecot dates by its own clock, so the clock of the rules goes ahead instead.
LATER = timedelta(days=40)
# Chance decides when a worker is killed. `KILLS=100 bin/test tests/live/test_retention.py -k kills`
# tries a hundred chances.
CHANCES = range(int(os.environ.get("KILLS", "1")))


def seed(program, folder, count, size=300):
    """Store messages and return the digest of each one's text."""
    digests = set()
    for number in range(count):
        body = f"{folder} {number} ".encode() + b"x" * size
        head = f"Message-ID: <{folder}-{number}@x.test>\r\nSubject: {folder} {number}\r\n\r\n"
        program.live.store(
            user=program.address, folder=folder, message=head.encode() + body + b"\r\n"
        )
        digests.add(hashlib.sha256(body).hexdigest())
    return digests


def pulled(client, folder):
    """What a mail program finds: a digest for each message, as often as it is there."""
    client.select(folder, readonly=True)
    _status, found = client.fetch("1:*", "(BODY.PEEK[TEXT])") if count_of(client) else ("OK", [])
    texts = [part[1].removesuffix(b"\r\n") for part in found if isinstance(part, tuple)]
    return sorted(hashlib.sha256(text).hexdigest() for text in texts)


def count_of(client):
    return len(client.search(None, "ALL")[1][0].split())


def kill_until_done(run, work_off, *, seed_of_chance):
    """Start workers and kill them at random moments, until one gets through."""
    kills = 0
    for turn, seconds in enumerate(lifetimes(seed_of_chance)):
        now = timezone.now() + LATER + turn * 2 * working.LEASE
        pid = in_a_process(lambda now=now: work_off(lambda: now))
        kills += kill_after(seconds, pid)
        run.refresh_from_db()
        if run.state == WorkState.DONE:
            return kills
    pytest.fail("The work was never done.")


@pytest.mark.parametrize("chance", CHANCES)
def test_purge_survives_kills_and_removes_exactly_what_the_model_says(
    chance, make_program, monkeypatch, counts
):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 10)
    program = make_program()
    victims = {folder: seed(program, folder, 80) for folder in ("Junk", "Trash")}
    kept = seed(program, "INBOX", 30)
    at = timezone.now() + LATER
    run = purging.plan_retention(mailbox=program.mailbox, engine=program.live, at=at)
    connections.close_all()
    late = seed(program, "Junk", 1, size=77)

    kills = kill_until_done(
        run,
        lambda now: purging.work_off(run=run, engine=program.live, now=now),
        seed_of_chance=chance,
    )

    client = program.imap()
    assert pulled(client, "Junk") == sorted(late)
    assert pulled(client, "Trash") == []
    assert pulled(client, "INBOX") == sorted(kept)
    removed = program.live.removed_mail(user=program.address)
    names = sorted(message.subject for message in removed)
    assert names == sorted(f"{folder} {n}" for folder in victims for n in range(80))
    for receipt in receipts.of(run):
        assert (receipt.messages, uids_of(receipt.uids)) == (80, list(range(1, 81)))
    assert run.messages == 160
    counts(purges=1, kills=kills, messages=run.messages)


@pytest.mark.parametrize("chance", CHANCES)
def test_roll_back_survives_kills_and_brings_each_message_back_once(
    chance, make_program, monkeypatch, counts
):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 10)
    program = make_program()
    digests = seed(program, "INBOX", 90)
    before = timezone.now() - timedelta(minutes=1)
    client = program.imap()
    client.select("INBOX")
    client.store("1:50", "+FLAGS", r"(\Flagged \Seen)")
    client.store("1:*", "+FLAGS", r"(\Deleted)")
    client.expunge()
    assert pulled(client, "INBOX") == []
    run = recovery.roll_back(
        actor=ACTOR,
        mailbox=program.mailbox,
        engine=program.live,
        moment=before,
        at=timezone.now(),
    )

    kills = kill_until_done(
        run,
        lambda now: recovery.work_off(run=run, engine=program.live, now=now),
        seed_of_chance=chance,
    )

    assert pulled(program.imap(), "INBOX") == sorted(digests)
    assert program.live.removed_mail(user=program.address) == []
    client = program.imap()
    client.select("INBOX")
    assert len(client.search(None, "FLAGGED SEEN")[1][0].split()) == 50
    assert client.search(None, "DELETED")[1] == [b""]
    counts(returns=1, kills=kills, messages=90)


def test_twenty_deliveries_of_one_task_restore_once(make_program):
    program = make_program()
    digests = seed(program, "INBOX", 40)
    program.live.remove(user=program.address, folder="INBOX", uids=list(range(1, 41)))
    run = recovery.roll_back(
        actor=ACTOR,
        mailbox=program.mailbox,
        engine=program.live,
        moment=timezone.now() - timedelta(minutes=1),
        at=timezone.now(),
    )

    work = [
        in_a_process(
            lambda: recovery.work_off(run=run, engine=program.live, now=timezone.now),
        )
        for _ in range(20)
    ]
    for pid in work:
        os.waitpid(pid, 0)

    assert pulled(program.imap(), "INBOX") == sorted(digests)
    assert RestoreRun.objects.get().state == WorkState.DONE


def test_folder_that_gets_a_rules_name_is_looked_at_with_the_next_sweep(make_program):
    """A rule speaks of a folder that is yet to come, and a program gives its name to an old one."""
    program = make_program()
    rule = Rule(folder="Old", counted_from=CountedFrom.ARRIVAL, days=30)
    rules.set_rule(actor=ACTOR, target=program.mailbox, rule=rule, at=timezone.now())
    client = program.imap()
    client.create("Work")
    client.append("Work", "", None, b"Subject: Old\r\n\r\nx\r\n")
    sweeping.plan_due(engine=program.live, at=timezone.now() + timedelta(days=25))

    client.rename("Work", "Old")
    client.logout()

    def is_asked():
        logbook.read(path=program.server.log)
        return Mailbox.objects.get().retention_due_at is None

    eventually(is_asked)
    sweeping.plan_due(engine=program.live, at=timezone.now() + timedelta(days=31))
    assert PurgeRun.objects.get().planned_messages == 1


def test_pop_lets_go_what_was_fetched_and_gives_it_back(make_program):
    program = make_program("pop")
    for subject in ("One", "Two"):
        program.deliver(subject)
    client = program.pop()
    client.retr(1)
    client.quit()
    logbook.read(path=program.server.log)
    assert sweeping.note_retrievals(engine=program.live, at=timezone.now()) == 1
    at = timezone.now() + LATER

    run = purging.plan_retention(mailbox=program.mailbox, engine=program.live, at=at)
    purging.work_off(run=run, engine=program.live, now=lambda: at)

    assert program.pop().stat()[0] == 1
    restore = recovery.restore(
        actor=ACTOR,
        mailbox=program.mailbox,
        engine=program.live,
        chosen=[("INBOX", 1)],
        at=timezone.now(),
    )
    recovery.work_off(run=restore, engine=program.live, now=timezone.now)
    client = program.pop()
    subjects = [b"\n".join(client.retr(n + 1)[1]) for n in range(client.stat()[0])]
    assert sorted(b"Subject: One" in text for text in subjects) == [False, True]


def test_pop_message_that_came_back_stays_until_it_is_fetched_again(make_program):
    program = make_program("pop")
    program.deliver("One")
    client = program.pop()
    client.retr(1)
    [identifier] = client.uidl()[1]
    client.dele(1)
    client.quit()
    restore = recovery.restore(
        actor=ACTOR,
        mailbox=program.mailbox,
        engine=program.live,
        chosen=[("INBOX", 1)],
        at=timezone.now(),
    )

    recovery.work_off(run=restore, engine=program.live, now=timezone.now)

    at = timezone.now()
    assert retrievals.note(mailbox=program.mailbox, engine=program.live, at=at) == 0
    client = program.pop()
    [identifier_now] = client.uidl()[1]
    assert identifier_now.split()[1] != identifier.split()[1]
    client.retr(1)
    client.quit()
    assert retrievals.note(mailbox=program.mailbox, engine=program.live, at=at) == 1


def test_pop_message_whose_download_broke_off_counts_once_it_was_fetched_whole(make_program):
    program = make_program("pop", "torn")
    large = b"Subject: Large\r\n\r\n" + b"A line.\r\n" * 300_000
    program.live.deliver(recipient=program.address, message=large, sender="a@x.test")
    client = program.pop()
    client._putcmd("RETR 1")
    client.sock.recv(1000)
    # A reset, as by a network that is gone: nobody says QUIT.
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()

    def is_told():
        logbook.read(path=program.server.log)
        return FetchDoubt.objects.filter(mailbox=program.mailbox).exists()

    eventually(is_told)
    at = timezone.now() + timedelta(minutes=2)
    assert sweeping.note_retrievals(engine=program.live, at=at) == 0
    later = timezone.now() + LATER
    program.mailbox.refresh_from_db()
    plan = purging.plan_retention(mailbox=program.mailbox, engine=program.live, at=later)
    assert plan is None

    client = program.pop()
    client.retr(1)
    client.quit()

    def is_noted():
        logbook.read(path=program.server.log)
        return sweeping.note_retrievals(engine=program.live, at=timezone.now() + timedelta(1))

    eventually(is_noted)
    assert retrievals.fetched(mailbox=program.mailbox, engine=program.live) == {1}


def test_store_is_emptied_for_good_after_the_window(make_program):
    program = make_program()
    seed(program, "INBOX", 3)
    program.live.remove(user=program.address, folder="INBOX", uids=[1, 2])
    window = timedelta(days=program.mailbox.window_days, minutes=1)
    at = timezone.now() + window

    run = purging.plan_store(mailbox=program.mailbox, engine=program.live, at=at)
    purging.work_off(run=run, engine=program.live, now=lambda: at)

    assert program.live.removed_mail(user=program.address) == []
    assert len(pulled(program.imap(), "INBOX")) == 1


def test_thief_trips_the_wire_and_the_owner_rolls_back(make_program):
    program = make_program("imap", "victim")
    digests = seed(program, "INBOX", 40)
    thief = program.imap()
    thief.select("INBOX")
    thief.store("1:*", "+FLAGS", r"(\Deleted)")
    thief.expunge()
    thief.logout()

    logbook.read(path=program.server.log)
    assert tripwire.watch(engine=program.live, at=timezone.now()) == 1

    alarm = Alarm.objects.get()
    assert (alarm.messages, alarm.mailbox_id) == (40, program.mailbox.pk)
    with pytest.raises(Exception, match="This mailbox is locked: much mail was removed"):
        program.imap()
    run = tripwire.roll_back(actor=ACTOR, alarm=alarm, engine=program.live, at=timezone.now())
    recovery.work_off(run=run, engine=program.live, now=timezone.now)
    with pytest.raises(Exception, match="Authentication failed"):
        program.imap()
    back = program.live.messages(user=program.address, folder="INBOX")
    assert len(back) == len(digests)


WIRE_NAMES = (
    "Entw&APw-rfe",
    "A&-B",
    "&ZeVnLIpeZeVnLIpeZeVnLIpeZeVnLIpeZeVnLIpeZeVnLIpeZeVnLIpeZeVnLIpeZeVnLIpe-",
    "y" * 60,
    "u" * 200 + "/" + "v" * 150,
    "INBOX: box=.EXPUNGED/INBOX, uid=1, size=9",
    'a [b] (c) \\"d',
    "a*?%",
)


@pytest.mark.parametrize("number", range(len(WIRE_NAMES)))
def test_folder_of_any_name_is_noted_and_comes_back_as_itself(number, make_program):
    wire_name = WIRE_NAMES[number]
    # All tests share one log.
    program = make_program("imap", f"folder-{number}")
    client = program.imap()
    quoted = '"' + wire_name.replace("\\", r"\\").replace('"', r"\"") + '"'
    assert client.create(quoted)[0] == "OK"
    for subject in ("One", "Two"):
        client.append(quoted, "", None, f"Subject: {subject}\r\n\r\nx\r\n".encode())
    client.select(quoted)
    client.store("1", "+FLAGS", r"(\Deleted)")
    client.expunge()
    client.select("INBOX")
    client.delete(quoted)

    removals = Removal.objects.filter(mailbox=program.mailbox)

    def is_noted():
        logbook.read(path=program.server.log)
        return removals.exists() and all(removal.took_folder for removal in removals.all())

    eventually(is_noted)
    assert sum(removal.messages for removal in removals.all()) == 2
    everything = RemovedSearch()
    found = recovery.listing(mailbox=program.mailbox, engine=program.live, search=everything).rows
    assert ["IMAP, Program" in one.origin.text for one in found] == [True, True]
    run = recovery.roll_back(
        actor=ACTOR,
        mailbox=program.mailbox,
        engine=program.live,
        moment=timezone.now() - timedelta(minutes=1),
        at=timezone.now(),
    )
    recovery.work_off(run=run, engine=program.live, now=timezone.now)
    assert client.select(quoted) == ("OK", [b"2"])
    assert program.live.removed_mail(user=program.address) == []


def test_preview_and_purge_name_the_same_messages(make_program):
    program = make_program()
    seed(program, "Junk", 5)
    at = timezone.now() + LATER

    previewed = retention.outlook(mailbox=program.mailbox, engine=program.live, until=at)
    run = purging.plan_retention(mailbox=program.mailbox, engine=program.live, at=at)
    purging.work_off(run=run, engine=program.live, now=lambda: at)

    [receipt] = receipts.of(run)
    uids = [fate.message.uid for found in previewed for fate in found.fates]
    assert uids_of(receipt.uids) == uids
    Mailbox.objects.get(pk=program.mailbox.pk)
