"""What people do about endpoints, and what is refused."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from accounts import outbox
from accounts.access import Forbidden, system
from accounts.models import Event, Organisation
from hosting.models import WebhookDelivery, WebhookEndpoint, WebhookSecret
from hosting.webhooks import endpoints, feeding, sending
from tests.factories import AT

STAFF = system("tests")
LATER = AT + timedelta(hours=1)


def happen(organisation):
    outbox.record(
        kind="mailbox.suspended",
        at=AT,
        actor=STAFF,
        organisation=organisation,
        subject=("mailbox", str(uuid4()), "x"),
    )


@pytest.fixture
def rita(cast):
    return cast.actor(cast.rita)


def make(cast, rita, url, **more):
    return endpoints.make(
        actor=rita, organisation=cast.reseller, at=AT, **{"url": url, **more}
    ).endpoint


def run(at=LATER):
    return sending.run(now=lambda: at)


def test_secret_is_of_the_form_and_length_that_libraries_take(made):
    assert made.secret.startswith("whsec_")
    assert 24 <= len(base64.b64decode(made.secret.removeprefix("whsec_"))) <= 64


def test_making_one_is_written_down_without_its_secret(made):
    event = Event.objects.get(kind="webhook_endpoint.created")

    assert event.subject_id == str(made.endpoint.uuid)
    assert event.data == {"is_test": False}


@pytest.mark.parametrize("person", ["bob", "charlie", "alice"])
def test_others_may_not(person, cast, made):
    actor, endpoint = cast.actor(getattr(cast, person)), made.endpoint
    happen(cast.customer)
    run()
    delivery = WebhookDelivery.objects.select_related("endpoint__organisation").get()
    attempts = [
        lambda: endpoints.make(actor=actor, organisation=cast.reseller, url=endpoint.url, at=AT),
        lambda: endpoints.edit(
            actor=actor, endpoint=endpoint, url=endpoint.url, event_types=(), description="", at=AT
        ),
        lambda: endpoints.rotate(actor=actor, endpoint=endpoint, at=AT),
        lambda: endpoints.disable(actor=actor, endpoint=endpoint, at=AT),
        lambda: endpoints.enable(actor=actor, endpoint=endpoint, at=AT),
        lambda: endpoints.ping(actor=actor, endpoint=endpoint, at=AT),
        lambda: endpoints.remove(actor=actor, endpoint=endpoint, at=AT),
        lambda: endpoints.send_again(actor=actor, delivery=delivery, at=AT),
    ]

    for attempt in attempts:
        with pytest.raises(Forbidden):
            attempt()
    assert not WebhookEndpoint.objects.visible_to(actor).exists()
    assert not WebhookDelivery.objects.visible_to(actor).exists()


def test_key_sees_the_endpoints_of_its_mode(cast, rita, receiver, made):
    test = make(cast, rita, receiver.url, is_test=True)

    for is_test, expected in ((True, test), (False, made.endpoint)):
        found = WebhookEndpoint.objects.visible_to(replace(rita, is_test=is_test))
        assert list(found) == [expected]
    assert WebhookEndpoint.objects.visible_to(rita).count() == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_types", ["mailbox.created", "no.such"]),
        ("event_types", ["x" * 500]),
        ("description", "x" * 201),
        ("description", "a\0b"),
        ("url", "https://10.0.0.1:0/"),
        ("url", ""),
    ],
)
def test_bad_values_are_named(field, value, cast, rita, made):
    good = {"url": made.endpoint.url, "event_types": (), "description": ""}

    with pytest.raises(endpoints.BadEndpoint) as refusal:
        make(cast, rita, **{**good, field: value})
    assert refusal.value.field == field
    with pytest.raises(endpoints.BadEndpoint):
        endpoints.edit(actor=rita, endpoint=made.endpoint, at=AT, **{**good, field: value})


def test_organisation_for_testing_has_endpoints_for_testing_only(cast, receiver):
    trial = Organisation.objects.create(
        kind="customer", name="Trial", parent=cast.reseller, is_test=True
    )

    with pytest.raises(endpoints.BadEndpoint):
        endpoints.make(actor=STAFF, organisation=trial, url=receiver.url, at=AT)
    endpoints.make(actor=STAFF, organisation=trial, url=receiver.url, is_test=True, at=AT)


def test_there_are_twenty_at_most_in_each_mode(cast, rita, receiver, monkeypatch):
    monkeypatch.setattr(endpoints, "MOST_ENDPOINTS", 2)
    for _ in range(2):
        make(cast, rita, receiver.url)

    with pytest.raises(endpoints.TooManyEndpoints):
        make(cast, rita, receiver.url)
    make(cast, rita, receiver.url, is_test=True)


def test_event_types_are_kept_once_and_in_order(cast, rita, receiver):
    endpoint = make(
        cast,
        rita,
        receiver.url,
        event_types=["ping", "mailbox.closed", "ping", "mailbox.created"],
        description="  Our   shop ",
    )

    assert endpoint.event_types == ["mailbox.created", "mailbox.closed", "ping"]
    assert endpoint.description == "Our shop"


def test_secret_that_was_replaced_twice_ends_when_it_was_to_end(cast, rita, made):
    first_end = AT + timedelta(hours=2)
    endpoints.rotate(actor=rita, endpoint=made.endpoint, overlap=timedelta(hours=2), at=AT)
    endpoints.rotate(actor=rita, endpoint=made.endpoint, overlap=timedelta(days=2), at=LATER)

    assert WebhookSecret.objects.get(expires_at=first_end)
    assert WebhookSecret.objects.signing(at=LATER).count() == 3
    assert WebhookSecret.objects.signing(at=first_end).count() == 2
    endpoints.rotate(actor=rita, endpoint=made.endpoint, at=first_end)
    assert not WebhookSecret.objects.filter(expires_at=first_end).exists()


def test_of_many_secrets_the_newest_three_sign(rita, made):
    month = timedelta(days=30)
    moments = [AT + timedelta(minutes=minute) for minute in range(6)]
    for moment in moments:
        endpoints.rotate(actor=rita, endpoint=made.endpoint, overlap=month, at=moment)

    left = WebhookSecret.objects.signing(at=moments[-1])
    assert [each.created_at for each in left] == moments[:-4:-1]
    assert [each.expires_at for each in left] == [None, *(at + month for at in moments[:-3:-1])]
    assert WebhookSecret.objects.filter(endpoint=made.endpoint).count() == 3


def test_leaked_secret_ends_at_once(cast, rita, made):
    endpoints.rotate(actor=rita, endpoint=made.endpoint, overlap=timedelta(), at=AT)

    assert WebhookSecret.objects.signing(at=AT).count() == 1


@pytest.mark.parametrize("overlap", [timedelta(days=31), timedelta(seconds=-1)])
def test_overlap_has_an_end(overlap, rita, made):
    with pytest.raises(endpoints.BadEndpoint):
        endpoints.rotate(actor=rita, endpoint=made.endpoint, overlap=overlap, at=AT)


def test_what_happened_while_it_was_off_is_sent_when_it_is_on_again(cast, rita, receiver, made):
    happen(cast.customer)
    feeding.feed_all(at=AT)
    endpoints.disable(actor=rita, endpoint=made.endpoint, at=AT)
    happen(cast.customer)
    assert run() == 0

    endpoints.enable(actor=rita, endpoint=made.endpoint, at=AT)

    # The disabling itself is news as well.
    assert run() == 3
    assert made.endpoint.is_enabled


def test_what_happened_while_it_was_off_can_be_left_out(cast, rita, receiver, made):
    happen(cast.customer)
    feeding.feed_all(at=AT)
    endpoints.disable(actor=rita, endpoint=made.endpoint, at=AT)
    happen(cast.customer)

    endpoints.enable(actor=rita, endpoint=made.endpoint, sends_missed=False, at=AT)

    assert run() == 0
    assert WebhookDelivery.objects.get().state == "skipped"
    happen(cast.customer)
    assert run() == 1


def test_switching_twice_is_refused(rita, made):
    with pytest.raises(endpoints.WrongState):
        endpoints.enable(actor=rita, endpoint=made.endpoint, at=AT)
    endpoints.disable(actor=rita, endpoint=made.endpoint, at=AT)
    with pytest.raises(endpoints.WrongState):
        endpoints.disable(actor=rita, endpoint=made.endpoint, at=AT)


def test_giving_up_twice_tells_once(made):
    for _ in range(2):
        endpoints.give_up(made.endpoint, cause=WebhookEndpoint.Cause.FAILED, at=AT)

    assert Event.objects.filter(kind="webhook_endpoint.disabled").count() == 1


def test_delivery_is_sent_again_with_the_same_id_and_body(cast, rita, receiver, made):
    happen(cast.customer)
    run()
    delivery = WebhookDelivery.objects.select_related("endpoint__organisation").get()

    endpoints.send_again(actor=rita, delivery=delivery, at=LATER)
    run()

    first, again = receiver.received
    assert (first.headers["webhook-id"], first.body) == (again.headers["webhook-id"], again.body)
    assert delivery.attempts.count() == 2


def test_what_is_on_its_way_is_not_sent_again(cast, rita, made):
    happen(cast.customer)
    feeding.feed_all(at=AT)
    delivery = WebhookDelivery.objects.select_related("endpoint__organisation").get()

    with pytest.raises(endpoints.WrongState):
        endpoints.send_again(actor=rita, delivery=delivery, at=AT)


def test_nothing_is_sent_by_hand_to_one_that_is_off(cast, rita, made):
    happen(cast.customer)
    run()
    endpoints.disable(actor=rita, endpoint=made.endpoint, at=AT)
    delivery = WebhookDelivery.objects.select_related("endpoint__organisation").first()

    with pytest.raises(endpoints.WrongState):
        endpoints.ping(actor=rita, endpoint=made.endpoint, at=AT)
    delivery.endpoint.refresh_from_db()
    with pytest.raises(endpoints.WrongState):
        endpoints.send_again(actor=rita, delivery=delivery, at=AT)


def test_removed_endpoint_leaves_nothing_but_the_facts(cast, rita, made):
    happen(cast.customer)
    run()

    endpoints.remove(actor=rita, endpoint=made.endpoint, at=AT)

    assert not WebhookEndpoint.objects.exists()
    assert not WebhookDelivery.objects.exists()
    assert Event.objects.filter(kind="webhook_endpoint.removed").exists()
