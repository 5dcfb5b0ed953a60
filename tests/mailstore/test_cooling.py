from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts import membership, notices
from accounts.access import Forbidden, system
from accounts.models import Event, Membership, Notice
from mailstore import cooling, holding, policy, provisioning, rules, thresholds
from mailstore.models import Mailbox, PendingChange, PurgeRun, RetentionPolicy
from mailstore.policy import CountedFrom, Rule
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WAIT = timedelta(hours=72)
SYSTEM = system("tests")


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    return mailbox


@pytest.fixture
def alice(cast):
    return cast.actor(cast.alice)


def junk(days):
    return Rule(folder="\\Junk", counted_from=CountedFrom.ARRIVAL, days=days)


def ask_rule(actor, target, twin, days):
    return cooling.ask_rule(
        actor=actor, target=target, rule=junk(days), engine=twin, wait=WAIT, at=NOW, now=NOW
    )


def ask_removal(actor, target, twin):
    return cooling.ask_rule_removal(
        actor=actor, target=target, folder="\\Junk", engine=twin, wait=WAIT, at=NOW, now=NOW
    )


def test_raising_safety_is_done_at_once(twin, mailbox, alice):
    assert ask_rule(alice, mailbox, twin, 60) is None
    assert (
        cooling.ask_window(actor=alice, mailbox=mailbox, window_days=90, wait=WAIT, at=NOW, now=NOW)
        is None
    )

    assert [row.days for row in rules.own_rules(mailbox)] == [60]
    assert mailbox.window_days == 90
    assert cooling.ask_tripwire(actor=alice, mailbox=mailbox, is_on=True, wait=WAIT, at=NOW) is None


def test_tighter_rule_waits_is_announced_and_then_holds(twin, mailbox, alice, mailoutbox):
    change = ask_rule(alice, mailbox, twin, 10)

    assert change.effective_at == NOW + WAIT
    assert rules.own_rules(mailbox) == []
    assert cooling.make_due(engine=twin, at=NOW + WAIT - timedelta(seconds=1)) == 0
    notices.send_waiting(at=NOW)
    [mail] = mailoutbox
    assert mail.to == ["alice@example.test"]
    assert "Mail in Junk of hello@alder.test goes after 10 days." in mail.body
    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 1
    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0
    assert [row.days for row in rules.own_rules(mailbox)] == [10]
    kinds = Event.objects.filter(kind__startswith="change.").values_list("kind", flat=True)
    assert list(kinds.order_by("seq")) == ["change.asked", "change.made"]


def test_rule_that_would_take_everything_by_now_is_not_made(twin, mailbox, alice):
    twin.create_mailbox(user=mailbox.address, folders=["Junk"])
    box = twin.accounts[mailbox.address].folders["Junk"]
    box.append(b"Subject: Young\r\n\r\n", at=NOW - timedelta(days=8))
    change = ask_rule(alice, mailbox, twin, 10)

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0

    change.refresh_from_db()
    assert (change.state, change.failure.partition(" of ")[0]) == (
        PendingChange.State.FAILED,
        "This would remove all 1 messages",
    )
    assert rules.own_rules(mailbox) == []


def test_change_is_called_off(twin, cast, mailbox, alice):
    change = ask_rule(alice, mailbox, twin, 10)
    with pytest.raises(Forbidden):
        cooling.call_off(actor=cast.actor(cast.charlie), change=change, at=NOW)

    cooling.call_off(actor=alice, change=change, at=NOW)

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0
    with pytest.raises(cooling.NotWaiting):
        cooling.call_off(actor=alice, change=change, at=NOW)


