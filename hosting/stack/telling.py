"""What a person at the terminal is told."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from django.conf import settings

_LOG_LINES = 15


class NotStarted(Exception):
    """The program cannot be started or kept up; the message says why and what to do."""


def tell(message: str) -> None:
    """Say it, if anybody is still there to hear it."""
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def log_folder() -> Path:
    """Where supervised parts write what they say."""
    return Path(settings.RESTANTE_STATE) / "log"


def last_lines(name: str) -> str:
    """The end of what a part wrote; for the mail server also its own log."""
    logs = [log_folder() / f"{name}.log"]
    if name == "mail":
        logs.append(Path(settings.DOVECOT_LOG))
    texts = []
    for log in logs:
        if log.exists():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            texts.append("\n".join([f"The last lines of {log}:", *lines[-_LOG_LINES:]]))
    return "\n".join(texts)
