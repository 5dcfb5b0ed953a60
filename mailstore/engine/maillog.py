"""Reads Dovecot's log from where the last reading ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailstore.engine import folder_names, rotation
from mailstore.engine.attendance import Attendance, Counting
from mailstore.engine.rotation import LONGEST_LINE, Position

# `2026-11-23T10:03:36 imap(user)<pid><session><address><device>: Info: …`. Senders and programs
# choose parts of the rest of a line, so it is matched from its start and to its very end.
_LINE = re.compile(
    rb"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d) (?P<service>imap|pop3|lmtp)"
    rb"\((?P<user>[a-z0-9@._-]+)\)<\d+><(?P<session>[^<> ]*)>"
    rb"<(?P<address>[0-9a-f.:]*)><(?P<device>[0-9a-f-]*)>: "
    rb"(?:Info|Error|Warning): (?P<text>.*)\Z",
)
_REFUSAL = re.compile(rb".*(?:Quota exceeded|Mailbox is full|mailbox is full)")
_COPIED = re.compile(
    rb"copy from (?P<folders>.+), uid=(?P<uid>\d+), size=(?P<bytes>\d+)\Z",
)
_TAKEN = re.compile(
    rb"Disconnected: (?P<how>.*) fetched=(?P<fetched>\d+) glanced=(?P<glanced>\d+) "
    rb"removed=(?P<removed>\d+); top=\d+/(?P<glanced_bytes>\d+), "
    rb"retr=\d+/(?P<fetched_bytes>\d+), del=\d+/\d+, size=\d+\Z"
)
_LOGIN = frozenset({b"imap-", b"pop3-"})
_SESSION = frozenset({b"imap(", b"pop3("})
_AUTH = frozenset({b"auth-", b"auth:"})
_POP_SESSION = b"pop3("
_NONE_FETCHED, _NONE_REMOVED = b" fetched=0 ", b" removed=0; "
# What a session ends with whose program said QUIT.
_LOGGED_OUT = b"Logged out"
_INTO = ": box="
_INTO_STORE = f"{_INTO}.EXPUNGED/"
_FOLDER_DELETED = re.compile(rb"Mailbox deleted: (?P<folder>.+)\Z")
# Where a name has an arrow in it, the last one is taken for what parts the two.
_FOLDER_RENAMED = re.compile(rb"Mailbox renamed: (?P<origin>.+) -> (?P<folder>.+)\Z")


@dataclass(frozen=True, kw_only=True)
class Record:
    """Who did it, when, and in which session; `device` is the app password's id or `-`."""

    user: str
    at: datetime
    service: str
    session: str
    address: str
    device: str


@dataclass(frozen=True, kw_only=True)
class QuotaRefusal(Record):
    """A message for `user` did not fit."""


@dataclass(frozen=True, kw_only=True)
class Removed(Record):
    """A program removed a message; in the recoverable store it has this uid.

    `folder` is the name as `folder_names.shown` gives it.
    """

    folder: str
    uid: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Taken(Record):
    """A POP session ended that removed messages: what had been sent to it, by RETR and by TOP.

    The second may be the first lines only, or the whole.
    """

    fetched_messages: int
    fetched_bytes: int
    glanced_messages: int
    glanced_bytes: int


@dataclass(frozen=True, kw_only=True)
class CutOff(Record):
    """A POP session broke off that had begun to fetch messages: some may never have arrived."""


@dataclass(frozen=True, kw_only=True)
class Copied(Record):
    """A program copied or moved a message from `origin` to `folder`, where it has this uid.

    Both are named as for `Removed`. Of a name that has `: box=` in it, part may stand in the other.
    """

    origin: str
    folder: str
    uid: int


@dataclass(frozen=True, kw_only=True)
class FolderDeleted(Record):
    """A program deleted a folder, which is named as for `Removed`."""

    folder: str


