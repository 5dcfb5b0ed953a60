"""Purges, checked against a model: what should go is reckoned in plain Python."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from accounts.access import Forbidden, system
from accounts.models import Event
from mailstore import (
    checking,
    holding,
    purging,
    receipts,
    retention,
    retrievals,
    rules,
    sweeping,
    working,
)
from mailstore.engine import EngineRefused, EngineUnavailable, uids_of
from mailstore.engine.memory import Folder
from mailstore.models import FullSweep, Mailbox, PurgeBatch, PurgeRun, Removal, WorkState
from mailstore.policy import CountedFrom, Rule
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Killed(BaseException):
    """What a SIGKILL is to a test."""


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


@pytest.fixture
def pop(cast, twin):
    mailbox = make_mailbox(cast.domain, "popper", "pop")
    twin.know(mailbox.address)
    return mailbox


def put(twin, mailbox, folder, *ages_in_days, flags=()):
    box = twin.accounts[mailbox.address].folders[folder]
    for age in ages_in_days:
        raw = f"Message-ID: <{folder}-{age}-{box.next_uid}@x.test>\r\n\r\n{age}\r\n".encode()
        box.append(raw, at=NOW - age * DAY)
        if flags:
            object.__setattr__(box.kept[-1], "flags", frozenset(flags))


def purge(twin, mailbox, now=NOW):
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=now)
    if run is not None:
        assert purging.work_off(run=run, engine=twin, now=lambda: now)
        run.refresh_from_db()
    return run


def visible(twin, mailbox):
    folders = twin.accounts[mailbox.address].folders
    return {name: [m.uid for m in folder.kept] for name, folder in folders.items() if folder.kept}


def stored(twin, mailbox):
    return {n: len(f.kept) for n, f in twin.accounts[mailbox.address].store.items() if f.kept}


def test_junk_and_trash_go_by_age_and_nothing_else_does(twin, mailbox):
    put(twin, mailbox, "Junk", 31, 30, 29)
    put(twin, mailbox, "Trash", 400, 1)
    put(twin, mailbox, "INBOX", 4000)

    run = purge(twin, mailbox)

    assert visible(twin, mailbox) == {"INBOX": [1], "Junk": [3], "Trash": [2]}
    assert stored(twin, mailbox) == {"Junk": 2, "Trash": 1}
    assert (run.state, run.messages) == (WorkState.DONE, 3)


def test_store_is_known_to_be_fuller_and_due_without_being_asked(twin, mailbox):
    put(twin, mailbox, "Junk", 31)
    size = len(twin.accounts[mailbox.address].folders["Junk"].kept[0].raw)
    Mailbox.objects.filter(pk=mailbox.pk).update(
        store_bytes=500, store_messages=4, store_due_at=NOW + 2 * DAY
    )

    purge(twin, mailbox)

    mailbox.refresh_from_db()
    assert (mailbox.store_bytes, mailbox.store_messages) == (500 + size, 5)
    assert mailbox.store_due_at == NOW + 2 * DAY


def test_receipt_equals_what_went(twin, mailbox):
    put(twin, mailbox, "Junk", 31, 32, 2)
    box = twin.accounts[mailbox.address].folders["Junk"]
    gone = box.kept[:2]

    run = purge(twin, mailbox)

    [receipt] = receipts.of(run)
    lines = "".join(
        f"{m.uid} {len(m.raw)} "
        f"{hashlib.sha256(m.headers['Message-ID'].encode()).hexdigest()[:16]}\n"
        for m in gone
    )
    assert (receipt.folder, receipt.uidvalidity, receipt.uids) == ("Junk", box.uidvalidity, "1:2")
    assert receipt.bytes == run.bytes == sum(len(m.raw) for m in gone)
    assert receipt.digest == hashlib.sha256(lines.encode()).hexdigest()
    assert run.policy_version == retention.version(mailbox, retention.layers_of(mailbox))


def test_pop_lets_go_only_what_was_fetched(twin, pop):
    put(twin, pop, "INBOX", 400, 300, flags=["\\Seen"])
    put(twin, pop, "INBOX", 500)
    retrievals.note(mailbox=pop, engine=twin, at=NOW - 31 * DAY)
    put(twin, pop, "INBOX", 35, flags=["\\Seen"])
    assert retrievals.note(mailbox=pop, engine=twin, at=NOW - 3 * DAY) == 1
    assert retrievals.note(mailbox=pop, engine=twin, at=NOW) == 0

    purge(twin, pop)

    assert visible(twin, pop) == {"INBOX": [3, 4]}


@pytest.mark.parametrize("folder", ["*", "INBOX", "\\Inbox"])
def test_no_rule_takes_unfetched_mail_from_a_pop_mailbox(folder, twin, cast, pop):
    put(twin, pop, "INBOX", 400)
    put(twin, pop, "INBOX", 400, flags=["\\Seen"])
    retrievals.note(mailbox=pop, engine=twin, at=NOW - 31 * DAY)
    by_age = Rule(folder=folder, counted_from=CountedFrom.ARRIVAL, days=30)
    rules.set_rule(actor=system("tests"), target=cast.customer, rule=by_age, at=NOW)

    purge(twin, pop)

    assert visible(twin, pop) == {"INBOX": [1]}
    [found] = retention.outlook(mailbox=pop, engine=twin, until=NOW)
    assert found.decision.sentence == (
        "Mail in INBOX goes 30 days after a program fetched it: Alder says so."
    )


def test_what_was_fetched_from_an_inbox_says_nothing_of_one_made_anew(twin, pop):
    put(twin, pop, "INBOX", 400, flags=["\\Seen"])
    retrievals.note(mailbox=pop, engine=twin, at=NOW - 31 * DAY)
    twin.accounts[pop.address].folders["INBOX"] = Folder()
    put(twin, pop, "INBOX", 400, flags=["\\Seen"])

    assert retrievals.note(mailbox=pop, engine=twin, at=NOW - 2 * DAY) == 1
    purge(twin, pop)

    assert visible(twin, pop) == {"INBOX": [1]}


def test_preview_names_the_day_each_message_goes(twin, mailbox):
    put(twin, mailbox, "Junk", 31, 20, 5)

    outlooks = retention.outlook(mailbox=mailbox, engine=twin, until=NOW + 15 * DAY)

    [junk] = [found for found in outlooks if found.folder == "Junk"]
    assert [fate.goes_at for fate in junk.fates] == [NOW - DAY, NOW + 10 * DAY]
    assert visible(twin, mailbox) == {"Junk": [1, 2, 3]}


def test_next_moment_is_that_of_the_oldest_message(twin, mailbox):
    put(twin, mailbox, "Junk", 31, 12)

    purge(twin, mailbox)

    mailbox.refresh_from_db()
    assert mailbox.retention_due_at == NOW + 18 * DAY
    assert mailbox.store_due_at is not None
    assert purge(twin, mailbox) is None


def test_sweep_touches_what_is_due_only(twin, cast, mailbox, django_assert_num_queries):
    for position in range(5):
        other = make_mailbox(cast.domain, f"quiet{position}")
        Mailbox.objects.filter(pk=other.pk).update(retention_due_at=NOW + DAY)
    put(twin, mailbox, "Junk", 31)

    assert sweeping.plan_due(engine=twin, at=NOW) == 1
    assert PurgeRun.objects.count() == 1
    assert sweeping.plan_due(engine=twin, at=NOW) == 0
    assert sweeping.run_open(engine=twin, now=lambda: NOW) == 1
    # Three lists, and for each way of looking the setbacks that are over.
    with django_assert_num_queries(5):
        assert sweeping.plan_due(engine=twin, at=NOW) == 0


def test_store_is_emptied_after_the_window(twin, mailbox):
    put(twin, mailbox, "Junk", 31)
    purge(twin, mailbox)
    moment = twin.accounts[mailbox.address].store["Junk"].kept[0].saved_at
    window = timedelta(days=mailbox.window_days)

    early = purging.plan_store(mailbox=mailbox, engine=twin, at=moment + window - DAY)
    late = purging.plan_store(mailbox=mailbox, engine=twin, at=moment + window)
    purging.work_off(run=late, engine=twin, now=lambda: moment + window)

    assert early is None
    assert stored(twin, mailbox) == {}
    mailbox.refresh_from_db()
    assert mailbox.store_due_at is None


def told_of(mailbox, at, *, is_weighed=True):
    return Removal.objects.create(
        mailbox=mailbox,
        folder="Junk",
        service="imap",
        session="s",
        device="-",
        address="192.0.2.1",
        uids="1",
        messages=1,
        bytes=1,
        began_at=at,
        ended_at=at,
        is_weighed=is_weighed,
    )


def test_who_removed_what_is_told_as_long_as_it_can_be_brought_back(twin, mailbox):
    put(twin, mailbox, "Junk", 31)
    purge(twin, mailbox)
    box = twin.accounts[mailbox.address].store["Junk"]
    moment = box.kept[0].saved_at
    window = timedelta(days=mailbox.window_days)
    told_of(mailbox, moment - 40 * DAY)
    kept = [told_of(mailbox, moment - 40 * DAY, is_weighed=False), told_of(mailbox, moment)]
    box.append(b"Subject: Later\r\n\r\n", at=moment + DAY)

    late = purging.plan_store(mailbox=mailbox, engine=twin, at=moment + window)
    purging.work_off(run=late, engine=twin, now=lambda: moment + window)

    assert list(Removal.objects.order_by("pk")) == kept


@pytest.mark.parametrize("fault", range(12))
def test_killed_anywhere_it_goes_on_and_removes_exactly_the_plan(fault, twin, mailbox, monkeypatch):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 2)
    put(twin, mailbox, "Junk", 31, 32, 33, 3)
    put(twin, mailbox, "Trash", 40, 2)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    steps = count()

    def step(_moment=None):
        if next(steps) == fault:
            raise Killed
        return NOW

    twin.on_change = step
    with suppress(Killed):
        purging.work_off(run=run, engine=twin, now=step)
    twin.on_change = lambda _moment: None
    later = NOW + 2 * working.LEASE
    for _ in range(20):
        sweeping.run_open(engine=twin, now=lambda: later)

    run.refresh_from_db()
    assert visible(twin, mailbox) == {"Junk": [4], "Trash": [2]}
    assert stored(twin, mailbox) == {"Junk": 3, "Trash": 1}
    assert (run.state, run.messages) == (WorkState.DONE, 4)
    found = {r.folder: uids_of(r.uids) for r in receipts.of(run)}
    assert found == {"Junk": [1, 2, 3], "Trash": [1]}
    assert Event.objects.filter(kind="purge.finished").count() == 1


def test_run_of_one_batch_takes_one_claim_and_two_transactions(
    twin, mailbox, django_assert_num_queries
):
    put(twin, mailbox, "Junk", *range(31, 41))
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)

    # Claim, run and batches; then twice a kept lease, a locked mailbox, a look at holds and the
    # batch; at the end the rules, the run, the mailbox and the event. The rest are savepoints.
    with django_assert_num_queries(19):
        assert purging.work_off(run=run, engine=twin, now=lambda: NOW)


def test_run_whose_batches_are_done_is_ended(twin, mailbox):
    put(twin, mailbox, "Junk", 31)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    run.batches.update(state=PurgeBatch.State.DONE)

    assert purging.work_off(run=run, engine=twin, now=lambda: NOW)

    run.refresh_from_db()
    assert run.state == WorkState.DONE


@pytest.mark.parametrize("done", [True, False])
def test_lease_that_is_lost_before_the_end_ends_nothing(done, twin, mailbox, monkeypatch):
    put(twin, mailbox, "Junk", 31)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    if done:
        run.batches.update(state=PurgeBatch.State.DONE)
    real = twin.folder_states

    def lose_the_lease(**asked):
        PurgeRun.objects.filter(pk=run.pk).update(fence=99)
        return real(**asked)

    monkeypatch.setattr(twin, "folder_states", lose_the_lease)
    assert purging.work_off(run=run, engine=twin, now=lambda: NOW) is False

    run.refresh_from_db()
    assert (run.state, run.messages) == (WorkState.RUNNING, 0)


def test_what_was_rolled_back_is_not_told_of_as_removed(twin, mailbox, monkeypatch):
    put(twin, mailbox, "Junk", 31)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)

    def refuse(**_asked):
        raise EngineRefused("Not now.")

    with monkeypatch.context() as patch:
        patch.setattr(twin, "folder_states", refuse)
        with pytest.raises(EngineRefused):
            purging.work_off(run=run, engine=twin, now=lambda: NOW)
    [failed] = Event.objects.filter(kind="purge.failed")
    assert (failed.data["messages"], stored(twin, mailbox)) == (0, {"Junk": 1})

    assert purging.work_off(run=run, engine=twin, now=lambda: NOW)
    [finished] = Event.objects.filter(kind="purge.finished")
    assert (finished.data["messages"], stored(twin, mailbox)) == (1, {"Junk": 1})


def test_two_workers_do_not_share_a_run(twin, mailbox):
    put(twin, mailbox, "Junk", 31)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    assert working.claim(run, at=NOW) is not None

    assert purging.work_off(run=run, engine=twin, now=lambda: NOW) is False
    assert visible(twin, mailbox) == {"Junk": [1]}


def test_a_worker_whose_lease_ran_out_stops(twin, mailbox):
    put(twin, mailbox, "Junk", 31)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    slow = working.claim(run, at=NOW)
    working.claim(run, at=NOW + 2 * working.LEASE)

    with pytest.raises(working.LeaseLost):
        working.keep(slow, at=NOW + 2 * working.LEASE)


def test_hold_placed_between_two_batches_stops_the_second(twin, cast, mailbox, monkeypatch):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 1)
    put(twin, mailbox, "Junk", 31, 32)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)

    def hold_after_the_first(moment):
        if moment == "after remove":
            twin.on_change = lambda _moment: None
            place(cast, mailbox)

    twin.on_change = hold_after_the_first
    assert purging.work_off(run=run, engine=twin, now=lambda: NOW) is False

    run.refresh_from_db()
    assert visible(twin, mailbox) == {"Junk": [2]}
    assert run.failure == "hello@alder.test is held: Case 7."
    hold = mailbox.holds.get()
    holding.release(actor=system("tests"), by=cast.rita, hold=hold, reason="over", at=NOW)
    assert purging.work_off(run=run, engine=twin, now=lambda: NOW) is True
    assert visible(twin, mailbox) == {}


def place(cast, scope, user=None):
    return holding.place(
        actor=cast.actor(cast.sam),
        by=user or cast.sam,
        scope=scope,
        matter="Case 7",
        reason="A court asked.",
        at=NOW,
    )


@pytest.mark.parametrize("scope", ["mailbox", "domain", "customer", "reseller", "provider"])
def test_hold_reaches_down_the_tree(scope, twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31)
    place(cast, mailbox if scope == "mailbox" else getattr(cast, scope))

    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)

    assert purging.work_off(run=run, engine=twin, now=lambda: NOW) is False
    assert visible(twin, mailbox) == {"Junk": [1]}


def test_placing_a_hold_costs_the_same_however_many_purges_run(
    twin, cast, mailbox, django_assert_num_queries, django_capture_on_commit_callbacks
):
    holding.place(**hold_on(cast, cast.other_customer))
    for number in range(3):
        other = make_mailbox(cast.domain, f"other-{number}")
        PurgeRun.objects.create(
            mailbox=other, kind="retention", state="running", planned_at=NOW, planned_by="x"
        )
        with django_assert_num_queries(7), django_capture_on_commit_callbacks(execute=True):
            holding.place(**hold_on(cast, cast.customer))


def hold_on(cast, scope):
    actor = system("tests")
    people = {"actor": actor, "by": cast.sam}
    return {**people, "scope": scope, "matter": "Case 7", "reason": "A court asked.", "at": NOW}


def test_frozen_mailbox_is_not_purged(twin, mailbox):
    put(twin, mailbox, "Junk", 31)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    Mailbox.objects.filter(pk=mailbox.pk).update(frozen_at=NOW)

    assert purging.work_off(run=run, engine=twin, now=lambda: NOW) is False
    assert sweeping.plan_due(engine=twin, at=NOW) == 0
    assert visible(twin, mailbox) == {"Junk": [1]}


def test_only_staff_hold_and_another_person_releases(cast, mailbox):
    with pytest.raises(Forbidden):
        holding.place(
            actor=cast.actor(cast.alice),
            by=cast.alice,
            scope=mailbox,
            matter="x",
            reason="y",
            at=NOW,
        )
    hold = place(cast, mailbox)
    with pytest.raises(holding.HoldRefused, match="Somebody else"):
        holding.release(actor=system("t"), by=cast.sam, hold=hold, reason="done", at=NOW)
    with pytest.raises(holding.HoldRefused, match="Say why"):
        holding.release(actor=system("t"), by=cast.rita, hold=hold, reason=" ", at=NOW)
    holding.release(actor=system("t"), by=cast.rita, hold=hold, reason="done", at=NOW)
    with pytest.raises(holding.HoldRefused, match="already"):
        holding.release(actor=system("t"), by=cast.rita, hold=hold, reason="done", at=NOW)


def test_folder_that_was_made_anew_is_left_alone(twin, mailbox):
    put(twin, mailbox, "Junk", 31)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    box = twin.accounts[mailbox.address].folders["Junk"]
    box.uidvalidity += 1000

    assert purging.work_off(run=run, engine=twin, now=lambda: NOW)

    run.refresh_from_db()
    assert (run.messages, visible(twin, mailbox)) == (0, {"Junk": [1]})


def test_what_a_program_removed_meanwhile_is_not_on_the_receipt(twin, mailbox):
    put(twin, mailbox, "Junk", 31, 32)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    twin.remove(user=mailbox.address, folder="Junk", uids=[1])

    purging.work_off(run=run, engine=twin, now=lambda: NOW)

    [receipt] = receipts.of(run)
    assert receipt.uids == "2"


def test_run_is_paused_resumed_and_cancelled(twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31)
    alice = cast.actor(cast.alice)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    purging.pause(actor=alice, run=run, at=NOW)
    assert purging.work_off(run=run, engine=twin, now=lambda: NOW) is False
    purging.resume(actor=alice, run=run, at=NOW)
    purging.pause(actor=alice, run=run, at=NOW)
    purging.cancel(actor=alice, run=run, at=NOW)

    assert purging.work_off(run=run, engine=twin, now=lambda: NOW) is False
    assert visible(twin, mailbox) == {"Junk": [1]}
    with pytest.raises(working.WrongWorkState):
        purging.resume(actor=alice, run=run, at=NOW)
    with pytest.raises(Forbidden):
        purging.pause(actor=cast.actor(cast.bob), run=run, at=NOW)


def test_begun_run_cannot_be_cancelled(twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    run.batches.update(state=PurgeBatch.State.DONE)

    with pytest.raises(working.WrongWorkState, match="Part of this"):
        purging.cancel(actor=cast.actor(cast.alice), run=run, at=NOW)


def test_dead_mail_server_loses_no_run(twin, mailbox):
    put(twin, mailbox, "Junk", 31)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    twin.is_down = True
    assert sweeping.run_open(engine=twin, now=lambda: NOW) == 0
    with pytest.raises(EngineUnavailable):
        sweeping.sweep_fully(engine=twin, at=NOW, every=7 * DAY)
    twin.is_down = False

    assert sweeping.run_open(engine=twin, now=lambda: NOW) == 1
    run.refresh_from_db()
    assert (run.state, run.failure, run.attempts) == (WorkState.DONE, "", 2)


@pytest.mark.parametrize("stopped", ["held", "frozen"])
def test_runs_that_are_stopped_hold_up_nobody(stopped, twin, cast):
    first, second = make_mailbox(cast.domain, "first"), make_mailbox(cast.domain, "second")
    for each in (first, second):
        twin.know(each.address)
        twin.create_mailbox(user=each.address, folders=["Junk"])
        put(twin, each, "Junk", 31)
        purging.plan_retention(mailbox=each, engine=twin, at=NOW)
    if stopped == "held":
        holding.place(**hold_on(cast, first))
    else:
        Mailbox.objects.filter(pk=first.pk).update(frozen_at=NOW)

    turns = [sweeping.run_open(engine=twin, now=lambda: NOW, limit=1) for _ in range(3)]

    # What stops the first is written down once; from then on it has no turn.
    assert turns == [0, 1, 0]
    assert (visible(twin, first), visible(twin, second)) == ({"Junk": [1]}, {})
    assert PurgeRun.objects.get(mailbox=first).attempts == 1


def test_runs_that_the_mail_server_refuses_let_others_go_first(twin, cast, monkeypatch):
    first, second = make_mailbox(cast.domain, "first"), make_mailbox(cast.domain, "second")
    for each in (first, second):
        twin.know(each.address)
        twin.create_mailbox(user=each.address, folders=["Junk"])
        put(twin, each, "Junk", 31)
        purging.plan_retention(mailbox=each, engine=twin, at=NOW)
    present = twin.present

    def refuse(*, user, **rest):
        if user == first.address:
            message = "The home cannot be read."
            raise EngineRefused(message)
        return present(user=user, **rest)

    monkeypatch.setattr(twin, "present", refuse)

    turns = [sweeping.run_open(engine=twin, now=lambda: NOW, limit=1) for _ in range(2)]

    assert turns == [0, 1]


def test_full_sweep_finds_what_the_moments_missed(twin, cast, mailbox):
    put(twin, mailbox, "Junk", 31)
    Mailbox.objects.filter(pk=mailbox.pk).update(retention_due_at=NOW + 100 * DAY)
    twin.know(make_mailbox(cast.domain, "other").address)

    steps = [sweeping.sweep_fully(engine=twin, at=NOW, every=7 * DAY, chunk=1) for _ in range(4)]

    sweep = FullSweep.objects.get()
    assert steps == [False, False, True, True]
    assert (sweep.looked_at, sweep.missed, sweep.finished_at) == (2, 1, NOW)
    mailbox.refresh_from_db()
    assert mailbox.retention_due_at <= NOW
    assert sweeping.sweep_fully(engine=twin, at=NOW + 7 * DAY, every=7 * DAY) is False


def test_rule_that_would_remove_everything_is_refused(twin, mailbox):
    put(twin, mailbox, "INBOX", 50, 60)
    rule = Rule(folder="*", counted_from=CountedFrom.ARRIVAL, days=40)

    with pytest.raises(rules.WouldRemoveEverything, match="all 2 messages"):
        checking.check_rule(target=mailbox, rule=rule, engine=twin, at=NOW)
    put(twin, mailbox, "INBOX", 1)
    checking.check_rule(target=mailbox, rule=rule, engine=twin, at=NOW)


@pytest.mark.parametrize("layer", ["mailbox", "domain", "customer", "reseller"])
def test_rule_is_set_and_removed_at_each_layer(layer, twin, cast, mailbox):
    target = mailbox if layer == "mailbox" else getattr(cast, layer)
    put(twin, mailbox, "Junk", 40)
    purge(twin, mailbox)
    rule = Rule(folder="\\Junk", counted_from=CountedFrom.ARRIVAL, days=9)

    rules.set_rule(actor=cast.actor(cast.rita), target=target, rule=rule, at=NOW)

    mailbox.refresh_from_db()
    decisions = retention.outlook(mailbox=mailbox, engine=twin, until=NOW)
    [junk] = [found.decision for found in decisions if found.folder == "Junk"]
    assert junk.days == 9
    assert mailbox.retention_due_at is None
    assert rules.is_less_safe(target=target, rule=None, folder="\\Junk") is False
    rules.remove_rule(actor=cast.actor(cast.rita), target=target, folder="\\Junk", at=NOW)
    assert rules.own_rules(target) == []
    with pytest.raises(Forbidden):
        rules.set_rule(actor=cast.actor(cast.charlie), target=target, rule=rule, at=NOW)


@pytest.mark.parametrize(
    ("folder", "days", "expected"),
    [("\\Junk", 29, True), ("\\Junk", 31, False), ("\\Junk", None, False), ("*", 100, True)],
)
def test_what_removes_sooner_is_less_safe(folder, days, expected, mailbox):
    rule = Rule(folder=folder, counted_from=CountedFrom.ARRIVAL, days=days)

    assert rules.is_less_safe(target=mailbox, rule=rule) is expected
