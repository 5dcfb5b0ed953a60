"""Keeps a shop's database in step with the mail house, and orders mailboxes there, each once.

Copy it, and put your shop in place of its tables. It may be killed at any moment and be away for
days; README.md says why that does no harm.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import Any, NoReturn

import hooks
import httpx

TABLES = """
CREATE TABLE IF NOT EXISTS feed (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    seq INTEGER NOT NULL,
    read_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS mailboxes (
    id TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    address TEXT NOT NULL,
    plan TEXT,
    state TEXT NOT NULL,
    label TEXT NOT NULL,
    external_ref TEXT NOT NULL,
    limit_bytes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
    reference TEXT PRIMARY KEY,
    idempotency_key TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'refused')),
    mailbox_id TEXT,
    refusal TEXT
);
CREATE TABLE IF NOT EXISTS hints (
    event_id TEXT PRIMARY KEY,
    came_at INTEGER NOT NULL
);
"""
DAY = 24 * 60 * 60
# The house keeps events for 90 days. Whoever was away for longer begins anew.
LONGEST_AWAY = 80 * DAY
# The house tries a webhook for four days; after that no duplicate comes.
HINTS_KEPT = 7 * DAY
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 60.0

Database = sqlite3.Connection
Document = dict[str, Any]
logger = logging.getLogger("shop")


@contextmanager
def opened(path: str) -> Iterator[Database]:
    """The shop's database. `with database:` is one transaction, which writes all or nothing."""
    with closing(sqlite3.connect(path, timeout=30, isolation_level="IMMEDIATE")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(TABLES)
        yield database


# Speaking to the house ------------------------------------------------------------------------


class House:
    """The API of the house. Every call is made until it is answered, however long that takes."""

    def __init__(self, url: str, key: str) -> None:
        self.client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30
        )

    def call(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """The answer, which is final: a success, or a refusal that waiting does not change."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                response = self.client.request(method, path, **sent)
            except httpx.TransportError as error:
                reason, wait = type(error).__name__, pause
            else:
                if not is_for_later(response):
                    return response
                reason, wait = f"status {response.status_code}", asked_wait(response, pause)
            logger.warning("%s %s: %s; again in %g seconds.", method, path, reason, wait)
            time.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def read(self, path: str, **query: Any) -> Document | None:
        """A document, or None if there is none."""
        response = self.call("GET", path, params=query)
        if response.status_code == HTTPStatus.NOT_FOUND:
            return None
        response.raise_for_status()
        document: Document = response.json()
        return document

    def page(self, path: str, **query: Any) -> Document:
        """One page of a list, which is there even if nothing is on it."""
        document = self.read(path, **query)
        if document is None:
            message = f"There is no {path}: does the address of the house end in /api/v1?"
            raise SystemExit(message)
        return document


def is_for_later(response: httpx.Response) -> bool:
    """Whether the same call can be answered otherwise in a moment."""
    return (
        response.status_code == HTTPStatus.TOO_MANY_REQUESTS
        or response.is_server_error
        or problem_code(response) == "idempotency-in-flight"
    )


def asked_wait(response: httpx.Response, otherwise: float) -> float:
    """How many seconds the house asks to wait."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() else otherwise


def problem_code(response: httpx.Response) -> str:
    """The code of a problem document; nothing for another answer, such as one of a proxy."""
    if response.headers.get("Content-Type") != "application/problem+json":
        return ""
    return str(response.json()["code"])


# Staying in step ------------------------------------------------------------------------------


def begin(database: Database, house: House) -> None:
    """Take over all mailboxes.

    The place in the feed is read first. What changes while the list is read then comes again by
    the feed.
    """
    seq, has_more = 0, True
    while has_more:
        events = house.page("/events", after_seq=seq, limit=200)
        seq, has_more = events["last_seq"], events["has_more"]
    found = list(listed(house, "/mailboxes"))
    with database:
        database.execute("DELETE FROM mailboxes")
        for document in found:
            write_mailbox(database, document["id"], document)
        database.execute("INSERT OR REPLACE INTO feed VALUES (1, ?, ?)", (seq, int(time.time())))


def listed(house: House, path: str) -> Iterator[Document]:
    """All of a list, page by page."""
    query: dict[str, Any] = {"limit": 200}
    while True:
        page = house.page(path, **query)
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


def catch_up(database: Database, house: House) -> int:
    """Read on in the feed up to its end; returns how many events there were."""
    count = 0
    while True:
        place = database.execute("SELECT seq, read_at FROM feed").fetchone()
        if place is None or place[1] < time.time() - LONGEST_AWAY:
            begin(database, house)
            continue
        page = house.page("/events", after_seq=place[0], limit=200)
        take_in(database, house, page, after_seq=place[0])
        count += len(page["items"])
        if not page["has_more"]:
            return count


def take_in(database: Database, house: House, page: Document, *, after_seq: int) -> None:
    """Write down what a page of the feed changes, and in the same transaction the new place.

    If another process was faster, what was read here may be older than what that one wrote.
    """
    changed = {id_: house.read(f"/mailboxes/{id_}") for id_ in mailboxes_in(page["items"])}
    with database:
        moved = database.execute(
            "UPDATE feed SET seq = ?, read_at = ? WHERE seq = ?",
            (page["last_seq"], int(time.time()), after_seq),
        )
        if moved.rowcount:
            for id_, document in changed.items():
                write_mailbox(database, id_, document)


def mailboxes_in(events: Sequence[Document]) -> list[str]:
    """The mailboxes that events are about, each once.

    The type does not matter: an event says that something is new, and the document says what.
    So types that are added later, and things that this shop does not know, do no harm.
    """
    named = (event["data"] for event in events if event["data"].get("object") == "mailbox")
    return list(dict.fromkeys(data["id"] for data in named))


def write_mailbox(database: Database, id_: str, document: Document | None) -> None:
    """Make the shop's row what the house says; without a document the mailbox is gone."""
    if document is None:
        database.execute("DELETE FROM mailboxes WHERE id = ?", (id_,))
        return
    # A new mailbox works at once; that its folders are still to be made concerns no shop.
    state = "active" if document["state"] == "pending" else document["state"]
    names = ("id", "organisation_id", "address", "plan")
    row = (
        *(document[name] for name in names),
        state,
        document["label"],
        document["external_ref"],
        document["quota"]["hard_limit_bytes"],
    )
    database.execute("INSERT OR REPLACE INTO mailboxes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


# Ordering -------------------------------------------------------------------------------------


def take_order(
    database: Database, *, reference: str, domain_id: str, local_part: str, plan: str
) -> None:
    """Write an order down, with the key by which the house knows it again, before any call."""
    body = {"domain_id": domain_id, "local_part": local_part, "plan": plan}
    with database:
        database.execute(
            "INSERT OR IGNORE INTO orders (reference, idempotency_key, body) VALUES (?, ?, ?)",
            (reference, str(uuid.uuid4()), json.dumps({**body, "external_ref": reference})),
        )


def place_orders(database: Database, house: House) -> None:
    """Send every order that has no answer yet.

    Whether it was sent before is not known and need not be: the house does it once. Of its
    answer only the id is taken, because the answer may be of another day; the feed has the rest.
    """
    waiting = "SELECT idempotency_key, body FROM orders WHERE state = 'waiting'"
    for key, body in database.execute(f"{waiting} ORDER BY rowid").fetchall():
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        response = house.call("POST", "/mailboxes", content=body, headers=headers)
        settle(database, house, json.loads(body), response)


def settle(database: Database, house: House, body: Document, response: httpx.Response) -> None:
    """Write the answer to an order down. A key that may not order raises; the order waits."""
    answer: tuple[str, str | None, str | None]
    if response.status_code in {HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}:
        done = made_before(house, body)
        answer = ("done", done, None) if done else ("refused", None, problem_code(response))
    else:
        response.raise_for_status()
        answer = ("done", response.json()["id"], None)
    change = "UPDATE orders SET state = ?, mailbox_id = ?, refusal = ? WHERE reference = ?"
    with database:
        database.execute(change, (*answer, body["external_ref"]))


def made_before(house: House, body: Document) -> str | None:
    """The id of the mailbox that an order made whose answer nobody can have any more.

    The house forgets answers after 30 days, and gives none to a key that reaches less far or
    further than the one before. It keeps references for good. A key that may not look raises: an
    order that may have been done is never called refused.
    """
    response = house.call("GET", "/mailboxes", params={"external_ref": body["external_ref"]})
    if response.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        response.raise_for_status()
    found = response.json()["items"] if response.is_success else []
    return next((each["id"] for each in found if each["domain_id"] == body["domain_id"]), None)


# Hints ----------------------------------------------------------------------------------------


def is_news(database: Database, event_id: str, *, now: float) -> bool:
    """Whether an event was not told of before; a webhook comes at least once."""
    with database:
        database.execute("DELETE FROM hints WHERE came_at < ?", (int(now) - HINTS_KEPT,))
        added = database.execute("INSERT OR IGNORE INTO hints VALUES (?, ?)", (event_id, int(now)))
        return added.rowcount == 1


# The program ----------------------------------------------------------------------------------


def run(path: str, house: House, *, port: int, every: float) -> NoReturn:
    """Stay in step for ever: at each webhook, and every so many seconds without one."""
    wake = threading.Event()

    def hint(event_id: str) -> None:
        with opened(path) as mine:
            if is_news(mine, event_id, now=time.time()):
                wake.set()

    shown = os.environ.get("HOUSE_WEBHOOK_SECRETS", "").split()
    secrets = [hooks.secret_of(text) for text in shown]
    server = hooks.receiver(("127.0.0.1", port), secrets=secrets, on_event=hint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    logger.info("Webhooks are taken on port %d.", server.server_port)
    with opened(path) as database:
        while True:
            # A hint from here on is for the next turn.
            wake.clear()
            place_orders(database, house)
            count = catch_up(database, house)
            logger.info("In step, after %d events.", count)
            wake.wait(every)


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="stay in step, and take webhooks")
    running.add_argument("--port", type=int, default=8900)
    running.add_argument("--every", type=float, default=60, metavar="SECONDS")
    ordering = commands.add_parser("order", help="order a mailbox")
    for name in ("reference", "domain_id", "local_part", "plan"):
        ordering.add_argument(name)
    return parser.parse_args()


def main() -> None:
    """Do what the command line says."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    logger.setLevel(logging.INFO)
    asked = vars(arguments())
    path = os.environ.get("SHOP_DATABASE", "shop.sqlite3")
    house = House(os.environ["HOUSE_URL"], os.environ["HOUSE_KEY"])
    if asked.pop("command") == "run":
        run(path, house, **asked)
    with opened(path) as database:
        take_order(database, **asked)
        place_orders(database, house)


if __name__ == "__main__":
    main()
