"""The same call of the API many times at once, killed anywhere, and with servers away."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection, connections, transaction

from accounts.models import Event
from hosting import ordering, public_ids
from hosting.api import endpoint, idempotency
from hosting.models import Contract, KeptAnswer
from mailstore.models import AppPassword, Mailbox
from tests.factories import make_cast
from tests.hosting.api.caller import Caller, make_key
from tests.live.faults import Place, in_a_process, kill_at

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

AT_ONCE = 50
PLACES = [
    Place(name="before the claim", owner=idempotency, function="claim", is_before=True),
    Place(name="after the claim", owner=idempotency, function="claim"),
    Place(name="before the order", owner=ordering, function="order", is_before=True),
    Place(name="after the order", owner=ordering, function="order"),
    Place(name="before the answer is kept", owner=idempotency, function="keep", is_before=True),
    Place(name="after the answer is kept", owner=idempotency, function="keep"),
    Place(name="after the commit, before the answer", owner=endpoint, function="_once"),
]


@pytest.fixture
def shop():
    """Rita's program, and an order of it."""
    cast = make_cast()
    body = {
        "domain_id": public_ids.encode("dom", cast.domain.uuid),
        "local_part": "info",
        "plan": "imap",
        "app_password": {"label": "Phone"},
    }
    return Caller(make_key(cast.reseller).secret), body


def ended(pids):
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def one_of_each():
    created = Event.objects.filter(kind="mailbox.created")
    tables = (Mailbox.objects, Contract.objects, AppPassword.objects, KeptAnswer.objects)
    return [rows.count() for rows in (*tables, created)] == [1, 1, 1, 1, 1]


def test_fifty_at_once_order_one_mailbox(shop, tmp_path, counts):
    caller, body = shop

    def order(number):
        answer = caller.post("/mailboxes", body, idempotency_key="order-1")
        (tmp_path / str(number)).write_text(json.dumps([answer.status_code, answer.text]))

    assert ended([in_a_process(lambda n=n: order(n)) for n in range(AT_ONCE)]) == [0] * AT_ONCE

    answers = [json.loads(path.read_text()) for path in tmp_path.iterdir()]
    made = {text for status, text in answers if status == 201}
    refused = {json.loads(text)["code"] for status, text in answers if status != 201}
    assert one_of_each()
    assert len(made) == 1
    assert refused <= {"idempotency-in-flight"}
    counts(calls=AT_ONCE, answered=sum(status == 201 for status, _text in answers))


def test_two_bodies_under_one_key_make_one_of_them(shop, tmp_path):
    caller, body = shop

    def order(number):
        changed = {**body, "local_part": f"m{number % 2}"}
        answer = caller.post("/mailboxes", changed, idempotency_key="order-1")
        (tmp_path / str(number)).write_text(str(answer.status_code))

    ended([in_a_process(lambda n=n: order(n)) for n in range(20)])

    assert one_of_each()
    assert {path.read_text() for path in tmp_path.iterdir()} <= {"201", "409", "422"}


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_call_killed_anywhere_is_done_once_when_it_comes_again(place, shop, counts):
    caller, body = shop

    def order():
        return caller.post("/mailboxes", body, idempotency_key="order-1")

    kill_at(place, order)
    connections.close_all()
    answer = order()

    assert answer.status_code == 201
    assert one_of_each()
    assert order().content == answer.content
    counts(kills=1)


def test_a_flushed_cache_forgets_no_answer(shop):
    caller, body = shop
    first = caller.post("/mailboxes", body, idempotency_key="order-1")

    # Where there is a Redis, this empties all of it.
    cache.clear()
    second = caller.post("/mailboxes", body, idempotency_key="order-1")

    assert (first.status_code, second.content) == (201, first.content)
    assert one_of_each()


def test_a_batch_and_an_order_at_once_share_no_address(shop):
    caller, body = shop
    item = {"key": "1", "operation": "create_mailbox", "body": body}
    work = [
        lambda: caller.post("/mailboxes", body),
        lambda: caller.post("/batch", {"items": [item]}),
    ] * 5

    ended([in_a_process(each) for each in work])

    assert [Mailbox.objects.count(), Contract.objects.count()] == [1, 1]


@contextmanager
def database_away():
    """Every new connection is refused, and the open one is gone."""
    real = dict(connection.settings_dict)
    connections.close_all()
    nowhere = {"PORT": "1"} if settings.DATABASE_URL else {"NAME": "/nowhere/panel.sqlite3"}
    connection.settings_dict.update(nowhere)
    try:
        yield
    finally:
        connections.close_all()
        connection.settings_dict.update(real)


def test_a_database_that_is_away_is_told_with_when_to_come_again(shop):
    caller, body = shop

    with database_away():
        answer = caller.post("/mailboxes", body, idempotency_key="order-1")

    assert (answer.status_code, answer.json()["code"]) == (503, "backend-unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert not Mailbox.objects.exists()
    assert caller.post("/mailboxes", body, idempotency_key="order-1").status_code == 201


def test_a_refused_order_leaves_nothing_half_done(shop):
    caller, body = shop

    answer = caller.post("/mailboxes", {**body, "app_password": {"label": ""}})

    assert answer.status_code == 422
    assert not Mailbox.objects.exists()
    assert not transaction.get_connection().in_atomic_block
