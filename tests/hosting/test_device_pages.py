"""Devices, sign-ins and copies as the customer sees and answers them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.access import system
from hosting.views import devices as pages
from mailstore import credentials, devices, sign_ins
from mailstore.engine import Attendance, Outcome
from mailstore.models import Device, Place, Removal, RetentionRule, SignIn, Usage
from tests.factories import AT, make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

HOSTILE = '<script>alert("1")</script>'


@pytest.fixture
def alice(cast):
    client = Client()
    client.force_login(cast.alice)
    return client


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain, "till", "pop")
    account = twin.know(mailbox.address)
    account.folders["INBOX"].append(b"Subject: One\r\n\r\nx")
    return mailbox


def came(mailbox, *, ago=timedelta(), credential="-", protocol="pop", address="8.8.4.4", **more):
    at = timezone.now().replace(microsecond=0) - ago
    words = {"outcome": Outcome.SIGNED_IN, "sign_ins": 1} | more
    seen = Attendance(
        user=mailbox.address,
        hour_at=at.replace(minute=0, second=0),
        protocol=protocol,
        credential=credential,
        address=address,
        first_at=at,
        last_at=at,
        **words,
    )
    mailbox.created_at = at - timedelta(days=1)
    mailbox.save(update_fields=["created_at"])
    sign_ins.note([seen])
    return Device.objects.filter(mailbox=mailbox, credential=credential).first()


def issue(mailbox, label):
    made = credentials.issue(actor=system("tests"), mailbox=mailbox, label=label, at=AT)
    return made.app_password


def url(name, mailbox, *more):
    return reverse(f"mailboxes:{name}", args=[mailbox.uuid, *more])


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def new_place(mailbox, credential):
    came(mailbox, ago=timedelta(days=9), credential=credential)
    devices.judge(at=timezone.now())
    device = came(mailbox, ago=timedelta(hours=1), credential=credential, address="9.9.9.9")
    devices.judge(at=timezone.now())
    return device


def test_mailbox_without_devices_says_how_to_set_one_up(alice, mailbox):
    text = text_of(alice.get(url("devices", mailbox)))

    assert "Nobody has signed in yet" in text
    assert "None in the last 30 days." in text


def test_each_device_stands_with_where_it_came_from(alice, mailbox):
    phone = issue(mailbox, HOSTILE)
    came(mailbox, credential=phone.uuid.hex, sign_ins=1234)
    came(mailbox, credential=phone.uuid.hex, address="192.168.1.5")
    came(mailbox, credential="c" * 32, address="127.0.0.1")

    page = alice.get(url("devices", mailbox))

    text = text_of(page)
    assert HOSTILE.encode() not in page.content
    assert "8.8.4.4 network 8.8.0.0/16" in text
    assert "192.168.1.5 a private network" in text
    assert "1,235" in text
    assert "An app password that is gone" in text
    assert "Cannot sign in any more" in text


def test_question_is_answered_with_yes(alice, mailbox):
    phone = issue(mailbox, "Phone")
    device = new_place(mailbox, phone.uuid.hex)
    page = alice.get(url("devices", mailbox))
    assert "Was this you? “Phone” signed in by POP from a place" in text_of(page)
    assert "Was it you?" in text_of(alice.get(url("detail", mailbox)))
    [newest] = re.findall(rb'name="newest" value="(\d+)"', page.content)

    answer = alice.post(
        url("confirm_device", mailbox, device.uuid), {"newest": newest.decode()}, follow=True
    )

    assert "Noted: you know this place." in text_of(answer)
    assert not Place.objects.asked().exists()
    assert "Was it you?" not in text_of(alice.get(url("detail", mailbox)))


def test_yes_does_not_answer_for_what_came_after_the_page(alice, mailbox):
    phone = issue(mailbox, "Phone")
    device = new_place(mailbox, phone.uuid.hex)
    newest = Place.objects.order_by("pk").last().pk
    came(mailbox, credential=phone.uuid.hex, address="7.7.7.7")
    devices.judge(at=timezone.now())

    alice.post(url("confirm_device", mailbox, device.uuid), {"newest": newest})

    assert [place.last_address for place in Place.objects.asked()] == ["7.7.7.7"]


@pytest.mark.parametrize("newest", ["", "x", "0", "-1", "9" * 40, "99999999", "1\0"])
def test_yes_with_nonsense_harms_nothing(newest, alice, mailbox):
    device = new_place(mailbox, issue(mailbox, "Phone").uuid.hex)

    answer = alice.post(url("confirm_device", mailbox, device.uuid), {"newest": newest})

    assert answer.status_code == 302


def test_no_says_before_what_it_does_and_leads_to_what_was_removed(alice, mailbox):
    phone = issue(mailbox, "Phone")
    device = new_place(mailbox, phone.uuid.hex)
    text = text_of(alice.get(url("devices", mailbox)))
    assert "Its app password stops working at once, and open sessions end." in text
    assert "make a new app password and enter it there" in text
    Removal.objects.create(
        mailbox=mailbox,
        folder="INBOX",
        service="pop3",
        session="x",
        device=phone.uuid.hex,
        address="9.9.9.9",
        uids="1:3",
        messages=3,
        bytes=3,
        began_at=timezone.now(),
        ended_at=timezone.now(),
    )

    answer = alice.post(url("lock_out_device", mailbox, device.uuid), follow=True)

    assert answer.redirect_chain == [(url("removed", mailbox), 302)]
    assert "It is locked out, and its open sessions end." in text_of(answer)
    assert "UTC: 3. Roll the mailbox back" in text_of(answer), text_of(answer)
    phone.refresh_from_db()
    assert phone.revoked_at is not None
    gone = text_of(alice.get(url("devices", mailbox)))
    assert ("Cannot sign in any more" in gone, "Not mine" in gone) == (True, False)
    assert "was locked out: it was nobody" in text_of(alice.get(url("detail", mailbox)))


def test_device_of_another_mailbox_is_absent(cast, alice, mailbox):
    other = make_mailbox(cast.domain, "other", "pop")
    device = came(other)

    for name in ("confirm_device", "lock_out_device", "leave_copies"):
        assert alice.post(url(name, mailbox, device.uuid)).status_code == 404


def test_letters_are_switched_off_and_on(alice, mailbox):
    path = url("place_letters", mailbox)

    off = alice.post(path, {"state": "off"}, follow=True)
    assert "No more letters about that." in text_of(off)
    assert not devices.are_letters_on(mailbox)
    on = alice.post(path, {"state": "on"}, follow=True)

    assert "You get letters about devices." in text_of(on)
    assert devices.are_letters_on(mailbox)


def keep_copies(mailbox, credential):
    for days in (20, 15, 10):
        came(mailbox, ago=timedelta(days=days), credential=credential, fetched=3, ended=2)
    Usage.objects.update_or_create(username=mailbox.address, defaults={"bytes": 3 * 10**9})


def test_program_that_leaves_copies_is_told_with_three_choices(alice, mailbox, twin):
    phone = issue(mailbox, "Old laptop")
    keep_copies(mailbox, phone.uuid.hex)
    inbox = twin.accounts[mailbox.address].folders["INBOX"]
    inbox.kept[0].__dict__["flags"] = frozenset({"\\Seen"})

    overview = text_of(alice.get(url("detail", mailbox)))
    page = alice.get(url("devices", mailbox))
    text = text_of(page)

    assert "A program fetches mail and leaves a copy of each message here." in overview
    assert "Old laptop fetches mail by POP and does not remove it" in text
    assert "1 fetched message takes" in text
    assert "A rule removes each of them 30 days after it was fetched." in text
    for choice in ("Remove them after some days", "Read by IMAP instead", "Leave them"):
        assert choice in text
    assert "Leave messages on server" in text
    assert "Leaves copies: fetched 9 messages in the last month, removed none" in text


def test_choice_of_days_is_tried_out_on_the_page_of_rules(alice, mailbox):
    keep_copies(mailbox, issue(mailbox, "Old laptop").uuid.hex)
    page = alice.get(url("devices", mailbox)).content.decode()
    form = dict(re.findall(r'name="(days|folder|counted_from)" value="([^"]*)"', page))

    tried = alice.post(url("set_rule", mailbox), {**form, "try": "yes"})

    assert form == {"days": "14", "folder": "INBOX", "counted_from": "download"}
    assert tried.status_code == 200
    assert "Set the rule" in text_of(tried)
    assert not RetentionRule.objects.filter(mailbox=mailbox).exists()


def test_whoever_leaves_them_is_not_asked_again(alice, mailbox):
    phone = issue(mailbox, "Old laptop")
    keep_copies(mailbox, phone.uuid.hex)
    device = Device.objects.get(mailbox=mailbox)

    answer = alice.post(url("leave_copies", mailbox, device.uuid), follow=True)

    assert "The copies stay." in text_of(answer)
    assert "does not remove it" not in text_of(answer)
    assert "leaves a copy" not in text_of(alice.get(url("detail", mailbox)))


def test_copies_are_told_of_while_the_mail_server_is_away(alice, mailbox, twin):
    keep_copies(mailbox, issue(mailbox, "Old laptop").uuid.hex)
    twin.is_down = True

    page = alice.get(url("devices", mailbox))

    assert page.status_code == 200
    assert "does not remove it" in text_of(page)


def test_history_tells_of_a_pop_program_that_fetches_by_top(alice, mailbox):
    came(mailbox, ended=1, glanced=40, removed=40)
    came(mailbox, credential="c" * 32, protocol="imap", ended=1, fetched=3, glanced=90)

    text = text_of(alice.get(url("sign_ins", mailbox)))

    assert "1 sign-in; fetched 0, looked into 40, removed 40" in text
    assert "1 sign-in; fetched 3, removed 0" in text


def test_history_is_filtered_and_named(alice, mailbox):
    phone = issue(mailbox, HOSTILE)
    came(mailbox, credential=phone.uuid.hex, sign_ins=12, ended=12, fetched=4, removed=4)
    came(mailbox, credential="", outcome=Outcome.WRONG_PASSWORD, address="9.9.9.9", protocol="")
    came(mailbox, credential="-", protocol="imap", outcome=Outcome.REFUSED, address="7.7.7.7")
    path = url("sign_ins", mailbox)

    page = alice.get(path)
    assert HOSTILE.encode() not in page.content
    assert "12 sign-ins; fetched 4, removed 4" in text_of(page)
    assert "Wrong password 1 try" in text_of(page)
    failed = text_of(alice.get(path, {"outcome": "failed"}))
    assert ("12 sign-ins" in failed, "9.9.9.9" in failed, "7.7.7.7" in failed) == (
        False,
        True,
        True,
    )
    imap = text_of(alice.get(path, {"protocol": "imap", "device": "-"}))
    assert ("9.9.9.9" in imap, "7.7.7.7" in imap) == (False, True)
    nothing = text_of(alice.get(path, {"protocol": "imap", "device": phone.uuid.hex}))
    assert "Nothing fits what you asked for." in nothing


@pytest.mark.parametrize(
    "query",
    [
        {"after": "x"},
        {"after": "1-"},
        {"after": "9" * 18 + "-1"},
        {"after": "-1-1"},
        {"outcome": "x", "protocol": "gopher", "device": "' OR 1=1"},
    ],
)
def test_history_takes_any_address(query, alice, mailbox):
    came(mailbox)

    for name in ("sign_ins", "devices"):
        assert alice.get(url(name, mailbox), query).status_code == 200


@pytest.mark.parametrize(("name", "count"), [("sign_ins", 7), ("devices", 7)])
def test_pages_go_by_moment_and_key_and_miss_nothing(name, count, alice, mailbox, monkeypatch):
    monkeypatch.setattr(pages, "PAGE_LENGTH", 3)
    for number in range(count):
        # Two of them at the same moment.
        came(
            mailbox,
            ago=timedelta(hours=number // 2),
            credential=f"{number:032x}",
            address=f"8.8.{number}.7",
        )
    path, found = url(name, mailbox), []
    while path:
        page = alice.get(path)
        found += re.findall(r"8\.8\.(\d)\.7", text_of(page))
        following = re.findall(r'href="(\?[^"]*after=[^"]*)"', page.content.decode())
        path = url(name, mailbox) + following[-1].replace("&amp;", "&") if following else ""

    assert sorted(found) == [str(number) for number in range(count)]


def test_pages_cost_the_same_for_one_device_and_for_forty(alice, mailbox):
    def asked(path):
        with CaptureQueriesContext(connection) as queries:
            assert alice.get(path).status_code == 200
        return len(queries)

    came(mailbox)
    paths = [url(name, mailbox) for name in ("devices", "sign_ins", "detail")]
    one = [asked(path) for path in paths]
    for number in range(40):
        came(mailbox, credential=f"{number:032x}", address=f"8.{number}.4.4", fetched=1, ended=1)

    assert [asked(path) for path in paths] == one


def test_stranger_sees_nothing_of_it(cast, mailbox):
    came(mailbox)
    client = Client()
    client.force_login(cast.charlie)

    for name in ("devices", "sign_ins"):
        assert client.get(url(name, mailbox)).status_code == 404
    assert SignIn.objects.visible_to(cast.actor(cast.charlie)).count() == 0
