"""Contracts through closing and reopening: every second and byte-second in exactly one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings

from hosting import billing, changing, metering, ordering
from hosting.models import Contract, Plan
from mailstore import provisioning
from mailstore.models import Usage
from tests.hosting.billing_rows import ACTOR, GIGABYTE, OCTOBER, moment, sold, used

pytestmark = pytest.mark.django_db(databases="__all__")

NOW = moment(12, 10)
HOUR = timedelta(hours=1)
WAIT = timedelta(hours=72)


def mailbox_of(domain, name="hello"):
    mailbox = sold(domain, name)
    Usage.objects.create(
        username=mailbox.address, bytes=GIGABYTE, since=int(OCTOBER.starts_at.timestamp())
    )
    return mailbox


@pytest.fixture
def mailbox(cast):
    return mailbox_of(cast.domain)


def change(mailbox, slug, *, at):
    changing.change(
        actor=ACTOR, mailbox=mailbox, plan=Plan.objects.get(slug=slug), wait=WAIT, at=at
    )


def close(mailbox, *, at):
    provisioning.close(actor=ACTOR, mailbox=mailbox, grace=settings.CLOSING_GRACE, at=at)


def reopen(mailbox, *, at):
    ordering.reopen(actor=ACTOR, mailbox=mailbox, at=at)


def charged(mailbox):
    """The seconds and byte-seconds of October that its contracts bring to a bill."""
    buyer = billing.buyer(mailbox.organisation)
    owners = billing.owners_of([buyer.organisation])
    parts = list(billing.stretches([buyer], period=OCTOBER, end=OCTOBER.end, owners=owners))
    used = metering.byte_seconds(billing.spans(parts, now=OCTOBER.end))
    return sum(part.end - part.start for part in parts), sum(used)


def test_closing_reopening_and_changing_on_one_day_charge_each_second_once(mailbox):
    close(mailbox, at=NOW)
    reopen(mailbox, at=NOW + HOUR)
    change(mailbox, "pop", at=NOW + 2 * HOUR)
    close(mailbox, at=NOW + 3 * HOUR)
    ordering.end_contracts()
    reopen(mailbox, at=NOW + 4 * HOUR)
    change(mailbox, "imap", at=NOW + 5 * HOUR)

    seconds = OCTOBER.end - OCTOBER.start - 2 * 3600
    assert charged(mailbox) == (seconds, seconds * GIGABYTE)


@pytest.mark.parametrize("seconds_late", [0, 1, 30, 86_400])
def test_closing_by_a_clock_behind_a_change_of_plan_ends_what_is_charged(
    cast, mailbox, seconds_late
):
    other = mailbox_of(cast.domain, "other")
    changed_at = NOW + timedelta(seconds=seconds_late)
    change(mailbox, "pop", at=changed_at)
    close(mailbox, at=NOW)
    close(other, at=NOW)

    assert ordering.end_contracts() == 2

    assert not Contract.objects.filter(ends_at=None).exists()
    seconds = int(changed_at.timestamp()) - OCTOBER.start
    both = seconds + int(NOW.timestamp()) - OCTOBER.start
    assert charged(mailbox) == (both, both * GIGABYTE)


def test_closing_that_waited_over_midnight_is_charged_until_midnight(mailbox):
    midnight = moment(13)
    reported_at = int(midnight.timestamp()) + 20
    Usage.objects.all().delete()
    used(mailbox, (OCTOBER.starts_at, GIGABYTE), until=midnight)
    Usage.objects.all().delete()
    Usage.objects.create(
        username=mailbox.address,
        bytes=GIGABYTE,
        since=reported_at,
        day_byte_seconds=20 * GIGABYTE,
    )

    close(mailbox, at=midnight - timedelta(seconds=10))
    ordering.end_contracts()

    assert mailbox.closing_mark == 86_400 * GIGABYTE
    assert charged(mailbox)[1] == 12 * 86_400 * GIGABYTE


def test_mark_of_a_closed_day_that_brought_nothing_is_nothing(mailbox):
    report = Usage(username=mailbox.address, bytes=0, since=int(moment(13).timestamp()))

    assert report.mark(int(OCTOBER.starts_at.timestamp()) - 1) == 0


def test_ending_what_is_not_charged_changes_nothing(mailbox):
    assert ordering.end_contract(mailbox, at=NOW)

    assert not ordering.end_contract(mailbox, at=NOW + HOUR)
    assert Contract.objects.get().ends_at == NOW
