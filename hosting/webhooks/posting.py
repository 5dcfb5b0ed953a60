"""Posting to receivers outside: nothing here knows the database, and nothing trusts the receiver.

A courier posts to many receivers at once from one thread of its own, to each one after another.
Whatever a receiver does, a post ends after `PATIENCE`, measured by the clock on the wall.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Self

import certifi
import h11

from hosting.webhooks import targets
from hosting.webhooks.targets import Target, TargetRefused

PATIENCE_SECONDS = 15.0
# A receiver that is slow gets no new post after this time, so that its turn ends.
TURN_SECONDS = 20.0
# What is read of an answer; the rest is cut off with the connection.
MOST_READ_BYTES = 64 * 1024
MOST_KEPT_BYTES = 4 * 1024
_MOST_HEAD_BYTES = 16 * 1024
_CHUNK_BYTES = 16 * 1024

# So many receivers are posted to at once.
MOST_AT_ONCE = 64
# Looking a name up cannot be stopped; what hangs does so in one of these, and is left behind. So
# there is one for each receiver, and one for what the receiver before it left: whoever has names
# that nobody answers for holds up no other.
_LOOK_UPS = 2 * MOST_AT_ONCE


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """One body for one receiver; `stamp` makes the headers at the moment of sending."""

    key: int
    body: bytes
    stamp: Callable[[int], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one post went. `status` is None if no whole head of an answer came."""

    key: int
    began: float
    seconds: float
    headers: Mapping[str, str]
    status: int | None = None
    problem: str = ""
    answer: bytes = b""

    @property
    def is_success(self) -> bool:
        """Only 2xx is; a redirect is not followed."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004

    @property
    def is_unreachable(self) -> bool:
        """Whether nobody answered, so that others would fare no better now."""
        return self.status is None


class _Unanswered(Exception):
    """The connection ended before the answer's head did."""


class _Connection:
    """One connection to one address that was judged, and the posts on it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, target: Target
    ) -> None:
        self._reader, self._writer, self._target = reader, writer, target
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD_BYTES)

    @property
    def is_usable(self) -> bool:
        """Whether another post can follow on it."""
        return self._http.our_state is h11.IDLE and not self._reader.at_eof()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """The status and the beginning of the answer."""
        request = h11.Request(
            method="POST",
            target=self._target.path,
            headers=[
                ("host", self._target.authority),
                ("content-length", str(len(body))),
                *headers.items(),
            ],
        )
        sent = (request, h11.Data(data=body), h11.EndOfMessage())
        self._writer.write(b"".join(self._http.send(event) or b"" for event in sent))
        await self._writer.drain()
        return await self._answer()

    async def _answer(self) -> tuple[int, bytes]:
        status, kept, read = 0, b"", 0
        async for event in self._events():
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                read += len(event.data)
                kept += bytes(event.data[: MOST_KEPT_BYTES - len(kept)])
                if read > MOST_READ_BYTES:
                    return status, kept
        with suppress(h11.ProtocolError):
            self._http.start_next_cycle()
        return status, kept

    async def _events(self) -> AsyncIterator[object]:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(_CHUNK_BYTES)
                if not data and self._http.their_state is h11.SEND_RESPONSE:
                    raise _Unanswered
                self._http.receive_data(data)
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return
            else:
                yield event

    def close(self) -> None:
        """Let go at once, whatever the receiver is still sending."""
        self._writer.transport.abort()


class Courier:
    """A thread that posts; use it as a context."""

    def __init__(self, *, allows_private: bool) -> None:
        self._allows_private = allows_private
        self._look_ups = ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="webhook-names")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._look_ups.shutdown(wait=False, cancel_futures=True)

    def send(self, url: str, parcels: Sequence[Parcel]) -> Future[list[Outcome]]:
        """Post one after another, and stop early at a receiver that nobody reaches."""
        round_ = _Round(url, allows_private=self._allows_private, look_ups=self._look_ups)
        return asyncio.run_coroutine_threadsafe(round_.send(parcels), self._loop)


async def _cancel_others() -> None:
    """Whoever leaves early leaves nothing behind."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class _Round:
    """What is posted to one receiver in its turn, on as few connections as may be."""

    def __init__(self, url: str, *, allows_private: bool, look_ups: Executor) -> None:
        self._url, self._allows_private, self._look_ups = url, allows_private, look_ups
        self._connection: _Connection | None = None

    async def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        ends_at = time.monotonic() + TURN_SECONDS
        async with aclosing(self):
            for parcel in parcels:
                outcome = await self._post(parcel)
                outcomes.append(outcome)
                if outcome.is_unreachable or outcome.status == 410 or time.monotonic() > ends_at:  # noqa: PLR2004
                    break
        return outcomes

    async def aclose(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _post(self, parcel: Parcel) -> Outcome:
        began, clock = time.time(), time.monotonic()
        headers = parcel.stamp(int(began))
        status, problem, answer = None, "", b""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, answer = await self._posted(parcel.body, headers)
        except TimeoutError:
            problem = f"No whole answer came within {PATIENCE_SECONDS:.0f} seconds."
        except TargetRefused as refusal:
            problem = str(refusal)
        except ssl.SSLCertVerificationError as error:
            problem = f"The certificate is not good: {error.verify_message.rstrip('.')}."
        except (_Unanswered, ssl.SSLError, h11.ProtocolError, OSError, EOFError) as error:
            words = _WORDS.get(type(error), "The connection failed")
            problem = f"{words}: {error}" if str(error) else f"{words}."
        if problem:
            await self.aclose()
        return Outcome(
            key=parcel.key,
            began=began,
            seconds=time.monotonic() - clock,
            headers=headers,
            status=status,
            problem=problem[:300],
            answer=answer,
        )

    async def _posted(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        kept = self._connection
        if kept is not None and kept.is_usable:
            try:
                return await self._counted(kept, body, headers)
            except (_Unanswered, ConnectionError):
                # It was closed while it lay idle, as a receiver may; that is no failure.
                pass
        await self.aclose()
        self._connection = await self._connect()
        return await self._counted(self._connection, body, headers)

    async def _counted(
        self, connection: _Connection, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        answer = await connection.post(body, headers)
        if not connection.is_usable:
            await self.aclose()
        return answer

    async def _connect(self) -> _Connection:
        target = targets.parse(self._url, allows_private=self._allows_private)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._look_ups, targets.look_up, target)
        address = targets.judge(found, allows_private=self._allows_private)
        reader, writer = await asyncio.open_connection(
            str(address),
            target.port,
            ssl=_tls() if target.is_encrypted else None,
            server_hostname=target.host if target.is_encrypted else None,
            limit=_CHUNK_BYTES,
        )
        return _Connection(reader, writer, target=target)


_WORDS: Mapping[type[Exception], str] = {
    _Unanswered: "The connection was closed without an answer",
    h11.RemoteProtocolError: "The answer is no HTTP",
    ConnectionRefusedError: "Nobody listens there",
}


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certifi.where())
    # Whom this machine trusts besides, such as an operator's own authority.
    context.set_default_verify_paths()
    return context
