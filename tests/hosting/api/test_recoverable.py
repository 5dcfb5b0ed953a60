"""Removed mail through the API: found, brought back, rolled back and destroyed."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.access import system
from hosting.api.recoverable import id_of
from mailstore import cooling, holding, recovery
from mailstore.models import AppPassword, PendingChange, PurgeRun, Removal, RestoreRun
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.api.test_mailboxes import path_of
from tests.hosting.api.test_one_mailbox import etag

pytestmark = pytest.mark.django_db(databases="__all__")

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=["Work", "Bücher/2026"])
    return mailbox


@pytest.fixture
def path(mailbox):
    return f"{path_of(mailbox)}/recoverable"


def remove(twin, mailbox, folder, subject, *, at=NOON):
    """A message that came and was removed; returns its uid in the store."""
    account = twin.accounts[mailbox.address]
    text = f"From: zoe@x.test\r\nSubject: {subject}\r\n\r\nx\r\n"
    kept = account.folders[folder].append(text.encode())
    twin.remove(user=mailbox.address, folder=folder, uids=[kept.uid])
    stored = account.store[folder].kept[-1]
    object.__setattr__(stored, "saved_at", at)
    return stored.uid


def of_place(place):
    return f"msg_{urlsafe_b64encode(place).decode().rstrip('=')}"


def visible(twin, mailbox, folder):
    return [str(m.headers["Subject"]) for m in twin.accounts[mailbox.address].folders[folder].kept]


def work_off(twin):
    run = RestoreRun.objects.get()
    assert recovery.work_off(run=run, engine=twin, now=timezone.now)


def test_removed_mail_tells_who_removed_it_and_until_when(rita, twin, mailbox, path):
    uid = remove(twin, mailbox, "Work", "Plan")
    phone = AppPassword.objects.create(mailbox=mailbox, label="Phone", digest="x", created_at=AT)
    Removal.objects.create(
        mailbox=mailbox,
        folder="Work",
        service="imap",
        session="s",
        device=phone.uuid.hex,
        address="192.0.2.7",
        uids=str(uid),
        messages=1,
        bytes=1,
        began_at=NOON,
        ended_at=NOON,
    )
    remove(twin, mailbox, "INBOX", "Unknown", at=NOON - timedelta(hours=1))

    found = rita.get(path).json()

    assert (found["total_count"], found["next_cursor"]) == (2, None)
    assert found["items"][0] == {
        "object": "removed_message",
        "id": id_of(folder="Work", uid=uid),
        "folder": "Work",
        "sender": "zoe@x.test",
        "subject": "Plan",
        "bytes": 38,
        "removed_at": "2026-11-20T12:00:00Z",
        "removed_by": {
            "kind": "mail_program",
            "protocol": "imap",
            "device": "Phone",
            "address": "192.0.2.7",
        },
        "recoverable_until": "2026-12-20T12:00:00Z",
    }
    assert found["items"][1]["removed_by"] == {
        "kind": "mail_program",
        "protocol": None,
        "device": None,
        "address": None,
    }


def test_what_a_hold_keeps_has_no_end(cast, rita, twin, mailbox, path):
    remove(twin, mailbox, "Work", "Plan")
    holding.place(actor=system("t"), by=cast.sam, scope=mailbox, matter="x", reason="x", at=AT)

    assert rita.get(path).json()["items"][0]["recoverable_until"] is None


def test_pages_lead_through_removed_mail_once_while_more_is_removed(rita, twin, mailbox, path):
    for number in range(5):
        remove(twin, mailbox, "Work", f"{number}", at=NOON + timedelta(minutes=number // 2))

    first = rita.get(f"{path}?limit=2").json()
    remove(twin, mailbox, "INBOX", "newest", at=NOON + timedelta(hours=1))
    second = rita.get(f"{path}?limit=2&cursor={first['next_cursor']}").json()
    third = rita.get(f"{path}?limit=2&cursor={second['next_cursor']}").json()

    pages = [[m["subject"] for m in page["items"]] for page in (first, second, third)]
    assert pages == [["4", "3"], ["2", "1"], ["0"]]
    assert third["next_cursor"] is None
    assert second["total_count"] == 6


@pytest.mark.parametrize(
    ("query", "subjects"),
    [
        ("", ["c", "b", "a"]),
        ("?folder=Work", ["b", "a"]),
        ("?subject=a", ["a"]),
        ("?sender=nobody", []),
        ("?removed_since=2026-11-20T14:00:00Z", ["c"]),
        ("?removed_before=2026-11-20T13:00:00%2B00:00", ["a"]),
        ("?removed_since=2026-11-20T13:00:00Z&removed_before=2026-11-20T14:00:00Z", ["b"]),
    ],
)
def test_removed_mail_is_searched(query, subjects, rita, twin, mailbox, path):  # noqa: PLR0917
    remove(twin, mailbox, "Work", "a")
    remove(twin, mailbox, "Work", "b", at=NOON + timedelta(hours=1))
    remove(twin, mailbox, "INBOX", "c", at=NOON + timedelta(hours=2))

    assert [m["subject"] for m in rita.get(f"{path}{query}").json()["items"]] == subjects


def test_a_cursor_is_good_for_its_own_list_only(cast, rita, twin, mailbox, path):
    for number in range(2):
        remove(twin, mailbox, "Work", f"{number}")
    cursor = rita.get(f"{path}?limit=1").json()["next_cursor"]
    other = make_mailbox(cast.domain, "other")
    twin.know(other.address)

    for where in (f"{path}?folder=Work&cursor=", f"{path_of(other)}/recoverable?cursor="):
        answer = rita.get(f"{where}{cursor}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid-cursor")


@pytest.mark.parametrize(
    "query",
    ["?removed_since=yesterday", "?subject=a%0d%0ab", "?limit=201", "?sort=folder", "?folder=%00"],
)
def test_a_search_that_makes_no_sense_is_refused(query, rita, twin, mailbox, path):
    assert rita.get(f"{path}{query}").status_code == 400


def test_chosen_messages_come_back_to_their_folders(rita, twin, mailbox, path):
    chosen = [
        id_of(folder="Work", uid=remove(twin, mailbox, "Work", "Plan")),
        id_of(folder="Bücher/2026", uid=remove(twin, mailbox, "Bücher/2026", "Buch")),
    ]
    remove(twin, mailbox, "Work", "Other")

    asked = rita.post(f"{path}/restore", {"ids": chosen})
    where = asked.headers["Location"].removeprefix("/api/v1")
    planned = rita.get(where)
    work_off(twin)
    done = rita.get(where).json()

    assert (asked.status_code, planned.json()) == (202, asked.json())
    assert (asked.json()["state"], asked.json()["rolled_back_to"]) == ("planned", None)
    assert asked.json()["progress"] == {
        "done_message_count": 0,
        "done_bytes": 0,
        "planned_message_count": 2,
        "planned_bytes": 76,
    }
    assert (done["state"], done["progress"]["done_message_count"]) == ("done", 2)
    assert visible(twin, mailbox, "Work") == ["Plan"]
    assert visible(twin, mailbox, "Bücher/2026") == ["Buch"]


def test_a_mailbox_is_rolled_back_to_a_moment(rita, twin, mailbox, path):
    remove(twin, mailbox, "Work", "Before", at=NOON - timedelta(days=1))
    remove(twin, mailbox, "Work", "After")

    asked = rita.post(f"{path}/roll-back", {"to": "2026-11-20T13:00:00+01:00"})
    work_off(twin)

    assert (asked.status_code, asked.json()["rolled_back_to"]) == (202, "2026-11-20T12:00:00Z")
    assert visible(twin, mailbox, "Work") == ["After"]


def test_one_restore_at_a_time_and_none_of_nothing(rita, twin, mailbox, path):
    gone = rita.post(f"{path}/restore", {"ids": [id_of(folder="Work", uid=9)]})
    nothing = rita.post(f"{path}/roll-back", {"to": "2026-11-20T12:00:00Z"})
    remove(twin, mailbox, "Work", "Plan")
    rita.post(f"{path}/roll-back", {"to": "2026-11-20T12:00:00Z"})
    second = rita.post(f"{path}/roll-back", {"to": "2026-11-20T12:00:00Z"})

    for answer in (gone, nothing, second):
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")
    assert RestoreRun.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"ids": []}, "/ids"),
        ({"ids": ["msg_x"]}, "/ids/0"),
        ({"ids": ["rst_1", 7]}, "/ids/0"),
        ({"ids": [of_place(b"4294967296/INBOX")]}, "/ids/0"),
        ({"ids": [of_place(b"1/a\r")]}, "/ids/0"),
        ({"ids": [of_place(b"INBOX/1")]}, "/ids/0"),
        ({"ids": [of_place(b"1/INBOX")] * 5001}, "/ids"),
        ({}, "/ids"),
    ],
)
def test_an_id_that_is_none_is_pointed_at(body, pointer, rita, twin, mailbox, path):  # noqa: PLR0917
    answer = rita.post(f"{path}/restore", body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_moment_without_its_offset_is_refused(rita, path):
    answer = rita.post(f"{path}/roll-back", {"to": "2026-11-20T12:00:00"})

    assert [e["pointer"] for e in answer.json()["errors"]] == ["/to"]


def test_a_mail_server_that_is_away_is_said_to_be(rita, twin, mailbox, path):
    chosen = [id_of(folder="Work", uid=remove(twin, mailbox, "Work", "Plan"))]
    twin.is_down = True

    for answer in (
        rita.get(path),
        rita.post(f"{path}/restore", {"ids": chosen}, idempotency_key="a"),
        rita.post(f"{path}/roll-back", {"to": "2026-11-20T12:00:00Z"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "backend-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    twin.is_down = False
    again = rita.post(f"{path}/restore", {"ids": chosen}, idempotency_key="a")
    assert again.status_code == 202


def test_removed_mail_is_destroyed_after_the_wait_alone(rita, twin, mailbox, path):
    remove(twin, mailbox, "Work", "Plan")
    tag = etag(rita, path_of(mailbox))

    asked = rita.post(f"{path}/empty", {"address": "HELLO@alder.test"}, if_match=tag)
    cooling.make_due(engine=twin, at=timezone.now())
    early = PurgeRun.objects.count()
    cooling.make_due(engine=twin, at=timezone.now() + timedelta(days=30))

    assert (asked.status_code, asked.json()["kind"]) == (202, "empty_store")
    assert (early, PurgeRun.objects.get().kind) == (0, "asked")
    assert PurgeRun.objects.get().planned_messages == 1


def test_single_messages_are_destroyed_after_the_wait(rita, twin, mailbox, path):
    ids = [id_of(folder="Work", uid=remove(twin, mailbox, "Work", text)) for text in "ab"]
    body = {"address": mailbox.address, "ids": ids[:1]}

    asked = rita.post(f"{path}/empty", body, if_match="*")
    again = rita.post(f"{path}/empty", body, if_match="*")
    none = rita.post(f"{path}/empty", {**body, "ids": [id_of(folder="Work", uid=9)]}, if_match="*")
    cooling.make_due(engine=twin, at=timezone.now() + timedelta(days=30))

    assert (asked.status_code, asked.json()["kind"]) == (202, "destroy")
    assert again.json()["id"] == asked.json()["id"]
    assert (none.status_code, none.json()["code"]) == (409, "wrong-state")
    assert PurgeRun.objects.get().planned_messages == 1


def test_nothing_is_destroyed_by_mistake(cast, rita, mailbox, path):
    tag = etag(rita, path_of(mailbox))
    missing = rita.post(f"{path}/empty", {"address": mailbox.address})
    wrong = rita.post(f"{path}/empty", {"address": "other@alder.test"}, if_match=tag)
    holding.place(actor=system("t"), by=cast.sam, scope=mailbox, matter="x", reason="x", at=AT)
    stale = rita.post(f"{path}/empty", {"address": mailbox.address}, if_match=tag)
    held = rita.post(f"{path}/empty", {"address": mailbox.address}, if_match="*")

    assert missing.status_code == 428
    assert [e["pointer"] for e in wrong.json()["errors"]] == ["/address"]
    assert stale.status_code == 412
    assert (held.status_code, held.json()["code"]) == (423, "hold-active")
    assert not PendingChange.objects.exists()


def test_a_strangers_removed_mail_is_absent(rita, charlie, twin, mailbox, path):
    remove(twin, mailbox, "Work", "Plan")
    run = rita.post(f"{path}/roll-back", {"to": "2026-11-20T12:00:00Z"}).json()["id"]

    for answer in (
        charlie.get(path),
        charlie.post(f"{path}/restore", {"ids": [id_of(folder="Work", uid=1)]}),
        charlie.post(f"{path}/roll-back", {"to": "2026-11-20T12:00:00Z"}),
        charlie.post(f"{path}/empty", {"address": mailbox.address}, if_match="*"),
        charlie.get(f"/restore-runs/{run}"),
        rita.get(f"/restore-runs/rst_{uuid4().hex}"),
    ):
        assert answer.status_code == 404
    assert charlie.get("/restore-runs").json()["items"] == []
    assert [r["id"] for r in rita.get("/restore-runs?state=planned").json()["items"]] == [run]


def test_reading_removed_mail_does_not_bring_it_back(cast, path):
    reader = Caller(make_key(cast.reseller, "recovery:read", "mailboxes:write").secret)

    for verb, body in (
        ("restore", {"ids": ["x"]}),
        ("roll-back", {"to": "x"}),
        ("empty", {"address": "x"}),
    ):
        answer = reader.post(f"{path}/{verb}", body, if_match="*")
        assert (answer.status_code, answer.json()["scope"]) == (403, "recovery:write")


def test_a_list_of_restores_costs_the_same_whatever_its_length(
    cast, rita, django_assert_num_queries
):
    for number in range(3):
        RestoreRun.objects.create(
            mailbox=make_mailbox(cast.domain, f"m{number}"), planned_at=AT, planned_by="x"
        )
    rita.get("/restore-runs")

    for limit in (1, 3):
        with django_assert_num_queries(2):
            found = rita.get(f"/restore-runs?limit={limit}").json()["items"]
    assert [run["progress"]["planned_message_count"] for run in found] == [None] * 3
