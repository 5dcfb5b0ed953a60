"""Who belongs to which organisation."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts import outbox
from accounts.access import Actor, ActorKind, Capability
from accounts.models import Membership, Organisation, User


class NoProvider(Exception):
    """The house itself has not been set up: there is no provider organisation."""


class ProviderExists(Exception):
    """There is one provider, and it has been set up already."""


def actor_for(user: User) -> Actor:
    """The user as an actor, with the roles held now. One query."""
    roles = dict(Membership.objects.filter(user=user).values_list("organisation_id", "role"))
    return Actor(
        kind=ActorKind.USER,
        id=str(user.pk),
        name=user.email,
        is_staff=user.is_staff and user.is_active,
        roles=roles,
    )


@transaction.atomic
def found_provider(*, name: str, email: str, password: str, at: datetime) -> User:
    """The house itself, with its first person, who may appoint the rest of the staff."""
    kinds = Organisation.Kind
    if Organisation.objects.filter(kind=kinds.PROVIDER).exists():
        message = "The provider has been set up already; its staff add people in the staff pages."
        raise ProviderExists(message)
    provider = Organisation.objects.create(kind=kinds.PROVIDER, name=name, created_at=at)
    user = User.objects.create_superuser(email, password)
    Membership.objects.create(user=user, organisation=provider, role=Membership.Role.OWNER)
    outbox.record(
        kind="organisation.created",
        at=at,
        actor=actor_for(user),
        organisation=provider,
        subject=("organisation", str(provider.uuid), provider.name),
    )
    return user


@transaction.atomic
def sign_up(*, email: str, password: str, name: str, organisation_name: str, at: datetime) -> User:
    """A new customer below the provider, with this person as its owner."""
    provider = Organisation.objects.filter(kind=Organisation.Kind.PROVIDER).first()
    if provider is None:
        message = "Sign-up is not possible yet: the provider has not been set up."
        raise NoProvider(message)
    user = User.objects.create_user(email, password, name=name)
    organisation = Organisation.objects.create(
        kind=Organisation.Kind.CUSTOMER,
        name=organisation_name,
        parent=provider,
        created_at=at,
    )
    Membership.objects.create(user=user, organisation=organisation, role=Membership.Role.OWNER)
    outbox.record(
        kind="organisation.created",
        at=at,
        actor=actor_for(user),
        organisation=organisation,
        subject=("organisation", str(organisation.uuid), organisation.name),
    )
    return user


@transaction.atomic
def add_member(
    *, actor: Actor, organisation: Organisation, user: User, role: Membership.Role, at: datetime
) -> Membership:
    """Give a user a role; members of the provider become staff."""
    actor.must(Capability.MANAGE_PEOPLE, lineage=organisation.lineage)
    membership, _ = Membership.objects.update_or_create(
        user=user,
        organisation=organisation,
        defaults={"role": role},
    )
    if organisation.kind == Organisation.Kind.PROVIDER and not user.is_staff:
        user.is_staff = True
        user.save(update_fields=["is_staff"])
    outbox.record(
        kind="member.added",
        at=at,
        actor=actor,
        organisation=organisation,
        subject=("user", str(user.pk), user.email),
        data={"role": role},
    )
    return membership


def owners_of(organisation: Organisation) -> list[User]:
    """The people who are told about what matters."""
    return list(
        User.objects.filter(
            memberships__organisation=organisation,
            memberships__role=Membership.Role.OWNER,
            is_active=True,
        ).order_by("pk"),
    )


def payers_of(organisation: Organisation) -> list[str]:
    """The addresses of those who are told about money: owners, and members for billing."""
    roles = (Membership.Role.OWNER, Membership.Role.BILLING)
    people = User.objects.filter(
        memberships__organisation=organisation, memberships__role__in=roles, is_active=True
    )
    return sorted(set(people.values_list("email", flat=True)))
