"""Domains through the API."""

from __future__ import annotations

from uuid import uuid4

import pytest

from accounts.access import system
from accounts.models import Event
from hosting import public_ids
from mailstore import domains
from mailstore.models import Domain
from tests.factories import AT, make_domain, make_mailbox
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases="__all__")


def body(cast, **changes):
    return {
        "organisation_id": public_ids.encode("org", cast.customer.uuid),
        "name": "büro.example",
        **changes,
    }


def path_of(domain):
    return f"/domains/{public_ids.encode('dom', domain.uuid)}"


def test_a_domain_is_taken_on_and_read_back(cast, rita):
    made = rita.post("/domains", body(cast))
    read = rita.get(made.headers["Location"].removeprefix("/api/v1"))

    assert (made.status_code, read.json()) == (201, made.json())
    assert made.json() | {"what_to_do": "", "created_at": ""} == {
        "object": "domain",
        "id": public_ids.encode("dom", Domain.objects.get(name="xn--bro-hoa.example").uuid),
        "organisation_id": public_ids.encode("org", cast.customer.uuid),
        "name": "xn--bro-hoa.example",
        "shown_name": "büro.example",
        "state": "waiting",
        "what_to_do": "",
        "mailbox_count": 0,
        "created_at": "",
    }
    assert "domain.verified" in made.json()["what_to_do"]


def test_a_check_is_asked_for_once_staff_are_needed(cast, rita):
    waiting = domains.add(
        actor=system("tests"), organisation=cast.customer, name="books.example", at=AT
    )

    asked = rita.post(f"{path_of(waiting)}/verify")
    domains.confirm(actor=system("tests"), domain=waiting, at=AT)
    again = rita.post(f"{path_of(waiting)}/verify")

    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    assert (again.status_code, again.json()["state"]) == (200, "confirmed")
    assert again.json()["what_to_do"] is None
    assert Event.objects.filter(kind="domain.check_asked").count() == 1


def test_domains_are_listed_by_name_and_organisation(cast, rita, charlie):
    make_domain("books.test", cast.customer)
    make_mailbox(cast.domain)
    owner = public_ids.encode("org", cast.customer.uuid)

    found = rita.get(f"/domains?sort=-name&organisation_id={owner}").json()["items"]

    assert [(d["name"], d["mailbox_count"]) for d in found] == [
        ("books.test", 0),
        ("alder.test", 1),
    ]
    assert [d["name"] for d in charlie.get("/domains").json()["items"]] == ["juniper.test"]
    assert [d["name"] for d in rita.get("/domains?name=BOOKS.test").json()["items"]] == [
        "books.test"
    ]


def test_a_list_of_domains_costs_the_same_whatever_its_length(
    cast, rita, django_assert_num_queries
):
    for number in range(3):
        make_domain(f"d{number}.test", cast.customer)
    rita.get("/domains?limit=1")

    for limit in (1, 3):
        with django_assert_num_queries(3):
            rita.get(f"/domains?limit={limit}")


def test_a_strangers_domain_answers_like_an_absent_one(cast, charlie):
    foreign = charlie.get(path_of(cast.domain))
    absent = charlie.get(f"/domains/{public_ids.encode('dom', uuid4())}")
    asked = charlie.post(f"{path_of(cast.domain)}/verify")

    assert (foreign.status_code, asked.status_code) == (404, 404)
    masked = foreign.content.replace(foreign.headers["Request-Id"].encode(), b"")
    assert masked == absent.content.replace(absent.headers["Request-Id"].encode(), b"")


@pytest.mark.parametrize(
    ("changes", "status", "code", "pointer"),
    [
        ({"name": "alder.test"}, 409, "domain-taken", None),
        ({"name": "no domain"}, 422, "validation-failed", "/name"),
        ({"name": 7}, 422, "validation-failed", "/name"),
        ({"organisation_id": f"org_{uuid4().hex}"}, 422, "validation-failed", "/organisation_id"),
    ],
)
def test_a_domain_that_cannot_be_taken_on_is_refused(  # noqa: PLR0917
    changes, status, code, pointer, cast, rita
):
    answer = rita.post("/domains", body(cast, **changes))

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert [e["pointer"] for e in answer.json().get("errors", ())] == [pointer] * bool(pointer)
    assert Domain.objects.count() == 2


def test_a_stranger_takes_on_no_domain_for_others(cast, charlie):
    answer = charlie.post("/domains", body(cast))

    assert [e["pointer"] for e in answer.json()["errors"]] == ["/organisation_id"]


@pytest.mark.parametrize("method", ["get", "post"])
def test_domains_need_their_scopes(method, cast):
    caller = Caller(make_key(cast.reseller, "mailboxes:read").secret)

    answer = getattr(caller, method)("/domains")

    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")
