"""POP to IMAP and back on a real Dovecot, with the programs that people use."""

from __future__ import annotations

import itertools
import os
import poplib
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.access import system
from hosting import billing, changing, metering
from hosting.models import Contract, Plan, PlanChange
from hosting.periods import Period
from mailstore import (
    cooling,
    holding,
    logbook,
    provisioning,
    purging,
    recovery,
    retrievals,
    sweeping,
    switching,
    working,
)
from mailstore.engine.admin_api import AdminAPI
from mailstore.models import Mailbox, ProtocolSwitch, Usage
from mailstore.models.mailboxes import SPECIAL_FOLDERS
from tests.live.faults import Place, die, in_a_process, killed, pulled, seed, wanted
from tests.live.test_mail import refusal, subjects
from tests.live.test_programs import Computer, Fetcher
from tests.patience import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ACTOR = system("tests")
WAIT = timedelta(hours=72)
# Dovecot dates by its own clock, so the clock of the rules goes ahead instead.
LATER = timedelta(days=400)


def switch(program, slug, **more):
    """The verb, and the worker behind it."""
    made = changing.change(
        actor=ACTOR,
        mailbox=program.mailbox,
        plan=Plan.objects.get(slug=slug),
        wait=WAIT,
        at=timezone.now(),
        **more,
    )
    assert switching.follow_open(engine=program.live, at=timezone.now()) == 1
    return made


def cool_off(program):
    cooling.make_due(engine=program.live, at=timezone.now() + WAIT + timedelta(minutes=1))
    program.mailbox.refresh_from_db()


def fetched(program):
    """What the log tells of POP sessions, taken in."""
    logbook.read(path=program.server.log)
    sweeping.note_retrievals(engine=program.live, at=timezone.now())
    return retrievals.fetched(mailbox=program.mailbox, engine=program.live)


def purge(program):
    """All that the rules let go in a year, moved out of sight."""
    at = timezone.now() + LATER
    run = purging.plan_retention(mailbox=program.mailbox, engine=program.live, at=at)
    return run is not None and purging.work_off(run=run, engine=program.live, now=lambda: at)


def letters(client):
    """Subjects that a POP program is offered."""
    texts = [b"\n".join(client.top(n + 1, 0)[1]).decode() for n in range(client.stat()[0])]
    return sorted(text.partition("Subject: ")[2].partition("\n")[0].strip() for text in texts)


def identifiers(fetcher):
    """The UIDLs that mpop remembers, without the lines that name the account."""
    lines = fetcher.folder.joinpath("uidls").read_text().splitlines()
    return {line for line in lines if not line.startswith((" ", "#"))}


def is_over(session):
    try:
        session.noop()
    except (poplib.error_proto, EOFError, OSError):
        return True
    return False


def folder_of(tmp_path, name):
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_there_and_back_with_real_programs_loses_nothing(make_program, tmp_path):
    program = make_program("pop")
    for subject in ("One", "Two"):
        program.deliver(subject)
    fetcher = Fetcher(folder_of(tmp_path, "pop"), program, keeps=True)
    assert fetcher.fetch() == ["One", "Two"]
    known = identifiers(fetcher)
    open_session = program.pop()

    switch(program, "imap")

    eventually(lambda: is_over(open_session))
    assert "POP3 is not enabled for this mailbox. Use IMAP" in refusal(program.pop)
    computer = Computer(tmp_path / "imap", program)
    computer.synchronise()
    assert computer.folders == {"INBOX", *SPECIAL_FOLDERS}
    assert [subject for subject, _flags in computer.shows()["INBOX"]] == ["One", "Two"]
    computer.folder("Sent").add("Subject: Mine\n\nI wrote this.\n")
    program.deliver("Three")
    computer.synchronise()

    switch(program, "pop")

    assert "IMAP is not enabled for this mailbox. Use POP3" in refusal(program.imap)
    assert fetcher.fetch() == ["One", "Three", "Two"]
    assert identifiers(fetcher) > known
    assert letters(program.pop()) == ["One", "Three", "Two"]
    found = {f.folder: f.messages for f in program.live.folder_usage(user=program.address)}
    assert (found["INBOX"], found["Sent"]) == (3, 1)

    switch(program, "imap")

    again = Computer(tmp_path / "again", program)
    again.synchronise()
    assert [subject for subject, _flags in again.shows()["Sent"]] == ["Mine"]
    assert len(again.shows()["INBOX"]) == 3
    assert program.live.removed_mail(user=program.address) == []


