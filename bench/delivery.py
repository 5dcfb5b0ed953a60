"""LMTP deliveries, beside the same Dovecot that reports no use."""

from __future__ import annotations

import smtplib
import threading
from collections.abc import Callable
from typing import Any

from django.db import connection

from bench import house
from bench.report import Row
from mailstore import provisioning
from mailstore.engine import engine
from tests.factories import make_mailbox

MAILBOXES = 20
MESSAGES = 400
AIM = 0.8
_MESSAGE = b"From: a@x.test\r\nSubject: Bench\r\nMessage-ID: <bench@x.test>\r\n\r\n" + b"x" * 4000


def measure() -> list[Row]:
    with house.dovecot() as ours, house.dovecot(_without_reports) as reference:
        addresses = _addresses()
        value, beside = house.alternated(
            _round(ours.lmtp_port, addresses), _round(reference.lmtp_port, addresses)
        )
    return [
        Row(
            bench="delivery",
            name="LMTP messages of 4 kB",
            value=value,
            unit="/s",
            reference=beside,
            aim=AIM if connection.vendor == "postgresql" else None,
        ),
    ]


def _addresses() -> list[str]:
    domain = house.cast().domain
    made = [make_mailbox(domain, f"box{n}", is_ready=False) for n in range(MAILBOXES)]
    for mailbox in made:
        provisioning.prepare(mailbox=mailbox, engine=engine())
    return [mailbox.address for mailbox in made]


def _without_reports(server: Any) -> None:
    house.rewrite(server, "dovecot.conf", " quota_clone", "")


def _round(port: int, addresses: list[str]) -> Callable[[], float]:
    clients = threading.local()

    def work(number: int) -> None:
        if not hasattr(clients, "lmtp"):
            clients.lmtp = smtplib.LMTP("127.0.0.1", port, timeout=60)
        clients.lmtp.sendmail("a@x.test", [addresses[number % len(addresses)]], _MESSAGE)

    return lambda: house.rate(work, count=MESSAGES)
