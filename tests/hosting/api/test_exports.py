"""Files that programs ask for: written in the background, fetched for a week, then gone."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from accounts import keyring
from accounts.access import system
from accounts.models import ApiKey, Event, Organisation
from accounts.rate_limits import Policy
from accounts.tasks import chain_events
from hosting import exports, figures, invoicing, public_ids, tasks
from hosting.api import turns
from hosting.exports import asking, bill_lines, contents, keeping, writing
from hosting.models import Export, Invoice
from tests.factories import make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, OCTOBER, make_profile, sold

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

STAFF = system("tests")
MONTH = {"month": "2026-10"}


class Killed(BaseException):
    """What no worker survives."""


def code_of(answer):
    return answer.status_code, answer.json()["code"]


def asked(caller, kind, **more):
    answer = caller.post("/exports", {"kind": kind, **more})
    assert answer.status_code == 202, answer.content
    return answer.json()["result_path"].removeprefix("/api/v1")


def written(caller, kind, **more):
    path = asked(caller, kind, **more)
    assert tasks.write_exports() == 1
    assert caller.get(path).json()["state"] == "ready", caller.get(path).json()
    return path


def content(caller, path):
    answer = caller.get(f"{path}/content")
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def table(caller, kind, **more):
    text = content(caller, written(caller, kind, **more)).decode()
    return list(csv.DictReader(io.StringIO(text)))


def files():
    return sorted(path.name for path in keeping._folder().glob("*"))


@pytest.fixture
def bill(cast):
    for organisation in (cast.provider, cast.reseller):
        make_profile(organisation)
    sold(cast.domain, "billed", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    return Invoice.objects.get(customer=cast.customer)


# From asking to fetching ------------------------------------------------------------------


def test_file_is_asked_for_written_told_of_and_fetched(cast, alice):
    answer = alice.post("/exports", {"kind": "activity"})
    begun = answer.json()
    path = begun["result_path"].removeprefix("/api/v1")

    assert answer.headers["Location"].endswith(f"/operations/{begun['id']}")
    assert (begun["kind"], begun["state"], begun["unit"]) == ("write_export", "running", "lines")
    assert (begun["done_count"], begun["total_count"]) == (0, None)
    assert code_of(alice.get(f"{path}/content")) == (409, "wrong-state")
    assert alice.get(path).json()["content_path"] is None
    assert tasks.write_exports() == 1
    assert tasks.write_exports() == 0

    told = alice.get(path).json()
    whole = content(alice, path)
    assert told["content_path"] == f"/api/v1{path}/content"
    assert told["sha256"] == hashlib.sha256(whole).hexdigest()
    assert (told["size_bytes"], told["line_count"]) == (len(whole), whole.count(b"\n"))
    done = alice.get(f"/operations/{begun['id']}").json()
    assert (done["state"], done["done_count"]) == ("done", told["line_count"])
    [finished] = alice.get("/events?types=operation.finished").json()["items"]
    assert finished["data"] == {
        "object": "operation",
        "id": begun["id"],
        "kind": "write_export",
        "state": "done",
    }
    assert alice.get("/operations?kind=write_export").json()["items"] == [done]
    [event] = alice.get("/events?types=export.ready").json()["items"]
    assert event["data"] == {
        "object": "export",
        "id": told["id"],
        "state": "ready",
        "kind": "activity",
        "line_count": told["line_count"],
        "size_bytes": told["size_bytes"],
    }


def test_file_comes_as_what_it_is_whatever_the_caller_accepts(cast, alice):
    path = written(alice, "activity", format="jsonl")

    for accepted in ("*/*", "application/jsonl", "text/csv", "application/json"):
        answer = alice.get(f"{path}/content", accept=accepted)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/jsonl"
        assert (
            answer.headers["Content-Disposition"] == 'attachment; filename="activity-alder.jsonl"'
        )
        assert answer.headers["Cache-Control"] == "no-store"
        assert [
            json.loads(line)["type"]
            for line in b"".join(answer.streaming_content).split(b"\n")[:-1]
        ]
    assert answer.headers["Request-Id"]


def test_only_the_panel_reads_the_folder(cast, alice):
    written(alice, "activity")

    [name] = files()
    folder = keeping._folder()
    assert (folder.stat().st_mode & 0o777, (folder / name).stat().st_mode & 0o777) == (0o700, 0o600)


def test_same_request_again_asks_for_no_second_file(cast, alice):
    first, second = (
        alice.post("/exports", {"kind": "activity"}, idempotency_key="x") for _ in range(2)
    )

    assert first.json() == second.json()
    assert Export.objects.count() == 1


# What is in them --------------------------------------------------------------------------


def test_use_of_a_month_is_the_file_of_the_panel(cast, alice, bill):
    rows = table(alice, "usage", **MONTH)

    assert {row["mailbox"] for row in rows} == {"billed@alder.test"}
    assert {row["month"] for row in rows} == {"2026-10"}


def test_lines_of_invoices_add_up_to_the_bill(cast, alice, rita, bill):
    note = invoicing.credit(actor=ACTOR, invoice=bill, reason="x", at=CLOSED_AT)

    rows = table(alice, "invoice_lines", **MONTH)

    ours = [row for row in rows if row["number"] == bill.number]
    assert sum(round(float(row["net"]) * 100) for row in ours) == bill.net_minor
    assert {row["corrects"] for row in rows if row["number"] == note.number} == {bill.number}
    assert {row["customer"] for row in rows} == {"Alder"}
    # The seller finds what it issued beside what it got.
    sellers = table(rita, "invoice_lines", **MONTH)
    assert {row["customer"] for row in sellers} == {"Alder", "Rowan"}


def test_lines_of_invoices_cost_the_same_however_many_bills_there_are(
    cast, bill, django_assert_num_queries, monkeypatch
):
    invoicing.credit(actor=ACTOR, invoice=bill, reason="x", at=CLOSED_AT)
    asked_for = {"organisation": cast.reseller, "month": OCTOBER}
    rita = cast.actor(cast.rita)

    # The bills, their taxes, their lines, and that there are no more bills.
    with django_assert_num_queries(4):
        found = list(bill_lines.lines(actor=rita, **asked_for))
    monkeypatch.setattr(bill_lines, "_BILLS_AT_ONCE", 1)
    assert len({line.split(",")[0] for line in found}) == 4
    assert list(bill_lines.lines(actor=rita, **asked_for)) == found


def test_customers_come_with_amounts_where_these_were_asked_for(cast, rita, bill):
    Organisation.objects.create(kind="customer", name="=cmd()", parent=cast.reseller)
    Organisation.objects.create(kind="customer", name="Try", parent=cast.reseller, is_test=True)
    figures.refresh_due(at=timezone.now())

    plain = table(rita, "customers")
    whole = table(rita, "customers", with_amounts=True)

    # No cell is a formula, and what is there for testing is left out.
    assert [row["name"] for row in plain] == ["'=cmd()", "Alder"]
    assert ("pays" in plain[0], "pays" in whole[0]) == (False, True)
    trial = Caller(make_key(cast.reseller, is_test=True).secret)
    assert [row["name"] for row in table(trial, "customers")] == ["Try"]


def test_activity_is_of_the_days_that_were_asked_for(cast, alice):
    make_mailbox(cast.domain)
    day = Event.objects.get(kind="mailbox.created").at.date()

    there = table(alice, "activity", since=f"{day}", until=f"{day + timedelta(days=1)}")
    before = table(alice, "activity", since="2020-01-01", until=f"{day}")

    assert "mailbox.created" in {row["type"] for row in there}
    assert before == []


def test_activity_tells_of_the_mode_of_the_key_alone(cast, rita):
    """As the audit log does, which leaves out what a live organisation has for testing."""
    for is_test in (True, False):
        made = make_key(cast.reseller, is_test=is_test)
        keyring.revoke(actor=ACTOR, api_key=made.api_key, at=timezone.now())

    rows = table(rita, "activity")

    named = f"organisation_id={public_ids.encode('org', cast.reseller.uuid)}"
    items = rita.get(f"/audit-log?{named}&limit=200").json()["items"]
    told = [each["type"] for each in items if each["type"].startswith("api_key.")]
    assert told.count("api_key.revoked") == 1
    assert sorted(row["type"] for row in rows if row["type"] in told) == sorted(told)


def test_proof_has_a_head_and_every_event(cast, alice):
    chain_events()

    lines = content(alice, written(alice, "activity_proof")).decode().splitlines()

    told = [json.loads(line)["object"] for line in lines]
    assert (told[0], told[-1]) == ("activity_proof", "head")
    assert (
        told.count("event")
        == Event.objects.filter(organisation=cast.customer, own_place__isnull=False).count()
        > 0
    )


# Who may ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "scopes"),
    [
        ({"kind": "usage", **MONTH}, ["usage:read", "invoices:read"]),
        ({"kind": "invoice_lines", **MONTH}, ["invoices:read"]),
        ({"kind": "customers"}, ["organisations:read"]),
        ({"kind": "customers", "with_amounts": True}, ["organisations:read", "invoices:read"]),
        ({"kind": "activity"}, ["audit:read"]),
        ({"kind": "activity_proof"}, ["audit:read"]),
    ],
)
def test_each_kind_takes_its_scopes_to_ask_and_to_fetch(cast, rita, bill, body, scopes):
    path = written(rita, **body)
    usual = ["exports:read", "exports:write"]
    for lacking in scopes:
        has = [scope for scope in scopes if scope != lacking]
        narrow = Caller(make_key(cast.reseller, *usual, *has).secret)
        for answer in (narrow.post("/exports", body), narrow.get(f"{path}/content")):
            assert code_of(answer) == (403, "scope-missing")
            assert answer.json()["scope"] == lacking
    able = Caller(make_key(cast.reseller, *usual, *scopes).secret)
    assert content(able, path)
    assert able.post("/exports", body).status_code == 202


def test_file_is_for_keys_of_the_organisation_that_asked_for_it(cast, alice, rita):
    """It holds what that one may see, such as from where its own people came."""
    own = written(alice, "activity")
    alder = alice.get("/organisations").json()["items"][0]["id"]
    sellers = written(rita, "activity", organisation_id=alder)

    for caller, path in ((rita, own), (alice, sellers)):
        for answer in (
            caller.get(path),
            caller.get(f"{path}/content"),
            caller.delete(path, if_match="*"),
            caller.get(path.replace("/exports/exp_", "/operations/opn_")),
        ):
            assert code_of(answer) == (404, "not-found")
        assert len(caller.get("/exports").json()["items"]) == 1
    assert content(Caller(make_key(cast.customer).secret), own)


def test_narrow_key_sees_files_about_what_it_reaches(cast, rita):
    alder = rita.get("/organisations?external_ref=&sort=-created").json()["items"][0]["id"]
    path = written(rita, "activity", organisation_id=alder)
    brother = Organisation.objects.create(kind="customer", name="Ash", parent=cast.reseller)
    for organisation, status in ((cast.customer, 200), (brother, 404)):
        caller = Caller(make_key(cast.reseller, only_for=(organisation,)).secret)
        assert caller.get(path).status_code == status


def test_key_for_testing_sees_none_of_the_files_about_real_work(cast, rita):
    path = written(rita, "activity")
    trial = Caller(make_key(cast.reseller, is_test=True).secret)

    assert code_of(trial.get(path)) == (404, "not-found")
    answer = trial.post("/exports", {"kind": "activity"})
    assert answer.json()["errors"][0]["pointer"] == "/organisation_id"


def test_stranger_is_pointed_at_like_nobody(cast, alice, charlie):
    juniper = charlie.get("/organisations").json()["items"][0]["id"]
    for named in (juniper, "org_" + "0" * 32):
        answer = alice.post("/exports", {"kind": "activity", "organisation_id": named})
        assert code_of(answer) == (422, "validation-failed")
        assert answer.json()["errors"][0]["pointer"] == "/organisation_id"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "usage"}, "/month"),
        ({"kind": "usage", "month": "2026-13"}, "/month"),
        ({"kind": "usage", "month": "9999-12"}, "/month"),
        ({"kind": "usage", **MONTH, "since": "2026-10-01"}, "/since"),
        ({"kind": "invoice_lines", "month": "October"}, "/month"),
        ({"kind": "activity", "month": "2026-10"}, "/month"),
        ({"kind": "activity", "since": "yesterday"}, "/since"),
        ({"kind": "activity", "since": "20261001"}, "/since"),
        ({"kind": "activity", "until": "2026-W45-2"}, "/until"),
        ({"kind": "activity", "until": "0001-01-01"}, "/until"),
        ({"kind": "activity", "since": "2026-10-02", "until": "2026-10-02"}, "/until"),
        ({"kind": "activity", "format": "xml"}, "/format"),
        ({"kind": "activity_proof", "format": "csv"}, "/format"),
        ({"kind": "customers"}, "/organisation_id"),
        ({"kind": "mail"}, "/kind"),
        ({}, "/kind"),
    ],
)
def test_what_makes_no_sense_is_pointed_at(cast, alice, body, pointer):
    answer = alice.post("/exports", body)

    assert code_of(answer) == (422, "validation-failed")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
    assert not Export.objects.exists()


def test_house_has_no_use_of_its_own(cast):
    house = Caller(make_key(cast.provider).secret)

    answer = house.post("/exports", {"kind": "usage", **MONTH})

    assert answer.json()["errors"][0]["pointer"] == "/organisation_id"


def test_so_many_files_of_an_organisation_are_kept_and_no_more(cast, alice, monkeypatch):
    monkeypatch.setattr(asking, "MOST_STANDING", 2)
    first, _second = asked(alice, "activity"), asked(alice, "activity")

    assert code_of(alice.post("/exports", {"kind": "activity"})) == (409, "limit-reached")
    alice.delete(first, if_match="*")
    asked(alice, "activity")


def test_files_are_counted_by_the_hour_for_all_keys_of_an_organisation(cast, alice, monkeypatch):
    monkeypatch.setattr(turns, "FILES", Policy(name="few", limit=2, window_seconds=3600))
    for caller in (alice, Caller(make_key(cast.customer).secret)):
        asked(caller, "activity")

    assert code_of(alice.post("/exports", {"kind": "activity"})) == (429, "rate-limited")
    assert Export.objects.count() == 2


# Workers ----------------------------------------------------------------------------------


def lines_then(act, before=1_500, after=10):
    def lines(_export, *, actor):
        yield from (f'"{number}"\n' for number in range(before))
        act()
        yield from (f'"{number}"\n' for number in range(after))

    return lines


def killed():
    raise Killed


def test_worker_killed_between_lines_leaves_nothing_and_another_writes_it_whole(
    cast, alice, monkeypatch
):
    path = asked(alice, "activity")
    key = Export.objects.get().pk
    monkeypatch.setattr(contents, "lines", lines_then(killed))

    with pytest.raises(Killed):
        exports.run(export_id=key, now=timezone.now)

    assert (files(), alice.get(path).json()["state"]) == ([], "running")
    assert alice.get(path).json()["line_count"] == 1_000
    assert exports.resume(now=timezone.now) == 0
    monkeypatch.setattr(contents, "lines", lines_then(lambda: None))
    assert exports.resume(now=lambda: timezone.now() + timedelta(minutes=3)) == 1
    assert alice.get(path).json()["line_count"] == content(alice, path).count(b"\n") == 1_510
    assert Event.objects.filter(kind="export.ready").count() == 1


def test_worker_that_was_held_up_leaves_the_file_of_the_other_alone(cast, alice, monkeypatch):
    path = asked(alice, "activity")
    key = Export.objects.get().pk
    done = []

    def other():
        monkeypatch.setattr(contents, "lines", lines_then(lambda: None))
        later = timezone.now() + timedelta(minutes=3)
        done.append(exports.run(export_id=key, now=lambda: later))

    monkeypatch.setattr(contents, "lines", lines_then(other))

    assert not exports.run(export_id=key, now=timezone.now)

    assert done == [True]
    assert len(files()) == 1
    assert content(alice, path).count(b"\n") == 1_510
    assert Event.objects.filter(kind="export.ready").count() == 1


def test_two_workers_at_once_write_it_once(cast, alice, monkeypatch):
    asked(alice, "activity")
    key = Export.objects.get().pk
    second = []
    monkeypatch.setattr(
        contents,
        "lines",
        lines_then(lambda: second.append(exports.run(export_id=key, now=timezone.now))),
    )

    assert exports.run(export_id=key, now=timezone.now)
    assert (second, len(files())) == ([False], 1)


@pytest.mark.parametrize("end", ["revoked", "expired", "closed"])
def test_key_that_ends_midway_ends_the_writing(cast, alice, monkeypatch, end):
    path = asked(alice, "activity")

    def over():
        if end == "closed":
            Organisation.objects.filter(pk=cast.customer.pk).update(state="closed")
        else:
            field = {"revoked": "revoked_at", "expired": "expires_at"}[end]
            ApiKey.objects.update(**{field: timezone.now() - timedelta(minutes=1)})

    monkeypatch.setattr(contents, "lines", lines_then(over))

    assert tasks.write_exports() == 1

    export = Export.objects.get()
    assert (export.state, export.stored_as, files()) == ("failed", "", [])
    assert "key" in export.problem
    [finished] = Event.objects.filter(kind="operation.finished")
    assert finished.data["state"] == "failed"
    assert not Event.objects.filter(kind="export.ready").exists()
    if end != "closed":
        told = Caller(make_key(cast.customer).secret).get(path).json()
        assert (told["state"], told["problem"]) == ("failed", export.problem)


def test_key_that_was_replaced_is_followed_by_its_successor(cast):
    made = make_key(cast.customer)
    path = asked(Caller(made.secret), "activity")
    new = keyring.rotate(actor=STAFF, api_key=made.api_key, overlap=timedelta(0), at=timezone.now())

    assert tasks.write_exports() == 1
    assert content(Caller(new.secret), path)


def test_file_that_fails_each_time_is_given_up(cast, alice, monkeypatch):
    path = asked(alice, "activity")
    key = Export.objects.get().pk

    def broken():
        raise OSError

    monkeypatch.setattr(contents, "lines", lines_then(broken))
    for turn in range(writing._MOST_TRIES):
        with pytest.raises(OSError):  # noqa: PT011
            exports.run(
                export_id=key, now=lambda turn=turn: timezone.now() + timedelta(minutes=3 * turn)
            )

    later = timezone.now() + timedelta(hours=1)
    assert exports.run(export_id=key, now=lambda: later)
    told = alice.get(path).json()
    assert (told["state"], files()) == ("failed", [])
    assert told["problem"]
    assert not exports.run(export_id=key, now=lambda: later)


# The end of a file ------------------------------------------------------------------------


def test_file_is_forgotten_after_a_week(cast, alice):
    path = written(alice, "activity")
    begun = path.replace("/exports/exp_", "/operations/opn_")
    assert tasks.forget_exports() == 0
    Export.objects.update(expires_at=timezone.now())

    assert tasks.forget_exports() == 1
    assert tasks.forget_exports() == 0

    told = alice.get(path).json()
    assert (told["state"], told["content_path"], files()) == ("forgotten", None, [])
    assert code_of(alice.get(f"{path}/content")) == (409, "wrong-state")
    assert alice.get(begun).json()["state"] == "done"


def test_what_a_killed_worker_left_behind_is_swept_up(cast, alice):
    written(alice, "activity")
    folder = keeping._folder()
    for name, hours in (("old", 25), ("new", 1)):
        (folder / name).write_text("x")
        moment = (timezone.now() - timedelta(hours=hours)).timestamp()
        os.utime(folder / name, (moment, moment))
    [kept] = [name for name in files() if name not in {"old", "new"}]
    os.utime(folder / kept, (0, 0))

    assert tasks.forget_exports() == 1
    assert files() == sorted([kept, "new"])


def test_lost_folder_is_told_as_it_is(cast, alice):
    path = written(alice, "activity")
    for name in files():
        Path(keeping._folder(), name).unlink()

    assert code_of(alice.get(f"{path}/content")) == (409, "wrong-state")


@pytest.mark.parametrize("is_ready", [True, False])
def test_file_is_discarded_by_the_version_that_is_meant(
    cast, alice, is_ready, django_capture_on_commit_callbacks
):
    path = written(alice, "activity") if is_ready else asked(alice, "activity")
    etag = alice.get(path).headers["ETag"]

    assert code_of(alice.delete(path)) == (428, "precondition-required")
    assert code_of(alice.delete(path, if_match='"old"')) == (412, "stale-version")
    with django_capture_on_commit_callbacks(execute=True):
        told = alice.delete(path, if_match=etag).json()

    assert (told["state"], files()) == ("forgotten" if is_ready else "cancelled", [])
    assert code_of(alice.delete(path, if_match="*")) == (409, "wrong-state")
    assert tasks.write_exports() == 0
    ended = alice.get(path.replace("/exports/exp_", "/operations/opn_")).json()
    assert ended["state"] == ("done" if is_ready else "cancelled")
