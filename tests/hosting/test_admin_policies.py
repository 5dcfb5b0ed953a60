"""Retention policies and the tripwire's thresholds, in the staff pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mailstore import cooling, rules
from mailstore.models import Mailbox, PendingChange, RetentionPolicy
from tests.factories import make_mailbox
from tests.staffing import MAILBOXES, act, said

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

POLICIES = "/staff/mailstore/retentionpolicy/"
ARRIVAL = {"counted_from": "arrival", "floor_days": "", "ceiling_days": ""}


@pytest.fixture
def imap(db):
    return RetentionPolicy.objects.get(slug="imap")


@pytest.fixture
def mailbox(cast, twin):
    """An IMAP mailbox whose Junk holds one message of forty days and one of five."""
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    folders = twin.accounts[mailbox.address].folders
    for days in (40, 5):
        folders["Junk"].append(b"Subject: x\r\n\r\nx\r\n", at=timezone.now() - timedelta(days=days))
    folders["INBOX"].append(b"Subject: x\r\n\r\nx\r\n", at=timezone.now())
    return mailbox


def junk_days(policy):
    return [row.days for row in rules.own_rules(policy) if row.folder == "\\Junk"]


def errors_of(response):
    return response.context["form"].non_field_errors()


def test_page_shows_rules_and_offers_changes(staff, imap):
    page = staff.get(f"{POLICIES}{imap.pk}/change/")

    names = [name for name, _label in page.context["row_actions"]]
    assert names == ["set_rule", "remove_rule", "change_thresholds"]
    assert "\\Junk" in page.content.decode()


def test_preview_shows_what_a_rule_would_do_and_changes_nothing(staff, imap, mailbox):
    asked = {"folder": "\\Junk", "days": "3", **ARRIVAL}

    page = act(staff, "set_rule", imap, path=POLICIES, foresee="yes", **asked)

    [table] = page.context["tables"]
    [junk] = [row.cells for row in table.rows if row.cells[0] == "Junk"]
    assert junk[1:4] == (2, 2, 2)
    assert junk_days(imap) == [30]
    assert not PendingChange.objects.exists()


def test_preview_of_a_policy_is_silent_where_nothing_is_saved(staff, imap, mailbox):
    page = act(
        staff, "set_rule", imap, path=POLICIES, foresee="yes", folder="\\Junk", days="3", **ARRIVAL
    )

    [table] = page.context["tables"]
    assert table.note == ""


def test_page_shows_when_it_arrived_and_when_it_would_go_with_a_rule_and_without(
    staff, imap, mailbox, twin
):
    moment = timezone.now() - timedelta(days=20)
    twin.accounts[mailbox.address].folders["Junk"].append(b"x", at=moment)
    tighter = {"folder": "\\Junk", "days": "10", **ARRIVAL}

    tried = act(staff, "set_rule", imap, path=POLICIES, foresee="yes", **tighter)
    without = act(staff, "remove_rule", imap, path=POLICIES, foresee="yes", folder="\\Junk")

    due = moment + timedelta(days=10)
    for page, goes in ((tried, True), (without, False)):
        [table] = page.context["tables"]
        [junk] = [row.cells for row in table.rows if row.cells[0] == "Junk"]
        assert (f"{due:%-d %b %Y} (1)" in junk[6]) is goes
        assert (" to " in junk[5]) is goes
    assert junk_days(imap) == [30]


def test_tighter_rule_of_a_policy_waits_and_a_looser_one_holds(staff, imap, mailbox):
    tighter = {"folder": "\\Junk", "days": "10", **ARRIVAL}
    looser = {"folder": "\\Junk", "days": "60", **ARRIVAL, "floor_days": "7"}

    page = act(staff, "set_rule", imap, path=POLICIES, confirmed="yes", **tighter)
    assert said(page) == ["Policies whose rule is set, or waits: 1."]
    assert junk_days(imap) == [30]
    assert PendingChange.objects.get().policy == imap

    act(staff, "set_rule", imap, path=POLICIES, confirmed="yes", **looser)
    assert junk_days(imap) == [60]


@pytest.mark.parametrize("button", ["foresee", "confirmed"])
def test_bad_rule_of_a_policy_is_refused_with_the_reason(staff, imap, mailbox, button):
    asked = {"folder": "INBOX", "days": "0", **ARRIVAL}

    page = act(staff, "set_rule", imap, path=POLICIES, **{button: "yes"}, **asked)

    [error] = errors_of(page)
    assert "Days are a whole number from 1 to 3650, not 0." in error
    assert not PendingChange.objects.exists()


def test_rule_of_a_policy_goes_after_the_wait_because_its_floor_protected(staff, imap, mailbox):
    page = act(staff, "remove_rule", imap, path=POLICIES, confirmed="yes", folder="Nothing")
    assert "There is no rule for Nothing." in errors_of(page)[0]

    act(staff, "remove_rule", imap, path=POLICIES, confirmed="yes", folder="\\Junk")

    assert junk_days(imap) == [30]
    assert PendingChange.objects.get().what == {"folder": "\\Junk"}


def test_tripwire_of_a_policy_and_of_a_mailbox(staff, imap, mailbox, twin):
    sharper = {"messages": "100", "percent": "40", "minutes": "10", "fewest": "5"}
    act(staff, "change_thresholds", imap, path=POLICIES, confirmed="yes", **sharper)
    imap.refresh_from_db()
    assert (imap.trip_messages, imap.trip_percent) == (100, 40)

    weaker = {"messages": "500", "percent": "", "minutes": ""}
    page = act(staff, "change_thresholds", mailbox, confirmed="yes", **weaker)
    assert said(page) == ["Mailboxes whose tripwire is changed, or will be: 1."]
    mailbox.refresh_from_db()
    assert mailbox.trip_messages is None
    cooling.make_due(engine=twin, at=timezone.now() + timedelta(hours=73))
    assert Mailbox.objects.get(pk=mailbox.pk).trip_messages == 500


def test_absurd_threshold_of_a_mailbox_is_refused(staff, mailbox):
    absurd = {"messages": "0", "percent": "", "minutes": ""}

    page = act(staff, "change_thresholds", mailbox, path=MAILBOXES, confirmed="yes", **absurd)

    assert "whole number from 1 to 1000000" in errors_of(page)[0]
