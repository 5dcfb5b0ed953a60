"""One mailbox through the API: stopped, let go on, closed and taken back."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.access import system
from mailstore import cooling, holding
from mailstore.models import Hold, Mailbox, PendingChange, RetentionPolicy
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.api.test_mailboxes import path_of

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


@pytest.fixture
def path(mailbox):
    return path_of(mailbox)


def etag(caller, path):
    return caller.get(path).headers["ETag"]


def make_changes(twin, *, after=timedelta(0)):
    return cooling.make_due(engine=twin, at=timezone.now() + settings.COOLING_OFF + after)


def test_a_mailbox_is_suspended_and_goes_on(rita, path):
    suspended = rita.post(f"{path}/suspend")
    again = rita.post(f"{path}/suspend")
    resumed = rita.post(f"{path}/resume")

    assert (suspended.status_code, suspended.json()["state"]) == (200, "suspended")
    assert suspended.json()["switches"]["imap"] is False
    assert (again.status_code, again.json()["code"]) == (409, "wrong-state")
    assert (resumed.status_code, resumed.json()["state"]) == (200, "pending")


@pytest.mark.parametrize("way", ["delete", "close"])
def test_a_closing_waits_as_it_does_for_people(way, rita, mailbox, path):
    before = timezone.now()
    tag = etag(rita, path)
    if way == "delete":
        asked = rita.delete(path, if_match=tag)
    else:
        asked = rita.post(f"{path}/close", if_match=tag)
    shown = rita.get(path).json()

    change = PendingChange.objects.get()
    assert (asked.status_code, asked.json()["kind"]) == (202, "close")
    assert rita.get(asked.headers["Location"].removeprefix("/api/v1")).json() == asked.json()
    assert change.effective_at >= before + settings.COOLING_OFF
    assert shown["state"] == "active"
    assert [c["id"] for c in shown["pending_changes"]] == [asked.json()["id"]]


def test_a_closing_that_is_asked_for_twice_is_one(rita, path):
    first = rita.delete(path, if_match=etag(rita, path))
    second = rita.delete(path, if_match=etag(rita, path))

    assert (second.status_code, second.json()) == (202, first.json())
    assert PendingChange.objects.count() == 1


def test_a_closing_is_called_off(rita, path):
    asked = rita.delete(path, if_match=etag(rita, path))
    where = asked.headers["Location"].removeprefix("/api/v1")

    done = rita.post(f"{where}/call-off")
    again = rita.post(f"{where}/call-off")

    assert (done.status_code, done.json()["state"]) == (200, "called_off")
    assert (again.status_code, again.json()["code"]) == (409, "wrong-state")
    assert rita.get(path).json()["pending_changes"] == []


def test_a_closed_mailbox_is_taken_back(rita, twin, mailbox, path):
    twin.know(mailbox.address)
    rita.delete(path, if_match=etag(rita, path))
    make_changes(twin)
    closing = rita.get(path).json()

    unnamed = rita.post(f"{path}/restore")
    back = rita.post(f"{path}/restore", if_match=etag(rita, path))
    again = rita.post(f"{path}/restore", if_match=etag(rita, path))

    assert (closing["state"], closing["plan"]) == ("closing", "imap")
    assert closing["erase_after"] is not None
    assert unnamed.status_code == 428
    assert (back.status_code, back.json()["state"], back.json()["plan"]) == (200, "pending", "imap")
    assert (again.status_code, again.json()["code"]) == (409, "wrong-state")


def test_a_held_mailbox_is_not_closed(cast, rita, mailbox, path):
    holding.place(
        actor=system("t"), by=cast.sam, scope=cast.domain, matter="Case 7", reason="x", at=AT
    )

    answer = rita.delete(path, if_match=etag(rita, path))

    assert (answer.status_code, answer.json()["code"]) == (423, "hold-active")
    assert not PendingChange.objects.exists()


@pytest.mark.parametrize("where", ["", "/close"])
def test_closing_names_the_version_that_is_meant(where, rita, mailbox, path):
    tag = etag(rita, path)
    send = rita.post if where else rita.delete
    missing = send(f"{path}{where}")
    Mailbox.objects.update(label="Changed")
    stale = send(f"{path}{where}", if_match=tag)

    assert (missing.status_code, missing.json()["code"]) == (428, "precondition-required")
    assert (stale.status_code, stale.json()["code"]) == (412, "stale-version")
    assert not PendingChange.objects.exists()


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_an_empty_version_is_none_that_there_is(method, rita, mailbox, path):
    body = [{"label": "x"}] if method == "patch" else []

    answer = getattr(rita, method)(path, *body, if_match="")

    assert (answer.status_code, answer.json()["code"]) == (412, "stale-version")
    assert not PendingChange.objects.exists()


def test_whoever_may_write_may_not_delete(cast, path):
    writer = Caller(make_key(cast.reseller, "mailboxes:read", "mailboxes:write").secret)

    for answer in (
        writer.delete(path, if_match="*"),
        writer.post(f"{path}/close", if_match="*"),
    ):
        assert (answer.status_code, answer.json()["scope"]) == (403, "mailboxes:delete")


def test_a_strangers_mailbox_is_never_touched(charlie, mailbox, path):
    answers = [
        charlie.delete(path, if_match="*"),
        *(
            charlie.post(f"{path}/{verb}", if_match="*")
            for verb in ("suspend", "resume", "close", "restore", "take-back-plan")
        ),
        charlie.get(f"{path}/pending-changes"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    mailbox.refresh_from_db()
    assert mailbox.state == "active"
    assert not PendingChange.objects.exists()


def test_the_document_says_what_holds_and_what_lies_in_the_store(cast, rita, mailbox, path):
    kept = RetentionPolicy.objects.create(slug="archive", name="Archive")
    Mailbox.objects.filter(pk=mailbox.pk).update(
        retention_policy=kept, tripwire_off_at=AT, store_bytes=700, store_messages=3
    )
    for scope in (mailbox, cast.domain, cast.reseller, cast.other_domain):
        holding.place(actor=system("t"), by=cast.sam, scope=scope, matter="x", reason="x", at=AT)
    Hold.objects.filter(domain=cast.domain).update(released_by=cast.rita, released_at=AT)

    found = rita.get(path).json()

    assert found["holds_count"] == 2
    assert found["recoverable"] == {"message_count": 3, "bytes": 700}
    assert found["retention"] == {"policy": "archive", "window_days": 30, "has_tripwire": False}


def test_changes_that_wait_are_listed_for_whom_they_concern(cast, rita, charlie, mailbox, path):
    rita.delete(path, if_match=etag(rita, path))
    other = path_of(make_mailbox(cast.domain, "other"))
    rita.delete(other, if_match=etag(rita, other))
    mailbox_id = path.rpartition("/")[2]

    assert len(rita.get("/pending-changes").json()["items"]) == 2
    for found in (
        rita.get(f"{path}/pending-changes"),
        rita.get(f"/pending-changes?mailbox_id={mailbox_id}&state=waiting&kind=close"),
    ):
        assert [c["mailbox_id"] for c in found.json()["items"]] == [mailbox_id]
    assert charlie.get("/pending-changes").json()["items"] == []
    change = rita.get("/pending-changes").json()["items"][0]["id"]
    for missing in (
        charlie.get(f"/pending-changes/{change}"),
        charlie.post(f"/pending-changes/{change}/call-off"),
        rita.get(f"/pending-changes/chg_{uuid4().hex}"),
    ):
        assert missing.status_code == 404


def test_a_list_of_changes_costs_the_same_whatever_its_length(
    cast, rita, django_assert_num_queries
):
    for number in range(3):
        path = path_of(make_mailbox(cast.domain, f"m{number}"))
        rita.delete(path, if_match=etag(rita, path))

    for limit in (1, 3):
        with django_assert_num_queries(2):
            rita.get(f"/pending-changes?limit={limit}")
