"""Mailboxes through the API."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import uuid4

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from hosting import public_ids
from mailstore.models import Mailbox, Usage
from tests.factories import make_mailbox
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases="__all__")


def order_of(cast, **changes):
    return {
        "domain_id": public_ids.encode("dom", cast.domain.uuid),
        "local_part": "info",
        "plan": "imap",
        **changes,
    }


def path_of(mailbox):
    return f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}"


def test_a_mailbox_is_ordered_and_read_back(cast, rita):
    made = rita.post("/mailboxes", order_of(cast, label="Front desk", external_ref="shop-1"))
    read = rita.get(made.headers["Location"].removeprefix("/api/v1"))

    assert made.status_code == 201
    assert {**read.json(), "app_password": None} == made.json()
    assert read.headers["ETag"] == made.headers["ETag"]
    assert read.json() | {"created_at": ""} == {
        "object": "mailbox",
        "id": public_ids.encode("mbx", Mailbox.objects.get().uuid),
        "organisation_id": public_ids.encode("org", cast.customer.uuid),
        "domain_id": public_ids.encode("dom", cast.domain.uuid),
        "address": "info@alder.test",
        "protocol": "imap",
        "plan": "imap",
        "label": "Front desk",
        "external_ref": "shop-1",
        "labels": {},
        "state": "pending",
        "is_frozen": False,
        "quota": {
            "used_bytes": 0,
            "message_count": 0,
            "hard_limit_bytes": 10_000_000_000,
            "warn_limit_bytes": 8_000_000_000,
            "measured_at": None,
        },
        "switches": {"imap": True, "pop3": False, "submission": True, "receive": True},
        "last_login": {"imap": None, "pop3": None},
        "retention": {"policy": "imap", "window_days": 30, "has_tripwire": True},
        "holds_count": 0,
        "recoverable": {"message_count": 0, "bytes": 0},
        "pending_changes": [],
        "created_at": "",
        "closing_since": None,
        "erase_after": None,
    }


def test_the_same_order_again_makes_nothing_again(cast, rita):
    first = rita.post("/mailboxes", order_of(cast), idempotency_key="a-1")
    second = rita.post("/mailboxes", order_of(cast), idempotency_key="a-1")

    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert Mailbox.objects.count() == 1


def test_another_order_under_the_same_key_is_refused(cast, rita):
    rita.post("/mailboxes", order_of(cast), idempotency_key="a-1")

    other = rita.post("/mailboxes", order_of(cast, local_part="desk"), idempotency_key="a-1")

    assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")


def test_a_refusal_is_kept_as_well(cast, rita):
    make_mailbox(cast.domain, "info")
    first = rita.post("/mailboxes", order_of(cast), idempotency_key="a-1")
    Mailbox.objects.update(state="closed")

    second = rita.post("/mailboxes", order_of(cast), idempotency_key="a-1")

    assert (first.status_code, first.json()["code"]) == (409, "address-taken")
    assert (second.status_code, second.content) == (409, first.content)


def test_pages_lead_through_all_mailboxes_once(cast, rita):
    made = [make_mailbox(cast.domain, f"m{number}") for number in range(5)]
    make_mailbox(cast.other_domain, "stranger")

    found, cursor = [], ""
    while cursor is not None:
        answer = rita.get(f"/mailboxes?limit=2&sort=-address{cursor and '&cursor=' + cursor}")
        page = answer.json()
        found += [each["address"] for each in page["items"]]
        cursor = page["next_cursor"]

    assert found == sorted((m.address for m in made), reverse=True)


def test_a_list_costs_the_same_statements_whatever_its_length(cast, rita):
    for number in range(30):
        mailbox = make_mailbox(cast.domain, f"m{number}")
        Usage.objects.create(username=mailbox.address, bytes=number)
    rita.get("/mailboxes?limit=1")

    for limit in (1, 30):
        with ExitStack() as stack:
            counts = [
                stack.enter_context(CaptureQueriesContext(connections[alias]))
                for alias in connections
            ]
            rita.get(f"/mailboxes?limit={limit}")
        assert sum(len(count) for count in counts) == 6


def test_a_change_names_the_version_it_is_meant_for(cast, rita):
    mailbox = make_mailbox(cast.domain)
    read = rita.get(path_of(mailbox))

    changed = rita.patch(path_of(mailbox), {"label": "Desk"}, if_match=read.headers["ETag"])
    stale = rita.patch(path_of(mailbox), {"label": "Late"}, if_match=read.headers["ETag"])

    assert (changed.status_code, changed.json()["label"]) == (200, "Desk")
    assert (stale.status_code, stale.json()["code"]) == (412, "stale-version")
    assert stale.headers["ETag"] == changed.headers["ETag"]


def test_null_clears_what_can_be_empty(cast, rita):
    words = {"label": "Desk", "external_ref": "r1", "labels": {"shop": "7"}}
    made = rita.post("/mailboxes", order_of(cast, **words)).json()
    path = f"/mailboxes/{made['id']}"

    cleared = rita.patch(path, dict.fromkeys(words)).json()
    refused = rita.patch(path, {"quota_bytes": None})

    assert {name: cleared[name] for name in words} == {
        "label": "",
        "external_ref": "",
        "labels": {},
    }
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/quota_bytes")


def test_labels_are_merged_and_taken_away_by_null(cast, rita):
    made = rita.post("/mailboxes", order_of(cast, labels={"shop": "7", "till": "2"})).json()

    merged = rita.patch(f"/mailboxes/{made['id']}", {"labels": {"till": None, "desk": "4"}})
    too_many = rita.patch(f"/mailboxes/{made['id']}", {"labels": {str(n): "x" for n in range(19)}})

    assert merged.json()["labels"] == {"shop": "7", "desk": "4"}
    assert (too_many.status_code, too_many.json()["errors"][0]["pointer"]) == (422, "/labels")
    assert rita.get(f"/mailboxes/{made['id']}").json()["labels"] == {"shop": "7", "desk": "4"}


def test_a_strangers_mailbox_answers_like_an_absent_one(cast, charlie):
    foreign = charlie.get(path_of(make_mailbox(cast.domain)))
    absent = charlie.get(f"/mailboxes/{public_ids.encode('mbx', uuid4())}")

    assert (foreign.status_code, foreign.headers["Content-Type"]) == (
        404,
        "application/problem+json",
    )
    masked = foreign.content.replace(foreign.headers["Request-Id"].encode(), b"")
    assert masked == absent.content.replace(absent.headers["Request-Id"].encode(), b"")


def test_a_key_without_the_scope_is_told_which_it_needs(cast):
    caller = Caller(make_key(cast.reseller, "domains:read").secret)

    answer = caller.get("/mailboxes")

    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")
    assert answer.json()["scope"] == "mailboxes:read"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?page=2", "unknown-parameter"),
        ("?limit=0", "invalid-parameter"),
        ("?limit=1&limit=2", "invalid-parameter"),
        ("?sort=quota", "invalid-parameter"),
        ("?sort=", "invalid-parameter"),
        ("?sort=-", "invalid-parameter"),
        ("?state=closed", "invalid-parameter"),
        ("?organisation_id=mbx_1", "invalid-parameter"),
        ("?cursor=abc", "invalid-cursor"),
        ("?fields=password_hash", "invalid-parameter"),
    ],
)
def test_a_parameter_that_cannot_be_taken_is_never_ignored(query, code, rita):
    answer = rita.get(f"/mailboxes{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"colour": "red"}, "/colour", "unknown"),
        ({"local_part": 7}, "/local_part", "invalid"),
        ({"quota_bytes": "1"}, "/quota_bytes", "invalid"),
        ({"quota_bytes": True}, "/quota_bytes", "invalid"),
        ({"quota_bytes": -1}, "/quota_bytes", "min_value"),
        ({"quota_bytes": 0}, "/quota_bytes", "invalid"),
        ({"domain_id": "dom_1"}, "/domain_id", "invalid"),
        ({"plan": "gold"}, "/plan", "invalid"),
        ({"labels": {"a": 1}}, "/labels", "invalid"),
        ({"labels": {"a": "x\x1b[2J"}}, "/labels", "invalid"),
        ({"labels": {"a\nb": "x"}}, "/labels", "invalid"),
        ({"labels": {"a": "x\n"}}, "/labels", "invalid"),
        ({"labels": {"a": "\u202eexe"}}, "/labels", "invalid"),
        ({"local_part": "a b"}, "/local_part", "characters"),
    ],
)
def test_a_value_that_cannot_be_taken_is_pointed_at(changes, pointer, code, cast, rita):
    answer = rita.post("/mailboxes", order_of(cast, **changes))

    assert answer.status_code == 422
    assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [(pointer, code)]
    assert not Mailbox.objects.exists()


def test_what_an_id_names_is_put_beside_it(cast, rita):
    mailbox = make_mailbox(cast.domain)

    (listed,) = rita.get("/mailboxes?expand=organisation,domain&fields=id").json()["items"]
    one = rita.get(f"{path_of(mailbox)}?expand=domain").json()

    assert listed["organisation"]["name"] == "Alder"
    assert listed["domain"] == one["domain"]
    assert one["domain"]["name"] == "alder.test"
    assert set(listed) == {"id", "organisation", "domain"}


def test_expanding_costs_the_same_whatever_the_length(cast, rita, django_assert_num_queries):
    for number in range(20):
        make_mailbox(cast.domain, f"m{number}")
    path = "/mailboxes?expand=organisation,domain&limit="
    rita.get(f"{path}1")

    with django_assert_num_queries(8):
        rita.get(f"{path}1")
    with django_assert_num_queries(8):
        rita.get(f"{path}20")


def test_only_what_is_listed_can_be_put_beside(cast, rita):
    answer = rita.get("/mailboxes?expand=password_hash")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-parameter")


def test_expanding_needs_the_scope_of_what_is_put_beside(cast):
    make_mailbox(cast.domain)
    caller = Caller(make_key(cast.customer, "mailboxes:read").secret)

    answer = caller.get("/mailboxes?expand=organisation")

    assert (answer.status_code, answer.json()["scope"]) == (403, "organisations:read")


def test_a_limit_that_somebody_else_changed_is_another_version(cast, rita):
    path = f"/mailboxes/{public_ids.encode('mbx', make_mailbox(cast.domain).uuid)}"
    tag = rita.get(path)["ETag"]

    first = rita.patch(path, {"quota_bytes": 2_000_000}, if_match=tag)
    second = rita.patch(path, {"quota_bytes": 1_000_000}, if_match=tag)

    assert (first.status_code, second.status_code) == (200, 412)
    assert first["ETag"] == rita.get(path)["ETag"] != tag
    assert rita.get(path).json()["quota"]["hard_limit_bytes"] == 2_000_000


def test_mail_that_comes_makes_no_other_version(cast, rita):
    mailbox = make_mailbox(cast.domain)
    path = f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}"
    tag = rita.get(path)["ETag"]

    Usage.objects.create(username=mailbox.address, bytes=70, messages=1, since=1_700_000_000)

    assert rita.get(path).json()["quota"]["used_bytes"] == 70
    assert rita.get(path)["ETag"] == tag
