"""The letter about copies: once for each program, with what they take and what to choose."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core import mail

from accounts import notices
from accounts.models import Notice, Organisation
from hosting import schedule
from mailstore import copies, copy_letters, devices, tasks
from mailstore.models import Device, Mailbox, Usage
from tests.factories import make_mailbox
from tests.mailstore.test_copies import LAPTOP, PHONE, day, session

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def mailbox(cast, twin):
    return with_copies(make_mailbox(cast.domain, "till", "pop"), twin)


def with_copies(mailbox, twin, count=2):
    """The mailbox, with so many messages that were fetched and one that was not."""
    Usage.objects.update_or_create(username=mailbox.address, defaults={"bytes": 10**9})
    inbox = twin.know(mailbox.address).folders["INBOX"]
    for number in range(count + 1):
        inbox.append(b"Subject: One\r\n\r\nx")
        if number < count:
            inbox.kept[number] = replace(inbox.kept[number], flags=frozenset({"\\Seen"}))
    return mailbox


def keeps(mailbox, credential=LAPTOP):
    for number in (0, 5, 10):
        device = session(mailbox, number, credential=credential)
    return device


def tell(twin, number=16):
    return copy_letters.tell(engine=twin, at=day(number))


def told():
    letters = Notice.objects.filter(name="copies").order_by("pk")
    return [(each.to, each.context["address"], each.context["programs"]) for each in letters]


def test_owners_are_written_to_once_for_each_program(cast, mailbox, twin):
    keeps(mailbox, credential="-")

    assert [tell(twin, number) for number in (12, 16, 17, 40)] == [0, 1, 0, 0]

    assert told() == [("alice@example.test", "till@alder.test", ["The mailbox password"])]
    assert Device.objects.get().copies_told_at == day(16)


def test_letter_says_what_they_take_and_what_to_choose(cast, mailbox, twin):
    keeps(mailbox, credential="-")
    tell(twin)

    notices.send_waiting(at=day(16))

    [letter] = mail.outbox
    size = Notice.objects.get(name="copies").context["size_text"]
    for text in (letter.body, letter.alternatives[0].content):
        plain = " ".join(text.replace("<b>", "").replace("</b>", "").split())
        assert "fetches the mail of till@alder.test by POP and removes none of it" in plain
        assert "The mailbox password" in plain
        assert f"2 fetched messages take {size} here." in plain
        assert "A rule removes each of them 30 days after it was fetched." in plain
        for choice in ("Remove them after some days", "Read by IMAP instead", "Leave them"):
            assert choice in plain
        assert f"/mailboxes/{mailbox.uuid}/devices/#copies" in plain


def test_another_program_is_told_of_by_itself(cast, mailbox, twin):
    keeps(mailbox)
    tell(twin)
    later = keeps(mailbox, PHONE)
    Device.objects.filter(pk=later.pk).update(first_at=day(0))

    assert [tell(twin), tell(twin)] == [1, 0]

    programs = [len(programs) for _to, _address, programs in told()]
    assert programs == [1, 1]


def test_two_programs_at_once_are_one_letter(cast, mailbox, twin):
    keeps(mailbox)
    keeps(mailbox, PHONE)

    assert [tell(twin), tell(twin)] == [1, 0]

    assert [len(programs) for _to, _address, programs in told()] == [2]


def test_nobody_is_written_to_where_there_is_nothing_to_decide(cast, mailbox, twin):
    """Another program removes them; or somebody said that they are to stay."""
    keeps(mailbox)
    session(mailbox, 12, credential=PHONE, removed=2)
    decided = with_copies(make_mailbox(cast.domain, "shop", "pop"), twin)
    device = keeps(decided)
    copies.leave(actor=cast.actor(cast.alice), device=device, at=day(15))
    with_copies(make_mailbox(cast.domain, "empty", "pop"), twin, count=0)
    keeps(Mailbox.objects.get(local_part="empty"))

    assert tell(twin) == 0


def test_nobody_is_written_to_who_wants_no_letters_about_devices(cast, mailbox, twin):
    keeps(mailbox)
    alice = cast.actor(cast.alice)
    devices.switch_letters(actor=alice, mailbox=mailbox, is_on=False, at=day(11))
    assert tell(twin) == 0

    devices.switch_letters(actor=alice, mailbox=mailbox, is_on=True, at=day(17))

    assert tell(twin, 18) == 1


def test_mailboxes_that_are_gone_read_by_imap_or_for_testing_are_left_out(cast, mailbox, twin):
    keeps(mailbox)
    keeps(with_copies(make_mailbox(cast.other_domain, "till", "pop"), twin))
    Organisation.objects.filter(pk=cast.other_customer.pk).update(is_test=True)
    imap = make_mailbox(cast.domain, "imap", "pop")
    keeps(with_copies(imap, twin))
    Mailbox.objects.filter(pk=imap.pk).update(protocol="imap")
    gone = make_mailbox(cast.domain, "gone", "pop")
    keeps(with_copies(gone, twin))
    Mailbox.objects.filter(pk=gone.pk).update(state="closed")

    assert tell(twin) == 1
    assert [address for _to, address, _programs in told()] == ["till@alder.test"]


def test_mail_server_that_is_away_makes_it_later(cast, mailbox, twin):
    keeps(mailbox)
    twin.is_down = True
    assert tell(twin) == 0

    twin.is_down = False

    assert tell(twin) == 1


def test_mailbox_that_the_mail_server_refuses_holds_up_no_other(cast, mailbox, twin):
    keeps(mailbox)
    other = with_copies(make_mailbox(cast.domain, "shop", "pop"), twin)
    keeps(other)
    del twin.accounts[mailbox.address]

    assert tell(twin) == 1
    assert [address for _to, address, _programs in told()] == ["shop@alder.test"]


def test_devices_are_read_in_pieces(cast, twin, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(copies, "_AT_ONCE", 2)
    found = [
        with_copies(make_mailbox(cast.domain, f"till{number}", "pop"), twin) for number in range(5)
    ]
    for mailbox in found:
        keeps(mailbox)

    # Three pieces of devices with the sums of each, and the end.
    with django_assert_num_queries(7):
        suspected = list(copies.suspected(at=day(16)))

    assert suspected == [mailbox.pk for mailbox in found]


def test_a_worker_looks_for_them():
    assert schedule.SCHEDULE["tell-of-copies"]["task"] == tasks.tell_of_copies.name
