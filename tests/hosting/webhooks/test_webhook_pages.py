"""Webhooks in the browser."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts import outbox
from accounts.access import system
from hosting.models import WebhookDelivery, WebhookEndpoint, WebhookSecret
from hosting.views import webhooks
from hosting.webhooks import endpoints, sending
from tests.factories import AT
from tests.hosting.webhooks.receiver import answer
from tests.staffing import signed_in

STAFF = system("tests")


@pytest.fixture
def rita(cast):
    client = Client()
    signed_in(cast.rita, client)
    return client


def happen(cast, count=1):
    for _ in range(count):
        outbox.record(
            kind="mailbox.suspended",
            at=AT,
            actor=STAFF,
            organisation=cast.customer,
            subject=("mailbox", str(uuid4()), "x"),
        )
    sending.run(now=lambda: datetime.now(UTC))


def to(name, endpoint, *more):
    return reverse(f"webhooks:{name}", args=[endpoint.uuid, *more])


def fields(cast, url, **more):
    return {"organisation": cast.reseller.pk, "url": url, "description": "Shop", **more}


def test_secret_is_shown_once(cast, rita, receiver):
    answered = rita.post(reverse("webhooks:make"), fields(cast, receiver.url), follow=True)

    assert answered.status_code == 200
    [secret] = re.findall(r"whsec_[A-Za-z0-9+/=]+", answered.text)
    assert WebhookEndpoint.objects.get().description == "Shop"
    assert secret not in rita.get(to("detail", WebhookEndpoint.objects.get())).text


def test_refused_address_is_named_at_its_field(cast, rita):
    answered = rita.post(reverse("webhooks:make"), fields(cast, "https://10.0.0.1/"))

    assert answered.status_code == 422
    assert "not public" in answered.context["form"].errors["url"][0]


def test_one_too_many_is_said_above_the_form(cast, rita, receiver, monkeypatch):
    monkeypatch.setattr(endpoints, "MOST_ENDPOINTS", 0)

    answered = rita.post(reverse("webhooks:make"), fields(cast, receiver.url))

    assert "at most" in answered.context["form"].non_field_errors()[0]


def test_organisation_of_somebody_else_cannot_be_chosen(cast, rita, receiver):
    given = fields(cast, receiver.url, organisation=cast.other_customer.pk)

    assert rita.post(reverse("webhooks:make"), given).status_code == 422


def test_endpoint_is_changed(rita, made):
    given = {"url": made.endpoint.url, "description": "New", "event_types": ["mailbox.closed"]}

    rita.post(to("edit", made.endpoint), given)

    made.endpoint.refresh_from_db()
    assert made.endpoint.event_types == ["mailbox.closed"]
    bad = rita.post(to("edit", made.endpoint), {**given, "url": "ftp://x"})
    assert bad.status_code == 422
    assert "New" in rita.get(to("edit", made.endpoint)).text


def test_secret_is_rotated_with_both_for_a_day(rita, made):
    answered = rita.post(to("rotate", made.endpoint), {"hours": "24"}, follow=True)

    assert "whsec_" in answered.text
    assert "A former secret signs as well" in answered.text
    assert WebhookSecret.objects.count() == 2


def test_page_says_when_a_further_secret_ends_the_oldest(rita, made):
    said = f"{endpoints.MOST_SECRETS} secrets sign at most"
    pages = []
    for _turn in range(endpoints.MOST_SECRETS):
        pages.append(rita.get(to("detail", made.endpoint)).content.decode())
        rita.post(to("rotate", made.endpoint), {"hours": "24"})

    assert [said in page for page in pages] == [False] * (endpoints.MOST_SECRETS - 1) + [True]


def test_rotation_without_a_good_answer_changes_nothing(rita, made):
    rita.post(to("rotate", made.endpoint), {"hours": "9"})

    assert WebhookSecret.objects.count() == 1


def test_endpoint_is_switched_off_and_on(rita, made):
    assert "Nothing more is sent" in rita.post(to("disable", made.endpoint), follow=True).text
    assert "disabled already" in rita.post(to("disable", made.endpoint), follow=True).text
    assert "Disabled since" in rita.get(to("detail", made.endpoint)).text

    rita.post(to("enable", made.endpoint), {"sends_missed": "on"})

    made.endpoint.refresh_from_db()
    assert made.endpoint.is_enabled


def test_ping_is_sent_and_stands_in_the_list(cast, rita, made):
    rita.post(to("ping", made.endpoint))
    happen(cast, 0)

    assert list(WebhookDelivery.objects.values_list("event_type", "state")) == [
        ("ping", "delivered")
    ]
    assert "ping" in rita.get(to("detail", made.endpoint)).text


def test_delivery_shows_request_answer_and_time_and_is_sent_again(cast, rita, receiver, made):
    receiver.answers = [answer(500, b"<script>alert(1)</script>"), answer(200)]
    happen(cast)
    delivery = WebhookDelivery.objects.get()
    path = to("delivery", made.endpoint, delivery.uuid)

    failed = rita.get(path).text

    assert "&lt;script&gt;alert(1)" in failed
    assert "<script>alert" not in failed
    for shown in ("500", " ms", "webhook-signature", "mailbox.suspended", "Try 1 of 10 failed"):
        assert shown in failed
    again = to("send_again", made.endpoint, delivery.uuid)
    assert "on its way already" in rita.post(again, follow=True).text
    WebhookDelivery.objects.update(next_try_at=AT)
    happen(cast, 0)
    assert "Send again" in rita.get(path).text
    assert "on its way again" in rita.post(again, follow=True).text
    happen(cast, 0)
    assert len(receiver.received) == 3


def test_failing_endpoint_says_since_when(cast, rita, receiver, made):
    receiver.answers = [answer(500)]
    happen(cast)

    assert "Nothing has arrived since" in rita.get(to("detail", made.endpoint)).text
    assert "Failing" in rita.get(reverse("webhooks:list")).text


def test_lists_are_paged_searched_and_narrowed(cast, rita, receiver, made, monkeypatch):
    monkeypatch.setattr(webhooks, "PAGE_LENGTH", 2)
    happen(cast, 5)
    seen, query = [], ""
    while True:
        page = rita.get(to("detail", made.endpoint) + query)
        seen += [each.position for each in page.context["deliveries"]]
        query = page.context["next_url"]
        if not query:
            break

    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)
    assert "None is in this state" in rita.get(to("detail", made.endpoint) + "?state=failed").text
    assert "No webhook has this" in rita.get(reverse("webhooks:list") + "?q=nowhere").text
    assert made.endpoint.url in rita.get(reverse("webhooks:list") + "?q=127.0.0.1").text


def test_list_without_any_says_what_webhooks_are_for(rita, cast):
    assert "No program is told yet" in rita.get(reverse("webhooks:list")).text


@pytest.mark.parametrize("count", [1, 3])
def test_pages_ask_as_much_of_the_database_however_long_they_are(
    count, cast, rita, made, django_assert_max_num_queries
):
    happen(cast, count)
    for _ in range(count):
        url = made.endpoint.url
        endpoints.make(actor=STAFF, organisation=cast.reseller, url=url, at=AT)

    with django_assert_max_num_queries(10):
        rita.get(reverse("webhooks:list"))
    with django_assert_max_num_queries(10):
        rita.get(to("detail", made.endpoint))


def test_endpoint_is_removed_after_asking(rita, made):
    assert "Remove this webhook?" in rita.get(to("remove", made.endpoint)).text

    rita.post(to("remove", made.endpoint))

    assert not WebhookEndpoint.objects.exists()
