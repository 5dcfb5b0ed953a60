"""Whoever owns the mail reads what was done to it, narrows it down, and takes the proof away."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import expect

from accounts import chaining, checkpoints, numbering, outbox, visits
from accounts.access import Door, Origin, system
from accounts.models import Event, Membership, User
from mailstore import credentials, provisioning, quotas
from tests.factories import PASSWORD, make_mailbox

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
VERIFY = Path(settings.BASE_DIR, "examples/activity/verify_activity.py")
_HOURS = 500
_LONG = "a-rather-long-name-for-a-mailbox-of-the-print-shop-in-the-old-town"


def busy(cast):
    """Five hundred lines by everybody there is, some of them long."""
    now = timezone.now()
    mailbox = make_mailbox(cast.domain, _LONG[:60])
    alice = replace(
        cast.actor(cast.alice),
        origin=Origin(door=Door.PANEL, address="2001:db8:85a3::8a2e:370:7334", session="5f" * 8),
    )
    visit = visits.begin(
        actor=cast.actor(cast.rita), organisation=cast.customer, reason="Set up a phone", at=now
    )
    rita = visits.acting(cast.actor(cast.rita), visit)
    actors = (alice, system("quota watch"), rita, cast.actor(cast.sam), cast.actor(cast.rita))
    facts = [
        outbox.event(
            kind=("mailbox.suspended", "mailbox.resumed", "domain.added")[number % 3],
            at=now - timedelta(hours=_HOURS - number),
            actor=actors[number % len(actors)],
            organisation=cast.customer,
            subject=("mailbox", str(mailbox.uuid), mailbox.address),
        )
        for number in range(_HOURS)
    ]
    outbox.record_all(facts)
    provisioning.suspend(actor=alice, mailbox=mailbox, at=now)
    quotas.change_limit(actor=alice, mailbox=mailbox, quota_bytes=2 * 10**9, at=now)
    credentials.issue(actor=alice, mailbox=mailbox, label="Phone", at=now)
    numbering.number_all()
    chaining.chain_all()
    checkpoints.write(at=now)
    return mailbox


def test_an_owner_reads_what_was_done_and_takes_the_proof_away(page, cast, sign_in, look, tmp_path):
    mailbox = busy(cast)
    sign_in(cast.alice)
    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_role("heading", name="Activity")).to_be_visible()
    expect(page.locator(".activity > li")).to_have_count(50)
    page.locator("summary", has_text="Details").nth(1).click()
    expect(page.locator("ins")).to_contain_text("2 GB")
    look("activity-500")

    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Newest")).to_be_visible()
    page.wait_for_load_state()
    page.get_by_label("Who").select_option("outside")
    expect(page).to_have_url(re.compile("who=outside"))
    expect(page.locator(".activity > li").first).to_have_attribute("data-from", "outside")
    expect(page.get_by_text("acted here as a guest from Rowan").first).to_be_visible()
    look("activity-outside")

    page.get_by_label("Mailbox").fill("nobody@alder.test")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Nothing of this kind happened.")).to_be_visible()
    look("activity-none")

    page.goto(f"/mailboxes/{mailbox.uuid}/")
    page.get_by_role("link", name="All of it").click()
    expect(page.get_by_text("An app password was made for “Phone”.")).to_be_visible()

    page.goto("/activity/")
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("Proof of Alder")).click()
    proof = tmp_path / "proof.jsonl"
    download.value.save_as(proof)
    checked = subprocess.run([sys.executable, VERIFY, proof], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout
    # What happened since the last turn of the worker has no link yet.
    linked = Event.objects.filter(organisation=cast.customer).exclude(own_link="")
    count = linked.count()
    assert f"All {count} lines".encode() in checked.stdout


def test_one_line_and_none(page, cast, sign_in, look):
    lonely = User.objects.create_user("lena@example.test", PASSWORD, name="Lena")
    sign_in(lonely)
    page.goto("/activity/")
    expect(page.get_by_role("heading", name="Nothing yet")).to_be_visible()
    look("activity-0")

    Membership.objects.create(user=lonely, organisation=cast.other_customer, role="owner")
    page.goto("/activity/?what=domains")
    expect(page.locator(".activity > li")).to_have_count(1)
    look("activity-1")
