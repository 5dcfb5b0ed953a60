"""The parts of the program and how each is started."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from hosting.stack.telling import log_folder
from mailstore.engine import process
from mailstore.engine.server import server_from_settings


@dataclass(frozen=True, kw_only=True)
class Part:
    """One process tree under supervision."""

    name: str
    command: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)


def all_parts() -> list[Part]:
    """Every part, in the order of starting."""
    return [_guard(), _mail(), _panel(), _worker(), _beat()]


def _guard() -> Part:
    # Dovecot asks a hundred questions at once; a few threads of the guard's own think about them.
    return _python_part(
        "guard",
        ["gunicorn", "hosting.guard:application"],
        ["--bind", f"{_bracketed(settings.GUARD_HOST)}:{settings.GUARD_PORT}"],
        ["--worker-class", "gthread", "--workers", "1", "--threads", "64", "--preload"],
        # Longer than Dovecot keeps a connection, so that it is never the guard who hangs up.
        ["--keep-alive", "30", "--timeout", "10", "--graceful-timeout", "2", "--no-control-socket"],
    )


def _mail() -> Part:
    # Dovecot writes a log of its own; what it says before that one is open lands in ours.
    return _part("mail", process.command(server_from_settings()))


def _panel() -> Part:
    host = _bracketed(settings.PANEL_HOST)
    # One process with threads: pages wait for the database and the mail server, not for
    # the processor, and a second process would cost as much memory as the first.
    return _python_part(
        "panel",
        ["gunicorn", "hosting.wsgi:application", "--bind", f"{host}:{settings.PANEL_PORT}"],
        ["--config", "python:hosting.serving.gunicorn"],
        ["--workers", "1", "--preload", "--graceful-timeout", "5"],
    )


def _worker() -> Part:
    # Threads, because a task waits for Dovecot or SQL; forked workers would each weigh as
    # much as the panel.
    return _python_part(
        "worker",
        ["celery", "--app", "hosting", "worker", "--pool", "threads", "--concurrency", "4"],
        ["--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"],
        # The launcher has checked. To do it again, the worker would load every page and keep it.
        environment={"CELERY_SKIP_CHECKS": "1"},
    )


def _beat() -> Part:
    # An empty pid file name means none: supervision knows the process.
    return _python_part(
        "beat",
        ["celery", "--app", "hosting.clock", "beat", "--loglevel", "WARNING", "--pidfile="],
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _python_part(name: str, *words: list[str], environment: dict[str, str] | None = None) -> Part:
    command = [sys.executable, "-m", *(word for group in words for word in group)]
    return _part(name, command, environment)


def _part(name: str, command: list[str], environment: dict[str, str] | None = None) -> Part:
    log = log_folder() / f"{name}.log"
    return Part(name=name, command=command, log=log, environment=environment or {})
