"""Keys that make keys."""

from __future__ import annotations

import pytest

from accounts.models import ApiKey
from hosting import public_ids
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db


def path_of(key):
    return f"/api-keys/{public_ids.encode('key', key.uuid)}"


def test_a_new_key_works_and_its_secret_is_shown_once(cast, rita):
    made = rita.post("/api-keys", {"label": "Till", "scopes": ["mailboxes:read"]})
    shown = rita.get(f"/api-keys/{made.json()['id']}").json()

    assert made.status_code == 201
    assert Caller(made.json()["secret"]).get("/mailboxes").status_code == 200
    assert shown == {name: value for name, value in made.json().items() if name != "secret"}
    used = rita.get(f"/api-keys/{made.json()['id']}").json()
    assert (used["last_used_from"], shown["last_used_from"]) == ("127.0.0.1", None)


def test_from_where_a_key_was_used_is_for_its_own_organisation(cast, rita, alice):
    key = make_key(cast.customer)
    Caller(key.secret).get("/mailboxes")
    narrow = Caller(make_key(cast.reseller, only_for=(cast.customer,)).secret)

    read = [caller.get(path_of(key.api_key)).json() for caller in (alice, rita, narrow)]
    listed = {each["id"]: each for each in rita.get("/api-keys").json()["items"]}

    assert [each["last_used_from"] for each in read] == ["127.0.0.1", None, None]
    assert all(each["last_used_at"] for each in read)
    assert listed[read[1]["id"]] == read[1]


@pytest.mark.parametrize(
    "wider",
    [
        {"scopes": ["mailboxes:read", "mailboxes:write"]},
        {"scopes": ["mailboxes:read"], "is_test": True},
    ],
)
def test_a_key_passes_on_no_more_than_it_has(wider, cast):
    caller = Caller(make_key(cast.reseller, "keys:write", "mailboxes:read").secret)

    answer = caller.post("/api-keys", {"label": "Till", **wider})

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_revoked_key_opens_nothing_from_then_on(cast, rita):
    other = make_key(cast.reseller)
    etag = rita.get(path_of(other.api_key)).headers["ETag"]

    unnamed = rita.delete(path_of(other.api_key))
    revoked = rita.delete(path_of(other.api_key), if_match=etag)

    assert (unnamed.status_code, revoked.status_code) == (428, 200)
    refused = Caller(other.secret).get("/mailboxes")
    assert (refused.status_code, refused.json()["code"]) == (401, "key-revoked")


def test_a_rotated_key_goes_on_for_the_overlap(cast, rita):
    old = make_key(cast.reseller)

    made = rita.post(f"{path_of(old.api_key)}/rotate", {"overlap_seconds": 60})

    assert made.status_code == 201
    assert {Caller(each).get("/plans").status_code for each in (old.secret, made.json()["secret"])}
    again = rita.post(f"{path_of(old.api_key)}/rotate", {"overlap_seconds": 0})
    assert (again.status_code, again.json()["code"]) == (409, "wrong-state")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["fly"]}, "/scopes/0"),
        ({"networks": ["192.0.2.1/24"]}, "/networks"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2020-01-01"}, "/expires_at"),
        ({"label": " "}, "/label"),
        ({"organisation_id": "org_" + "0" * 32}, "/organisation_id"),
        ({"only_for": ["org_" + "0" * 32]}, "/only_for"),
    ],
)
def test_a_key_that_cannot_be_is_pointed_at(changes, pointer, cast, rita):
    answer = rita.post("/api-keys", {"label": "Till", "scopes": ["events:read"], **changes})

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
    assert ApiKey.objects.count() == 1


def test_keys_of_strangers_are_as_absent(cast, alice):
    assert alice.get(path_of(make_key(cast.reseller).api_key)).status_code == 404
