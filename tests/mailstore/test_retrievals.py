"""What POP programs have fetched: a session that broke off proves nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailstore import logbook, purging, retrievals, sweeping
from mailstore.engine.memory import Folder
from mailstore.models import FetchDoubt, Mailbox, Retrieval
from tests.factories import make_mailbox
from tests.mailstore.log_lines import ended, fetched

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

NOW = datetime(2026, 11, 30, 10, tzinfo=UTC)
BROKE_OFF = datetime(2026, 11, 30, 9, 42, 10, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def pop(cast, twin):
    mailbox = make_mailbox(cast.domain, "popper", "pop")
    Mailbox.objects.update(created_at=NOW - 400 * DAY)
    twin.know(mailbox.address)
    box = twin.accounts[mailbox.address].folders.setdefault("INBOX", Folder())
    for number in range(4):
        box.append(f"Subject: {number}\r\n\r\nx\r\n".encode(), at=NOW - 90 * DAY)
    return mailbox


@pytest.fixture
def log(tmp_path):
    return tmp_path / "dovecot.log"


def mark(twin, mailbox, *uids):
    """What the mail server does as soon as it begins to send a message."""
    for message in twin.accounts[mailbox.address].folders["INBOX"].kept:
        if message.uid in uids:
            object.__setattr__(message, "flags", message.flags | {"\\Seen"})


def tell(log, line):
    with log.open("a") as lines:
        lines.write(line)
    logbook.read(path=log)


def cut_off(mailbox, *, messages=1, how="Connection closed", **words):
    counts = f"fetched={messages} glanced=0 removed=0; "
    sums = f"top=0/0, retr={messages}/73712, del=0/4, size=3000000"
    return ended(counts + sums, how=how, user=mailbox.address, **words)


def seen(twin, mailbox):
    return [
        message.uid
        for message in twin.accounts[mailbox.address].folders["INBOX"].kept
        if "\\Seen" in message.flags
    ]


def noted(twin, mailbox):
    return retrievals.fetched(mailbox=mailbox, engine=twin)


def asks(mailbox):
    return Mailbox.objects.filter(pk=mailbox.pk, retrievals_asked_at__isnull=False).exists()


@pytest.mark.parametrize("how", ["Connection closed", "Disconnected for inactivity", "x fetched=9"])
def test_what_a_session_fetched_that_broke_off_stays_whatever_its_age(how, twin, log, pop):
    mark(twin, pop, 1, 2)
    tell(log, cut_off(pop, messages=2, how=how))

    assert sweeping.note_retrievals(engine=twin, at=NOW) == 0

    assert noted(twin, pop) == frozenset()
    assert seen(twin, pop) == []
    assert not asks(pop)
    year_later = NOW + 365 * DAY
    assert purging.plan_retention(mailbox=pop, engine=twin, at=year_later) is None


def test_what_is_fetched_again_counts_from_then(twin, log, pop):
    mark(twin, pop, 1, 2)
    tell(log, cut_off(pop, messages=2))
    sweeping.note_retrievals(engine=twin, at=NOW)
    mark(twin, pop, 2, 3)
    tell(log, fetched(2, user=pop.address, at="10:30:00"))

    assert sweeping.note_retrievals(engine=twin, at=NOW + DAY) == 2

    assert noted(twin, pop) == {2, 3}
    run = purging.plan_retention(mailbox=pop, engine=twin, at=NOW + 32 * DAY)
    assert [batch.items[0][0] for batch in run.batches.all()] == [2]


def test_what_was_fetched_before_goes_on_to_count(twin, log, pop):
    mark(twin, pop, 1)
    tell(log, fetched(1, user=pop.address, at="08:00:00"))
    sweeping.note_retrievals(engine=twin, at=BROKE_OFF - timedelta(hours=1))
    mark(twin, pop, 1, 2)
    tell(log, cut_off(pop, messages=2))

    sweeping.note_retrievals(engine=twin, at=NOW)

    assert noted(twin, pop) == {1}
    assert seen(twin, pop) == [1]


def test_what_was_noted_before_the_log_told_of_it_is_taken_back(twin, log, pop):
    """Another session, which ended well in the same moment, had the inbox looked at."""
    mark(twin, pop, 1, 2)
    assert retrievals.note(mailbox=pop, engine=twin, at=BROKE_OFF) == 2
    tell(log, cut_off(pop, messages=2))

    sweeping.note_retrievals(engine=twin, at=NOW)

    assert noted(twin, pop) == frozenset()
    assert not Retrieval.objects.exists()


def test_session_is_looked_at_once_its_marks_are_there(twin, log, pop):
    tell(log, cut_off(pop))
    sweeping.note_retrievals(engine=twin, at=BROKE_OFF + timedelta(seconds=30))
    assert asks(pop)
    mark(twin, pop, 1)

    sweeping.note_retrievals(engine=twin, at=BROKE_OFF + timedelta(seconds=61))

    assert seen(twin, pop) == []
    assert not asks(pop)


def test_session_that_breaks_off_during_the_look_is_not_forgotten(twin, log, pop, monkeypatch):
    mark(twin, pop, 1)
    tell(log, fetched(1, user=pop.address))
    look = twin.messages

    def look_and_break_off(**search):
        found = look(**search)
        if not FetchDoubt.objects.exists():
            tell(log, cut_off(pop))
            mark(twin, pop, 2)
        return found

    monkeypatch.setattr(twin, "messages", look_and_break_off)
    assert sweeping.note_retrievals(engine=twin, at=NOW) == 0
    assert asks(pop)
    monkeypatch.undo()

    sweeping.note_retrievals(engine=twin, at=NOW + timedelta(minutes=2))

    assert noted(twin, pop) == frozenset()
    assert seen(twin, pop) == []


def test_program_that_breaks_off_again_and_again_is_dealt_with_up_to_the_last_minute(
    twin, log, pop
):
    mark(twin, pop, 1)
    tell(log, cut_off(pop))
    tell(log, cut_off(pop, at="09:59:50"))

    sweeping.note_retrievals(engine=twin, at=NOW)

    assert seen(twin, pop) == []
    assert FetchDoubt.objects.get().since == NOW - timedelta(minutes=1)
    assert asks(pop)
    sweeping.note_retrievals(engine=twin, at=NOW + timedelta(minutes=1))
    assert not asks(pop)


def test_what_the_log_tells_late_of_a_session_before_has_its_turn(twin, log, pop, monkeypatch):
    mark(twin, pop, 1)
    retrievals.note(mailbox=pop, engine=twin, at=BROKE_OFF - timedelta(minutes=5))
    tell(log, cut_off(pop))
    aside = twin.set_reads_aside

    def tell_and_set_aside(**asked):
        monkeypatch.undo()
        tell(log, cut_off(pop, at="09:30:00"))
        aside(**asked)

    mark(twin, pop, 2)
    monkeypatch.setattr(twin, "set_reads_aside", tell_and_set_aside)
    sweeping.note_retrievals(engine=twin, at=NOW)
    assert noted(twin, pop) == {1}

    sweeping.note_retrievals(engine=twin, at=NOW)

    assert noted(twin, pop) == frozenset()
    assert seen(twin, pop) == []


def test_switch_of_protocol_takes_nothing_along_that_is_in_doubt(twin, log, pop):
    mark(twin, pop, 1)
    retrievals.note(mailbox=pop, engine=twin, at=BROKE_OFF)
    tell(log, cut_off(pop))

    retrievals.forget_doubtful(pop)

    assert not Retrieval.objects.exists()
    assert not FetchDoubt.objects.exists()


@pytest.mark.parametrize(
    ("counts", "how"),
    [
        ("fetched=2 glanced=0 removed=0; top=0/0, retr=2/90, del=0/4, size=90", "Logged out"),
        ("fetched=0 glanced=2 removed=0; top=2/90, retr=0/0, del=0/4, size=90", "Broken pipe"),
        ("fetched=2 glanced=0 removed=2; top=0/0, retr=2/90, del=2/4, size=90", "Broken pipe"),
    ],
)
def test_session_that_said_quit_or_fetched_nothing_raises_no_doubt(counts, how, log, pop):
    tell(log, ended(counts, how=how, user=pop.address))

    assert not FetchDoubt.objects.exists()


def test_imap_mailbox_is_left_alone(cast, twin, log):
    reader = make_mailbox(cast.domain, "reader")
    twin.know(reader.address)
    twin.accounts[reader.address].folders["INBOX"].append(b"x", at=NOW)
    mark(twin, reader, 1)
    Mailbox.objects.update(created_at=NOW - 400 * DAY, retrievals_asked_at=NOW)
    FetchDoubt.objects.create(mailbox=reader, since=BROKE_OFF, until=BROKE_OFF)

    sweeping.note_retrievals(engine=twin, at=NOW)

    assert seen(twin, reader) == [1]
    assert not asks(reader)
