"""Which rules may be set or taken away, by what the mailboxes hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts.access import system
from mailstore import checking, cooling, policy, rules
from mailstore.models import PendingChange, RetentionRule
from mailstore.policy import CountedFrom, Rule
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WAIT = timedelta(hours=72)
SYSTEM = system("tests")


def after(days, folder="\\Junk", **bounds):
    return Rule(folder=folder, counted_from=CountedFrom.ARRIVAL, days=days, **bounds)


@pytest.fixture
def two(cast, twin):
    made = [make_mailbox(cast.domain, name) for name in ("one", "two")]
    for mailbox in made:
        twin.know(mailbox.address)
        twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return made


def put(twin, mailbox, folder, age):
    folders = twin.accounts[mailbox.address].folders
    folders[folder].append(b"x" * 100, at=NOW - age * DAY)


def check(twin, target, rule, **more):
    checking.check_rule(target=target, rule=rule, engine=twin, at=NOW, **more)


def test_rule_that_empties_one_of_many_mailboxes_is_refused(cast, twin, two):
    put(twin, two[0], "INBOX", 90)
    put(twin, two[1], "INBOX", 1)
    put(twin, two[1], "INBOX", 90)

    with pytest.raises(rules.WouldRemoveEverything, match="all 1 messages of one@alder"):
        check(twin, cast.customer, after(60, "*"))
    put(twin, two[0], "INBOX", 1)
    check(twin, cast.customer, after(60, "*"))


def test_old_junk_alone_holds_up_no_rule_for_many(cast, twin, two):
    put(twin, two[0], "Junk", 20)

    check(twin, cast.domain, after(10))
    with pytest.raises(rules.WouldRemoveEverything):
        check(twin, two[0], after(10))


def test_mailbox_that_is_emptied_as_it_is_holds_up_no_rule_for_many(cast, twin, two):
    put(twin, two[0], "Junk", 40)
    put(twin, two[0], "Sent", 90)
    rules.set_rule(actor=SYSTEM, target=two[0], rule=after(60, "Sent"), at=NOW)

    check(twin, cast.domain, after(10))
    with pytest.raises(rules.WouldRemoveEverything):
        check(twin, two[0], after(10))


def test_folder_that_nobody_has_is_refused_unless_it_is_to_come(cast, twin, two):
    typo = after(60, "Projcts")

    with pytest.raises(policy.RuleRefused, match=r"has no folder Projcts\. It has Archive"):
        check(twin, two[0], typo)
    for target in (cast.domain, cast.reseller):
        with pytest.raises(policy.RuleRefused, match=r"No mailbox of .* has a folder Projcts"):
            check(twin, target, typo)
        check(twin, target, typo, is_new_folder=True)
    twin.create_mailbox(user=two[1].address, folders=["Projcts"])
    check(twin, cast.domain, typo)


def test_domain_without_mailboxes_knows_no_folder_and_refuses_none(cast, twin):
    check(twin, cast.other_domain, after(60, "Projects"))


def test_folder_that_is_to_come_may_still_be_missing_when_its_rule_is_made(cast, twin, two):
    ask = {"actor": SYSTEM, "engine": twin, "wait": WAIT, "at": NOW, "now": NOW}
    rule = after(60, "Projects")
    cooling.ask_rule(target=cast.domain, rule=rule, is_new_folder=True, **ask)

    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 1
    assert [row.as_rule for row in rules.own_rules(cast.domain)] == [rule]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (after(10, floor_days=20), "10 days would be below the rule's own least of 20"),
        (after(40, ceiling_days=30), "40 days would be above the rule's own most of 30 days"),
        (after(None, ceiling_days=30), "To keep mail for ever would be above"),
        (after(15, floor_days=20, ceiling_days=10), "cannot be above the highest"),
    ],
)
def test_rule_keeps_within_its_own_bounds(rule, message, cast, twin, two):
    with pytest.raises(policy.RuleRefused, match=message):
        check(twin, cast.customer, rule)
    with pytest.raises(policy.RuleRefused, match=message):
        rules.set_rule(actor=SYSTEM, target=cast.customer, rule=rule, at=NOW)
    assert not RetentionRule.objects.filter(organisation=cast.customer).exists()


def test_taking_away_what_keeps_a_mailbox_from_being_emptied_is_refused(cast, twin, two):
    put(twin, two[0], "INBOX", 90)
    rules.set_rule(actor=SYSTEM, target=two[0], rule=after(None, "INBOX"), at=NOW)
    rules.set_rule(actor=SYSTEM, target=cast.domain, rule=after(30, "INBOX"), at=NOW)
    ask = {"actor": SYSTEM, "target": two[0], "folder": "INBOX", "engine": twin, "wait": WAIT}

    with pytest.raises(rules.WouldRemoveEverything):
        cooling.ask_rule_removal(at=NOW, now=NOW, **ask)

    put(twin, two[0], "INBOX", 1)
    change = cooling.ask_rule_removal(at=NOW, now=NOW, **ask)
    twin.accounts[two[0].address].folders["INBOX"].kept.pop()
    assert cooling.make_due(engine=twin, at=NOW + WAIT) == 0
    change.refresh_from_db()
    assert change.state == PendingChange.State.FAILED
    assert [row.days for row in rules.own_rules(two[0])] == [None]


def test_safer_removal_needs_no_mail_server(cast, twin, two):
    rules.set_rule(actor=SYSTEM, target=two[0], rule=after(10), at=NOW)
    twin.is_down = True

    change = cooling.ask_rule_removal(
        actor=SYSTEM, target=two[0], folder="\\Junk", engine=twin, wait=WAIT, at=NOW, now=NOW
    )

    assert change is None
    assert rules.own_rules(two[0]) == []