def test_staff_shorten_the_wait_with_a_reason(twin, cast, mailbox, alice):
    change = ask_rule(alice, mailbox, twin, 10)
    sam = cast.actor(cast.sam)
    with pytest.raises(cooling.ReasonNeeded):
        cooling.shorten(actor=sam, change=change, reason=" ", at=NOW)
    with pytest.raises(Forbidden):
        cooling.shorten(actor=alice, change=change, reason="now", at=NOW)

    cooling.shorten(actor=sam, change=change, reason="The owner stood before us.", at=NOW)

    assert cooling.make_due(engine=twin, at=NOW) == 1
    change.refresh_from_db()
    assert change.shortening_reason == "The owner stood before us."
    with pytest.raises(cooling.NotWaiting):
        cooling.shorten(actor=sam, change=change, reason="again", at=NOW)


def test_rule_removal_that_tightens_waits(twin, mailbox, alice):
    ask_rule(alice, mailbox, twin, 60)

    change = cooling.ask_rule_removal(
        actor=alice, target=mailbox, folder="\\Junk", engine=twin, wait=WAIT, at=NOW, now=NOW
    )

    assert change is not None
    cooling.make_due(engine=twin, at=NOW + WAIT)
    assert rules.own_rules(mailbox) == []


def test_rule_removal_that_loosens_does_not(twin, mailbox, alice):
    ask_rule(alice, mailbox, twin, 10)
    cooling.make_due(engine=twin, at=NOW + WAIT)

    assert (
        cooling.ask_rule_removal(
            actor=alice, target=mailbox, folder="\\Junk", engine=twin, wait=WAIT, at=NOW, now=NOW
        )
        is None
    )
    assert rules.own_rules(mailbox) == []


def set_rules(target, *given):
    for each in given:
        rules.set_rule(actor=SYSTEM, target=target, rule=each, at=NOW)


def rule(folder, days, **bounds):
    return Rule(folder=folder, counted_from=CountedFrom.ARRIVAL, days=days, **bounds)


LOOSER = [
    pytest.param([rule("*", 90, floor_days=60)], rule("*", 90), id="no floor"),
    pytest.param([rule("*", 90, floor_days=60)], rule("*", 90, floor_days=59), id="a lower floor"),
    pytest.param([rule("*", 60)], rule("*", 60, ceiling_days=60), id="a ceiling"),
    pytest.param(
        [rule("*", 60, ceiling_days=90)], rule("*", 60, ceiling_days=60), id="a lower ceiling"
    ),
    pytest.param(
        [rule("*", 90, floor_days=60)], rule("Clients", 90), id="a folder without the floor"
    ),
]


@pytest.mark.parametrize(("before", "asked"), LOOSER)
def test_bound_that_lets_rules_below_remove_sooner_waits(before, asked, twin, cast, alice):
    set_rules(cast.customer, *before)

    change = cooling.ask_rule(
        actor=alice, target=cast.customer, rule=asked, engine=twin, wait=WAIT, at=NOW, now=NOW
    )

    assert change is not None
    assert [row.as_rule for row in rules.own_rules(cast.customer)] == before


def test_removing_a_rule_with_a_floor_waits(twin, cast, alice):
    set_rules(cast.customer, rule("*", 90, floor_days=60))

    change = cooling.ask_rule_removal(
        actor=alice, target=cast.customer, folder="*", engine=twin, wait=WAIT, at=NOW, now=NOW
    )

    assert change is not None


def test_rule_for_all_that_reaches_a_folder_named_above_waits(twin, cast, alice):
    set_rules(cast.reseller, rule("*", 30), rule("Clients", None))

    change = cooling.ask_rule(
        actor=alice,
        target=cast.customer,
        rule=rule("*", 30),
        engine=twin,
        wait=WAIT,
        at=NOW,
        now=NOW,
    )

    assert change is not None


def test_tighter_bounds_hold_at_once(twin, cast, alice):
    set_rules(cast.customer, rule("*", 90, floor_days=60, ceiling_days=90))
    safer = rule("*", 90, floor_days=70, ceiling_days=100)

    change = cooling.ask_rule(
        actor=alice, target=cast.customer, rule=safer, engine=twin, wait=WAIT, at=NOW, now=NOW
    )

    assert change is None


