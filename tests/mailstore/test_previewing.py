"""Previews over many mailboxes, and the rules that they keep from being set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts.access import system
from mailstore import policy, previewing, purging, rules
from mailstore.policy import CountedFrom, Rule
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def after(days, folder="\\Junk"):
    return Rule(folder=folder, counted_from=CountedFrom.ARRIVAL, days=days)


@pytest.fixture
def two(cast, twin):
    made = [make_mailbox(cast.domain, name) for name in ("one", "two")]
    for mailbox, ages in zip(made, ((40, 12), (5,)), strict=True):
        twin.know(mailbox.address)
        twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
        for age in ages:
            twin.accounts[mailbox.address].folders["Junk"].append(b"x" * 100, at=NOW - age * DAY)
    return made


def junk_of(found):
    return next(folder for folder in found.folders if folder.folder == "Junk")


@pytest.mark.parametrize("scope", ["domain", "customer", "reseller", "provider"])
def test_preview_adds_up_what_lies_below(scope, cast, twin, two):
    found = previewing.preview(target=getattr(cast, scope), engine=twin, until=NOW)

    junk = junk_of(found)
    assert (found.mailboxes, found.looked_at, found.going, found.going_bytes) == (2, 2, 1, 100)
    assert (junk.messages, junk.oldest, junk.newest) == (3, NOW - 40 * DAY, NOW - 40 * DAY)
    assert list(junk.days.values()) == [1]
    assert junk.sentence == "Mail in Junk goes 30 days after it arrived in Junk: the plan says so."


def test_preview_tries_a_rule_without_setting_it(cast, twin, two):
    found = previewing.preview(target=cast.customer, engine=twin, until=NOW, rule=after(10))

    assert junk_of(found).going == 2
    assert "Alder says so" in junk_of(found).sentence
    assert rules.own_rules(cast.customer) == []


def test_preview_of_a_rule_is_what_the_purge_then_does(cast, twin, two):
    promised = previewing.preview(target=cast.domain, engine=twin, until=NOW, rule=after(10))

    rules.set_rule(actor=system("t"), target=cast.domain, rule=after(10), at=NOW)
    runs = [purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW) for mailbox in two]

    planned = [item for run in runs if run for batch in run.batches.all() for item in batch.items]
    assert len(planned) == promised.going == 2


def test_preview_asks_no_more_mailboxes_than_it_may(cast, twin, two):
    found = previewing.preview(target=cast.domain, engine=twin, until=NOW, most=1)

    assert (found.mailboxes, found.looked_at) == (2, 1)


def test_preview_of_differing_mailboxes_gives_no_common_reason(cast, twin, two):
    rules.set_rule(actor=system("t"), target=two[0], rule=after(9), at=NOW)

    assert junk_of(previewing.preview(target=cast.domain, engine=twin, until=NOW)).sentence == ""


def test_rule_that_empties_every_mailbox_is_refused_for_the_organisation(cast, twin, two):
    for mailbox in two:
        twin.accounts[mailbox.address].folders["Junk"].kept.clear()
        twin.accounts[mailbox.address].folders["INBOX"].append(b"x", at=NOW - 90 * DAY)
    everything = after(60, "*")

    with pytest.raises(rules.WouldRemoveEverything, match="all 2 messages of Alder"):
        previewing.check_rule(target=cast.customer, rule=everything, engine=twin, at=NOW)
    twin.accounts[two[1].address].folders["INBOX"].append(b"x", at=NOW)
    previewing.check_rule(target=cast.customer, rule=everything, engine=twin, at=NOW)


def test_rule_for_a_folder_that_a_mailbox_does_not_have_is_refused(cast, twin, two):
    with pytest.raises(policy.RuleRefused, match=r"has no folder Projcts\. It has Archive"):
        previewing.check_rule(target=two[0], rule=after(60, "Projcts"), engine=twin, at=NOW)
    previewing.check_rule(target=cast.domain, rule=after(60, "Projcts"), engine=twin, at=NOW)
