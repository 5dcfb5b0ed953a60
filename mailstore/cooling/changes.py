"""Changes that wait: where they are kept, and how each ends, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from accounts import outbox
from accounts.access import Actor
from accounts.models import Organisation
from mailstore import holding, rules, standing
from mailstore.models import Domain, Mailbox, PendingChange, RetentionPolicy

_REPLACED = "Something else was asked for later."
_THRESHOLDS = ("trip_messages", "trip_percent", "trip_minutes", "trip_fewest")
# By which it is told whether a wish makes mail less safe.
_COMPARED: Mapping[type[Mailbox | RetentionPolicy], Sequence[str]] = {
    Mailbox: ("window_days", "protocol", "retention_policy", "former_policy", *_THRESHOLDS),
    RetentionPolicy: _THRESHOLDS,
}


class NotWaiting(Exception):
    """The change was made or called off already."""

    def __init__(self) -> None:
        super().__init__("This change was made or called off already.")


def place_of(target: rules.Target) -> dict[str, Any]:
    """Where a change is kept: whose it is, and what it is about."""
    return {
        "organisation": organisation_of(target),
        "domain": target if isinstance(target, Domain) else None,
        "mailbox": target if isinstance(target, Mailbox) else None,
        "policy": target if isinstance(target, RetentionPolicy) else None,
    }


def organisation_of(target: rules.Target) -> Organisation:
    """Whose change it is. A plan's policy belongs to the house itself."""
    if isinstance(target, RetentionPolicy):
        return Organisation.objects.get(kind=Organisation.Kind.PROVIDER)
    return target.organisation if isinstance(target, Domain | Mailbox) else target


def waiting_for(
    target: rules.Target, kind: PendingChange.Kind, *, folder: str = ""
) -> list[PendingChange]:
    """What waits already in the place of a wish: of its kind and, for rules, of its folder.

    Call it in a transaction: until it ends, nobody else asks for anything there, so two who ask
    at once do not both find nothing. What is said of the target from here on is what holds now,
    not what its page was made from: a wish is weighed against that.
    """
    place = place_of(target)
    standing.lock(place["organisation"])
    if isinstance(target, Mailbox):
        # In the order in which whoever makes a change takes the two, or they wait for each other.
        holding.lock(target)
    if isinstance(target, Mailbox | RetentionPolicy):
        target.refresh_from_db(fields=_COMPARED[type(target)])
    waiting = PendingChange.objects.waiting().filter(**place, kind=kind).order_by("pk")
    return [change for change in waiting if change.what.get("folder", "") == folder]


def replace(earlier: list[PendingChange], *, actor: Actor, at: datetime) -> None:
    """Call off earlier wishes, since a later one stands in their place."""
    for change in earlier:
        try:
            end(change, PendingChange.State.CALLED_OFF, ended_by=actor.name, at=at)
        except NotWaiting:
            continue  # It was made a moment ago, and the later wish comes on top.
        PendingChange.objects.filter(pk=change.pk).update(failure=_REPLACED)
        record("change.called_off", change=change, actor=actor, at=at)


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
            "state": change.state,
        },
    )
