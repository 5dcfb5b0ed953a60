"""What every page needs: in whose name it speaks, and who is asking."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts import arriving, visits
from accounts.access import Actor, Capability, Door
from accounts.models import Organisation, User
from hosting import banners, branding, changing, clocks, persons, pricing, searching
from hosting.banners import Banner
from hosting.branding import Look
from hosting.persons import Person
from mailstore import onlookers
from mailstore.models import Alarm, Mailbox, PendingChange


def house(request: HttpRequest) -> dict[str, Any]:
    """Context for every template. Fragments show no banners, so they do not look for any."""
    visit = getattr(request, "visit", None)
    # Whoever has not shown the second factor yet is told nothing about the house inside.
    is_outside = getattr(request, "awaits_factor", False)
    return {
        "awaits_factor": is_outside,
        "look": SimpleLazyObject(lambda: look_of(request)),
        "house_name": SimpleLazyObject(lambda: look_of(request).name),
        "sign_up_open": settings.SIGN_UP_OPEN,
        "sees_bills": partial(_has_role_to, request, Capability.SEE_BILLS),
        "manages_keys": partial(_owns_something, request),
        "sees_mail": partial(_has_role_to, request, Capability.SEE_MAIL),
        "manages_mail": partial(_has_role_to, request, Capability.MANAGE_MAIL),
        "has_customers": partial(_has_customers, request),
        "visit": visit,
        # A guest sees what stands here of the visit, not what concerns the guest's own house.
        "banners": SimpleLazyObject(lambda: [] if visit or is_outside else _banners(request)),
    }


def look_of(request: HttpRequest) -> Look:
    """The brand that holds for this page, looked up once: that of the host, else of the person."""
    known = getattr(request, "look", None)
    if isinstance(known, Look):
        return known
    seller_id, user = getattr(request, "seller_id", None), getattr(request, "user", None)
    if seller_id is not None:
        found = branding.of_seller(seller_id)
    elif isinstance(user, User) and not user.is_staff and person_of(request).has_brand:
        found = branding.of_person(user)
    else:
        found = branding.of_house()
    request.look = found  # type: ignore[attr-defined]
    return found


def person_of(request: HttpRequest) -> Person:
    """The signed-in person, looked up once for each request."""
    known = getattr(request, "person", None)
    if isinstance(known, Person):
        return known
    found = persons.load(cast("User", request.user))
    request.person = found  # type: ignore[attr-defined]
    return found


def _banners(request: HttpRequest) -> list[Banner]:
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return []
    found = banners.of_factor(getattr(request, "factor_standing", None))
    if person_of(request).is_concerned:
        seller_id = getattr(request, "seller_id", None)
        found += banners.for_user(user, house_name=look_of(request).name, seller_id=seller_id)
    return found


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in person as an actor, looked up once for each request.

    Whoever acts in a customer is a guest there, and nobody elsewhere.
    """
    known = getattr(request, "actor", None)
    if isinstance(known, Actor):
        return known
    # At a reseller's own host name, a person is somebody in its tree alone.
    own = getattr(request, "own_actor", None)
    actor = own if isinstance(own, Actor) else person_of(request).actor
    visit = getattr(request, "visit", None)
    if visit is not None:
        actor = visits.acting(actor, visit)
    actor = replace(actor, origin=arriving.origin_of(request, door=Door.PANEL))
    request.actor = actor  # type: ignore[attr-defined]
    return actor


def _has_role_to(request: HttpRequest, capability: Capability) -> bool:
    """Whether links lead to where that is done; the pages themselves look more closely."""
    able = actor_of(request).only_with(capability)
    return able.is_staff or bool(able.roles)


def _has_customers(request: HttpRequest) -> bool:
    actor = actor_of(request)
    return actor.is_staff or bool(searching.sellers_of(actor))


def _owns_something(request: HttpRequest) -> bool:
    return bool(actor_of(request).only_with(Capability.MANAGE_KEYS).roles)


def must_see_bills(actor: Actor) -> Actor:
    """The actor, who sees the bills of at least one organisation; raises `Forbidden`."""
    actor.must(Capability.SEE_BILLS, lineage=tuple(actor.organisation_ids))
    return actor


def load(actor: Actor, uuid: UUID) -> Mailbox:
    """The mailbox if the actor's role shows mail; a stranger's answers like an absent one.

    Its owners read who came from above.
    """
    mailbox = load_for_bill(actor, uuid)
    actor.must(Capability.SEE_MAIL, lineage=mailbox.organisation.lineage)
    onlookers.note(actor=actor, mailbox=mailbox, at=timezone.now())
    return mailbox


def load_for_bill(actor: Actor, uuid: UUID) -> Mailbox:
    """The mailbox if the actor may know of it, with nothing said of what it holds."""
    visible = Mailbox.objects.visible_to(actor).standing()
    return get_object_or_404(visible.select_related("organisation__parent", "domain"), uuid=uuid)


def may_manage(actor: Actor, mailbox: Mailbox) -> bool:
    """Whether the pages offer what the verbs would not refuse."""
    return actor.can(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)


def sees_bills(actor: Actor, organisation: Organisation) -> bool:
    """Whether the actor may know what an organisation pays; load `parent` with it."""
    return actor.can(Capability.SEE_BILLS, lineage=organisation.lineage)


def sees_price(actor: Actor, mailbox: Mailbox) -> bool:
    """Whoever may change a plan sees what it costs before; so does whoever sees the bills."""
    return may_manage(actor, mailbox) or sees_bills(actor, mailbox.organisation)


def open_alarm(mailbox: Mailbox) -> Alarm | None:
    """The alarm that froze the mailbox, which only its owner's answer ends."""
    if mailbox.frozen_at is None:
        return None
    return Alarm.objects.open().filter(mailbox=mailbox).first()


def waiting_close(mailbox: Mailbox) -> PendingChange | None:
    """The closing that somebody asked for and anybody in charge may still call off."""
    waiting = PendingChange.objects.waiting().filter(mailbox=mailbox)
    return waiting.filter(kind=PendingChange.Kind.CLOSE).first()


def way_back(mailbox: Mailbox) -> dict[str, Any]:
    """Context: the change of plan that can be taken back, if any, and what the old plan costs."""
    at = clocks.now_for(mailbox.organisation)
    last = changing.last_change(mailbox, at=at)
    if last is None:
        return {"last_change": None}
    price_list = pricing.list_for(mailbox.organisation)
    prices = pricing.prices_at(price_list=price_list, plans=[last.old_plan_id], at=at)
    price = prices.get(last.old_plan_id)
    return {"last_change": last, "back_price_text": price.price_text if price else ""}
