"""What ids name, put beside them on every list that has such ids."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mailstore import cooling, holding
from mailstore.models import PurgeRun, RestoreRun
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.billing_rows import ACTOR

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

PLANNED = {"planned_at": AT, "planned_by": "x"}


@pytest.fixture
def mailbox(cast):
    mailbox = make_mailbox(cast.domain)
    holding.place(actor=ACTOR, by=cast.sam, scope=cast.customer, matter="x", reason="x", at=AT)
    PurgeRun.objects.create(mailbox=mailbox, kind="store", **PLANNED)
    RestoreRun.objects.create(mailbox=mailbox, **PLANNED)
    return mailbox


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/domains", {"organisation"}),
        ("/restore-runs", {"mailbox"}),
        ("/purge-runs", {"mailbox"}),
        ("/holds", {"organisation", "domain", "mailbox"}),
    ],
)
def test_what_an_id_names_stands_beside_it(path, names, rita, mailbox):
    [bare] = rita.get(path).json()["items"]
    [whole] = rita.get(f"{path}?expand={','.join(sorted(names))}").json()["items"]

    assert set(whole) - set(bare) == names
    for name in names:
        beside = whole[name] or {"id": None}
        assert beside["id"] == whole[f"{name}_id"]
    assert any(whole[name] for name in names)


def test_a_change_that_waits_shows_its_mailbox_and_costs_the_same_for_many(
    cast, rita, django_assert_num_queries
):
    path = "/pending-changes?expand=organisation,domain,mailbox"
    rita.get(path)
    for number in range(3):
        mailbox = make_mailbox(cast.domain, f"m{number}")
        cooling.ask_to_empty_store(actor=ACTOR, mailbox=mailbox, until=AT, wait=timedelta(1), at=AT)
        with django_assert_num_queries(7):
            items = rita.get(path).json()["items"]

    assert [each["mailbox"]["address"] for each in items] == [
        f"m{number}@alder.test" for number in range(3)
    ]


def test_each_needs_the_scope_of_its_own_route(cast, mailbox):
    caller = Caller(make_key(cast.reseller, "recovery:read").secret)

    answer = caller.get("/restore-runs?expand=mailbox")

    assert (answer.status_code, answer.json()["scope"]) == (403, "mailboxes:read")


def test_what_stands_beside_nothing_is_refused_with_what_does(rita):
    answer = rita.get("/domains?expand=mailbox")

    assert (answer.status_code, answer.json()["detail"]) == (400, "Choose among: organisation.")


def test_what_is_asked_for_twice_is_not_read_twice(rita):
    answer = rita.get(f"/mailboxes?expand={','.join(['domain'] * 50)}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-parameter")
