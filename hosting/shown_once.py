"""Secrets that wait in a session for the one page that shows them.

Sessions lie in the database, and so in every backup of it, and the page may never be asked for.
So what waits is sealed, and whoever reads the table reads nothing.
"""

from __future__ import annotations

from django.contrib.sessions.backends.base import SessionBase

from accounts import sealing

_SESSION_KEY = "shown_once"
# Who makes more than these without looking has no use for them.
_MOST_WAITING = 10


def keep(session: SessionBase, secret: str, *, of: str) -> None:
    """Let a secret wait. `of` says whose it is, such as `key` and the key's UUID."""
    waiting: dict[str, str] = dict(session.get(_SESSION_KEY, {}))
    waiting.pop(of, None)
    waiting[of] = sealing.seal(secret.encode())
    latest = list(waiting.items())[-_MOST_WAITING:]
    session[_SESSION_KEY] = dict(latest)


def take(session: SessionBase, *, of: str) -> str | None:
    """The secret, which is forgotten by this; None if nothing waits."""
    waiting: dict[str, str] = dict(session.get(_SESSION_KEY, {}))
    sealed = waiting.pop(of, None)
    if sealed is None:
        return None
    session[_SESSION_KEY] = waiting
    try:
        return sealing.open_sealed(sealed).decode()
    except sealing.CannotOpen:
        return None