def test_second_request_hastens_nothing(mailbox, alice):
    def ask(days, at):
        return cooling.ask_window(
            actor=alice, mailbox=mailbox, window_days=days, wait=WAIT, at=at, now=at
        )

    later = NOW + timedelta(hours=50)
    first, again, other = ask(7, NOW), ask(7, later), ask(3, later)

    assert (again.pk, again.effective_at) == (first.pk, NOW + WAIT)
    assert other.effective_at == later + WAIT


def test_clock_that_is_set_back_makes_nothing_sooner(twin, mailbox, alice):
    ahead = NOW + timedelta(days=30)
    cooling.ask_window(actor=alice, mailbox=mailbox, window_days=7, wait=WAIT, at=ahead, now=ahead)

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0
    mailbox.refresh_from_db()
    assert mailbox.window_days == 30


def test_shorter_window_waits(twin, mailbox, alice):
    cooling.ask_window(actor=alice, mailbox=mailbox, window_days=3, wait=WAIT, at=NOW, now=NOW)
    assert Mailbox.objects.get().window_days == 30

    cooling.make_due(engine=twin, at=NOW + WAIT)

    assert Mailbox.objects.get().window_days == 3
    with pytest.raises(policy.RuleRefused):
        cooling.ask_window(actor=alice, mailbox=mailbox, window_days=0, wait=WAIT, at=NOW, now=NOW)


def test_tripwire_is_switched_off_after_the_wait(twin, mailbox, alice):
    cooling.ask_tripwire(actor=alice, mailbox=mailbox, is_on=False, wait=WAIT, at=NOW)
    cooling.make_due(engine=twin, at=NOW + WAIT)

    assert Mailbox.objects.get().tripwire_off_at == NOW + WAIT


def test_store_is_emptied_of_what_lay_in_it_then(twin, mailbox, alice):
    box = twin.accounts[mailbox.address].folders["INBOX"]
    box.append(b"Subject: old\r\n\r\nx", at=NOW)
    box.append(b"Subject: new\r\n\r\nx", at=NOW)
    twin.remove(user=mailbox.address, folder="INBOX", uids=[1])
    asked_at = datetime.now(tz=UTC) + timedelta(seconds=2)
    cooling.ask_to_empty_store(actor=alice, mailbox=mailbox, until=asked_at, wait=WAIT, at=asked_at)

    cooling.make_due(engine=twin, at=asked_at + WAIT)

    run = PurgeRun.objects.get()
    assert (run.kind, run.batches.count()) == ("asked", 1)


def test_the_same_asked_twice_is_one_change(twin, mailbox, alice):
    grace = timedelta(days=30)
    first = cooling.ask_to_close(actor=alice, mailbox=mailbox, grace=grace, wait=WAIT, at=NOW)
    later = NOW + timedelta(hours=1)
    again = cooling.ask_to_close(actor=alice, mailbox=mailbox, grace=grace, wait=WAIT, at=later)
    assert (again.pk, again.effective_at) == (first.pk, NOW + WAIT)

    assert ask_rule(alice, mailbox, twin, 8).pk == ask_rule(alice, mailbox, twin, 8).pk
    assert ask_rule(alice, mailbox, twin, 9).pk != ask_rule(alice, mailbox, twin, 8).pk


def test_rule_of_a_plan_waits_and_every_owner_below_is_told(twin, cast, mailbox, alice):
    twin.know(make_mailbox(cast.other_domain).address)
    plan = RetentionPolicy.objects.get(slug="imap")
    with pytest.raises(Forbidden):
        ask_rule(alice, plan, twin, 8)

    change = ask_rule(cast.actor(cast.sam), plan, twin, 8)

    told = set(Notice.objects.values_list("to", flat=True))
    assert told == {cast.alice.email, cast.charlie.email, cast.sam.email}
    assert (change.policy, change.organisation) == (plan, cast.provider)
    assert ask_rule(cast.actor(cast.sam), plan, twin, 8).pk == change.pk
    cooling.make_due(engine=twin, at=NOW + WAIT)
    assert [rule.days for rule in rules.own_rules(plan) if rule.folder == "\\Junk"] == [8]


