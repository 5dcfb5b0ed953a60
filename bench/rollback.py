"""A mailbox emptied over IMAP and rolled back, beside Dovecot's own move of the same mail."""

from __future__ import annotations

import imaplib
import time
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.access import system
from bench import homes, house
from bench.report import Row
from mailstore import credentials, recovery
from mailstore.engine import engine
from mailstore.models import Mailbox

MESSAGES = 20_000
AIM = 0.5


def measure() -> list[Row]:
    domain = house.cast().domain
    with house.dovecot() as server:
        ours, reference = homes.mailboxes(domain, "box", 2)
        Mailbox.objects.update(quota_bytes=10**12)
        secret = credentials.issue(
            actor=system("bench"), mailbox=ours, label="Thief", at=timezone.now()
        ).secret
        homes.fill(server, ours, messages=MESSAGES)
    homes.copy(ours, [reference])
    with house.dovecot() as server:
        before = timezone.now()
        time.sleep(1.1)
        client = _signed_in(server, ours, secret)
        client.store("1:*", "+FLAGS.SILENT", "\\Deleted")
        client.expunge()
        client.logout()
        value = MESSAGES / _rolled_back(ours, moment=before)
        move = ("move", "-u", reference.address, "Archive", "mailbox", "INBOX", "all")
        beside = MESSAGES / homes.doveadm(server, *move)
    return [
        Row(
            bench="rollback",
            name="messages rolled back, beside doveadm move",
            value=value,
            unit="/s",
            reference=beside,
            aim=AIM,
        )
    ]


def _signed_in(server: Any, mailbox: Mailbox, secret: str) -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", server.imap_port, timeout=300)
    client.login(mailbox.address, secret)
    client.select("INBOX")
    return client


def _rolled_back(mailbox: Mailbox, *, moment: datetime) -> float:
    begin = time.perf_counter()
    at = timezone.now() + timedelta(seconds=1)
    run = recovery.roll_back(
        actor=system("bench"), mailbox=mailbox, engine=engine(), moment=moment, at=at
    )
    recovery.work_off(run=run, engine=engine(), now=timezone.now)
    seconds = time.perf_counter() - begin
    run.refresh_from_db()
    if run.messages != MESSAGES:
        message = f"{run.messages} messages came back, not {MESSAGES}."
        raise RuntimeError(message)
    return seconds
