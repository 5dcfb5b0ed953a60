"""What a program is told where a limit stops it: how far it may go, has gone and wanted to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hosting import public_ids
from hosting.models import Limits, WebhookEndpoint
from hosting.webhooks.endpoints import MOST_ENDPOINTS
from mailstore.models import Mailbox, Usage
from tests.factories import AT, make_mailbox
from tests.hosting.api.test_mailboxes import path_of
from tests.hosting.api.test_recoverable import remove
from tests.hosting.simulated import keeps

pytestmark = pytest.mark.django_db(databases="__all__")

FIGURES = ("limit_of", "limit", "current", "requested")


def order(cast, caller, local_part="new"):
    domain_id = public_ids.encode("dom", cast.domain.uuid)
    return caller.post(
        "/mailboxes", {"domain_id": domain_id, "local_part": local_part, "plan": "imap"}
    )


def figures_of(answer):
    assert (answer.status_code, answer.json()["code"]) == (409, "limit-reached")
    return [answer.json().get(name) for name in FIGURES]


def test_a_limit_of_mailboxes_tells_its_figures(cast, rita):
    make_mailbox(cast.domain)
    Limits.objects.create(organisation=cast.customer, mailboxes=1)

    assert figures_of(order(cast, rita)) == ["mailbox_count", 1, 1, 1]


def test_a_limit_of_domains_tells_its_figures(cast, rita):
    Limits.objects.create(organisation=cast.customer, domains=1)
    organisation_id = public_ids.encode("org", cast.customer.uuid)

    answer = rita.post("/domains", {"organisation_id": organisation_id, "name": "oak.test"})

    assert figures_of(answer) == ["domain_count", 1, 1, 1]


def test_a_limit_of_space_tells_what_is_kept(cast, rita):
    keeps(make_mailbox(cast.domain), 1200)
    Limits.objects.create(organisation=cast.customer, stored_bytes=1000)

    assert figures_of(order(cast, rita)) == ["stored_bytes", 1000, 1200, None]


def test_a_spend_cap_tells_its_figures_in_the_smallest_unit(cast, rita):
    assert order(cast, rita, "first").status_code == 201
    price_minor = 290
    Limits.objects.create(organisation=cast.customer, spend_cap_minor=price_minor + 10)

    name, limit, current, requested = figures_of(order(cast, rita))

    assert (name, limit) == ("spend_cap_minor", price_minor + 10)
    assert current + requested > limit
    assert current == requested > 0


@pytest.mark.parametrize("below", ["customer", "reseller"])
def test_a_customer_is_told_no_figures_of_its_seller(below, cast, alice, rita):
    make_mailbox(cast.domain)
    Limits.objects.create(organisation=getattr(cast, below), mailboxes=1)

    answer = order(cast, alice)

    told = ["mailbox_count", 1, 1, 1] if below == "customer" else [None] * 4
    assert figures_of(answer) == told
    assert figures_of(order(cast, rita)) == ["mailbox_count", 1, 1, 1]


def test_the_number_of_endpoints_is_a_limit_that_tells_its_figures(cast, rita, settings):
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    WebhookEndpoint.objects.bulk_create(
        WebhookEndpoint(
            organisation=cast.reseller,
            url="http://127.0.0.1:9/",
            state_since=AT,
            created_by="x",
            created_at=AT,
        )
        for _each in range(MOST_ENDPOINTS)
    )

    answer = rita.post("/webhook-endpoints", {"url": "http://127.0.0.1:9/"})

    assert figures_of(answer) == ["webhook_endpoint_count", MOST_ENDPOINTS, MOST_ENDPOINTS, 1]


def test_mail_that_does_not_fit_any_more_tells_how_much_it_is(cast, rita, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=["Work"])
    remove(twin, mailbox, "Work", "Plan")
    Mailbox.objects.filter(pk=mailbox.pk).update(quota_bytes=1000)
    Usage.objects.update_or_create(username=mailbox.address, defaults={"bytes": 990})

    since = datetime(2026, 11, 1, tzinfo=UTC).isoformat()
    answer = rita.post(f"{path_of(mailbox)}/recoverable/roll-back", {"to": since})

    name, limit, current, requested = figures_of(answer)
    assert (name, limit, current) == ("quota_bytes", 1000, 990)
    assert requested > 10
