"""Webhooks on the staff pages, and the check of an installation."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from accounts import outbox
from accounts.access import system
from hosting import checks
from hosting.models import WebhookDelivery
from hosting.webhooks import sending
from tests.factories import AT
from tests.hosting.webhooks.receiver import answer
from tests.staffing import ask_in_bulk


@pytest.fixture
def delivery(cast, receiver, made):
    receiver.answers = [answer(200, b"taken <b>")]
    outbox.record(
        kind="mailbox.suspended",
        at=AT,
        actor=system("tests"),
        organisation=cast.customer,
        subject=("mailbox", str(uuid4()), "x"),
    )
    sending.run(now=lambda: datetime.now(UTC))
    return WebhookDelivery.objects.get()


def act(staff, model, action, row):
    url = reverse(f"admin:hosting_{model}_changelist")
    return staff.post(url, {"action": action, ACTION_CHECKBOX_NAME: [row.pk]}, follow=True).text


def test_lists_and_pages_show_how_it_went_and_no_secret(staff, made, delivery):
    for model, row in (("webhookendpoint", made.endpoint), ("webhookdelivery", delivery)):
        listed = staff.get(reverse(f"admin:hosting_{model}_changelist"))
        shown = staff.get(reverse(f"admin:hosting_{model}_change", args=[row.pk]))
        exported = staff.get(reverse(f"admin:hosting_{model}_export"))

        assert made.endpoint.url in listed.text
        assert "whsec_" not in shown.text
        assert made.endpoint.url in exported.getvalue().decode()
    assert "taken &lt;b&gt;" in shown.text
    assert "mailbox.suspended" in shown.text


def test_staff_switch_off_and_on_and_ping(staff, made):
    assert "Disabled: 1." in act(staff, "webhookendpoint", "disable", made.endpoint)
    assert "disabled already" in act(staff, "webhookendpoint", "disable", made.endpoint)
    page = staff.get(reverse("admin:hosting_webhookendpoint_change", args=[made.endpoint.pk]))
    assert [name for name, _label in page.context["row_actions"]] == ["enable"]
    assert "Enabled: 1." in act(staff, "webhookendpoint", "enable", made.endpoint)
    assert "on their way: 1." in act(staff, "webhookendpoint", "ping", made.endpoint)


def test_staff_send_again(staff, delivery, receiver):
    asked, _page = ask_in_bulk(
        staff, "send_again", delivery, path="/staff/hosting/webhookdelivery/"
    )
    assert asked.done_count == 1
    sending.run(now=lambda: datetime.now(UTC))

    assert len(receiver.received) == 2


@pytest.mark.parametrize(
    ("is_public", "allows", "ids"),
    [(True, True, ["hosting.W002"]), (True, False, []), (False, True, [])],
)
def test_public_panel_is_warned_of_private_webhooks(is_public, allows, ids, settings):
    settings.PANEL_IS_PUBLIC = is_public
    settings.ALLOW_PRIVATE_WEBHOOKS = allows

    assert [message.id for message in checks.public_webhooks()] == ids
