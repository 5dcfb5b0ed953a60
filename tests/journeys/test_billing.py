"""A customer looks at the bill, empties Junk from a real mail program, and sees it fall."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from hosting import metering
from hosting.models import BillingProfile, Contract
from hosting.periods import Period
from mailstore.models import Mailbox, Usage, UsageDay
from tests.factories import make_mailbox
from tests.hosting.billing_rows import make_list, make_profile
from tests.patience import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

MEGABYTE = 10**6


def fill(program, folder, megabytes):
    """Whole megabytes in messages of one, by a mail program."""
    client = program.imap()
    body = (b"x" * 998 + b"\r\n") * (MEGABYTE // 1000)
    for number in range(megabytes):
        client.append(folder, None, None, b"Subject: %d\r\n\r\n" % number + body)
    client.logout()


def since_the_month_began(mailbox, megabytes):
    """As if all that lies there had lain there since the month began, and been sold so."""
    eventually(lambda: metering.sizes([mailbox.address])[mailbox.address] >= megabytes * MEGABYTE)
    period = Period.of(timezone.now())
    Contract.objects.filter(mailbox=mailbox).update(
        starts_at=period.starts_at, start_mark=0, end_mark=0
    )
    Mailbox.objects.filter(pk=mailbox.pk).update(created_at=period.starts_at)
    Usage.objects.filter(username=mailbox.address).update(since=period.start, day_byte_seconds=0)


def amount(locator):
    return int(re.sub(r"\D", "", locator.inner_text()))


@pytest.fixture(autouse=True)
def _dear(cast):
    """Prices at which megabytes show on the bill."""
    make_list(cast.reseller, is_default=True, pop=("1.00", 0, "0"), imap=("2.50", 0, "100"))
    for organisation in (cast.provider, cast.reseller, cast.customer):
        make_profile(organisation)


def test_customer_sees_the_forecast_fall_after_emptying_junk(
    page, cast, make_program, sign_in, look
):
    program = make_program()
    fill(program, "INBOX", 4)
    fill(program, "Junk", 30)
    since_the_month_began(program.mailbox, 34)
    sign_in(cast.alice)
    expect(page.get_by_text("Forecast of the month")).to_be_visible()
    page.get_by_role("link", name="Billing").click()
    expect(page.get_by_text("Alder buys from Rowan.")).to_be_visible()
    so_far = page.locator(".bill-totals dd").nth(0)
    forecast = page.locator(".bill-totals dd").nth(1)
    before, before_so_far = amount(forecast), amount(so_far)
    assert 580 <= before <= 600
    look("billing")

    page.get_by_role("link", name="hello@alder.test").click()
    expect(page.get_by_text("Clear Junk now and save")).to_be_visible()
    look("mailbox-costs")
    client = program.imap()
    client.select("Junk")
    client.store("1:*", "+FLAGS", "\\Deleted")
    client.expunge()
    client.logout()
    address = program.mailbox.address
    eventually(lambda: metering.sizes([address])[address] < 5 * MEGABYTE)
    page.reload()

    expect(page.get_by_text("Clear Junk now and save")).to_be_hidden()
    page.get_by_role("link", name="The whole bill").click()
    assert amount(forecast) < before
    assert abs(amount(so_far) - before_so_far) <= 1
    period = Period.of(timezone.now())
    rest = period.end - int(timezone.now().timestamp())
    saved = before - amount(forecast)
    assert abs(saved - 300 * rest // period.seconds) <= 2


def grows(mailbox, megabytes_a_day):
    """As if it had grown so every day for 40 days."""
    today = int(timezone.now().timestamp()) // metering.DAY_SECONDS
    Mailbox.objects.filter(pk=mailbox.pk).update(
        created_at=timezone.now() - timedelta(days=40), quota_bytes=100 * megabytes_a_day * MEGABYTE
    )
    size = 41 * megabytes_a_day * MEGABYTE
    Usage.objects.update_or_create(username=mailbox.address, defaults={"bytes": size})
    Usage.objects.filter(username=mailbox.address).update(
        since=today * metering.DAY_SECONDS, day_byte_seconds=0
    )
    UsageDay.objects.filter(username=mailbox.address).delete()
    UsageDay.objects.bulk_create(
        UsageDay(
            username=mailbox.address,
            day=today - 40 + number,
            byte_seconds=number * megabytes_a_day * MEGABYTE * metering.DAY_SECONDS,
        )
        for number in range(1, 40)
    )


def test_owner_sees_a_mailbox_grow(page, cast, make_program, sign_in, look):
    program = make_program()
    fill(program, "INBOX", 1)
    grows(program.mailbox, 3)
    BillingProfile.objects.filter(organisation=cast.customer).update(pools_storage=True)
    sign_in(cast.alice)

    page.goto(reverse("billing:mailbox", args=[program.mailbox.uuid]))

    expect(page.get_by_text(re.compile(r"is reached in about \d+ days"))).to_be_visible()
    page.get_by_text("Day by day, in numbers").click()
    expect(page.get_by_role("cell", name="117 MB").first).to_be_visible()
    page.get_by_text("Day by day, in numbers").click()
    look("mailbox-costs-grown")
    page.get_by_role("link", name="The whole bill").click()
    expect(page.get_by_text("Space that all mailboxes share")).to_be_visible()
    look("billing-shared")


def test_owner_caps_spending_and_reseller_sees_the_margin(page, cast, sign_in, look):
    for number in range(3):
        make_mailbox(cast.domain, f"a-rather-long-name-somebody-chose-{number}")
    BillingProfile.objects.filter(organisation=cast.customer).update(pools_storage=True)
    sign_in(cast.alice)
    page.goto(reverse("billing:detail", args=[cast.customer.uuid]))
    page.get_by_label("Spend cap in EUR").fill("9.50")
    page.get_by_role("button", name="Set the cap").click()

    expect(page.get_by_role("status")).to_contain_text("The spend cap was changed.")
    expect(page.locator("#cap")).to_contain_text("of 9.50 EUR used")
    look("billing-cap")
    page.get_by_role("button", name="Sign out").click()
    sign_in(cast.rita)
    page.get_by_role("link", name="Billing").click()
    page.get_by_role("link", name="Customers and margin").click()
    expect(page.get_by_role("row", name=re.compile("Alder"))).to_be_visible()
    look("billing-customers")
