"""Asking somebody to join an organisation: the letter, sending it again, taking it back, joining.

Nobody is a member before they said yes, and what the inviter is told does not depend on whether
the address belongs to anybody here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F

from accounts import invitations, membership, notices, people, rate_limits
from accounts.access import Actor, ActorKind, Origin
from accounts.models import Invitation, Membership, Organisation, User, UserManager
from accounts.rate_limits import Bucket, Policy

_LONGEST = 254
_HOUR_SECONDS = 3600
# One address hears of this so often at most, whoever asks.
_TO_ADDRESS = Policy(name="invitation-address", limit=10, window_seconds=_HOUR_SECONDS)
_OF_ORGANISATION = Policy(name="invitations", limit=100, window_seconds=_HOUR_SECONDS)
# Somebody who invites for a living gets by with these; a thief of a session floods nobody.
MOST_OPEN = 500


class Refused(Exception):
    """It cannot be so; the text says why, and `field` what it is about."""

    def __init__(self, message: str, *, field: str = "email") -> None:
        super().__init__(message)
        self.field = field


class NotForYou(Exception):
    """The invitation is for another address than the one that is signed in."""


def checked_email(text: str) -> str:
    """An address as it is kept and compared; raises `Refused`.

    Other letters than a to z are refused before they are made small: some of them would become
    plain ones, and the letter would go to somebody else than whoever was typed.
    """
    typed = text.strip()
    if not typed.isascii():
        message = "Only plain letters work here. Write a name with others as xn--…"
        raise Refused(message)
    if len(typed) > _LONGEST:
        message = "This e-mail address is too long."
        raise Refused(message)
    email = UserManager.canonical(typed)
    try:
        validate_email(email)
    except ValidationError as error:
        message = "This is no e-mail address."
        raise Refused(message) from error
    return email


@transaction.atomic
def invite(
    *,
    actor: Actor,
    organisation: Organisation,
    email: str,
    role: str,
    at: datetime,
    told_at: datetime | None = None,
) -> Invitation:
    """Ask by a letter; an address that was asked already gets a new one and the new role.

    `at` is what time it really is: people read letters by it, whatever clock a test organisation
    has. `told_at` is the moment of the fact, where it has one of its own. Load `parent` with the
    organisation. Raises `Refused`, `membership.Refused` or `Forbidden`.
    """
    membership.must_appoint(actor, organisation, role)
    _refuse_floods(organisation, checked_email(email), at=at)
    return ask(
        actor=actor, organisation=organisation, email=email, role=role, at=at, told_at=told_at
    )


@transaction.atomic
def ask(
    *,
    actor: Actor,
    organisation: Organisation,
    email: str,
    role: str,
    at: datetime,
    told_at: datetime | None = None,
) -> Invitation:
    """As `invite`, for verbs that have looked at who may; raises `Refused`."""
    address = checked_email(email)
    membership.lock(organisation)
    if organisation.state == Organisation.State.CLOSED:
        message = f"{organisation} is closed, and nobody joins it any more."
        raise Refused(message, field="")
    _refuse_members(organisation, address)
    waiting = Invitation.objects.open().filter(organisation=organisation)
    known = waiting.filter(email=address).first()
    if known is None and waiting.count() >= MOST_OPEN:
        message = f"{MOST_OPEN} invitations wait already. Withdraw some first."
        raise Refused(message, field="")
    invitation = known or Invitation(organisation=organisation, email=address)
    if known is not None:
        # Whoever has no say over the role that was offered does not change the offer either.
        _refuse_wider(actor, known)
        invitation.serial += 1
    invitation.role = role
    invitation.invited_by = _person(actor)
    invitation.inviter = actor.name
    invitation.invited_at = at
    invitation.expires_at = at + invitations.VALID_FOR
    invitation.save()
    people.record_invitation("member.invited", invitation, actor=actor, at=told_at or at)
    _send(invitation, at=at)
    return invitation


@transaction.atomic
def send_again(*, actor: Actor, invitation: Invitation, at: datetime) -> None:
    """Another letter, good for the whole time; links of those before it stop working.

    Raises `Refused` if there is nothing to answer any more, or `Forbidden`.
    """
    organisation = invitation.organisation
    membership.must_appoint(actor, organisation, invitation.role)
    _refuse_floods(organisation, invitation.email, at=at)
    membership.lock(organisation)
    _refuse_members(organisation, invitation.email)
    changed = Invitation.objects.open().filter(pk=invitation.pk)
    expires_at = at + invitations.VALID_FOR
    if not changed.update(serial=F("serial") + 1, expires_at=expires_at):
        message = "It was answered or withdrawn meanwhile."
        raise Refused(message, field="")
    invitation.refresh_from_db(fields=("serial", "expires_at"))
    people.record_invitation("invitation.sent_again", invitation, actor=actor, at=at)
    _send(invitation, at=at)


@transaction.atomic
def withdraw(*, actor: Actor, invitation: Invitation, at: datetime) -> None:
    """The link lets nobody in any more. Raises `Refused` if it was answered, or `Forbidden`."""
    membership.must_appoint(actor, invitation.organisation, invitation.role)
    if not people.take_back(invitation, actor=actor, at=at):
        message = "It was answered or withdrawn meanwhile."
        raise Refused(message, field="")


@transaction.atomic
def join(
    *, invitation: Invitation, user: User, at: datetime, origin: Origin | None = None
) -> Membership:
    """Say yes, being signed in. Raises `NotForYou`, or `invitations.NotValid` if it is too late."""
    if user.email != invitation.email or not user.is_active:
        message = f"This invitation is for {invitation.email}."
        raise NotForYou(message)
    member = _admit(invitation, user, at=at, origin=origin)
    # The link came by letter, so the address is confirmed as well.
    unconfirmed = User.objects.filter(pk=user.pk, email=invitation.email, email_verified_at=None)
    unconfirmed.update(email_verified_at=at)
    return member


@transaction.atomic
def join_with_password(
    *,
    invitation: Invitation,
    name: str,
    password: str,
    at: datetime,
    origin: Origin | None = None,
) -> User:
    """Say yes and choose the first password; raises `invitations.NotValid` if it is too late."""
    fresh = {"password": make_password(None), "name": name}
    user, _is_new = User.objects.get_or_create(email=invitation.email, defaults=fresh)
    rows = User.objects.select_for_update().filter(pk=user.pk, is_active=True)
    user = rows.first() or user
    if not user.is_active or not invitations.is_waiting(user):
        raise invitations.NotValid
    # The link came by letter, so the address is confirmed as well.
    user.name, user.email_verified_at = name, at
    user.set_password(password)
    user.save(update_fields=["name", "password", "email_verified_at"])
    _admit(invitation, user, at=at, origin=origin)
    user.refresh_from_db()
    return user


def _admit(
    invitation: Invitation, user: User, *, at: datetime, origin: Origin | None
) -> Membership:
    """Whoever moves the row on comes in, so two clicks at once make one member."""
    membership.lock(invitation.organisation)
    good = Invitation.objects.good(at=at).filter(pk=invitation.pk, serial=invitation.serial)
    if not good.update(accepted_at=at):
        raise invitations.NotValid
    actor = membership.actor_for(user, origin=origin)
    organisation = invitation.organisation
    known = Membership.objects.filter(user=user, organisation=organisation).first()
    if known is not None:
        # They came in by another way meanwhile, and hold what they were given there.
        return known
    member = membership.admit(
        actor=actor,
        organisation=organisation,
        user=user,
        role=invitation.role,
        at=at,
        kind="member.joined",
    )
    people.tell_of_role(member, actor=actor, at=at)
    return member


def _refuse_members(organisation: Organisation, email: str) -> None:
    known = Membership.objects.filter(organisation=organisation, user__email=email)
    member = known.select_related("user").first()
    if member is not None and not invitations.is_waiting(member.user):
        message = f"{email} belongs to {organisation} already. Change the role there instead."
        raise Refused(message)


def _refuse_floods(organisation: Organisation, email: str, *, at: datetime) -> None:
    """Nobody is written to over and over, by whoever has a session that is not theirs."""
    letters = (
        Bucket(policy=_TO_ADDRESS, who=email),
        Bucket(policy=_OF_ORGANISATION, who=str(organisation.pk)),
    )
    result = rate_limits.take(*letters, at=at, when_away="open")
    if not result.allowed:
        minutes = -(-result.retry_after_seconds // 60)
        message = f"Many letters went out already. Wait {minutes} minutes, then try again."
        raise Refused(message, field="")


def _refuse_wider(actor: Actor, invitation: Invitation) -> None:
    membership.must_appoint(actor, invitation.organisation, invitation.role)


def _person(actor: Actor) -> User | None:
    return User.objects.filter(pk=actor.id).first() if actor.kind is ActorKind.USER else None


def _send(invitation: Invitation, *, at: datetime) -> None:
    """The letter of the newest link; those that have not left yet would hold it too."""
    notices.take_back(invitation.about)
    organisation = invitation.organisation
    is_owner = invitation.role == Membership.Role.OWNER
    context: dict[str, Any] = {
        "invitation": str(invitation.uuid),
        "organisation": organisation.name,
        "seller": str(organisation.parent or organisation),
        "inviter": invitation.inviter,
        "role": str(invitation.get_role_display()),
        "is_opening": is_owner and not membership.owners_of(organisation),
        "days": invitations.VALID_FOR.days,
    }
    notices.write(
        to=invitation.email,
        organisation=organisation,
        name="invitation",
        context=context,
        at=at,
        about=invitation.about,
    )
