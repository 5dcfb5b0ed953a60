"""Processes of an earlier start that nobody watches over any more."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

# Every process that the launcher starts carries the state folder under this name.
MARK = "RESTANTE_STACK"
_PATIENCE_SECONDS = 5


def end_leftovers(*, state: Path) -> int:
    """End what an earlier start on this state folder left behind; how many there were.

    The launcher holds the state folder's lock when it calls this, so whatever still runs
    for the folder has lost its own launcher, for example to `kill -9`.
    """
    found = [process for process in psutil.process_iter() if _belongs_to(process, state)]
    for process in found:
        _signal(process, kill=False)
    _gone, alive = psutil.wait_procs(found, timeout=_PATIENCE_SECONDS)
    for process in alive:
        _signal(process, kill=True)
    psutil.wait_procs(alive, timeout=_PATIENCE_SECONDS)
    return len(found)


def _belongs_to(process: psutil.Process, state: Path) -> bool:
    """Told by the mark; Dovecot's processes, which drop theirs, by where they stand."""
    try:
        if process.pid == os.getpid() or process.uids().effective != os.geteuid():
            return False
        if process.environ().get(MARK) == str(state):
            return True
        folder = Path(process.cwd())
        return process.name() in _DOVECOT_NAMES and folder.is_relative_to(state / "dovecot")
    except psutil.Error:
        return False


_DOVECOT_NAMES = frozenset(
    {
        "dovecot",
        "anvil",
        "auth",
        "config",
        "dict",
        "doveadm-server",
        "imap",
        "imap-login",
        "lmtp",
        "log",
        "old-stats",
        "pop3",
        "pop3-login",
        "ssl-params",
        "stats",
    },
)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        return
