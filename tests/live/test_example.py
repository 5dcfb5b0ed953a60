"""The example of an integrator, before a real panel: killed, cut off, and told nothing for long."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path

import httpx
import pytest
from django.db import connections
from standardwebhooks import Webhook

from accounts.access import system
from accounts.models import Event
from hosting import public_ids
from hosting.models import Contract, WebhookDelivery
from hosting.webhooks import endpoints, sending
from mailstore import provisioning
from mailstore.models import Mailbox
from tests.factories import AT, make_cast, make_mailbox
from tests.hosting.api.caller import make_key
from tests.live.faults import Place, in_a_process, kill_at, killed
from tests.live.panel import Panel, environment
from tests.patience import PATIENCE_SECONDS, eventually
from tests.servers import free_port

FOLDER = Path(__file__).resolve().parents[2] / "examples/shop"
sys.path.insert(0, str(FOLDER))
import hooks
import shop

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

STAFF = system("tests")
SHOP_SCOPES = ("mailboxes:read", "mailboxes:write", "events:read")


@pytest.fixture
def cast():
    return make_cast()


class Integrator:
    """The example as a program, with its database, before one panel."""

    def __init__(self, panel, reseller, folder):
        self.key = make_key(reseller, *SHOP_SCOPES).secret
        self.api, self.path = panel.api, str(folder / "shop.sqlite3")
        self.port = free_port()
        self.secrets = ""
        self.log = folder / "shop.log"
        self.process = None

    @contextmanager
    def opened(self):
        """Its database, and connections to the house that no other process has."""
        house = shop.House(self.api, self.key)
        with house.client, shop.opened(self.path) as database:
            yield database, house

    def start(self):
        options = ["--port", str(self.port), "--every", "0.5"]
        named = {"HOUSE_URL": self.api, "HOUSE_KEY": self.key, "SHOP_DATABASE": self.path}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, FOLDER / "shop.py", "run", *options],
                env=environment(HOUSE_WEBHOOK_SECRETS=self.secrets, **named),
                stderr=log,
            )

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def take(self, domain, *references):
        with shop.opened(self.path) as database:
            for reference in references:
                shop.take_order(
                    database,
                    reference=reference,
                    domain_id=public_ids.encode("dom", domain.uuid),
                    local_part=reference,
                    plan="imap",
                )

    def place(self):
        with self.opened() as (database, house):
            shop.place_orders(database, house)

    def catch_up(self):
        with self.opened() as (database, house):
            return shop.catch_up(database, house)

    def rows(self, query):
        with shop.opened(self.path) as database:
            return database.execute(query).fetchall()

    def mailboxes(self):
        return set(self.rows("SELECT * FROM mailboxes"))


@pytest.fixture
def integrator(panel, cast, tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    integrator = Integrator(panel, cast.reseller, tmp_path)
    yield integrator
    integrator.kill()


def in_the_house(reseller):
    """What must stand in the shop's table, said by the house's own."""
    mailboxes = Mailbox.objects.filter(organisation__parent=reseller).exclude(state="closed")
    return {
        (
            public_ids.encode("mbx", mailbox.uuid),
            public_ids.encode("org", mailbox.organisation.uuid),
            mailbox.address,
            Contract.objects.get(mailbox=mailbox, ends_at=None).plan.slug,
            "active" if mailbox.state == "pending" else mailbox.state,
            mailbox.label,
            mailbox.external_ref,
            mailbox.quota_bytes,
        )
        for mailbox in mailboxes.select_related("organisation")
    }


def rename(mailbox, label):
    provisioning.describe(actor=STAFF, mailbox=mailbox, label=label, at=AT)


# Orders -------------------------------------------------------------------------------------

PLACES = (
    Place(name="before the order is written", owner=shop, function="take_order", is_before=True),
    Place(name="between the order and the call", owner=shop, function="take_order"),
    Place(name="before the call", owner=shop.House, function="call", is_before=True),
    Place(name="between the call and its answer", owner=httpx.Client, function="send"),
    Place(name="before the answer is written", owner=shop, function="settle", is_before=True),
    Place(name="after the answer is written", owner=shop, function="settle"),
    Place(name="before the news are written", owner=shop, function="take_in", is_before=True),
    Place(name="in the middle of the news", owner=shop, function="write_mailbox"),
    Place(name="after the news are written", owner=shop, function="take_in"),
)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_shop_killed_anywhere_orders_once_and_is_in_step(place, integrator, cast, counts):
    make_mailbox(cast.domain, "was-there")
    integrator.catch_up()
    make_mailbox(cast.domain, "new")

    def order():
        integrator.take(cast.domain, "anna")
        integrator.place()
        integrator.catch_up()

    kill_at(place, order)
    order()

    assert Mailbox.objects.filter(external_ref="anna").count() == 1
    assert Contract.objects.count() == 3
    [(state, mailbox_id)] = integrator.rows("SELECT state, mailbox_id FROM orders")
    assert state == "done"
    assert mailbox_id in {row[0] for row in integrator.mailboxes()}
    assert integrator.mailboxes() == in_the_house(cast.reseller)
    counts(kills=1, orders=1)


def test_shops_of_one_database_that_order_at_once_get_each_mailbox_once(integrator, cast, counts):
    references = [f"m{number}" for number in range(10)]
    integrator.take(cast.domain, *references)

    def order():
        integrator.place()
        integrator.catch_up()

    pids = [in_a_process(order) for _ in range(4)]

    assert [killed(pid) for pid in pids] == [False] * 4
    assert Mailbox.objects.count() == Contract.objects.count() == len(references)
    assert integrator.rows("SELECT DISTINCT state FROM orders") == [("done",)]
    assert integrator.mailboxes() == in_the_house(cast.reseller)
    counts(shops_at_once=4, orders=len(references))


def test_order_that_the_house_refuses_is_told_and_holds_up_no_other(integrator, cast):
    make_mailbox(cast.domain, "taken")
    integrator.take(cast.domain, "taken", "free")

    integrator.place()

    orders = integrator.rows("SELECT reference, state, refusal FROM orders ORDER BY reference")
    assert orders == [("free", "done", None), ("taken", "refused", "address-taken")]


def test_order_whose_answer_a_new_key_does_not_get_is_found_by_its_reference(integrator, cast):
    kill_at(PLACES[3], lambda: (integrator.take(cast.domain, "anna"), integrator.place()))
    integrator.key = make_key(cast.reseller).secret

    integrator.place()

    mailbox = Mailbox.objects.get()
    found = integrator.rows("SELECT state, mailbox_id FROM orders")
    assert found == [("done", public_ids.encode("mbx", mailbox.uuid))]


def test_order_that_may_have_been_made_waits_for_a_key_that_may_look(integrator, cast):
    kill_at(PLACES[3], lambda: (integrator.take(cast.domain, "anna"), integrator.place()))
    integrator.key = make_key(cast.reseller, "mailboxes:write").secret

    with pytest.raises(httpx.HTTPStatusError):
        integrator.place()

    assert Mailbox.objects.count() == 1
    assert integrator.rows("SELECT state FROM orders") == [("waiting",)]


# The house is away, or says to wait -----------------------------------------------------------


def test_panel_that_is_down_for_a_while_costs_nothing_but_time(integrator, panel, cast, counts):
    mailboxes = [make_mailbox(cast.domain, f"m{number}") for number in range(20)]
    integrator.start()
    eventually(lambda: len(integrator.mailboxes()) == 20)

    panel.stop()
    integrator.take(cast.domain, "anna", "ben")
    for mailbox in mailboxes:
        rename(mailbox, f"Desk {mailbox.local_part}")
    Mailbox.objects.filter(pk=mailboxes[0].pk).update(state="closed")
    eventually(lambda: "ConnectError" in integrator.log.read_text())
    connections.close_all()
    panel.start()

    eventually(lambda: integrator.rows("SELECT DISTINCT state FROM orders") == [("done",)])
    eventually(lambda: integrator.mailboxes() == in_the_house(cast.reseller))
    waits = integrator.log.read_text().count("ConnectError")
    counts(changes=22, calls_into_nothing=waits)


def test_shop_waits_as_long_as_it_is_told_to(cast, tmp_path, counts):
    panel = Panel(RATE_LIMIT_KEY_PER_MINUTE="6")
    panel.start()
    integrator = Integrator(panel, cast.reseller, tmp_path)
    references = [f"m{number}" for number in range(8)]
    integrator.take(cast.domain, *references)

    try:
        integrator.start()
        eventually(lambda: integrator.rows("SELECT DISTINCT state FROM orders") == [("done",)])
    finally:
        integrator.kill()
        panel.stop()

    refused = integrator.log.read_text().count("status 429")
    assert Mailbox.objects.count() == len(references)
    assert 0 < refused < 2 * len(references)
    counts(orders=len(references), told_to_wait=refused)


@pytest.mark.parametrize(
    ("status", "code", "wait", "expected"),
    [
        (409, "idempotency-in-flight", "3", 3.0),
        (429, "rate-limited", "7", 7.0),
        (503, "backend-unavailable", "5", 5.0),
        (503, "backend-unavailable", "Wed, 21 Oct 2026 07:28:00 GMT", 0.5),
        (502, None, None, 0.5),
        (500, "internal-error", None, 0.5),
        (409, "address-taken", None, None),
        (422, "validation-failed", None, None),
        (404, None, None, None),
        (201, None, None, None),
    ],
)
def test_only_what_can_be_answered_otherwise_is_asked_again(status, code, wait, expected):
    headers = {"Retry-After": wait} if wait else {}
    if code:
        headers["Content-Type"] = "application/problem+json"
    response = httpx.Response(status, headers=headers, text=json.dumps({"code": code}))

    is_for_later = shop.is_for_later(response)

    assert is_for_later == (expected is not None)
    if is_for_later:
        assert shop.asked_wait(response, 0.5) == expected


# Webhooks and the feed ------------------------------------------------------------------------


def connected(integrator, cast, settings):
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    url = f"http://127.0.0.1:{integrator.port}/"
    made = endpoints.make(actor=cast.actor(cast.rita), organisation=cast.reseller, url=url, at=AT)
    integrator.secrets = made.secret
    return made


def send(turn=0):
    sending.run(now=lambda: datetime.now(UTC) + timedelta(minutes=10) * turn)


def test_receiver_that_is_down_for_two_hundred_events_misses_none(
    integrator, cast, settings, counts
):
    mailboxes = [make_mailbox(cast.domain, f"m{number}") for number in range(50)]
    connected(integrator, cast, settings)
    integrator.start()
    eventually(lambda: len(integrator.mailboxes()) == 50)
    integrator.kill()

    before = Event.objects.count()
    for turn in range(4):
        for mailbox in mailboxes:
            rename(mailbox, f"Desk {turn}")
    missed = Event.objects.count() - before
    send()
    assert not WebhookDelivery.objects.filter(state="delivered").exists()
    integrator.start()
    eventually(lambda: integrator.mailboxes() == in_the_house(cast.reseller))
    turn = 0
    while WebhookDelivery.objects.filter(state="waiting").exists():
        turn += 1
        send(turn)

    [(hints,)] = integrator.rows("SELECT count(*) FROM hints")
    assert missed == 200
    assert hints == WebhookDelivery.objects.filter(state="delivered").count() >= missed
    assert integrator.mailboxes() == in_the_house(cast.reseller)
    counts(events_while_down=missed, hints=hints)


def test_webhook_wakes_the_shop_and_a_second_one_with_its_id_does_not(tmp_path):
    woken = []

    def hint(event_id):
        with shop.opened(str(tmp_path / "shop.sqlite3")) as database:
            woken.append(shop.is_news(database, event_id, now=time.time()))

    server = hooks.receiver(("127.0.0.1", 0), secrets=[SECRET], on_event=hint)
    body = b'{"type": "mailbox.created"}'
    with server, serving(server):
        answers = [posted(server, body, signed("evt_1", body)) for _ in range(2)]

    assert answers == [204, 204]
    assert woken == [True, False]


def test_type_that_is_not_known_is_read_over(integrator, cast, tmp_path):
    make_mailbox(cast.domain, "anna")
    integrator.catch_up()
    [(seq,)] = integrator.rows("SELECT seq FROM feed")
    Mailbox.objects.update(label="Changed in silence")
    mailbox = public_ids.encode("mbx", Mailbox.objects.get().uuid)
    items = [
        {"type": "comet.sighted", "data": {"object": "comet", "id": "cmt_1", "tail": [1]}},
        {"type": "mailbox.painted", "data": {"object": "mailbox", "id": mailbox}},
        {"type": "silence", "data": {}},
    ]
    page = {"items": items, "last_seq": seq + 3}

    with integrator.opened() as (database, house):
        shop.take_in(database, house, page, after_seq=seq)

    assert integrator.rows("SELECT seq FROM feed") == [(seq + 3,)]
    assert integrator.mailboxes() == in_the_house(cast.reseller)


def test_page_that_another_process_took_in_first_changes_nothing(integrator, cast):
    make_mailbox(cast.domain, "anna")
    integrator.catch_up()
    before = integrator.mailboxes()
    mailbox = public_ids.encode("mbx", Mailbox.objects.get().uuid)
    Mailbox.objects.update(label="Older or newer, nobody knows")
    page = {"items": [{"data": {"object": "mailbox", "id": mailbox}}], "last_seq": 5}

    with integrator.opened() as (database, house):
        shop.take_in(database, house, page, after_seq=-1)

    assert integrator.mailboxes() == before


def test_shop_that_was_away_for_longer_than_the_feed_reaches_begins_anew(integrator, cast):
    gone = make_mailbox(cast.domain, "gone")
    integrator.catch_up()
    Mailbox.objects.filter(pk=gone.pk).update(state="closed")
    make_mailbox(cast.domain, "new")
    with shop.opened(integrator.path) as database, database:
        database.execute("UPDATE feed SET read_at = read_at - ?", (90 * shop.DAY,))

    integrator.catch_up()

    assert [row[2] for row in integrator.mailboxes()] == ["new@alder.test"]


# Signatures -----------------------------------------------------------------------------------

SECRET, OTHER = b"k" * 32, b"o" * 32


def signed(event_id, body, *, secret=SECRET, at=None):
    """Signed by the reference library, not by our own code."""
    moment = at or datetime.now(UTC)
    library = Webhook(base64.b64encode(secret).decode())
    headers = Message()
    headers["webhook-id"] = event_id
    headers["webhook-timestamp"] = str(int(moment.timestamp()))
    headers["webhook-signature"] = library.sign(event_id, moment, body.decode())
    return headers


def replaced(headers, name, value):
    del headers[name]
    if value is not None:
        headers[name] = value
    return headers


def test_signatures_of_either_secret_open_while_one_is_replaced():
    body = b'{"id": "evt_1"}'
    both = signed("evt_1", body)["webhook-signature"]
    both += " v2,unknown " + signed("evt_1", body, secret=OTHER)["webhook-signature"]
    headers = replaced(signed("evt_1", body), "webhook-signature", both)

    for secrets in ([SECRET], [OTHER], [OTHER, SECRET]):
        found = hooks.verified(headers, body, secrets=secrets, now=time.time())
        assert found == "evt_1"


@contextmanager
def serving(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()


def posted(server, body, headers):
    connection = http.client.HTTPConnection(
        "127.0.0.1", server.server_port, timeout=PATIENCE_SECONDS
    )
    with closing(connection):
        connection.request("POST", "/", body, dict(headers.items()))
        return connection.getresponse().status


HOSTILE = [
    ("webhook-id", "evt_2"),
    ("webhook-id", None),
    ("webhook-timestamp", None),
    ("webhook-timestamp", ""),
    ("webhook-timestamp", "now"),
    ("webhook-timestamp", "-1"),
    ("webhook-timestamp", "1e9"),
    ("webhook-timestamp", "٣٣٣٣"),
    ("webhook-timestamp", "9" * 5000),
    ("webhook-signature", None),
    ("webhook-signature", ""),
    ("webhook-signature", "v1,"),
    ("webhook-signature", "v1"),
    ("webhook-signature", "v1,é"),
    ("webhook-signature", "v2,AAAA"),
    ("webhook-signature", "v1," + "A" * 44),
]


@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_webhook_with_a_header_of_somebody_else_is_refused(name, value, counts):
    headers = replaced(signed("evt_1", b"{}"), name, value)

    with pytest.raises(hooks.HookRefused):
        hooks.verified(headers, b"{}", secrets=[SECRET], now=time.time())

    counts(hostile_webhooks=1)


@pytest.mark.parametrize("minutes", [-60 * 24, -6, 6, 60 * 24])
def test_webhook_of_another_time_is_refused(minutes):
    headers = signed("evt_1", b"{}", at=datetime.now(UTC) + timedelta(minutes=minutes))

    with pytest.raises(hooks.HookRefused):
        hooks.verified(headers, b"{}", secrets=[SECRET], now=time.time())


def test_another_body_another_secret_and_no_secret_are_refused():
    headers = signed("evt_1", b"{}")

    for body, secrets in ((b"{ }", [SECRET]), (b"{}", [OTHER]), (b"{}", [])):
        with pytest.raises(hooks.HookRefused):
            hooks.verified(headers, body, secrets=secrets, now=time.time())


@pytest.mark.parametrize(
    ("length", "status"),
    [(None, 411), ("", 411), ("-1", 411), ("a", 411), ("9" * 30, 411), ("70000", 413), ("0", 401)],
)
def test_receiver_reads_nothing_endless(length, status):
    server = hooks.receiver(("127.0.0.1", 0), secrets=[SECRET], on_event=lambda _id: None)

    with server, serving(server):
        connection = http.client.HTTPConnection(
            "127.0.0.1", server.server_port, timeout=PATIENCE_SECONDS
        )
        connection.putrequest("POST", "/")
        if length is not None:
            connection.putheader("Content-Length", length)
        connection.endheaders()
        answer = connection.getresponse().status
        connection.close()

    assert answer == status
