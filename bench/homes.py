"""Mailboxes full of mail, made quickly: one is filled, and its home is copied."""

from __future__ import annotations

import shutil
import smtplib
import subprocess
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from mailstore import provisioning
from mailstore.engine import engine
from mailstore.models import Mailbox
from tests.factories import make_mailbox

# About as long as a short message with its headers.
MESSAGE_BYTES = 4_000
_CLIENTS = 4


def mailboxes(domain: Any, name: str, count: int) -> list[Mailbox]:
    """Ready mailboxes `name0`, `name1`, … with empty folders."""
    made = [make_mailbox(domain, f"{name}{number}", is_ready=False) for number in range(count)]
    for mailbox in made:
        provisioning.prepare(mailbox=mailbox, engine=engine())
    return made


def fill(server: Any, mailbox: Mailbox, *, messages: int) -> datetime:
    """Put mail in twice, half and half; returns the moment between, in whole seconds."""
    port = server.lmtp_port
    _deliver(port, mailbox.address, count=messages // 2)
    time.sleep(2)
    middle = timezone.now().replace(microsecond=0)
    time.sleep(2)
    _deliver(port, mailbox.address, count=messages - messages // 2)
    # A message's arrival is its file's own time unless the cache knows it; a copy is newer.
    engine().messages(user=mailbox.address, folder="INBOX")
    return middle


def copy(source: Mailbox, targets: list[Mailbox]) -> None:
    """Give others the same mail. The mail server must not have their homes open."""
    for target in targets:
        shutil.rmtree(home(target))
        subprocess.run(["cp", "-a", home(source), home(target)], check=True)


def home(mailbox: Mailbox) -> Path:
    """Where the mail lies."""
    name = mailbox.uuid.hex
    return Path(settings.MAIL_ROOT) / name[:2] / name


@contextmanager
def files(folder: Path, *, count: int, size: int) -> Iterator[Path]:
    """As many files of one size, a thousand in each folder."""
    content = b"x" * size
    for number in range(count):
        place = folder / str(number // 1000)
        if number % 1000 == 0:
            place.mkdir(parents=True)
        (place / f"u.{number}").write_bytes(content)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def doveadm(server: Any, *arguments: str) -> float:
    """Run Dovecot's own command; the seconds it took."""
    begin = time.perf_counter()
    subprocess.run(
        ["doveadm", "-c", server.main_file, *arguments], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - begin


def _deliver(port: int, address: str, *, count: int) -> None:
    with ThreadPoolExecutor(_CLIENTS) as pool:
        for _done in pool.map(
            lambda first: _deliver_some(port, address, range(first, count, _CLIENTS)),
            range(_CLIENTS),
        ):
            pass


def _deliver_some(port: int, address: str, numbers: Iterable[int]) -> None:
    with smtplib.LMTP("127.0.0.1", port, timeout=60) as client:
        for number in numbers:
            text = f"From: a@x.test\r\nSubject: {number}\r\nMessage-ID: <{number}@x.test>\r\n\r\n"
            client.sendmail("a@x.test", [address], text.encode() + b"x" * MESSAGE_BYTES)
