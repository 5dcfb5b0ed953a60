"""Changes whose wait is over: made truly or not at all, and none starves behind others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts.access import system
from mailstore import cooling, holding, purging
from mailstore.engine import RemovedSearch
from mailstore.models import PendingChange, PurgeRun
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases="__all__")

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WAIT = timedelta(hours=72)
MINUTE = timedelta(minutes=1)
SYSTEM = system("tests")


def made(twin, at, limit=100):
    return cooling.make_due(engine=twin, at=at, limit=limit)


def remove(twin, mailbox, *subjects):
    box = twin.accounts[mailbox.address].folders["INBOX"]
    for subject in subjects:
        box.append(f"Subject: {subject}\r\n\r\nx".encode(), at=NOW)
    twin.remove(user=mailbox.address, folder="INBOX", uids=[m.uid for m in box.kept])
    for message in twin.accounts[mailbox.address].store["INBOX"].kept:
        object.__setattr__(message, "saved_at", NOW - MINUTE)


def test_store_is_not_said_to_be_emptied_while_an_earlier_removal_is_open(twin, cast):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    remove(twin, mailbox, "One", "Two")
    earlier = purging.plan_for_good(
        actor=SYSTEM, mailbox=mailbox, engine=twin, search=RemovedSearch(subject="One"), at=NOW
    )
    purging.pause(actor=SYSTEM, run=earlier, at=NOW)
    asked = cooling.ask_to_empty_store(actor=SYSTEM, mailbox=mailbox, until=NOW, wait=WAIT, at=NOW)

    assert made(twin, NOW + WAIT) == 0

    asked.refresh_from_db()
    assert asked.state == PendingChange.State.WAITING
    assert asked.failure == (
        "Removed mail of hello@alder.test is being destroyed already. That ends first."
    )
    purging.resume(actor=SYSTEM, run=earlier, at=NOW + WAIT)
    assert purging.work_off(run=earlier, engine=twin, now=lambda: NOW + WAIT)
    assert made(twin, NOW + WAIT + MINUTE) == 1
    run = PurgeRun.objects.exclude(pk=earlier.pk).get()
    assert purging.work_off(run=run, engine=twin, now=lambda: NOW + WAIT)
    assert twin.removed_mail(user=mailbox.address) == []


def test_other_mail_at_the_place_of_a_chosen_message_stays(twin, cast):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    remove(twin, mailbox, "One", "Two")
    chosen = [("INBOX", 1), ("INBOX", 2)]
    cooling.ask_to_destroy(
        actor=SYSTEM, mailbox=mailbox, engine=twin, chosen=chosen, wait=WAIT, at=NOW
    )
    other = twin.accounts[mailbox.address].store["INBOX"].kept[0]
    object.__setattr__(other, "guid", "0" * 32)

    assert made(twin, NOW + WAIT) == 1
    run = PurgeRun.objects.get()
    assert purging.work_off(run=run, engine=twin, now=lambda: NOW + WAIT)

    assert [one.subject for one in twin.removed_mail(user=mailbox.address)] == ["One"]


def test_chosen_mail_is_kept_under_a_hold(twin, cast):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    remove(twin, mailbox, "One")
    asked = {"actor": SYSTEM, "mailbox": mailbox, "engine": twin, "wait": WAIT, "at": NOW}
    cooling.ask_to_destroy(chosen=[("INBOX", 1)], **asked)
    holding.place(actor=SYSTEM, by=cast.sam, scope=mailbox, matter="m", reason="r", at=NOW)

    assert made(twin, NOW + WAIT) == 0
    with pytest.raises(holding.Stopped):
        cooling.ask_to_destroy(chosen=[("INBOX", 1)], **asked)
    assert not PurgeRun.objects.exists()


def test_changes_that_a_hold_stops_do_not_starve_the_others(twin, cast):
    held = [make_mailbox(cast.domain, f"held{number}") for number in range(3)]
    free = make_mailbox(cast.other_domain, "free")
    for mailbox in (*held, free):
        twin.know(mailbox.address)
        cooling.ask_to_empty_store(actor=SYSTEM, mailbox=mailbox, until=NOW, wait=WAIT, at=NOW)
    hold = holding.place(
        actor=SYSTEM, by=cast.sam, scope=cast.domain, matter="m", reason="r", at=NOW
    )

    turns = [made(twin, NOW + WAIT + turn * MINUTE, limit=1) for turn in range(4)]

    assert turns == [0, 0, 0, 1]
    holding.release(actor=SYSTEM, by=cast.rita, hold=hold, reason="over", at=NOW)
    turns = [made(twin, NOW + WAIT + turn * MINUTE, limit=1) for turn in range(4, 7)]
    assert turns == [1, 1, 1]
    assert not PendingChange.objects.waiting().exists()
