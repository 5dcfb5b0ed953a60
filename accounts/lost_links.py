"""The links of letters about a lost second factor: asking for the way out, and calling it off.

They are made when the letter leaves and are stored nowhere, so whoever reads the database cannot
use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core import signing

from accounts.models import FactorLoss, User

# Whoever asked is sitting there; a link that lies about longer helps somebody else.
VALID_FOR = timedelta(hours=24)
_ASKING = "accounts.lost_links.asking"
_CALLING_OFF = "accounts.lost_links.calling_off"
_NO_MORE = "This link was used already, or is too old. Ask for a new one."


class NotValid(Exception):
    """The link is too old, was used already, or never was one."""


def asking_token(user: User) -> str:
    """What begins the wait, once; it proves that the person reads the address of now."""
    return signing.dumps([user.pk, user.email, _asked_before(user)], salt=_ASKING)


def asker(token: str) -> User:
    """Whose link it is; raises `NotValid`."""
    try:
        user_id, email, asked_before = signing.loads(token, salt=_ASKING, max_age=VALID_FOR)
    except (signing.BadSignature, ValueError) as error:
        raise NotValid(_NO_MORE) from error
    user = User.objects.filter(pk=user_id, email=email, is_active=True).first()
    if user is None or _asked_before(user) != asked_before:
        raise NotValid(_NO_MORE)
    return user


def calling_off_token(uuid: str, *, to: str) -> str:
    """What calls a loss off, for the one of those who were told of it."""
    return signing.dumps([uuid, to], salt=_CALLING_OFF)


def loss_of(token: str) -> tuple[FactorLoss, str]:
    """Which one is called off, and at which address the link was read; raises `NotValid`."""
    try:
        sent, email = signing.loads(token, salt=_CALLING_OFF)
        uuid = UUID(sent)
    except (signing.BadSignature, ValueError) as error:
        raise NotValid(_NO_MORE) from error
    loss = FactorLoss.objects.select_related("user").filter(uuid=uuid).first()
    if loss is None:
        raise NotValid(_NO_MORE)
    return loss, email


def of_letter(context: Mapping[str, Any], *, to: str) -> str | None:
    """What makes the link of a letter that leaves now; None if it has none of these.

    A letter that waited until the person had another address has none either.
    """
    if "asking" in context:
        user = User.objects.filter(pk=context["asking"], email=to, is_active=True).first()
        return asking_token(user) if user else None
    return calling_off_token(context["loss"], to=to) if "loss" in context else None


def _asked_before(user: User) -> int:
    return FactorLoss.objects.filter(user=user).count()
