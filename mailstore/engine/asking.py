"""What the admin API is asked of folders and messages, and what its answers mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mailstore.engine import store
from mailstore.engine.base import BEGUN, FolderState, MessageSearch, Service, StoredMessage, uid_set

Command = tuple[str, dict[str, Any]]
Rows = Iterable[Mapping[str, str]]

_STATE_FIELDS = ["messages", "vsize", "uidvalidity", "firstsaved"]
_MESSAGE_FIELDS = ["uid", "guid", "size.virtual", "hdr.message-id", "date.saved.unixtime"]


def for_states(user: str, *, removed: bool) -> Command:
    """The folders of a mailbox with the arrival of their oldest message.

    The store's folders need a call of their own: in a list with others they are left out.
    """
    mask = [store.EVERY_REMOVED if removed else "*"]
    return "mailboxStatus", {"user": user, "field": _STATE_FIELDS, "mailboxMask": mask}


def states(rows: Rows, *, removed: bool) -> list[FolderState]:
    """What the answer says."""
    return [
        FolderState(
            folder=store.origin(row["mailbox"]) if removed else row["mailbox"],
            uidvalidity=int(row["uidvalidity"]),
            messages=int(row["messages"]),
            bytes=int(row["vsize"]),
            first_saved_at=store.first_moment(row["firstsaved"]),
        )
        for row in rows
    ]


def for_messages(search: MessageSearch, place: Sequence[str]) -> Command:
    """Messages by their numbers; a program that fetched one left it marked as seen.

    `place` is the part of the query that means the folder.
    """
    query = [*place]
    if search.uids is not None:
        query += ["uid", uid_set(search.uids)]
    if search.saved_before is not None:
        query += ["savedbefore", store.seconds(search.saved_before)]
    if search.retrieved:
        query += ["seen"]
    if search.untouched:
        query += ["unseen", "unkeyword", BEGUN]
    query += ["all"]  # A query needs more than a folder's name.
    return "fetch", {"user": search.user, "field": _MESSAGE_FIELDS, "query": query}


def messages(rows: Rows) -> list[StoredMessage]:
    """What the answer says."""
    return [
        StoredMessage(
            uid=int(row["uid"]),
            guid=row["guid"],
            bytes=int(row["size.virtual"]),
            message_id=row["hdr.message-id"],
            saved_at=store.moment(row["date.saved.unixtime"]),
        )
        for row in rows
    ]


def service(row: Mapping[str, str]) -> Service:
    """A kind of process from a row of the answer, where every number is a text."""
    processes = int(row["process_count"])
    return Service(
        name=row["name"],
        processes=processes,
        busy=max(0, processes - int(row["process_avail"])),
        most_processes=int(row["process_limit"]),
    )
