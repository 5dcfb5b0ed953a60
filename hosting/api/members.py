"""Who belongs to an organisation, and who was asked to; owners are made and unmade by people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone
from rest_framework import serializers

from accounts import inviting, membership, people
from accounts.access import LEADING_ROLES, MEMBER_ROLES, Forbidden
from accounts.models import Invitation, Membership
from accounts.second_factor import devices
from hosting import public_ids
from hosting.api import organisations
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, Text
from hosting.api.listing import Filter, Listing
from hosting.api.loading import Things
from hosting.api.moments import Moment, optional

# It changes by itself, so it is no part of the version.
VOLATILE = ("last_signed_in_at",)
# An owner is made with a second factor, which a program has not.
GIVABLE = tuple(role for role in MEMBER_ROLES if role not in LEADING_ROLES)
Role = Literal["owner", "admin", "billing", "read_only", "operator", "support", "staff_billing"]


class MemberDocument(TypedDict):
    """One person in an organisation."""

    object: Literal["member"]
    id: str
    organisation_id: str
    email: str
    name: str
    role: Role
    has_second_factor: bool
    last_signed_in_at: Moment | None


class InvitationDocument(TypedDict):
    """Who was asked and has not answered. Its link is in the letter and nowhere else."""

    object: Literal["invitation"]
    id: str
    organisation_id: str
    email: str
    role: Role
    invited_by: str
    invited_at: Moment
    expires_at: Moment


class InvitationBody(Body):
    """Whom to ask by a letter, and in what role."""

    email = Text(max_length=254)
    role = serializers.ChoiceField(choices=GIVABLE)


class MemberBody(Body):
    """The role that a member is to have."""

    role = serializers.ChoiceField(choices=GIVABLE)


def member_documents(found: Sequence[Membership]) -> list[MemberDocument]:
    """Members that `_members` gave."""
    proving = devices.holders([each.user_id for each in found])
    return [_member(each, has_second_factor=each.user_id in proving) for each in found]


def _member(member: Membership, *, has_second_factor: bool) -> MemberDocument:
    return {
        "object": "member",
        "id": public_ids.encode("mem", member.uuid),
        "organisation_id": public_ids.encode("org", member.organisation.uuid),
        "email": member.user.email,
        "name": member.user.name,
        "role": member.role,  # type: ignore[typeddict-item]  # one of the choices
        "has_second_factor": has_second_factor,
        "last_signed_in_at": optional(member.user.last_login),
    }


def invitation_documents(found: Sequence[Invitation]) -> list[InvitationDocument]:
    """Invitations that `_invitations` gave."""
    return [
        {
            "object": "invitation",
            "id": public_ids.encode("ivt", each.uuid),
            "organisation_id": public_ids.encode("org", each.organisation.uuid),
            "email": each.email,
            "role": each.role,  # type: ignore[typeddict-item]  # one of the choices
            "invited_by": each.inviter,
            "invited_at": Moment(each.invited_at),
            "expires_at": Moment(each.expires_at),
        }
        for each in found
    ]


def _by_role(role: str) -> Q:
    return Q(role=role)


def _members(call: Call, organisation: UUID) -> QuerySet[Membership]:
    of_whom = organisations.load(call, organisation)
    found = Membership.objects.filter(organisation=of_whom)
    return found.select_related("user", "organisation__parent__parent")


def _invitations(call: Call, organisation: UUID) -> QuerySet[Invitation]:
    of_whom = organisations.load(call, organisation)
    waiting = Invitation.objects.open().filter(organisation=of_whom)
    return waiting.select_related("organisation__parent__parent")


def _lock_organisation(found: Membership | Invitation) -> None:
    """As the verbs do, before they lock anything below it."""
    membership.lock(found.organisation)


MEMBER: Things[Membership] = Things(
    rows=_members,
    lives_in=lambda member: member.organisation,
    locks=Membership.objects.select_for_update(),
    document=lambda _call, member: member_documents([member])[0],
    volatile=VOLATILE,
)
INVITATION: Things[Invitation] = Things(
    rows=_invitations,
    lives_in=lambda invitation: invitation.organisation,
    locks=Invitation.objects.select_for_update(),
    document=lambda _call, invitation: invitation_documents([invitation])[0],
)
MEMBERS: Listing[Membership] = Listing(
    shown=member_documents,
    document=MemberDocument,
    filters={
        "role": Filter(meaning="With one role.", condition=_by_role, choices=MEMBER_ROLES),
    },
)
INVITATIONS: Listing[Invitation] = Listing(shown=invitation_documents, document=InvitationDocument)


class Members(Endpoint):
    """The members of an organisation."""

    @operation(name="list_members", scope="people:read", lists=MEMBERS)
    def get(self, call: Call, *, organisation: UUID) -> Answer:
        """List who belongs to an organisation."""
        return MEMBERS.page(call, _members(call, organisation))


class OneMember(Endpoint):
    """One member."""

    @operation(name="get_member", scope="people:read", gives=MemberDocument)
    def get(self, call: Call, *, organisation: UUID, member: UUID) -> Answer:
        """Show a member."""
        return MEMBER.answer(call, MEMBER.load(call, member, organisation))

    @operation(
        name="update_member",
        scope="people:write",
        takes=MemberBody,
        gives=MemberDocument,
        problems=("wrong-state",),
    )
    def patch(self, call: Call, *, organisation: UUID, member: UUID) -> Answer:
        """Give a member another role, at once. Owners are made and unmade by people only."""
        found = _load_changeable(call, organisation, member)
        role = call.asked.get("role", found.role)
        people.change_role(actor=call.actor, member=found, role=role, at=call.at)
        return MEMBER.answer(call, MEMBER.load(call, member, organisation))

    @operation(
        name="remove_member",
        scope="people:write",
        gives=MemberDocument,
        problems=("wrong-state",),
    )
    def delete(self, call: Call, *, organisation: UUID, member: UUID) -> Answer:
        """Remove a member, at once. Keys that the person made go on working."""
        found = _load_changeable(call, organisation, member)
        answer = MEMBER.answer(call, found)
        people.remove(actor=call.actor, member=found, at=call.at)
        return answer


class Invitations(Endpoint):
    """Who was asked to join."""

    @operation(name="list_invitations", scope="people:read", lists=INVITATIONS)
    def get(self, call: Call, *, organisation: UUID) -> Answer:
        """List invitations that nobody has answered, those that are too old as well."""
        return INVITATIONS.page(call, _invitations(call, organisation))

    @operation(
        name="create_invitation",
        scope="people:write",
        takes=InvitationBody,
        gives=InvitationDocument,
        status=201,
    )
    def post(self, call: Call, *, organisation: UUID) -> Answer:
        """Ask somebody to join, by a letter. Asked again, the address gets a new link and role."""
        made = inviting.invite(
            actor=call.actor,
            organisation=organisations.ORGANISATION.locked(call, organisation),
            email=call.asked["email"],
            role=call.asked["role"],
            # A link is good for as long as people have to read it, whatever clock the
            # organisation lives by.
            at=timezone.now(),
            told_at=call.at,
        )
        where = f"organisations/{public_ids.encode('org', organisation)}/invitations"
        return INVITATION.created(call, made, below=where)


class OneInvitation(Endpoint):
    """One invitation."""

    @operation(name="get_invitation", scope="people:read", gives=InvitationDocument)
    def get(self, call: Call, *, organisation: UUID, invitation: UUID) -> Answer:
        """Show an invitation that nobody has answered."""
        return INVITATION.answer(call, INVITATION.load(call, invitation, organisation))

    @operation(
        name="withdraw_invitation",
        scope="people:write",
        gives=InvitationDocument,
        problems=("wrong-state",),
    )
    def delete(self, call: Call, *, organisation: UUID, invitation: UUID) -> Answer:
        """Withdraw an invitation: its link lets nobody in any more."""
        found = INVITATION.locked(call, invitation, organisation, first=_lock_organisation)
        answer = INVITATION.answer(call, found)
        inviting.withdraw(actor=call.actor, invitation=found, at=call.at)
        return answer


def _load_changeable(call: Call, organisation: UUID, member: UUID) -> Membership:
    found = MEMBER.locked(call, member, organisation, first=_lock_organisation)
    if found.role in LEADING_ROLES:
        message = "Owners are made and unmade by people, with a second factor, and not by a key."
        raise Forbidden(message)
    return found
