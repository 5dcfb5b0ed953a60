"""Webhook endpoints through the API."""

from __future__ import annotations

import socket

import pytest
from django.db import connection

from hosting.models import WebhookEndpoint
from hosting.webhooks import feeding
from tests.factories import AT
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


@pytest.fixture(autouse=True)
def _laptop(settings):
    settings.ALLOW_PRIVATE_WEBHOOKS = True


@pytest.fixture
def made(rita):
    body = {"url": "http://127.0.0.1:9/hook", "event_types": ["mailbox.created"]}
    return rita.post("/webhook-endpoints", body).json()


def path_of(made):
    return f"/webhook-endpoints/{made['id']}"


def test_an_endpoint_is_made_and_its_secret_is_shown_once(made, rita):
    shown = rita.get(path_of(made)).json()

    assert made["secret"].startswith("whsec_")
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert rita.get("/webhook-endpoints").json()["items"] == [shown]


def test_an_endpoint_is_changed_only_as_it_was_read(made, rita):
    etag = rita.get(path_of(made)).headers["ETag"]
    rita.patch(path_of(made), {"description": "Shop"}, if_match=etag)

    stale = rita.patch(path_of(made), {"description": "Till"}, if_match=etag)

    assert stale.status_code == 412
    assert rita.get(path_of(made)).json()["description"] == "Shop"


def test_removing_needs_the_version_and_leaves_nothing(made, rita):
    unnamed = rita.delete(path_of(made))
    removed = rita.delete(path_of(made), if_match=rita.get(path_of(made)).headers["ETag"])

    assert (unnamed.status_code, removed.status_code, removed.content) == (428, 204, b"")
    assert not WebhookEndpoint.objects.exists()


def test_a_new_secret_replaces_the_old_one(made, rita):
    rotated = rita.post(f"{path_of(made)}/rotate-secret", {"overlap_seconds": 60})

    assert rotated.status_code == 200
    assert rotated.json()["secret"] != made["secret"]


def test_an_endpoint_is_switched_off_and_on_again(made, rita):
    off = rita.post(f"{path_of(made)}/disable")
    again = rita.post(f"{path_of(made)}/disable")
    on = rita.post(f"{path_of(made)}/enable")

    assert (off.json()["state"], off.json()["disabled_because"]) == ("disabled", "asked")
    assert (again.status_code, again.json()["code"]) == (409, "wrong-state")
    assert on.json()["state"] == "enabled"


def test_a_ping_stands_among_the_deliveries(made, rita):
    rita.post(f"{path_of(made)}/ping")
    feeding.feed_all(at=AT)

    (delivery,) = rita.get(f"{path_of(made)}/deliveries").json()["items"]

    assert (delivery["event_type"], delivery["state"]) == ("ping", "waiting")
    waiting = rita.post(f"{path_of(made)}/deliveries/{delivery['id']}/send-again")
    assert (waiting.status_code, waiting.json()["code"]) == (409, "wrong-state")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "ftp://example.test/"}, "/url"),
        ({"url": 7}, "/url"),
        ({"url": "http://127.0.0.1:9/", "event_types": ["mailbox.eaten"]}, "/event_types/0"),
        ({}, "/url"),
    ],
)
def test_an_endpoint_that_cannot_be_is_pointed_at(body, pointer, rita):
    answer = rita.post("/webhook-endpoints", body)

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


def test_a_private_target_is_refused_unless_the_house_allows_it(rita, settings):
    settings.ALLOW_PRIVATE_WEBHOOKS = False

    answer = rita.post("/webhook-endpoints", {"url": "https://127.0.0.1/hook"})

    assert answer.status_code == 422


def test_a_strangers_endpoint_is_as_absent(made, alice):
    assert alice.get(path_of(made)).status_code == 404
    assert alice.post(f"{path_of(made)}/ping").status_code == 404


def test_an_address_is_looked_up_before_anything_is_locked(made, rita, monkeypatch):
    """Name servers may take long, and whoever holds a lock meanwhile holds up everybody."""
    outside, depths = len(connection.savepoint_ids), []

    def look_up(*_place, **_more):
        depths.append(len(connection.savepoint_ids))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    body = {"url": "https://shop.test/hook"}
    first = rita.post("/webhook-endpoints", body, idempotency_key="once")
    again = rita.post("/webhook-endpoints", body, idempotency_key="once")
    moved = rita.patch(path_of(made), body)
    named = rita.patch(path_of(made), {"description": "Shop"})

    assert [each.status_code for each in (first, again, moved, named)] == [201, 201, 200, 200]
    assert (again.content, moved.json()["url"]) == (first.content, body["url"])
    # What was answered before, and an address that stays, are not looked up again.
    assert depths == [outside, outside]


@pytest.mark.parametrize("scopes", [("webhooks:write",), ("webhooks:write", "events:read")])
def test_where_events_go_is_settled_by_who_may_read_them(scopes, made, cast):
    caller = Caller(make_key(cast.reseller, *scopes).secret)
    body = {"url": "http://127.0.0.1:9/other"}

    answers = [caller.post("/webhook-endpoints", body), caller.patch(path_of(made), body)]

    if len(scopes) == 2:
        assert [each.status_code for each in answers] == [201, 200]
    else:
        assert [each.status_code for each in answers] == [403, 403]
        assert {each.json()["scope"] for each in answers} == {"events:read"}
        assert caller.get(path_of(made)).json()["url"] == made["url"]
