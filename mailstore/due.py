"""When a mailbox is due next: the earliest moment at which a rule or its window reaches anything.

The sweep looks at these moments only, so its cost follows what is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F
from django.db.models.functions import Coalesce, Least

from mailstore import retention
from mailstore.engine import Engine, FolderState
from mailstore.models import Mailbox


def next_moments(mailbox: Mailbox, *, engine: Engine, at: datetime) -> dict[str, Any]:
    """When the rules and the recovery window reach something next, and the store's size."""
    removed = engine.folder_states(user=mailbox.address, removed=True)
    return {
        **next_retention(mailbox, engine=engine, at=at),
        **store_moments(mailbox, removed),
    }


def next_retention(mailbox: Mailbox, *, engine: Engine, at: datetime) -> dict[str, Any]:
    outlooks = retention.outlook(mailbox=mailbox, engine=engine, until=at)
    return {"retention_due_at": retention.next_due(outlooks, at=at)}


def store_moments(mailbox: Mailbox, states: Sequence[FolderState]) -> dict[str, Any]:
    oldest = min((s.first_saved_at for s in states if s.first_saved_at), default=None)
    return {
        "store_due_at": oldest and oldest + timedelta(days=mailbox.window_days),
        "store_bytes": sum(state.bytes for state in states),
    }


def note(mailbox: Mailbox, **moments: Any) -> None:
    """Remember when the mailbox must be looked at again."""
    Mailbox.objects.filter(pk=mailbox.pk).update(**moments)


def note_stored(mailbox: Mailbox, *, size: int, at: datetime) -> None:
    """Remember, without asking the mail server, that `size` bytes went into the store."""
    moment = at + timedelta(days=mailbox.window_days)
    mine = Mailbox.objects.filter(pk=mailbox.pk)
    # SQLite takes the least of nothing and something to be nothing.
    mine.update(
        store_due_at=Least(Coalesce("store_due_at", moment), moment),
        store_bytes=F("store_bytes") + size,
    )
