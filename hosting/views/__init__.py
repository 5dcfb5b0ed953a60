"""What every page needs: the house's name, and who is asking."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest

from accounts import membership
from accounts.access import Actor
from accounts.models import User


def house(_request: HttpRequest) -> dict[str, Any]:
    """Context for every template."""
    return {"house_name": settings.HOUSE_NAME, "sign_up_open": settings.SIGN_UP_OPEN}


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in person as an actor."""
    return membership.actor_for(cast("User", request.user))
