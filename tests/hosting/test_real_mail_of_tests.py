"""Mail of a test organisation is real: what is decided about it goes by the real time.

How long a wish waits goes by the test clock, which stands far from it here.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership
from hosting import clocks, test_clock
from hosting.models import TestClock as Clock
from mailstore.engine import engine
from mailstore.models import PendingChange, PurgeRun
from tests.factories import make_member
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.api.test_mailboxes import path_of
from tests.hosting.simulated import ACTOR, make_test_customer, make_test_mailbox
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")
BEHIND, AHEAD = timedelta(days=-60), timedelta(days=60)


@pytest.fixture(params=[BEHIND, AHEAD], ids=["behind", "ahead"])
def trial(cast, request):
    """A test organisation whose clock is behind the real time, or ahead of it."""
    trial = make_test_customer(cast.provider, made=timezone.now() - timedelta(days=90))
    Clock.objects.create(organisation=trial, now=timezone.now() + request.param)
    return trial


@pytest.fixture
def tess(trial):
    return signed_in(make_member("tess@example.test", trial, Membership.Role.OWNER))


@pytest.fixture
def program(trial):
    return Caller(make_key(trial, is_test=True).secret)


@pytest.fixture
def mailbox(trial, twin):
    mailbox = make_test_mailbox(trial)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


def remove(twin, mailbox, subject):
    box = twin.accounts[mailbox.address].folders["INBOX"]
    kept = box.append(f"Subject: {subject}\r\n\r\nx\r\n".encode())
    twin.remove(user=mailbox.address, folder="INBOX", uids=[kept.uid])
    return twin.accounts[mailbox.address].store["INBOX"].kept[-1]


def until_made(trial):
    """The clock goes on for as long as a wish cools off."""
    seconds = int(settings.COOLING_OFF.total_seconds())
    asked = test_clock.advance(actor=ACTOR, organisation=trial, seconds=seconds, at=timezone.now())
    assert test_clock.run(advance_id=asked.pk, engine=engine(), now=timezone.now)


# Removed mail that is destroyed -------------------------------------------------------------


def by_page(tess, _program, mailbox):
    path = reverse("mailboxes:empty_store", args=[mailbox.uuid])
    assert tess.post(path, {"address": mailbox.address}).status_code == 302


def by_api(_tess, program, mailbox):
    path = f"{path_of(mailbox)}/recoverable/empty"
    answer = program.post(path, {"address": mailbox.address}, if_match="*")
    assert answer.status_code == 202, answer.content


@pytest.mark.parametrize("door", [by_page, by_api])
def test_what_was_removed_until_it_was_asked_for_is_destroyed(  # noqa: PLR0917
    door, trial, tess, program, mailbox, twin
):
    old = remove(twin, mailbox, "old")
    object.__setattr__(old, "saved_at", timezone.now() - timedelta(minutes=1))
    begins = clocks.now_for(trial) + settings.COOLING_OFF

    door(tess, program, mailbox)

    new = remove(twin, mailbox, "new")
    object.__setattr__(new, "saved_at", timezone.now() + timedelta(minutes=1))
    assert PendingChange.objects.get().effective_at == begins
    until_made(trial)
    assert PendingChange.objects.get().state == PendingChange.State.MADE
    run = PurgeRun.objects.get()
    assert [item[0] for batch in run.batches.all() for item in batch.items] == [old.uid]
    assert abs(run.planned_at - timezone.now()) < timedelta(minutes=5)
