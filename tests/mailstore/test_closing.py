from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from accounts.access import system
from mailstore import closing, holding, provisioning, purging, receipts, sign_ins, working
from mailstore.engine import Attendance, Outcome, engine
from mailstore.models import Device, LastLogin, Mailbox, PurgeRun, SignIn, UsageDay
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SYSTEM = system("tests")


class Killed(BaseException):
    pass


@pytest.fixture
def closed(cast, twin):
    """A mailbox whose grace is over, with a message in sight and one in the store."""
    mailbox = make_mailbox(cast.domain)
    account = twin.know(mailbox.address)
    for subject in ("Seen", "Removed"):
        account.folders["INBOX"].append(f"Subject: {subject}\r\n\r\nx".encode())
    twin.remove(user=mailbox.address, folder="INBOX", uids=[2])
    provisioning.close(actor=SYSTEM, mailbox=mailbox, grace=timedelta(0), at=NOW)
    twin.accounts[mailbox.tombstone] = twin.accounts.pop(mailbox.address)
    return mailbox


def test_erasure_leaves_a_receipt_of_all_that_was_there(closed, twin):
    assert closing.close_for_good(actor=SYSTEM, at=NOW) == 1
    assert closing.erase_closed(engine=twin, at=NOW) == 1
    assert closing.erase_closed(engine=twin, at=NOW) == 0

    run = PurgeRun.objects.get()
    assert (run.kind, run.state, run.messages) == ("closing", "done", 2)
    found = [(r.folder, r.in_store, r.messages) for r in receipts.of(run)]
    assert found == [("INBOX", False, 1), ("INBOX", True, 1)]
    assert closed.tombstone not in twin.accounts


def test_erasure_leaves_nothing_of_devices_and_sign_ins(closed):
    seen = Attendance(
        user=closed.address,
        hour_at=NOW,
        protocol="imap",
        credential="-",
        address="203.0.113.9",
        outcome=Outcome.SIGNED_IN,
        first_at=NOW,
        last_at=NOW,
        sign_ins=1,
    )
    sign_ins.note([seen])
    assert Device.objects.exists()

    closing.close_for_good(actor=SYSTEM, at=NOW)
    closing.erase_closed(engine=engine(), at=NOW)

    assert (Device.objects.count(), SignIn.objects.count()) == (0, 0)


def test_killed_before_the_erasure_was_noted_it_is_noted_once(closed, twin, monkeypatch):
    closing.close_for_good(actor=SYSTEM, at=NOW)

    def die(**_run):
        raise Killed

    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(purging, "conclude_closing", die)
        closing.erase_closed(engine=twin, at=NOW)
    twin.know(closed.tombstone)
    assert closing.erase_closed(engine=twin, at=NOW) == 1

    run = PurgeRun.objects.get()
    assert (run.state, run.messages) == ("done", 2)


@pytest.mark.parametrize("moment", ["before the address is given up", "before the erasure"])
def test_hold_stops_the_end(moment, closed, cast, twin):
    if moment == "before the erasure":
        closing.close_for_good(actor=SYSTEM, at=NOW)
    hold = holding.place(
        actor=SYSTEM, by=cast.sam, scope=cast.domain, matter="m", reason="r", at=NOW
    )

    closing.close_for_good(actor=SYSTEM, at=NOW)
    assert closing.erase_closed(engine=twin, at=NOW) == 0
    assert closed.tombstone in twin.accounts
    holding.release(actor=SYSTEM, by=cast.rita, hold=hold, reason="over", at=NOW)
    closing.close_for_good(actor=SYSTEM, at=NOW)
    assert closing.erase_closed(engine=twin, at=NOW) == 1
    assert Mailbox.objects.get().erased_at == NOW


@pytest.mark.parametrize("step", ["after remove", "before remove_for_good"])
def test_hold_that_is_placed_meanwhile_keeps_what_is_left(step, closed, cast, twin, monkeypatch):
    monkeypatch.setattr(working, "BATCH_MESSAGES", 1)
    closing.close_for_good(actor=SYSTEM, at=NOW)
    placed = []

    def hold_once(moment):
        if moment == step and not placed:
            placed.append(
                holding.place(
                    actor=SYSTEM, by=cast.sam, scope=closed, matter="m", reason="r", at=NOW
                )
            )

    twin.on_change = hold_once
    assert closing.erase_closed(engine=twin, at=NOW) == 0

    # The batch that was under way is gone; the other message is kept.
    left = twin.accounts[closed.tombstone].store["INBOX"].kept
    assert len(left) == (2 if step == "after remove" else 1)
    [hold] = placed
    holding.release(actor=SYSTEM, by=cast.rita, hold=hold, reason="over", at=NOW)
    assert closing.erase_closed(engine=twin, at=NOW) == 1
    assert PurgeRun.objects.get().messages == 2


def test_held_mailbox_cannot_be_closed(cast, twin):
    mailbox = make_mailbox(cast.domain)
    holding.place(actor=SYSTEM, by=cast.sam, scope=mailbox, matter="m", reason="r", at=NOW)

    with pytest.raises(holding.Stopped):
        provisioning.close(actor=SYSTEM, mailbox=mailbox, grace=timedelta(0), at=NOW)


def test_nothing_is_metered_under_the_name_of_a_home_that_is_gone(closed, twin):
    UsageDay.objects.create(username=closed.tombstone, day=1, byte_seconds=1)
    UsageDay.objects.create(username=closed.address, day=1, byte_seconds=1)

    closing.close_for_good(actor=SYSTEM, at=NOW)
    closing.erase_closed(engine=twin, at=NOW)

    assert list(UsageDay.objects.values_list("username", flat=True)) == [closed.address]


@pytest.mark.parametrize("stopped", ["held", "frozen"])
def test_what_may_not_close_holds_up_nobody(stopped, cast, closed):
    later = make_mailbox(cast.domain, "later")
    provisioning.close(
        actor=SYSTEM, mailbox=later, grace=timedelta(0), at=NOW + timedelta(seconds=1)
    )
    if stopped == "held":
        holding.place(actor=SYSTEM, by=cast.sam, scope=closed, matter="m", reason="r", at=NOW)
    else:
        Mailbox.objects.filter(pk=closed.pk).update(frozen_at=NOW)

    assert closing.close_for_good(actor=SYSTEM, at=NOW + timedelta(minutes=1), limit=1) == 1

    later.refresh_from_db()
    assert later.state == Mailbox.State.CLOSED


def test_held_home_holds_up_the_erasure_of_no_other(cast, twin, closed):
    later = make_mailbox(cast.domain, "later")
    provisioning.close(actor=SYSTEM, mailbox=later, grace=timedelta(0), at=NOW)
    twin.know(later.tombstone)
    closing.close_for_good(actor=SYSTEM, at=NOW)
    holding.place(actor=SYSTEM, by=cast.sam, scope=closed, matter="m", reason="r", at=NOW)

    assert closing.erase_closed(engine=twin, at=NOW, limit=1) == 1

    later.refresh_from_db()
    assert later.erased_at == NOW


def test_next_mailbox_at_the_address_has_nobody_s_sign_ins(cast, closed):
    LastLogin.objects.create(
        username=closed.address, proto="imap", device="-", address="203.0.113.9"
    )

    closing.close_for_good(actor=SYSTEM, at=NOW)
    make_mailbox(cast.domain)

    assert not LastLogin.objects.filter(username=closed.address).exists()