@dataclass(frozen=True, kw_only=True)
class FolderRenamed(Record):
    """A program gave a folder, with all below it, another name; named as for `Removed`."""

    origin: str
    folder: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a log said since it was last read, and how far it has been read now."""

    records: list[Record]
    attendances: list[Attendance]
    position: Position | None


def read(path: Path, position: Position | None) -> Reading:
    """What the log says since `position`.

    A line that is not finished yet is left for the next reading.
    """
    text, reached = rotation.read(path, position)
    counting = Counting()
    records = [record for record in map(_record, _sorted_out(text, counting)) if record is not None]
    return Reading(records=records, attendances=counting.found(), position=reached)


def _sorted_out(text: bytes, counting: Counting) -> Iterator[bytes]:
    """Have what tells of sign-ins counted; gives the lines that may be records.

    Most of a log is neither, so each line is first known by the few letters after its moment.
    """
    for line in text.split(b"\n"):
        service = line[20:25]
        if service in _LOGIN:
            counting.take_login(line)
        elif service in _SESSION:
            ends = counting.take_session(line)
            if not ends or (service == _POP_SESSION and _tells_of_mail(line)):
                yield line
        elif service == b"lmtp(":
            if b"uota exceeded" in line or b"ailbox is full" in line:
                yield line
        elif service in _AUTH:
            counting.take_auth(line)


def _tells_of_mail(end: bytes) -> bool:
    """Whether the end of a POP session is a record besides: it removed something, or broke off."""
    return _NONE_REMOVED not in end or (_LOGGED_OUT not in end and _NONE_FETCHED not in end)


def _record(line: bytes) -> Record | None:
    match = _LINE.match(line[:LONGEST_LINE])
    if match is None:
        return None
    who = {
        "user": _text(match["user"]),
        "service": _text(match["service"]),
        "session": _text(match["session"]),
        "address": _text(match["address"]),
        "device": _text(match["device"]) or "-",
    }
    at = datetime.fromisoformat(_text(match["at"])).replace(tzinfo=UTC)
    return _meaning(match["text"], at=at, who=who)


def _meaning(text: bytes, *, at: datetime, who: dict[str, str]) -> Record | None:
    if who["service"] == "lmtp":
        return QuotaRefusal(at=at, **who) if _REFUSAL.match(text) else None
    copied = _COPIED.match(text)
    if copied:
        return _copy(copied, at=at, who=who)
    taken = _TAKEN.match(text) if who["service"] == "pop3" else None
    if taken:
        return _taken(taken, at=at, who=who)
    deleted = _FOLDER_DELETED.match(text)
    if deleted:
        return FolderDeleted(at=at, folder=_text(deleted["folder"]), **who)
    renamed = _FOLDER_RENAMED.match(text)
    if renamed is None:
        return None
    return FolderRenamed(
        at=at, origin=_text(renamed["origin"]), folder=_text(renamed["folder"]), **who
    )


def _taken(taken: re.Match[bytes], *, at: datetime, who: dict[str, str]) -> Record:
    # Nothing is removed before the program said QUIT, so it had all that it wanted by then.
    if taken["how"] != _LOGGED_OUT and taken["removed"] == b"0":
        return CutOff(at=at, **who)
    return Taken(
        at=at,
        fetched_messages=int(taken["fetched"]),
        fetched_bytes=int(taken["fetched_bytes"]),
        glanced_messages=int(taken["glanced"]),
        glanced_bytes=int(taken["glanced_bytes"]),
        **who,
    )


def _copy(copied: re.Match[bytes], *, at: datetime, who: dict[str, str]) -> Record | None:
    """A removal is a copy into the store."""
    folders, uid = _text(copied["folders"]), int(copied["uid"])
    removed_from = _removed_from(folders)
    if removed_from:
        return Removed(at=at, folder=removed_from, uid=uid, bytes=int(copied["bytes"]), **who)
    origin, _, folder = folders.partition(_INTO)
    if not folder or folders.startswith(_INTO_STORE, len(origin)):
        return None
    return Copied(at=at, origin=origin, folder=folder, uid=uid, **who)


def _removed_from(folders: str) -> str:
    """The folder of a removal, or nothing.

    It stands twice, as itself and as the store names it. So nothing in a folder's name can be
    taken for something else.
    """
    parts = folders.split(_INTO_STORE)
    for count in range(1, len(parts)):
        folder, kept = _INTO_STORE.join(parts[:count]), _INTO_STORE.join(parts[count:])
        if folder_names.is_shown_as(folder, kept):
            return folder
    return ""


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
