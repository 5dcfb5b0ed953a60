"""Whether each part does its work, asked from outside."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx
from django.conf import settings

from hosting.models import Pulse
from hosting.tasks import record_pulse

_ASKING_SECONDS = 2
_PULSE = "launcher"
# A listener on every address is asked on the loopback.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- read, not listened on

Probe = Callable[[], bool]


def probes(*, started_at: datetime) -> dict[str, Probe]:
    """A question for each part, true once the part is ready for work."""
    return {
        "guard": _guard_answers,
        "mail": _mail_greets,
        "panel": _panel_answers,
        "worker": lambda: _worker_works(started_at),
        "beat": lambda: _beat_keeps_time(started_at),
    }


def ask_worker() -> None:
    """Give the worker something to do, whose effect `probes` looks for."""
    record_pulse.apply_async(kwargs={"name": _PULSE}, expires=60)


def _mail_greets() -> bool:
    mail = settings.MAIL_LISTEN
    return (
        _greets(mail, settings.IMAP_PORT, b"* OK")
        and _greets(mail, settings.POP3_PORT, b"+OK")
        and _greets(settings.LMTP_HOST, settings.LMTP_PORT, b"220 ")
    )


def _greets(host: str, port: int, greeting: bytes) -> bool:
    try:
        address = (_LOOPBACK.get(host, host), port)
        with socket.create_connection(address, timeout=_ASKING_SECONDS) as connection:
            return connection.recv(256).startswith(greeting)
    except OSError:
        return False


def _guard_answers() -> bool:
    return _is_healthy(settings.GUARD_HOST, settings.GUARD_PORT, named="localhost")


def _panel_answers() -> bool:
    return _is_healthy(settings.PANEL_HOST, settings.PANEL_PORT, named=_accepted_host())


def _is_healthy(listening: str, port: int, *, named: str) -> bool:
    host = _LOOPBACK.get(listening, listening)
    bracketed = f"[{host}]" if ":" in host else host
    try:
        answer = httpx.get(
            f"http://{bracketed}:{port}/healthz",
            headers={"Host": named},
            timeout=_ASKING_SECONDS,
            trust_env=False,
        )
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


def _accepted_host() -> str:
    first = settings.ALLOWED_HOSTS[0] if settings.ALLOWED_HOSTS else "localhost"
    return "localhost" if first.startswith(("*", ".")) else first


def _worker_works(started_at: datetime) -> bool:
    return Pulse.objects.filter(name=_PULSE, at__gte=started_at).exists()


def _beat_keeps_time(started_at: datetime) -> bool:
    """Beat writes its time table as soon as it has read it."""
    schedule = Path(settings.CELERY_BEAT_SCHEDULE_FILENAME)
    return any(
        path.stat().st_mtime >= started_at.timestamp()
        for path in schedule.parent.glob(f"{schedule.name}*")
    )