def test_what_was_read_by_imap_is_not_purged_before_a_pop_program_fetched_it(make_program):
    program = make_program()
    model = seed(program, {"INBOX": 12})
    client = program.imap()
    client.select("INBOX")
    client.fetch("1:8", "(BODY[])")
    client.logout()
    before = pulled(program.imap(), "INBOX")

    switch(program, "pop")
    cool_off(program)

    pop = program.pop()
    pop.retr(10)
    pop.quit()
    assert fetched(program) == {10}
    assert purge(program)
    # Only what a POP program fetched went, and that into the store.
    assert program.pop().stat()[0] == len(model.letters) - 1
    assert len(program.live.removed_mail(user=program.address)) == 1
    pop = program.pop()
    for number in range(1, 12):
        pop.retr(number)
    pop.quit()
    assert len(fetched(program)) == 12

    switch(program, "imap")

    # Read and flagged is again what a person had read and flagged, or a program fetched.
    after = pulled(program.imap(), "INBOX")
    assert sum(after.values()) == 11
    flagged = lambda found: Counter(  # noqa: E731
        (text, rb"\Flagged" in flags) for _folder, text, flags in found
    )
    assert not flagged(after) - flagged(before)


def test_marks_of_what_was_read_survive_there_and_back(make_program):
    program = make_program()
    model = seed(program, {"INBOX": 9, "Sent": 4})

    switch(program, "pop")
    assert program.live.messages(user=program.address, folder="INBOX", retrieved=True) == []
    changing.take_back(actor=ACTOR, mailbox=program.mailbox, wait=WAIT, at=timezone.now())
    switching.follow_open(engine=program.live, at=timezone.now())

    assert pulled(program.imap(), "INBOX", "Sent") == wanted(model.letters)


def test_fetched_before_a_trial_of_imap_is_fetched_after_it(make_program):
    program = make_program("pop")
    for subject in ("One", "Two"):
        program.deliver(subject)
    pop = program.pop()
    pop.retr(1)
    pop.quit()
    assert fetched(program) == {1}
    switch(program, "imap")
    client = program.imap()
    client.select("INBOX")
    client.fetch("1:2", "(BODY[])")
    client.logout()

    changing.take_back(actor=ACTOR, mailbox=program.mailbox, wait=WAIT, at=timezone.now())
    switching.follow_open(engine=program.live, at=timezone.now())

    assert fetched(program) == {1}
    seen = program.live.messages(user=program.address, folder="INBOX", retrieved=True)
    assert [message.uid for message in seen] == [1]


def test_folders_are_gathered_into_the_inbox_for_a_pop_program(make_program, tmp_path):
    program = make_program()
    model = seed(program, {"INBOX": 3, "Sent": 4, "Junk": 2})
    client = program.imap()
    client.create("Work/Plans")
    client.append("Work/Plans", "", None, b"Subject: Plan\r\n\r\nHow.\r\n")
    client.logout()
    eventually(lambda: Usage.objects.get(username=program.address).messages == 10)
    used = Usage.objects.get(username=program.address).bytes

    switch(program, "pop", gathers=True)

    got = Fetcher(folder_of(tmp_path, "pop"), program, keeps=True).fetch()
    expected = [letter.text for letter in model.of("INBOX", "Sent")]
    assert len(got) == len(expected) + 1
    assert "Plan" in got
    assert program.live.removed_mail(user=program.address) == []
    eventually(lambda: Usage.objects.get(username=program.address).bytes == used)
    assert len(fetched(program)) == 8


