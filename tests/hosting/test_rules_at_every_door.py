"""One table of bad rules, fed through every door; each refuses all, and nothing is set."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from mailstore.models import PendingChange, RetentionPolicy, RetentionRule
from tests.corpus import HOSTILE_FOLDERS
from tests.factories import make_mailbox
from tests.staffing import act, signed_in

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

POLICIES = "/staff/mailstore/retentionpolicy/"
TRIAL = {"try": "yes"}
BAD_DAYS = [
    *("0", "-5", "--5", "+-5", "3651", "9" * 30, "9" * 5000, "1.5", "1e3", "NaN", "inf", "x"),
    *("0x10", "1,000", "\u00b2", "seven", "None", "null", "7;8", "7\x00"),
]
BAD_RULES = [
    *({"folder": "\\Junk", "days": days, "counted_from": "arrival"} for days in BAD_DAYS),
    *({"folder": name, "days": "40", "counted_from": "arrival"} for name in HOSTILE_FOLDERS),
    {"folder": "\\Nope", "days": "40", "counted_from": "arrival"},
    {"folder": "*", "days": "3", "counted_from": "arrival"},
    {"folder": "INBOX", "days": "29", "counted_from": "arrival"},
    {"folder": "\\Trash", "days": "40", "counted_from": "download"},
    {"folder": "*", "days": "40", "counted_from": "download"},
    {"folder": "Jnuk-typo", "days": "40", "counted_from": "arrival"},
]
# Only what has others below it bounds them.
BAD_BOUNDS = [
    {"days": "40", "floor_days": "50"},
    {"days": "40", "ceiling_days": "30"},
    {"days": "", "ceiling_days": "30"},
    {"days": "40", "floor_days": "0"},
    {"days": "40", "ceiling_days": "3651"},
]


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


@pytest.fixture
def nothing_is_set(mailbox):
    """Whatever the door, it leaves all as it was."""
    before = sorted(RetentionRule.objects.values_list("pk", "days"))
    yield
    assert sorted(RetentionRule.objects.values_list("pk", "days")) == before
    assert not PendingChange.objects.exists()


@pytest.mark.usefixtures("nothing_is_set")
def test_pages_refuse(cast, mailbox):
    client = Client()
    signed_in(cast.alice, client)
    places = [reverse("mailboxes:set_rule", args=[mailbox.uuid])]
    for kind, scope in (("organisation", cast.customer), ("domain", cast.domain)):
        places.append(reverse("rules:set", args=[kind, scope.uuid]))

    for path in places:
        answers = [client.post(path, bad | asked) for bad in BAD_RULES for asked in ({}, TRIAL)]
        assert {answer.status_code for answer in answers} == {422}
        assert all(answer.context["rule_form"].errors for answer in answers)


@pytest.mark.usefixtures("nothing_is_set")
def test_pages_and_staff_and_command_refuse_bounds_that_the_rule_breaks_itself(cast, staff):
    client = Client()
    signed_in(cast.alice, client)
    imap = RetentionPolicy.objects.get(slug="imap")
    for bounds in BAD_BOUNDS:
        bad = {"folder": "\\Junk", "counted_from": "arrival", "floor_days": "", "ceiling_days": ""}
        bad |= bounds
        for kind, scope in (("organisation", cast.customer), ("domain", cast.domain)):
            path = reverse("rules:set", args=[kind, scope.uuid])
            answers = [client.post(path, bad | asked) for asked in ({}, TRIAL)]
            assert {answer.status_code for answer in answers} == {422}, bad
        for button in ("foresee", "confirmed"):
            page = act(staff, "set_rule", imap, path=POLICIES, **bad, **{button: "yes"})
            assert page.context["form"].errors, bad
        asked = ["--domain=alder.test", "\\Junk", bounds["days"] or "never"]
        options = [f"--{name.removesuffix('_days')}={bounds[name]}" for name in bounds]
        with pytest.raises(CommandError):
            call_command("set_retention_rule", *asked, *options[1:])


@pytest.mark.parametrize("button", ["foresee", "confirmed"])
@pytest.mark.usefixtures("nothing_is_set")
def test_staff_page_refuses(button, staff):
    policy = RetentionPolicy.objects.get(slug="imap")

    for bad in BAD_RULES:
        asked = {"floor_days": "", "ceiling_days": "", button: "yes", **bad}
        page = act(staff, "set_rule", policy, path=POLICIES, **asked)
        assert page.context["form"].errors, bad


@pytest.mark.parametrize("target", ["--mailbox=hello@alder.test", "--domain=alder.test"])
@pytest.mark.usefixtures("nothing_is_set")
def test_command_refuses(target):
    for bad in BAD_RULES:
        asked = ["--from", bad["counted_from"], "--", bad["folder"], bad["days"]]
        with pytest.raises(CommandError):
            call_command("set_retention_rule", target, *asked)


@pytest.mark.parametrize("door", ["page", "command"])
@pytest.mark.usefixtures("nothing_is_set")
def test_rule_that_nobody_can_check_is_not_set(door, cast, mailbox, twin):
    twin.is_down = True
    rule = {"folder": "\\Junk", "days": "40", "counted_from": "arrival"}

    if door == "command":
        with pytest.raises(CommandError, match="The mail server could not be asked"):
            call_command("set_retention_rule", f"--mailbox={mailbox}", "\\Junk", "40")
        return
    client = Client()
    signed_in(cast.alice, client)
    answer = client.post(reverse("mailboxes:set_rule", args=[mailbox.uuid]), rule)
    assert "The mail server cannot be reached." in answer.content.decode()
