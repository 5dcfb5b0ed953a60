"""When one message goes, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts.access import system
from mailstore import fates, retrievals, rules
from mailstore.models import Mailbox
from mailstore.policy import CountedFrom, Rule
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def known(mailbox, twin):
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


@pytest.fixture
def mailbox(cast, twin):
    return known(make_mailbox(cast.domain), twin)


def put(twin, mailbox, folder, age, flags=()):
    box = twin.accounts[mailbox.address].folders[folder]
    box.append(b"Message-ID: <x@y>\r\n\r\nx", at=NOW - age * DAY)
    object.__setattr__(box.kept[-1], "flags", frozenset(flags))
    return box.kept[-1].uid


def fate_of(twin, mailbox, folder, uid):
    return fates.of_message(mailbox=mailbox, engine=twin, folder=folder, uid=uid, at=NOW)


def test_message_goes_on_its_day_for_its_reason(twin, mailbox):
    put(twin, mailbox, "Junk", 40)
    uid = put(twin, mailbox, "Junk", 10)

    found = fate_of(twin, mailbox, "Junk", uid)

    assert found.goes_at == NOW + 20 * DAY
    assert found.sentence == (
        "It goes on 13 December 2026. "
        "Mail in Junk goes 30 days after it arrived in Junk: the plan says so."
    )


def test_message_that_is_due_says_since_when(twin, mailbox):
    uid = put(twin, mailbox, "Junk", 40)

    assert fate_of(twin, mailbox, "Junk", uid).sentence.startswith("It is due since 13 November")


def test_message_that_stays_says_why(twin, mailbox):
    uid = put(twin, mailbox, "INBOX", 400)

    found = fate_of(twin, mailbox, "INBOX", uid)

    assert found.goes_at is None
    assert found.sentence == "Nothing is removed from INBOX: the plan keeps it."


@pytest.mark.parametrize("folder", ["Junk", "Nowhere"])
def test_message_that_is_not_there_is_named(folder, twin, mailbox):
    with pytest.raises(fates.NoSuchMessage, match=f"no message 7 in {folder}"):
        fate_of(twin, mailbox, folder, 7)


def test_what_no_program_fetched_stays_and_what_one_did_goes(twin, cast):
    pop = known(make_mailbox(cast.domain, "popper", "pop"), twin)
    fetched = put(twin, pop, "INBOX", 50, ["\\Seen"])
    waiting = put(twin, pop, "INBOX", 50)
    retrievals.note(mailbox=pop, engine=twin, at=NOW)

    assert fate_of(twin, pop, "INBOX", fetched).goes_at == NOW + 30 * DAY
    found = fate_of(twin, pop, "INBOX", waiting)
    assert found.goes_at is None
    assert found.sentence.startswith("No program has fetched it yet")


def test_messages_of_one_day_are_told_together(twin, mailbox):
    put(twin, mailbox, "Junk", 11)
    uids = [put(twin, mailbox, "Junk", 10), put(twin, mailbox, "Junk", 10)]
    put(twin, mailbox, "Junk", 9)

    found = fates.of_arrivals(
        mailbox=mailbox, engine=twin, folder="Junk", day=(NOW - 10 * DAY).date(), at=NOW
    )

    assert [fate.message.uid for fate in found] == uids
    assert {fate.goes_at for fate in found} == {NOW + 20 * DAY}


def test_only_the_message_is_read_of_a_large_folder(twin, mailbox, monkeypatch):
    for _ in range(20):
        put(twin, mailbox, "Junk", 10)
    asked = []
    messages = twin.messages
    monkeypatch.setattr(twin, "messages", lambda **how: asked.append(how) or messages(**how))

    fate_of(twin, mailbox, "Junk", 3)

    assert {tuple(how["uids"]) for how in asked} == {(3,)}


def test_what_stops_all_removal_is_said(cast, twin, mailbox):
    assert fates.stopped_text(mailbox) == ""
    Mailbox.objects.update(frozen_at=NOW)
    mailbox.refresh_from_db()

    assert "frozen since 2026-11-23" in fates.stopped_text(mailbox)


def test_rule_that_nothing_can_outlive_still_has_a_day(twin, mailbox):
    longest = Rule(folder="Junk", counted_from=CountedFrom.ARRIVAL, days=3650)
    rules.set_rule(actor=system("t"), target=mailbox, rule=longest, at=NOW)
    uid = put(twin, mailbox, "Junk", 1)

    assert fate_of(twin, mailbox, "Junk", uid).goes_at == NOW + 3649 * DAY