def test_app_password_of_the_other_protocol_says_so_and_is_widened(make_program):
    program = make_program()
    password = program.mailbox.app_passwords.get()
    type(password).objects.filter(pk=password.pk).update(allows_pop=False)

    switch(program, "pop")
    assert "This app password is not meant for POP3." in refusal(program.pop)
    changing.take_back(actor=ACTOR, mailbox=program.mailbox, wait=WAIT, at=timezone.now())
    switching.follow_open(engine=program.live, at=timezone.now())
    switch(program, "pop", widens=True)

    assert program.pop().stat()[0] == 0


def test_mail_that_arrives_while_it_switches_is_there(make_program):
    program = make_program()
    count = 40

    def deliver():
        for number in range(count):
            program.deliver(f"Letter {number}")

    pid = in_a_process(deliver)
    for turn in range(6):
        time.sleep(0.15)
        switch(program, ("pop", "imap")[turn % 2])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    assert sorted(subjects(program.imap())) == sorted(f"Subject: Letter {n}" for n in range(count))


def in_the_api(name, command, *, is_before=False):
    return Place(name=name, owner=AdminAPI, function="call", command=command, is_before=is_before)


@pytest.mark.parametrize(
    "place",
    [
        in_the_api("before the flags", "flagsAdd", is_before=True),
        in_the_api("between the flags", "flagsAdd"),
        in_the_api("after the flags", "flagsRemove"),
        in_the_api("before a move", "move", is_before=True),
        in_the_api("after a move", "move"),
        Place(name="before it is done", owner=switching, function="_release", is_before=True),
    ],
    ids=str,
)
def test_worker_that_dies_while_following_is_followed_up(make_program, place):
    program = make_program()
    model = seed(program, {"INBOX": 7, "Sent": 5})
    changing.change(
        actor=ACTOR,
        mailbox=program.mailbox,
        plan=Plan.objects.get(slug="pop"),
        gathers=True,
        wait=WAIT,
        at=timezone.now(),
    )
    [row] = ProtocolSwitch.objects.all()

    def work():
        with place.reached(die):
            switching.follow(switch=row, engine=program.live, at=timezone.now())

    assert killed(in_a_process(work))
    # Until it is through, no message counts as fetched.
    assert fetched(program) == frozenset()
    later = timezone.now() + timedelta(minutes=3)
    assert switching.follow_open(engine=program.live, at=later) == 1

    texts = sorted(letter.text for letter in model.letters)
    pop = program.pop()
    got = [b"\r\n".join(pop.retr(n + 1)[1]) + b"\r\n" for n in range(pop.stat()[0])]
    assert sorted(got) == texts
    pop.close()
    assert program.live.removed_mail(user=program.address) == []


def test_same_change_from_eight_at_once_is_made_once(make_program, counts):
    program = make_program()

    def try_it():
        try:
            changing.change(
                actor=ACTOR,
                mailbox=program.mailbox,
                plan=Plan.objects.get(slug="pop"),
                wait=WAIT,
                at=timezone.now(),
            )
        except changing.SamePlan:
            return

    pids = [in_a_process(try_it) for _ in range(8)]

    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 8
    assert PlanChange.objects.count() == ProtocolSwitch.objects.count() == 1
    assert Contract.objects.count() == 2
    counts(changes_at_once=8, made=1)


