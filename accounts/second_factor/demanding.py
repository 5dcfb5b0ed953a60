"""Who must have a second factor: staff and sellers always, customers where somebody demands it.

An owner demands it of everybody in the organisation, a seller of everybody in its customers. Until
the day is reached from which it holds, a banner says so; after it, nobody gets in without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django_otp_webauthn.models import WebAuthnCredential

from accounts import membership, notices, outbox
from accounts.access import Actor, Capability
from accounts.compiled import CompiledQuery
from accounts.models import (
    Authenticator,
    FactorDemand,
    FactorLoss,
    Membership,
    Organisation,
    User,
)

MOST_GRACE_DAYS = 90
DEFAULT_GRACE_DAYS = 14
_FACTS = ("is_staff", "has_authenticator", "has_passkey", "sells", "demanded", "lost")


class BadGrace(Exception):
    """So many days are not possible."""


class NobodyBelow(Exception):
    """Only sellers have customers that something can be demanded of."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How it stands with one person. `due_at` is set where a demand is still ahead."""

    has_factor: bool
    must: bool
    due_at: datetime | None = None
    demanded_by: str = ""

    @property
    def must_enrol_now(self) -> bool:
        """Whether nothing but enrolling is left to do."""
        return self.must and not self.has_factor and self.due_at is None


def standing(user: User, *, at: datetime) -> Standing:
    """Whether the person has a factor and whether one is asked for. One or two queries."""
    [row] = _STANDINGS.rows(users=[user.pk])
    found = dict(zip(_FACTS, row, strict=True))
    has_factor = found["has_authenticator"] or found["has_passkey"]
    if found["is_staff"] or found["sells"] or found["lost"]:
        return Standing(has_factor=has_factor, must=True)
    if not found["demanded"]:
        return Standing(has_factor=has_factor, must=False)
    first = _demands_on(user.pk).select_related("organisation").order_by("due_at", "pk").first()
    if first is None:
        return Standing(has_factor=has_factor, must=False)
    return Standing(
        has_factor=has_factor,
        must=True,
        due_at=first.due_at if first.due_at > at else None,
        demanded_by=first.organisation.name,
    )


def _standings(users: Any) -> QuerySet[Any, Any]:
    mine = Membership.objects.filter(user=OuterRef("pk"))
    return (
        User.objects.filter(pk__among=users)
        .annotate(
            has_authenticator=Exists(_confirmed(Authenticator)),
            has_passkey=Exists(_confirmed(WebAuthnCredential)),
            sells=Exists(mine.exclude(organisation__kind=Organisation.Kind.CUSTOMER)),
            demanded=Exists(_demands_on(OuterRef("pk"))),
            lost=Exists(
                FactorLoss.objects.filter(user=OuterRef("pk"), state=FactorLoss.State.DONE)
            ),
        )
        .values_list(*_FACTS)
    )


# Every page asks it.
_STANDINGS = CompiledQuery(_standings)


def _confirmed(device: Any) -> QuerySet[Any]:
    found: QuerySet[Any] = device.objects.filter(user=OuterRef("pk"), confirmed=True)
    return found


def _demands_on(user: Any) -> QuerySet[FactorDemand]:
    own = Q(reach=FactorDemand.Reach.OWN, organisation__memberships__user=user)
    below = Q(reach=FactorDemand.Reach.BELOW, organisation__children__memberships__user=user)
    return FactorDemand.objects.filter(own | below)


def demand_of(organisation: Organisation, reach: FactorDemand.Reach) -> FactorDemand | None:
    """What an organisation demands now."""
    return FactorDemand.objects.filter(organisation=organisation, reach=reach).first()


def without_factor(organisation: Organisation) -> QuerySet[User]:
    """The people of an organisation who have no second factor yet, by address."""
    return (
        User.objects.filter(memberships__organisation=organisation, is_active=True)
        .exclude(Exists(_confirmed(Authenticator)) | Exists(_confirmed(WebAuthnCredential)))
        .distinct()
        .order_by("email")
    )


@transaction.atomic
def demand(
    *,
    actor: Actor,
    organisation: Organisation,
    reach: FactorDemand.Reach,
    grace_days: int,
    at: datetime,
) -> FactorDemand:
    """Ask for a second factor from that many days on; only owners may.

    A demand that stands gets the new day. Raises `BadGrace` and `NobodyBelow`.
    """
    _must_own(actor, organisation)
    if reach == FactorDemand.Reach.BELOW and organisation.kind == Organisation.Kind.CUSTOMER:
        message = "This organisation has no customers."
        raise NobodyBelow(message)
    if not 0 <= grace_days <= MOST_GRACE_DAYS:
        message = f"Give them between 0 and {MOST_GRACE_DAYS} days."
        raise BadGrace(message)
    due_at = at + timedelta(days=grace_days)
    # Of two at once, the second sees the day that the first one set.
    membership.lock(organisation)
    before = demand_of(organisation, reach)
    made, _is_new = FactorDemand.objects.update_or_create(
        organisation=organisation, reach=reach, defaults={"made_at": at, "due_at": due_at}
    )
    days = {"old": before.due_at.isoformat() if before else None, "new": due_at.isoformat()}
    _record("second_factor.demanded", made, actor=actor, at=at, due_at=days)
    return made


@transaction.atomic
def withdraw(
    *, actor: Actor, organisation: Organisation, reach: FactorDemand.Reach, at: datetime
) -> bool:
    """Ask no more; returns whether it was asked. Those who have a factor keep it."""
    _must_own(actor, organisation)
    standing_one = demand_of(organisation, reach)
    if standing_one is None:
        return False
    standing_one.delete()
    days = {"old": standing_one.due_at.isoformat(), "new": None}
    _record("second_factor.demand_ended", standing_one, actor=actor, at=at, due_at=days)
    return True


def _must_own(actor: Actor, organisation: Organisation) -> None:
    # Whoever may hand out keys may do anything there: owners, and nobody with a lesser role.
    actor.must(Capability.MANAGE_KEYS, lineage=organisation.lineage)


def _record(
    kind: str, made: FactorDemand, *, actor: Actor, at: datetime, due_at: dict[str, str | None]
) -> None:
    organisation = made.organisation
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=organisation,
        subject=organisation.subject,
        data={"reach": made.reach, "due_at": due_at},
    )
    notices.announce(
        organisations=[organisation],
        name="second_factor_demand",
        context={
            "organisation": organisation.name,
            "is_over": kind == "second_factor.demand_ended",
            "below": made.reach == FactorDemand.Reach.BELOW,
            "due_on": made.due_at.date().isoformat(),
            "by": actor.name,
        },
        at=at,
    )
