"""A reseller has a program told of events, looks why it was not, and mends it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from accounts import outbox
from accounts.access import system
from hosting.models import WebhookDelivery
from hosting.webhooks import sending
from tests.factories import AT
from tests.hosting.webhooks.receiver import Receiver, answer

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def happen(cast, count):
    for number in range(count):
        outbox.record(
            kind=("mailbox.suspended", "mailbox.resumed", "mailbox.closing")[number % 3],
            at=AT,
            actor=system("tests"),
            organisation=cast.customer,
            subject=("mailbox", str(uuid4()), "x"),
        )


def send():
    sending.run(now=lambda: datetime.now(UTC))


def test_reseller_connects_a_program_and_sends_again_what_it_refused(
    page, cast, sign_in, look, settings
):
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    sign_in(cast.rita)
    page.get_by_role("link", name="Webhooks").click()
    expect(page.get_by_text("No program is told yet")).to_be_visible()
    look("webhooks-none")

    with Receiver(answers=[answer(500, b"shop is being mended"), answer(200, b"ok")]) as shop:
        page.get_by_role("link", name="New webhook").click()
        page.get_by_label("Address").fill("https://")
        page.get_by_role("button", name="Make it").click()
        look("webhook-new")
        page.get_by_label("Address").fill(shop.url)
        page.get_by_label("Description").fill("Events of the shop with a long name in the back")
        page.get_by_role("button", name="Make it").click()
        expect(page.get_by_text("This is shown once.")).to_be_visible()
        look("webhook-secret")

        happen(cast, 60)
        send()
        page.reload()
        look("webhook")
        page.get_by_label("State").select_option(label="Waiting")
        page.get_by_role("button", name="Show").click()
        page.get_by_role("link", name="mailbox.suspended").click()
        expect(page.get_by_text("shop is being mended")).to_be_visible()
        look("webhook-delivery")

        WebhookDelivery.objects.update(next_try_at=AT)
        send()
        page.reload()
        page.get_by_role("button", name="Send again").click()
        expect(page.get_by_text("It is on its way again")).to_be_visible()
        send()
        assert len({post.headers["webhook-id"] for post in shop.received}) == 60
        assert len(shop.received) == 62

        page.get_by_role("link", name=shop.url).click()
        page.get_by_role("button", name="Disable").click()
        look("webhook-disabled")
        page.get_by_role("button", name="Enable").click()
        page.get_by_role("button", name="Make a new secret").click()
        expect(page.get_by_text("A former secret signs as well")).to_be_visible()
        page.get_by_role("link", name="Webhooks").first.click()
        look("webhooks")
