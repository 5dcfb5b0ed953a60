"""What every page needs: the house's name, and who is asking."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.functional import SimpleLazyObject

from accounts import membership
from accounts.access import Actor, Capability
from accounts.models import User
from hosting import banners
from hosting.banners import Banner
from mailstore.models import Alarm, Mailbox, PendingChange


def house(request: HttpRequest) -> dict[str, Any]:
    """Context for every template. Fragments show no banners, so they do not look for any."""
    user = getattr(request, "user", None)
    return {
        "house_name": settings.HOUSE_NAME,
        "sign_up_open": settings.SIGN_UP_OPEN,
        "banners": SimpleLazyObject(lambda: _banners(user)),
    }


def _banners(user: User | AnonymousUser | None) -> list[Banner]:
    return banners.for_user(user) if isinstance(user, User) else []


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in person as an actor."""
    return membership.actor_for(cast("User", request.user))


def load(actor: Actor, uuid: UUID) -> Mailbox:
    """The mailbox if the actor may know of it; a stranger's answers like an absent one."""
    visible = Mailbox.objects.visible_to(actor).standing()
    return get_object_or_404(visible.select_related("organisation__parent", "domain"), uuid=uuid)


def may_manage(actor: Actor, mailbox: Mailbox) -> bool:
    """Whether the pages offer what the verbs would not refuse."""
    return actor.can(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)


def open_alarm(mailbox: Mailbox) -> Alarm | None:
    """The alarm that froze the mailbox, which only its owner's answer ends."""
    if mailbox.frozen_at is None:
        return None
    return Alarm.objects.open().filter(mailbox=mailbox).first()


def waiting_close(mailbox: Mailbox) -> PendingChange | None:
    """The closing that somebody asked for and anybody in charge may still call off."""
    waiting = PendingChange.objects.waiting().filter(mailbox=mailbox)
    return waiting.filter(kind=PendingChange.Kind.CLOSE).first()
