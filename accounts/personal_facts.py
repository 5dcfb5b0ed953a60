"""Facts about a person, who may belong to several organisations: each of them keeps the fact."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts import membership, outbox
from accounts.access import Actor, Origin
from accounts.models import Organisation, User


def record(
    *,
    kind: str,
    user: User,
    at: datetime,
    actor: Actor | None = None,
    origin: Origin | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Store what happened to a person's account; call it in the transaction that does it.

    Without an `actor` it was the person's own doing, and `origin` says from where. Who belongs to
    nobody (any more) is the house's affair.
    """
    actor = actor or membership.actor_for(user, origin=origin)
    organisations = list(Organisation.objects.filter(memberships__user=user).order_by("pk"))
    if not organisations:
        organisations = list(Organisation.objects.filter(kind=Organisation.Kind.PROVIDER))
    for organisation in organisations:
        outbox.record(
            kind=kind,
            at=at,
            actor=actor,
            organisation=organisation,
            subject=("user", str(user.pk), user.email),
            data=data,
        )
