"""Who belongs to an organisation: the members, who was invited, and changing both."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import inviting, membership, people, stepping_up
from accounts.access import LEADING_ROLES, Actor, Capability
from accounts.models import Invitation, Membership, Organisation
from accounts.second_factor import devices
from hosting.forms.people import (
    MEANINGS,
    InvitePersonForm,
    RemoveForm,
    RoleForm,
)
from hosting.views import actor_of

PAGE_LENGTH = 50
_MOST_INVITATIONS = 100
_REFUSALS = (membership.Refused, inviting.Refused)


@login_required
@require_safe
def mine(request: HttpRequest) -> HttpResponse:
    """To the people of the one organisation somebody belongs to, or the choice between several."""
    actor = actor_of(request)
    found = Organisation.objects.filter(pk__in=actor.organisation_ids).order_by("name", "pk")
    own = list(found.select_related("parent"))
    if not own and actor.is_staff:
        own = list(Organisation.objects.filter(kind=Organisation.Kind.PROVIDER))
    if len(own) == 1:
        return redirect("people:detail", uuid=own[0].uuid)
    return render(request, "hosting/people_choice.html", {"organisations": own})


@login_required
@never_cache
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Members, a page at a time, and who was invited."""
    actor = actor_of(request)
    organisation = load(actor, uuid)
    manages = bool(givable(actor, organisation))
    asked = request.GET
    search, role = asked.get("q", "").strip()[:120], asked.get("role", "")
    after = asked.get("after", "")[:254]
    members = organisation.memberships.select_related("user").order_by("user__email")
    if search:
        members = members.filter(Q(user__email__icontains=search) | Q(user__name__icontains=search))
    if role in MEANINGS:
        members = members.filter(role=role)
    page = list(members.filter(user__email__gt=after)[: PAGE_LENGTH + 1])
    has_more, page = len(page) > PAGE_LENGTH, page[:PAGE_LENGTH]
    filters = {"q": search, "role": role}
    context = {
        "organisation": organisation,
        "rows": _rows(page, organisation, actor=actor, manages=manages),
        "manages": manages,
        "demands": actor.can(Capability.MANAGE_KEYS, lineage=organisation.lineage),
        "manages_its_mail": actor.can(Capability.MANAGE_MAIL, lineage=organisation.lineage),
        "own": organisation.memberships.filter(user=request.user.pk).exists(),
        "count": organisation.memberships.count(),
        "invitations": _invitations(organisation, actor=actor) if manages else [],
        "roles": [
            (name, Membership.Role(name).label) for name in membership.roles_of(organisation)
        ],
        "search": search,
        "role": role,
        "is_first_page": not after,
        "next_url": _next_url(page, filters) if has_more else "",
    }
    return render(request, "hosting/people.html", context)


