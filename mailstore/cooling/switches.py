"""The two settings of a mailbox that can make it less safe."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts import outbox
from accounts.access import Actor
from mailstore.models import Mailbox


def set_window(mailbox: Mailbox, *, window_days: int, actor: Actor, at: datetime) -> None:
    """For how many days removed mail can be brought back."""
    old_days = mailbox.window_days
    # The store is looked at again: what lies in it may be due sooner now.
    Mailbox.objects.filter(pk=mailbox.pk).update(window_days=window_days, store_due_at=at)
    mailbox.refresh_from_db(fields=["window_days", "store_due_at"])
    _record_update(mailbox, {"window_days": {"old": old_days, "new": window_days}}, actor, at)


def set_tripwire(mailbox: Mailbox, *, off_at: datetime | None, actor: Actor, at: datetime) -> None:
    """Since when nobody is warned, or None for the tripwire on."""
    Mailbox.objects.filter(pk=mailbox.pk).update(tripwire_off_at=off_at)
    mailbox.tripwire_off_at = off_at
    _record_update(mailbox, {"tripwire": "off" if off_at else "on"}, actor, at)


def _record_update(mailbox: Mailbox, data: dict[str, Any], actor: Actor, at: datetime) -> None:
    outbox.record(
        kind="mailbox.updated",
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=mailbox.subject,
        data=data,
    )
