"""A mail program at the in-memory twin: it copies and expunges, and the log tells of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from mailstore.engine.folder_names import shown, to_wire
from mailstore.engine.memory import MemoryEngine
from mailstore.engine.memory_folders import Account, Folder
from mailstore.models import Mailbox

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass(kw_only=True)
class Program:
    """One session. What it does is done at `at`, and the log says so."""

    twin: MemoryEngine
    mailbox: Mailbox
    log: Path
    session: str = "s1"
    at: datetime = NOON

    @property
    def account(self) -> Account:
        """What the twin keeps for the mailbox."""
        return self.twin.accounts[self.mailbox.address]

    def fill(self, folder: str, messages: int) -> None:
        """Append messages, which the log does not tell of."""
        box = self.account.folders.setdefault(folder, Folder())
        for number in count(1):
            if number > messages:
                break
            box.append(f"Subject: {folder} {number}\r\n\r\nx\r\n".encode(), at=self.at)

    def copy(self, origin: str, folder: str) -> list[int]:
        """COPY all of a folder; returns the uids that the copies have."""
        box = self.account.folders.setdefault(folder, Folder())
        messages = self.account.folders[origin].kept
        uids = [box.take(message, at=self.at).uid for message in messages]
        self._write(f"copy from {shown(origin)}: box={shown(folder)}", uids)
        return uids

    def expunge(self, folder: str, uids: Iterable[int] | None = None) -> list[int]:
        """EXPUNGE all of a folder, or some; returns the uids that they have in the store."""
        box, store = self.account.folders[folder], self.account.store.setdefault(folder, Folder())
        chosen = [message.uid for message in box.kept] if uids is None else list(uids)
        kept = [store.take(replace(one), at=self.at).uid for one in box.drop(chosen)]
        self._write(f"copy from {shown(folder)}: box={shown(f'.EXPUNGED/{to_wire(folder)}')}", kept)
        return kept

    def expunge_some(self, folder: str, messages: int) -> list[int]:
        """EXPUNGE the first so many."""
        return self.expunge(
            folder, [one.uid for one in self.account.folders[folder].kept[:messages]]
        )

    def rename(self, folder: str, name: str) -> None:
        """RENAME, with what lies below it."""
        for below in [n for n in self.account.folders if n == folder or n.startswith(f"{folder}/")]:
            moved = name + below.removeprefix(folder)
            self.account.folders[moved] = self.account.folders.pop(below)
        self._log(f"Mailbox renamed: {shown(folder)} -> {shown(name)}")

    def move(self, origin: str, folder: str) -> list[int]:
        """MOVE all of a folder, for which Dovecot does the same as for the other two."""
        uids = self.copy(origin, folder)
        self.expunge(origin)
        return uids

    def _write(self, text: str, uids: Iterable[int]) -> None:
        self._log(*[f"{text}, uid={uid}, size=9" for uid in uids])

    def _log(self, *texts: str) -> None:
        who = f"imap({self.mailbox.address})<12><{self.session}><192.0.2.7><->"
        with self.log.open("a") as out:
            out.writelines(f"{self.at:%Y-%m-%dT%H:%M:%S} {who}: Info: {text}\n" for text in texts)