def test_purge_and_restore_that_run_meanwhile_lose_nothing(make_program, monkeypatch):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 5)
    program = make_program()
    model = seed(program, {"Junk": 20, "INBOX": 15})
    uids = [letter.uid for letter in model.of("INBOX")]
    program.live.remove(user=program.address, folder="INBOX", uids=uids)
    at = timezone.now() + LATER
    run = purging.plan_retention(mailbox=program.mailbox, engine=program.live, at=at)
    restore = recovery.roll_back(
        actor=ACTOR,
        mailbox=program.mailbox,
        engine=program.live,
        moment=timezone.now() - timedelta(minutes=5),
        at=timezone.now(),
    )
    purger = in_a_process(lambda: purging.work_off(run=run, engine=program.live, now=lambda: at))
    restorer = in_a_process(
        lambda: recovery.work_off(run=restore, engine=program.live, now=timezone.now)
    )
    changing.change(
        actor=ACTOR,
        mailbox=program.mailbox,
        plan=Plan.objects.get(slug="pop"),
        wait=WAIT,
        at=timezone.now(),
    )
    for pid in (purger, restorer):
        os.waitpid(pid, 0)
    sweeping.run_open(engine=program.live, now=lambda: at + timedelta(minutes=10))
    switching.follow_open(engine=program.live, at=timezone.now())

    assert not ProtocolSwitch.objects.open().exists()
    found = {f.folder: f.messages for f in program.live.folder_usage(user=program.address)}
    removed = program.live.removed_mail(user=program.address)
    assert found["INBOX"] == 15
    assert found["Junk"] + len(removed) == 20
    assert program.pop().stat()[0] == 15


def test_held_mailbox_switches_and_loses_nothing(cast, make_program):
    program = make_program()
    seed(program, {"INBOX": 4})
    holding.place(
        actor=cast.actor(cast.sam),
        by=cast.sam,
        scope=program.mailbox,
        matter="Case 7",
        reason="A court asked.",
        at=timezone.now(),
    )

    switch(program, "pop")
    pop = program.pop()
    for number in range(1, 5):
        pop.retr(number)
        pop.dele(number)
    pop.quit()
    logbook.read(path=program.server.log)
    far = timezone.now() + LATER
    cooling.make_due(engine=program.live, at=far)
    sweeping.plan_due(engine=program.live, at=far)
    sweeping.run_open(engine=program.live, now=lambda: far)

    assert len(program.live.removed_mail(user=program.address)) == 4


def test_suspended_and_pending_mailboxes_switch(cast, make_program):
    program = make_program()
    program.deliver("One")
    provisioning.suspend(actor=ACTOR, mailbox=program.mailbox, at=timezone.now())

    switch(program, "pop")
    assert "This mailbox is suspended." in refusal(program.pop)
    provisioning.resume(actor=ACTOR, mailbox=program.mailbox, at=timezone.now())
    provisioning.prepare_pending(engine=program.live, at=timezone.now())

    assert letters(program.pop()) == ["One"]


def test_byte_seconds_of_the_contracts_add_up_to_the_whole(make_program, counts):
    program = make_program()
    mailbox = program.mailbox
    start = timezone.now().replace(microsecond=0)
    Contract.objects.filter(mailbox=mailbox).update(starts_at=start, start_mark=0)
    Usage.objects.filter(username=program.address).delete()
    for turn in range(8):
        program.deliver(f"Letter {turn}", size=20_000 + turn)
        if turn % 2:
            switch(program, ("pop", "imap")[turn // 2 % 2])
        time.sleep(0.4)
    eventually(lambda: Usage.objects.get(username=program.address).messages == 8)

    period = Period.of(start)
    owner = Mailbox.objects.select_related("organisation__parent").get(pk=mailbox.pk).organisation
    buyer = billing.buyer(owner)
    lines = billing.charges(buyer, period=period)
    parts = sum(line.used_byte_seconds for line in lines if line.kind == "mailbox")

    day = metering.seconds(start) // metering.DAY_SECONDS
    end = period.end // metering.DAY_SECONDS
    whole = metering.whole_days([program.address], day, end)[program.address]
    assert parts == whole
    contracts = list(Contract.objects.filter(mailbox=mailbox).order_by("pk"))
    assert len(contracts) == 5
    for earlier, later in itertools.pairwise(contracts):
        assert (earlier.ends_at, earlier.end_mark) == (later.starts_at, later.start_mark)
    counts(contracts=len(contracts), byte_seconds=parts)
