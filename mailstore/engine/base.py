"""What the panel asks of a mail server, in plain values, and how it can fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class EngineError(Exception):
    """The mail server did not do what it was asked."""


class EngineUnavailable(EngineError):
    """It could not be reached; the same call may work later."""


class OutcomeUnknown(EngineError):
    """It hung up in the middle; whether the work was done must be looked up."""


class EngineRefused(EngineError):
    """It answered, and said no."""


class UnknownMailbox(EngineRefused):
    """It knows no mailbox of this name."""


class DeliveryRefused(EngineRefused):
    """A message was not taken; `is_temporary` tells whether a sender would try again."""

    def __init__(self, *, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text

    @property
    def is_temporary(self) -> bool:
        """Whether the answer was a 4xx."""
        return 400 <= self.code < 500  # noqa: PLR2004  # RFC 5321 section 4.2.1


@dataclass(frozen=True, kw_only=True)
class FolderUsage:
    """What lies in one folder."""

    folder: str
    messages: int
    bytes: int
    unseen: int


@dataclass(frozen=True, kw_only=True)
class RemovedMessage:
    """A message in the recoverable store; `folder` is where it came from."""

    folder: str
    uid: int
    removed_at: datetime
    subject: str


class Engine(Protocol):
    """A mail server. `user` is the name it knows a mailbox by: normally the address."""

    def create_mailbox(self, *, user: str, folders: Sequence[str]) -> None:
        """Make an INBOX and these folders, subscribed; what exists stays as it is."""

    def folder_usage(self, *, user: str) -> list[FolderUsage]:
        """Every folder the person can see."""

    def recalculate_usage(self, *, user: str) -> None:
        """Count anew what the mailbox holds."""

    def end_sessions(self, *, user: str) -> int:
        """End open sessions; returns how many there were."""

    def deliver(self, *, recipient: str, message: bytes, sender: str) -> None:
        """Bring a message in as from outside; raises `DeliveryRefused`."""

    def store(self, *, user: str, folder: str, message: bytes) -> None:
        """Put a message into a folder, even if the mailbox is full."""

    def removed_mail(self, *, user: str) -> list[RemovedMessage]:
        """What lies in the recoverable store."""

    def erase(self, *, user: str) -> None:
        """Remove every message and folder and the home itself, for good."""

    def ping(self) -> None:
        """Raise `EngineUnavailable` unless it answers."""

    def reload(self) -> None:
        """Have it read its configuration and open its databases anew."""
