"""The change feed through the API."""

from __future__ import annotations

import pytest
from django.utils import timezone

from accounts import keyring
from hosting import exports, public_ids
from hosting.models import Export, WebhookDelivery
from hosting.webhooks import endpoints, feeding
from mailstore import domains, provisioning
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.billing_rows import ACTOR
from tests.hosting.simulated import make_test_customer

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def suspended(cast, domain, name):
    mailbox = make_mailbox(domain, name)
    provisioning.suspend(actor=cast.actor(cast.sam), mailbox=mailbox, at=AT)
    return mailbox


def test_a_reader_goes_on_where_it_stopped_and_is_told_of_everything_once(cast, rita):
    mailboxes = [suspended(cast, cast.domain, f"m{n}") for n in range(5)]
    suspended(cast, cast.other_domain, "stranger")

    seen, after, has_more = [], 0, True
    while has_more:
        page = rita.get(f"/events?after_seq={after}&limit=3").json()
        seen += page["items"]
        after, has_more = page["last_seq"], page["has_more"]

    told = [each["data"]["id"] for each in seen if each["type"] == "mailbox.suspended"]
    assert told == [public_ids.encode("mbx", each.uuid) for each in mailboxes]
    assert [each["seq"] for each in seen] == sorted({each["seq"] for each in seen})
    assert rita.get(f"/events?after_seq={after}").json()["items"] == []


def test_an_event_can_be_read_by_its_id_and_by_nobody_else(cast, rita, charlie):
    suspended(cast, cast.domain, "desk")
    (event,) = rita.get("/events?types=mailbox.suspended").json()["items"]

    assert rita.get(f"/events/{event['id']}").json() == event
    assert charlie.get(f"/events/{event['id']}").status_code == 404
    assert rita.get(f"/events/evt_{'0' * 32}").status_code == 404


@pytest.mark.parametrize("is_test", [True, False])
def test_a_key_reads_what_a_webhook_of_its_mode_is_told(is_test, cast, settings):
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    trial = make_test_customer(cast.reseller)
    reader = Caller(make_key(cast.reseller, is_test=is_test).secret)
    start = reader.get("/events").json()["last_seq"]
    url = "http://127.0.0.1:9/"
    hook = endpoints.make(
        actor=ACTOR, organisation=cast.reseller, url=url, is_test=is_test, at=AT
    ).endpoint

    suspended(cast, cast.domain, "desk")
    suspended(cast, domains.add(actor=ACTOR, organisation=trial, name="trial.test", at=AT), "desk")
    for of_tests in (True, False):
        made = make_key(cast.reseller, is_test=of_tests)
        made_for_customer = make_key(cast.customer, is_test=of_tests)
        for each in (made, made_for_customer):
            keyring.revoke(actor=ACTOR, api_key=each.api_key, at=AT)
        caller = Caller(make_key(cast.reseller, is_test=of_tests).secret)
        caller.post("/exports", {"kind": "customers"})
        gone = endpoints.make(
            actor=ACTOR, organisation=cast.reseller, url=url, is_test=of_tests, at=AT
        ).endpoint
        endpoints.disable(actor=ACTOR, endpoint=gone, at=AT)
    for export in Export.objects.all():
        exports.run(export_id=export.pk, now=timezone.now)
    feeding.feed_all(at=AT)

    told = WebhookDelivery.objects.filter(endpoint=hook).order_by("position")
    items = reader.get(f"/events?after_seq={start}").json()["items"]
    assert [each["seq"] for each in items] == list(told.values_list("position", flat=True))
    assert {each["is_test"] for each in items} == {is_test}
    assert {each["type"] for each in items} >= {
        *("api_key.created", "api_key.revoked", "export.ready", "mailbox.suspended"),
        *("operation.finished", "webhook_endpoint.disabled"),
    }
    assert all(reader.get(f"/events/{each['id']}").json() == each for each in items)


def test_an_event_says_nothing_personal(cast, rita):
    suspended(cast, cast.domain, "desk")

    text = rita.get("/events").text

    assert "alder" not in text.lower()
    assert "sam@" not in text


@pytest.mark.parametrize(
    "query", ["?after_seq=-1", "?after_seq=x", "?limit=201", "?types=mailbox.eaten", "?since=1"]
)
def test_a_parameter_that_cannot_be_taken_is_refused(query, rita):
    assert rita.get(f"/events{query}").status_code == 400


def test_the_feed_needs_its_scope(cast):
    assert Caller(make_key(cast.customer, "audit:read").secret).get("/events").status_code == 403
