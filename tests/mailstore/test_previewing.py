"""Previews over many mailboxes, and the rules that they keep from being set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts.access import system
from mailstore import holding, previewing, purging, rules
from mailstore.models import Mailbox
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


def trial(target, days):
    return rules.trial(target=target, rule=after(days))


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
    found = previewing.preview(
        target=cast.customer, engine=twin, until=NOW, trial=trial(cast.customer, 10)
    )

    assert junk_of(found).going == 2
    assert "Alder says so" in junk_of(found).sentence
    assert rules.own_rules(cast.customer) == []


def test_preview_of_a_rule_is_what_the_purge_then_does(cast, twin, two):
    tried = trial(cast.domain, 10)
    promised = previewing.preview(target=cast.domain, engine=twin, until=NOW, trial=tried)

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


def test_nothing_goes_from_what_is_held_or_frozen(cast, twin, two):
    hold = {"matter": "m", "reason": "r", "at": NOW}
    holding.place(actor=cast.actor(cast.sam), by=cast.sam, scope=two[0], **hold)
    Mailbox.objects.filter(pk=two[1].pk).update(frozen_at=NOW)

    found = previewing.preview(
        target=cast.domain, engine=twin, until=NOW + 60 * DAY, trial=trial(cast.domain, 7)
    )

    assert (found.looked_at, found.stopped, found.going, junk_of(found).messages) == (2, 2, 0, 3)
    assert set(found.bytes_of.values()) == {0}


def test_preview_without_a_rule_says_what_goes_once_it_is_gone(cast, twin, two):
    keeps = Rule(folder="\\Junk", counted_from=CountedFrom.ARRIVAL, days=None)
    rules.set_rule(actor=system("t"), target=cast.domain, rule=keeps, at=NOW)
    without = rules.trial(target=cast.domain, rule=None, folder="\\Junk")

    now, then = (
        previewing.preview(target=cast.domain, engine=twin, until=NOW, trial=each)
        for each in (None, without)
    )

    assert (now.going, then.going) == (0, 1)


def test_preview_of_a_window_is_what_the_purge_of_the_store_then_does(cast, twin, two):
    mailbox = two[0]
    twin.remove(user=mailbox.address, folder="Junk", uids=[1, 2])
    later = datetime.now(tz=UTC) + 8 * DAY

    promised = previewing.of_window(mailbox=mailbox, window_days=7, engine=twin, at=later)
    kept = previewing.of_window(mailbox=mailbox, window_days=30, engine=twin, at=later)
    Mailbox.objects.filter(pk=mailbox.pk).update(window_days=7)
    mailbox.refresh_from_db()
    run = purging.plan_store(mailbox=mailbox, engine=twin, at=later)

    assert (promised.going, promised.going_bytes, kept.going) == (2, 200, 0)
    assert run.planned_messages == 2
