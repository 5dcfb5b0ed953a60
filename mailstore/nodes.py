"""How the mail server is: what runs, who is connected, how much room is left, what it lags behind.

Some of it only the machine itself can tell. Where the mail server lies on another one, that part
is None, and a page says so.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from cryptography import x509
from django.conf import settings

from mailstore.engine import Engine, EngineError, Service, process, server_from_settings
from mailstore.models import FullSweep, LogPosition

_KNOCK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Room:
    """What is left where mail lies."""

    free_bytes: int
    bytes: int
    free_inodes: int
    inodes: int


@dataclass(frozen=True, kw_only=True)
class Node:
    """One mail server. `problem` says why it does not answer; then it has no services."""

    host: str
    problem: str
    services: Sequence[Service]
    version: str | None
    started_at: datetime | None
    room: Room | None
    certificate_ends_at: datetime | None
    log_lag_bytes: int | None
    last_sweep: FullSweep | None

    @property
    def sessions(self) -> int:
        """Programs that are signed in: each has a process of its own."""
        return sum(each.busy for each in self.services if each.name in {"imap", "pop3"})


def look(*, engine: Engine) -> Node:
    """How it is now. Waits for a mail server that hangs about a second."""
    services, problem = _services(engine)
    return Node(
        host=settings.MAIL_HOST,
        problem=problem,
        services=services,
        version=_version(),
        started_at=_started_at(),
        room=_room(settings.MAIL_ROOT),
        certificate_ends_at=_certificate_end(),
        log_lag_bytes=_log_lag(settings.DOVECOT_LOG),
        last_sweep=FullSweep.objects.exclude(finished_at=None).order_by("-started_at").first(),
    )


def _services(engine: Engine) -> tuple[list[Service], str]:
    try:
        return engine.services(), ""
    except EngineError as error:
        return [], str(error) or type(error).__name__


def _version() -> str | None:
    try:
        return process.installed_version()
    except (process.NotInstalled, OSError):
        return None


def _started_at() -> datetime | None:
    pid = process.running_pid(server_from_settings())
    try:
        born = psutil.Process(pid).create_time() if pid is not None else None
    except psutil.Error:
        return None
    return datetime.fromtimestamp(born, tz=UTC) if born is not None else None


def _room(folder: Path) -> Room | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return Room(
        free_bytes=found.f_bavail * found.f_frsize,
        bytes=found.f_blocks * found.f_frsize,
        free_inodes=found.f_favail,
        inodes=found.f_files,
    )


def _certificate_end() -> datetime | None:
    """Until when what it shows to mail programs is good."""
    context = ssl.create_default_context()
    # The end is asked for, not whose it is: a self-signed one has an end as well.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    where = (settings.MAIL_LISTEN, settings.IMAPS_PORT)
    try:
        with (
            socket.create_connection(where, timeout=_KNOCK_SECONDS) as plain,
            context.wrap_socket(plain) as secure,
        ):
            shown = secure.getpeercert(binary_form=True)
    except OSError:
        return None
    return x509.load_der_x509_certificate(shown).not_valid_after_utc if shown else None


def _log_lag(log: Path) -> int | None:
    """How many bytes of the log nobody has read yet, of the file that is written now."""
    try:
        found = log.stat()
    except OSError:
        return None
    place = LogPosition.objects.filter(path=str(log)).first()
    is_this_file = place is not None and place.inode == found.st_ino
    return max(0, found.st_size - (place.offset if place and is_this_file else 0))
