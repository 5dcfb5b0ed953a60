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
    API_KEY = "api_key"


class Door(StrEnum):
    """By which door somebody came in to act."""

    PANEL = "panel"
    STAFF = "staff"
    API = "api"
    COMMAND = "command"
    WORKER = "worker"
    NONE = ""


class Standing(StrEnum):
    """How whoever acts stands to the organisation that it happens to."""

    OWN = "own"
    ABOVE = "above"
    VISIT = "visit"
    STAFF = "staff"
    HOUSE = "house"
    NONE = ""


class Capability(StrEnum):
    """What a role can allow."""

    SEE = "see"
    # What is in mailboxes and who opens them: folders, subjects, devices, set-up.
    SEE_MAIL = "see_mail"
    MANAGE_MAIL = "manage_mail"
    MANAGE_PEOPLE = "manage_people"
    SEE_BILLS = "see_bills"
    MANAGE_BILLS = "manage_bills"
    MANAGE_KEYS = "manage_keys"
    MANAGE_BRAND = "manage_brand"
    # What concerns everybody here or cannot be undone: holds, waits that are cut short, the
    # rules of plans, and who is staff. Nobody but operators of the house has it.
    RUN_HOUSE = "run_house"


_OF_SUPPORT = frozenset(
    {
        Capability.SEE,
        Capability.SEE_MAIL,
        Capability.MANAGE_MAIL,
        Capability.MANAGE_PEOPLE,
    }
)
_OF_OWNERS = frozenset(Capability) - {Capability.RUN_HOUSE}

# Roles of the house's own people, its staff; they are given at the provider alone.
OPERATOR, SUPPORT, STAFF_BILLING = "operator", "support", "staff_billing"
STAFF_ROLES = (OPERATOR, SUPPORT, STAFF_BILLING)
# Roles of everybody else.
MEMBER_ROLES = ("owner", "admin", "billing", "read_only")
# Who answers for an organisation: there is always one, and they are told what matters.
LEADING_ROLES = ("owner", OPERATOR)

ROLE_CAPABILITIES: Mapping[str, frozenset[Capability]] = {
    "owner": _OF_OWNERS,
    "admin": _OF_SUPPORT,
    "billing": frozenset({Capability.SEE, Capability.SEE_BILLS}),
    "read_only": frozenset({Capability.SEE, Capability.SEE_MAIL}),
    OPERATOR: frozenset(Capability),
    # Helps with mail and people, and has nothing to do with money, keys, holds and waits.
    SUPPORT: _OF_SUPPORT,
    # Money, invoices, prices and reminders, and nothing of anybody's mail.
    STAFF_BILLING: frozenset({Capability.SEE, Capability.SEE_BILLS, Capability.MANAGE_BILLS}),
    # An owner from above who acts in a customer for a while (`accounts.visits`): without what
    # would stay when it leaves, such as keys and the customer's own spend cap.
    "visitor": _OF_SUPPORT | {Capability.SEE_BILLS},
}


