"""Acting in a customer: somebody from above, for an hour, with a reason that the customer reads.

Roles reach down the tree anyway. A visit narrows a person to one customer, so that nothing is
done to another one by mistake, and ties everything done meanwhile to who came and why.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest
from django.middleware.csrf import rotate_token

from accounts import membership, outbox
from accounts.access import ROLE_CAPABILITIES, Actor, ActorKind, Capability, Origin
from accounts.models import Organisation, User, Visit

# Long enough for a job, short enough that nobody stays by forgetting to leave.
LENGTH = timedelta(hours=1)
# What the session of the person remembers: the visit, and the page to go back to.
SESSION_KEY = "visit"
_BACK_KEY = "visit_back"


class Refused(Exception):
    """Nobody can act there now; the text says why."""


def may_begin(actor: Actor, organisation: Organisation) -> bool:
    """Whether the actor stands above the customer; load `parent` with it."""
    return (
        actor.kind is ActorKind.USER
        and organisation.kind == Organisation.Kind.CUSTOMER
        and actor.can(Capability.MANAGE_MAIL, lineage=organisation.lineage[1:])
    )


@transaction.atomic
def begin(*, actor: Actor, organisation: Organisation, reason: str, at: datetime) -> Visit:
    """Act in a customer from now on; load `parent` with it. Raises `Refused`."""
    actor.must(Capability.MANAGE_MAIL, lineage=organisation.lineage[1:])
    if not may_begin(actor, organisation):
        message = "Only people can act in a customer, and in nothing but a customer."
        raise Refused(message)
    why = " ".join(reason.split())[:300]
    if not why:
        message = "Say why you come. The customer reads it."
        raise Refused(message)
    visit = Visit.objects.create(
        user_id=int(actor.id),
        organisation=organisation,
        person=actor.name,
        seller=str(organisation.parent),
        reason=why,
        begun_at=at,
        ends_at=at + LENGTH,
    )
    _record("access.begun", visit, actor=actor, at=at)
    return visit


def remember(request: HttpRequest, visit: Visit, *, back: str = "") -> None:
    """Let this browser act in the customer; `back` is a path of the panel to go to afterwards."""
    request.session.cycle_key()
    request.session[SESSION_KEY] = str(visit.uuid)
    request.session[_BACK_KEY] = back
    _spoil_open_forms(request)


def forget(request: HttpRequest) -> str:
    """Let this browser act for itself again; returns the path to go back to, if one was kept."""
    request.session.pop(SESSION_KEY, None)
    _spoil_open_forms(request)
    return str(request.session.pop(_BACK_KEY, ""))


def _spoil_open_forms(request: HttpRequest) -> None:
    """A form in another tab was filled in for somebody else than it would now be sent for."""
    rotate_token(request)


def running(uuid: UUID, *, user: User, at: datetime) -> Visit | None:
    """The visit of this person, as long as it lasts."""
    mine = Visit.objects.running(at).filter(uuid=uuid, user=user)
    return mine.select_related("organisation__parent__parent").first()


def acting(actor: Actor, visit: Visit) -> Actor:
    """The person as a guest of the customer; with no role if the one above was lost since."""
    organisation = visit.organisation
    roles = [actor.roles[pk] for pk in organisation.lineage[1:] if pk in actor.roles]
    able = [role for role in roles if Capability.MANAGE_MAIL in ROLE_CAPABILITIES[role]]
    is_whole = actor.can_everywhere(Capability.SEE_BILLS) or "owner" in able
    role = "visitor" if is_whole else next(iter(able), "")
    return replace(
        actor,
        is_staff=False,
        roles={organisation.pk: role} if role else {},
        seller_ids=frozenset(),
        visit_id=visit.pk,
    )


@transaction.atomic
def end(*, visit: Visit, at: datetime, origin: Origin | None = None) -> bool:
    """Leave; returns whether the visit still went on."""
    open_one = Visit.objects.filter(pk=visit.pk, ended_at__isnull=True)
    ended_at = min(at, visit.ends_at)
    if not open_one.update(ended_at=ended_at):
        return False
    actor = membership.actor_for(visit.user, origin=origin)
    _record("access.ended", visit, actor=actor, at=ended_at)
    return True


def end_over(*, at: datetime, limit: int = 200) -> int:
    """End the visits whose time is over; returns how many."""
    over = Visit.objects.filter(ended_at__isnull=True, ends_at__lte=at).order_by("ends_at")
    found = over.select_related("user", "organisation")[:limit]
    return sum(end(visit=visit, at=at) for visit in found)


def _record(kind: str, visit: Visit, *, actor: Actor, at: datetime) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=replace(actor, visit_id=visit.pk),
        organisation=visit.organisation,
        subject=("visit", str(visit.uuid), visit.person),
        data={"reason": visit.reason, "from": visit.seller, "until": visit.ends_at.isoformat()},
    )
