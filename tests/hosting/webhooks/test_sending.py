"""Deliveries: signed as the standard says, in order, tried again, and ended."""

from __future__ import annotations

import json
import socket
import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from accounts import outbox
from accounts.access import system
from accounts.models import Event, Notice, Organisation
from hosting import feed
from hosting.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookSecret
from hosting.tasks import forget_webhooks, send_webhooks
from hosting.webhooks import endpoints, feeding, forgetting, posting, sending
from tests.factories import AT
from tests.hosting.webhooks.receiver import answer
from tests.patience import PATIENCE_SECONDS, eventually

STAFF = system("tests")
NOW = datetime.now(UTC)


def happen(organisation, count=1, kind="mailbox.suspended"):
    for _ in range(count):
        outbox.record(
            kind=kind,
            at=AT,
            actor=STAFF,
            organisation=organisation,
            subject=("mailbox", str(uuid4()), "x"),
        )


def run(at=NOW):
    return sending.run(now=lambda: at)


def verified(secret, post):
    return Webhook(secret).verify(post.body, post.headers)


def states():
    rows = WebhookDelivery.objects.order_by("position")
    return list(rows.values_list("state", flat=True))


def test_delivery_is_verified_by_the_standards_own_library(cast, receiver, made):
    happen(cast.customer)

    assert run() == 1

    [post] = receiver.received
    event = Event.objects.get(kind="mailbox.suspended")
    document = feed.document(event, names=feed.names())
    assert verified(made.secret, post) == document == json.loads(post.body)
    assert post.path == "/hook"
    assert post.headers["webhook-id"] == document["id"]
    assert post.headers["content-type"] == "application/json"
    assert post.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert states() == ["delivered"]


def test_body_that_was_changed_is_not_verified(cast, receiver, made):
    happen(cast.customer)
    run()
    [post] = receiver.received

    with pytest.raises(WebhookVerificationError):
        Webhook(made.secret).verify(post.body + b" ", post.headers)


def test_after_a_rotation_both_secrets_verify_until_the_old_one_ends(cast, receiver, made):
    actor = cast.actor(cast.rita)
    new = endpoints.rotate(actor=actor, endpoint=made.endpoint, at=NOW)
    happen(cast.customer)
    run()
    [both] = receiver.received

    happen(cast.customer)
    run(NOW + endpoints.OVERLAP)
    [_, only_new] = receiver.received

    assert verified(made.secret, both) == verified(new.secret, both)
    assert len(both.headers["webhook-signature"].split()) == 2
    assert verified(new.secret, only_new)
    with pytest.raises(WebhookVerificationError):
        verified(made.secret, only_new)


def test_deliveries_arrive_in_order_on_one_connection(cast, receiver, made):
    happen(cast.customer, count=250)

    assert run() == 250

    places = [json.loads(post.body)["seq"] for post in receiver.received]
    assert places == sorted(places)
    assert receiver.connections == 3


def test_endpoint_hears_of_its_tree_and_its_mode_only(cast, receiver, made):
    trial = Organisation.objects.create(
        kind="customer", name="Trial", parent=cast.reseller, is_test=True
    )
    for organisation in (cast.customer, cast.reseller, cast.other_customer, cast.provider, trial):
        happen(organisation)
    test = endpoints.make(
        actor=cast.actor(cast.rita),
        organisation=cast.reseller,
        url=receiver.url,
        is_test=True,
        at=AT,
    )
    happen(trial)

    run()

    owners = WebhookDelivery.objects.filter(event__kind="mailbox.suspended").values_list(
        "endpoint", "event__organisation"
    )
    assert sorted(owners) == sorted(
        [
            (made.endpoint.pk, cast.customer.pk),
            (made.endpoint.pk, cast.reseller.pk),
            (test.endpoint.pk, trial.pk),
        ]
    )


def test_endpoint_hears_of_the_types_it_asked_for(cast, receiver, made):
    endpoints.edit(
        actor=cast.actor(cast.rita),
        endpoint=made.endpoint,
        url=receiver.url,
        event_types=["mailbox.closed"],
        description="",
        at=AT,
    )
    happen(cast.customer)
    happen(cast.customer, kind="mailbox.closed")

    run()

    assert list(WebhookDelivery.objects.values_list("event_type", flat=True)) == ["mailbox.closed"]


