"""The REST API on two workers, beside a minimal view of its framework and a bare one.

All are served by the same gunicorn with the same middleware, and asked turn by turn by the same
four clients.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from statistics import median
from typing import Any

from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import keyring, keys
from accounts.access import system
from accounts.models import Organisation
from bench import many
from bench.report import Row
from hosting import public_ids
from hosting.api import cursors, listing, mailboxes
from mailstore.models import Domain, LastLogin, Mailbox
from tests.servers import free_port, wait_for_port

SIZES = (10_000, 100_000, 1_000_000)
PAGE, CLIENTS, WORKERS = 50, 4, 2
SECONDS, ROUNDS = 1.0, 5
FLAT, MOST_LIST_STATEMENTS, MOST_CREATE_STATEMENTS, MOST_CREATE_MS = 0.8, 6, 15, 15
LIST_OF_DRF, LIST_OF_BARE, ONE_OF_DRF, BATCH_A_SECOND = 1.5, 0.5, 0.8, 1_500
CREATED, BATCHES, BATCH = 200, 6, 500
_NEW_ADDRESS = count()


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where it listens, and how it is asked."""

    port: int
    headers: Mapping[str, str]

    def rate(self, *paths: str) -> float:
        """Answers a second, the clients taking the paths in turn."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            begin = time.perf_counter()
            done = sum(pool.map(lambda _n: self._ask(paths, begin + SECONDS), range(CLIENTS)))
            return done / (time.perf_counter() - begin)

    def _ask(self, paths: tuple[str, ...], end: float) -> int:
        line = http.client.HTTPConnection("127.0.0.1", self.port)
        done = 0
        while time.perf_counter() < end:
            line.request("GET", paths[done % len(paths)], headers=dict(self.headers))
            answer = line.getresponse()
            body = answer.read()
            if answer.status != 200:
                message = f"{paths[done % len(paths)]} answered {answer.status}: {body[:300]!r}"
                raise RuntimeError(message)
            done += 1
        line.close()
        return done


def measure() -> list[Row]:
    model = many.template()
    provider = Organisation.objects.get(kind="provider")
    made = keyring.make(
        actor=system("bench"),
        organisation=provider,
        label="bench",
        scopes=keys.SCOPES,
        at=timezone.now(),
    )
    rows: list[Row] = []
    rates: dict[int, dict[str, float]] = {}
    standing = 0
    for size in SIZES:
        many.multiply(model, first=standing, end=size)
        _sign_in(first=standing, end=size)
        standing = size
        rates[size] = _lists(made.secret)
        rows += _list_rows(size, rates)
    rows += _one(made.secret)
    rows += _statements(made.secret)
    rows += _writing(made.secret)
    return rows


def _sign_in(*, first: int, end: int) -> None:
    """Each mailbox was used by two devices."""
    logins = [
        LastLogin(
            username=f"mailbox{n}@c{n // 1000}.test",
            proto=proto,
            device=f"{n}",
            address="192.0.2.1",
            last_login=1_790_000_000 + n,
        )
        for n in range(first, min(end, first + 100_000))
        for proto in ("imap", "pop3")
    ]
    LastLogin.objects.bulk_create(logins, batch_size=5000)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


# Reading --------------------------------------------------------------------------------


def _lists(secret: str) -> dict[str, float]:
    """Rates of a page: ours first, middle, last and of small shares, and both references."""
    middle = Mailbox.objects.order_by("pk")[Mailbox.objects.count() // 2]
    customer = Organisation.objects.filter(kind="customer").order_by("pk").last()
    mine = keyring.make(
        actor=system("bench"),
        organisation=customer,
        label="one customer",
        scopes=keys.SCOPES,
        at=timezone.now(),
    )
    mark = listing.mark_of({"object": mailboxes.MAILBOXES.document.__name__}, ("object",))
    cursor = cursors.seal([middle.pk], mark=mark)
    with _server() as port:
        all_of_it = Server(port=port, headers={"Authorization": f"Bearer {secret}"})
        some = Server(port=port, headers={"Authorization": f"Bearer {mine.secret}"})
        nobody = Server(port=port, headers={})
        path = f"/api/v1/mailboxes?limit={PAGE}"
        asked = {
            "first": partial(all_of_it.rate, path),
            "middle": partial(all_of_it.rate, f"{path}&cursor={cursor}"),
            "last": partial(all_of_it.rate, f"{path}&sort=-created"),
            "one customer's": partial(some.rate, path),
            "drf": partial(nobody.rate, "/bench/drf"),
            "bare": partial(nobody.rate, "/bench/bare"),
        }
        return _alternated(asked)


def _alternated(asked: Mapping[str, Any]) -> dict[str, float]:
    """The median rate of each, asked turn by turn."""
    found: dict[str, list[float]] = {name: [] for name in asked}
    for ask in asked.values():
        ask()
    for _round in range(ROUNDS):
        for name, ask in asked.items():
            found[name].append(ask())
    return {name: median(each) for name, each in found.items()}


def _list_rows(size: int, rates: Mapping[int, Mapping[str, float]]) -> Iterator[Row]:
    here, smallest = rates[size], rates[min(SIZES)]
    name = f"{PAGE} of {size:,} mailboxes"
    yield _row(f"{name}, beside a minimal DRF view", here["first"], here["drf"], LIST_OF_DRF)
    yield _row(f"{name}, beside a bare view", here["first"], here["bare"], LIST_OF_BARE)
    for page in ("middle", "last", "one customer's"):
        yield _row(f"{name}, {page} page beside the first", here[page], here["first"], FLAT)
    if size != min(SIZES):
        beside = f"{name}, beside {min(SIZES):,}"
        yield _row(beside, here["first"] / here["drf"], smallest["first"] / smallest["drf"], FLAT)


def _one(secret: str) -> Iterator[Row]:
    found = list(Mailbox.objects.order_by("-pk")[:200])
    with _server() as port:
        ours = Server(port=port, headers={"Authorization": f"Bearer {secret}"})
        nobody = Server(port=port, headers={})
        ids = [public_ids.encode("mbx", mailbox.uuid) for mailbox in found]
        rates = _alternated(
            {
                "ours": partial(ours.rate, *(f"/api/v1/mailboxes/{each}" for each in ids)),
                "drf": partial(nobody.rate, *(f"/bench/drf/{each.uuid}" for each in found)),
            }
        )
    yield _row("one mailbox, beside a minimal DRF view", rates["ours"], rates["drf"], ONE_OF_DRF)


@contextmanager
def _server() -> Iterator[int]:
    """Gunicorn with two processes."""
    connections.close_all()
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "hosting.wsgi:application"]
    options = ["--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS), "--threads", "2"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "bench.api_settings"}
    quiet = ["--worker-class", "gthread", "--preload", "--no-control-socket"]
    running = subprocess.Popen(
        [*command, *options, *quiet, "--log-level", "error"], env=environment
    )
    try:
        wait_for_port(port, running)
        yield port
    finally:
        running.terminate()
        running.wait(timeout=20)


# Writing --------------------------------------------------------------------------------


class Program:
    """An integrator in this very process, so that its processor time can be told."""

    def __init__(self, secret: str) -> None:
        self.client = Client(SERVER_NAME="localhost", headers={"authorization": f"Bearer {secret}"})
        self.domain_id = public_ids.encode("dom", Domain.objects.get(name="juniper.test").uuid)

    def get(self, path: str) -> Any:
        return self.client.get(f"/api/v1{path}")

    def create(self) -> Any:
        return self.post("/mailboxes", self.order())

    def order(self) -> dict[str, Any]:
        return {
            "domain_id": self.domain_id,
            "local_part": f"new{next(_NEW_ADDRESS)}",
            "plan": "imap",
            "app_password": {"label": "Phone"},
        }

    def batch(self) -> Any:
        items = [
            {"key": str(n), "operation": "create_mailbox", "body": self.order()}
            for n in range(BATCH)
        ]
        return self.post("/batch", {"items": items})

    def post(self, path: str, body: Any) -> Any:
        key = {"idempotency-key": f"k{next(_NEW_ADDRESS)}"}
        answer = self.client.post(
            f"/api/v1{path}", json.dumps(body), content_type="application/json", headers=key
        )
        if answer.status_code not in {200, 201}:
            raise RuntimeError(answer.content[:500])
        return answer


def _statements(secret: str) -> Iterator[Row]:
    program = Program(secret)
    program.create()
    for limit in (1, PAGE, 200):
        found = _counted(partial(program.get, f"/mailboxes?limit={limit}"))
        yield _ceiling(f"list of {limit}, statements", found, "statements", MOST_LIST_STATEMENTS)
    found = _counted(program.create)
    name = "create with app password, statements"
    yield _ceiling(name, found, "statements", MOST_CREATE_STATEMENTS)


def _counted(work: Any) -> int:
    """Statements that the work asks of the database, without those that bound transactions."""
    with CaptureQueriesContext(connection) as captured:
        work()
    frame = ("BEGIN", "SAVEPOINT", "RELEASE", "COMMIT", "ROLLBACK")
    return sum(not query["sql"].startswith(frame) for query in captured.captured_queries)


def _writing(secret: str) -> Iterator[Row]:
    program = Program(secret)
    program.batch()
    begin = time.process_time()
    for _each in range(CREATED):
        program.create()
    spent = (time.process_time() - begin) / CREATED * 1000
    yield _ceiling("create with app password, processor time", spent, "ms", MOST_CREATE_MS)
    rates = []
    for _batch in range(BATCHES):
        begin = time.perf_counter()
        program.batch()
        rates.append(BATCH / (time.perf_counter() - begin))
    yield _row(f"batches of {BATCH}, mailboxes", median(rates), BATCH_A_SECOND, 1.0)


def _row(name: str, value: float, reference: float, aim: float) -> Row:
    return Row(bench="api", name=name, value=value, unit="/s", reference=reference, aim=aim)


def _ceiling(name: str, value: float, unit: str, most: float) -> Row:
    return Row(
        bench="api", name=name, value=value, unit=unit, reference=most, aim=1, is_ceiling=True
    )
