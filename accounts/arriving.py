"""From where a request comes, as a value that an actor carries into the audit trail."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from accounts import keys
from accounts.access import Door, Origin

_SALT = "accounts.arriving"
_MARK_LENGTH = 16


def origin_of(request: HttpRequest, *, door: Door) -> Origin:
    """The door, the client's address, and a mark of the session, if there is one."""
    session = getattr(request, "session", None)
    return Origin(
        door=door,
        address=address_of(request),
        session=session_mark(getattr(session, "session_key", None) or ""),
    )


def address_of(request: HttpRequest) -> str:
    """The client's address in its one spelling, or nothing where there is none."""
    plain = keys.plain_address(request.META.get("REMOTE_ADDR", ""))
    return "" if plain is None else str(plain)


def session_mark(session_key: str) -> str:
    """Tells one session from another without giving away what opens it."""
    if not session_key:
        return ""
    return salted_hmac(_SALT, session_key, algorithm="sha256").hexdigest()[:_MARK_LENGTH]
