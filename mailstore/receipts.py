"""Receipts: exactly what a purge removed, for good readable from its own rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from mailstore import working
from mailstore.engine import uid_set
from mailstore.models import PurgeBatch, PurgeRun
from mailstore.working import Item


@dataclass(frozen=True, kw_only=True)
class FolderReceipt:
    """What one run removed from one folder. `digest` is over each uid, size and Message-ID."""

    folder: str
    in_store: bool
    uidvalidity: int
    uids: str
    messages: int
    bytes: int
    digest: str


def of(run: PurgeRun) -> list[FolderReceipt]:
    """What the run removed, by folder; while it runs, what it removed so far."""
    by_folder: dict[tuple[str, bool, int], list[Item]] = {}
    for batch in run.batches.filter(state=PurgeBatch.State.DONE).order_by("position"):
        by_folder.setdefault((batch.folder, batch.in_store, batch.uidvalidity), []).extend(
            (int(uid), int(size), str(digest)) for uid, size, digest in batch.items
        )
    return [
        FolderReceipt(
            folder=folder,
            in_store=in_store,
            uidvalidity=uidvalidity,
            uids=uid_set(working.uids_in(items)),
            messages=len(items),
            bytes=sum(size for _uid, size, _digest in items),
            digest=_digest(items),
        )
        for (folder, in_store, uidvalidity), items in by_folder.items()
    ]


def _digest(items: Sequence[Item]) -> str:
    lines = (f"{uid} {size} {digest}\n" for uid, size, digest in sorted(items))
    return hashlib.sha256("".join(lines).encode("ascii")).hexdigest()
