"""Another plan or protocol through the API: previewed, made, and taken back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from hosting import changing
from hosting.models import Plan, PlanChange, Price
from mailstore import holding
from mailstore.models import Mailbox, Usage
from tests.factories import make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.api.test_mailboxes import path_of
from tests.hosting.api.test_one_mailbox import etag

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=[*mailbox.special_folders, "Work"])
    return mailbox


@pytest.fixture
def path(mailbox):
    return path_of(mailbox)


def put(twin, mailbox, folder, *, days=0):
    box = twin.accounts[mailbox.address].folders[folder]
    box.append(b"Subject: x\r\n\r\nx\r\n")
    object.__setattr__(box.kept[-1], "saved_at", timezone.now() - timedelta(days=days))


def test_a_preview_says_what_it_costs_and_changes_nothing(rita, twin, mailbox, path):
    put(twin, mailbox, "Work")
    put(twin, mailbox, "Junk", days=5)
    months = changing.as_it_is(mailbox=mailbox, at=timezone.now())

    answer = rita.post(f"{path}/change-plan?preview=true", {"plan": "pop"})
    found = answer.json()

    assert (answer.status_code, found["is_preview"], found["is_switch"]) == (200, True, True)
    assert (found["before"]["plan"], found["after"]["plan"]) == ("imap", "pop")
    assert found["before"]["quota_bytes"] == mailbox.quota_bytes
    assert found["full_month"]["before_minor"] == months[1].before_minor
    assert found["full_month"]["after_minor"] < found["full_month"]["before_minor"]
    assert found["this_month"]["currency"] == "EUR"
    assert found["mail"]["hidden"] == {"message_count": 2, "bytes": 34}
    assert found["mail"]["may_gather"] is True
    assert {f["folder"] for f in found["mail"]["folders"]} >= {"INBOX", "Work", "Junk"}
    assert found["safer_holds_until"] is not None
    mailbox.refresh_from_db()
    assert (mailbox.protocol, PlanChange.objects.count()) == ("imap", 0)


def test_a_preview_counts_what_goes_and_when(rita, twin, mailbox, path):
    put(twin, mailbox, "Junk", days=5)

    found = rita.post(f"{path}/change-plan?preview=true", {"plan": "pop"}).json()["mail"]

    [junk] = [folder for folder in found["folders"] if folder["folder"] == "Junk"]
    assert junk["message_count"] == 1
    assert junk["going_message_count"] == sum(b["message_count"] for b in junk["batches"])
    assert found["going"]["message_count"] == sum(
        folder["going_message_count"] for folder in found["folders"]
    )


def test_a_preview_goes_without_the_mail_server(rita, twin, path):
    twin.is_down = True

    found = rita.post(f"{path}/change-plan?preview=true", {"plan": "pop"})

    assert (found.status_code, found.json()["mail"]) == (200, None)
    assert found.json()["full_month"]["after_minor"] > 0


def test_a_change_is_what_its_preview_said(rita, mailbox, path):
    preview = rita.post(f"{path}/switch-protocol?preview=true", {"protocol": "pop"}).json()

    answer = rita.post(
        f"{path}/switch-protocol", {"protocol": "pop", "gathers": True}, if_match=etag(rita, path)
    )
    made = answer.json()

    for name in ("before", "after", "full_month", "is_switch"):
        assert made[name] == preview[name]
    assert (answer.status_code, made["is_preview"], made["mail"]) == (200, False, None)
    shown = rita.get(path)
    assert (shown.json()["protocol"], shown.json()["plan"]) == ("pop", "pop")
    assert shown.headers["ETag"] == answer.headers["ETag"]
    assert [c["kind"] for c in shown.json()["pending_changes"]] == ["plan"]
    assert mailbox.protocol_switches.get().gathers


def test_a_change_is_taken_back_within_its_time(rita, path):
    rita.post(f"{path}/change-plan", {"plan": "pop", "widens": True}, if_match=etag(rita, path))

    back = rita.post(f"{path}/take-back-plan", if_match=etag(rita, path))
    again = rita.post(f"{path}/take-back-plan", if_match=etag(rita, path))

    assert (back.status_code, back.json()["plan"]) == (200, "imap")
    assert back.json()["pending_changes"] == []
    assert (again.status_code, again.json()["code"]) == (409, "wrong-state")


@pytest.mark.parametrize(
    ("where", "body"),
    [
        ("change-plan", {"plan": "pop"}),
        ("switch-protocol", {"protocol": "pop"}),
        ("take-back-plan", None),
    ],
)
def test_whatever_costs_money_names_its_version(where, body, rita, path):
    tag = etag(rita, path)
    missing = rita.post(f"{path}/{where}", body)
    Mailbox.objects.update(label="Changed")
    stale = rita.post(f"{path}/{where}", body, if_match=tag)

    assert (missing.status_code, stale.status_code) == (428, 412)
    assert not PlanChange.objects.exists()


def test_a_preview_that_is_misspelt_changes_nothing(rita, path):
    answer = rita.post(f"{path}/change-plan?preview=1", {"plan": "pop"}, if_match="*")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-parameter")
    assert not PlanChange.objects.exists()


@pytest.mark.parametrize(
    ("where", "body", "status", "code", "pointer"),
    [
        ("change-plan", {"plan": "imap"}, 409, "wrong-state", None),
        ("change-plan", {"plan": "gold"}, 422, "validation-failed", "/plan"),
        ("change-plan", {"plan": "pop", "gathers": "yes"}, 422, "validation-failed", "/gathers"),
        ("switch-protocol", {"protocol": "imap"}, 409, "wrong-state", None),
        ("switch-protocol", {"protocol": "jmap"}, 422, "validation-failed", "/protocol"),
        ("switch-protocol", {"protocol": "pop", "plan": "imap"}, 422, "validation-failed", "/plan"),
        ("switch-protocol", {"protocol": "pop", "plan": "pop"}, 200, None, None),
    ],
)
def test_a_plan_that_cannot_be_had_is_refused(  # noqa: PLR0917
    where, body, status, code, pointer, rita, path
):
    answer = rita.post(f"{path}/{where}?preview=true", body)

    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert [e["pointer"] for e in answer.json().get("errors", ())] == [pointer] * bool(pointer)


def test_a_plan_without_a_price_or_off_sale_is_refused(rita, path):
    Price.objects.filter(plan__slug="pop").delete()
    without_price = rita.post(f"{path}/change-plan?preview=true", {"plan": "pop"})
    none_there = rita.post(f"{path}/switch-protocol?preview=true", {"protocol": "pop"})
    Plan.objects.filter(slug="pop").update(is_on_sale=False)
    off_sale = rita.post(f"{path}/change-plan?preview=true", {"plan": "pop"})

    for answer in (without_price, none_there, off_sale):
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")


def test_more_than_the_plan_holds_is_refused(rita, mailbox, path):
    Usage.objects.create(username=mailbox.address, bytes=Plan.objects.get(slug="pop").ceiling_bytes)
    Usage.objects.update(bytes=Usage.objects.get().bytes + 1)

    answer = rita.post(f"{path}/change-plan", {"plan": "pop"}, if_match="*")

    assert (answer.status_code, answer.json()["code"]) == (409, "below-use")


def test_a_frozen_mailbox_changes_no_plan(rita, mailbox, path):
    Mailbox.objects.filter(pk=mailbox.pk).update(frozen_at=timezone.now())

    answer = rita.post(f"{path}/change-plan", {"plan": "pop"}, if_match="*")

    assert (answer.status_code, answer.json()["code"]) == (423, "hold-active")
    assert holding.held().count() == 0


def test_a_stranger_sees_no_price(cast, charlie, path):
    reader = Caller(make_key(cast.reseller, "mailboxes:read").secret)

    for where, body in (("change-plan", {"plan": "pop"}), ("switch-protocol", {"protocol": "pop"})):
        assert charlie.post(f"{path}/{where}?preview=true", body).status_code == 404
        assert reader.post(f"{path}/{where}?preview=true", body).status_code == 403
