"""What one member of staff does alone, by whichever action of whichever list."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.test import RequestFactory
from django.utils import timezone

from accounts import alone
from accounts.access import system
from accounts.models import Event
from hosting.admin.bulk import BulkActions
from mailstore import credentials
from mailstore.models import AppPassword, Hold, Mailbox, PendingChange
from tests.factories import AT, make_mailbox
from tests.hosting.test_admin import full_house  # noqa: F401  # a fixture
from tests.staffing import MAILBOXES, act, said

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

PASSWORDS = "/staff/mailstore/apppassword/"
REFUSED = "One person does that to"
# These lead to the form for one hold of several, which keeps mail, and do nothing themselves.
LEADING = {("mailbox", "hold"), ("domain", "hold")}
# It compares what was written with what is there, and changes nothing.
LOOKING = {("invoice", "verify")}
# What it wakes is done each night by itself, whichever rows are ticked.
WAKING = {("monthclose", "close_now")}


def issue(mailbox, count):
    return [
        credentials.issue(
            actor=system("tests"), mailbox=mailbox, label=f"Phone {number}", at=AT
        ).app_password
        for number in range(count)
    ]


def revoke(staff, passwords):
    return act(staff, "revoke", *passwords, path=PASSWORDS, confirmed="yes")


def revoked():
    return AppPassword.objects.exclude(revoked_at=None).count()


def actions_of(user):
    """Every list with each of its actions that is no deed, which has two people of its own."""
    request = RequestFactory().get("/")
    request.user = user
    for model, page in admin.site._registry.items():
        deeds = page.deeds if isinstance(page, BulkActions) else {}
        for name in page.get_actions(request):
            if name not in deeds:
                yield model, name


def test_no_action_of_any_list_goes_beyond_what_one_person_does(
    staff,
    cast,
    full_house,  # noqa: F811
    settings,
    counts,
):
    settings.BULK_ALONE_AT_MOST = 0
    found = {(model._meta.model_name, name): model for model, name in actions_of(cast.sam)}
    before = Event.objects.count()
    counts(actions=len(found))
    assert len(found) > 30

    for (kind, name), model in found.items():
        if (kind, name) in LEADING | LOOKING | WAKING:
            continue
        path = f"/staff/{model._meta.app_label}/{kind}/"
        row = model.objects.order_by("pk").last()
        more = {"gigabytes": "5"} if name == "change_limit" else {}
        answer = act(staff, name, row, path=path, confirmed="yes", reason="They asked", **more)
        assert any(REFUSED in text for text in said(answer)), (kind, name)
    assert Event.objects.count() == before
    assert set(found) > (LEADING | LOOKING | WAKING)


def test_more_rows_than_one_person_changes_are_left_as_they_are(staff, cast, settings):
    settings.BULK_ALONE_AT_MOST = 2
    passwords = issue(make_mailbox(cast.domain), 3)

    answer = act(staff, "revoke", *passwords, path=PASSWORDS)
    revoke(staff, passwords)

    [text] = said(answer)
    assert text.startswith("One person does that to 2 rows at once, and to as many more in")
    assert revoked() == 0


def test_small_pieces_come_to_no_more_in_an_hour(staff, cast, settings):
    settings.BULK_ALONE_AT_MOST = 2
    passwords = issue(make_mailbox(cast.domain), 4)

    revoke(staff, passwords[:2])
    answer = revoke(staff, passwords[2:])

    assert revoked() == 2
    assert REFUSED in answer.content.decode()


def test_limits_and_tripwires_are_held_to_it_as_well(staff, cast, settings):
    settings.BULK_ALONE_AT_MOST = 2
    boxes = [make_mailbox(cast.domain, f"box{number}") for number in range(3)]
    limits = set(Mailbox.objects.values_list("quota_bytes", flat=True))

    act(staff, "change_limit", *boxes, path=MAILBOXES, gigabytes="77", confirmed="yes")
    wire = {"tripwire_messages": "100000", "tripwire_percent": "", "confirmed": "yes"}
    act(staff, "change_thresholds", *boxes, path=MAILBOXES, **wire)

    assert set(Mailbox.objects.values_list("quota_bytes", flat=True)) == limits
    assert not PendingChange.objects.exists()
    assert not Hold.objects.exists()


def test_what_was_refused_counts_for_nothing(settings):
    settings.BULK_ALONE_AT_MOST = 3
    at = timezone.now()
    alone.take(who="sam", count=2, at=at)
    with pytest.raises(alone.TooMany):
        alone.take(who="sam", count=2, at=at)

    alone.take(who="sam", count=1, at=at)

    with pytest.raises(alone.TooMany):
        alone.take(who="sam", count=1, at=at)
    alone.take(who="kim", count=3, at=at)
    alone.take(who="sam", count=3, at=at + timedelta(hours=1))
