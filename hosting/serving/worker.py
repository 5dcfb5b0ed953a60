"""A web worker that nobody can hold up by being slow.

Gunicorn's threads read from the network, and a client that sends a byte a minute has a thread for
as long as it likes: sixteen of them, and the panel answers nobody. Here the worker's loop gathers
each request, whole, and a thread begins when there is nothing left to wait for. Who is too slow
is let go, and if many come at once, whoever has been at it longest.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from hosting.serving.connections import Connection, lasts_for

# From the first byte to the last one, also of a large upload over a thin line.
REQUEST_SECONDS = 60.0
# Without a single byte; a browser opens connections that it does not need yet.
SILENT_SECONDS = 10.0
WRITE_SECONDS = 20
WRITE_BUFFER_BYTES = 256 * 1024
# What all unfinished requests of one worker may take together.
MOST_GATHERED_BYTES = 40 * 1024 * 1024
# For whoever has its answer, to close the connection by itself.
_LINGER_SECONDS = 2.0
_CHUNK_BYTES = 64 * 1024


class GatheringWorker(ThreadWorker):
    """Gunicorn's threaded worker, with all waiting done by its loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In the order in which they came.
        self._gathering: dict[Connection, None] = {}
        self._lingering: dict[Connection, float] = {}
        self._gathered_bytes = 0
        self._looked_at = 0.0
        self._stops_at = float("inf")

    def accept(self, listener: socket.socket) -> None:
        """Take a connection, and wait for its request."""
        try:
            sock, client = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        lasts_for(sock, seconds=WRITE_SECONDS, buffer_bytes=WRITE_BUFFER_BYTES)
        self._wait(Connection(self.cfg, sock, client, listener.getsockname()))
        if self.nr_conns >= self.worker_connections:
            self._let_go_of_the_oldest()

    def handle(self, conn: Connection) -> bool:
        """Answer one request, in a thread; returns whether another may follow it."""
        conn.data_ready = True
        return bool(super().handle(conn)) and not conn.has_rest

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Say with the answer that the connection ends, where the rest of the request is not read.

        Whoever keeps connections would send the next request on this one, and lose it.
        """
        if conn.is_cut:
            req.force_close()
        return bool(super().handle_request(req, conn))

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        """Wait for the next request, or for the other side to close."""
        failed = fs.cancelled() or fs.exception() is not None
        if failed or not fs.result() or not self.alive:
            self._linger(conn)
        else:
            self._wait(conn)

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002
        """Let go of whoever is too slow; once a second is often enough to look."""
        now = time.monotonic()
        if not force and now - self._looked_at < 1:
            return
        self._looked_at = now
        force = force or now >= self._stops_at
        for conn in [each for each in self._gathering if force or _is_late(each, now)]:
            self._drop(conn)
        for conn in [each for each, until in self._lingering.items() if force or now >= until]:
            self._close(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """A worker that stops waits no longer than this for what may be on its way."""
        self._stops_at = deadline

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:  # noqa: FBT001
        """A body that was cut, or that nobody read, is not waited for."""
        if not keepalive or conn.is_cut or conn.parser is None:
            return False
        return bool(conn.parser.finish_body()) and not conn.is_cut

    def _wait(self, conn: Connection) -> None:
        conn.begin()
        self._gathering[conn] = None
        self._watch(conn, partial(self._on_bytes, conn))

    def _watch(self, conn: Connection, callback: Callable[[Any], None]) -> None:
        self.poller.register(conn.sock, selectors.EVENT_READ, callback)

    def _on_bytes(self, conn: Connection, _sock: Any) -> None:
        try:
            data = conn.sock.recv(_CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._drop(conn)
            return
        self._gathered_bytes += len(data)
        if conn.take_in(data):
            self._forget(conn)
            self.enqueue_req(conn)
        elif self._gathered_bytes > MOST_GATHERED_BYTES:
            self._let_go_of_the_oldest()

    def _forget(self, conn: Connection) -> None:
        """It is gathered, or given up: the loop looks at it no longer."""
        del self._gathering[conn]
        self._gathered_bytes -= len(conn.received)
        self.poller.unregister(conn.sock)

    def _let_go_of_the_oldest(self) -> None:
        oldest = next(iter(self._gathering), None)
        if oldest is not None:
            self._drop(oldest)

    def _drop(self, conn: Connection) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    def _linger(self, conn: Connection) -> None:
        """Say that nothing more comes, and read on a little, or the answer itself may be lost."""
        try:
            conn.sock.settimeout(0)
            conn.sock.shutdown(socket.SHUT_WR)
            self._watch(conn, partial(self._on_last_bytes, conn))
        except OSError:
            self.nr_conns -= 1
            conn.close()
        else:
            self._lingering[conn] = time.monotonic() + _LINGER_SECONDS

    def _on_last_bytes(self, conn: Connection, _sock: Any) -> None:
        try:
            if conn.sock.recv(_CHUNK_BYTES):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        del self._lingering[conn]
        with contextlib.suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()


def _is_late(conn: Connection, now: float) -> bool:
    if conn.received:
        return now - conn.began_at > REQUEST_SECONDS
    return now - conn.began_at > SILENT_SECONDS
