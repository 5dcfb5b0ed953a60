"""A receiver on a port of this machine, which answers as a test says, well or badly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


Answer = bytes | Callable[[socket.socket], None]


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Receiver:
    """Takes posts; `answers` are given in turn, the last one for ever."""

    answers: list[Answer] = field(default_factory=lambda: [answer()])
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    wrap: Callable[[socket.socket], socket.socket] = lambda plain: plain
    host: str = "127.0.0.1"
    # Any that is free, unless one is given.
    port: int = 0

    def __enter__(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=64)
        self.port = self._listener.getsockname()[1]
        self._stopped = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._stopped.set()
        # Whoever waits in `accept` would keep it open.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    @property
    def url(self):
        return f"http://{self.host}:{self.port}/hook"

    def _accept(self):
        while not self._stopped.is_set():
            try:
                plain, _peer = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(plain)
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain):
        with suppress(OSError, ValueError), plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = self.wrap(plain)
            with peer, peer.makefile("rb") as file:
                while (post := self._read(file)) is not None:
                    turn = min(len(self.received), len(self.answers) - 1)
                    self.received.append(post)
                    given = self.answers[turn]
                    if callable(given):
                        given(peer)
                        return
                    peer.sendall(given)

    @staticmethod
    def _read(file):
        line = file.readline()
        if not line:
            return None
        headers = {}
        while (raw := file.readline().strip()) != b"":
            name, _, value = raw.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        body = file.read(int(headers.get("content-length", "0")))
        return Received(path=line.split()[1].decode(), headers=headers, body=body)
