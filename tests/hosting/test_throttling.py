"""How often pages may be asked for, and that nobody is shut out for long by it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from accounts import rate_limits
from hosting import throttling
from tests.factories import make_mailbox
from tests.test_access import client_of, routes

pytestmark = [
    pytest.mark.django_db(databases=["default", "reports"]),
    pytest.mark.usefixtures("still_clock"),
]


@pytest.fixture
def few(settings):
    settings.RATE_LIMIT_PAGES_PER_MINUTE = 5


def statuses(client, path, times, **headers):
    return [client.get(path, **headers).status_code for _ in range(times)]


def test_everything_that_costs_is_a_route():
    assert set(throttling.COSTS) <= set(routes(get_resolver().url_patterns))


def test_a_person_asks_for_so_many_pages_and_others_for_theirs(few, cast):
    alice, bob = client_of(cast.alice), client_of(cast.bob)

    assert statuses(alice, "/domains/", 7) == [200] * 5 + [429] * 2
    assert statuses(bob, "/domains/", 5) == [200] * 5


def test_refusal_says_when_to_come_again(few, cast):
    client = client_of(cast.alice)
    statuses(client, "/domains/", 5)

    refused = client.get("/domains/")

    assert 1 <= int(refused.headers["Retry-After"]) <= 12
    assert f"Try again in {refused.headers['Retry-After']} seconds." in refused.content.decode()


def test_turns_come_back_one_by_one(few, cast, still_clock, monkeypatch):
    client = client_of(cast.alice)
    statuses(client, "/domains/", 6)
    later = still_clock + timedelta(seconds=13)
    monkeypatch.setattr(timezone, "now", lambda: later)

    assert statuses(client, "/domains/", 2) == [200, 429]


def test_whoever_is_not_signed_in_is_counted_by_address(few):
    client = Client()

    assert statuses(client, "/", 6) == [200] * 5 + [429]
    assert statuses(client, "/", 1, REMOTE_ADDR="198.51.100.7") == [200]
    inside = {"REMOTE_ADDR": "2001:db8::1"}
    assert statuses(client, "/", 5, **inside) == [200] * 5
    assert statuses(client, "/", 1, REMOTE_ADDR="2001:db8::2") == [429]


def test_strangers_use_up_nobodys_turns(few, cast):
    statuses(Client(), "/", 9)

    assert client_of(cast.alice).get("/domains/").status_code == 200


def test_what_machines_ask_is_not_counted(few):
    assert statuses(Client(), "/healthz", 9) == [200] * 9


def test_sending_letters_is_held_back_and_looking_is_not(cast, twin, settings):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    path, client = f"/mailboxes/{mailbox.uuid}/test-message", client_of(cast.alice)

    found = [client.post(path).status_code for _ in range(62)]

    assert found == [302] * 60 + [429] * 2
    assert client.get(f"/mailboxes/{mailbox.uuid}/set-up").status_code == 200


def test_everybody_goes_on_while_nobody_can_count(few, cast, monkeypatch):
    class AwayBackend:
        def take(self, buckets, *, now):
            raise rate_limits.Away("away")

    monkeypatch.setattr(rate_limits, "backend", AwayBackend)

    assert statuses(client_of(cast.alice), "/domains/", 9) == [200] * 9


def test_brands_and_their_like_are_asked_for_without_a_cookie(few, cast):
    client = client_of(cast.alice)
    Session.objects.all().delete()

    found = statuses(client, "/.well-known/security.txt", 6)

    assert found == [200] * 5 + [429]
