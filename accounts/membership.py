"""Who belongs to which organisation, in what role, and who may change that.

Nobody gives or takes a role that allows more than their own, and somebody always answers for
an organisation: its last owner cannot go. Letters about it are written by `accounts.people`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import transaction
from django.db.models import Q, QuerySet

from accounts import outbox
from accounts.access import (
    LEADING_ROLES,
    MEMBER_ROLES,
    OPERATOR,
    STAFF_ROLES,
    Actor,
    ActorKind,
    Capability,
    Door,
    Forbidden,
    Origin,
)
from accounts.models import Invitation, Membership, Organisation, User, standing_of


class NoProvider(Exception):
    """The house itself has not been set up: there is no provider organisation."""


class SellerStopped(Exception):
    """Nothing is sold below whoever is suspended or closed."""


class ProviderExists(Exception):
    """There is one provider, and it has been set up already."""


class Refused(Exception):
    """The role cannot be given, changed or taken; the text says why."""


class LastOwner(Refused):
    """Without this person nobody would answer for the organisation."""


class NoSuchMember(Refused):
    """The person has left meanwhile."""


# A person who types a command on the machine.
AT_A_TERMINAL = Origin(door=Door.COMMAND)


def actor_for(user: User, *, origin: Origin | None = None) -> Actor:
    """The user as an actor, with the roles held now. One query."""
    members = Membership.objects.filter(user=user)
    actor = _actor(user, members, is_staff=user.is_staff)
    return actor if origin is None else replace(actor, origin=origin)


def actor_within(user: User, *, seller_id: int) -> Actor | None:
    """The user as an actor in a reseller's tree alone; None for strangers there, and for staff.

    Staff see every tree, so nothing of theirs is shown under the name of one reseller. Whoever
    was invited into the tree may come in to answer, and is a member of nothing until then.
    """
    if user.is_staff:
        return None
    tree = Q(organisation=seller_id) | Q(organisation__parent=seller_id)
    actor = _actor(user, Membership.objects.filter(tree, user=user), is_staff=False)
    if actor.roles or Invitation.objects.open().filter(tree, email=user.email).exists():
        return actor
    return None


def actor_holding(user: User, held: Iterable[tuple[int, str, str]]) -> Actor:
    """The user as an actor who holds these: organisation, role in it, and its kind. No query."""
    return _with(user, list(held) if user.is_active else [], is_staff=user.is_staff)


def _actor(user: User, members: QuerySet[Membership], *, is_staff: bool) -> Actor:
    """Whoever was shut out holds no role any more, wherever the actor comes from."""
    if not user.is_active:
        members, is_staff = members.none(), False
    held = list(members.values_list("organisation_id", "role", "organisation__kind"))
    return _with(user, held, is_staff=is_staff)


def _with(user: User, held: list[tuple[int, str, str]], *, is_staff: bool) -> Actor:
    if not is_staff:
        held = [each for each in held if each[1] not in STAFF_ROLES]
    return Actor(
        kind=ActorKind.USER,
        id=str(user.pk),
        name=user.email,
        is_staff=is_staff,
        staff_role=_staff_role(user, {role for _key, role, _kind in held}) if is_staff else "",
        roles={key: role for key, role, _kind in held},
        **standing_of({key: kind for key, _role, kind in held}),
    )


def _staff_role(user: User, held: set[str]) -> str:
    """A superuser made on the command line, before there is a provider, is an operator too."""
    given = held.intersection(STAFF_ROLES)
    return given.pop() if given else OPERATOR if user.is_superuser else ""


@transaction.atomic
def found_provider(*, name: str, email: str, password: str, at: datetime) -> User:
    """The house itself, with its first person, who may appoint the rest of the staff."""
    kinds = Organisation.Kind
    if Organisation.objects.filter(kind=kinds.PROVIDER).exists():
        message = "The provider has been set up already; its staff add people in the staff pages."
        raise ProviderExists(message)
    provider = Organisation.objects.create(kind=kinds.PROVIDER, name=name, created_at=at)
    user = User.objects.create_superuser(email, password)
    Membership.objects.create(user=user, organisation=provider, role=Membership.Role.OPERATOR)
    outbox.record(
        kind="organisation.created",
        at=at,
        actor=actor_for(user),
        organisation=provider,
        subject=("organisation", str(provider.uuid), provider.name),
    )
    return user


@transaction.atomic
def sign_up(
    *,
    email: str,
    password: str,
    name: str,
    organisation_name: str,
    at: datetime,
    seller_id: int | None = None,
    origin: Origin | None = None,
) -> User:
    """A new customer with this person as its owner, below a reseller or else the provider.

    That the person reads letters to the address was shown. Raises `NoProvider` or `SellerStopped`.
    """
    seller = _seller(seller_id)
    user = User.objects.create_user(email, password, name=name, email_verified_at=at)
    organisation = Organisation.objects.create(
        kind=Organisation.Kind.CUSTOMER,
        name=organisation_name,
        parent=seller,
        created_at=at,
    )
    Membership.objects.create(user=user, organisation=organisation, role=Membership.Role.OWNER)
    outbox.record(
        kind="organisation.created",
        at=at,
        actor=actor_for(user, origin=origin),
        organisation=organisation,
        subject=("organisation", str(organisation.uuid), organisation.name),
    )
    return user


@transaction.atomic
def must_take_customers(seller_id: int | None) -> None:
    """Raise `NoProvider` or `SellerStopped` where nobody can open an account at the moment."""
    _seller(seller_id)


def _seller(seller_id: int | None) -> Organisation:
    if seller_id is None:
        provider = Organisation.objects.filter(kind=Organisation.Kind.PROVIDER).first()
        if provider is None:
            message = "Sign-up is not possible yet: the provider has not been set up."
            raise NoProvider(message)
        return provider
    seller = Organisation.objects.select_for_update().get(pk=seller_id)
    if seller.state in {Organisation.State.SUSPENDED, Organisation.State.CLOSED}:
        message = "No new accounts can be opened here at the moment."
        raise SellerStopped(message)
    return seller


def roles_of(organisation: Organisation) -> tuple[str, ...]:
    """The roles that exist there: the house has those of its staff."""
    is_house = organisation.kind == Organisation.Kind.PROVIDER
    return STAFF_ROLES if is_house else MEMBER_ROLES


def may_appoint(actor: Actor, organisation: Organisation, role: str) -> bool:
    """Whether the actor may give and take the role; load `parent` with the organisation."""
    if organisation.kind == Organisation.Kind.PROVIDER:
        return actor.can_everywhere(Capability.RUN_HOUSE)
    lineage = organisation.lineage
    is_able = actor.can(Capability.MANAGE_PEOPLE, lineage=lineage)
    return is_able and actor.may_give(role, lineage=lineage)


def must_appoint(actor: Actor, organisation: Organisation, role: str) -> None:
    """Raise `Forbidden` or `Refused` unless the actor may give and take the role."""
    if role not in roles_of(organisation):
        message = f"There is no such role at {organisation}."
        raise Refused(message)
    if organisation.kind == Organisation.Kind.PROVIDER:
        refusal = "Only operators of the house appoint staff."
        actor.must_everywhere(Capability.RUN_HOUSE, refusal=refusal)
        return
    actor.must(Capability.MANAGE_PEOPLE, lineage=organisation.lineage)
    if not may_appoint(actor, organisation, role):
        message = "Nobody gives or takes a role that allows more than their own."
        raise Forbidden(message)


@transaction.atomic
def add_member(
    *, actor: Actor, organisation: Organisation, user: User, role: str, at: datetime
) -> Membership:
    """Give a user a role, or another one; members of the provider become staff.

    Load `parent` with the organisation. Raises `Forbidden`, `Refused` or `LastOwner`.
    """
    must_appoint(actor, organisation, role)
    lock(organisation)
    known = Membership.objects.filter(user=user, organisation=organisation).first()
    if known is not None:
        return change_role(actor=actor, member=known, role=role, at=at)
    return admit(
        actor=actor, organisation=organisation, user=user, role=role, at=at, kind="member.added"
    )


@transaction.atomic
def admit(
    *,
    actor: Actor,
    organisation: Organisation,
    user: User,
    role: str,
    at: datetime,
    kind: str,
) -> Membership:
    """A new member in a role that somebody has answered for, such as whoever invited it."""
    member = Membership.objects.create(user=user, organisation=organisation, role=role)
    _mark_staff(member, role=role)
    _record(kind, member, actor=actor, at=at, role={"old": None, "new": role})
    return member


@transaction.atomic
def change_role(*, actor: Actor, member: Membership, role: str, at: datetime) -> Membership:
    """Another role for a member; raises `Forbidden`, `Refused`, `LastOwner` or `NoSuchMember`."""
    held = _held(member)
    must_appoint(actor, held.organisation, held.role)
    must_appoint(actor, held.organisation, role)
    if held.role == role:
        return held
    if role not in LEADING_ROLES:
        _refuse_last(held)
    old, held.role = held.role, role
    held.save(update_fields=["role"])
    _mark_staff(held, role=role)
    changed = {"old": old, "new": role}
    _record("member.role_changed", held, actor=actor, at=at, role=changed)
    return held


@transaction.atomic
def remove(*, actor: Actor, member: Membership, at: datetime) -> Membership:
    """End a membership: with the commit the person's role is gone, in every open session.

    Whoever leaves by themselves needs no right to. Returns what was held; raises `Forbidden`,
    `LastOwner` or `NoSuchMember`.
    """
    held = _held(member)
    is_own = is_oneself(actor, held)
    if not is_own:
        must_appoint(actor, held.organisation, held.role)
    _refuse_last(held)
    kind = "member.left" if is_own else "member.removed"
    _record(kind, held, actor=actor, at=at, role=held.role)
    Membership.objects.filter(pk=held.pk).delete()
    _mark_staff(held, role="")
    return held


def is_oneself(actor: Actor, member: Membership) -> bool:
    """Whether the member is the person who acts."""
    return actor.kind is ActorKind.USER and actor.id == str(member.user_id)


def is_last_owner(member: Membership) -> bool:
    """Whether nobody else answers for the organisation. Load `user` and `organisation`.

    Whoever was shut out or has no password yet answers for nothing.
    """
    if member.role not in LEADING_ROLES:
        return False
    others = answering().filter(organisation=member.organisation).exclude(pk=member.pk)
    return not others.exists()


def answering() -> QuerySet[Membership]:
    """The memberships of all who answer for an organisation and can sign in."""
    owning = Membership.objects.filter(role__in=LEADING_ROLES, user__is_active=True)
    return owning.exclude(user__password__startswith=UNUSABLE_PASSWORD_PREFIX)


def lock(organisation: Organisation) -> None:
    """Changes of one organisation's members follow each other, so two owners do not both go."""
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)


