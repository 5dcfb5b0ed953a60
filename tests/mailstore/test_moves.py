"""What a program moves is no removal, and what it removes is kept once."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from accounts.access import system
from mailstore import holding, logbook, moves, recovery, tripwire
from mailstore.engine import EngineRefused, EngineUnavailable, OutcomeUnknown
from mailstore.models import Alarm, Mailbox, MessageCopy, Removal
from tests.factories import make_mailbox
from tests.mailstore.program import NOON, Program

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


class Killed(BaseException):
    """The worker is gone."""


SYSTEM = system("tests")
LATER = NOON + timedelta(minutes=1)
MANY = 300


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


@pytest.fixture
def program(twin, mailbox, tmp_path):
    return Program(twin=twin, mailbox=mailbox, log=tmp_path / "dovecot.log")


def watch(program, at=LATER):
    logbook.read(path=program.log)
    return tripwire.watch(engine=program.twin, at=at)


def stored(program):
    kept = {name: len(folder.kept) for name, folder in program.account.store.items()}
    return {name: messages for name, messages in kept.items() if messages}


def visible(program, folder):
    return len(program.account.folders[folder].kept)


def told():
    return {row.folder: row.messages for row in Removal.objects.all()}


def test_log_tells_of_copies(program):
    program.fill("INBOX", 3)
    program.copy("INBOX", "Archive")
    program.copy("INBOX", "Archive")
    logbook.read(path=program.log)

    [row] = MessageCopy.objects.all()
    assert (row.origin, row.folder, row.uids, row.made_at) == ("INBOX", "Archive", "1:6", NOON)
    assert told() == {}


def test_what_was_moved_leaves_nothing_in_the_store(program):
    program.fill("INBOX", MANY)
    program.move("INBOX", "Archive")

    assert watch(program) == 0
    assert (stored(program), visible(program, "Archive"), told()) == ({}, MANY, {})


def test_copy_is_expunged_hours_later(program):
    program.fill("INBOX", MANY)
    program.copy("INBOX", "Archive")
    assert watch(program) == 0
    program.at += timedelta(hours=20)
    program.expunge("INBOX")

    assert watch(program, at=program.at) == 0
    assert (stored(program), told()) == ({}, {})


def test_both_copies_expunged_at_once_are_kept_once_and_fire(program):
    program.fill("INBOX", MANY)
    program.copy("INBOX", "Other")
    program.expunge("INBOX")
    Program(**vars(program) | {"session": "s2"}).expunge("Other")

    assert watch(program) == 1
    assert (stored(program), told()) == ({"INBOX": MANY}, {"INBOX": MANY})
    assert Alarm.objects.get().messages == MANY


def test_what_was_moved_first_and_removed_later_fires(program):
    program.fill("INBOX", MANY)
    program.move("INBOX", "Other")
    assert watch(program) == 0
    program.expunge("Other")

    assert watch(program) == 1
    assert (stored(program), told()) == ({"Other": MANY}, {"Other": MANY})


def test_mail_on_its_way_through_the_trash_counts_in_full(program):
    program.fill("Archive", 10 * MANY)
    program.fill("INBOX", MANY)
    program.fill("Junk", MANY)
    program.move("Junk", "Trash")
    program.expunge("Trash")
    assert watch(program) == 0
    program.move("INBOX", "Trash")
    program.expunge("Trash")

    assert watch(program) == 1
    assert Alarm.objects.get().reason == f"{MANY} messages were removed within 10 minutes."


def test_trash_that_was_filled_before_is_emptied_without_alarm(program):
    program.fill("Archive", 10 * MANY)
    program.fill("INBOX", MANY)
    program.move("INBOX", "Trash")
    assert watch(program) == 0
    program.at += timedelta(minutes=11)
    program.expunge("Trash")

    assert watch(program, at=program.at) == 0


def test_moves_to_and_fro_are_told_of_as_what_is_left(program):
    program.fill("INBOX", MANY)
    for _ in range(3):
        program.move("INBOX", "Archive")
        program.move("Archive", "INBOX")
    program.expunge_some("INBOX", 5)

    assert watch(program) == 0
    assert visible(program, "INBOX") == MANY - 5
    # The five came from the inbox at first, and may have been kept at any of their turns.
    assert sum(stored(program).values()) == sum(told().values()) == 5


@pytest.mark.parametrize(
    ("folder", "renamed", "becomes", "left_in"),
    [
        ("Work", "Work", "Other", "Other"),
        ("Work/Sub", "Work", "Other", "Other/Sub"),
        ("Work/Sub", "Work", "z" * 70, "z" * 70 + "/Sub"),
    ],
)
def test_what_was_moved_and_removed_under_another_name_is_kept_once(
    folder, renamed, becomes, left_in, program
):
    program.fill("INBOX", 20)
    program.fill("Archive", 25)
    program.move("INBOX", folder)
    program.rename(renamed, becomes)
    program.expunge(left_in)

    # Twenty of forty-five are too few for an alarm, but for the folder that is empty now.
    assert watch(program) == 1
    assert (stored(program), told()) == ({"INBOX": 20}, {"INBOX": 20})
    assert Alarm.objects.get().reason == "The whole folder INBOX was removed."


def test_copies_undone_under_another_name_are_no_loss(program):
    program.fill("INBOX", MANY)
    program.copy("INBOX", "Work/Sub")
    program.rename("Work", "Other")
    program.expunge("Other/Sub")

    assert watch(program) == 0
    assert visible(program, "INBOX") == MANY


def test_copy_that_was_there_before_is_a_message_of_its_own(program):
    program.fill("INBOX", 10)
    program.copy("INBOX", "Archive")
    program.at += timedelta(days=3)
    program.expunge("INBOX")

    watch(program, at=program.at)
    assert (stored(program), told()) == ({"INBOX": 10}, {"INBOX": 10})


def test_guids_decide_not_names_or_numbers(program):
    program.fill("INBOX", 10)
    program.copy("INBOX", "Other")
    program.account.folders["Other"].kept.clear()
    program.account.folders["Other"].next_uid = 1
    program.fill("Other", 10)
    program.expunge("INBOX")

    watch(program)
    assert stored(program) == {"INBOX": 10}


@pytest.mark.parametrize("origin", ["x" * 70, "what?", "a: box=b", "Entwürfe", "ends with..."])
@pytest.mark.parametrize("folder", ["y" * 70, "tab\there", "Archive"])
def test_folders_of_any_name(origin, folder, program):
    program.fill(origin, 5)
    program.fill("x" * 71, 5)
    program.move(origin, folder)

    watch(program)
    # A name with the log's own words in it cannot be told apart, so its copy stays.
    assert stored(program) == ({origin: 5} if ": box=" in origin else {})
    assert visible(program, folder) == 5


def test_nothing_leaves_the_store_under_a_hold(program, cast):
    program.fill("INBOX", MANY)
    program.move("INBOX", "Archive")
    holding.place(
        actor=SYSTEM, by=cast.sam, scope=cast.domain, matter="m", reason="Asked.", at=NOON
    )

    assert watch(program) == 0
    assert (stored(program), told()) == ({"INBOX": MANY}, {})


def test_mail_server_that_is_away_leaves_all_for_the_next_time(program):
    program.fill("INBOX", MANY)
    program.move("INBOX", "Archive")
    program.twin.is_down = True
    assert (watch(program), told()) == (0, {"INBOX": MANY})
    program.twin.is_down = False

    assert watch(program) == 0
    assert (stored(program), told()) == ({}, {})


@pytest.mark.parametrize("moment", ["before remove_for_good", "after remove_for_good"])
@pytest.mark.parametrize("failure", [EngineRefused, OutcomeUnknown, EngineUnavailable, Killed])
def test_moves_are_no_removals_whatever_fails_when(failure, moment, program):
    program.fill("INBOX", MANY)
    program.move("INBOX", "Archive")
    program.expunge_some("Archive", 5)

    def fail(reached):
        if reached == moment:
            program.twin.on_change = lambda _reached: None
            raise failure("no")

    program.twin.on_change = fail
    with suppress(Killed):
        assert watch(program) == 0
    assert watch(program, at=LATER + timedelta(minutes=2)) == 0

    # They came from the inbox at first.
    assert told() == {"INBOX": 5}
    # At worst the store has a message twice, of which a roll-back brings one.
    assert sum(stored(program).values()) in {5, 10, MANY + 5, MANY + 10}


def test_what_cannot_be_told_from_moves_for_long_is_weighed_as_removed(program, monkeypatch):
    program.fill("INBOX", MANY)
    program.move("INBOX", "Archive")

    def refuse(**_asked):
        raise EngineRefused("no")

    monkeypatch.setattr(program.twin, "arrived", refuse)
    assert watch(program) == 0
    assert watch(program, at=LATER + timedelta(minutes=2)) == 0
    assert watch(program, at=LATER + timedelta(minutes=6)) == 1


def test_what_the_log_adds_meanwhile_is_kept(program):
    program.fill("INBOX", 4)
    program.move("INBOX", "Archive")
    logbook.read(path=program.log)
    program.fill("INBOX", 2)

    def removed_meanwhile(moment):
        if moment == "after remove_for_good" and visible(program, "INBOX"):
            program.expunge("INBOX")
            logbook.read(path=program.log)

    program.twin.on_change = removed_meanwhile
    tripwire.watch(engine=program.twin, at=LATER)

    assert (stored(program), told()) == ({"INBOX": 2}, {"INBOX": 2})


def test_another_mailbox_is_not_concerned(program, cast, twin):
    other = make_mailbox(cast.domain, "other")
    twin.know(other.address)
    program.fill("INBOX", 10)
    program.move("INBOX", "Archive")
    stranger = Program(**vars(program) | {"mailbox": other})
    stranger.fill("INBOX", 10)
    stranger.expunge("INBOX")

    watch(program)
    assert (stored(program), stored(stranger)) == ({}, {"INBOX": 10})


def test_roll_back_leaves_what_was_only_moved_and_brings_back_the_rest_once(program, cast):
    Mailbox.objects.update(quota_bytes=10**9)
    program.fill("INBOX", 10)
    program.fill("Work", 6)
    moment = program.at + timedelta(seconds=30)
    program.at += timedelta(minutes=2)
    program.move("INBOX", "Archive")
    program.expunge("Work")
    # A purge and a program that removed the same messages at once left two of each.
    for message in list(program.account.store["Work"].kept):
        program.account.store["Work"].take(message, at=program.at)

    run = recovery.roll_back(
        actor=cast.actor(cast.alice),
        mailbox=program.mailbox,
        engine=program.twin,
        moment=moment,
        at=program.at,
    )
    recovery.work_off(run=run, engine=program.twin, now=lambda: program.at)

    assert (visible(program, "Work"), visible(program, "Archive")) == (6, 10)
    assert visible(program, "INBOX") == 0


def test_roll_back_brings_back_a_copy_of_what_was_brought_back_elsewhere(program, cast):
    Mailbox.objects.update(quota_bytes=10**9)
    alice = cast.actor(cast.alice)
    who = {"actor": alice, "mailbox": program.mailbox, "engine": program.twin}
    program.fill("INBOX", 3)
    program.copy("INBOX", "Project")
    program.at += timedelta(days=3)
    moment = program.at
    program.at += timedelta(minutes=2)
    kept = program.expunge("INBOX")
    program.expunge("Project")
    run = recovery.restore(**who, chosen=[("INBOX", uid) for uid in kept[:2]], at=program.at)
    recovery.work_off(run=run, engine=program.twin, now=lambda: program.at)

    run = recovery.roll_back(**who, moment=moment, at=program.at)
    recovery.work_off(run=run, engine=program.twin, now=lambda: program.at)

    assert (visible(program, "INBOX"), visible(program, "Project"), stored(program)) == (3, 3, {})


def test_old_copies_are_forgotten(program):
    program.fill("INBOX", 1)
    program.copy("INBOX", "Archive")
    logbook.read(path=program.log)

    assert moves.forget(at=NOON + timedelta(days=1)) == 0
    assert moves.forget(at=NOON + timedelta(days=3)) == 1
