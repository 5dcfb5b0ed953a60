"""One connection whose request is gathered before anybody works on it."""

from __future__ import annotations

import re
import socket
import struct
import time
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import TConn

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_WAITS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
# More than the largest request line and header fields that are read, taken together.
MOST_HEAD_BYTES = 64 * 1024
# More than any route takes (`hosting.request_limits`). What is said to be longer is answered by
# its head alone, and the rest of it is not waited for.
MOST_BODY_BYTES = 12 * 1024 * 1024
_MOST_DIGITS = 12


class _Parser(RequestParser):
    """Gunicorn's own, which says 100 Continue only if that was not said before."""

    def __next__(self) -> Any:
        request = super().__next__()
        request._expected_100_continue = False  # noqa: SLF001  # `Connection` has answered it
        return request


class Connection(TConn):
    """What has come of one request, and where Gunicorn's parser reads it from."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.initialized = False
        self.parser: _Parser | None = None
        self.received = bytearray()
        self.began_at = 0.0
        self._wanted: int | None = None
        # Whether the rest of what was announced is not waited for.
        self.is_cut = False

    def init(self) -> None:
        """Have the parser read what was gathered."""
        if not self.initialized:
            self.initialized = True
            self.parser = _Parser(self.cfg, self, self.client)

    def begin(self) -> None:
        """Wait for the next request."""
        self.received.clear()
        self._wanted, self.is_cut = None, False
        self.began_at = time.monotonic()
        self.sock.settimeout(0)

    def take_in(self, data: bytes) -> bool:
        """Keep what came; returns whether all is there that anybody will look at."""
        self.received += data
        if self._wanted is None:
            end = self.received.find(_END_OF_HEAD)
            if end < 0:
                self.is_cut = len(self.received) > MOST_HEAD_BYTES
                return self.is_cut
            self._read_head(bytes(self.received[: end + 2]), end + len(_END_OF_HEAD))
        return self.is_cut or len(self.received) >= (self._wanted or 0)

    def _read_head(self, head: bytes, length: int) -> None:
        announced = _LENGTH.search(head)
        # A number of so many digits is more than anybody sends, whatever it is.
        body = int(announced[1][-_MOST_DIGITS:]) if announced else 0
        if announced and len(announced[1]) > _MOST_DIGITS:
            body = MOST_BODY_BYTES + 1
        # A body in chunks is refused by its head, so nobody looks for its end either.
        self.is_cut = body > MOST_BODY_BYTES or b"\ntransfer-encoding:" in head.lower()
        self._wanted = length if self.is_cut else length + body
        if _WAITS.search(head) and not self.is_cut:
            try:
                self.sock.send(_GO_ON)
            except OSError:
                self.is_cut = True

    @property
    def has_rest(self) -> bool:
        """Whether something is left that the parser did not take: nothing can follow it safely."""
        return bool(self.received) or (
            self.parser is not None and bool(self.parser.unreader.buf.getvalue())
        )

    # What the parser takes for its socket ---------------------------------------------------

    def recv(self, size: int) -> bytes:
        """The next bytes of what was gathered. Nobody waits for more."""
        if self._wanted is None and not self.received:
            message = "limit request headers fields size"
            raise LimitRequestHeaders(message)
        if not self.received:
            # The parser reads the lengths in another way than we do. What comes next on this
            # connection belongs to this body then, and must not be taken for a request.
            self.is_cut = True
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken


def lasts_for(sock: socket.socket, *, seconds: int, buffer_bytes: int) -> None:
    """Let nobody who does not read hold up the thread that writes: for longer than `seconds`.

    An answer that fits into the buffer is the kernel's to deliver, so it costs no wait at all.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
