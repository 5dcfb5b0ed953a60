"""Webhooks by two workers to a receiver on this machine, beside a bare loop of the same posts."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Any
from uuid import uuid4

import httpx
from django.conf import settings
from django.db import connections

from accounts import outbox
from accounts.access import system
from bench import house
from bench.report import Row
from hosting import feed, storing
from hosting.models import WebhookDelivery, WebhookEndpoint
from hosting.webhooks import endpoints, feeding, sending

WORKERS = 2
DELIVERIES = 4_000
ROUNDS = 3
# What the deliveries have to come to a second, and how they stand to posts that nobody signs,
# reads from a table or writes down.
WANTED, AIM = 500, 0.5
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_AT = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


def measure() -> list[Row]:
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    cast = house.cast()
    rows = []
    with _receiver() as url:
        for count, name in ((8, "to 8 endpoints"), (1, "to 1 endpoint")):
            _set_up(cast, url, count)
            pairs = [_pair(cast, url, count) for _ in range(ROUNDS)]
            ours, beside = (median(each) for each in zip(*pairs, strict=True))
            rows.append(_row(f"deliveries {name}", ours, reference=beside, aim=AIM))
            rows.append(_row(f"deliveries {name}, of those asked for", ours, reference=WANTED))
    return rows


def _row(name: str, value: float, *, reference: float, aim: float = 1) -> Row:
    return Row(bench="webhooks", name=name, value=value, unit="/s", reference=reference, aim=aim)


def _set_up(cast: Any, url: str, count: int) -> None:
    WebhookEndpoint.objects.all().delete()
    for _ in range(count):
        endpoints.make(actor=system("bench"), organisation=cast.reseller, url=url, at=_AT)
    sending.run(now=lambda: datetime.now(UTC))


def _pair(cast: Any, url: str, count: int) -> tuple[float, float]:
    bodies = _happen(cast, count)
    beside = _rate(lambda number: _post_all(url, bodies[number::WORKERS]))
    ours = _rate(lambda _number: sending.run(now=lambda: datetime.now(UTC)))
    left = WebhookDelivery.objects.exclude(state="delivered").count()
    assert left == 0, f"{left} deliveries did not arrive"
    return ours, beside


def _happen(cast: Any, count: int) -> list[bytes]:
    """Events enough for all deliveries; gives the bodies. That they are fed is not measured."""
    facts = [
        outbox.event(
            kind="mailbox.suspended",
            at=_AT,
            actor=system("bench"),
            organisation=cast.customer,
            subject=("mailbox", str(uuid4()), "x"),
        )
        for _ in range(DELIVERIES // count)
    ]
    storing.store(facts)
    feeding.feed_all(at=datetime.now(UTC))
    waiting = WebhookDelivery.objects.filter(state="waiting").select_related("event__organisation")
    names = feed.names()
    return [sending.body_of(delivery, named=names) for delivery in waiting]


def _post_all(url: str, bodies: list[bytes]) -> None:
    with httpx.Client(trust_env=False) as client:
        for body in bodies:
            client.post(url, content=body, headers={"content-type": "application/json"})


def _rate(work: Callable[[int], object]) -> float:
    begin = time.perf_counter()
    pids = [_in_a_process(work, number) for number in range(WORKERS)]
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return DELIVERIES / (time.perf_counter() - begin)


def _in_a_process(work: Callable[[int], object], number: int) -> int:
    connections.close_all()
    pid = os.fork()
    if pid:
        return pid
    work(number)
    os._exit(0)


@contextmanager
def _receiver() -> Iterator[str]:
    """A process that takes posts and says yes, with as little work as can be."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        asyncio.run(_serve(write_end))
    port = int(os.read(read_end, 16))
    try:
        yield f"http://127.0.0.1:{port}/hook"
    finally:
        os.kill(pid, 15)
        os.waitpid(pid, 0)


async def _serve(write_end: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Yes, "127.0.0.1", 0)
    os.write(write_end, str(server.sockets[0].getsockname()[1]).encode())
    await server.serve_forever()


class _Yes(asyncio.Protocol):
    def __init__(self) -> None:
        self._read = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            if len(self._read) < end + 4 + length:
                return
            self._read = self._read[end + 4 + length :]
            self._transport.write(_ANSWER)
