"""Parameters and cursors that no list can take."""

from __future__ import annotations

from base64 import urlsafe_b64decode

import pytest

from hosting.api import cursors
from hosting.api.listing import mark_of
from tests.factories import make_mailbox
from tests.hosting.api.caller import make_key

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


@pytest.mark.parametrize("path", ["/mailboxes?limit=", "/events?limit=", "/events?after_seq="])
@pytest.mark.parametrize("text", ["", "-1", "1e2", "٣", "9" * 19, "9" * 5000])
def test_a_number_beyond_its_bounds_is_refused(path, text, rita):
    answer = rita.get(path + text)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-parameter")


@pytest.mark.parametrize("zeros", [8, 9, 30])
def test_zeros_in_front_hide_no_number(zeros, cast, rita):
    for number in range(3):
        make_mailbox(cast.domain, f"m{number}")

    beyond = rita.get(f"/mailboxes?limit={'0' * zeros}1999")
    events = rita.get(f"/events?after_seq={'0' * zeros}{10**19}")

    assert (beyond.status_code, events.status_code) == (400, 400)


def test_a_cursor_leads_on_in_its_own_kind_of_list_alone(cast, rita):
    for number in range(2):
        make_mailbox(cast.domain, f"m{number}")
        make_key(cast.reseller)
    paths = ("mailboxes", "organisations", "plans", "api-keys", "audit-log", "invoices")
    cursors = {path: rita.get(f"/{path}?limit=1").json()["next_cursor"] for path in paths[:5]}

    statuses = {
        (origin, path): rita.get(f"/{path}?cursor={cursor}").status_code
        for origin, cursor in cursors.items()
        for path in paths
    }

    assert all(cursors.values())
    assert statuses == {
        (origin, path): 200 if origin == path else 400 for origin in cursors for path in paths
    }


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00%2B23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-02-30T00:00:00Z",
        "2026-11-03 14:00:00Z",
        "2026-11-03T14:00:00",
        "now",
    ],
)
def test_a_moment_that_is_none_is_refused_in_a_query(moment, rita):
    answer = rita.get(f"/audit-log?from={moment}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-parameter")


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "tomorrow", 5, {}]
)
def test_a_moment_that_is_none_is_refused_in_a_body(moment, rita):
    asked = {"label": "Shop", "scopes": ["mailboxes:read"], "expires_at": moment}

    answer = rita.post("/api-keys", asked)

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/expires_at"]


def test_a_cursor_says_nothing_of_the_place_that_it_names(cast, rita):
    keys = [make_mailbox(cast.domain, f"m{number}").pk for number in range(2)]

    cursor = rita.get("/mailboxes?limit=1").json()["next_cursor"]

    assert cursors.unseal(cursor, mark=mark_of({"object": "MailboxDocument"}, ("object",))) == [
        keys[0]
    ]
    # A key of one digit would stand in any random bytes now and then.
    of_many_digits = cursors.seal([1_234_567_890_123], mark="x")
    read = urlsafe_b64decode(of_many_digits + "=" * (-len(of_many_digits) % 4))
    assert b"1234567890123" not in read
    assert len(cursors.seal([1], mark="x")) == len(cursors.seal([10**9], mark="x"))


def test_a_cursor_goes_on_while_the_key_before_stands_behind_the_new_one(cast, rita, settings):
    for number in range(2):
        make_mailbox(cast.domain, f"m{number}")
    path = f"/mailboxes?cursor={rita.get('/mailboxes?limit=1').json()['next_cursor']}"
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another-key-of-the-house"

    assert rita.get(path).json()["code"] == "invalid-cursor"
    settings.SECRET_KEY_FALLBACKS = [old]
    assert len(rita.get(path).json()["items"]) == 1


@pytest.mark.parametrize("spoil", [lambda text: text[:-4], lambda text: "A" + text, lambda _: "é"])
def test_a_cursor_that_was_changed_is_refused(spoil, cast, rita):
    for number in range(2):
        make_mailbox(cast.domain, f"m{number}")
    cursor = rita.get("/mailboxes?limit=1").json()["next_cursor"]

    answer = rita.get(f"/mailboxes?cursor={spoil(cursor)}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-cursor")


def test_more_parameters_than_anybody_takes_apart_are_no_fault_of_ours(rita):
    rita.client.raise_request_exception = False

    answer = rita.get("/mailboxes?" + "&".join(["limit=1"] * 1_500))

    assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")


def test_a_parameter_is_pointed_at_whatever_its_name(rita):
    answer = rita.get("/mailboxes?a/b~c=1")

    assert answer.json()["errors"][0]["pointer"] == "/a~1b~0c"


def test_a_method_that_nobody_has_is_answered_with_those_that_there_are(rita):
    answer = rita.client.generic("TRACE", "/api/v1/mailboxes", headers=rita.headers)

    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
    assert "GET" in answer["Allow"]
