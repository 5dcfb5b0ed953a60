"""What is done to members, with the letters that tell of it.

The rules are those of `accounts.membership`. All owners hear of whoever comes to own or manage
an organisation, leaves it or is removed; the person concerned hears of it as well.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from accounts import keyring, membership, notices, outbox, personal_facts, sessions
from accounts.access import LEADING_ROLES, Actor, Capability
from accounts.models import ApiKey, ApiKeyQuerySet, Invitation, Membership, Organisation, User

# Roles whose new holders the owners hear of: these change who else may come in.
_TOLD_OF = frozenset({*LEADING_ROLES, Membership.Role.ADMIN, Membership.Role.SUPPORT})


@transaction.atomic
def appoint(
    *, actor: Actor, organisation: Organisation, user: User, role: str, at: datetime
) -> Membership:
    """Give a user a role at once, as staff do; otherwise as `membership.add_member`."""
    before = Membership.objects.filter(organisation=organisation, user=user).first()
    member = membership.add_member(
        actor=actor, organisation=organisation, user=user, role=role, at=at
    )
    if before is None or before.role != role:
        tell_of_role(member, actor=actor, at=at)
    return member


@transaction.atomic
def change_role(*, actor: Actor, member: Membership, role: str, at: datetime) -> Membership:
    """Another role, at once and in every open session; raises as `membership.change_role`."""
    before = member.role
    changed = membership.change_role(actor=actor, member=member, role=role, at=at)
    if changed.role != before:
        tell_of_role(changed, actor=actor, at=at)
        _take_back_wider(changed, actor=actor, at=at)
    return changed


@transaction.atomic
def remove(
    *, actor: Actor, member: Membership, with_keys: bool = False, at: datetime
) -> Membership:
    """End a membership, and if asked the keys that the person made for the organisation.

    Keys belong to the organisation and go on otherwise: programs are not members. Raises as
    `membership.remove`, and `Forbidden` for keys that the actor has no say over.
    """
    if with_keys:
        for api_key in keys_of(member).select_related("organisation__parent"):
            keyring.revoke(actor=actor, api_key=api_key, at=at)
    gone = membership.remove(actor=actor, member=member, at=at)
    for invitation in _asked_by(gone.user, gone.organisation):
        take_back(invitation, actor=actor, at=at)
    is_own = membership.is_oneself(actor, member)
    _tell(gone, "left" if is_own else "removed", actor=actor, at=at)
    return gone


def keys_of(member: Membership) -> ApiKeyQuerySet:
    """The keys of the organisation that the person made and nobody has revoked."""
    made = ApiKey.objects.filter(organisation=member.organisation_id, created_by=member.user_id)
    return made.filter(revoked_at=None).order_by("pk")


@transaction.atomic
def shut_out(*, actor: Actor, user: User, leaves_unanswered: bool = False, at: datetime) -> None:
    """End whatever the person can do here, at once: signing in, roles and keys they made.

    Memberships stay, and count for nothing until `let_in_again`; keys stay revoked. Only
    operators do it. Raises `Forbidden`, and `membership.LastOwner` for the last operator and,
    unless `leaves_unanswered`, for whoever alone answers for an organisation; staff then see that
    nobody does.
    """
    _must_run(actor)
    if not User.objects.filter(pk=user.pk, is_active=True).exists():
        return
    for member in _led_by(user):
        membership.lock(member.organisation)
    left = answered_by_alone(user)
    for organisation in left:
        if organisation.kind == Organisation.Kind.PROVIDER:
            message = f"{user} is the last operator. Make somebody else one first."
            raise membership.LastOwner(message)
    if left and not leaves_unanswered:
        names = ", ".join(map(str, left))
        message = f"{user} alone answers for {names}. Make somebody else an owner there first."
        raise membership.LastOwner(message)
    if not User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
        return
    sessions.drop_all(user)
    personal_facts.record(kind="user.shut_out", user=user, actor=actor, at=at)
    for organisation in left:
        _leave_unanswered(organisation, user=user, actor=actor, at=at)
    for invitation in _asked_by(user):
        take_back(invitation, actor=actor, at=at)
    made = ApiKey.objects.filter(created_by=user, revoked_at=None)
    for api_key in made.select_related("organisation__parent").order_by("pk"):
        keyring.revoke(actor=actor, api_key=api_key, at=at)


def _leave_unanswered(
    organisation: Organisation, *, user: User, actor: Actor, at: datetime
) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(unanswered_since=at)
    outbox.record(
        kind="organisation.unanswered",
        at=at,
        actor=actor,
        organisation=organisation,
        subject=organisation.subject,
        data={"last_owner": user.email},
    )


def answered_by_alone(user: User) -> list[Organisation]:
    """The organisations for which nobody else answers."""
    return [each.organisation for each in _led_by(user) if membership.is_last_owner(each)]


def _led_by(user: User) -> QuerySet[Membership]:
    led = Membership.objects.filter(user=user, role__in=LEADING_ROLES)
    return led.select_related("organisation", "user").order_by("organisation")


def see_who_answers() -> int:
    """Take organisations for which somebody answers again off the list of those left by all.

    Returns how many those are. Somebody was let in again, was given the role or chose a password.
    """
    left = Organisation.objects.filter(unanswered_since__isnull=False)
    answering = membership.answering().filter(organisation=OuterRef("pk"))
    return left.filter(Exists(answering)).update(unanswered_since=None)


@transaction.atomic
def let_in_again(*, actor: Actor, user: User, at: datetime) -> None:
    """The person signs in as before, with the roles that were theirs. Only operators do it."""
    _must_run(actor)
    if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        personal_facts.record(kind="user.let_in_again", user=user, actor=actor, at=at)


def take_back(invitation: Invitation, *, actor: Actor, at: datetime) -> bool:
    """End an invitation with its letter, if it has not left; whether there was one to end."""
    if not Invitation.objects.open().filter(pk=invitation.pk).update(withdrawn_at=at):
        return False
    notices.take_back(invitation.about)
    record_invitation("invitation.withdrawn", invitation, actor=actor, at=at)
    return True


def record_invitation(kind: str, invitation: Invitation, *, actor: Actor, at: datetime) -> None:
    """What became of an invitation."""
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=invitation.organisation,
        subject=("invitation", str(invitation.uuid), invitation.email),
        data={"role": invitation.role, "until": invitation.expires_at.isoformat()},
    )


def _asked_by(user: User, organisation: Organisation | None = None) -> list[Invitation]:
    """What the person asked and nobody has answered, there or anywhere.

    Whoever goes would come back by it, under another address.
    """
    made = Invitation.objects.open().filter(invited_by=user).order_by("pk")
    if organisation is not None:
        made = made.filter(organisation=organisation)
    return list(made.select_related("organisation__parent"))


def _take_back_wider(member: Membership, *, actor: Actor, at: datetime) -> None:
    """Offers that the person could not make any more."""
    own = membership.actor_for(member.user)
    for invitation in _asked_by(member.user, member.organisation):
        if not membership.may_appoint(own, invitation.organisation, invitation.role):
            take_back(invitation, actor=actor, at=at)


def tell_of_role(member: Membership, *, actor: Actor, at: datetime) -> None:
    """Write of a role that changes who else may come in; of others nobody hears by letter."""
    if member.role in _TOLD_OF:
        _tell(member, "role", actor=actor, at=at)


def _tell(member: Membership, what: str, *, actor: Actor, at: datetime) -> None:
    """A letter to all owners, and one to the person concerned."""
    organisation, user = member.organisation, member.user
    context = {
        "what": what,
        "organisation": organisation.name,
        "organisation_uuid": str(organisation.uuid),
        "person": user.email,
        "role": str(member.get_role_display()),
        "by": actor.name,
        "is_own": membership.is_oneself(actor, member),
    }
    notices.announce(
        organisations=[organisation],
        name="member_news",
        context={**context, "is_you": False},
        at=at,
        but=frozenset({user.email}),
    )
    notices.write(
        to=user.email,
        organisation=organisation,
        name="member_news",
        context={**context, "is_you": True},
        at=at,
    )


def _must_run(actor: Actor) -> None:
    refusal = "Only operators of the house shut people out and let them in again."
    actor.must_everywhere(Capability.RUN_HOUSE, refusal=refusal)
