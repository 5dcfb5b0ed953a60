"""What a thief in a mail program tries so that the tripwire stays silent, and who only looks so."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mailstore import logbook, tripwire
from mailstore.models import Alarm, Mailbox, Removal
from tests.factories import make_mailbox
from tests.mailstore.program import NOON, Program

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

LATER = NOON + timedelta(minutes=1)
MANY = 300


@pytest.fixture
def thief(cast, twin, tmp_path):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    program = Program(twin=twin, mailbox=mailbox, log=tmp_path / "dovecot.log")
    # Of so much mail no few hundred messages are a share.
    program.fill("Archive", 20 * MANY)
    return program


def watch(program, at=LATER):
    logbook.read(path=program.log)
    return tripwire.watch(engine=program.twin, at=at)


def stored(program):
    return {name: len(folder.kept) for name, folder in program.account.store.items() if folder.kept}


@pytest.mark.parametrize("name", ["q: box=/w", "q: box=~w", "q: box=.EXPUNGED/w", "q: box=w//"])
def test_folder_whose_name_the_log_cannot_tell_blinds_nobody(name, thief):
    thief.fill(name, 1)
    thief.copy(name, "INBOX")
    thief.fill("Work", MANY)
    thief.expunge("Work")

    assert watch(thief) == 1


def test_decoys_in_a_folder_that_the_log_shows_alike_take_the_place_of_nothing(thief):
    first, second = "x" * 70, "x" * 71
    thief.fill(first, MANY)
    thief.fill(second, MANY)
    thief.expunge(first)
    thief.move(second, "Other")

    assert watch(thief) == 1
    assert Alarm.objects.get().messages == MANY
    assert stored(thief) == {first: MANY}


def test_decoys_of_another_session_leave_told_who_removed_what(thief):
    first, second = "x" * 70, "x" * 71
    thief.fill(first, 5)
    thief.fill(second, 5)
    thief.expunge(first)
    Program(**vars(thief) | {"session": "s2"}).move(second, "Other")

    watch(thief)
    assert sum(Removal.objects.values_list("messages", flat=True)) == 5
    assert set(Removal.objects.values_list("session", flat=True)) == {"s1", "s2"}


def test_mail_server_is_asked_as_often_for_many_folders_as_for_one(thief, monkeypatch):
    asked = []
    for name in ("present", "messages", "folder_states", "arrived", "removed_mail", "folder_usage"):
        ask = getattr(thief.twin, name)

        def counted(ask=ask, **parameters):
            asked.append(parameters)
            return ask(**parameters)

        monkeypatch.setattr(thief.twin, name, counted)
    thief.fill("Work", 200)
    for number in range(200):
        thief.copy("Work", f"w{number}*")
    thief.expunge("Work")

    watch(thief)
    assert len(asked) < 10


def test_stop_on_the_way_to_the_trash_hides_nothing(thief):
    thief.fill("INBOX", MANY)
    thief.move("INBOX", "Junk")
    assert watch(thief) == 0
    thief.move("Junk", "Trash")
    thief.expunge("Trash")

    assert watch(thief) == 1


def test_folder_that_is_renamed_to_trash_counts_in_full(thief):
    thief.fill("Work", MANY)
    del thief.account.folders["Trash"]
    thief.rename("Work", "Trash")
    thief.expunge("Trash")

    assert watch(thief) == 1


@pytest.mark.parametrize("second", [0, 30, 59])
def test_seconds_of_a_minute_hide_nothing(second, thief):
    Mailbox.objects.update(trip_minutes=1)
    thief.at = NOON + timedelta(seconds=second)
    thief.fill("INBOX", MANY)
    thief.move("INBOX", "Trash")
    thief.at += timedelta(seconds=59)
    thief.expunge("Trash")

    assert watch(thief, at=thief.at) == 1


def test_old_junk_that_is_emptied_by_way_of_the_trash_rings_no_alarm(thief):
    thief.fill("Junk", MANY)
    thief.move("Junk", "Trash")
    thief.expunge("Trash")

    assert watch(thief) == 0


@pytest.mark.parametrize("messages", [10, MANY])
def test_copy_that_is_undone_rings_no_alarm_and_can_be_brought_back(messages, thief):
    thief.fill("INBOX", messages)
    thief.at += timedelta(minutes=1)
    thief.copy("INBOX", "Other")
    thief.expunge("Other")

    assert watch(thief, at=thief.at) == 0
    assert stored(thief) == {"Other": messages}
    thief.expunge("INBOX")
    assert watch(thief, at=thief.at) == 1
    assert Alarm.objects.get().messages == messages


def test_copy_of_long_ago_is_kept_beside_the_message(thief):
    thief.fill("INBOX", MANY)
    thief.copy("INBOX", "Projects")
    thief.at += timedelta(days=30)
    thief.fill("Work", 1)
    thief.copy("Work", "Projects")
    thief.expunge("INBOX")
    thief.expunge("Projects")

    watch(thief, at=thief.at)
    assert stored(thief)["INBOX"] == MANY
    assert stored(thief)["Projects"] >= MANY


def test_figures_of_the_store_are_right_after_a_move(thief):
    thief.fill("INBOX", MANY)
    thief.move("INBOX", "Other")
    thief.expunge_some("Archive", 3)

    watch(thief)
    thief.mailbox.refresh_from_db()
    assert thief.mailbox.store_messages == 3