def test_hold_keeps_a_change_waiting(twin, cast, mailbox, alice):
    change = cooling.ask_to_close(
        actor=alice, mailbox=mailbox, grace=timedelta(days=30), wait=WAIT, at=NOW
    )
    hold = holding.place(
        actor=cast.actor(cast.sam), by=cast.sam, scope=mailbox, matter="m", reason="r", at=NOW
    )

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0
    change.refresh_from_db()
    assert (change.state, change.failure) == ("waiting", "hello@alder.test is held: m.")
    with pytest.raises(holding.Stopped):
        cooling.ask_to_empty_store(actor=alice, mailbox=mailbox, until=NOW, wait=WAIT, at=NOW)
    holding.release(actor=cast.actor(cast.sam), by=cast.rita, hold=hold, reason="x", at=NOW)
    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 1
    mailbox.refresh_from_db()
    assert mailbox.state == Mailbox.State.CLOSING
    assert mailbox.erase_after == NOW + WAIT + timedelta(days=30)


def test_change_that_cannot_be_made_any_more_fails_with_the_reason(twin, mailbox, alice):
    change = cooling.ask_to_close(
        actor=alice, mailbox=mailbox, grace=timedelta(days=30), wait=WAIT, at=NOW
    )
    provisioning.close(actor=alice, mailbox=mailbox, grace=timedelta(days=1), at=NOW)

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0
    change.refresh_from_db()
    assert change.state == PendingChange.State.FAILED
    assert "has changed meanwhile" in change.failure


def ask_thresholds(actor, target, *limits):
    names = ("messages", "percent", "minutes", "fewest")
    asked = dict.fromkeys(names) | dict(zip(names, limits, strict=False))
    return cooling.ask_thresholds(actor=actor, target=target, **asked, wait=WAIT, at=NOW)


def test_sharper_tripwire_holds_at_once(mailbox, alice):
    assert ask_thresholds(alice, mailbox, 50, None, None) is None

    limits = thresholds.of(mailbox)
    assert (limits.messages, limits.percent, limits.minutes) == (50, 50, 10)


WEAKER = [(201, None, None), (None, 51, None), (50, 10, 9), (None, None, None, 11)]


@pytest.mark.parametrize("weaker", WEAKER)
def test_weaker_tripwire_waits(twin, mailbox, alice, weaker):
    change = ask_thresholds(alice, mailbox, *weaker)

    assert change.kind == PendingChange.Kind.THRESHOLDS
    assert thresholds.of(mailbox).messages == 200
    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 1
    mailbox.refresh_from_db()
    own = (mailbox.trip_messages, mailbox.trip_percent, mailbox.trip_minutes, mailbox.trip_fewest)
    assert own[: len(weaker)] == weaker


@pytest.mark.parametrize("absurd", [(0, 50, 10), (200, 101, 10), (200, 50, 1441), (-1, 50, 10)])
def test_absurd_thresholds_are_refused(mailbox, alice, absurd):
    with pytest.raises(thresholds.ThresholdsRefused, match="whole number from"):
        ask_thresholds(alice, mailbox, *absurd)

    assert not PendingChange.objects.exists()


def test_only_staff_change_the_tripwire_of_a_policy(cast, mailbox, alice):
    policy_row = RetentionPolicy.objects.get(slug="imap")
    for weaker_or_sharper in (300, 100):
        with pytest.raises(Forbidden):
            ask_thresholds(alice, policy_row, weaker_or_sharper, 50, 10, 10)
    staff = cast.actor(cast.sam)

    with pytest.raises(thresholds.ThresholdsRefused, match="all four"):
        ask_thresholds(staff, policy_row, 100, None, 10, 10)
    assert ask_thresholds(staff, policy_row, 100, 50, 10, 10) is None
    assert thresholds.of(mailbox).messages == 100


