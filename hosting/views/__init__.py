"""What every page needs: the house's name, and who is asking."""

from __future__ import annotations

from functools import partial
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts import membership
from accounts.access import Actor, Capability
from accounts.models import Organisation, User
from hosting import banners, changing, pricing
from hosting.banners import Banner
from mailstore.models import Alarm, Mailbox, PendingChange


def house(request: HttpRequest) -> dict[str, Any]:
    """Context for every template. Fragments show no banners, so they do not look for any."""
    user = getattr(request, "user", None)
    return {
        "house_name": settings.HOUSE_NAME,
        "sign_up_open": settings.SIGN_UP_OPEN,
        "sees_bills": partial(_has_role_to, request, Capability.SEE_BILLS),
        "manages_mail": partial(_has_role_to, request, Capability.MANAGE_MAIL),
        "banners": SimpleLazyObject(lambda: _banners(user)),
    }


def _banners(user: User | AnonymousUser | None) -> list[Banner]:
    return banners.for_user(user) if isinstance(user, User) else []


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in person as an actor, looked up once for each request."""
    known = getattr(request, "actor", None)
    if isinstance(known, Actor):
        return known
    actor = membership.actor_for(cast("User", request.user))
    request.actor = actor  # type: ignore[attr-defined]
    return actor


def _has_role_to(request: HttpRequest, capability: Capability) -> bool:
    """Whether links lead to where that is done; the pages themselves look more closely."""
    actor = actor_of(request)
    return actor.is_staff or bool(actor.only_with(capability).roles)


def must_see_bills(actor: Actor) -> Actor:
    """The actor, who sees the bills of at least one organisation; raises `Forbidden`."""
    actor.must(Capability.SEE_BILLS, lineage=tuple(actor.organisation_ids))
    return actor


def load(actor: Actor, uuid: UUID) -> Mailbox:
    """The mailbox if the actor may know of it; a stranger's answers like an absent one."""
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
    at = timezone.now()
    last = changing.last_change(mailbox, at=at)
    if last is None:
        return {"last_change": None}
    price_list = pricing.list_for(mailbox.organisation)
    prices = pricing.prices_at(price_list=price_list, plans=[last.old_plan_id], at=at)
    price = prices.get(last.old_plan_id)
    return {"last_change": last, "back_price_text": price.price_text if price else ""}
