"""Settings beside the rules that can make mail less safe."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts import outbox
from accounts.access import Actor
from accounts.models import Organisation
from mailstore.models import Mailbox, RetentionPolicy


def set_window(
    mailbox: Mailbox, *, window_days: int, actor: Actor, at: datetime, now: datetime
) -> None:
    """For how many days removed mail can be brought back, which goes by what time it really is."""
    old_days = mailbox.window_days
    # The store is looked at again: what lies in it may be due sooner now.
    Mailbox.objects.filter(pk=mailbox.pk).update(window_days=window_days, store_due_at=now)
    mailbox.refresh_from_db(fields=["window_days", "store_due_at"])
    _record_update(mailbox, {"window_days": {"old": old_days, "new": window_days}}, actor, at)


def leave_former_policy(mailbox: Mailbox, *, actor: Actor, at: datetime) -> None:
    """From here on the plan's own policy holds alone."""
    Mailbox.objects.filter(pk=mailbox.pk).update(former_policy=None, retention_due_at=None)
    mailbox.refresh_from_db(fields=["former_policy", "retention_due_at"])
    _record_update(mailbox, {"plan": "holds"}, actor, at)


def set_tripwire(mailbox: Mailbox, *, off_at: datetime | None, actor: Actor, at: datetime) -> None:
    """Since when nobody is warned, or None for the tripwire on."""
    Mailbox.objects.filter(pk=mailbox.pk).update(tripwire_off_at=off_at)
    mailbox.tripwire_off_at = off_at
    _record_update(mailbox, {"tripwire": "off" if off_at else "on"}, actor, at)


def set_thresholds(
    target: Mailbox | RetentionPolicy,
    *,
    messages: int | None,
    percent: int | None,
    minutes: int | None,
    fewest: int | None,
    actor: Actor,
    at: datetime,
) -> None:
    """When the tripwire fires. For a mailbox, None means what its policy says."""
    values = {
        "trip_messages": messages,
        "trip_percent": percent,
        "trip_minutes": minutes,
        "trip_fewest": fewest,
    }
    old = {name: getattr(target, name) for name in values}
    type(target).objects.filter(pk=target.pk).update(**values)
    target.refresh_from_db(fields=list(values))
    data = {name: {"old": old[name], "new": values[name]} for name in values}
    if isinstance(target, Mailbox):
        _record_update(target, data, actor, at)
    else:
        _record_policy(target, data, actor, at)


def _record_policy(
    policy: RetentionPolicy, data: dict[str, Any], actor: Actor, at: datetime
) -> None:
    outbox.record(
        kind="retention.policy_changed",
        at=at,
        actor=actor,
        organisation=Organisation.objects.get(kind=Organisation.Kind.PROVIDER),
        subject=("retention_policy", policy.slug, policy.name),
        data=data,
    )


def _record_update(mailbox: Mailbox, data: dict[str, Any], actor: Actor, at: datetime) -> None:
    outbox.record(
        kind="mailbox.updated",
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=mailbox.subject,
        data=data,
    )
