"""What staff do with a run: pause it, let it go on, and give more time, each with a reason.

They say what time it really is; that of a test organisation is steered at the moment of its clock.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from accounts import outbox
from accounts.access import Actor, Capability
from hosting import clocks
from hosting.dunning.debts import today
from hosting.dunning.sweeping import work_off
from hosting.ledger.posting import lock_customer
from hosting.models import Dunning


class NotPossible(Exception):
    """The run is over, or not in a state in which this makes sense."""


def pause(*, actor: Actor, run: Dunning, reason: str, at: datetime) -> None:
    """Take no further step, as while a bill is disputed. What is stopped stays so."""
    _must_say_why(reason)
    at = clocks.moment_for(run.customer, at)
    _change(
        run,
        "dunning.paused",
        actor=actor,
        reason=reason,
        at=at,
        refusal="This run is paused already, or over.",
        only={"paused_at__isnull": True},
        paused_at=at,
        pause_reason=reason.strip()[:500],
    )


def resume(*, actor: Actor, run: Dunning, reason: str, at: datetime) -> None:
    """Go on. The next step is announced anew before it is taken."""
    _must_say_why(reason)
    at = clocks.moment_for(run.customer, at)
    _change(
        run,
        "dunning.resumed",
        actor=actor,
        reason=reason,
        at=at,
        refusal="This run is not paused, or over.",
        only={"paused_at__isnull": False},
        paused_at=None,
        pause_reason="",
        next_day=None,
        next_on=None,
    )


def extend(*, actor: Actor, run: Dunning, until: date, reason: str, at: datetime) -> None:
    """Let the debt count as due on another day: what is stopped is given back until then."""
    _must_say_why(reason)
    now, at = at, clocks.moment_for(run.customer, at)
    if until <= today(at):
        message = "More time ends in the future."
        raise NotPossible(message)
    _change(
        run,
        "dunning.extended",
        actor=actor,
        reason=reason,
        at=at,
        refusal="This run is over.",
        only={},
        extended_until=until,
        extension_reason=reason.strip()[:500],
    )
    work_off(run.customer, at=at, now=now)


def _must_say_why(reason: str) -> None:
    if not reason.strip():
        message = "Say why; it is kept with the run."
        raise NotPossible(message)


@transaction.atomic
def _change(
    run: Dunning,
    kind: str,
    *,
    actor: Actor,
    reason: str,
    at: datetime,
    refusal: str,
    only: dict[str, Any],
    **changes: Any,
) -> None:
    not_yours = "Only staff in charge of money steer reminders."
    actor.must_everywhere(Capability.MANAGE_BILLS, refusal=not_yours)
    lock_customer(run.customer)
    standing = Dunning.objects.open().filter(pk=run.pk, **only)
    if not standing.update(version=F("version") + 1, **changes):
        raise NotPossible(refusal)
    run.refresh_from_db()
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=run.customer,
        subject=run.subject,
        data={"reason": reason.strip()[:500], "until": str(run.extended_until or "")},
    )
