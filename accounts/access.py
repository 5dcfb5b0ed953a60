"""Who acts, and what a role allows.

An actor is a plain value that every verb takes as an argument, so that a page, a command
and a task are held to the same rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from django.core.exceptions import PermissionDenied


class ActorKind(StrEnum):
    """What kind of thing acts."""

    USER = "user"
    SYSTEM = "system"


class Capability(StrEnum):
    """What a role can allow."""

    SEE = "see"
    MANAGE_MAIL = "manage_mail"
    MANAGE_PEOPLE = "manage_people"
    SEE_BILLS = "see_bills"
    MANAGE_BILLS = "manage_bills"


ROLE_CAPABILITIES: Mapping[str, frozenset[Capability]] = {
    "owner": frozenset(Capability),
    "admin": frozenset(
        {Capability.SEE, Capability.MANAGE_MAIL, Capability.MANAGE_PEOPLE},
    ),
    "billing": frozenset({Capability.SEE, Capability.SEE_BILLS}),
    "read_only": frozenset({Capability.SEE}),
}


class Forbidden(PermissionDenied):
    """The actor's role does not allow this."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts now.

    `roles` maps the id of each organisation the actor is a member of to its role there. A
    role reaches down the tree: a reseller's admin manages the reseller's customers.
    """

    kind: ActorKind
    id: str
    name: str
    is_staff: bool = False
    roles: Mapping[int, str] = field(default_factory=dict)

    @property
    def organisation_ids(self) -> frozenset[int]:
        """The organisations that the actor is a member of, without those below them."""
        return frozenset(self.roles)

    def only_with(self, capability: Capability) -> Actor:
        """The same actor with those roles alone that allow something."""
        allowing = {
            organisation_id: role
            for organisation_id, role in self.roles.items()
            if capability in ROLE_CAPABILITIES[role]
        }
        return replace(self, roles=allowing)

    def can(self, capability: Capability, *, lineage: tuple[int, ...]) -> bool:
        """Whether a role in one of `lineage` (an organisation and those above it) allows it."""
        if self.is_staff or self.kind is ActorKind.SYSTEM:
            return True
        return any(
            capability in ROLE_CAPABILITIES[self.roles[organisation_id]]
            for organisation_id in lineage
            if organisation_id in self.roles
        )

    def narrowed(self, capability: Capability) -> Actor:
        """The same actor with only those roles that allow this, for queries by `visible_to`."""
        roles = {pk: r for pk, r in self.roles.items() if capability in ROLE_CAPABILITIES[r]}
        return replace(self, roles=roles)

    def must(self, capability: Capability, *, lineage: tuple[int, ...]) -> None:
        """Raise `Forbidden` unless the actor can."""
        if not self.can(capability, lineage=lineage):
            message = "Your role here does not allow this. Ask an owner of your organisation."
            raise Forbidden(message)


def system(name: str) -> Actor:
    """The house itself: a worker, a sweep, a command."""
    return Actor(kind=ActorKind.SYSTEM, id=name, name=name, is_staff=True)