def test_nothing_from_before_the_endpoint_is_sent(cast, receiver, laptop):
    happen(cast.customer)
    endpoints.make(actor=cast.actor(cast.rita), organisation=cast.reseller, url=receiver.url, at=AT)

    assert run() == 0


def test_ping_reaches_its_endpoint_alone(cast, receiver, made):
    actor = cast.actor(cast.rita)
    endpoints.make(actor=actor, organisation=cast.reseller, url=receiver.url, at=AT)
    endpoints.ping(actor=actor, endpoint=made.endpoint, at=AT)

    run()

    [post] = receiver.received
    assert verified(made.secret, post)["type"] == "ping"


def test_feed_in_pieces_makes_each_delivery_once(cast, made, monkeypatch):
    monkeypatch.setattr(feeding, "BATCH", 3)
    happen(cast.customer, count=10)

    assert feeding.feed_all(at=AT) == 10
    assert feeding.feed_all(at=AT) == 0


# Failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 304, 307, 400, 404, 429, 500, 503])
def test_anything_but_success_is_tried_again(status, cast, receiver, made):
    receiver.answers = [answer(status, location=receiver.url), answer(204)]
    happen(cast.customer)

    assert run() == 0
    assert run(NOW + timedelta(seconds=4)) == 0
    assert run(NOW + timedelta(seconds=5)) == 1

    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert list(WebhookAttempt.objects.order_by("pk").values_list("status", flat=True)) == [
        status,
        204,
    ]


def test_waits_are_those_of_the_contract():
    seconds, minutes, hours = (5,), (5, 30), (2, 5, 10, 14, 20, 24)

    assert [each.total_seconds() for each in sending.WAITS] == [
        *seconds,
        *(60 * each for each in minutes),
        *(3600 * each for each in hours),
    ]


def test_last_retry_ends_it_and_the_endpoint_and_tells_the_owner(cast, receiver, made):
    receiver.answers = [answer(500)]
    happen(cast.customer)
    at = NOW
    run(at)
    for wait in sending.WAITS:
        at += wait
        run(at)

    assert len(receiver.received) == 10
    assert {post.headers["webhook-id"] for post in receiver.received} == {
        receiver.received[0].headers["webhook-id"]
    }
    assert states() == ["failed"]
    made.endpoint.refresh_from_db()
    assert (made.endpoint.state, made.endpoint.cause) == ("disabled", "failed")
    assert Event.objects.filter(kind="webhook_endpoint.disabled").count() == 1
    assert list(Notice.objects.values_list("to", "name")) == [
        ("rita@example.test", "webhook_disabled")
    ]


def test_one_event_that_is_never_taken_ends_alone_while_others_arrive(cast, receiver, made):
    happen(cast.customer)
    poison = None
    at = NOW
    for wait in (timedelta(), *sending.WAITS):
        at += wait
        happen(cast.customer)
        feeding.feed_all(at=at)
        poison = poison or WebhookDelivery.objects.earliest("position")
        receiver.received.clear()
        receiver.answers = [answer(422), answer(200)]
        run(at)

    poison.refresh_from_db()
    made.endpoint.refresh_from_db()
    assert poison.state == "failed"
    assert made.endpoint.state == "enabled"
    assert set(states()[1:]) == {"delivered"}


def test_one_event_that_is_never_taken_ends_alone_though_its_last_try_is_made_by_itself(
    cast, receiver, made
):
    receiver.answers = [answer(422)]
    happen(cast.customer)
    at = NOW
    run(at)
    for wait in sending.WAITS:
        receiver.answers = [answer(200)]
        happen(cast.customer)
        run(at + timedelta(seconds=1))
        receiver.answers = [answer(422)]
        at += wait
        run(at)

    made.endpoint.refresh_from_db()
    assert states() == ["failed", *["delivered"] * len(sending.WAITS)]
    assert made.endpoint.state == "enabled"


def test_gone_disables_at_once(cast, receiver, made):
    receiver.answers = [answer(410)]
    happen(cast.customer, count=3)

    run()

    made.endpoint.refresh_from_db()
    assert (made.endpoint.state, made.endpoint.cause) == ("disabled", "gone")
    assert len(receiver.received) == 1
    assert Notice.objects.get().context["is_gone"] is True
    assert run(NOW + timedelta(days=1)) == 0


