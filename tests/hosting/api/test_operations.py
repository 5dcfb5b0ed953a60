"""Long work and what waits, seen in one way."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pytest
from django.conf import settings
from django.utils import timezone

from hosting import feed, public_ids, test_clock
from hosting.api import operations
from hosting.models import ClockAdvance
from mailstore import cooling, recovery
from mailstore.models import Mailbox, PendingChange, RestoreRun, WorkState
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.billing_rows import ACTOR
from tests.hosting.simulated import make_test_customer

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    return mailbox


def restore_of(mailbox, *, at=AT, **columns):
    planned = {"planned_at": at, "planned_by": "x", "planned_messages": 7}
    return RestoreRun.objects.create(mailbox=mailbox, **planned, **columns)


def closing_of(mailbox, *, at=AT):
    return cooling.ask_to_close(
        actor=ACTOR, mailbox=mailbox, grace=settings.CLOSING_GRACE, wait=timedelta(days=3), at=at
    )


def advance_of(organisation):
    return test_clock.advance(actor=ACTOR, organisation=organisation, seconds=60, at=AT)


def id_of(row):
    return public_ids.encode("opn", row.uuid)


def told(actor):
    documents = feed.read(actor=actor).documents
    return [each["data"] for each in documents if each["type"] == "operation.finished"]


def test_a_restore_names_its_operation_and_is_read_with_the_scope_of_restores(cast, mailbox):
    run = restore_of(mailbox, messages=2)
    caller = Caller(make_key(cast.reseller, "recovery:read").secret)
    shown = caller.get(f"/restore-runs/{public_ids.encode('rst', run.uuid)}").json()

    found = caller.get(f"/operations/{shown['operation_id']}").json()

    assert (found["kind"], found["state"], found["unit"]) == (
        "restore_messages",
        "running",
        "messages",
    )
    assert (found["done_count"], found["total_count"]) == (2, 7)
    assert found["organisation_id"] == public_ids.encode("org", cast.customer.uuid)
    assert found["result_path"] == f"/api/v1/restore-runs/{shown['id']}"


def test_each_kind_needs_the_scope_by_which_its_result_is_read(cast, mailbox):
    run, change = restore_of(mailbox), closing_of(mailbox)
    keys = {
        scope: Caller(make_key(cast.reseller, scope).secret)
        for scope in ("recovery:read", "mailboxes:read", "organisations:read")
    }

    answers = {
        (scope, row): caller.get(f"/operations/{id_of(row)}")
        for scope, caller in keys.items()
        for row in (run, change)
    }

    assert {scope for (scope, row), each in answers.items() if each.status_code == 200} == {
        "recovery:read",
        "mailboxes:read",
    }
    refused = answers["mailboxes:read", run]
    assert (refused.status_code, refused.json()["scope"]) == (403, "recovery:read")
    assert [each["id"] for each in keys["recovery:read"].get("/operations").json()["items"]] == [
        id_of(run)
    ]
    assert keys["organisations:read"].get("/operations").json()["items"] == []


def test_a_deletion_is_an_operation_that_waits_and_ends(cast, rita, alice, mailbox, twin):
    path = f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}"
    asked = rita.delete(path, if_match="*").json()
    where = f"/operations/{asked['operation_id']}"
    before = alice.get(where).json()

    cooling.make_due(engine=twin, at=timezone.now() + timedelta(days=30))

    after = alice.get(where).json()
    assert (before["kind"], before["state"], before["done_count"]) == (
        "close_mailbox",
        "waiting",
        0,
    )
    assert (after["state"], after["done_count"], after["total_count"]) == ("done", 1, 1)
    assert after["finished_at"] is not None
    assert after["result_path"] == f"/api/v1/pending-changes/{asked['id']}"
    assert told(cast.actor(cast.rita)) == [
        {
            "object": "operation",
            "id": asked["operation_id"],
            "kind": "close_mailbox",
            "state": "done",
        }
    ]


def test_what_is_called_off_and_what_cannot_be_made_have_ended_too(cast, mailbox, twin):
    other = make_mailbox(cast.domain, "other")
    called_off, failing = closing_of(mailbox), closing_of(other)
    cooling.call_off(actor=ACTOR, change=called_off, at=AT)
    Mailbox.objects.filter(pk=other.pk).update(state=Mailbox.State.CLOSED)

    cooling.make_due(engine=twin, at=AT + timedelta(days=30))

    failing.refresh_from_db()
    assert failing.state == PendingChange.State.FAILED
    assert [(each["id"], each["state"]) for each in told(cast.actor(cast.rita))] == [
        (id_of(called_off), "cancelled"),
        (id_of(failing), "failed"),
    ]
    assert operations.of_change(failing)["problems"] != []


def test_the_end_of_a_restore_and_of_a_clock_is_told(cast, mailbox, twin):
    account = twin.accounts[mailbox.address]
    kept = account.folders["INBOX"].append(b"Subject: x\r\n\r\nx\r\n")
    twin.remove(user=mailbox.address, folder="INBOX", uids=[kept.uid])
    stored = account.store["INBOX"].kept[-1]
    run = recovery.restore(
        actor=cast.actor(cast.alice),
        mailbox=mailbox,
        engine=twin,
        chosen=[("INBOX", stored.uid)],
        at=timezone.now(),
    )
    trial = make_test_customer(cast.reseller)
    asked = advance_of(trial)

    assert recovery.work_off(run=run, engine=twin, now=timezone.now)
    assert test_clock.run(advance_id=asked.pk, engine=twin, now=timezone.now)

    assert told(cast.actor(cast.rita)) == [
        {
            "object": "operation",
            "id": id_of(run),
            "kind": "restore_messages",
            "state": "done",
        },
        {
            "object": "operation",
            "id": id_of(asked),
            "kind": "advance_test_clock",
            "state": "done",
            "problem_count": 0,
        },
    ]


def test_all_kinds_stand_in_one_list_by_when_they_were_asked_for(cast, mailbox):
    others = [make_mailbox(cast.domain, f"m{number}") for number in range(3)]
    rows = [
        restore_of(mailbox, at=AT),
        closing_of(others[0], at=AT + timedelta(hours=1)),
        restore_of(others[1], at=AT + timedelta(hours=2)),
        closing_of(others[2], at=AT + timedelta(hours=2)),
    ]
    caller = Caller(make_key(cast.reseller).secret)
    found, cursor = [], ""

    while cursor is not None:
        page = caller.get(f"/operations?limit=1{cursor and '&cursor=' + cursor}").json()
        found += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]

    latest = sorted(rows[2:], key=lambda row: row.uuid, reverse=True)
    assert found == [id_of(row) for row in (*latest, rows[1], rows[0])]


def test_the_list_is_narrowed_by_kind_state_and_organisation(cast, rita, mailbox):
    restore_of(mailbox, state=WorkState.DONE, finished_at=AT)
    change = closing_of(mailbox)

    def ids(query):
        return [each["id"] for each in rita.get(f"/operations?{query}").json()["items"]]

    assert ids("kind=close_mailbox") == ids("state=waiting") == [id_of(change)]
    assert ids("kind=advance_test_clock") == ids("state=failed") == []
    assert len(ids(f"organisation_id={public_ids.encode('org', cast.customer.uuid)}")) == 2
    assert ids(f"organisation_id={public_ids.encode('org', cast.reseller.uuid)}") == []
    cursor = rita.get("/operations?limit=1").json()["next_cursor"]
    assert rita.get(f"/operations?state=done&cursor={cursor}").status_code == 400


@pytest.mark.parametrize("query", ["kind=x", "state=x", "organisation_id=1", "cursor=x", "limit=0"])
def test_what_makes_no_sense_is_refused(query, rita):
    assert rita.get(f"/operations?{query}").status_code == 400


def test_a_test_clock_is_seen_by_test_keys_alone(cast, rita):
    trial = make_test_customer(cast.reseller)
    asked = advance_of(trial)
    tester = Caller(make_key(cast.reseller, is_test=True).secret)

    assert [each["id"] for each in tester.get("/operations").json()["items"]] == [id_of(asked)]
    assert rita.get("/operations").json()["items"] == []
    assert ClockAdvance.objects.get() == asked


def test_nothing_of_strangers_stands_in_the_list(cast, charlie, mailbox):
    restore_of(mailbox)
    closing_of(mailbox)

    assert charlie.get("/operations").json()["items"] == []


def test_the_list_costs_the_same_whatever_its_length(
    cast, rita, mailbox, django_assert_num_queries
):
    rita.get("/operations")
    for number in range(2):
        other = make_mailbox(cast.domain, f"m{number}")
        restore_of(other)
        closing_of(other)
        with django_assert_num_queries(7):
            assert len(rita.get("/operations").json()["items"]) == 2 * number + 2


def test_every_change_that_can_wait_is_an_operation_of_a_kind():
    assert set(feed.OPERATIONS) == set(PendingChange.Kind.values)
    assert set(operations.KINDS) == set(get_args(operations.OperationKind))
    assert {"waiting", *feed.ENDS} == set(PendingChange.State.values)
