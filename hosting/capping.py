"""Setting spend caps: an organisation's own, and the one that somebody above it sets.

The lower of the two holds, so nobody raises what was set above by setting one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from django.db import transaction

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import money
from hosting.models import Limits, Spending
from hosting.periods import Period


class Verb(Protocol):
    """Either way to set a cap."""

    def __call__(
        self,
        *,
        actor: Actor,
        organisation: Organisation,
        cap_minor: int | None,
        currency: str,
        at: datetime,
    ) -> None:
        """Set it, or remove it with None; raises `CapRefused`."""


class CapRefused(Exception):
    """No cap can be so; the text says why."""


def may_set_own(actor: Actor, organisation: Organisation) -> bool:
    """Whether the actor may say what the organisation allows itself."""
    return actor.can(Capability.MANAGE_BILLS, lineage=(organisation.pk,))


def may_set_above(actor: Actor, organisation: Organisation) -> bool:
    """Whether the actor stands above the organisation; load `parent` with it."""
    return actor.can(Capability.MANAGE_BILLS, lineage=organisation.lineage[1:])


@transaction.atomic
def set_own(
    *, actor: Actor, organisation: Organisation, cap_minor: int | None, currency: str, at: datetime
) -> None:
    """Set or remove (None) what an organisation allows itself; raises `CapRefused`."""
    actor.must(Capability.MANAGE_BILLS, lineage=(organisation.pk,))
    limits = _locked(organisation)
    above = limits.spend_cap_minor
    if cap_minor is not None and cap_minor <= 0:
        message = "A cap is above zero. To spend nothing more, close mailboxes."
        raise CapRefused(message)
    if cap_minor is not None and above is not None and cap_minor > above:
        most = money.minor_text(above, currency=currency)
        message = f"You may spend {most} a month; your own cap cannot be above that."
        raise CapRefused(message)
    _record(limits, "own", old=limits.own_cap_minor, new=cap_minor, actor=actor, at=at)
    limits.own_cap_minor = cap_minor
    _save(limits, at=at)


@transaction.atomic
def set_above(
    *, actor: Actor, organisation: Organisation, cap_minor: int | None, currency: str, at: datetime
) -> None:
    """Set or remove (None) how far those below may go; load `parent`. Raises `CapRefused`."""
    actor.must(Capability.MANAGE_BILLS, lineage=organisation.lineage[1:])
    if cap_minor is not None and cap_minor < 0:
        message = f"A cap cannot be below {money.minor_text(0, currency=currency)}."
        raise CapRefused(message)
    limits = _locked(organisation)
    _record(limits, "above", old=limits.spend_cap_minor, new=cap_minor, actor=actor, at=at)
    limits.spend_cap_minor = cap_minor
    _save(limits, at=at)


def _locked(organisation: Organisation) -> Limits:
    Limits.objects.get_or_create(organisation=organisation)
    return Limits.objects.select_for_update().get(organisation=organisation)


def _save(limits: Limits, *, at: datetime) -> None:
    limits.save(update_fields=["own_cap_minor", "spend_cap_minor"])
    # What was told of the month was told of another cap.
    month = Period.of(at).first_day
    Spending.objects.filter(organisation=limits.organisation_id, period=month).update(
        told_percent=0
    )


def _record(
    limits: Limits, whose: str, *, old: int | None, new: int | None, actor: Actor, at: datetime
) -> None:
    organisation = limits.organisation
    outbox.record(
        kind="spend_cap.set",
        at=at,
        actor=actor,
        organisation=organisation,
        subject=("organisation", str(organisation.uuid), organisation.name),
        data={"whose": whose, "cap_minor": {"old": old, "new": new}},
    )