def test_five_days_without_success_disable(cast, receiver, made):
    receiver.answers = [answer(500)]
    for day in range(6):
        happen(cast.customer)
        run(NOW + timedelta(days=day))
        made.endpoint.refresh_from_db()
        if made.endpoint.state == "disabled":
            break

    assert day == 5


def test_success_ends_the_failing(cast, receiver, made):
    receiver.answers = [answer(500), answer(200)]
    happen(cast.customer)
    run()
    made.endpoint.refresh_from_db()
    assert made.endpoint.failing_since == NOW

    run(NOW + timedelta(days=1))

    made.endpoint.refresh_from_db()
    assert (made.endpoint.failing_since, made.endpoint.rests) == (None, 0)


def test_receiver_that_nobody_reaches_rests_ever_longer_and_holds_nobody_up(cast, made, receiver):
    receiver.__exit__()
    happen(cast.customer, count=50)
    at, tries = NOW, []
    for _ in range(9):
        run(at)
        run(at + timedelta(seconds=1))
        made.endpoint.refresh_from_db()
        tries.append((made.endpoint.rest_until - at).total_seconds())
        at = made.endpoint.rest_until

    assert tries == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    # One knock a rest, however much waits.
    assert WebhookAttempt.objects.count() == 9
    assert "Nobody listens there" in WebhookAttempt.objects.first().problem


def slow(*pieces, pause=0.2):
    def drip(peer):
        import time  # noqa: PLC0415

        for piece in pieces:
            peer.sendall(piece)
            time.sleep(pause)

    return drip


