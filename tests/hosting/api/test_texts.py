"""Bodies that are no JSON of ours, however they are dressed up."""

from __future__ import annotations

import json

import pytest

from hosting import public_ids
from mailstore.models import Mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

HALF = "\ud800"


def order(cast, **changes):
    domain_id = public_ids.encode("dom", cast.domain.uuid)
    return {"domain_id": domain_id, "local_part": "info", "plan": "pop", **changes}


@pytest.mark.parametrize("headers", [{}, {"idempotency_key": "once"}])
@pytest.mark.parametrize(
    "changes",
    [{"label": HALF}, {"labels": {"a": HALF}}, {"labels": {HALF: "a"}}, {HALF: 1}],
)
def test_half_a_surrogate_pair_is_no_json(changes, headers, cast, rita):
    answer = rita.post("/mailboxes", order(cast, **changes), **headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")
    assert not Mailbox.objects.exists()


def test_a_whole_surrogate_pair_is_a_character(cast, rita):
    # `json.dumps` writes it as two escapes.
    answer = rita.post("/mailboxes", order(cast, label="\U0001f4ee"))

    assert (answer.status_code, answer.json()["label"]) == (201, "\U0001f4ee")


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}])
@pytest.mark.parametrize("depth", [33, 300, 900, 100_000])
def test_a_body_that_lies_deep_is_refused(depth, headers, cast, rita):
    text = json.dumps(order(cast))[:-1] + ', "labels": ' + '{"a":' * depth + "1" + "}" * depth + "}"

    answer = rita.client.post(
        "/api/v1/mailboxes",
        text,
        content_type="application/json",
        headers={**rita.headers, **headers},
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")


@pytest.mark.parametrize("headers", [{}, {"idempotency_key": "once"}])
def test_a_number_beyond_all_bounds_is_pointed_at(headers, cast, rita):
    answer = rita.post("/mailboxes", order(cast, quota_bytes=10**400), **headers)

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/quota_bytes"]


def sent(caller, text, *, key="order-1"):
    headers = {**caller.headers, "idempotency-key": key}
    return caller.client.post(
        "/api/v1/mailboxes", text, content_type="application/json", headers=headers
    )


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("1" + "0" * 30, 422),
        ("-1" + "0" * 400, 422),
        ("1" + "0" * 5000, 400),
        ("1e999", 422),
        ("NaN", 400),
        (r'"\ud800"', 400),
        (r'"\udc00\ud800"', 400),
        (r'{"\uDFFF": 1}', 400),
        (r'"\ud83d\ude00"', 422),
        (r'"\\ud800"', 422),
    ],
)
def test_value_that_no_field_takes_is_a_problem_and_no_failure(rita, value, status):
    text = f'{{"plan": {value}, "quota_bytes": {value}, "x": {value}}}'

    first, second = sent(rita, text), sent(rita, text)

    assert (first.status_code, second.status_code) == (status, status)
    assert first.json()["code"] == second.json()["code"]


@pytest.mark.parametrize(
    ("text", "headers", "status", "place"),
    [
        ("{", {}, 400, ("body", "")),
        ("[]", {}, 400, ("body", "")),
        ("{}", {"content-type": "text/plain"}, 415, ("header", "/Content-Type")),
        ("{}", {"accept": "text/html"}, 406, ("header", "/Accept")),
        ("{}", {"idempotency-key": "é"}, 400, ("header", "/Idempotency-Key")),
        ("{}", {"if-match": '"x"'}, 400, ("header", "/If-Match")),
        (f'{{"x": "{"y" * 1024 * 1024}"}}', {}, 413, ("body", "")),
    ],
)
def test_what_cannot_be_read_at_all_is_pointed_at(text, headers, status, place, rita):
    """Each problem that is about something that was sent says where it stands."""
    content_type = headers.get("content-type", "application/json")

    answer = rita.client.post(
        "/api/v1/mailboxes",
        text,
        content_type=content_type,
        headers={**rita.headers, **headers},
    )

    (fault,) = answer.json()["errors"]
    assert (answer.status_code, (fault["in"], fault["pointer"])) == (status, place)
    assert (fault["message"], fault["code"] != "") == (answer.json()["detail"], True)


def test_a_version_that_is_gone_is_pointed_at(cast, rita):
    mailbox_id = rita.post("/mailboxes", order(cast)).json()["id"]

    stale = rita.patch(f"/mailboxes/{mailbox_id}", {"label": "x"}, if_match='"old"')

    (fault,) = stale.json()["errors"]
    assert (stale.status_code, fault["in"], fault["pointer"]) == (412, "header", "/If-Match")
    assert stale.headers["ETag"] == rita.get(f"/mailboxes/{mailbox_id}").headers["ETag"]
