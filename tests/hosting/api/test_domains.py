"""Domains through the API."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.access import system
from accounts.models import Event
from hosting import public_ids
from mailstore import domains
from mailstore.models import Domain, DomainDns
from tests.factories import AT, make_domain, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.mailstore.dns_rows import (
    DAY,
    HERE,
    HOUR,
    MINUTE,
    MX,
    confirmed,
    found,
    house_in_dns,
    look,
    look_until,
)

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
        "dns": None,
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


# Where its mail goes --------------------------------------------------------------------


@pytest.fixture
def dns(settings):
    with house_in_dns(settings) as dns:
        yield dns


def test_a_document_tells_where_mail_goes(cast, rita, dns):
    domain = confirmed("books.example", cast.customer)
    before = rita.get(path_of(domain)).json()["dns"]
    dns.records["books.example", "MX"] = [HERE]
    look(AT)
    well = rita.get(path_of(domain))
    dns.records["books.example", "MX"] = ["10 <b>mx</b>.other.example."]
    look(AT + DAY)
    missing = rita.get(path_of(domain)).json()["dns"]
    look_until(AT + DAY + HOUR, since=AT + DAY + 20 * MINUTE)
    failing = rita.get(path_of(domain))

    unknown = {
        "state": "unknown",
        "problem": None,
        "mx_hosts": [MX],
        "mx_seen": "",
        "checked_at": None,
        "failing_since": None,
        "cohosted_since": None,
    }
    seen = {"problem": "elsewhere", "mx_seen": "10 <b>mx</b>.other.example"}
    assert before == unknown
    assert well.json()["dns"] == unknown | {
        "state": "ok",
        "mx_seen": f"10 {MX}",
        "checked_at": "2026-11-02T09:30:00Z",
    }
    assert missing == unknown | seen | {"state": "not_here", "checked_at": "2026-11-03T09:30:00Z"}
    assert failing.json()["dns"] == unknown | seen | {
        "state": "failing",
        "checked_at": "2026-11-03T10:30:00Z",
        "failing_since": "2026-11-03T09:30:00Z",
    }
    # It changes by itself, so nobody's change is refused for it.
    assert failing.headers["ETag"] == well.headers["ETag"]


def test_a_domain_that_is_not_looked_at_tells_nothing_of_its_dns(cast, rita, dns, settings):
    domain = confirmed("books.example", cast.customer)

    assert rita.get(path_of(cast.domain)).json()["dns"] is None
    settings.MX_HOSTS = []
    assert rita.get(path_of(domain)).json()["dns"] is None


def test_to_verify_a_confirmed_domain_has_its_dns_looked_at_again(cast, rita, dns):
    domain = confirmed("books.example", cast.customer)
    look(timezone.now())

    answer = rita.post(f"{path_of(domain)}/verify")

    assert answer.status_code == 200
    assert found(domain).due_at > timezone.now()
    DomainDns.objects.update(checked_at=timezone.now() - HOUR)
    rita.post(f"{path_of(domain)}/verify")
    assert found(domain).due_at <= timezone.now()


def test_programs_hear_what_fails_without_what_strangers_wrote(cast, rita, dns):
    domain = confirmed("books.example", cast.customer)
    dns.records["books.example", "MX"] = [HERE]
    dns.records["www.books.example", "A"] = ["192.0.2.25"]
    look(AT)
    look(AT + DAY)
    dns.records["books.example", "MX"] = ["10 mx.other.example."]
    look_until(AT + 2 * DAY + HOUR, since=AT + 2 * DAY)
    dns.records["books.example", "MX"] = [HERE]
    look(AT + 4 * DAY)
    caller = Caller(make_key(cast.reseller, "events:read").secret)

    told = caller.get("/events?after_seq=0&limit=200").json()["items"]

    of_dns = [each for each in told if each["type"].startswith(("domain.dns", "domain.cohosted"))]
    about = {"object": "domain", "id": public_ids.encode("dom", domain.uuid)}
    assert [(each["type"], each["data"]) for each in of_dns] == [
        ("domain.cohosted", about),
        ("domain.dns_failing", about | {"problem": "elsewhere"}),
        ("domain.dns_recovered", about),
    ]
