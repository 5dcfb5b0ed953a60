"""Plans that hold no more: nothing goes by them, and what went before is on the receipt."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from accounts.access import system
from accounts.models import Event
from mailstore import (
    closing,
    cooling,
    health,
    holding,
    provisioning,
    purging,
    receipts,
    recovery,
    retention,
    rules,
    sweeping,
    switching,
    working,
)
from mailstore.engine import uids_of
from mailstore.models import Mailbox, PurgeRun, RestoreRun, WorkState
from mailstore.policy import CountedFrom, Rule
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases="__all__")

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WAIT = timedelta(hours=72)
SYSTEM = system("tests")


class Killed(BaseException):
    """What a SIGKILL is to a test."""


@pytest.fixture
def mailbox(cast, twin, monkeypatch):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 2)
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


def put(twin, mailbox, folder, *ages_in_days):
    box = twin.accounts[mailbox.address].folders[folder]
    for age in ages_in_days:
        raw = f"Message-ID: <{folder}-{age}-{box.next_uid}@x.test>\r\n\r\n{age}\r\n".encode()
        box.append(raw, at=NOW - age * DAY)


def in_store(twin, mailbox, folder, *ages_in_days):
    """Mail that was removed so many days ago."""
    put(twin, mailbox, folder, *ages_in_days)
    account = twin.accounts[mailbox.address]
    twin.remove(
        user=mailbox.address, folder=folder, uids=[m.uid for m in account.folders[folder].kept]
    )
    for message, age in zip(account.store[folder].kept, ages_in_days, strict=True):
        object.__setattr__(message, "saved_at", NOW - age * DAY)


def uids(folders):
    return {name: [m.uid for m in folder.kept] for name, folder in folders.items() if folder.kept}


def visible(twin, user):
    return uids(twin.accounts[user].folders)


def stored(twin, user):
    return uids(twin.accounts[user].store)


def work(twin, run, now=NOW):
    done = purging.work_off(run=run, engine=twin, now=lambda: now)
    run.refresh_from_db()
    return done


def keep_longer(cast, mailbox, twin, days=3000):
    rule = Rule(folder="\\Junk", counted_from=CountedFrom.ARRIVAL, days=days)
    asked = cooling.ask_rule(
        actor=cast.actor(cast.alice),
        target=mailbox,
        rule=rule,
        engine=twin,
        wait=WAIT,
        at=NOW,
        now=NOW,
    )
    assert asked is None


def widen_window(cast, mailbox):
    asked = cooling.ask_window(
        actor=cast.actor(cast.alice), mailbox=mailbox, window_days=3000, wait=WAIT, at=NOW, now=NOW
    )
    assert asked is None


def once(moment, act, twin):
    """Have `act` happen at the first such moment of the mail server."""

    def at_moment(happening):
        if happening == moment:
            twin.on_change = lambda _moment: None
            act()

    twin.on_change = at_moment


# Other rules ----------------------------------------------------------------------------


def test_rule_that_keeps_longer_holds_for_what_is_planned_already(twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31, 32, 33)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    keep_longer(cast, mailbox, twin)

    work(twin, run)

    assert visible(twin, mailbox.address) == {"Junk": [1, 2, 3]}
    assert (run.state, run.messages) == (WorkState.CANCELLED, 0)
    assert list(Event.objects.filter(subject_id=str(run.uuid)).values_list("kind", flat=True)) == [
        "purge.planned",
        "purge.cancelled",
    ]
    assert sweeping.plan_due(engine=twin, at=NOW) == 1
    assert not PurgeRun.objects.open().exists()


def test_rule_that_keeps_longer_holds_from_the_next_batch_on(twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31, 32, 33)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    once("after remove", lambda: keep_longer(cast, mailbox, twin), twin)

    work(twin, run)

    assert visible(twin, mailbox.address) == {"Junk": [3]}
    assert (run.state, run.messages) == (WorkState.DONE, 2)
    [receipt] = receipts.of(run)
    assert uids_of(receipt.uids) == [1, 2]
    mailbox.refresh_from_db()
    assert mailbox.store_messages == 2
    assert mailbox.store_due_at == NOW + mailbox.window_days * DAY
    assert mailbox.retention_due_at is None


def test_other_rules_plan_anew_what_goes_by_them_too(twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31, 40)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    keep_longer(cast, mailbox, twin, days=35)
    work(twin, run)

    sweeping.plan_due(engine=twin, at=NOW)
    sweeping.run_open(engine=twin, now=lambda: NOW)

    assert visible(twin, mailbox.address) == {"Junk": [1]}
    newer = PurgeRun.objects.get(state=WorkState.DONE)
    mailbox.refresh_from_db()
    assert newer.policy_version == retention.version(mailbox, retention.layers_of(mailbox))


@pytest.mark.parametrize("moment", ["before remove", "after remove"])
def test_what_a_dead_worker_had_removed_is_on_the_receipt(moment, twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31, 32, 33)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)

    def die():
        raise Killed

    once(moment, die, twin)
    with suppress(Killed):
        work(twin, run)
    keep_longer(cast, mailbox, twin)

    work(twin, run, now=NOW + 2 * working.LEASE)

    gone = [1, 2] if moment == "after remove" else []
    assert stored(twin, mailbox.address).get("Junk", []) == gone
    assert [u for receipt in receipts.of(run) for u in uids_of(receipt.uids)] == gone
    assert run.state == (WorkState.DONE if gone else WorkState.CANCELLED)
    assert run.messages == len(gone)


def test_longer_window_holds_for_what_is_planned_already(twin, cast, mailbox):
    in_store(twin, mailbox, "INBOX", 400, 401)
    alice = cast.actor(cast.alice)
    run = purging.plan_store(mailbox=mailbox, engine=twin, at=NOW)
    purging.pause(actor=alice, run=run, at=NOW)
    widen_window(cast, mailbox)
    purging.resume(actor=alice, run=run, at=NOW)

    work(twin, run)

    assert stored(twin, mailbox.address) == {"INBOX": [1, 2]}
    assert run.state == WorkState.CANCELLED
    assert sweeping.plan_due(engine=twin, at=NOW + DAY) == 2
    mailbox.refresh_from_db()
    assert mailbox.store_due_at == NOW + (3000 - 401) * DAY


def test_hold_goes_before_the_end_of_an_outdated_run(twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    keep_longer(cast, mailbox, twin)
    holding.place(actor=SYSTEM, by=cast.sam, scope=mailbox, matter="m", reason="r", at=NOW)

    assert work(twin, run) is False
    assert run.state == WorkState.RUNNING


def test_other_protocol_holds_before_the_mail_server_follows(twin, cast, mailbox):
    put(twin, mailbox, "INBOX", 400)
    rule = Rule(folder="*", counted_from=CountedFrom.ARRIVAL, days=40)
    rules.set_rule(actor=SYSTEM, target=mailbox, rule=rule, at=NOW)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    assert run is not None
    terms = switching.Terms(
        protocol="pop",
        quota_bytes=mailbox.quota_bytes,
        window_days=mailbox.window_days,
        retention_policy=None,
    )

    switching.change_terms(actor=SYSTEM, mailbox=mailbox, terms=terms, wait=WAIT, at=NOW, now=NOW)
    work(twin, run)

    assert run.state == WorkState.CANCELLED
    assert visible(twin, mailbox.address) == {"INBOX": [1]}


# Closing --------------------------------------------------------------------------------


def close(mailbox, grace=30 * DAY):
    provisioning.close(actor=SYSTEM, mailbox=mailbox, grace=grace, at=NOW)


def test_closing_keeps_all_that_there_was(twin, mailbox):
    put(twin, mailbox, "Junk", 31, 32)
    in_store(twin, mailbox, "INBOX", 400)
    Mailbox.objects.update(store_due_at=NOW - DAY)
    close(mailbox)

    for days in range(0, 30, 5):
        at = NOW + days * DAY
        assert sweeping.plan_due(engine=twin, at=at) == 0
        assert sweeping.sweep_fully(engine=twin, at=at, every=7 * DAY) in (True, False)
        assert sweeping.run_open(engine=twin, now=lambda at=at: at) == 0
    assert health.due(NOW + 29 * DAY).count() == 0
    provisioning.reopen(actor=SYSTEM, mailbox=mailbox, at=NOW + 29 * DAY)

    assert visible(twin, mailbox.address) == {"Junk": [1, 2]}
    assert stored(twin, mailbox.address) == {"INBOX": [1]}
    mailbox.refresh_from_db()
    assert mailbox.retention_due_at is None


@pytest.mark.parametrize("kind", ["retention", "store", "asked"])
def test_closing_stops_what_is_planned_and_reopening_lets_it_go_on(kind, twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31)
    in_store(twin, mailbox, "INBOX", 400)
    if kind == "retention":
        run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    elif kind == "store":
        run = purging.plan_store(mailbox=mailbox, engine=twin, at=NOW)
    else:
        run = purging.plan_for_good(
            actor=SYSTEM, mailbox=mailbox, engine=twin, search=recovery.RemovedSearch(), at=NOW
        )
    close(mailbox)

    assert work(twin, run) is False

    assert run.failure == "hello@alder.test is closing, and all of it is kept until it is erased."
    assert not health.failed().exists()
    assert visible(twin, mailbox.address) == {"Junk": [1]}
    assert stored(twin, mailbox.address) == {"INBOX": [1]}
    provisioning.reopen(actor=SYSTEM, mailbox=mailbox, at=NOW + DAY)
    assert work(twin, run, now=NOW + DAY) is True
    assert run.messages == 1


def test_nothing_is_destroyed_on_request_while_closing(twin, cast, mailbox):
    in_store(twin, mailbox, "INBOX", 4)
    alice = cast.actor(cast.alice)
    cooling.ask_to_empty_store(actor=alice, mailbox=mailbox, until=NOW, wait=WAIT, at=NOW)
    close(mailbox)

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0

    assert not PurgeRun.objects.exists()
    mailbox.refresh_from_db()
    with pytest.raises(holding.Stopped, match="is closing"):
        cooling.ask_to_empty_store(actor=alice, mailbox=mailbox, until=NOW, wait=WAIT, at=NOW)


# A free address -------------------------------------------------------------------------


def give_up(twin, mailbox):
    """Close without a grace, and let Dovecot find the home by its uuid only."""
    close(mailbox, grace=timedelta())
    assert closing.close_for_good(actor=SYSTEM, at=NOW) == 1
    twin.accounts[mailbox.tombstone] = twin.accounts.pop(mailbox.address)


def newer_with_the_same_uids(cast, twin, older):
    """A mailbox at the same address; by accident its folders count like those of the old one."""
    newer = make_mailbox(cast.domain)
    twin.know(newer.address)
    twin.create_mailbox(user=newer.address, folders=newer.special_folders)
    put(twin, newer, "Junk", 1, 1, 1)
    in_store(twin, newer, "INBOX", 1, 1, 1)
    account, former = twin.accounts[newer.address], twin.accounts[older.tombstone]
    for mine, theirs in ((account.folders, former.folders), (account.store, former.store)):
        for name in mine.keys() & theirs.keys():
            mine[name].uidvalidity = theirs[name].uidvalidity
    return newer


def test_late_purge_does_not_touch_the_next_mailbox_at_the_address(twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31, 32, 33)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    give_up(twin, mailbox)
    newer = newer_with_the_same_uids(cast, twin, mailbox)

    assert work(twin, run) is False
    assert sweeping.run_open(engine=twin, now=lambda: NOW) == 0

    assert run.state == WorkState.CANCELLED
    assert visible(twin, newer.address) == {"Junk": [1, 2, 3]}
    assert not health.failed().exists()


def test_late_restore_says_nothing_of_the_next_mailbox_at_the_address(twin, cast, mailbox):
    in_store(twin, mailbox, "INBOX", 4, 3, 2)
    run = recovery.roll_back(
        actor=SYSTEM, mailbox=mailbox, engine=twin, moment=NOW - 9 * DAY, at=NOW
    )
    give_up(twin, mailbox)
    newer = newer_with_the_same_uids(cast, twin, mailbox)
    asked = []
    twin.recalculate_usage = lambda *, user: asked.append(user)
    try:
        assert recovery.work_off(run=run, engine=twin, now=lambda: NOW) is False
    finally:
        del twin.recalculate_usage

    run.refresh_from_db()
    assert (run.state, run.messages, asked) == (WorkState.CANCELLED, 0, [])
    assert not Event.objects.filter(kind="mailbox.mail_restored").exists()
    assert stored(twin, newer.address) == {"INBOX": [1, 2, 3]}


def test_worker_who_has_a_run_when_the_address_is_given_up_stops(twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31, 32, 33)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    real = twin.present

    def give_up_then_look(**asked):
        del twin.present
        give_up(twin, mailbox)
        newer_with_the_same_uids(cast, twin, mailbox)
        return real(**asked)

    twin.present = give_up_then_look

    assert work(twin, run) is False
    assert visible(twin, mailbox.address) == {"Junk": [1, 2, 3]}


@pytest.mark.parametrize("moment", ["before remove_for_good", "after remove_for_good"])
def test_each_message_is_on_one_receipt_when_a_worker_died_before_the_end(
    moment, twin, cast, mailbox
):
    in_store(twin, mailbox, "INBOX", 400, 401, 402)
    run = purging.plan_store(mailbox=mailbox, engine=twin, at=NOW)

    def die():
        raise Killed

    once(moment, die, twin)
    with suppress(Killed):
        work(twin, run)
    give_up(twin, mailbox)
    later = NOW + 2 * working.LEASE
    assert sweeping.run_open(engine=twin, now=lambda: later) == 0

    assert closing.erase_closed(engine=twin, at=later) == 1

    run.refresh_from_db()
    gone = 2 if moment.startswith("after") else 0
    assert run.messages == gone
    receipt = PurgeRun.objects.get(kind=PurgeRun.Kind.CLOSING)
    assert receipt.messages == 3 - gone
    assert not PurgeRun.objects.open().exists()


def test_restore_that_had_begun_ends_with_what_came_back(twin, mailbox):
    in_store(twin, mailbox, "INBOX", 4, 3, 2)
    run = recovery.roll_back(
        actor=SYSTEM, mailbox=mailbox, engine=twin, moment=NOW - 9 * DAY, at=NOW
    )
    first = run.batches.order_by("position").first()
    mine = working.claim(run, at=NOW)
    recovery._do(mine, first, engine=twin, now=lambda: NOW)
    give_up(twin, mailbox)

    run.refresh_from_db()
    assert (run.state, run.messages) == (WorkState.DONE, 2)
    [event] = Event.objects.filter(kind="mailbox.mail_restored")
    assert event.data["messages"] == 2


@pytest.mark.parametrize(
    ("moment", "back"), [("before restore", 0), ("after restore", 2), ("in between", 1)]
)
def test_restore_whose_worker_died_ends_with_what_came_back(moment, back, twin, mailbox):
    in_store(twin, mailbox, "INBOX", 4, 3, 2)
    run = recovery.roll_back(
        actor=SYSTEM, mailbox=mailbox, engine=twin, moment=NOW - 9 * DAY, at=NOW
    )

    def die():
        if moment == "in between":
            # The mail server died as well, between the copy and the removal of one message.
            account = twin.accounts[mailbox.address]
            account.folders["INBOX"].take(account.store["INBOX"].kept[0], at=NOW)
        raise Killed

    once("after restore" if back == 2 else "before restore", die, twin)
    with suppress(Killed):
        recovery.work_off(run=run, engine=twin, now=lambda: NOW)
    give_up(twin, mailbox)
    later = NOW + 2 * working.LEASE
    assert recovery.run_open(engine=twin, now=lambda: later) == 0

    assert closing.erase_closed(engine=twin, at=later) == 1

    run.refresh_from_db()
    assert (run.state, run.messages) == (WorkState.DONE if back else WorkState.CANCELLED, back)
    assert run.bytes == sum(int(size) for batch in run.batches.all() for _, size, _ in batch.items)
    told = Event.objects.filter(kind="mailbox.mail_restored")
    assert [event.data["messages"] for event in told] == [back] * bool(back)
    assert Event.objects.filter(kind="operation.finished").count() == 1
    # Each message is there once, wherever it was.
    assert PurgeRun.objects.get(kind=PurgeRun.Kind.CLOSING).messages == 3


def test_restore_whose_worker_died_waits_for_what_is_held(twin, cast, mailbox):
    in_store(twin, mailbox, "INBOX", 4, 3)
    run = recovery.roll_back(
        actor=SYSTEM, mailbox=mailbox, engine=twin, moment=NOW - 9 * DAY, at=NOW
    )
    run.batches.update(state="doing")
    give_up(twin, mailbox)
    holding.place(
        actor=cast.actor(cast.sam), by=cast.sam, scope=mailbox, matter="m", reason="r", at=NOW
    )

    assert closing.erase_closed(engine=twin, at=NOW) == 0

    assert RestoreRun.objects.open().get() == run
    assert stored(twin, mailbox.tombstone) == {"INBOX": [1, 2]}


def test_restore_counts_only_what_came_back(twin, mailbox):
    in_store(twin, mailbox, "INBOX", 4, 3, 2)
    run = recovery.roll_back(
        actor=SYSTEM, mailbox=mailbox, engine=twin, moment=NOW - 9 * DAY, at=NOW
    )
    twin.remove_for_good(user=mailbox.address, folder="INBOX", uids=[1, 3])

    assert recovery.work_off(run=run, engine=twin, now=lambda: NOW)

    run = RestoreRun.objects.get()
    assert (run.state, run.planned_messages, run.messages) == (WorkState.DONE, 3, 1)
    [event] = Event.objects.filter(kind="mailbox.mail_restored")
    assert event.data["messages"] == 1


def test_erasure_leaves_a_note_with_its_receipt(twin, mailbox):
    put(twin, mailbox, "INBOX", 1, 2)
    give_up(twin, mailbox)
    assert not Event.objects.filter(kind="mailbox.erased").exists()

    closing.erase_closed(engine=twin, at=NOW)

    [event] = Event.objects.filter(kind="mailbox.erased")
    run = PurgeRun.objects.get()
    assert event.subject_id == str(mailbox.uuid)
    assert event.data == {"receipt": str(run.uuid), "messages": 2, "bytes": run.bytes}
