"""Links of invitations: made when the letter leaves, good once, for a while and for one address.

They are stored nowhere, so whoever reads the database cannot use them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.core import signing

from accounts.models import Invitation, Organisation, User

# Letters are read after holidays too.
VALID_FOR = timedelta(days=14)
# A letter may wait long for its relay, and its link is made when it leaves.
_LONGEST = 2 * VALID_FOR
_SALT = "accounts.invitations"
_NO_MORE = "This link was used already, or is too old. Ask whoever invited you for a new one."


class NotValid(Exception):
    """The link is too old, was used or withdrawn, or never was one."""

    def __init__(self) -> None:
        super().__init__(_NO_MORE)


def token_for(invitation: Invitation) -> str:
    """What makes the link of the last letter."""
    return signing.dumps([invitation.uuid.hex, invitation.serial], salt=_SALT, compress=True)


def found(token: str, *, at: datetime) -> Invitation:
    """The invitation whose link this is, with its organisation; raises `NotValid`."""
    try:
        # What is too old by its row is too old; this bounds links of which there is no row.
        what = signing.loads(token, salt=_SALT, max_age=_LONGEST)
    except signing.BadSignature as error:
        raise NotValid from error
    if isinstance(what, int):
        # Letters of earlier versions named the guest, who has been asked by a row since.
        guests = User.objects.filter(pk=what).values("email")
        which: dict[str, Any] = {"email__in": guests, "serial": 1}
    else:
        which = _named(what)
    good = Invitation.objects.good(at=at).filter(**which)
    invitation = good.select_related("organisation__parent__parent").order_by("-pk").first()
    if invitation is None:
        raise NotValid
    return invitation


def _named(what: object) -> dict[str, Any]:
    try:
        key, serial = cast("tuple[str, int]", what)
        return {"uuid": UUID(hex=key), "serial": int(serial)}
    except (AttributeError, TypeError, ValueError) as error:
        raise NotValid from error


def person(invitation: Invitation) -> User | None:
    """Who signs in with the invited address already; None if a password has to be chosen."""
    known = User.objects.filter(email=invitation.email).first()
    return None if known is None or is_waiting(known) else known


def is_waiting(user: User) -> bool:
    """Whether the person has set no password yet."""
    return user.password.startswith(UNUSABLE_PASSWORD_PREFIX)


def owners_to_be(organisations: Iterable[Organisation]) -> dict[int, list[str]]:
    """At which addresses somebody was asked to own each, by its key, and has not answered."""
    waiting = Invitation.objects.open().filter(organisation__in=organisations, role="owner")
    found: dict[int, list[str]] = {}
    for pk, email in waiting.order_by("pk").values_list("organisation", "email"):
        found.setdefault(pk, []).append(email)
    return found
