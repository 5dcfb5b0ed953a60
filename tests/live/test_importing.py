"""Lists of mailboxes against a real database, with workers that are killed and held up."""

from __future__ import annotations

import os
import threading
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from accounts.access import system
from accounts.models import Event
from hosting import importing
from hosting.importing import runs
from hosting.models import Contract, MailboxImport
from mailstore import credentials
from mailstore.models import AppPassword, Mailbox
from tests.factories import AT, make_mailbox
from tests.live.faults import in_a_process, kill_after, lifetimes
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

STAFF = system("tests")
LINES = 6_000


def numbered(count, *, device=""):
    lines = (f"box{number}@alder.test,imap,{device}\n" for number in range(count))
    return "address,plan,app_password\n" + "".join(lines)


@pytest.fixture
def listed(cast):
    text = numbered(LINES)
    listed = runs.take_in(
        actor=cast.actor(cast.sam),
        by=cast.sam,
        file_name="list.csv",
        text=text,
        at=timezone.now(),
    )
    runs.confirm(actor=cast.actor(cast.sam), listed=listed, at=timezone.now())
    return listed


def assert_each_line_was_done_once(listed):
    listed.refresh_from_db()
    assert (listed.state, listed.done_count, listed.opened_count) == ("finished", LINES, LINES)
    assert listed.problems == []
    assert Mailbox.objects.count() == Contract.objects.count() == LINES
    assert Event.objects.filter(kind="mailbox.created").count() == LINES


def test_list_survives_kills_and_does_each_line_once(listed):
    kills = 0
    for turn, seconds in enumerate(lifetimes(11)):
        # Each worker comes when the lease of the one before is over.
        ahead = timedelta(minutes=3) * turn
        pid = in_a_process(
            lambda ahead=ahead: runs.run(import_id=listed.pk, now=lambda: timezone.now() + ahead)
        )
        kills += kill_after(seconds, pid)
        listed.refresh_from_db()
        assert Mailbox.objects.count() == listed.opened_count == listed.done_count
        if listed.state == MailboxImport.State.FINISHED:
            break

    assert kills > 1
    assert_each_line_was_done_once(listed)


def test_two_workers_at_once_do_each_line_once(listed):
    workers = [
        in_a_process(lambda: runs.run(import_id=listed.pk, now=timezone.now)) for _ in range(2)
    ]
    for pid in workers:
        os.waitpid(pid, 0)

    assert_each_line_was_done_once(listed)


def test_worker_that_was_held_up_leaves_the_rest_to_the_one_that_took_over(listed):
    # Held between two pieces, where it holds no lock that the other would wait for.
    holding, going_on, result = threading.Event(), threading.Event(), []
    looks = iter(range(1000))

    def clock():
        if next(looks) == 3:
            holding.set()
            going_on.wait(PATIENCE_SECONDS)
        return timezone.now()

    def work():
        result.append(runs.run(import_id=listed.pk, now=clock))
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    assert holding.wait(PATIENCE_SECONDS)
    later = timezone.now() + timedelta(minutes=3)
    assert runs.run(import_id=listed.pk, now=lambda: later)
    going_on.set()
    thread.join(PATIENCE_SECONDS)

    assert result == [False]
    assert_each_line_was_done_once(listed)


def test_secrets_open_the_mailboxes_they_were_made_for(cast):
    rows = importing.check(text=numbered(1200, device="Phone"), actor=STAFF).rows
    kept = []

    pieces = list(importing.apply(rows=rows, actor=STAFF, at=AT, keep=kept.extend))

    assert [piece.opened_count for piece in pieces] == [500, 500, 200]
    stored = AppPassword.objects.values_list("mailbox__address", "digest", "label")
    assert sorted(stored) == sorted(
        (each.address, credentials.digest(each.secret), each.label) for each in kept
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM dovecot_app_password "
            "WHERE nologin IS NULL AND proto <> 'submission'"
        )
        assert cursor.fetchone() == (1200,)
    facts = dict(
        Event.objects.filter(kind="mailbox.created").values_list("subject_id", "subject_name")
    )
    boxes = Mailbox.objects.values_list("uuid", "address")
    assert facts == {str(uuid): address for uuid, address in boxes}


def test_piece_with_a_twin_is_refused_by_the_database_and_looked_at_again(cast):
    rows = importing.check(text=numbered(3, device="Phone"), actor=STAFF).rows
    taken = make_mailbox(cast.domain, "box1")

    [applied] = importing.apply(rows=rows, actor=STAFF, at=AT)

    assert (applied.opened_count, [each.line for each in applied.problems]) == (2, [3])
    assert set(Mailbox.objects.values_list("address", flat=True)) == {
        "box0@alder.test",
        "box2@alder.test",
        taken.address,
    }


def test_what_was_opened_by_a_list_leaves_room_for_the_next_order(cast):
    rows = importing.check(text=numbered(5), actor=STAFF).rows
    list(importing.apply(rows=rows, actor=STAFF, at=AT))

    mailbox = make_mailbox(cast.domain, "next")

    assert mailbox.pk > max(Mailbox.objects.exclude(pk=mailbox.pk).values_list("pk", flat=True))
