"""Devices and sign-ins as programs read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hosting import public_ids
from mailstore import credentials, devices, sign_ins
from mailstore.engine import Attendance, Outcome
from mailstore.models import Device, Mailbox
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

HOUR = datetime(2026, 11, 30, 9, tzinfo=UTC)


@pytest.fixture
def caller(cast):
    return Caller(make_key(cast.customer).secret)


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain, "till", "pop")


@pytest.fixture
def phone(cast, mailbox):
    actor = cast.actor(cast.alice)
    return credentials.issue(actor=actor, mailbox=mailbox, label="Phone", at=AT).app_password


def came(mailbox, **words):
    seen = {
        "user": mailbox.address,
        "hour_at": HOUR,
        "protocol": "pop",
        "credential": "-",
        "address": "203.0.113.7",
        "outcome": Outcome.SIGNED_IN,
        "first_at": HOUR,
        "last_at": HOUR + timedelta(minutes=5),
        "sign_ins": 1,
    }
    sign_ins.note([Attendance(**{**seen, **words})])


def path(mailbox, what):
    return f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}/{what}"


def test_sign_ins_are_listed_hour_by_hour(caller, mailbox, phone):
    came(
        mailbox,
        credential=phone.uuid.hex,
        sign_ins=12,
        without_tls=2,
        session="a/b",
        ended=11,
        fetched=3,
        glanced=1,
        removed=2,
    )
    came(
        mailbox, credential="", protocol="", outcome=Outcome.WRONG_PASSWORD, address="198.51.100.9"
    )

    answer = caller.get(path(mailbox, "sign-ins?include=total_count"))

    document = answer.json()
    assert document["total_count"] == 2
    [good] = [each for each in document["items"] if each["outcome"] == "signed_in"]
    assert good == {
        "object": "sign_ins",
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "credential": "app_password",
        "app_password_id": public_ids.encode("pwd", phone.uuid),
        "hour_at": "2026-11-30T09:00:00Z",
        "protocol": "pop",
        "address": "203.0.113.7",
        "outcome": "signed_in",
        "first_at": "2026-11-30T09:00:00Z",
        "last_at": "2026-11-30T09:05:00Z",
        "count": 12,
        "without_tls_count": 2,
        "last_session": "a/b",
        "sessions_ended": 11,
        "messages_fetched": 3,
        "messages_glanced_at": 1,
        "messages_removed": 2,
    }
    [bad] = [each for each in document["items"] if each["outcome"] == "wrong_password"]
    assert (bad["credential"], bad["app_password_id"], bad["protocol"]) == (None, None, None)


def test_history_is_filtered_and_paged(caller, mailbox, phone):
    for number in range(5):
        hour = HOUR + timedelta(hours=number)
        came(mailbox, hour_at=hour, first_at=hour, last_at=hour, credential=phone.uuid.hex)
        came(mailbox, hour_at=hour, first_at=hour, last_at=hour)
    pwd = public_ids.encode("pwd", phone.uuid)

    found, cursor = [], ""
    while cursor is not None:
        query = f"sign-ins?credential={pwd}&sort=-hour&limit=2"
        page = caller.get(path(mailbox, query + (f"&cursor={cursor}" if cursor else ""))).json()
        found += [each["hour_at"] for each in page["items"]]
        cursor = page["next_cursor"]

    assert found == [f"2026-11-30T{hour:02}:00:00Z" for hour in (13, 12, 11, 10, 9)]
    by_password = caller.get(path(mailbox, "sign-ins?credential=mailbox_password")).json()
    assert {each["credential"] for each in by_password["items"]} == {"mailbox_password"}
    assert caller.get(path(mailbox, "sign-ins?outcome=throttled")).json()["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        "credential=phone",
        "credential=mbx_0123",
        "outcome=nice",
        "protocol=gopher",
        "sort=address",
    ],
)
def test_wrong_parameter_is_pointed_at(query, caller, mailbox):
    answer = caller.get(path(mailbox, f"sign-ins?{query}"))

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/" + query.partition("=")[0]


def test_devices_say_what_they_do_with_copies_and_whether_they_are_new(caller, mailbox, phone):
    Mailbox.objects.filter(pk=mailbox.pk).update(created_at=AT - timedelta(days=90))
    came(mailbox, credential=phone.uuid.hex, removed=1, removed_at=HOUR, fetched=1)
    devices.judge(at=HOUR)
    later = HOUR + timedelta(days=3)
    came(mailbox, protocol="imap", hour_at=later, first_at=later, last_at=later, address="8.8.8.8")
    devices.judge(at=later)

    pop, imap = caller.get(path(mailbox, "devices")).json()["items"]

    assert pop == {
        "object": "device",
        "id": public_ids.encode("dev", Device.objects.get(protocol="pop").uuid),
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "credential": "app_password",
        "app_password_id": public_ids.encode("pwd", phone.uuid),
        "protocol": "pop",
        "first_seen_at": "2026-11-30T09:00:00Z",
        "last_seen_at": "2026-11-30T09:05:00Z",
        "last_address": "203.0.113.7",
        "sign_in_count": 1,
        "last_removed_at": "2026-11-30T09:00:00Z",
        "copies": "removes",
        "is_asked_about": False,
    }
    assert (imap["credential"], imap["copies"], imap["is_asked_about"]) == (
        "mailbox_password",
        None,
        True,
    )


@pytest.mark.parametrize("what", ["devices", "sign-ins"])
def test_a_list_costs_the_same_for_many(what, caller, mailbox, django_assert_max_num_queries):
    for number in range(30):
        came(mailbox, credential=f"{number:032x}")

    with django_assert_max_num_queries(12):
        assert len(caller.get(path(mailbox, what)).json()["items"]) == 30


@pytest.mark.parametrize("what", ["devices", "sign-ins"])
def test_a_strangers_are_absent(what, cast, mailbox):
    came(mailbox)
    stranger = Caller(make_key(cast.other_customer).secret)

    assert stranger.get(path(mailbox, what)).status_code == 404
