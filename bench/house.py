"""What a bench stands on: the tables, the cast, and Dovecots that differ in one thing."""

from __future__ import annotations

import dataclasses
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from typing import Any

import django

ROUNDS = 5


def set_up() -> None:
    """Migrate, and make the cast."""
    django.setup()
    from django.conf import settings  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    for database in settings.DATABASES:
        call_command("migrate", database=database, verbosity=0)
    if settings.DATABASE_URL:
        call_command("create_mail_role")


def cast() -> Any:
    """Alice, her domain and the others, as in the tests."""
    from tests.factories import make_cast  # noqa: PLC0415

    return make_cast()


@contextmanager
def dovecot(change: Callable[[Any], None] | None = None) -> Iterator[Any]:
    """A running mail server of ours; `change` may rewrite its configuration first."""
    from mailstore.engine import config, process, server_from_settings  # noqa: PLC0415
    from tests.servers import free_port, wait_for_port  # noqa: PLC0415

    server = dataclasses.replace(server_from_settings(), failure_delay_seconds=0)
    if change is not None:
        names = ("imap_port", "imaps_port", "pop3_port", "pop3s_port", "lmtp_port", "doveadm_port")
        ports = {name: free_port() for name in names}
        folder = server.folder.with_name("reference")
        server = dataclasses.replace(server, folder=folder, **ports)
    process.prepare(server)
    config.install(server)
    if change is not None:
        change(server)
    running = subprocess.Popen(process.command(server), stderr=subprocess.DEVNULL)
    try:
        for port in (server.imap_port, server.pop3_port, server.lmtp_port, server.doveadm_port):
            wait_for_port(port, running)
        yield server
    finally:
        process.stop(server)
        running.wait(timeout=20)


def rewrite(server: Any, name: str, old: str, new: str) -> None:
    """Replace text in one file of a configuration; it must be there."""
    path = server.conf / name
    text = path.read_text()
    if old not in text:
        message = f"{name} has no {old!r}"
        raise ValueError(message)
    path.write_text(text.replace(old, new))


def alternated(
    ours: Callable[[], float], reference: Callable[[], float], *, rounds: int = ROUNDS
) -> tuple[float, float]:
    """The medians of both, measured turn by turn so that a noisy machine meets both alike."""
    ours()
    reference()
    pairs = [(ours(), reference()) for _ in range(rounds)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def middle(measure: Callable[[], float], *, rounds: int = ROUNDS) -> float:
    """The median of several measurements, after one that does not count."""
    measure()
    return median(measure() for _ in range(rounds))


def rate(work: Callable[[int], None], *, count: int, threads: int = 4) -> float:
    """How often a second `work` is done, with several clients at once."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _done in pool.map(work, range(count)):
            pass
    return count / (time.perf_counter() - begin)
