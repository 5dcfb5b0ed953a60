"""The person before the pages of the account, as the verbs know it."""

from __future__ import annotations

from django.http import HttpRequest

from accounts import arriving, membership
from accounts.access import Actor, Door
from accounts.models import User


def own_actor(request: HttpRequest, user: User) -> Actor:
    """Somebody who does something with the own account, and from where."""
    return membership.actor_for(user, origin=arriving.origin_of(request, door=Door.PANEL))
