"""A worker dies at each named place of a removal or a return, and nothing is lost or doubled.

Each test lets a process of its own run the real code until one exact place and ends it there
by SIGKILL. Then the sweep goes on, and what real mail programs find is compared with a model.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Event
from mailstore import (
    closing,
    holding,
    planning,
    provisioning,
    purging,
    receipts,
    recovery,
    working,
)
from mailstore.engine import uids_of
from mailstore.engine.admin_api import AdminAPI
from mailstore.engine.doveadm import DoveadmEngine
from mailstore.models import Mailbox, PurgeRun, RestoreRun, WorkState
from tests.live.faults import (
    ACTOR,
    Place,
    home_of,
    kill_at,
    on_disk,
    pulled,
    seed,
    stored,
    sweep,
    wanted,
    wanted_in_store,
)

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

# Dovecot dates by its own clock, so the clock of the rules goes ahead instead.
LATER = timedelta(days=40)
DUE = {"Junk": 5, "Trash": 4}
KEPT = {"INBOX": 4}


@pytest.fixture
def program(make_program, monkeypatch):
    """A mailbox whose work takes several batches, and whose store keeps for a year."""
    monkeypatch.setattr(working, "BATCH_MESSAGES", 3)
    program = make_program()
    Mailbox.objects.update(window_days=365)
    program.mailbox.refresh_from_db()
    return program


def at_last(program, at):
    """Sweep until nothing moves any more; the lease of who died must run out first."""
    for turn in range(1, 4):
        sweep(program.live, at + turn * 2 * working.LEASE)


def check_receipt(run, model, letters, *, in_store=False, uids_of_store=None):
    """The receipt says what the model says, and nothing else."""
    assert run.state == WorkState.DONE
    found = {one.folder: one for one in receipts.of(run) if one.in_store == in_store}
    assert set(found) == {letter.folder for letter in letters}
    for folder, receipt in found.items():
        mine = [letter for letter in letters if letter.folder == folder]
        assert (folder, receipt.messages, receipt.bytes) == model.receipt(mine)[:3]
        if not in_store:
            assert uids_of(receipt.uids) == [letter.uid for letter in mine]
            assert receipt.uidvalidity == model.uidvalidity[folder]
            assert receipt.digest == model.receipt(mine)[3]
    events = Event.objects.filter(kind="purge.finished", subject_id=str(run.uuid))
    assert events.count() == 1


# Purging by the rules -------------------------------------------------------------------

PURGE = [
    Place(name="the plan written, not committed", owner=planning, function="_batches"),
    Place(name="planned", owner=planning, function="_store_together"),
    Place(name="leased", owner=working, function="claim"),
    Place(name="a batch read, not written down", owner=DoveadmEngine, function="present"),
    Place(name="before a batch goes", owner=DoveadmEngine, function="remove", is_before=True),
    Place(name="a batch gone, without a receipt", owner=DoveadmEngine, function="remove"),
    Place(name="a receipt written, not committed", owner=purging, function="_count"),
    Place(
        name="between two batches",
        owner=DoveadmEngine,
        function="present",
        call=2,
        is_before=True,
    ),
    Place(name="the last batch gone", owner=DoveadmEngine, function="remove", call=4),
    Place(name="before the end", owner=working, function="finish", is_before=True),
    Place(name="the end not committed", owner=working, function="finish"),
    Place(name="after the end", owner=purging, function="work_off"),
]


@pytest.mark.parametrize("place", PURGE, ids=str)
def test_purge(place, program, counts):
    model = seed(program, DUE | KEPT)
    at = timezone.now() + LATER

    kill_at(place, lambda: sweep(program.live, at))
    at_last(program, at)

    check_purged(program, model)
    counts(purges=1, kills=1, messages=9)


def check_purged(program, model):
    due = model.of(*DUE)
    assert pulled(program.imap(), "INBOX", *DUE) == wanted(model.of(*KEPT))
    assert stored(program) == wanted_in_store(due)
    run = PurgeRun.objects.get()
    check_receipt(run, model, due)
    assert run.messages == len(due)
    run = recovery.roll_back(
        actor=ACTOR,
        mailbox=program.mailbox,
        engine=program.live,
        moment=timezone.now() - timedelta(hours=1),
        at=timezone.now(),
    )
    assert recovery.work_off(run=run, engine=program.live, now=timezone.now)
    assert pulled(program.imap(), "INBOX", *DUE) == wanted(model.letters)


@pytest.mark.parametrize("place", [PURGE[1], PURGE[4], PURGE[5], PURGE[7]], ids=str)
def test_hold_after_a_kill(place, program, cast, counts):
    model = seed(program, DUE | KEPT)
    at = timezone.now() + LATER
    kill_at(place, lambda: sweep(program.live, at))
    before = pulled(program.imap(), "INBOX", *DUE)
    hold = holding.place(
        actor=ACTOR,
        by=cast.sam,
        scope=program.mailbox,
        matter="Case 7",
        reason="A court asked.",
        at=at,
    )

    at_last(program, at)

    assert pulled(program.imap(), "INBOX", *DUE) == before
    assert stored(program) == wanted_in_store(model.letters) - stored_as(before, model)
    assert "is held: Case 7" in PurgeRun.objects.get().failure
    holding.release(actor=ACTOR, by=cast.alice, hold=hold, reason="Over.", at=at)
    at_last(program, at + timedelta(hours=1))
    check_purged(program, model)
    counts(holds=1, kills=1, messages=9)


def stored_as(visible, model):
    """The letters of the model that a program still sees, named as the store would."""
    return wanted_in_store(
        [one for one in model.letters if visible[one.folder, *one.seen_by_a_program]]
    )


# The end of the store's window ----------------------------------------------------------

STORE = [
    Place(name="planned", owner=planning, function="_store_together"),
    Place(name="leased", owner=working, function="claim"),
    Place(
        name="before a batch goes",
        owner=DoveadmEngine,
        function="remove_for_good",
        is_before=True,
    ),
    Place(name="a batch gone, without a receipt", owner=DoveadmEngine, function="remove_for_good"),
    Place(name="a receipt written, not committed", owner=purging, function="_count"),
    Place(name="the last batch gone", owner=DoveadmEngine, function="remove_for_good", call=3),
    Place(name="before the end", owner=working, function="finish", is_before=True),
    Place(name="the end not committed", owner=working, function="finish"),
]


def remove_by_program(program, letters):
    """A mail program deletes these, folder by folder."""
    client = program.imap()
    for folder in sorted({letter.folder for letter in letters}):
        uids = ",".join(str(one.uid) for one in letters if one.folder == folder)
        client.select(folder)
        client.uid("STORE", uids, "+FLAGS", r"(\Deleted)")
        client.expunge()
    client.logout()


@pytest.mark.parametrize("place", STORE, ids=str)
def test_purge_of_the_store(place, program, counts):
    model = seed(program, {"INBOX": 7, "Archive": 4})
    gone = model.of("INBOX")[:5] + model.of("Archive")[:2]
    remove_by_program(program, gone)
    # The log would tell this within a minute.
    Mailbox.objects.update(window_days=7, store_due_at=timezone.now() + timedelta(days=7))
    at = timezone.now() + timedelta(days=8)

    kill_at(place, lambda: sweep(program.live, at))
    at_last(program, at)

    left = [letter for letter in model.letters if letter not in gone]
    assert pulled(program.imap(), "INBOX", "Archive") == wanted(left)
    assert stored(program) == {}
    run = PurgeRun.objects.get()
    check_receipt(run, model, gone, in_store=True)
    assert run.messages == len(gone)
    counts(purges=1, kills=1, messages=len(gone))


# Restores and roll-backs ----------------------------------------------------------------

RETURN = [
    Place(name="the plan written, not committed", owner=recovery, function="_batches"),
    Place(name="planned", owner=recovery, function="_plan"),
    Place(name="leased", owner=working, function="claim"),
    Place(name="before a batch comes", owner=DoveadmEngine, function="restore", is_before=True),
    Place(
        name="the folder made, before the move",
        owner=AdminAPI,
        function="call",
        command="move",
        is_before=True,
    ),
    Place(name="a batch back, not noted", owner=DoveadmEngine, function="restore"),
    Place(name="noted, not committed", owner=recovery, function="_count"),
    Place(name="between two batches", owner=DoveadmEngine, function="restore", call=2),
    Place(name="before the end", owner=working, function="finish", is_before=True),
    Place(name="the end not committed", owner=working, function="finish"),
]


def restore_chosen(program, letters):
    """What a person ticks on the page, and the button."""
    subjects = {subject for _folder, subject, _bytes in wanted_in_store(letters)}
    found = program.live.removed_mail(user=program.address)
    chosen = [(one.folder, one.uid) for one in found if one.subject in subjects]
    recovery.restore(
        actor=ACTOR,
        mailbox=program.mailbox,
        engine=program.live,
        chosen=chosen,
        at=timezone.now(),
    )


def roll_back_all(program, _letters):
    recovery.roll_back(
        actor=ACTOR,
        mailbox=program.mailbox,
        engine=program.live,
        moment=timezone.now() - timedelta(hours=1),
        at=timezone.now(),
    )


@pytest.mark.parametrize("ask", [restore_chosen, roll_back_all])
@pytest.mark.parametrize("place", RETURN, ids=str)
def test_return(place, ask, program, counts):
    program.imap().create("Projects")
    model = seed(program, {"INBOX": 5, "Projects": 4})
    remove_by_program(program, model.letters)
    # The folder itself is gone as well.
    program.imap().delete("Projects")
    back = model.letters if ask is roll_back_all else model.of("Projects") + model.of("INBOX")[:3]
    at = timezone.now()

    def ask_and_work():
        ask(program, back)
        recovery.run_open(engine=program.live, now=lambda: at)

    kill_at(place, ask_and_work)
    if not RestoreRun.objects.exists():
        # Nothing was promised yet, so whoever asked sees that and asks again.
        ask(program, back)
    for turn in (1, 2, 3):
        recovery.run_open(engine=program.live, now=lambda turn=turn: at + turn * 2 * working.LEASE)

    left = [letter for letter in model.letters if letter not in back]
    assert pulled(program.imap(), "INBOX", "Projects") == wanted(back)
    assert stored(program) == wanted_in_store(left)
    run = RestoreRun.objects.get()
    sizes = sum(len(letter.text) for letter in back)
    assert (run.state, run.messages, run.bytes) == (WorkState.DONE, len(back), sizes)
    assert Event.objects.filter(kind="mailbox.mail_restored").count() == 1
    counts(returns=1, kills=1, messages=len(back))


# Closing and erasing --------------------------------------------------------------------

CLOSING = [
    Place(name="the address given up, not committed", owner=provisioning, function="move"),
    Place(name="the address given up", owner=closing, function="give_up_address"),
    Place(name="the receipt written, not committed", owner=planning, function="_batches"),
    Place(name="the receipt written", owner=purging, function="plan_closing"),
    Place(name="visible mail in the store", owner=DoveadmEngine, function="remove"),
    Place(name="part of the store gone", owner=AdminAPI, function="call", command="expunge"),
    Place(
        name="the store gone too",
        owner=AdminAPI,
        function="call",
        command="expunge",
        call=2,
    ),
    Place(name="the home gone", owner=AdminAPI, function="call", command="fsDelete"),
    Place(name="before the end", owner=purging, function="conclude_closing", is_before=True),
    Place(name="the end not committed", owner=purging, function="conclude_closing"),
    Place(name="after the end", owner=closing, function="erase"),
]


def close_now(program):
    provisioning.close(actor=ACTOR, mailbox=program.mailbox, grace=timedelta(), at=timezone.now())


@pytest.mark.parametrize("place", CLOSING, ids=str)
def test_closing(place, program, make_program, cast, counts):
    model = seed(program, {"INBOX": 4, "Archive": 2})
    remove_by_program(program, model.of("INBOX")[:2])
    assert home_of(program.mailbox).is_dir()
    close_now(program)
    at = timezone.now()

    kill_at(place, lambda: sweep(program.live, at))
    if not Mailbox.objects.standing().exists():
        newer = make_program()
        seed(newer, {"INBOX": 3}, words="newer")
    at_last(program, at)
    if Mailbox.objects.count() == 1:
        newer = make_program()
        seed(newer, {"INBOX": 3}, words="newer")

    assert not home_of(program.mailbox).exists()
    program.mailbox.refresh_from_db()
    assert program.mailbox.erased_at is not None
    run = PurgeRun.objects.get()
    check_receipt(run, model, model.of("INBOX")[2:] + model.of("Archive"))
    check_receipt(run, model, model.of("INBOX")[:2], in_store=True)
    assert len(pulled(newer.imap(), "INBOX")) == 3
    assert stored(newer) == {}
    counts(closings=1, kills=1, messages=6)


@pytest.mark.parametrize("place", [CLOSING[1], CLOSING[3], CLOSING[4]], ids=str)
def test_hold_on_a_closed_mailbox(place, program, cast, counts):
    model = seed(program, {"INBOX": 4, "Archive": 2})
    remove_by_program(program, model.of("INBOX")[:2])
    close_now(program)
    at = timezone.now()
    kill_at(place, lambda: sweep(program.live, at))
    before = on_disk(program.mailbox)
    hold = holding.place(
        actor=ACTOR,
        by=cast.sam,
        scope=cast.customer,
        matter="Case 7",
        reason="A court asked.",
        at=at,
    )

    at_last(program, at)

    assert len(before) >= 2
    assert on_disk(program.mailbox) == before
    holding.release(actor=ACTOR, by=cast.alice, hold=hold, reason="Over.", at=at)
    at_last(program, at)
    assert not home_of(program.mailbox).exists()
    assert PurgeRun.objects.get().messages == 6
    counts(holds=1, kills=1, messages=6)
