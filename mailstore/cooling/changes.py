"""One change that waits: how it is kept, and how it ends, once."""

from __future__ import annotations

from datetime import datetime

from accounts import outbox
from accounts.access import Actor
from mailstore.models import PendingChange


class NotWaiting(Exception):
    """The change was made or called off already."""

    def __init__(self) -> None:
        super().__init__("This change was made or called off already.")


def end(change: PendingChange, state: PendingChange.State, *, ended_by: str, at: datetime) -> None:
    """Take it from waiting to `state`; raise `NotWaiting` if it is there no more."""
    waiting = PendingChange.objects.waiting().filter(pk=change.pk)
    if not waiting.update(state=state, ended_by=ended_by, ended_at=at):
        raise NotWaiting
    change.refresh_from_db(fields=["state", "ended_by", "ended_at"])


def record(kind: str, *, change: PendingChange, actor: Actor, at: datetime) -> None:
    """The event about it."""
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=change.organisation,
        subject=change.subject,
        data={
            "kind": change.kind,
            "sentence": change.sentence,
            "effective_at": change.effective_at.isoformat(),
            "reason": change.shortening_reason,
        },
    )
