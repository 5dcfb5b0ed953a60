"""Batches that nobody means: each is a problem with a pointer, and nothing of it is done."""

from __future__ import annotations

import json

import pytest

from hosting import public_ids
from hosting.models import KeptAnswer
from mailstore.models import AppPassword, Mailbox
from tests.factories import make_mailbox
from tests.hosting.api.test_batch import change, create, faults_of

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

DEEP = json.loads('{"a":' * 99 + "1" + "}" * 99)
TOO_MANY = [2**63, 2**64, -(2**63) - 1, 10**400, 2.5, True, "5"]


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


@pytest.fixture
def refused(rita, mailbox):
    """Send a batch whose first item is good; gives the faults, once it is clear that nothing was
    done."""
    good = change(mailbox, "update_mailbox", label="Desk")

    def send(*items, whole=None):
        body = {"items": [good, *items]} if whole is None else whole
        answer = rita.post("/batch", body, idempotency_key="once")
        mailbox.refresh_from_db()
        assert answer.status_code in {400, 422}, answer.content
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (mailbox.label, mailbox.state) == ("", Mailbox.State.ACTIVE)
        assert (Mailbox.objects.count(), AppPassword.objects.count()) == (1, 0)
        assert KeptAnswer.objects.get().status == answer.status_code
        return faults_of(answer)

    return send


def test_the_same_item_twice(cast, refused, mailbox):
    order, stop = create(cast, 0), change(mailbox, "suspend_mailbox")

    assert ("/items/2/key", "duplicate") in refused(order, order)
    assert ("/items/2/key", "duplicate") in refused_again(refused, stop, stop)


def refused_again(refused, *items):
    KeptAnswer.objects.all().delete()
    return refused(*items)


def test_the_same_under_two_names(cast, refused, mailbox):
    first, second = create(cast, 0), {**create(cast, 0), "key": "other"}
    stop, again = (
        {**change(mailbox, "suspend_mailbox"), "key": name} for name in ("stop", "again")
    )

    assert refused(first, second) == [
        ("/items/1/body/local_part", "address-taken"),
        ("/items/2/body/local_part", "address-taken"),
    ]
    assert refused_again(refused, stop, again) == [("/items/2/body", "wrong-state")]


@pytest.mark.parametrize("count", [0, 501])
def test_too_few_and_too_many(cast, refused, count):
    items = [create(cast, number) for number in range(count)]

    [(pointer, _code)] = refused(whole={"items": items})

    assert pointer == "/items"


@pytest.mark.parametrize("item", [1, "x", None, [], True, ["create_mailbox"]])
def test_an_item_that_is_no_object(cast, refused, item):
    [(pointer, _code)] = refused(item, create(cast, 0))

    assert pointer == "/items/1"


@pytest.mark.parametrize(
    ("whole", "pointer"), [({"items": {}}, "/items"), ({"items": "x"}, "/items"), ({}, "/items")]
)
def test_items_that_are_no_list(refused, whole, pointer):
    [(where, _code)] = refused(whole=whole)

    assert where == pointer


@pytest.mark.parametrize("place", ["item", "body", "labels"])
def test_what_lies_a_hundred_levels_deep(cast, rita, mailbox, place):
    order = create(cast, 0, labels=DEEP) if place == "labels" else create(cast, 0)
    items = {"item": DEEP, "body": {**order, "body": DEEP}, "labels": order}

    answer = rita.post("/batch", {"items": [items[place]]}, idempotency_key="once")

    # Nobody goes down there to find out where it is wrong: the body as a whole is not taken.
    assert (answer.status_code, faults_of(answer)) == (400, [("", "bad-request")])
    assert Mailbox.objects.count() == 1


@pytest.mark.parametrize(
    "name", ["domain_id", "local_part", "plan", "label", "external_ref", "labels", "app_password"]
)
def test_null_characters_in_a_value(cast, refused, name):
    spoiled = {
        "labels": {"shop": "a\0b"},
        "app_password": {"label": "a\0b"},
        "domain_id": public_ids.encode("dom", cast.domain.uuid) + "\0",
    }

    [(pointer, _code)] = refused(create(cast, 0, **{name: spoiled.get(name, "a\0b")}))

    assert pointer.startswith(f"/items/1/body/{name}")


def test_null_characters_around_a_body(cast, refused, mailbox):
    stop = change(mailbox, "suspend_mailbox")
    spoiled = [
        {**stop, "key": "a\0b"},
        {**stop, "operation": "suspend_mailbox\0"},
        {**stop, "mailbox_id": stop["mailbox_id"] + "\0"},
        {**stop, "a\0b": 1},
    ]

    found = refused(*spoiled)

    assert [pointer for pointer, _code in found] == [
        "/items/1/key",
        "/items/2/operation",
        "/items/3/mailbox_id",
        "/items/4/a\0b",
    ]


@pytest.mark.parametrize("number", TOO_MANY, ids=lambda number: str(number)[:25])
@pytest.mark.parametrize("operation", ["create_mailbox", "update_mailbox"])
def test_what_fits_into_no_64_bits(cast, refused, mailbox, operation, number):
    item = create(cast, 0, quota_bytes=number)
    if operation == "update_mailbox":
        item = {**change(mailbox, operation, quota_bytes=number), "key": "other"}

    [(pointer, _code)] = refused(item)

    assert pointer == "/items/1/body/quota_bytes"


@pytest.mark.parametrize("text", ["1e400", "-1e400", "NaN", "9" * 5_000, '"\\ud800"', "\0"])
def test_what_is_no_number_or_no_json(cast, rita, mailbox, text):
    order = json.dumps(create(cast, 0, quota_bytes=0)).replace('_bytes": 0', f'_bytes": {text}')
    content = {"data": f'{{"items": [{order}]}}', "content_type": "application/json"}

    answer = rita.client.post("/api/v1/batch", headers=rita.headers, **content)

    expected = (
        [("/items/0/body/quota_bytes", "invalid")] if "e400" in text else [("", "bad-request")]
    )
    assert (faults_of(answer), Mailbox.objects.count()) == (expected, 1)
