from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.access import Forbidden
from accounts.models import Event
from mailstore import holding, purging, recovery, retrievals, working
from mailstore.engine import RemovedSearch
from mailstore.models import Mailbox, Removal, RestoreRun, Usage, WorkState
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Killed(BaseException):
    pass


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=[*mailbox.special_folders, "Work"])
    return mailbox


@pytest.fixture
def alice(cast):
    return cast.actor(cast.alice)


def put(twin, mailbox, folder, *subjects, flags=()):
    box = twin.accounts[mailbox.address].folders[folder]
    for subject in subjects:
        box.append(f"From: zoe@x.test\r\nSubject: {subject}\r\n\r\nx\r\n".encode())
        object.__setattr__(box.kept[-1], "flags", frozenset(flags))


def subjects(twin, mailbox, folder):
    return [str(m.headers["Subject"]) for m in twin.accounts[mailbox.address].folders[folder].kept]


def remove_all(twin, mailbox, folder, *, age=timedelta(0)):
    account = twin.accounts[mailbox.address]
    uids = [m.uid for m in account.folders[folder].kept]
    known = {m.guid for m in account.store[folder].kept} if folder in account.store else set()
    twin.remove(user=mailbox.address, folder=folder, uids=uids)
    for message in account.store[folder].kept:
        if message.guid not in known:
            object.__setattr__(message, "saved_at", NOW - age)


def finish(run, twin):
    assert recovery.work_off(run=run, engine=twin, now=lambda: NOW)
    run.refresh_from_db()


def test_roll_back_brings_each_message_to_its_folder_with_flags(twin, mailbox, alice):
    put(twin, mailbox, "Work", "Old")
    remove_all(twin, mailbox, "Work", age=3 * DAY)
    put(twin, mailbox, "Work", "Plan", flags=["\\Flagged", "keyword"])
    put(twin, mailbox, "INBOX", "One", "Two")
    for folder in ("Work", "INBOX"):
        remove_all(twin, mailbox, folder, age=timedelta(hours=1))

    run = recovery.roll_back(actor=alice, mailbox=mailbox, engine=twin, moment=NOW - DAY, at=NOW)
    finish(run, twin)

    assert subjects(twin, mailbox, "INBOX") == ["One", "Two"]
    assert subjects(twin, mailbox, "Work") == ["Plan"]
    [plan] = twin.accounts[mailbox.address].folders["Work"].kept
    assert plan.flags == {"\\Flagged", "keyword"}
    assert (run.state, run.messages) == (WorkState.DONE, 3)
    with pytest.raises(recovery.NothingToRestore):
        recovery.roll_back(actor=alice, mailbox=mailbox, engine=twin, moment=NOW - DAY, at=NOW)


def test_chosen_messages_come_back_and_others_stay(twin, mailbox, alice):
    put(twin, mailbox, "INBOX", "One", "Two", "Three")
    remove_all(twin, mailbox, "INBOX")

    run = recovery.restore(
        actor=alice, mailbox=mailbox, engine=twin, chosen=[("INBOX", 2), ("Nowhere", 1)], at=NOW
    )
    finish(run, twin)

    assert subjects(twin, mailbox, "INBOX") == ["Two"]
    assert len(twin.removed_mail(user=mailbox.address)) == 2


def test_pop_program_is_to_fetch_again_what_comes_back(twin, cast, alice):
    pop = make_mailbox(cast.domain, "popper", "pop")
    twin.know(pop.address)
    put(twin, pop, "INBOX", "One", flags=["\\Seen", "\\Flagged"])
    retrievals.note(mailbox=pop, engine=twin, at=NOW - 40 * DAY)
    purge = purging.plan_retention(mailbox=pop, engine=twin, at=NOW)
    purging.work_off(run=purge, engine=twin, now=lambda: NOW)

    run = recovery.restore(actor=alice, mailbox=pop, engine=twin, chosen=[("INBOX", 1)], at=NOW)
    finish(run, twin)

    [back] = twin.accounts[pop.address].folders["INBOX"].kept
    assert back.flags == {"\\Flagged"}
    assert retrievals.note(mailbox=pop, engine=twin, at=NOW) == 0
    at = NOW + 400 * DAY
    assert purging.plan_retention(mailbox=pop, engine=twin, at=at) is None