DAY = timedelta(days=1)


def test_longer_window_calls_off_the_shorter_one_that_waits(twin, mailbox, alice):
    waiting = cooling.ask_window(
        actor=alice, mailbox=mailbox, window_days=2, wait=WAIT, at=NOW, now=NOW
    )
    later = NOW + DAY

    cooling.ask_window(
        actor=alice, mailbox=mailbox, window_days=400, wait=WAIT, at=later, now=later
    )

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0
    waiting.refresh_from_db()
    assert (waiting.state, waiting.failure) == ("called_off", "Something else was asked for later.")
    assert Mailbox.objects.get().window_days == 400


def test_shorter_window_is_not_made_once_the_window_is_another(twin, mailbox, alice):
    change = cooling.ask_window(
        actor=alice, mailbox=mailbox, window_days=2, wait=WAIT, at=NOW, now=NOW
    )
    Mailbox.objects.filter(pk=mailbox.pk).update(window_days=90)

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0

    change.refresh_from_db()
    assert change.state == PendingChange.State.FAILED
    assert "90 days meanwhile" in change.failure
    assert Mailbox.objects.get().window_days == 90


def test_tripwire_switched_on_again_stays_on(twin, mailbox, alice):
    cooling.ask_tripwire(actor=alice, mailbox=mailbox, is_on=False, wait=WAIT, at=NOW)
    cooling.ask_tripwire(actor=alice, mailbox=mailbox, is_on=True, wait=WAIT, at=NOW + DAY)

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0
    assert Mailbox.objects.get().tripwire_off_at is None


def test_safer_rule_calls_off_only_what_waits_for_its_folder(twin, mailbox, alice):
    tighter = ask_rule(alice, mailbox, twin, 10)
    of_trash = cooling.ask_rule(
        actor=alice,
        target=mailbox,
        rule=rule("\\Trash", 10),
        engine=twin,
        wait=WAIT,
        at=NOW,
        now=NOW,
    )

    assert ask_rule(alice, mailbox, twin, 60) is None

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 1
    tighter.refresh_from_db()
    of_trash.refresh_from_db()
    assert (tighter.state, of_trash.state) == ("called_off", "made")
    days = {row.folder: row.days for row in rules.own_rules(mailbox)}
    assert days == {"\\Junk": 60, "\\Trash": 10}


def test_rule_that_is_taken_away_takes_what_waits_for_it_along(twin, mailbox, alice):
    set_rules(mailbox, junk(20))
    waiting = ask_rule(alice, mailbox, twin, 10)

    cooling.ask_rule_removal(
        actor=alice, target=mailbox, folder="\\Junk", engine=twin, wait=WAIT, at=NOW, now=NOW
    )

    waiting.refresh_from_db()
    assert waiting.state == "called_off"
    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0


def test_sharper_thresholds_call_off_the_weaker_ones(twin, mailbox, alice):
    ask_thresholds(alice, mailbox, 5000, None, None)

    assert ask_thresholds(alice, mailbox, 50, None, None) is None

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0
    assert thresholds.of(Mailbox.objects.get()).messages == 50


def test_of_two_less_safe_wishes_the_later_one_waits_alone(twin, mailbox, alice):
    first, second = ask_rule(alice, mailbox, twin, 8), ask_rule(alice, mailbox, twin, 20)

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 1

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == ("called_off", "made")
    assert [row.days for row in rules.own_rules(mailbox)] == [20]