def _held(member: Membership) -> Membership:
    """The membership as it is now, while nobody else changes those of its organisation."""
    lock(member.organisation)
    rows = Membership.objects.select_related("user", "organisation__parent__parent")
    held = rows.filter(pk=member.pk).first()
    if held is None:
        message = "This person has left meanwhile."
        raise NoSuchMember(message)
    return held


def _refuse_last(member: Membership) -> None:
    if is_last_owner(member):
        what = "operator" if member.role == OPERATOR else "owner"
        message = f"{member.user} is the last {what}. Make somebody else one first."
        raise LastOwner(message)


def _mark_staff(member: Membership, *, role: str) -> None:
    """What Django's staff pages go by follows the role at the provider."""
    if member.organisation.kind != Organisation.Kind.PROVIDER:
        return
    user = member.user
    user.is_staff, user.is_superuser = bool(role), role == OPERATOR
    user.save(update_fields=["is_staff", "is_superuser"])


def _record(kind: str, member: Membership, *, actor: Actor, at: datetime, role: object) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=member.organisation,
        subject=("user", str(member.user_id), member.user.email),
        data={"role": role},
    )


def home_of(user: User) -> Organisation | None:
    """In whose name a person is written to: the first organisation that it belongs to, if any."""
    return Organisation.objects.filter(memberships__user=user).order_by("memberships__pk").first()


def owners_of(organisation: Organisation) -> list[User]:
    """The people who are told about what matters."""
    return list(
        User.objects.filter(
            memberships__organisation=organisation,
            memberships__role__in=LEADING_ROLES,
            is_active=True,
        ).order_by("pk"),
    )


def owners_of_each(organisations: Iterable[Organisation]) -> dict[int, list[str]]:
    """The addresses of the same people of many, by the organisation's key, in one query."""
    owning = Membership.objects.filter(
        organisation__in=organisations, role__in=LEADING_ROLES, user__is_active=True
    )
    found: dict[int, list[str]] = {}
    for pk, email in owning.order_by("user").values_list("organisation", "user__email"):
        found.setdefault(pk, []).append(email)
    return found


def payers_of(organisation: Organisation) -> list[str]:
    """The addresses of those who are told about money: owners, and members for billing."""
    roles = (*LEADING_ROLES, Membership.Role.BILLING, Membership.Role.STAFF_BILLING)
    people = User.objects.filter(
        memberships__organisation=organisation, memberships__role__in=roles, is_active=True
    )
    return sorted(set(people.values_list("email", flat=True)))
