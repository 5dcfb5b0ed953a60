"""Programs that leave copies on the server: several sessions of evidence, and one question."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from accounts.access import Forbidden
from mailstore import copies
from mailstore.copies import Habit
from mailstore.models import Device, Usage
from tests.factories import make_mailbox
from tests.mailstore.test_devices import came

pytestmark = pytest.mark.django_db(databases="__all__")

START = datetime(2026, 11, 3, 9, tzinfo=UTC)
LAPTOP, PHONE = "a" * 32, "b" * 32


@pytest.fixture
def mailbox(cast):
    mailbox = make_mailbox(cast.domain, "till", "pop")
    Usage.objects.update_or_create(username=mailbox.address, defaults={"bytes": 10**9})
    return mailbox


def day(number):
    return START + timedelta(days=number)


def session(mailbox, number, *, credential=LAPTOP, fetched=2, removed=0, ended=1):
    device = came(mailbox, at=day(number), credential=credential, protocol="pop", removed=removed)
    row = device.mailbox.sign_ins.get(hour_at=day(number), credential=credential)
    row.fetched, row.ended = row.fetched + fetched, row.ended + ended
    row.save()
    return device


def habits(mailbox, at):
    devices = list(Device.objects.filter(mailbox=mailbox).order_by("pk"))
    found = copies.evidence(mailbox=mailbox, devices=devices, at=at)
    return [found[device.pk].habit for device in devices if device.pk in found]


def asked(mailbox, at):
    devices = list(Device.objects.filter(mailbox=mailbox).order_by("pk"))
    return [d.credential for d in copies.keepers(mailbox=mailbox, devices=devices, at=at)]


def test_program_that_fetches_for_weeks_and_removes_nothing_keeps_copies(mailbox):
    for number in (0, 5, 10):
        session(mailbox, number)

    assert habits(mailbox, day(14)) == [Habit.UNKNOWN]
    assert habits(mailbox, day(16)) == [Habit.KEEPS]
    assert asked(mailbox, day(16)) == [LAPTOP]


def test_program_that_removes_after_two_weeks_keeps_nothing(mailbox):
    for number in range(14):
        session(mailbox, number)
    assert habits(mailbox, day(14)) == [Habit.UNKNOWN]

    session(mailbox, 14, fetched=1, removed=2)

    for number in (15, 20, 40):
        assert habits(mailbox, day(number)) == [Habit.REMOVES]
    assert asked(mailbox, day(20)) == []


def test_program_that_was_set_to_keep_is_found_out_again(mailbox):
    session(mailbox, 0, removed=2)
    for number in (1, 20, 25, 30):
        session(mailbox, number)

    assert habits(mailbox, day(31)) == [Habit.REMOVES]
    assert habits(mailbox, day(32)) == [Habit.KEEPS]


def test_one_session_says_nothing(mailbox):
    session(mailbox, 0, fetched=500)

    assert habits(mailbox, day(25)) == [Habit.UNKNOWN]


def test_program_that_only_looks_leaves_no_copies(mailbox):
    session(mailbox, 0, fetched=0, ended=40)

    assert habits(mailbox, day(20)) == [Habit.LOOKS]
    assert asked(mailbox, day(20)) == []


def test_nobody_is_asked_while_another_program_removes(mailbox):
    for number in (0, 5, 10):
        session(mailbox, number)
    session(mailbox, 12, credential=PHONE, removed=2)

    assert habits(mailbox, day(16)) == [Habit.KEEPS, Habit.REMOVES]
    assert asked(mailbox, day(16)) == []


def test_each_of_two_programs_that_keep_is_named(mailbox):
    for credential in (LAPTOP, PHONE):
        for number in (0, 5, 10):
            session(mailbox, number, credential=credential)

    assert asked(mailbox, day(16)) == [LAPTOP, PHONE]


def test_whoever_leaves_them_is_asked_again_only_when_things_change(cast, mailbox):
    for number in (0, 5, 10):
        device = session(mailbox, number)

    copies.leave(actor=cast.actor(cast.alice), device=device, at=day(16))

    assert asked(mailbox, day(16)) == []
    Usage.objects.filter(username=mailbox.address).update(bytes=2 * 10**9)
    assert asked(mailbox, day(17)) == []
    Usage.objects.filter(username=mailbox.address).update(bytes=2 * 10**9 + 1)
    assert asked(mailbox, day(17)) == [LAPTOP]


def test_small_mailbox_may_grow_a_little(cast, mailbox):
    Usage.objects.filter(username=mailbox.address).update(bytes=1000)
    for number in (0, 5, 10):
        device = session(mailbox, number)
    copies.leave(actor=cast.actor(cast.alice), device=device, at=day(16))

    Usage.objects.filter(username=mailbox.address).update(bytes=90_000_000)

    assert asked(mailbox, day(17)) == []


def test_new_program_is_asked_about_although_another_may_keep(cast, mailbox):
    for number in (0, 5, 10):
        device = session(mailbox, number)
        session(mailbox, number, credential=PHONE)
    copies.leave(actor=cast.actor(cast.alice), device=device, at=day(16))

    assert asked(mailbox, day(16)) == [PHONE]


def test_imap_has_no_copies(cast):
    mailbox = make_mailbox(cast.domain, "hello", "imap")
    came(mailbox, at=day(0))

    assert habits(mailbox, day(20)) == []
    assert asked(mailbox, day(20)) == []


@pytest.mark.parametrize("person", ["bob", "charlie"])
def test_only_who_manages_mail_decides(person, cast, mailbox):
    device = session(mailbox, 0)

    with pytest.raises(Forbidden):
        copies.leave(actor=cast.actor(getattr(cast, person)), device=device, at=day(1))

    device.refresh_from_db()
    assert device.copies_kept_at is None


def test_copies_are_measured_by_what_was_fetched(cast, mailbox, twin):
    account = twin.know(mailbox.address)
    inbox = account.folders["INBOX"]
    one = inbox.append(b"Subject: One\r\n\r\nx")
    inbox.append(b"Subject: Two\r\n\r\nx")
    inbox.kept[0] = replace(one, flags=frozenset({"\\Seen"}))
    device = session(mailbox, 0)

    found = copies.measured(mailbox=mailbox, devices=[device], engine=twin)

    assert (found.messages, found.rule_days) == (1, 30)
    assert found.bytes == len(b"Subject: One\r\n\r\nx")
