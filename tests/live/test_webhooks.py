"""The feed and webhooks against a real database: commits out of order, and senders that die."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from django.db import connection, connections, transaction

from accounts import numbering, outbox
from accounts.access import system
from accounts.models import Event
from hosting import feed, storing
from hosting.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from hosting.webhooks import endpoints, feeding, sending
from tests.factories import AT, make_cast
from tests.hosting.webhooks.receiver import Receiver
from tests.live.faults import Place, in_a_process, kill_after, kill_at, lifetimes
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

STAFF = system("tests")
EVENTS = 10_000
WRITERS = 8


def fact(organisation, name="x"):
    return outbox.event(
        kind="mailbox.suspended",
        at=AT,
        actor=STAFF,
        organisation=organisation,
        subject=("mailbox", str(uuid4()), name),
    )


def in_a_thread(work):
    def whole():
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=whole)
    thread.start()
    return thread


def test_reader_misses_nothing_that_commits_in_the_wrong_order(counts):
    """Many write, each holding its transaction open for a while; one reads on and on."""
    if connection.vendor != "postgresql":
        # There one transaction writes at a time, so none commits out of order.
        return
    cast, each_writes = make_cast(), 40
    chance = [random.Random(number) for number in range(WRITERS)]
    is_over = threading.Event()

    def write(number):
        for turn in range(each_writes):
            with transaction.atomic():
                fact(cast.customer, f"{number}/{turn}").save(force_insert=True)
                time.sleep(chance[number].uniform(0, 0.02))

    seen = []

    def read():
        after = 0
        while True:
            was_over = is_over.is_set()
            page = feed.read(actor=cast.actor(cast.rita), after_seq=after, limit=7)
            seen.extend(page.documents)
            after = page.last_seq
            if was_over and not page.has_more:
                return

    reader = in_a_thread(read)
    writers = [in_a_thread(lambda number=number: write(number)) for number in range(WRITERS)]
    for each in writers:
        each.join()
    is_over.set()
    reader.join()

    told = [each["data"]["id"] for each in seen if each["type"] == "mailbox.suspended"]
    assert len(told) == len(set(told)) == WRITERS * each_writes
    places = [each["seq"] for each in seen]
    assert places == sorted(set(places))
    by_key = list(Event.objects.order_by("seq").values_list("position", flat=True))
    assert sorted(by_key) == list(range(1, len(by_key) + 1))
    out_of_order = sum(a > b for a, b in pairwise(by_key))
    assert out_of_order > 0
    counts(events=len(told), commits_out_of_order=out_of_order)


def test_late_commit_with_a_low_key_comes_behind_what_was_read(counts):
    if connection.vendor != "postgresql":
        return
    cast = make_cast()
    is_written, may_commit = threading.Event(), threading.Event()

    def slow():
        with transaction.atomic():
            fact(cast.customer, "slow").save(force_insert=True)
            is_written.set()
            may_commit.wait(timeout=PATIENCE_SECONDS)

    writer = in_a_thread(slow)
    is_written.wait(timeout=PATIENCE_SECONDS)
    fact(cast.customer, "fast").save(force_insert=True)
    first = feed.read(actor=cast.actor(cast.rita))
    may_commit.set()
    writer.join()
    second = feed.read(actor=cast.actor(cast.rita), after_seq=first.last_seq)

    slow_one, fast_one = (Event.objects.get(subject_name=name) for name in ("slow", "fast"))
    assert slow_one.seq < fast_one.seq
    assert slow_one.position == fast_one.position + 1
    assert [each["seq"] for each in second.documents] == [slow_one.position]
    counts(commits_out_of_order=1)


def test_everybody_who_numbers_at_once_leaves_no_gap(counts):
    cast = make_cast()
    storing.store([fact(cast.customer) for _ in range(500)])

    pids = [in_a_process(numbering.number_all) for _ in range(WRITERS)]

    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * WRITERS
    places = Event.objects.order_by("seq").values_list("position", flat=True)
    assert list(places) == list(range(1, Event.objects.count() + 1))
    counts(numbering_at_once=WRITERS)


# Senders ------------------------------------------------------------------------------------


@pytest.fixture
def receiver(settings):
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    with Receiver() as receiver:
        yield receiver


def made_for(cast, receiver):
    return endpoints.make(
        actor=cast.actor(cast.rita), organisation=cast.reseller, url=receiver.url, at=AT
    )


def clock(turn):
    """So far ahead that the lease of whoever died is over, and a pause too."""
    return lambda: datetime.now(UTC) + timedelta(minutes=6) * turn


def ids_received(receiver):
    return Counter(post.headers["webhook-id"] for post in receiver.received)


def test_nothing_is_lost_in_ten_thousand_events_while_senders_die(receiver, counts):
    cast, seconds = make_cast(), lifetimes(11)
    made = made_for(cast, receiver)
    facts = [fact(cast.customer) for _ in range(EVENTS)]
    kills, turn = 0, 0
    for start in range(0, EVENTS, 1000):
        storing.store(facts[start : start + 1000])
        turn += 1
        pids = [in_a_process(lambda turn=turn: sending.run(now=clock(turn))) for _ in range(2)]
        for pid in pids:
            kills += kill_after(2 * next(seconds), pid)
    while WebhookDelivery.objects.filter(state="waiting").exists():
        turn += 1
        sending.run(now=clock(turn))

    names = feed.names()
    told = Event.objects.filter(kind="mailbox.suspended").values_list("seq", flat=True)
    wanted = {names.encode(seq) for seq in told}
    received = ids_received(receiver)
    assert len(wanted) == EVENTS
    assert set(received) == wanted
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"delivered"}
    bodies = {}
    for post in receiver.received:
        same = bodies.setdefault(post.headers["webhook-id"], post.body)
        assert post.body == same
    for post in receiver.received[::97]:
        assert json.loads(post.body)["id"] == post.headers["webhook-id"]
    assert made.endpoint.pk == WebhookEndpoint.objects.get().pk
    assert kills > 3
    duplicates = sum(received.values()) - EVENTS
    counts(events=EVENTS, kills=kills, lost=0, duplicates=duplicates)


PLACES = (
    Place(name="before the feeding", owner=feeding, function="_feed", is_before=True),
    Place(name="before deliveries are stored", owner=storing, function="store", is_before=True),
    Place(name="after deliveries were stored", owner=storing, function="store"),
    Place(name="after the feeding", owner=feeding, function="_feed"),
    Place(name="after the lease", owner=sending, function="_lease"),
    Place(name="after the claim", owner=sending, function="claim"),
    Place(name="before it is written down", owner=sending, function="settle", is_before=True),
    Place(name="before the rows of a turn", owner=sending, function="_put_off", is_before=True),
    Place(name="before the endpoint is noted", owner=sending, function="_note", is_before=True),
    Place(name="after it was written down", owner=sending, function="settle"),
)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_sender_that_dies_anywhere_loses_nothing(place, receiver, counts):
    cast = make_cast()
    made_for(cast, receiver)
    storing_now = [fact(cast.customer) for _ in range(20)]
    storing.store(storing_now)

    kill_at(place, lambda: sending.run(now=clock(0)))
    sending.run(now=clock(1))

    received = ids_received(receiver)
    assert len(received) == 20
    assert set(received.values()) <= {1, 2}
    assert WebhookDelivery.objects.filter(state="delivered").count() == 20
    counts(kills=1, duplicates=sum(received.values()) - 20)


def test_many_senders_at_once_send_each_once(receiver, counts):
    cast = make_cast()
    made_for(cast, receiver)
    storing.store([fact(cast.customer) for _ in range(300)])

    pids = [in_a_process(lambda: sending.run(now=clock(0))) for _ in range(6)]

    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 6
    sending.run(now=clock(0))
    assert set(ids_received(receiver).values()) == {1}
    assert len(receiver.received) == WebhookAttempt.objects.count() == 300
    places = [json.loads(post.body)["seq"] for post in receiver.received]
    assert places == sorted(places)
    counts(senders_at_once=6, events=300)
