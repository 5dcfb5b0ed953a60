"""Reads Dovecot's log from where the last reading ended."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_LONGEST_LINE = 16_384
_MOST_AT_ONCE = 4_000_000

# `2026-11-23T10:03:36 lmtp(user)<pid><session>: … Quota exceeded …`. Senders choose parts of
# the rest of the line, so it is matched from its start and no further than the user name.
_REFUSAL = re.compile(
    rb"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d) lmtp\((?P<user>[a-z0-9@._-]+)\)<\d+><[^>]*>: "
    rb"(?:Info|Error|Warning): [^\r\n]*(?:Quota exceeded|Mailbox is full|mailbox is full)",
)


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far a log has been read: the file by its inode, and the byte after the last line."""

    inode: int
    offset: int


@dataclass(frozen=True, kw_only=True)
class QuotaRefusal:
    """A message for `user` did not fit."""

    user: str
    at: datetime


def read(path: Path, position: Position | None) -> tuple[list[QuotaRefusal], Position | None]:
    """The refusals since `position`, and the new position.

    A new inode means that the log was rotated, and a shorter file that it was cut: both are
    read from their beginning. A line that is not finished yet is left for the next reading.
    """
    try:
        with path.open("rb") as log:
            inode = os.fstat(log.fileno()).st_ino
            size = os.fstat(log.fileno()).st_size
            begin = 0
            if position and position.inode == inode and position.offset <= size:
                begin = position.offset
            log.seek(begin)
            text = log.read(_MOST_AT_ONCE)
    except FileNotFoundError:
        return [], position
    end = text.rfind(b"\n") + 1
    if not end and len(text) >= _LONGEST_LINE:
        end = len(text)
    lines = text[:end].splitlines()
    records = [record for record in map(_record, lines) if record is not None]
    return records, Position(inode=inode, offset=begin + end)


def _record(line: bytes) -> QuotaRefusal | None:
    match = _REFUSAL.match(line[:_LONGEST_LINE])
    if match is None:
        return None
    at = datetime.fromisoformat(match["at"].decode("ascii")).replace(tzinfo=UTC)
    return QuotaRefusal(user=match["user"].decode("ascii"), at=at)