def _next_url(page: list[Membership], filters: dict[str, str]) -> str:
    return "?" + urlencode({**filters, "after": page[-1].user.email})


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invite(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask somebody to join."""
    actor = actor_of(request)
    organisation = load(actor, uuid)
    roles = _must_give(actor, organisation)
    form = InvitePersonForm(request.POST or None, roles=roles)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        if _must_prove(request, given["role"]):
            return stepping_up.ask(request)
        try:
            inviting.invite(actor=actor, organisation=organisation, **given, at=timezone.now())
        except inviting.Refused as refusal:
            form.add_error(refusal.field or None, str(refusal))
        else:
            messages.success(request, _("We write to %(email)s.") % {"email": given["email"]})
            return redirect("people:detail", uuid=uuid)
    context = {"organisation": organisation, "form": form}
    return render(request, "hosting/people_invite.html", context, status=_status(form))


@login_required
@require_POST
def send_again(request: HttpRequest, uuid: UUID, invitation_uuid: UUID) -> HttpResponse:
    """Another letter; the link of the one before stops working."""
    actor = actor_of(request)
    invitation = _load_invitation(load(actor, uuid), invitation_uuid)
    membership.must_appoint(actor, invitation.organisation, invitation.role)
    if _must_prove(request, invitation.role):
        return stepping_up.ask(request)
    try:
        inviting.send_again(actor=actor, invitation=invitation, at=timezone.now())
    except _REFUSALS as refusal:
        messages.error(request, str(refusal))
    else:
        told = _("We write to %(email)s again. Earlier links stop working.")
        messages.success(request, told % {"email": invitation.email})
    return redirect("people:detail", uuid=uuid)


@login_required
@require_POST
def withdraw(request: HttpRequest, uuid: UUID, invitation_uuid: UUID) -> HttpResponse:
    """Take an invitation back."""
    actor = actor_of(request)
    invitation = _load_invitation(load(actor, uuid), invitation_uuid)
    try:
        inviting.withdraw(actor=actor, invitation=invitation, at=timezone.now())
    except _REFUSALS as refusal:
        messages.error(request, str(refusal))
    else:
        told = _("Withdrawn. The link sent to %(email)s works no more.")
        messages.success(request, told % {"email": invitation.email})
    return redirect("people:detail", uuid=uuid)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def change_role(request: HttpRequest, uuid: UUID, member_uuid: UUID) -> HttpResponse:
    """Another role for a member."""
    actor = actor_of(request)
    member = _load_member(load(actor, uuid), member_uuid)
    _must_reach(actor, member)
    roles = givable(actor, member.organisation)
    form = RoleForm(request.POST or None, roles=roles, initial={"role": member.role})
    if request.method == "POST" and form.is_valid():
        role = form.cleaned_data["role"]
        if _must_prove(request, role, member.role):
            return stepping_up.ask(request)
        try:
            people.change_role(actor=actor, member=member, role=role, at=timezone.now())
        except membership.Refused as refusal:
            form.add_error("role", str(refusal))
        else:
            label = Membership.Role(role).label
            told = _("%(name)s has the role %(role)s now.") % {"name": member.user, "role": label}
            messages.success(request, told)
            return redirect("people:detail", uuid=uuid)
    context = {"organisation": member.organisation, "member": member, "form": form}
    return render(request, "hosting/people_role.html", context, status=_status(form))


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, uuid: UUID, member_uuid: UUID) -> HttpResponse:
    """End somebody's membership."""
    actor = actor_of(request)
    member = _load_member(load(actor, uuid), member_uuid)
    _must_reach(actor, member)
    if membership.is_oneself(actor, member):
        return redirect("people:leave", uuid=uuid)
    form = RemoveForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        if _must_prove(request, member.role):
            return stepping_up.ask(request)
        try:
            people.remove(actor=actor, member=member, **form.cleaned_data, at=timezone.now())
        except membership.Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("%(name)s was removed.") % {"name": member.user})
            return redirect("people:detail", uuid=uuid)
    context = {
        "organisation": member.organisation,
        "member": member,
        "form": form,
        "keys": list(people.keys_of(member)[:PAGE_LENGTH]),
    }
    return render(request, "hosting/people_remove.html", context, status=_status(form))


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Leave an organisation oneself."""
    actor = actor_of(request)
    organisation = load(actor, uuid)
    member = get_object_or_404(_members(organisation), user=request.user.pk)
    refusal = ""
    if request.method == "POST":
        try:
            people.remove(actor=actor, member=member, at=timezone.now())
        except membership.Refused as reason:
            refusal = str(reason)
        else:
            messages.success(request, _("You left %(name)s.") % {"name": organisation})
            return redirect("dashboard:overview")
    context = {
        "organisation": organisation,
        "is_last": membership.is_last_owner(member),
        "refusal": refusal,
        "keys": list(people.keys_of(member)[:PAGE_LENGTH]),
    }
    status = 422 if refusal else 200
    return render(request, "hosting/people_leave.html", context, status=status)


def load(actor: Actor, uuid: UUID) -> Organisation:
    """The organisation if the actor may know of it; a stranger's answers like an absent one."""
    visible = Organisation.objects.visible_to(actor).select_related("parent__parent")
    return get_object_or_404(visible, uuid=uuid)


def givable(actor: Actor, organisation: Organisation) -> list[str]:
    """The roles there that the actor may give and take; none for whoever manages nobody."""
    roles = membership.roles_of(organisation)
    return [role for role in roles if membership.may_appoint(actor, organisation, role)]


def _must_give(actor: Actor, organisation: Organisation) -> list[str]:
    roles = givable(actor, organisation)
    if not roles:
        raise PermissionDenied
    return roles


def _must_reach(actor: Actor, member: Membership) -> None:
    if not membership.may_appoint(actor, member.organisation, member.role):
        raise PermissionDenied


def _must_prove(request: HttpRequest, *roles: str) -> bool:
    """Whether it has to be shown again who sits there, as where owners are made and unmade."""
    concerns_owners = bool(set(roles) & set(LEADING_ROLES))
    return concerns_owners and not stepping_up.is_fresh(request, at=timezone.now())


def _status(form: Any) -> int:
    return 422 if form.errors else 200


def _members(organisation: Organisation) -> Any:
    return organisation.memberships.select_related("user", "organisation__parent__parent")


def _load_member(organisation: Organisation, uuid: UUID) -> Membership:
    member: Membership = get_object_or_404(_members(organisation), uuid=uuid)
    return member


def _load_invitation(organisation: Organisation, uuid: UUID) -> Invitation:
    """One that waits; those that were answered or withdrawn are as absent."""
    waiting = Invitation.objects.open().select_related("organisation__parent__parent")
    invitation = waiting.filter(organisation=organisation, uuid=uuid).first()
    if invitation is None:
        raise Http404
    return invitation


def _rows(
    page: list[Membership], organisation: Organisation, *, actor: Actor, manages: bool
) -> list[dict[str, Any]]:
    """Members as lines; when they were here and how they prove themselves is for managers."""
    proving = devices.holders([each.user_id for each in page]) if manages else set()
    reached = set(givable(actor, organisation))
    return [
        {
            "member": each,
            "name": each.user.name,
            "email": each.user.email,
            "role": each.get_role_display(),
            "is_you": membership.is_oneself(actor, each),
            "is_shut_out": not each.user.is_active,
            "seen_at": each.user.last_login if manages else None,
            "has_factor": each.user_id in proving,
            "may_change": each.role in reached,
        }
        for each in page
    ]


def _invitations(organisation: Organisation, *, actor: Actor) -> list[dict[str, Any]]:
    at = timezone.now()
    reached = set(givable(actor, organisation))
    waiting = Invitation.objects.open().filter(organisation=organisation).order_by("-pk")
    return [
        {
            "invitation": each,
            "is_over": each.expires_at <= at,
            "may_change": each.role in reached,
        }
        for each in waiting[:_MOST_INVITATIONS]
    ]
