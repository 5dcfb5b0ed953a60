"""What the in-memory twin of the mail server keeps: messages in folders, folders in accounts."""

from __future__ import annotations

import email
import email.message
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count

_uidvalidities = count(1)


def whole_seconds() -> datetime:
    """The present; like Dovecot, the twin knows whole seconds only."""
    return datetime.now(tz=UTC).replace(microsecond=0)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One message in one folder."""

    uid: int
    raw: bytes
    saved_at: datetime
    guid: str = field(default_factory=lambda: uuid.uuid4().hex)
    flags: frozenset[str] = frozenset()

    @property
    def headers(self) -> email.message.Message:
        """The message as a reader sees it."""
        return email.message_from_bytes(self.raw)


@dataclass(kw_only=True)
class Folder:
    """Messages in order of their uids, which are never given twice."""

    uidvalidity: int = field(default_factory=lambda: next(_uidvalidities))
    next_uid: int = 1
    kept: list[Kept] = field(default_factory=list)

    def append(self, raw: bytes, *, at: datetime | None = None) -> Kept:
        """A message that comes in."""
        at = at or whole_seconds()
        return self.take(Kept(uid=0, raw=raw, saved_at=at), at=at)

    def take(self, message: Kept, *, at: datetime) -> Kept:
        """A message from elsewhere, with a uid of this folder."""
        taken = replace(message, uid=self.next_uid, saved_at=at)
        self.next_uid += 1
        self.kept.append(taken)
        return taken

    def drop(self, uids: Sequence[int]) -> list[Kept]:
        """Take messages out; returns those that were there."""
        wanted = set(uids)
        dropped = [message for message in self.kept if message.uid in wanted]
        self.kept = [message for message in self.kept if message.uid not in wanted]
        return dropped

    @property
    def raws(self) -> list[bytes]:
        """The messages themselves."""
        return [message.raw for message in self.kept]

    @property
    def size(self) -> int:
        """The bytes of all messages."""
        return sum(map(len, self.raws))


@dataclass(kw_only=True)
class Account:
    """What the twin knows of one mailbox."""

    quota_bytes: int = 10**9
    defers_when_full: bool = True
    folders: dict[str, Folder] = field(default_factory=lambda: {"INBOX": Folder()})
    store: dict[str, Folder] = field(default_factory=dict)
    sessions: int = 0

    @property
    def used_bytes(self) -> int:
        """Bytes that a person can see."""
        return sum(folder.size for folder in self.folders.values())

    @property
    def messages(self) -> int:
        """How many messages those are."""
        return sum(len(folder.kept) for folder in self.folders.values())
