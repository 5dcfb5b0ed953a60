"""Signing in somewhere new: a letter asks whether that was the person."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import new_browsers, notices
from accounts.browser_names import in_words
from accounts.models import Event, KnownAddress, KnownBrowser, Notice
from tests.accounts.test_sessions import FIREFOX, HOSTILE_AGENTS, IPHONE
from tests.factories import AT, PASSWORD
from tests.newcomers import signed_up

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

SIGN_IN = "/account/sign-in"
HOME, AWAY = "192.0.2.7", "198.51.100.9"


def sign_in(user, client=None, *, address=HOME, agent=FIREFOX):
    client = client or Client()
    client.post("/account/sign-out")
    client.post(
        SIGN_IN,
        {"username": user.email, "password": PASSWORD},
        REMOTE_ADDR=address,
        headers={"user-agent": agent},
    )
    return client


def letters():
    """What was asked by letter since the last time."""
    mail.outbox.clear()
    notices.send_waiting(at=timezone.now())
    return mail.outbox


def test_unknown_browser_is_told_of_and_a_known_one_is_not(cast):
    client = sign_in(cast.alice)
    (letter,) = letters()

    sign_in(cast.alice, client)

    assert letter.to == ["alice@example.test"]
    assert letter.subject.startswith("Was this you?")
    assert f"Firefox on Windows, from {HOME}" in letter.body
    assert "/account/password/forgotten" in letter.body
    assert letters() == []
    fact = Event.objects.get(kind="user.signed_in_anew")
    assert fact.data == {"browser": "Firefox on Windows"}
    assert fact.address == HOME


def test_second_browser_at_home_is_told_of(cast):
    sign_in(cast.alice)
    letters()

    sign_in(cast.alice, agent=IPHONE)

    (letter,) = letters()
    assert "Safari on iPhone" in letter.body
    assert "a browser that we had not seen before" in letter.body


def test_known_browser_that_travels_is_told_of_three_times(cast):
    client = sign_in(cast.alice)
    letters()

    told = []
    for number in range(6):
        sign_in(cast.alice, client, address=f"203.0.113.{number}")
        told.append(len(letters()))

    assert told == [1, 1, 1, 0, 0, 0]
    assert Notice.objects.filter(context__is_known_browser=True).count() == 3


def test_who_is_at_home_already_is_not_asked_about_the_first_browser(cast):
    KnownAddress.objects.create(user=cast.alice, holder=HOME, last_at=AT)

    sign_in(cast.alice)

    assert letters() == []
    assert KnownBrowser.objects.filter(user=cast.alice).count() == 1


def test_one_browser_of_two_people_is_known_for_each(cast):
    client = sign_in(cast.alice)
    sign_in(cast.bob, client)
    letters()

    sign_in(cast.alice, client)
    sign_in(cast.bob, client)

    assert letters() == []
    assert KnownBrowser.objects.count() == 2


def test_wrong_password_makes_nothing_known(cast):
    client = Client()
    client.post(SIGN_IN, {"username": cast.alice.email, "password": "wrong"})

    assert "browser" not in client.cookies
    assert not KnownBrowser.objects.exists()


def test_cookie_is_out_of_reach_of_scripts_and_stands_in_no_row(cast):
    cookie = sign_in(cast.alice).cookies["browser"]

    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/account")
    assert cookie.value not in str(KnownBrowser.objects.values())


@pytest.mark.parametrize("value", ["", "x", "a" * 5000, "'; drop table", "ä" * 43, "a" * 42 + "\n"])
def test_cookie_that_never_was_one_is_replaced(value, cast):
    token = new_browsers.note(
        user=cast.alice,
        arrival=new_browsers.Arrival(
            token=value, user_agent=FIREFOX, address=HOME, is_known_address=False
        ),
        at=AT,
    )

    assert token != value
    assert len(token) == 43


def test_cookie_opens_nothing(cast):
    thief = Client()
    thief.cookies["browser"] = sign_in(cast.alice).cookies["browser"].value

    assert thief.get("/overview/").status_code == 302


def test_the_last_twenty_browsers_are_remembered(cast):
    for number in range(25):
        new_browsers.note(
            user=cast.alice,
            arrival=new_browsers.Arrival(
                token="", user_agent="", address=HOME, is_known_address=True
            ),
            at=AT + timedelta(hours=number),
        )

    known = KnownBrowser.objects.filter(user=cast.alice).order_by("last_at")
    assert known.count() == 20
    assert known[0].last_at == AT + timedelta(hours=5)
    assert str(known[0]) == "alice@example.test · 2026-11-02"


def test_account_that_begins_here_is_known_here(cast):
    client = Client(REMOTE_ADDR=HOME)
    signed_up(client)
    client.post("/account/sign-out")
    letters()

    client.post(SIGN_IN, {"username": "dora@example.test", "password": PASSWORD})

    assert client.get("/overview/").status_code == 200
    assert letters() == []


@pytest.mark.parametrize("agent", HOSTILE_AGENTS)
def test_letter_repeats_no_harm(agent, cast):
    sign_in(cast.alice, agent=agent)

    (letter,) = letters()
    html = letter.alternatives[0].content
    for harm in ("<script>alert", "<img src=x", "<b>Windows", "\0"):
        assert harm not in html
        assert harm not in letter.body
    assert len(letter.body) < 3000


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox on Windows"),
        (IPHONE, "Safari on iPhone"),
        (
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
                "Chrome/125.0.0.0 Mobile Safari/537.36"
            ),
            "Chrome on Android",
        ),
        (
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like "
                "Gecko) Chrome/125.0.0.0 Safari/537.36 Edg/125.0.0.0"
            ),
            "Edge on Mac OS X",
        ),
        ("", "A browser that we do not know"),
        ("<script>alert(1)</script>", "A browser that we do not know"),
        ("Mozilla/5.0 (Windows NT 10.0)", "A browser on Windows"),
        ("curl/8.5.0", "curl"),
    ],
)
def test_browsers_have_plain_names(agent, words):
    assert in_words(agent) == words
