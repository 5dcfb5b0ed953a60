"""Who gets in, as owners decide it for all mailboxes, and as staff look at it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.access import system
from mailstore import credentials
from mailstore.models import Device, Mailbox, Place
from tests.factories import AT, make_mailbox

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
LONG = "the-till-in-the-front-shop.of-the-second-floor.beside-the-window.one"


def opened_by_password(cast, local_part):
    mailbox = make_mailbox(cast.domain, local_part)
    credentials.set_mailbox_password(
        actor=system("tests"), mailbox=mailbox, password="long enough", at=AT
    )
    device = Device.objects.create(
        mailbox=mailbox,
        credential="-",
        protocol="imap",
        first_at=AT,
        last_at=timezone.now() - timedelta(days=2),
        last_address="203.0.113.7",
    )
    Place.objects.create(
        device=device, network="203.0.0.0/16", first_at=AT, last_at=AT, last_address="203.0.113.7"
    )


def test_owner_allows_app_passwords_only(cast, page, sign_in, look):
    sign_in(cast.alice)
    page.goto(f"/people/{cast.customer.uuid}/")
    page.get_by_role("link", name="App passwords only").click()
    look("app-passwords-only-of-none")
    for local_part in (LONG[:60], *(f"desk{number}" for number in range(24))):
        opened_by_password(cast, local_part)
    page.reload()
    look("app-passwords-only")
    page.get_by_role("button", name="Allow app passwords only", exact=True).click()
    expect(page.get_by_text("Only app passwords open new mailboxes from now on.")).to_be_visible()

    page.get_by_role("button", name="Allow app passwords only in 25 mailboxes").click()

    expect(page.get_by_text("Only app passwords open 25 further mailboxes now.")).to_be_visible()
    look("app-passwords-only-everywhere")
    assert Mailbox.objects.filter(app_passwords_only=True).count() == 25


def test_staff_look_at_devices_and_sessions(cast, page, sign_in, look):
    opened_by_password(cast, LONG[:60])
    sign_in(cast.sam)
    page.goto("/staff/mailstore/device/?q=the-till")
    look("staff-devices")
    page.get_by_role("link", name=re.compile(r"^the-till")).first.click()
    look("staff-device")
    page.get_by_role("button", name="Lock out: it is nobody's …").click()
    look("staff-device-lock-out")
    page.goto(f"/staff/accounts/signedin/{cast.sam.pk}/change/")
    look("staff-sessions")
    page.get_by_role("button", name="End sessions …").click()
    look("staff-sessions-end")
