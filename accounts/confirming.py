"""Whether letters to a person's address are read: a link that confirms it.

Nobody has to wait for that to look around. Ordering waits where `settings.VERIFIED_TO_ORDER` says
so, and a former address that was never confirmed cannot take a change of address back.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts import holding_back, links, notices, personal_facts
from accounts.access import Actor, ActorKind, Forbidden, Origin
from accounts.models import Membership, User
from accounts.rate_limits import Bucket, Policy

_LETTERS = Policy(name="confirm-address", limit=3, window_seconds=3600)


class NotConfirmed(Forbidden):
    """It waits for the confirmation of the address."""


def ask(*, user: User, at: datetime) -> None:
    """Send the letter with the link, to whoever has not confirmed yet; raises `NotNow`."""
    if user.email_verified_at is not None:
        return
    holding_back.take(
        Bucket(policy=_LETTERS, who=str(user.pk)),
        at=at,
        too_often="The letter was sent several times already. Look among your junk mail too.",
        away="No letter can be sent just now.",
    )
    write(user=user, at=at)


def write(*, user: User, at: datetime) -> None:
    """The letter itself, as part of something that is not done over and over."""
    notices.tell(user=user, name="confirm_address", context={"confirms": user.pk}, at=at)


@transaction.atomic
def confirm(*, token: str, at: datetime, origin: Origin | None = None) -> User:
    """Confirm the address by the link of the letter, once; raises `links.NotValid`."""
    user = links.confirms(token)
    unconfirmed = User.objects.filter(pk=user.pk, email=user.email, email_verified_at__isnull=True)
    if unconfirmed.update(email_verified_at=at):
        personal_facts.record(kind="user.address_confirmed", user=user, at=at, origin=origin)
    return user


def must_be_confirmed(actor: Actor) -> None:
    """Raise `NotConfirmed` if ordering waits for that of the actor, or of who owns its key."""
    if not settings.VERIFIED_TO_ORDER or actor.kind is ActorKind.SYSTEM:
        return
    who = (
        Q(pk=int(actor.id))
        if actor.kind is ActorKind.USER
        else Q(
            memberships__organisation__in=actor.organisation_ids,
            memberships__role=Membership.Role.OWNER,
        )
    )
    if not User.objects.filter(who, email_verified_at__isnull=False).exists():
        message = "Confirm your e-mail address first: we sent you a letter with a link."
        raise NotConfirmed(message)
