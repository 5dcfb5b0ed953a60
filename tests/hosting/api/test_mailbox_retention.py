"""What holds for one mailbox through the API: rules with reasons, window and tripwire."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from mailstore import cooling
from mailstore.models import Mailbox, PendingChange, RetentionPolicy, RetentionRule
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.api.test_mailboxes import path_of

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


@pytest.fixture
def path(mailbox):
    return f"{path_of(mailbox)}/retention"


def test_each_folder_has_its_rule_and_the_reason(cast, rita, mailbox, path):
    RetentionRule.objects.create(domain=cast.domain, folder="Work", days=90)
    RetentionRule.objects.create(mailbox=mailbox, folder="Junk", days=8)

    found = rita.get(path).json()

    folders = {folder["folder"]: folder for folder in found["folders"]}
    assert list(folders) == ["INBOX", "Sent", "Drafts", "Junk", "Trash", "Archive", "Work"]
    assert folders["Work"] == {
        "folder": "Work",
        "days": 90,
        "counted_from": "arrival",
        "sentence": "Mail in Work goes 90 days after it arrived in Work: alder.test says so.",
    }
    assert (folders["INBOX"]["days"], folders["Junk"]["days"]) == (None, 8)
    assert (found["policy"], found["former_policy"], found["window_days"]) == ("imap", None, 30)
    assert found["tripwire"] == {
        "is_on": True,
        "message_count": 200,
        "percent": 50,
        "minutes": 10,
        "least_message_count": 10,
        "has_own_thresholds": False,
    }


def test_one_folder_is_asked_about_by_name(rita, path):
    found = rita.get(f"{path}?folder=Projects").json()["folders"]
    refused = rita.get(f"{path}?folder=a%0ab")

    assert found == [
        {
            "folder": "Projects",
            "days": None,
            "counted_from": "arrival",
            "sentence": "Nothing is removed from Projects: the plan keeps it.",
        }
    ]
    assert refused.status_code == 400


def test_what_cools_off_after_a_change_of_plan_is_named(rita, mailbox, path):
    Mailbox.objects.filter(pk=mailbox.pk).update(
        former_policy=RetentionPolicy.objects.get(slug="pop"), tripwire_off_at=AT, trip_minutes=5
    )

    found = rita.get(path).json()

    assert found["former_policy"] == "pop"
    assert (found["tripwire"]["is_on"], found["tripwire"]["has_own_thresholds"]) == (False, True)


def test_what_is_safer_holds_at_once(rita, mailbox, path):
    Mailbox.objects.filter(pk=mailbox.pk).update(tripwire_off_at=AT)
    tag = rita.get(path).headers["ETag"]
    body = {"window_days": 60, "tripwire": {"is_on": True, "message_count": 100}}

    answer = rita.patch(path, body, if_match=tag)

    found = answer.json()["retention"]
    assert (answer.status_code, answer.json()["holds_now"]) == (200, True)
    assert (found["window_days"], found["tripwire"]["is_on"]) == (60, True)
    assert (found["tripwire"]["message_count"], found["tripwire"]["percent"]) == (100, 50)
    assert rita.patch(path, {"window_days": 61}, if_match=tag).status_code == 412


def test_what_is_less_safe_waits(rita, twin, mailbox, path):
    body = {"window_days": 7, "tripwire": {"is_on": False, "percent": 90}}

    answer = rita.patch(path, body)
    waiting = answer.json()["pending_changes"]
    kept = rita.get(path).json()
    cooling.make_due(engine=twin, at=timezone.now() + settings.COOLING_OFF)
    later = rita.get(path).json()

    assert (answer.status_code, answer.json()["holds_now"]) == (202, False)
    assert [change["kind"] for change in waiting] == ["window", "tripwire", "thresholds"]
    assert (kept["window_days"], kept["tripwire"]["is_on"]) == (30, True)
    assert (later["window_days"], later["tripwire"]["is_on"]) == (7, False)
    assert later["tripwire"]["percent"] == 90


def test_a_preview_says_what_a_shorter_window_ends_and_changes_nothing(rita, twin, mailbox, path):
    account = twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    account.folders["INBOX"].append(b"x" * 50)
    twin.remove(user=mailbox.address, folder="INBOX", uids=[1])
    [kept] = account.store["INBOX"].kept
    object.__setattr__(kept, "saved_at", timezone.now() - timedelta(days=10))

    shorter, longer = (
        rita.patch(f"{path}?preview=true", {"window_days": days}) for days in (7, 90)
    )

    found = shorter.json()
    assert (shorter.status_code, found["window_days"]) == (200, 7)
    assert found["going_now"] == {"message_count": 0, "bytes": 0}
    assert found["going"] == {"message_count": 1, "bytes": 50}
    assert longer.json()["going"] == {"message_count": 0, "bytes": 0}
    assert longer.json()["takes_effect_at"] < found["takes_effect_at"]
    # It was not charged before.
    assert found["monthly_savings"] == []
    assert not PendingChange.objects.exists()
    assert rita.get(path).json()["window_days"] == 30


def test_a_preview_goes_without_the_mail_server_and_tells_no_money_to_others(cast, twin, path):
    narrow = Caller(make_key(cast.reseller, "retention:write").secret)
    twin.is_down = True

    found = narrow.patch(f"{path}?preview=true", {"window_days": 7}).json()

    assert (found["going_now"], found["going"], found["monthly_savings"]) == (None, None, None)


def test_own_thresholds_are_given_up_for_those_of_the_plan(rita, mailbox, path):
    Mailbox.objects.filter(pk=mailbox.pk).update(trip_percent=90)

    answer = rita.patch(path, {"tripwire": {"percent": None}})

    assert answer.status_code == 200
    assert answer.json()["retention"]["tripwire"]["has_own_thresholds"] is False


def test_nothing_new_changes_nothing(rita, mailbox, path):
    for body in ({}, {"window_days": 30}, {"tripwire": {"is_on": True, "percent": None}}):
        answer = rita.patch(path, body)
        assert (answer.status_code, answer.json()["pending_changes"]) == (200, [])
    assert not PendingChange.objects.exists()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"window_days": 0}, "/window_days"),
        ({"window_days": None}, "/window_days"),
        ({"tripwire": {"percent": 101}}, "/tripwire/percent"),
        ({"tripwire": {"minutes": 1441}}, "/tripwire"),
        ({"tripwire": {"colour": 1}}, "/tripwire/colour"),
        ({"policy": "pop"}, "/policy"),
    ],
)
def test_a_value_that_makes_no_sense_is_pointed_at(body, pointer, rita, path):
    answer = rita.patch(path, body)

    assert answer.status_code == 422
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]


def test_a_strangers_mailbox_is_absent_and_readers_only_read(cast, charlie, path):
    reader = Caller(make_key(cast.reseller, "retention:read").secret)

    assert charlie.get(path).status_code == 404
    assert charlie.patch(path, {"window_days": 60}).status_code == 404
    assert reader.get(path).status_code == 200
    assert reader.patch(path, {"window_days": 60}).json()["scope"] == "retention:write"