class Forbidden(PermissionDenied):
    """The actor's role does not allow this."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """From where somebody acts, for the audit trail.

    `session` is a mark that tells the sessions of browsers apart and opens none of them.
    """

    door: Door = Door.NONE
    address: str = ""
    session: str = ""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts now.

    `roles` maps the id of each organisation the actor is a member of to its role there. A
    role reaches down the tree: a reseller's admin manages the reseller's customers.

    Staff see every organisation, and may do everywhere what `staff_role` allows. Without one
    they may do nothing.

    A key acts with an owner's role within its `scopes`, and knows either test organisations
    or live ones; for people, both are None and nothing is left out.

    Somebody from above who acts in a customer has a role there alone, and every event says
    during which visit it happened.
    """

    kind: ActorKind
    id: str
    name: str
    is_staff: bool = False
    staff_role: str = ""
    roles: Mapping[int, str] = field(default_factory=dict)
    scopes: frozenset[str] | None = None
    is_test: bool | None = None
    # The resellers among them, and the house: whose customers the actor looks after.
    seller_ids: frozenset[int] = frozenset()
    # The house, if it is among them: everybody stands below it.
    house_id: int | None = None
    visit_id: int | None = None
    # Whose key it is. A narrow key has roles in organisations below that one alone.
    key_of: int | None = None
    origin: Origin = Origin()

    @property
    def organisation_ids(self) -> frozenset[int]:
        """The organisations that the actor is a member of, without those below them."""
        return frozenset(self.roles)

    def in_any_mode(self) -> Actor:
        """The same actor, who may know of test organisations and of live ones."""
        return replace(self, is_test=None)

    def only_with(self, capability: Capability) -> Actor:
        """The same actor with those roles alone that allow this, for queries by `visible_to`."""
        allowing = {
            organisation_id: role
            for organisation_id, role in self.roles.items()
            if capability in ROLE_CAPABILITIES[role]
        }
        return replace(self, roles=allowing, is_staff=self.can_everywhere(capability))

    def as_member(self) -> Actor:
        """The same person with what they are a member of, and nothing that being staff gives."""
        own = {key: role for key, role in self.roles.items() if role not in STAFF_ROLES}
        return replace(self, is_staff=False, staff_role="", roles=own)

    def can_everywhere(self, capability: Capability) -> bool:
        """Whether the actor is the house, or one of its staff whose role allows this."""
        if self.kind is ActorKind.SYSTEM:
            return True
        return self.is_staff and capability in ROLE_CAPABILITIES.get(self.staff_role, ())

    def allowed(self, *, lineage: tuple[int, ...]) -> frozenset[Capability]:
        """All that the roles in `lineage` (an organisation and those above it) allow together."""
        held = [self.roles[key] for key in lineage if key in self.roles]
        own = frozenset[Capability]().union(*(ROLE_CAPABILITIES[role] for role in held))
        return own | {each for each in Capability if self.can_everywhere(each)}

    def belongs_to(self, organisation_id: int) -> bool:
        """Whether it is one of the organisation's own people or keys, and not here as a guest."""
        is_own_key = self.key_of in {None, organisation_id}
        return organisation_id in self.roles and is_own_key and self.visit_id is None

    def standing_to(self, organisation_id: int, *, parent_id: int | None) -> tuple[Standing, str]:
        """How the actor stands to an organisation with this parent, and by which role."""
        lineage = (organisation_id, parent_id)
        held = next((key for key in lineage if key in self.roles), None)
        role = "" if held is None else self.roles[held]
        if self.kind is ActorKind.SYSTEM:
            return Standing.HOUSE, ""
        if self.visit_id is not None:
            return Standing.VISIT, role
        if self.belongs_to(organisation_id):
            return Standing.OWN, role
        if self.is_staff and (held is None or role in STAFF_ROLES):
            return Standing.STAFF, self.staff_role
        return (Standing.NONE if held is None else Standing.ABOVE), role

    def can(self, capability: Capability, *, lineage: tuple[int, ...]) -> bool:
        """Whether a role in one of `lineage` (an organisation and those above it) allows it."""
        return self.can_everywhere(capability) or any(
            capability in ROLE_CAPABILITIES[self.roles[organisation_id]]
            for organisation_id in lineage
            if organisation_id in self.roles
        )

    def may_give(self, role: str, *, lineage: tuple[int, ...]) -> bool:
        """Whether the role allows nothing that the actor may not do there."""
        return ROLE_CAPABILITIES[role] <= self.allowed(lineage=lineage)

    def must(self, capability: Capability, *, lineage: tuple[int, ...]) -> None:
        """Raise `Forbidden` unless the actor can."""
        if not self.can(capability, lineage=lineage):
            message = "Your role here does not allow this. Ask an owner of your organisation."
            raise Forbidden(message)

    def must_everywhere(self, capability: Capability, *, refusal: str) -> None:
        """Raise `Forbidden` with this text unless it is the house, or staff in such a role."""
        if not self.can_everywhere(capability):
            raise Forbidden(refusal)


def system(name: str, *, door: Door = Door.WORKER) -> Actor:
    """The house itself: a worker, a sweep, a command."""
    return Actor(
        kind=ActorKind.SYSTEM,
        id=name,
        name=name,
        is_staff=True,
        staff_role=OPERATOR,
        origin=Origin(door=door),
    )
