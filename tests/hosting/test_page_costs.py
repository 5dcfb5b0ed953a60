"""What the first page of a customer with five hundred mailboxes costs, in statements and bytes."""

from __future__ import annotations

import re

import brotli
import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailstore.models import Alarm, Mailbox
from tests.factories import AT
from tests.hosting.brand_rows import HOST, make_brand, make_host
from tests.hosting.crowd import fill
from tests.test_access import client_of

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

MOST_STATEMENTS = 8
MOST_BYTES = 100_000
ROWS = {"hx-request": "true"}
PARTS = re.compile(r"<(?:link|script|img)[^>]*?(?:href|src)=\"(/[^\"]+)\"")


@pytest.fixture
def many(cast):
    fill(cast.domain, 500, now=timezone.now())
    return cast


def statements(client, path, **headers):
    client.get(path, headers=headers)
    with (
        CaptureQueriesContext(connections["default"]) as own,
        CaptureQueriesContext(connections["reports"]) as reported,
    ):
        assert client.get(path, headers=headers).status_code == 200
    return len(own) + len(reported)


@pytest.mark.parametrize(
    ("path", "headers", "count"),
    [
        ("/overview/", {}, 7),
        ("/overview/?after=info3@alder.test", {}, 7),
        ("/overview/?q=info&protocol=imap&sort=fullest", {}, 7),
        ("/overview/?q=info&protocol=imap&sort=fullest", ROWS, 6),
    ],
)
@pytest.mark.parametrize("person", ["alice", "bob", "rita"])
def test_the_list_takes_the_same_few_statements_for_everybody(person, path, headers, count, many):
    assert statements(client_of(getattr(many, person)), path, **headers) == count


def test_the_look_of_a_reseller_takes_no_more_than_allowed(many):
    make_brand(many.reseller)

    assert statements(client_of(many.alice), "/overview/") == MOST_STATEMENTS


def test_what_needs_a_look_takes_no_more_than_allowed(many):
    locked, full = Mailbox.objects.order_by("address")[:2]
    Alarm.objects.create(mailbox=locked, at=AT, since=AT, messages=1, bytes=1, reason="x")
    Mailbox.objects.filter(pk=locked.pk).update(frozen_at=AT)
    Mailbox.objects.filter(pk=full.pk).update(full_since=AT, warned_percent=100)
    client = client_of(many.alice)

    page = client.get("/overview/").content.decode()

    assert f"{locked.address} is locked" in page
    assert f"{full.address} is full" in page
    assert statements(client, "/overview/") == MOST_STATEMENTS


def test_host_of_a_reseller_takes_no_more_than_allowed(many, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    make_brand(many.reseller)
    make_host(many.reseller)

    assert statements(client_of(many.alice), "/overview/", host=HOST) <= MOST_STATEMENTS


def test_what_many_mailboxes_cost_follows_the_page(many, cast):
    client = client_of(many.alice)

    page = client.get("/overview/").content.decode()

    [path] = re.findall(r'hx-get="(/billing/[^"]+/summary)"', page)
    assert path == f"/billing/{many.customer.uuid}/summary"
    assert client.get(path).status_code == 200
    assert "What it costs" in page


def test_first_load_is_small(many, counts):
    client = Client(headers={"accept-encoding": "gzip, deflate, br"})
    client.force_login(many.alice)
    plain = client.get("/overview/", headers={"accept-encoding": "identity"}).content.decode()

    parts = {path: client.get(path) for path in set(PARTS.findall(plain))}
    page = client.get("/overview/")

    assert page.headers["Content-Encoding"] == "gzip"
    assert {each.status_code for each in parts.values()} == {200}
    assert {each.headers.get("Content-Encoding") for each in parts.values()} == {"br"}
    sent = len(page.content) + sum(len(each.content) for each in parts.values())
    counts(bytes_of_the_first_load=sent, requests=len(parts) + 1)
    assert sent < MOST_BYTES
    assert len(parts) + 1 <= 10


def test_a_file_is_the_same_however_it_is_sent():
    client = Client()
    path = "/static/css/base.css"
    plain = client.get(path)
    packed = client.get(path, headers={"accept-encoding": "br"})
    again = client.get(path, headers={"accept-encoding": "br"})

    whole = b"".join(plain.streaming_content)
    assert brotli.decompress(packed.content) == brotli.decompress(again.content) == whole
    assert packed.headers["Content-Length"] == str(len(packed.content))
    assert packed.headers["ETag"] == f"W/{plain.headers['ETag']}"
    assert {plain.headers["Vary"], packed.headers["Vary"]} == {"Accept-Encoding"}
    kept = {"if-none-match": packed.headers["ETag"], "accept-encoding": "br"}
    assert client.get(path, headers=kept).status_code == 304


@pytest.mark.parametrize(
    ("path", "accepted", "encoding"),
    [
        ("/static/css/base.css", "gzip", None),
        ("/static/css/base.css", "br;q=0", None),
        ("/", "br", None),
        ("/", "gzip, br", "gzip"),
        ("/", "", None),
        ("/api/v1/plans", "gzip, br", None),
        ("/healthz", "gzip, br", None),
        ("/nowhere", "gzip, br", None),
        ("/api/openapi.yaml", "gzip", "gzip"),
    ],
)
def test_what_is_sent_packed(path, accepted, encoding, cast):
    response = Client().get(path, headers={"accept-encoding": accepted})

    assert response.headers.get("Content-Encoding") == encoding
    response.close()


def test_length_of_a_packed_page_says_nothing_of_what_is_on_it(cast):
    client = Client(headers={"accept-encoding": "gzip"})
    client.force_login(cast.alice)

    lengths = {len(client.get("/domains/").content) for _ in range(12)}

    assert len(lengths) > 3
