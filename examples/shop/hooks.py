"""Takes webhooks: who sent it, and when, after https://www.standardwebhooks.com."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Sequence
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A signature of another day proves nothing: somebody may have kept it.
TOLERANCE_SECONDS = 5 * 60
LARGEST_BODY_BYTES = 64 * 1024
# Ten digits last until the year 2286.
_MOST_DIGITS = 10

logger = logging.getLogger("shop")


class HookRefused(Exception):
    """A webhook that the house did not send, or did not send now."""


def secret_of(text: str) -> bytes:
    """The secret in what the house showed, `whsec_…`; raises `ValueError`."""
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        message = "A secret of a webhook is whsec_ and base64."
        raise ValueError(message) from error


def verified(headers: Message, body: bytes, *, secrets: Sequence[bytes], now: float) -> str:
    """The event's id, once time and signature are found good; raises `HookRefused`.

    There are several secrets, and several signatures, while a secret is being replaced.
    """
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    event_id, stamp, signatures = (headers.get(name) or "" for name in names)
    if not is_whole(stamp) or abs(now - int(stamp)) > TOLERANCE_SECONDS:
        message = "it is too old, or the clocks differ"
        raise HookRefused(message)
    signed = f"{event_id}.{stamp}.".encode() + body
    wanted = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in secrets]
    given = [each[3:].encode() for each in signatures.split() if each.startswith("v1,")]
    if not any(hmac.compare_digest(one, other) for one in wanted for other in given):
        message = "the signature is not the house's"
        raise HookRefused(message)
    return event_id


def is_whole(text: str) -> bool:
    """Whether this is a number that `int` takes, and no trick."""
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def receiver(
    address: tuple[str, int], *, secrets: Sequence[bytes], on_event: Callable[[str], None]
) -> ThreadingHTTPServer:
    """A server that calls `on_event` with the id of each event it was told of.

    What the webhook says besides is not looked at. It is a hint that there is news; the feed has
    the news, whole and in order. An error in `on_event` ends the connection without an answer,
    and the house comes again.
    """

    class Hook(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            self.send_response(self.taken())
            self.send_header("Content-Length", "0")
            self.end_headers()

        def taken(self) -> HTTPStatus:
            length = self.headers.get("Content-Length", "")
            if not is_whole(length):
                return HTTPStatus.LENGTH_REQUIRED
            if int(length) > LARGEST_BODY_BYTES:
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            body = self.rfile.read(int(length))
            try:
                event_id = verified(self.headers, body, secrets=secrets, now=time.time())
            except HookRefused as reason:
                logger.warning("A webhook was refused: %s.", reason)
                return HTTPStatus.UNAUTHORIZED
            on_event(event_id)
            return HTTPStatus.NO_CONTENT

        def log_message(self, format: str, *values: Any) -> None:  # noqa: A002  # its name there
            """What matters is logged above."""

    return ThreadingHTTPServer(address, Hook)
