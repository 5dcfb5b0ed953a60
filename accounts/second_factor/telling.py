"""What becomes known when the factors of a person change: events where it belongs, and a letter."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings

from accounts import mailer, membership, notices, personal_facts
from accounts.access import Actor
from accounts.models import Organisation, User


def tell(kind: str, *, user: User, actor: Actor, at: datetime, name: str = "", **more: Any) -> None:
    """One event in each organisation of the person, and a letter to the person."""
    data = {"name": name} if name else {}
    personal_facts.record(kind=kind, user=user, actor=actor, at=at, data=data)
    notices.tell(
        user=user,
        name="second_factor",
        context={"what": kind.partition(".")[2], "name": name, "at": at.isoformat(), **more},
        at=at,
    )


def house_of(user: User) -> str:
    """What the person knows the house as: the name in which letters to it are written."""
    home = membership.home_of(user)
    letterhead = mailer.letterhead(home.pk if home else None)
    return str(letterhead.context.get("house_name") or settings.HOUSE_NAME)


def organisations_of(user: User) -> list[Organisation]:
    """Where the person is a member, oldest membership first."""
    mine = Organisation.objects.filter(memberships__user=user)
    return list(mine.select_related("parent").order_by("memberships__pk"))


def all_who_watch(user: User) -> Iterable[Organisation]:
    """The organisations of the person, and those who sell to them."""
    found: dict[int, Organisation] = {}
    for organisation in organisations_of(user):
        found[organisation.pk] = organisation
        if organisation.parent is not None:
            found.setdefault(organisation.parent.pk, organisation.parent)
    return found.values()
