"""The parts of the program and how each is started."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from mailstore.engine import process
from mailstore.engine.server import server_from_settings


@dataclass(frozen=True, kw_only=True)
class Part:
    """One process tree under supervision."""

    name: str
    command: list[str]
    log: Path


def log_folder() -> Path:
    """Where supervised parts write what they say."""
    return Path(settings.RESTANTE_STATE) / "log"


def all_parts() -> list[Part]:
    """Every part, in the order of starting."""
    return [_mail(), _panel(), _worker(), _beat()]


def _mail() -> Part:
    # Dovecot writes a log of its own; what it says before that one is open lands in ours.
    return _part("mail", process.command(server_from_settings()))


def _panel() -> Part:
    host = f"[{settings.PANEL_HOST}]" if ":" in settings.PANEL_HOST else settings.PANEL_HOST
    # One process with threads: pages wait for the database and the mail server, not for
    # the processor, and a second process would cost as much memory as the first.
    return _python_part(
        "panel",
        ["gunicorn", "hosting.wsgi:application", "--bind", f"{host}:{settings.PANEL_PORT}"],
        ["--worker-class", "gthread", "--workers", "1", "--threads", "8", "--preload"],
        ["--timeout", "60", "--graceful-timeout", "5", "--no-control-socket"],
    )


def _worker() -> Part:
    # Threads, because a task waits for Dovecot or SQL; forked workers would each weigh as
    # much as the panel.
    return _python_part(
        "worker",
        ["celery", "--app", "hosting", "worker", "--pool", "threads", "--concurrency", "4"],
        ["--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"],
    )


def _beat() -> Part:
    # An empty pid file name means none: supervision knows the process.
    return _python_part(
        "beat",
        ["celery", "--app", "hosting", "beat", "--loglevel", "WARNING", "--pidfile="],
    )


def _python_part(name: str, *words: list[str]) -> Part:
    return _part(name, [sys.executable, "-m", *(word for group in words for word in group)])


def _part(name: str, command: list[str]) -> Part:
    return Part(name=name, command=command, log=log_folder() / f"{name}.log")
