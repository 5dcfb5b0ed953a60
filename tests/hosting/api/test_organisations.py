"""A reseller's customers through the API."""

from __future__ import annotations

import pytest

from accounts.models import Notice, Organisation
from hosting import public_ids
from tests.factories import make_mailbox
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def path_of(organisation):
    return f"/organisations/{public_ids.encode('org', organisation.uuid)}"


def test_a_customer_is_opened_with_limits_and_its_owner_is_invited(cast, rita):
    made = rita.post(
        "/organisations",
        {
            "name": "Birch",
            "external_ref": "c-7",
            "owner_email": "owner@birch.test",
            "limits": {"mailbox_count": 5, "stored_bytes": 10**9, "spend_cap_minor": 2000},
        },
        idempotency_key="c-7",
    )

    assert made.status_code == 201
    shown = rita.get(made.headers["Location"].removeprefix("/api/v1"))
    assert shown.json() == made.json()
    assert shown.headers["ETag"] == made.headers["ETag"]
    assert made.json()["limits"] == {
        "mailbox_count": 5,
        "domain_count": None,
        "stored_bytes": 10**9,
        "spend_cap_minor": 2000,
        "own_spend_cap_minor": None,
    }
    assert made.json()["parent_id"] == public_ids.encode("org", cast.reseller.uuid)
    assert Notice.objects.filter(to="owner@birch.test").exists()


def test_a_test_key_opens_customers_for_testing_and_sees_no_other(cast):
    caller = Caller(make_key(cast.reseller, is_test=True).secret)

    made = caller.post("/organisations", {"name": "Trial"}).json()

    assert made["mode"] == "test"
    assert [each["name"] for each in caller.get("/organisations").json()["items"]] == ["Trial"]
    assert caller.get(path_of(cast.customer)).status_code == 404


def test_a_live_key_sees_no_customer_for_testing(cast, rita):
    Organisation.objects.create(kind="customer", name="Trial", parent=cast.reseller, is_test=True)

    assert [each["name"] for each in rita.get("/organisations").json()["items"]] == [
        "Rowan",
        "Alder",
    ]


def test_what_is_left_out_of_a_change_stays(cast, rita):
    path = path_of(cast.customer)
    first = {"limits": {"mailbox_count": 5, "domain_count": 2}}
    limited = rita.patch(path, first, if_match=rita.get(path).headers["ETag"])

    second = {"name": "Alders", "limits": {"domain_count": None}}
    changed = rita.patch(path, second, if_match=limited.headers["ETag"]).json()

    assert changed["name"] == "Alders"
    assert (changed["limits"]["mailbox_count"], changed["limits"]["domain_count"]) == (5, None)


def test_a_program_says_what_new_mailboxes_begin_with(cast, rita, alice):
    made = rita.post("/organisations", {"name": "Birch", "app_passwords_only": True})
    path = path_of(cast.customer)
    changed = rita.patch(path, {"app_passwords_only": True}, if_match="*")
    refused = rita.patch(path, {"app_passwords_only": None}, if_match="*")
    own = alice.patch(path, {"app_passwords_only": False}, if_match="*")

    assert [each.json()["app_passwords_only"] for each in (made, changed, own)] == [
        True,
        True,
        False,
    ]
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        "/app_passwords_only",
    )


def test_null_clears_the_reference_and_no_name(cast, rita):
    made = rita.post("/organisations", {"name": "A", "external_ref": "c-1"})
    path = f"/organisations/{made.json()['id']}"

    cleared = rita.patch(path, {"external_ref": None}, if_match=made.headers["ETag"])
    refused = rita.patch(path, {"name": None}, if_match="*")

    assert (cleared.status_code, cleared.json()["external_ref"]) == (200, "")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/name")


def test_a_customer_is_suspended_and_resumed(cast, rita):
    make_mailbox(cast.domain)

    off = rita.post(f"{path_of(cast.customer)}/suspend", {"reason": "Does not answer"}).json()
    (shut,) = rita.get("/mailboxes").json()["items"]
    on = rita.post(f"{path_of(cast.customer)}/resume", {"reason": "Answered"}).json()

    assert (off["state"], on["state"]) == ("suspended", "active")
    assert shut["switches"] == {"imap": False, "pop3": False, "submission": False, "receive": True}


def test_an_end_waits_and_can_be_asked_for_once(cast, rita):
    etag = rita.get(path_of(cast.customer)).headers["ETag"]
    unnamed = rita.delete(path_of(cast.customer))
    asked = rita.delete(path_of(cast.customer), if_match=etag)

    assert (unnamed.status_code, asked.status_code) == (428, 202)
    assert asked.json()["closes_at"] is not None
    assert asked.json()["state"] == "active"
    operation = rita.get(asked["Location"].removeprefix("/api/v1")).json()
    assert (operation["kind"], operation["state"]) == ("close_organisation", "waiting")


@pytest.mark.parametrize("path", ["", "/suspend", "/resume", "/keep"])
def test_a_customer_does_to_itself_nothing_that_its_seller_does(path, cast, alice):
    body = {"reason": "x"} if path in {"/suspend", "/resume"} else None
    answer = (
        alice.post(path_of(cast.customer) + path, body)
        if path
        else alice.patch(path_of(cast.customer), {"name": "Mine"}, if_match="*")
    )

    assert answer.status_code == 403


def test_a_customer_sees_itself_without_its_seller(cast, alice):
    (shown,) = alice.get("/organisations").json()["items"]

    assert (shown["name"], shown["parent_id"]) == ("Alder", None)


def test_a_list_costs_the_same_whatever_its_length(cast, rita, django_assert_num_queries):
    for number in range(20):
        Organisation.objects.create(kind="customer", name=f"C{number}", parent=cast.reseller)
    rita.get("/organisations")

    with django_assert_num_queries(3):
        rita.get("/organisations?limit=2")
    with django_assert_num_queries(3):
        rita.get("/organisations?limit=22")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": " "}, "/name"),
        ({"name": "A\u202eB"}, "/name"),
        ({"name": "A", "owner_email": "x"}, "/owner_email"),
        ({"name": "A", "limits": {"mailbox_count": -1}}, "/limits/mailbox_count"),
        ({"name": "A", "limits": {"mailbox_count": 1.5}}, "/limits/mailbox_count"),
        ({"name": "A", "limits": {"colour": 1}}, "/limits/colour"),
    ],
)
def test_a_customer_that_cannot_be_is_pointed_at(body, pointer, rita):
    answer = rita.post("/organisations", body)

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


def test_a_reference_names_one_customer(cast, rita):
    rita.post("/organisations", {"name": "A", "external_ref": "c-1"})

    again = rita.post("/organisations", {"name": "B", "external_ref": "c-1"})

    assert (again.status_code, again.json()["code"]) == (409, "already-exists")


def test_strangers_are_as_absent(cast, charlie):
    assert charlie.get(path_of(cast.customer)).status_code == 404
    assert charlie.patch(path_of(cast.customer), {"name": "X"}, if_match="*").status_code == 404
