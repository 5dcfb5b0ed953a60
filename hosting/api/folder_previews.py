"""What rules remove from folders, counted, with the day on which each batch goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from hosting.api.moments import Moment, optional
from mailstore.previewing import FolderPreview, Preview


class AmountDocument(TypedDict):
    """Some messages and their size."""

    message_count: int
    bytes: int


class GoingDocument(TypedDict):
    """How many messages go on one day (UTC, such as 2026-11-03)."""

    day: str
    message_count: int


class FolderPreviewDocument(TypedDict):
    """One folder: what lies in it, and what goes. `sentence` is null where mailboxes differ."""

    folder: str
    sentence: str | None
    message_count: int
    going_message_count: int
    going_bytes: int
    oldest_at: Moment | None
    newest_at: Moment | None
    batches: list[GoingDocument]


def amount(found: Preview) -> AmountDocument:
    """All that goes."""
    return {"message_count": found.going, "bytes": found.going_bytes}


def documents(folders: Iterable[FolderPreview]) -> list[FolderPreviewDocument]:
    """Folders in their order."""
    return [_document(folder) for folder in folders]


def _document(folder: FolderPreview) -> FolderPreviewDocument:
    return {
        "folder": folder.folder,
        "sentence": folder.sentence or None,
        "message_count": folder.messages,
        "going_message_count": folder.going,
        "going_bytes": folder.going_bytes,
        "oldest_at": optional(folder.oldest),
        "newest_at": optional(folder.newest),
        "batches": [
            {"day": f"{day:%Y-%m-%d}", "message_count": count}
            for day, count in sorted(folder.days.items())
        ],
    }
