"""Every way in which a program can remove much mail rings the tripwire, on a real Dovecot."""

from __future__ import annotations

import pytest
from django.utils import timezone

from mailstore import logbook, tripwire
from mailstore.models import Alarm, Mailbox, Removal
from tests.patience import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

MANY = 30


def fill(client, folder):
    client.create(folder)
    for number in range(MANY):
        client.append(folder, "", None, f"Subject: {number}\r\n\r\nx\r\n".encode())


def mark_all(client, folder):
    client.select(folder)
    client.store("1:*", "+FLAGS", r"(\Deleted)")


def expunge(client):
    mark_all(client, "Work")
    client.expunge()


def expunge_by_uid(client):
    mark_all(client, "Work")
    client.uid("EXPUNGE", "1:*")


def close(client):
    mark_all(client, "Work")
    client.close()


def delete_the_folder(client):
    client.delete("Work")


def rename_and_delete(client):
    client.rename("Work", "Other")
    client.delete("Other")


def move_away_and_delete(client):
    client.create("Other")
    client.select("Work")
    client.uid("MOVE", "1:*", "Other")
    client.select("INBOX")
    client.delete("Other")


def move_away_rename_and_delete(client):
    client.create("Other/Sub")
    client.select("Work")
    client.uid("MOVE", "1:*", "Other/Sub")
    client.select("INBOX")
    client.rename("Other", "Another")
    client.delete("Another/Sub")


def overwrite(client):
    client.select("Work")
    for number in range(1, MANY + 1):
        client.append("Work", "", None, b"Subject: nothing\r\n\r\n")
        client.uid("STORE", str(number), "+FLAGS", r"(\Deleted)")
        client.expunge()


def hide_in_trash(client):
    client.delete("Trash")
    client.rename("Work", "Trash")
    mark_all(client, "Trash")
    client.expunge()


def empty_by_trash(client):
    client.select("Work")
    client.uid("MOVE", "1:*", "Trash")
    mark_all(client, "Trash")
    client.expunge()


def hide_behind_a_name(client):
    """The log seems to tell of a copy into a folder of a name that no folder can have."""
    client.create('"q: box=/w"')
    client.append('"q: box=/w"', "", None, b"Subject: x\r\n\r\nx\r\n")
    client.select('"q: box=/w"')
    client.copy("1", "INBOX")
    expunge(client)


WAYS = [
    expunge,
    expunge_by_uid,
    close,
    delete_the_folder,
    rename_and_delete,
    move_away_and_delete,
    overwrite,
    empty_by_trash,
    hide_in_trash,
    hide_behind_a_name,
    move_away_rename_and_delete,
]
# The store has both places of what they moved, until it is seen that they are the same messages.
BY_TWO_STEPS = [move_away_and_delete, move_away_rename_and_delete, empty_by_trash]


@pytest.mark.parametrize("number", range(len(WAYS)))
def test_every_way_to_remove_much_fires(number, make_program):
    remove = WAYS[number]
    program = make_program("imap", f"way-{number}")
    Mailbox.objects.update(trip_messages=MANY)
    client = program.imap()
    fill(client, "Work")
    for folder in ("INBOX", "Archive"):
        fill(client, folder)

    remove(client)
    client.logout()

    told = MANY * (2 if remove in BY_TWO_STEPS else 1)

    def is_noted():
        logbook.read(path=program.server.log)
        return sum(Removal.objects.values_list("messages", flat=True)) == told

    eventually(is_noted)
    assert tripwire.watch(engine=program.live, at=timezone.now()) == 1
    assert Alarm.objects.get().messages == MANY
    assert len(program.live.removed_mail(user=program.address)) == MANY


def filled(make_program, name):
    """One log tells of all tests, so each mailbox has an address of its own."""
    program = make_program("pop", name)
    Mailbox.objects.update(trip_messages=MANY)
    for number in range(MANY):
        program.deliver(str(number))
    return program


def alarms(program):
    def is_noted():
        logbook.read(path=program.server.log)
        told = Removal.objects.exclude(fetched_bytes=None)
        return sum(told.values_list("messages", flat=True)) == MANY

    eventually(is_noted)
    return tripwire.watch(engine=program.live, at=timezone.now())


def test_pop_program_that_never_fetched_fires(make_program):
    popper = filled(make_program, "pop-glances")
    client = popper.pop()
    for number in range(MANY):
        client.top(number + 1, 0)
        client.dele(number + 1)
    client.quit()

    assert alarms(popper) == 1


def fetch_and_remove_each(client):
    for number in range(MANY):
        client.retr(number + 1)
        client.dele(number + 1)


def fetch_by_top(client):
    """As fetchmail does, so that a message counts as unseen until it is delivered."""
    for number in range(MANY):
        client.top(number + 1, 99_999_999)
        client.dele(number + 1)


def fetch_all_then_remove_all(client):
    for number in range(MANY):
        client.retr(number + 1)
    for number in range(MANY):
        client.dele(number + 1)


FETCHES = [fetch_and_remove_each, fetch_by_top, fetch_all_then_remove_all]


@pytest.mark.parametrize("fetch", FETCHES)
def test_pop_program_that_fetches_and_removes_at_once_fires_nothing(fetch, make_program):
    popper = filled(make_program, f"pop-{FETCHES.index(fetch)}")
    client = popper.pop()
    fetch(client)
    client.quit()

    assert alarms(popper) == 0


def test_pop_program_that_removes_what_it_fetched_before_fires_nothing(make_program):
    popper = filled(make_program, "pop-later")
    client = popper.pop()
    for number in range(MANY):
        client.retr(number + 1)
    client.quit()

    client = popper.pop()
    for number in range(MANY):
        client.dele(number + 1)
    client.quit()

    assert alarms(popper) == 0