def test_rule_of_a_reseller_is_told_to_every_owner_whose_mail_it_reaches(twin, cast, mailbox):
    twin.know(make_mailbox(cast.other_domain).address)

    change = ask_rule(cast.actor(cast.rita), cast.reseller, twin, 8)

    letters = dict(Notice.objects.values_list("to", "name"))
    assert letters == {
        cast.rita.email: "pending_change",
        cast.alice.email: "pending_change_below",
    }
    with pytest.raises(Forbidden):
        cooling.call_off(actor=cast.actor(cast.alice), change=change, at=NOW)
    cooling.call_off(actor=cast.actor(cast.sam), change=change, at=NOW)


def test_rule_of_the_house_is_told_to_all(twin, cast, mailbox, mailoutbox):
    twin.know(make_mailbox(cast.other_domain).address)

    ask_rule(cast.actor(cast.sam), cast.provider, twin, 8)

    letters = dict(Notice.objects.values_list("to", "name"))
    assert letters[cast.alice.email] == letters[cast.charlie.email] == "pending_change_below"
    notices.send_waiting(at=NOW)
    [letter] = [mail for mail in mailoutbox if mail.to == [cast.alice.email]]
    assert "set a rule for your organisation" in letter.body
    assert "Mail in Junk of all mailboxes below us goes after 8 days." in letter.body
    assert cast.sam.email not in letter.body
    assert "Restante" not in letter.body.partition("You get this")[0]


def test_whoever_owns_above_and_below_gets_one_letter(twin, cast, mailbox):
    membership.add_member(
        actor=SYSTEM,
        organisation=cast.customer,
        user=cast.rita,
        role=Membership.Role.OWNER,
        at=NOW,
    )

    ask_rule(cast.actor(cast.rita), cast.reseller, twin, 8)

    assert list(Notice.objects.filter(to=cast.rita.email).values_list("name", flat=True)) == [
        "pending_change"
    ]


def test_no_name_of_an_organisation_hides_its_rule(twin, cast, mailbox, alice):
    cast.customer.name = "the mailbox"
    cast.customer.save(update_fields=["name"])
    ask_rule(alice, cast.customer, twin, 365)

    change = ask_rule(alice, Mailbox.objects.get(pk=mailbox.pk), twin, 60)

    assert change is not None
    assert rules.own_rules(mailbox) == []


def test_wish_about_a_closed_mailbox_does_not_reach_the_next_at_its_address(twin, cast, alice):
    old = make_mailbox(cast.domain)
    change = cooling.ask_to_empty_store(actor=alice, mailbox=old, until=NOW, wait=WAIT, at=NOW)
    Mailbox.objects.filter(pk=old.pk).update(state=Mailbox.State.CLOSED)
    account = twin.know(make_mailbox(cast.domain).address)
    account.folders["INBOX"].append(b"Subject: New\r\n\r\n", at=NOW)
    twin.remove(user=old.address, folder="INBOX", uids=[1])

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0

    change.refresh_from_db()
    assert change.state == PendingChange.State.FAILED
    assert not PurgeRun.objects.exists()


def test_wish_is_weighed_against_what_holds_by_now(mailbox, alice):
    stale = Mailbox.objects.get(pk=mailbox.pk)
    cooling.ask_window(actor=alice, mailbox=mailbox, window_days=90, wait=WAIT, at=NOW, now=NOW)
    limits = {"messages": 5, "percent": None, "minutes": None, "fewest": None}
    cooling.ask_thresholds(actor=alice, target=mailbox, **limits, wait=WAIT, at=NOW)
    usual = {"messages": 100, "percent": None, "minutes": None, "fewest": None}

    assert cooling.ask_window(
        actor=alice, mailbox=stale, window_days=60, wait=WAIT, at=NOW, now=NOW
    )
    stale.trip_messages = None
    assert cooling.ask_thresholds(actor=alice, target=stale, **usual, wait=WAIT, at=NOW)

    mailbox.refresh_from_db()
    assert (mailbox.window_days, mailbox.trip_messages) == (90, 5)
