"""Another plan and the other protocol, on the twin of the mail server."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from accounts import notices
from accounts.access import Forbidden, system
from accounts.models import Event
from mailstore import (
    cooling,
    credentials,
    holding,
    policy,
    previewing,
    provisioning,
    purging,
    retention,
    retrievals,
    rules,
    sweeping,
    switching,
    tasks,
    thresholds,
    working,
)
from mailstore.engine import EngineUnavailable
from mailstore.models import (
    Mailbox,
    PendingChange,
    ProtocolSwitch,
    RestoreRun,
    RetentionPolicy,
    RetentionRule,
    Retrieval,
    Usage,
    WorkState,
)
from mailstore.policy import CountedFrom, Layer, Rule
from mailstore.switching import Terms
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

ACTOR = system("tests")
DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WAIT = timedelta(hours=72)
POP = {"protocol": "pop", "quota_bytes": 10**9, "window_days": 14}
IMAP = {"protocol": "imap", "quota_bytes": 10**10, "window_days": 30}


class Killed(BaseException):
    """What a SIGKILL is to a test."""


@pytest.fixture
def mailbox(cast, twin):
    return opened(cast, twin, "hello", "imap")


@pytest.fixture
def till(cast, twin):
    return opened(cast, twin, "till", "pop")


def opened(cast, twin, name, protocol):
    mailbox = make_mailbox(cast.domain, name, protocol)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


def put(twin, mailbox, folder, *ages_in_days, flags=()):
    box = twin.accounts[mailbox.address].folders[folder]
    for age in ages_in_days:
        raw = f"Message-ID: <{folder}-{age}-{box.next_uid}@x.test>\r\n\r\n{age}\r\n".encode()
        box.append(raw, at=NOW - age * DAY)
        object.__setattr__(box.kept[-1], "flags", frozenset(flags))


def switch(mailbox, terms, *, at=NOW, actor=ACTOR, retention_policy=None, **more):
    wanted = Terms(retention_policy=retention_policy, **terms)
    return switching.change_terms(
        actor=actor, mailbox=mailbox, terms=wanted, wait=WAIT, at=at, now=at, **more
    )


def follow(twin, at=NOW):
    return switching.follow_open(engine=twin, at=at)


def seen(twin, mailbox):
    found = twin.messages(user=mailbox.address, folder="INBOX", retrieved=True)
    return [message.uid for message in found]


def visible(twin, mailbox):
    folders = twin.accounts[mailbox.address].folders
    return {name: len(folder.kept) for name, folder in folders.items() if folder.kept}


def decided(mailbox, folder):
    return retention.decide(mailbox, folder, retention.layers_of(mailbox)).days


# The safer of two policies --------------------------------------------------------------


def rule(folder, days, counted_from="arrival", **bounds):
    return Rule(folder=folder, counted_from=CountedFrom(counted_from), days=days, **bounds)


def layer(*rules_of_it):
    return Layer(name="the plan", rules=rules_of_it)


@pytest.mark.parametrize(
    ("one", "other", "folder", "days"),
    [
        ([rule("*", None)], [rule("\\Inbox", 30)], "INBOX", None),
        ([rule("\\Junk", 30)], [], "Junk", None),
        ([rule("\\Junk", 30)], [rule("\\Junk", 60)], "Junk", 60),
        ([rule("Junk", 30)], [rule("\\Junk", 60)], "Junk", 60),
        ([rule("*", 40)], [rule("Work", 90)], "Work", 90),
        ([rule("*", 40)], [rule("Work", 90)], "Play", None),
        ([rule("\\Inbox", 30, "download")], [rule("\\Inbox", 20)], "INBOX", 30),
    ],
)
def test_safer_of_two_layers_keeps_mail_for_longer(one, other, folder, days):
    for first, second in ((one, other), (other, one)):
        safer = policy.safer(layer(*first), layer(*second))

        assert policy.decide(folder=folder, layers=[safer]).days == days


def test_safer_of_two_layers_counts_from_the_later_moment_and_joins_bounds():
    one = layer(rule("\\Inbox", 30, "download", floor_days=7, ceiling_days=60))
    other = layer(rule("\\Inbox", 20, floor_days=9, ceiling_days=90))

    [joined] = policy.safer(one, other).rules

    assert joined == rule("\\Inbox", 30, "download", floor_days=9, ceiling_days=90)
    [open_above] = policy.safer(one, layer(rule("\\Inbox", 20))).rules
    assert open_above.ceiling_days is None


# What changes at once, and what waits ---------------------------------------------------


def test_row_changes_at_once_and_sessions_end(twin, mailbox):
    twin.accounts[mailbox.address].sessions = 2

    switch(mailbox, POP)

    assert (mailbox.protocol, mailbox.quota_bytes) == ("pop", 10**9)
    assert mailbox.sessions_end_asked_at == NOW
    assert follow(twin) == 1
    assert twin.accounts[mailbox.address].sessions == 0
    assert follow(twin) == 0
    kinds = Event.objects.filter(subject_id=str(mailbox.uuid)).values_list("kind", flat=True)
    assert "mailbox.protocol_switched" in kinds


def test_to_pop_window_and_rules_wait_and_owners_are_told(twin, mailbox, mailoutbox):
    effect = switch(mailbox, POP)

    assert effect.waits
    assert mailbox.window_days == 30
    assert mailbox.former_policy.slug == "imap"
    assert {f: decided(mailbox, f) for f in ("INBOX", "Junk", "Work")} == {
        "INBOX": None,
        "Junk": None,
        "Work": None,
    }
    notices.send_waiting(at=NOW)
    [mail] = mailoutbox
    assert "removed mail can be brought back for 14 days and the rules of POP decide" in mail.body

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 1

    mailbox.refresh_from_db()
    assert (mailbox.window_days, mailbox.former_policy) == (14, None)
    assert decided(mailbox, "INBOX") == 30


def test_called_off_the_safer_of_both_stays(cast, twin, mailbox):
    switch(mailbox, POP)
    change = PendingChange.objects.get()

    cooling.call_off(actor=cast.actor(cast.alice), change=change, at=NOW)
    cooling.make_due(engine=twin, at=NOW + WAIT)

    mailbox.refresh_from_db()
    assert (mailbox.window_days, decided(mailbox, "INBOX")) == (30, None)


def test_to_imap_for_the_first_time_makes_nothing_less_safe(twin, till):
    effect = switch(till, IMAP)

    assert not effect.waits
    assert (till.window_days, till.former_policy) == (30, None)
    assert decided(till, "INBOX") is None
    assert not PendingChange.objects.exists()


def test_to_imap_again_old_junk_is_kept_for_the_wait(twin, mailbox):
    switch(mailbox, POP)
    cooling.make_due(engine=twin, at=NOW + WAIT)
    mailbox.refresh_from_db()

    effect = switch(mailbox, IMAP, at=NOW + WAIT)

    assert (effect.rules_wait, effect.window_waits) == (True, False)
    assert (decided(mailbox, "INBOX"), decided(mailbox, "Junk")) == (None, None)
    cooling.make_due(engine=twin, at=NOW + 2 * WAIT)
    mailbox.refresh_from_db()
    assert decided(mailbox, "Junk") == 30


def test_to_imap_under_a_rule_by_age_unfetched_mail_is_spared_for_the_wait(twin, till):
    rules.set_rule(actor=ACTOR, target=till.organisation, rule=rule("INBOX", 60), at=NOW)
    put(twin, till, "INBOX", 90)

    effect = switch(till, IMAP)

    assert effect.rules_wait
    assert purging.plan_retention(mailbox=till, engine=twin, at=NOW) is None
    cooling.make_due(engine=twin, at=NOW + WAIT)
    till.refresh_from_db()
    assert purging.plan_retention(mailbox=till, engine=twin, at=NOW + WAIT) is not None


def test_back_before_the_wait_is_over_finds_what_there_was(twin, mailbox):
    switch(mailbox, POP)

    effect = switch(mailbox, IMAP, at=NOW + DAY)

    assert not effect.waits
    assert (mailbox.window_days, mailbox.former_policy) == (30, None)
    assert PendingChange.objects.get().state == "called_off"
    assert cooling.make_due(engine=twin, at=NOW + 2 * WAIT) == 0


def test_third_plan_within_the_wait_is_compared_with_the_first(twin, mailbox):
    strict = RetentionPolicy.objects.create(slug="strict", name="Strict")
    RetentionRule.objects.create(policy=strict, folder="*", days=40)
    switch(mailbox, POP)

    switch(mailbox, POP, retention_policy=strict, at=NOW + DAY)

    assert mailbox.former_policy.slug == "imap"
    assert decided(mailbox, "INBOX") is None
    assert [c.state for c in PendingChange.objects.order_by("pk")] == ["called_off", "waiting"]


def test_window_that_was_set_meanwhile_stays(twin, mailbox):
    switch(mailbox, POP)
    cooling.ask_window(actor=ACTOR, mailbox=mailbox, window_days=60, wait=WAIT, at=NOW, now=NOW)

    cooling.make_due(engine=twin, at=NOW + WAIT)

    mailbox.refresh_from_db()
    assert (mailbox.window_days, mailbox.former_policy) == (60, None)


def test_hold_and_freeze_keep_the_safer_values(cast, twin, mailbox):
    switch(mailbox, POP)
    holding.place(
        actor=cast.actor(cast.sam), by=cast.sam, scope=mailbox, matter="M", reason="R", at=NOW
    )

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0

    change = PendingChange.objects.get()
    assert (change.state, "is held: M" in change.failure) == ("waiting", True)
    mailbox.refresh_from_db()
    assert mailbox.window_days == 30


def test_rules_of_the_house_reach_who_is_under_the_former_policy(mailbox, till):
    switch(mailbox, POP)

    imap, pop = (RetentionPolicy.objects.get(slug=slug) for slug in ("imap", "pop"))
    assert set(rules.mailboxes_under(imap)) == {mailbox}
    assert set(rules.mailboxes_under(pop)) == {mailbox, till}
    never = rule("INBOX", None)
    rules.set_rule(actor=ACTOR, target=mailbox.organisation, rule=never, at=NOW)
    assert rules.is_less_safe(target=mailbox.organisation, rule=rule("INBOX", 30, "download"))


def test_tripwire_fires_by_the_stricter_of_both_policies(mailbox):
    RetentionPolicy.objects.filter(slug="pop").update(trip_messages=500, trip_minutes=60)

    switch(mailbox, POP)

    assert thresholds.of(mailbox) == thresholds.Thresholds(
        messages=200, percent=50, minutes=60, fewest=10
    )
    with pytest.raises(thresholds.ThresholdsRefused):
        thresholds.completed(
            RetentionPolicy.objects.get(slug="pop"), messages=None, percent=1, minutes=1, fewest=1
        )


# What is refused ------------------------------------------------------------------------


def test_tripwire_that_fires_later_by_another_plan_waits(twin, mailbox):
    present = retention.policy_of(mailbox)
    lax = RetentionPolicy.objects.create(slug="lax", name="Lax", trip_messages=1_000_000)
    for each in present.rules.all():
        each.pk, each.uuid, each.policy = None, uuid4(), lax
        each.save(force_insert=True)

    switch(mailbox, IMAP, retention_policy=lax)

    assert thresholds.of(mailbox).messages == present.trip_messages
    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 1
    mailbox.refresh_from_db()
    assert thresholds.of(mailbox).messages == 1_000_000


def test_less_than_there_is_in_use_is_refused(mailbox):
    Usage.objects.create(username=mailbox.address, bytes=10**9 + 700)

    with pytest.raises(switching.BelowUse, match="Remove 700 B first") as refused:
        switch(mailbox, POP)

    assert refused.value.excess_bytes == 700
    assert not ProtocolSwitch.objects.exists()


@pytest.mark.parametrize("state", ["closing", "closed"])
def test_what_closes_is_refused(mailbox, state):
    Mailbox.objects.filter(pk=mailbox.pk).update(state=state)

    with pytest.raises(provisioning.WrongState):
        switch(mailbox, POP)


def test_frozen_is_refused_and_strangers_are(cast, mailbox):
    with pytest.raises(Forbidden):
        switch(mailbox, POP, actor=cast.actor(cast.charlie))
    Mailbox.objects.filter(pk=mailbox.pk).update(frozen_at=NOW)
    with pytest.raises(holding.Stopped):
        switch(mailbox, POP)


# Seen is not fetched --------------------------------------------------------------------


def test_what_was_read_by_imap_does_not_count_as_fetched(twin, mailbox):
    put(twin, mailbox, "INBOX", 90, 80, flags=["\\Seen", "\\Flagged"])
    put(twin, mailbox, "INBOX", 70)

    switch(mailbox, POP)
    follow(twin)

    assert seen(twin, mailbox) == []
    assert retrievals.note(mailbox=mailbox, engine=twin, at=NOW) == 0
    put(twin, mailbox, "INBOX", 0, flags=["\\Seen"])
    assert retrievals.note(mailbox=mailbox, engine=twin, at=NOW) == 1
    cooling.make_due(engine=twin, at=NOW + WAIT)
    far = NOW + 400 * DAY
    mailbox.refresh_from_db()
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=far)
    assert purging.work_off(run=run, engine=twin, now=lambda: far)
    assert visible(twin, mailbox) == {"INBOX": 3}


def test_what_was_read_is_read_again_after_going_back(twin, mailbox):
    put(twin, mailbox, "INBOX", 90, flags=["\\Seen", "\\Flagged"])
    put(twin, mailbox, "INBOX", 80)
    before = [message.flags for message in twin.accounts[mailbox.address].folders["INBOX"].kept]
    switch(mailbox, POP)
    follow(twin)

    switch(mailbox, IMAP)
    follow(twin)

    after = [message.flags for message in twin.accounts[mailbox.address].folders["INBOX"].kept]
    assert after == before


def test_nothing_is_noted_until_the_mail_server_has_followed(twin, mailbox):
    put(twin, mailbox, "INBOX", 90, flags=["\\Seen"])
    assert retrievals.note(mailbox=mailbox, engine=twin, at=NOW) == 0

    switch(mailbox, POP)

    assert retrievals.note(mailbox=mailbox, engine=twin, at=NOW) == 0
    assert not Retrieval.objects.exists()


@pytest.mark.parametrize("there_and_back", [False, True])
def test_what_was_looked_at_before_a_switch_is_not_noted_after_it(
    twin, till, monkeypatch, there_and_back
):
    put(twin, till, "INBOX", 90, flags=["\\Seen"])
    real = twin.messages

    def slow(**asked):
        found = real(**asked)
        monkeypatch.setattr(twin, "messages", real)
        switch(till, IMAP)
        if there_and_back:
            switch(till, POP)
            follow(twin)
            follow(twin)
        return found

    monkeypatch.setattr(twin, "messages", slow)

    assert retrievals.note(mailbox=till, engine=twin, at=NOW) == 0
    assert not Retrieval.objects.exists()


def test_marks_of_an_earlier_pop_life_are_forgotten(twin, till):
    put(twin, till, "INBOX", 90, flags=["\\Seen"])
    retrievals.note(mailbox=till, engine=twin, at=NOW - 90 * DAY)

    switch(till, IMAP)
    follow(twin)
    switch(till, POP)
    follow(twin)

    assert seen(twin, till) == []
    assert retrievals.fetched(mailbox=till, engine=twin) == frozenset()


def test_who_only_tried_imap_keeps_the_marks(twin, till):
    put(twin, till, "INBOX", 90, 80, flags=["\\Seen"])
    put(twin, till, "INBOX", 70)
    retrievals.note(mailbox=till, engine=twin, at=NOW)
    switch(till, IMAP)
    follow(twin)
    put(twin, till, "INBOX", 0, flags=["\\Seen"])

    switch(till, POP, keeps_fetches=True)
    follow(twin)

    assert seen(twin, till) == [1, 2]
    assert retrievals.fetched(mailbox=till, engine=twin) == {1, 2}


def test_log_that_is_late_counts_nothing_in_an_imap_mailbox(twin, till):
    put(twin, till, "INBOX", 5, flags=["\\Seen"])
    switch(till, IMAP)
    Mailbox.objects.filter(pk=till.pk).update(retrievals_asked_at=NOW)

    assert sweeping.note_retrievals(engine=twin, at=NOW) == 0
    assert not Retrieval.objects.exists()
    till.refresh_from_db()
    assert till.retrievals_asked_at is None


def test_preview_forgets_what_the_switch_forgets(twin, till):
    put(twin, till, "INBOX", 40, flags=["\\Seen"])
    retrievals.note(mailbox=till, engine=twin, at=NOW - 29 * DAY)
    pop = RetentionPolicy.objects.get(slug="pop")

    counts = [
        previewing.under_plan(
            mailbox=till,
            plan=pop,
            protocol="pop",
            engine=twin,
            until=NOW + 60 * DAY,
            forgets=forgets,
        ).going
        for forgets in (False, True)
    ]

    assert counts == [1, 0]


# Folders --------------------------------------------------------------------------------


def test_to_imap_folders_are_made(twin, till):
    switch(till, IMAP)
    follow(twin)

    assert set(twin.accounts[till.address].folders) == {"INBOX", *till.special_folders}


def test_to_pop_other_folders_stay_where_they_are(twin, mailbox):
    put(twin, mailbox, "Sent", 5)
    put(twin, mailbox, "Junk", 500)

    switch(mailbox, POP)
    follow(twin)
    cooling.make_due(engine=twin, at=NOW + WAIT)
    mailbox.refresh_from_db()
    far = NOW + 400 * DAY

    assert purging.plan_retention(mailbox=mailbox, engine=twin, at=far) is None
    assert visible(twin, mailbox) == {"Sent": 1, "Junk": 1}
    hidden = switching.out_of_sight(twin.folder_usage(user=mailbox.address))
    assert [(f.folder, f.messages) for f in hidden] == [("Sent", 1), ("Junk", 1)]


def test_mail_is_gathered_on_request_and_comes_as_not_fetched(twin, mailbox):
    put(twin, mailbox, "INBOX", 5)
    put(twin, mailbox, "Sent", 5, 4, flags=["\\Seen"])
    put(twin, mailbox, "Junk", 5)
    put(twin, mailbox, "Trash", 5)

    switch(mailbox, POP, gathers=True)
    follow(twin)

    assert visible(twin, mailbox) == {"INBOX": 3, "Junk": 1, "Trash": 1}
    assert seen(twin, mailbox) == []


def test_killed_anywhere_while_following_ends_in_the_same(twin, mailbox, monkeypatch):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 1)
    put(twin, mailbox, "INBOX", 5, 6, flags=["\\Seen"])
    put(twin, mailbox, "Sent", 5, 6, flags=["\\Seen"])
    folders = twin.accounts[mailbox.address].folders
    before = [message.raw for name in ("INBOX", "Sent") for message in folders[name].kept]
    switch(mailbox, POP, gathers=True)
    at = NOW
    for turn in range(1, 40):
        calls = []

        def die(_moment, calls=calls, turn=turn):
            calls.append(1)
            if len(calls) == turn:
                raise Killed

        twin.on_change = die
        with suppress(Killed):
            follow(twin, at=at)
        at += timedelta(minutes=3)
        if not ProtocolSwitch.objects.open().exists():
            break

    assert turn >= 5
    assert visible(twin, mailbox) == {"INBOX": 4}
    assert seen(twin, mailbox) == []
    after = [message.raw for message in twin.accounts[mailbox.address].folders["INBOX"].kept]
    assert sorted(after) == sorted(before)


def test_message_that_a_dead_server_left_in_two_places_arrives_once(twin, mailbox):
    put(twin, mailbox, "Sent", 5)
    folders = twin.accounts[mailbox.address].folders
    folders["INBOX"].take(folders["Sent"].kept[0], at=NOW)

    switch(mailbox, POP, gathers=True)
    follow(twin)

    assert visible(twin, mailbox) == {"INBOX": 1}


# Work that runs at the same time --------------------------------------------------------


def test_lease_keeps_a_second_worker_away_until_it_is_over(twin, mailbox):
    switch(mailbox, POP)
    [row] = ProtocolSwitch.objects.all()
    ProtocolSwitch.objects.update(lease_until=NOW + timedelta(minutes=1))

    assert not switching.follow(switch=row, engine=twin, at=NOW)
    assert switching.follow(switch=row, engine=twin, at=NOW + timedelta(minutes=2))


def test_lease_from_before_the_clock_was_set_back_binds_nobody(twin, mailbox):
    switch(mailbox, POP)
    ProtocolSwitch.objects.update(lease_until=NOW + 40 * DAY)

    assert follow(twin) == 1


def test_switches_of_one_mailbox_are_followed_in_their_order(twin, mailbox):
    switch(mailbox, POP, gathers=True)
    switch(mailbox, IMAP)
    put(twin, mailbox, "Sent", 5)
    first, second = ProtocolSwitch.objects.order_by("pk")

    assert not switching.follow(switch=second, engine=twin, at=NOW)
    assert follow(twin) == 2

    assert visible(twin, mailbox) == {"Sent": 1}
    first.refresh_from_db()
    assert first.done_at == NOW


def test_dead_server_leaves_the_switch_for_later(twin, mailbox):
    switch(mailbox, POP)
    twin.is_down = True
    [row] = ProtocolSwitch.objects.all()

    assert follow(twin) == 0
    with pytest.raises(EngineUnavailable):
        switching.follow(switch=row, engine=twin, at=NOW)
    row.refresh_from_db()
    assert (row.failure, row.lease_until) == ("The mail server cannot be reached.", None)
    twin.is_down = False
    assert follow(twin) == 1
    row.refresh_from_db()
    assert row.failure == ""


def test_one_that_the_server_refuses_does_not_hold_up_the_rest(twin, mailbox, till):
    switch(mailbox, POP)
    switch(till, IMAP)
    del twin.accounts[mailbox.address]

    assert follow(twin) == 1
    assert ProtocolSwitch.objects.open().get().mailbox == mailbox


def test_restore_that_has_begun_ends_first(twin, mailbox):
    run = RestoreRun.objects.create(
        mailbox=mailbox, planned_at=NOW, planned_by="x", state=WorkState.RUNNING
    )
    switch(mailbox, POP)

    assert follow(twin) == 0
    RestoreRun.objects.filter(pk=run.pk).update(state=WorkState.DONE)
    assert follow(twin) == 1


def test_closed_meanwhile_there_is_nothing_to_follow(twin, mailbox):
    switch(mailbox, POP)
    Mailbox.objects.update(state="closed")

    assert follow(twin) == 1


def test_purge_that_nobody_has_begun_is_given_up(twin, mailbox):
    put(twin, mailbox, "Junk", 40)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)

    switch(mailbox, POP)
    follow(twin)

    run.refresh_from_db()
    assert run.state == WorkState.CANCELLED
    assert not purging.work_off(run=run, engine=twin, now=lambda: NOW)
    assert visible(twin, mailbox) == {"Junk": 1}
    mailbox.refresh_from_db()
    assert mailbox.retention_due_at is None


def test_purge_that_has_begun_ends_with_what_it_was_at(twin, mailbox, monkeypatch):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 1)
    put(twin, mailbox, "Junk", 40, 41, 42)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)

    def switch_in_between(moment):
        if moment == "after remove":
            twin.on_change = lambda _moment: None
            switch(mailbox, POP)
            follow(twin)

    twin.on_change = switch_in_between

    assert not purging.work_off(run=run, engine=twin, now=lambda: NOW)
    later = NOW + 2 * working.LEASE
    assert sweeping.run_open(engine=twin, now=lambda: later) == 1

    run.refresh_from_db()
    assert (run.state, run.messages) == (WorkState.DONE, 1)
    assert visible(twin, mailbox) == {"Junk": 2}


def test_run_that_is_done_is_left_alone(twin, mailbox):
    put(twin, mailbox, "Junk", 40)
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)
    assert purging.work_off(run=run, engine=twin, now=lambda: NOW)

    switch(mailbox, POP)
    follow(twin)

    run.refresh_from_db()
    assert (run.state, run.messages) == (WorkState.DONE, 1)


def test_tasks_follow_switches_any_number_of_times(twin, mailbox, till):
    switch(mailbox, POP)
    switch(till, IMAP)
    [first, _second] = ProtocolSwitch.objects.order_by("pk")

    for _ in range(2):
        tasks.follow_switch(switch_id=first.pk)
    tasks.follow_switch(switch_id=0)
    followed = [tasks.follow_switches() for _ in range(2)]

    assert followed == [1, 0]
    assert str(first) == "hello@alder.test → pop"


# App passwords --------------------------------------------------------------------------


def test_app_passwords_are_widened_on_request_only(cast, mailbox):
    alice = cast.actor(cast.alice)
    narrow, both, gone = (
        credentials.issue(actor=alice, mailbox=mailbox, label=label, allows_pop=pop, at=NOW)
        for label, pop in (("Phone", False), ("Laptop", True), ("Lost", False))
    )
    credentials.revoke(actor=alice, app_password=gone.app_password, at=NOW)
    switch(mailbox, POP)
    assert list(credentials.narrow_for(mailbox, protocol="pop")) == [narrow.app_password]

    assert credentials.widen(actor=alice, mailbox=mailbox, protocol="pop", at=NOW) == 1
    assert credentials.widen(actor=alice, mailbox=mailbox, protocol="pop", at=NOW) == 0

    both.app_password.refresh_from_db()
    gone.app_password.refresh_from_db()
    assert not gone.app_password.allows_pop
    with pytest.raises(Forbidden):
        credentials.widen(actor=cast.actor(cast.bob), mailbox=mailbox, protocol="pop", at=NOW)
    assert Event.objects.filter(kind="app_password.widened").count() == 1
