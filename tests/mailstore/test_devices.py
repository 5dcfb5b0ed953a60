"""Devices and places: who is asked, who is told, and what an answer does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts.access import Forbidden
from accounts.models import Event, Notice
from mailstore import credentials, devices, sign_ins
from mailstore.engine import MAILBOX_PASSWORD, Attendance, Outcome
from mailstore.models import Device, Mailbox, Place, PlaceLetters, Removal
from tests.factories import AT, make_mailbox

pytestmark = pytest.mark.django_db(databases="__all__")

START = datetime(2026, 11, 3, 9, tzinfo=UTC)
HOME, CAFE, FAR = "203.0.113.7", "198.51.100.9", "2a00:1450::1"


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


@pytest.fixture
def phone(cast, mailbox):
    return credentials.issue(
        actor=cast.actor(cast.alice), mailbox=mailbox, label="Phone", at=AT
    ).app_password


def came(mailbox, *, at=START, address=HOME, credential="-", protocol="imap", removed=0):
    seen = Attendance(
        user=mailbox.address,
        hour_at=at.replace(minute=0),
        protocol=protocol,
        credential=credential,
        address=address,
        outcome=Outcome.SIGNED_IN,
        first_at=at,
        last_at=at,
        sign_ins=1,
        removed=removed,
        removed_at=at if removed else None,
    )
    sign_ins.note([seen])
    return Device.objects.get(mailbox=mailbox, credential=credential, protocol=protocol)


def states(device):
    return dict(Place.objects.filter(device=device).values_list("network", "state"))


def later(**time):
    return START + timedelta(**time)


def test_where_a_mailbox_begins_is_known_and_what_comes_later_is_asked(mailbox, phone):
    device = came(mailbox, credential=phone.uuid.hex)
    came(mailbox, at=later(hours=2), address=FAR, credential=phone.uuid.hex)
    assert devices.judge(at=START) == 0
    assert devices.judge(at=START) == 0

    came(mailbox, at=later(days=2), address=CAFE, credential=phone.uuid.hex)

    assert devices.judge(at=later(days=2)) == 1
    assert states(device) == {
        "203.0.0.0/16": "assumed",
        "2a00:1450::/32": "assumed",
        "198.51.0.0/16": "asked",
    }


def test_new_program_at_a_known_place_is_no_question(mailbox, phone):
    came(mailbox, credential=phone.uuid.hex)
    devices.judge(at=START)

    device = came(mailbox, at=later(days=9), protocol="pop")

    assert devices.judge(at=later(days=9)) == 0
    assert states(device) == {"203.0.0.0/16": "assumed"}


def test_place_of_whoever_was_locked_out_is_always_asked(cast, mailbox):
    device = came(mailbox)
    devices.judge(at=START)
    devices.lock_out(actor=cast.actor(cast.alice), device=device, at=START)

    came(mailbox, at=later(days=1), protocol="pop")

    assert devices.judge(at=later(days=1)) == 1


def test_owners_get_a_letter_a_day_about_new_places(cast, mailbox):
    came(mailbox)
    devices.judge(at=START)
    came(mailbox, at=later(days=2), address=CAFE)
    devices.judge(at=later(days=2))

    assert devices.tell(at=later(days=2)) == 1
    assert devices.tell(at=later(days=2)) == 0
    came(mailbox, at=later(days=2, hours=3), address=FAR)
    devices.judge(at=later(days=2, hours=3))
    assert devices.tell(at=later(days=2, hours=3)) == 0
    assert devices.tell(at=later(days=3, minutes=1)) == 1

    notices = Notice.objects.filter(name="new_place").order_by("pk")
    assert [(n.to, [p["address"] for p in n.context["places"]]) for n in notices] == [
        ("alice@example.test", [CAFE]),
        ("alice@example.test", [FAR]),
    ]


def test_program_that_was_just_set_up_is_asked_about_and_no_letter(cast, mailbox):
    came(mailbox)
    devices.judge(at=START)
    made = credentials.issue(
        actor=cast.actor(cast.alice), mailbox=mailbox, label="New", at=later(days=2)
    ).app_password
    device = came(mailbox, at=later(days=2, hours=1), address=CAFE, credential=made.uuid.hex)

    assert devices.judge(at=later(days=2, hours=1)) == 1
    assert devices.tell(at=later(days=2, hours=1)) == 0
    came(mailbox, at=later(days=3), address=FAR, credential=made.uuid.hex)
    devices.judge(at=later(days=3))
    assert devices.tell(at=later(days=3)) == 1
    assert set(states(device).values()) == {"asked"}


def test_letters_are_switched_off_for_one_mailbox_alone(cast, mailbox):
    other = make_mailbox(cast.domain, "other")
    alice = cast.actor(cast.alice)
    devices.switch_letters(actor=alice, mailbox=mailbox, is_on=False, at=AT)
    devices.switch_letters(actor=alice, mailbox=mailbox, is_on=False, at=AT)
    for each in (mailbox, other):
        came(each)
        devices.judge(at=START)
        came(each, at=later(days=2), address=CAFE)
    devices.judge(at=later(days=2))

    assert devices.tell(at=later(days=2)) == 1

    assert [n.context["address"] for n in Notice.objects.filter(name="new_place")] == [
        other.address
    ]
    assert (devices.are_letters_on(mailbox), devices.are_letters_on(other)) == (False, True)
    assert not Place.objects.filter(is_untold=True).exists()
    changed = Event.objects.filter(kind="mailbox.updated")
    assert [event.data for event in changed] == [{"place_letters": {"old": "on", "new": "off"}}]


def test_what_is_long_ago_is_no_news(mailbox):
    came(mailbox)
    came(mailbox, at=later(days=2), address=CAFE)

    assert devices.judge(at=later(days=20)) == 1
    assert devices.tell(at=later(days=20)) == 0


def test_many_places_are_named_in_one_letter(mailbox):
    came(mailbox)
    devices.judge(at=START)
    for number in range(15):
        came(mailbox, at=later(days=2), address=f"81.{number}.0.1")
    devices.judge(at=later(days=2))

    devices.tell(at=later(days=2))

    context = Notice.objects.get(name="new_place").context
    assert (len(context["places"]), context["more"]) == (10, 5)


def test_yes_makes_places_known_that_were_asked_about(cast, mailbox):
    device = came(mailbox)
    came(mailbox, at=later(days=2), address=CAFE)
    seen = Place.objects.order_by("pk").last()
    came(mailbox, at=later(days=2), address=FAR)
    devices.judge(at=later(days=2))

    known = devices.confirm(
        actor=cast.actor(cast.alice), device=device, seen=seen, at=later(days=3)
    )

    assert known == 2
    assert states(device) == {
        "203.0.0.0/16": "mine",
        "198.51.0.0/16": "mine",
        "2a00:1450::/32": "asked",
    }
    place = Place.objects.get(network="198.51.0.0/16")
    assert (place.answered_by, place.answered_at) == ("alice@example.test", later(days=3))
    assert Event.objects.filter(kind="device.confirmed").count() == 1


def test_no_revokes_the_app_password_and_ends_sessions(cast, mailbox, phone):
    other = credentials.issue(
        actor=cast.actor(cast.alice), mailbox=mailbox, label="Laptop", at=AT
    ).app_password
    device = came(mailbox, at=later(days=2), credential=phone.uuid.hex)
    Removal.objects.create(
        mailbox=mailbox,
        folder="INBOX",
        service="imap",
        session="x",
        device=phone.uuid.hex,
        address=CAFE,
        uids="1:12",
        messages=12,
        bytes=12,
        began_at=later(days=2),
        ended_at=later(days=2),
    )

    found = devices.lock_out(actor=cast.actor(cast.alice), device=device, at=later(days=3))

    assert (found.removed, found.since) == (12, later(days=2))
    phone.refresh_from_db()
    other.refresh_from_db()
    mailbox.refresh_from_db()
    assert (phone.revoked_at, other.revoked_at) == (later(days=3), None)
    assert mailbox.sessions_end_asked_at == later(days=3)
    assert mailbox.frozen_at is None
    assert set(states(device).values()) == {"not_mine"}
    kinds = set(Event.objects.values_list("kind", flat=True))
    assert {"app_password.revoked", "device.locked_out"} <= kinds


def test_no_takes_the_mailbox_password_away(cast, mailbox, phone):
    alice = cast.actor(cast.alice)
    credentials.set_mailbox_password(
        actor=alice, mailbox=mailbox, password="four plain words", at=AT
    )
    device = came(mailbox)

    devices.lock_out(actor=alice, device=device, at=START)
    devices.lock_out(actor=alice, device=device, at=START)

    mailbox.refresh_from_db()
    phone.refresh_from_db()
    assert (mailbox.password_hash, phone.revoked_at) == ("", None)


@pytest.mark.parametrize("person", ["bob", "charlie"])
def test_only_who_manages_mail_answers(person, cast, mailbox):
    device = came(mailbox)
    actor = cast.actor(getattr(cast, person))

    for verb in (devices.confirm, devices.lock_out):
        with pytest.raises(Forbidden):
            verb(actor=actor, device=device, at=START)
    with pytest.raises(Forbidden):
        devices.switch_letters(actor=actor, mailbox=mailbox, is_on=False, at=START)
    assert Mailbox.objects.get().sessions_end_asked_at is None
    assert set(states(device).values()) == {"fresh"}


def test_devices_are_visible_in_ones_own_tree_only(cast, mailbox):
    came(mailbox)
    came(make_mailbox(cast.other_domain))

    def seen(person):
        actor = cast.actor(person)
        found = Device.objects.visible_to(actor).values_list("mailbox__address", flat=True)
        return sorted(found)

    assert seen(cast.alice) == seen(cast.rita) == ["hello@alder.test"]
    assert seen(cast.charlie) == ["hello@juniper.test"]
    assert len(seen(cast.sam)) == 2


def test_what_was_not_seen_for_half_a_year_is_forgotten(mailbox):
    device = came(mailbox)
    came(mailbox, at=later(days=100), address=CAFE)

    assert devices.forget(at=later(days=181)) == 1
    assert states(device) == {"198.51.0.0/16": "fresh"}
    assert devices.forget(at=later(days=281)) == 1
    assert not Device.objects.exists()
    assert not PlaceLetters.objects.exists()


def test_mailbox_password_opens_nothing_where_app_passwords_alone_do(cast, mailbox, phone):
    alice = cast.actor(cast.alice)
    credentials.set_mailbox_password(
        actor=alice, mailbox=mailbox, password="four plain words", at=AT
    )
    before = devices.working_credentials(mailbox)

    credentials.require_app_passwords(actor=alice, mailbox=mailbox, is_on=True, at=AT)

    mailbox.refresh_from_db()
    assert before - devices.working_credentials(mailbox) == {MAILBOX_PASSWORD}
    assert phone.uuid.hex in before