def test_listing_tells_how_it_went_and_until_when(twin, cast, mailbox, alice):
    put(twin, mailbox, "INBOX", "By program")
    remove_all(twin, mailbox, "INBOX", age=DAY)
    Removal.objects.create(
        mailbox=mailbox,
        folder="INBOX",
        service="imap",
        session="s",
        device="-",
        address="192.0.2.7",
        uids="1",
        messages=1,
        bytes=1,
        began_at=NOW - DAY,
        ended_at=NOW - DAY,
    )
    put(twin, mailbox, "Junk", "By rule")
    object.__setattr__(
        twin.accounts[mailbox.address].folders["Junk"].kept[0], "saved_at", NOW - 40 * DAY
    )
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    purging.work_off(run=run, engine=twin, now=lambda: datetime.now(tz=UTC))

    found = recovery.listing(mailbox=mailbox, engine=twin, search=RemovedSearch()).rows

    by_subject = {one.message.subject: one for one in found}
    assert by_subject["By program"].origin.text == (
        "by a mail program (IMAP, the mailbox password, 192.0.2.7)"
    )
    assert by_subject["By program"].until == NOW - DAY + timedelta(days=mailbox.window_days)
    assert by_subject["By rule"].origin.text == "by the retention rules"
    holding.place(
        actor=cast.actor(cast.sam), by=cast.sam, scope=mailbox, matter="m", reason="r", at=NOW
    )
    held = recovery.listing(mailbox=mailbox, engine=twin, search=RemovedSearch(subject="rule")).rows
    assert [one.until for one in held] == [None]


def test_page_costs_the_same_however_much_was_removed(twin, mailbox):
    put(twin, mailbox, "INBOX", *map(str, range(30)))
    remove_all(twin, mailbox, "INBOX")
    for number in range(30):
        age = timedelta(hours=number)
        stored = twin.accounts[mailbox.address].store["INBOX"].kept[number]
        object.__setattr__(stored, "saved_at", NOW - age)
        Removal.objects.create(
            mailbox=mailbox,
            folder="INBOX",
            service="imap",
            session=f"s{number}",
            device="-",
            address=f"192.0.2.{number}",
            uids=str(number + 1),
            messages=1,
            bytes=1,
            began_at=NOW - age,
            ended_at=NOW - age,
        )

    with CaptureQueriesContext(connection) as asked:
        found = recovery.listing(
            mailbox=mailbox, engine=twin, search=RemovedSearch(), most=2, skip=10
        )

    assert found.total == 30
    assert [one.origin.text for one in found.rows] == [
        "by a mail program (IMAP, the mailbox password, 192.0.2.10)",
        "by a mail program (IMAP, the mailbox password, 192.0.2.11)",
    ]
    [sql] = [one["sql"] for one in asked if "mailstore_removal" in one["sql"]]
    with connection.cursor() as cursor:
        assert len(cursor.execute(sql).fetchall()) == 2


def test_what_does_not_fit_is_refused_with_how_much_must_go(twin, mailbox, alice):
    put(twin, mailbox, "INBOX", "x" * 3000)
    remove_all(twin, mailbox, "INBOX")
    Mailbox.objects.filter(pk=mailbox.pk).update(quota_bytes=10_000)
    mailbox.refresh_from_db()
    Usage.objects.create(username=mailbox.address, bytes=9_000, messages=1)

    with pytest.raises(recovery.NotEnoughSpace, match="make room for 2 kB first"):
        recovery.roll_back(actor=alice, mailbox=mailbox, engine=twin, moment=NOW - DAY, at=NOW)
    assert RestoreRun.objects.count() == 0


def test_one_restore_at_a_time(twin, mailbox, alice):
    put(twin, mailbox, "INBOX", "One")
    remove_all(twin, mailbox, "INBOX")
    recovery.roll_back(actor=alice, mailbox=mailbox, engine=twin, moment=NOW - DAY, at=NOW)

    with pytest.raises(recovery.RestoreUnderWay):
        recovery.roll_back(actor=alice, mailbox=mailbox, engine=twin, moment=NOW - DAY, at=NOW)


