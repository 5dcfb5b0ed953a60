"""An in-memory twin of the mail server: the same behaviour, for tests without a network."""

from __future__ import annotations

import email
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mailstore.engine.base import (
    DeliveryRefused,
    EngineUnavailable,
    FolderUsage,
    RemovedMessage,
    UnknownMailbox,
)


@dataclass(kw_only=True)
class Account:
    """What the twin knows of one mailbox."""

    quota_bytes: int = 10**9
    defers_when_full: bool = True
    folders: dict[str, list[bytes]] = field(default_factory=lambda: {"INBOX": []})
    removed: list[RemovedMessage] = field(default_factory=list)
    sessions: int = 0

    @property
    def used_bytes(self) -> int:
        """Bytes that a person can see."""
        return sum(len(message) for messages in self.folders.values() for message in messages)


class MemoryEngine:
    """A mail server in a dictionary. `is_down` makes every call fail as a dead one would."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.is_down = False

    def know(self, user: str, *, quota_bytes: int = 10**9) -> Account:
        """Tell the twin of a mailbox, as the views tell Dovecot."""
        return self.accounts.setdefault(user, Account(quota_bytes=quota_bytes))

    def create_mailbox(self, *, user: str, folders: Sequence[str]) -> None:
        """Make the folders that are missing."""
        account = self._account(user)
        for folder in folders:
            account.folders.setdefault(folder, [])

    def folder_usage(self, *, user: str) -> list[FolderUsage]:
        """Every folder; nothing is ever read here, so all is unseen."""
        return [
            FolderUsage(
                folder=name,
                messages=len(messages),
                bytes=sum(map(len, messages)),
                unseen=len(messages),
            )
            for name, messages in self._account(user).folders.items()
        ]

    def recalculate_usage(self, *, user: str) -> None:
        """Use is always counted anew here."""
        self._account(user)

    def end_sessions(self, *, user: str) -> int:
        """End the sessions that a test opened; like Dovecot, unknown names have none."""
        self._reach()
        account = self.accounts.get(user)
        if account is None:
            return 0
        ended, account.sessions = account.sessions, 0
        return ended

    def deliver(self, *, recipient: str, message: bytes, sender: str) -> None:
        """Take a message in, unless it does not fit; who sent it makes no difference."""
        del sender
        self._reach()
        account = self.accounts.get(recipient)
        if account is None:
            raise DeliveryRefused(code=550, text=f"5.1.1 <{recipient}> User doesn't exist")
        if account.used_bytes + len(message) > account.quota_bytes:
            code, text = (452, "4.2.2") if account.defers_when_full else (552, "5.2.2")
            raise DeliveryRefused(code=code, text=f"{text} <{recipient}> Mailbox is full.")
        account.folders["INBOX"].append(message)

    def store(self, *, user: str, folder: str, message: bytes) -> None:
        """Put a message in whatever the limit."""
        self._account(user).folders[folder].append(message)

    def remove(self, *, user: str, folder: str) -> None:
        """Remove a folder's messages as a mail program would."""
        account = self._account(user)
        for message in account.folders[folder]:
            removed = RemovedMessage(
                folder=folder,
                uid=len(account.removed) + 1,
                removed_at=datetime.now(tz=UTC),
                subject=str(email.message_from_bytes(message)["Subject"] or ""),
            )
            account.removed.append(removed)
        account.folders[folder].clear()

    def removed_mail(self, *, user: str) -> list[RemovedMessage]:
        """What was removed."""
        return list(self._account(user).removed)

    def erase(self, *, user: str) -> None:
        """Forget everything of the mailbox."""
        self._reach()
        self.accounts.pop(user, None)

    def ping(self) -> None:
        """Answer unless down."""
        self._reach()

    def reload(self) -> None:
        """There is nothing to load anew."""
        self._reach()

    def _account(self, user: str) -> Account:
        self._reach()
        try:
            return self.accounts[user]
        except KeyError:
            raise UnknownMailbox(user) from None

    def _reach(self) -> None:
        if self.is_down:
            message = "The mail server cannot be reached."
            raise EngineUnavailable(message)