# As many as nobody waits for: to the end they take a minute.
DRIPS = 300
HANGING = {
    "says nothing": slow(*[b""] * DRIPS),
    "drips its head": slow(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * DRIPS),
    "drips its body": slow(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", *[b"x"] * DRIPS),
    "drips chunks": slow(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * DRIPS
    ),
    "goes on to say that it goes on": slow(*[b"HTTP/1.1 102 Wait\r\n\r\n"] * DRIPS),
}


@pytest.mark.parametrize("name", HANGING)
def test_receiver_that_hangs_is_left_by_the_clock_on_the_wall(
    name, cast, receiver, made, monkeypatch
):
    monkeypatch.setattr(posting, "PATIENCE_SECONDS", 1.0)
    receiver.answers = [HANGING[name]]
    happen(cast.customer, count=3)

    run()

    attempt = WebhookAttempt.objects.get()
    assert "within 1 seconds" in attempt.problem
    assert 900 <= attempt.duration_ms <= 20_000
    assert states() == ["waiting"] * 3


def test_names_that_nobody_answers_for_hold_up_no_other_receiver(receiver, monkeypatch):
    is_over, look_up = threading.Event(), socket.getaddrinfo

    def hang(host, *more, **named):
        if host.endswith(".hangs.example"):
            is_over.wait()
            raise OSError
        return look_up(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    parcel = posting.Parcel(key=1, body=b"{}", stamp=lambda _at: {})
    with posting.Courier(allows_private=True) as courier:
        for number in range(posting.MOST_AT_ONCE - 1):
            courier.send(f"http://n{number}.hangs.example/", [parcel])

        [outcome] = courier.send(receiver.url, [parcel]).result(timeout=PATIENCE_SECONDS)

        is_over.set()
    assert outcome.is_success


def test_patience_is_fifteen_seconds():
    assert posting.PATIENCE_SECONDS == 15


def endless(peer):
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    peer.settimeout(5)
    sent = 0
    try:
        while sent < 1_000_000_000:
            sent += peer.send(b"x" * 65536)
    finally:
        SENT.append(sent)


SENT: list[int] = []


def test_gigabyte_is_cut_off(cast, receiver, made):
    receiver.answers = [endless, answer(200)]
    SENT.clear()
    happen(cast.customer, count=2)

    assert run() == 2

    # The other side learns of it in a thread of its own. What the kernels of both sides hold comes
    # on top of what is read.
    assert eventually(lambda: SENT)[0] < 20_000_000
    assert len(WebhookAttempt.objects.earliest("pk").answer) == 4096


NO_HTTP = {
    "nothing": slow(),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 40_000,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a wrong length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "half a body": slow(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_answer_that_is_no_http_is_a_failure(name, cast, receiver, made):
    receiver.answers = [NO_HTTP[name]]
    happen(cast.customer)

    assert run() == 0

    attempt = WebhookAttempt.objects.get()
    assert attempt.status is None
    assert attempt.problem


def test_answer_is_kept_as_text_whatever_bytes_it_has(cast, receiver, made):
    receiver.answers = [answer(200, b"ok \x00\xff<script>")]
    happen(cast.customer)
    run()

    attempt = WebhookAttempt.objects.get()
    assert attempt.answer == "ok \ufffd\ufffd<script>"
    assert attempt.request_headers["webhook-id"] == receiver.received[0].headers["webhook-id"]
    assert made.secret not in json.dumps(attempt.request_headers)


def test_connection_that_the_receiver_closed_meanwhile_is_no_failure(cast, receiver, made):
    def once(peer):
        peer.sendall(answer(200))

    receiver.answers = [once]
    happen(cast.customer, count=5)

    assert run() == 5
    assert set(WebhookAttempt.objects.values_list("problem", flat=True)) == {""}


def test_slow_receiver_gets_what_fits_into_its_turn(cast, receiver, made, monkeypatch):
    monkeypatch.setattr(posting, "TURN_SECONDS", -1)
    happen(cast.customer, count=3)

    assert run() == 3
    assert receiver.connections == 3


# Leases -------------------------------------------------------------------------------------


def test_endpoint_in_somebody_elses_hands_is_left_alone(cast, made):
    happen(cast.customer)
    feeding.feed_all(at=NOW)

    [turn] = sending.claim(limit=10, at=NOW)

    assert sending.claim(limit=10, at=NOW) == []
    assert sending.claim(limit=0, at=NOW) == []
    [later] = sending.claim(limit=10, at=NOW + timedelta(minutes=3))
    assert sending.settle(turn, [], at=NOW) == 0
    assert later.endpoint.fence == turn.endpoint.fence + 1


def test_what_a_worker_left_unsaid_is_sent_again_with_the_same_id(cast, receiver, made):
    happen(cast.customer)
    feeding.feed_all(at=NOW)
    [turn] = sending.claim(limit=10, at=NOW)
    with posting.Courier(allows_private=True) as courier:
        courier.send(turn.endpoint.url, turn.parcels).result()

    assert run(NOW + timedelta(minutes=3)) == 1

    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_two_who_find_the_same_endpoint_lease_it_once(cast, made):
    endpoint = WebhookEndpoint.objects.get()

    assert sending._lease(endpoint, at=NOW)
    endpoint.fence -= 1
    assert not sending._lease(endpoint, at=NOW)


def test_lost_secret_does_not_stop_the_sender(cast, receiver, made, settings):
    settings.SECRET_KEY = "another"
    happen(cast.customer)

    assert run() == 1
    assert receiver.received[0].headers["webhook-signature"] == ""


def test_secret_opens_under_a_former_key(cast, receiver, made, settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"
    happen(cast.customer)
    run()

    assert verified(made.secret, receiver.received[0])


def test_secret_does_not_lie_in_the_table(made):
    assert made.secret.removeprefix("whsec_") not in WebhookSecret.objects.get().sealed


def test_task_sends_what_is_new(cast, receiver, made):
    happen(cast.customer)

    assert send_webhooks() == 1


def test_old_deliveries_are_forgotten_and_their_events_stay(cast, receiver, made):
    happen(cast.customer, count=3)
    run()
    happen(cast.customer)
    feeding.feed_all(at=NOW)
    late = NOW + forgetting.KEPT

    assert forgetting.forget_old(at=late) == 0
    assert forgetting.forget_old(at=late + timedelta(seconds=1)) == 3
    assert states() == ["waiting"]
    assert WebhookAttempt.objects.count() == 0
    assert Event.objects.filter(kind="mailbox.suspended").count() == 4
    assert forget_webhooks() == 0


def test_who_read_the_clock_before_another_took_the_lease_takes_nothing(cast, receiver, made):
    happen(cast.customer)
    feeding.feed_all(at=NOW)

    [turn] = sending.claim(limit=5, at=NOW)

    assert turn.endpoint == made.endpoint
    assert sending.claim(limit=5, at=NOW - timedelta(milliseconds=1)) == []
