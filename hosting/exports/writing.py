"""The worker: it writes a file whole or not at all, and anew where another one was killed."""

from __future__ import annotations

import errno
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import IO

from django.db import transaction
from django.db.models import F, Q, QuerySet

from accounts import keyring, spans, succession
from accounts.access import Actor, Door, Origin, system
from hosting.exports import contents, keeping, telling
from hosting.models import Export

logger = logging.getLogger(__name__)

# So long a file can be fetched.
KEPT = timedelta(days=7)
# Far longer than some lines take; a killed attempt is followed by another after that.
_LEASE = timedelta(minutes=2)
_LINES_AT_ONCE = 1_000
_MOST_TRIES = 5
# What the disk says when it takes no more: full, the share of a user used up, a file too long.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NEVER_WORKED = "It could not be written. Ask for it again, or write to us."
_WAITS_FOR_ROOM = "There is no room for the file just now. It is tried again by itself."
_NEVER_HAD_ROOM = "There was no room for the file. Ask for it again later, or write to us."


class _LeaseLost(Exception):
    """Somebody else writes it, or nobody wants it any more."""


class _Failed(Exception):
    """It cannot be written, now or later; the text says why."""


@dataclass(kw_only=True)
class _Attempt:
    """One attempt: its row, which is ours so long as `until` stands in it, and its file."""

    export: Export
    mine: QuerySet[Export]
    until: datetime
    now: Callable[[], datetime]
    name: str
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    line_count: int = 0
    size_bytes: int = 0

    def actor(self) -> Actor:
        """In whose name it is written; a key that was replaced is followed by its successor."""
        key = succession.acting(self.export.created_by_key, at=self.now())
        if key is None:
            message = "The key that asked for it does not work any more."
            raise _Failed(message)
        return replace(keyring.actor_with(key), origin=Origin(door=Door.WORKER))

    def hold(self) -> None:
        """Go on for another while; raises `_LeaseLost`, or `_Failed` where the key is gone."""
        self.actor()
        renewed = self.now() + _LEASE
        if not self._held().update(leased_until=renewed, line_count=self.line_count):
            raise _LeaseLost
        self.until = renewed

    def take(self, file: IO[bytes], piece: list[str]) -> None:
        """Write some lines."""
        content = "".join(piece).encode()
        file.write(content)
        self.digest.update(content)
        self.line_count += len(piece)
        self.size_bytes += len(content)

    @transaction.atomic
    def finish(self, actor: Actor) -> None:
        """The file can be fetched from now on; raises `_LeaseLost`."""
        at = self.now()
        done = self._held().update(
            state=Export.State.READY,
            stored_as=self.name,
            line_count=self.line_count,
            size_bytes=self.size_bytes,
            sha256=self.digest.hexdigest(),
            ended_at=at,
            expires_at=at + KEPT,
            leased_until=None,
            problem="",
        )
        if not done:
            raise _LeaseLost
        self.export.refresh_from_db(fields=["line_count", "size_bytes"])
        telling.of_file(self.export, actor=actor, at=at)

    @transaction.atomic
    def fail(self, problem: str) -> None:
        """It is given up, and says why."""
        at = self.now()
        failed = self._held().update(
            state=Export.State.FAILED, problem=problem, ended_at=at, leased_until=None
        )
        if failed:
            telling.of_end(self.export, actor=system("exports"), state="failed", at=at)

    def wait_for_room(self) -> None:
        """Say why there is no file yet; the next attempt begins when the lease is over."""
        self._held().update(problem=_WAITS_FOR_ROOM)

    def _held(self) -> QuerySet[Export]:
        return self.mine.filter(leased_until=self.until)


def resume(*, now: Callable[[], datetime]) -> int:
    """Take up every export that nobody writes; returns how many were worked on."""
    free = Export.objects.running().filter(_is_free(now())).order_by("pk")
    keys = list(free.values_list("pk", flat=True))
    return sum(run(export_id=key, now=now) for key in keys)


def run(*, export_id: int, now: Callable[[], datetime]) -> bool:
    """Write one file; returns whether it was ours to do.

    Each attempt begins a file of its own, which is found only once the row names it.
    """
    attempt = _claimed(export_id, now=now)
    if attempt is None:
        return False
    if attempt.export.try_count > _MOST_TRIES:
        had_room = attempt.export.problem != _WAITS_FOR_ROOM
        attempt.fail(_NEVER_WORKED if had_room else _NEVER_HAD_ROOM)
        return True
    try:
        actor = attempt.actor()
        with keeping.new_file(attempt.name) as file:
            written = contents.lines(attempt.export, actor=actor)
            while piece := list(islice(written, _LINES_AT_ONCE)):
                attempt.take(file, piece)
                attempt.hold()
        _finish(attempt, actor)
    except _LeaseLost:
        return False
    except _Failed as failure:
        attempt.fail(str(failure))
    except OSError as failure:
        if failure.errno not in _NO_ROOM:
            raise
        # The others go on: a shorter file may still fit.
        logger.warning("No room for export %s: %s", attempt.export.uuid, failure)
        attempt.wait_for_room()
    return True


def _finish(attempt: _Attempt, actor: Actor) -> None:
    try:
        attempt.finish(actor)
    except _LeaseLost:
        keeping.remove(attempt.name)
        raise


def _claimed(export_id: int, *, now: Callable[[], datetime]) -> _Attempt | None:
    mine = Export.objects.running().filter(pk=export_id)
    at = now()
    until = at + _LEASE
    claimed = mine.filter(_is_free(at)).update(leased_until=until, try_count=F("try_count") + 1)
    if not claimed:
        return None
    export = Export.objects.select_related("organisation__parent", "created_by_key").get(
        pk=export_id
    )
    name = keeping.new_name(export)
    return _Attempt(export=export, mine=mine, until=until, now=now, name=name)


def _is_free(at: datetime) -> Q:
    return ~spans.lasts("leased_until", at=at, longest=_LEASE)
