"""Purge runs through the API: the plan, the receipt, and the end before it begins."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from hosting import public_ids
from mailstore import purging, receipts
from mailstore.models import PurgeRun
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


@pytest.fixture
def run(twin, mailbox):
    box = twin.accounts[mailbox.address].folders["Junk"]
    for number in range(2):
        box.append(f"Message-ID: <{number}@x.test>\r\n\r\nx\r\n".encode())
        old = timezone.now() - timedelta(days=40)
        object.__setattr__(box.kept[-1], "saved_at", old)
    return purging.plan_retention(mailbox=mailbox, engine=twin, at=timezone.now())


@pytest.fixture
def path(run):
    return f"/purge-runs/{public_ids.encode('prg', run.uuid)}"


def test_a_planned_run_shows_its_plan_and_the_rules(rita, run, mailbox, path):
    found = rita.get(path).json()

    assert found | {"planned_at": "", "rules": []} == {
        "object": "purge_run",
        "id": public_ids.encode("prg", run.uuid),
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "kind": "retention",
        "state": "planned",
        "policy_version": run.policy_version,
        "planned_by": "retention",
        "planned_at": "",
        "finished_at": None,
        "progress": {
            "done_message_count": 0,
            "done_bytes": 0,
            "planned_message_count": 2,
            "planned_bytes": run.planned_bytes,
        },
        "plan": [
            {
                "folder": "Junk",
                "is_in_store": False,
                "message_count": 2,
                "bytes": run.planned_bytes,
            }
        ],
        "rules": [],
    }
    assert {"\\Junk", "\\Trash"} <= {rule["folder"] for rule in found["rules"]}


def test_a_receipt_is_what_went(rita, twin, run, path):
    before = rita.get(f"{path}/receipt").json()
    purging.work_off(run=run, engine=twin, now=timezone.now)
    after = rita.get(f"{path}/receipt").json()

    [written] = receipts.of(run)
    assert (before["state"], before["folders"]) == ("planned", [])
    assert (after["state"], after["message_count"]) == ("done", 2)
    assert after["folders"] == [
        {
            "folder": "Junk",
            "is_in_store": False,
            "message_count": 2,
            "bytes": written.bytes,
            "uidvalidity": written.uidvalidity,
            "uids": "1:2",
            "digest": written.digest,
        }
    ]
    assert rita.get(f"{path}/receipt").json() == after


def test_a_run_is_cancelled_until_it_began(rita, twin, run, path):
    done = rita.post(f"{path}/cancel")
    again = rita.post(f"{path}/cancel")

    assert (done.status_code, done.json()["state"]) == (200, "cancelled")
    assert (again.status_code, again.json()["code"]) == (409, "wrong-state")
    assert purging.work_off(run=run, engine=twin, now=timezone.now) is False


def test_a_run_that_is_over_is_not_cancelled(rita, twin, run, path):
    purging.work_off(run=run, engine=twin, now=timezone.now)

    assert rita.post(f"{path}/cancel").json()["code"] == "wrong-state"


def test_the_receipt_of_a_closed_mailbox_is_not_cancelled(rita, mailbox):
    run = PurgeRun.objects.create(
        mailbox=mailbox, kind="closing", planned_at=AT, planned_by="closing"
    )

    answer = rita.post(f"/purge-runs/{public_ids.encode('prg', run.uuid)}/cancel")

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")
    run.refresh_from_db()
    assert run.state == "planned"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 2),
        ("?kind=retention", 1),
        ("?state=done", 1),
        ("?state=running", 0),
        ("?domain_id={domain}", 2),
        ("?organisation_id={reseller}", 0),
    ],
)
def test_runs_are_listed_by_what_they_are(query, count, cast, rita, run):
    PurgeRun.objects.create(
        mailbox=run.mailbox, kind="store", state="done", planned_at=AT, planned_by="x"
    )
    ids = {
        "domain": public_ids.encode("dom", cast.domain.uuid),
        "reseller": public_ids.encode("org", cast.reseller.uuid),
    }

    assert len(rita.get(f"/purge-runs{query.format(**ids)}").json()["items"]) == count


def test_a_strangers_run_answers_like_an_absent_one(charlie, rita, path):
    for answer in (
        charlie.get(path),
        charlie.get(f"{path}/receipt"),
        charlie.post(f"{path}/cancel"),
        rita.get(f"/purge-runs/prg_{uuid4().hex}"),
    ):
        assert answer.status_code == 404
    assert charlie.get("/purge-runs").json()["items"] == []


def test_reading_runs_does_not_cancel_them(cast, path):
    reader = Caller(make_key(cast.reseller, "purge:read", "retention:write").secret)

    answer = reader.post(f"{path}/cancel")

    assert (answer.status_code, answer.json()["scope"]) == (403, "purge:cancel")


def test_a_list_of_runs_costs_the_same_whatever_its_length(cast, rita, django_assert_num_queries):
    for number in range(3):
        other = make_mailbox(cast.domain, f"m{number}")
        PurgeRun.objects.create(mailbox=other, kind="store", planned_at=AT, planned_by="x")
    rita.get("/purge-runs")

    for limit in (1, 3):
        with django_assert_num_queries(2):
            rita.get(f"/purge-runs?limit={limit}")
