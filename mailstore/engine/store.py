"""The recoverable store as the admin API names, finds and describes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from mailstore.engine.base import RemovedMessage, RemovedSearch
from mailstore.engine.folder_names import from_wire, to_wire

# The hidden namespace that takes what is removed; the configuration defines it.
REMOVED_PREFIX = ".EXPUNGED/"
EVERY_REMOVED = f"{REMOVED_PREFIX}*"


def kept(folder: str) -> str:
    """The store's folder for one that a program sees."""
    return REMOVED_PREFIX + to_wire(folder)


def origin(stored: str) -> str:
    """The folder that one of the store is for."""
    return from_wire(stored.removeprefix(REMOVED_PREFIX))


def removed_message(row: Mapping[str, str]) -> RemovedMessage:
    """A message of the store, from what the admin API brings of it."""
    return RemovedMessage(
        folder=origin(row["mailbox"]),
        uid=int(row["uid"]),
        guid=row["guid"],
        bytes=int(row["size.virtual"]),
        removed_at=moment(row["date.saved.unixtime"]),
        sender=row.get("hdr.from.utf8", ""),
        subject=row.get("hdr.subject.utf8", ""),
    )


def removed_query(search: RemovedSearch) -> list[str]:
    """The query that finds what is looked for in the store."""
    query = ["mailbox", kept(search.folder) if search.folder else EVERY_REMOVED]
    if search.sender:
        query += ["from", search.sender]
    if search.subject:
        query += ["subject", search.subject]
    if search.since is not None:
        query += ["savedsince", seconds(search.since)]
    if search.until is not None:
        query += ["savedbefore", seconds(search.until)]
    return [*query, "all"]


def seconds(at: datetime) -> str:
    """A moment as a query says it."""
    return str(int(at.timestamp()))


def moment(unix_seconds: str) -> datetime:
    """The other way round."""
    return datetime.fromtimestamp(int(unix_seconds), tz=UTC)


def first_moment(unix_seconds: str) -> datetime | None:
    """The oldest arrival in a folder, None in an empty one."""
    return None if unix_seconds == "never" else moment(unix_seconds)
