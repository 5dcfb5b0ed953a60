"""What the panel asks of a mail server, in plain values, and how it can fail."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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
class Size:
    """What a person can see in a whole mailbox."""

    bytes: int
    messages: int


@dataclass(frozen=True, kw_only=True)
class FolderState:
    """A folder as a purge sees it. `first_saved_at` is the oldest arrival, None if empty."""

    folder: str
    uidvalidity: int
    messages: int
    bytes: int
    first_saved_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class StoredMessage:
    """A message by its numbers. `guid` stays the same wherever the server moves it."""

    uid: int
    guid: str
    bytes: int
    message_id: str
    saved_at: datetime


# On messages that some POP session began to fetch before it broke off. Programs see this keyword
# only in the flags of a message, and leave it alone.
BEGUN = "$BegunToFetch"


@dataclass(frozen=True, kw_only=True)
class MessageSearch:
    """Messages of one folder, or of its part of the recoverable store.

    `saved_before` counts from the arrival in that folder, so in the store from the removal.
    `retrieved` narrows to what a program has fetched, `untouched` to what none began to fetch.
    """

    user: str
    folder: str
    removed: bool = False
    saved_before: datetime | None = None
    retrieved: bool = False
    untouched: bool = False
    uids: Sequence[int] | None = None


@dataclass(frozen=True, kw_only=True)
class Present:
    """Which messages are still in a folder: guid by uid. `uidvalidity` is 0 if it is gone."""

    uidvalidity: int
    guids: Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class RemovedMessage:
    """A message in the recoverable store; `folder` is where it came from."""

    folder: str
    uid: int
    guid: str
    bytes: int
    removed_at: datetime
    sender: str
    subject: str


@dataclass(frozen=True, kw_only=True)
class RemovedEntry:
    """Where a message lies in the recoverable store, and since when; cheap to ask for many."""

    folder: str
    uid: int
    removed_at: datetime


@dataclass(frozen=True, kw_only=True)
class RemovedSearch:
    """What to look for in the recoverable store; what is empty does not narrow the search.

    Moments are half-open: removed from `since` on and before `until`.
    """

    folder: str = ""
    sender: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = RemovedSearch()


@dataclass(frozen=True, kw_only=True)
class Service:
    """One kind of process of the mail server: how many run, how many of them have work."""

    name: str
    processes: int
    busy: int
    most_processes: int


class Engine(Protocol):
    """A mail server. `user` is the name it knows a mailbox by: normally the address."""

    def create_mailbox(self, *, user: str, folders: Sequence[str]) -> None:
        """Make an INBOX and these folders, subscribed; what exists stays as it is."""

    def folder_usage(self, *, user: str) -> list[FolderUsage]:
        """Every folder the person can see."""

    def sizes(self, *, users: Sequence[str]) -> dict[str, Size]:
        """The sizes of many mailboxes, in few requests; those it cannot tell are left out."""

    def recalculate_usage(self, *, user: str) -> None:
        """Count anew what the mailbox holds."""

    def end_sessions(self, *, user: str) -> int:
        """End open sessions; returns how many there were."""

    def deliver(self, *, recipient: str, message: bytes, sender: str) -> None:
        """Bring a message in as from outside; raises `DeliveryRefused`."""

    def store(self, *, user: str, folder: str, message: bytes) -> None:
        """Put a message into a folder, even if the mailbox is full."""

    def removed_mail(
        self, *, user: str, search: RemovedSearch = EVERYTHING, headers: bool = True
    ) -> list[RemovedMessage]:
        """What lies in the recoverable store, in no particular order.

        Without `headers`, senders and subjects are empty, which takes half the time.
        """

    def removed_index(self, *, user: str, search: RemovedSearch = EVERYTHING) -> list[RemovedEntry]:
        """Where everything lies that fits, in no particular order."""

    def removed_chosen(
        self, *, user: str, chosen: Mapping[str, Collection[int]]
    ) -> list[RemovedMessage]:
        """Messages of the store by folder and uid; those that are not there are left out."""

    def folder_states(self, *, user: str, removed: bool = False) -> list[FolderState]:
        """Every folder that a person can see, or every one of the recoverable store."""

    def folder_states_each(
        self, *, users: Sequence[str], removed: bool = False
    ) -> dict[str, list[FolderState]]:
        """The same of many mailboxes, in one request; those it cannot tell are left out."""

    def messages(
        self,
        *,
        user: str,
        folder: str,
        removed: bool = False,
        saved_before: datetime | None = None,
        retrieved: bool = False,
        untouched: bool = False,
        uids: Sequence[int] | None = None,
    ) -> list[StoredMessage]:
        """What a `MessageSearch` finds, by uid. A folder that is not there has no messages."""

    def messages_each(
        self, *, searches: Sequence[MessageSearch]
    ) -> list[list[StoredMessage] | None]:
        """The same for many searches, in one request; None for each that it cannot tell."""

    def present(
        self, *, user: str, folder: str, uids: Sequence[int], removed: bool = False
    ) -> Present:
        """Which of these messages are still there, in a folder or in its part of the store."""

    def arrived(self, *, user: str, since: datetime) -> set[str]:
        """The guids of messages that came into a folder, from wherever, since a moment."""

    def remove(self, *, user: str, folder: str, uids: Sequence[int]) -> None:
        """Take messages out of sight, into the recoverable store; those gone are no error."""

    def remove_for_good(self, *, user: str, folder: str, uids: Sequence[int]) -> None:
        """Remove messages from the recoverable store; those gone are no error."""

    def restore(
        self, *, user: str, folder: str, uids: Sequence[int], as_unfetched: bool = False
    ) -> None:
        """Bring messages back from the store into their folder, made anew if it is gone.

        Their flags come along, but for the marks of what a program fetched if `as_unfetched`.
        """

    def copy_flags(self, *, user: str, folder: str, twins: Mapping[int, int]) -> None:
        """Give messages of a folder the flags that the same ones have in the store.

        `twins` has the uid in the folder by the uid in the store.
        """

    def set_reads_aside(self, *, user: str, uids: Sequence[int], as_begun: bool = False) -> None:
        """Have these messages of the inbox count as not seen, and remember that they were.

        POP programs mark as seen what they fetch, so what was only read must not be. With
        `as_begun` they are no longer untouched instead, and nothing brings that back.
        """

    def bring_reads_back(self, *, user: str) -> None:
        """The other way round, for every message of the inbox that was set aside."""

    def gather(self, *, user: str, folder: str, uids: Sequence[int]) -> None:
        """Move messages of a folder into the inbox; those gone are no error."""

    def erase(self, *, user: str) -> None:
        """Remove every message and folder and the home itself, for good."""

    def ping(self) -> None:
        """Raise `EngineUnavailable` unless it answers."""

    def services(self) -> list[Service]:
        """The kinds of processes that it is made of, in the order of their names."""

    def reload(self) -> None:
        """Have it read its configuration and open its databases anew."""


def uid_set(uids: Iterable[int]) -> str:
    """Uids in the short form of RFC 3501 (`1:5,7`), in order."""
    ranges: list[list[int]] = []
    for uid in sorted(set(uids)):
        if ranges and uid == ranges[-1][1] + 1:
            ranges[-1][1] = uid
        else:
            ranges.append([uid, uid])
    return ",".join(f"{a}:{b}" if a != b else f"{a}" for a, b in ranges)


def uids_of(text: str) -> list[int]:
    """The uids of what `uid_set` wrote."""
    uids: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition(":")
        uids.extend(range(int(first), int(last or first) + 1))
    return uids