def test_read_only_restores_nothing(twin, cast, mailbox):
    put(twin, mailbox, "INBOX", "One")
    remove_all(twin, mailbox, "INBOX")

    with pytest.raises(Forbidden):
        recovery.roll_back(
            actor=cast.actor(cast.bob), mailbox=mailbox, engine=twin, moment=NOW - DAY, at=NOW
        )


@pytest.mark.parametrize("fault", range(10))
def test_killed_anywhere_each_message_comes_back_once(fault, twin, mailbox, alice, monkeypatch):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 2)
    put(twin, mailbox, "INBOX", "1", "2", "3")
    put(twin, mailbox, "Work", "4")
    for folder in ("INBOX", "Work"):
        remove_all(twin, mailbox, folder)
    run = recovery.roll_back(actor=alice, mailbox=mailbox, engine=twin, moment=NOW - DAY, at=NOW)
    steps = count()

    def step(_moment=None):
        if next(steps) == fault:
            raise Killed
        return NOW

    twin.on_change = step
    with suppress(Killed):
        recovery.work_off(run=run, engine=twin, now=step)
    twin.on_change = lambda _moment: None
    for _ in range(20):
        recovery.run_open(engine=twin, now=lambda: NOW + 2 * working.LEASE)

    run.refresh_from_db()
    assert subjects(twin, mailbox, "INBOX") == ["1", "2", "3"]
    assert subjects(twin, mailbox, "Work") == ["4"]
    assert twin.removed_mail(user=mailbox.address) == []
    assert (run.state, run.messages) == (WorkState.DONE, 4)
    assert Event.objects.filter(kind="mailbox.mail_restored").count() == 1


def test_killed_between_copy_and_removal_leaves_no_second_copy(twin, mailbox, alice):
    put(twin, mailbox, "INBOX", "1", "2")
    account = twin.accounts[mailbox.address]
    remove_all(twin, mailbox, "INBOX")
    run = recovery.roll_back(actor=alice, mailbox=mailbox, engine=twin, moment=NOW - DAY, at=NOW)
    run.batches.update(state="doing")
    account.folders["INBOX"].take(account.store["INBOX"].kept[0], at=NOW)

    finish(run, twin)

    assert sorted(subjects(twin, mailbox, "INBOX")) == ["1", "2"]
    assert twin.removed_mail(user=mailbox.address) == []


def test_removing_for_good_never_happens_under_a_hold(twin, cast, mailbox, alice):
    put(twin, mailbox, "INBOX", "Secret", "Kept")
    remove_all(twin, mailbox, "INBOX")
    hold = holding.place(
        actor=cast.actor(cast.sam), by=cast.sam, scope=mailbox, matter="m", reason="r", at=NOW
    )
    search = RemovedSearch(subject="Secret")

    with pytest.raises(holding.Stopped):
        purging.plan_for_good(actor=alice, mailbox=mailbox, engine=twin, search=search, at=NOW)
    holding.release(actor=cast.actor(cast.sam), by=cast.rita, hold=hold, reason="over", at=NOW)
    run = purging.plan_for_good(actor=alice, mailbox=mailbox, engine=twin, search=search, at=NOW)
    purging.work_off(run=run, engine=twin, now=lambda: NOW)

    assert [m.subject for m in twin.removed_mail(user=mailbox.address)] == ["Kept"]
    assert (
        purging.plan_for_good(actor=alice, mailbox=mailbox, engine=twin, search=search, at=NOW)
        is None
    )


def test_dead_mail_server_loses_no_restore(twin, mailbox, alice):
    put(twin, mailbox, "INBOX", "1")
    remove_all(twin, mailbox, "INBOX")
    run = recovery.roll_back(actor=alice, mailbox=mailbox, engine=twin, moment=NOW - DAY, at=NOW)
    twin.is_down = True
    assert recovery.run_open(engine=twin, now=lambda: NOW) == 0
    twin.is_down = False

    assert recovery.run_open(engine=twin, now=lambda: NOW) == 1
    run.refresh_from_db()
    assert (run.state, run.failure) == (WorkState.DONE, "")
