"""Links of letters, by which somebody shows that they read an address.

A link is made when its letter leaves and is stored nowhere, so whoever reads the database cannot
use it. Each says what it is for, and is dead once that was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core import signing

from accounts import invitations
from accounts.models import AddressChange, Invitation, Organisation, User

# Letters are read after a long weekend too. A new password is a matter of now
# (`settings.PASSWORD_RESET_TIMEOUT`).
VALID_FOR = timedelta(days=4)
_CONFIRMS = "accounts.links.confirms"
_CHANGES = "accounts.links.changes"
_TAKES_BACK = "accounts.links.takes_back"
_SIGNS_UP = "accounts.links.signs_up"
_NO_MORE = "This link was used already, or is too old."

T = TypeVar("T")


class NotValid(Exception):
    """The link is too old, was used already, or never was one."""


class _ResetTokens(PasswordResetTokenGenerator):
    """Tokens that die with the password, the address or an hour, and with each sign-in."""

    key_salt = "accounts.links.resets"


_reset_tokens = _ResetTokens()


# Links that confirm an address ----------------------------------------------------------


def to_confirm(user: User) -> str:
    """What makes the link that confirms the address the person has now."""
    return signing.dumps([user.pk, user.email], salt=_CONFIRMS)


def confirms(token: str) -> User:
    """Whose address it confirms, which is still unconfirmed; raises `NotValid`."""
    user_id, email = _read(token, salt=_CONFIRMS, valid_for=VALID_FOR)
    waiting = User.objects.filter(pk=user_id, email=email, is_active=True)
    return _found(waiting.filter(email_verified_at__isnull=True).first())


# Links to a new password ----------------------------------------------------------------


def to_reset(user: User) -> str:
    """What makes the link to a new password."""
    return f"{user.pk}-{_reset_tokens.make_token(user)}"


def resets(token: str) -> User:
    """Who may set a new password by it; raises `NotValid`."""
    key, _dash, proof = token.partition("-")
    # Not every character that counts as a digit is one for `int`, and no id has more of them.
    is_number = key.isascii() and key.isdecimal() and len(key) < 19  # noqa: PLR2004
    user = User.objects.filter(pk=int(key), is_active=True).first() if is_number else None
    return _found(user if _reset_tokens.check_token(user, proof) else None)


# Links about another address ------------------------------------------------------------


def to_change(change: AddressChange) -> str:
    """What makes the link that confirms the new address."""
    return signing.dumps(change.uuid.hex, salt=_CHANGES)


def changes(token: str) -> AddressChange:
    """The change that it confirms, which still waits; raises `NotValid`."""
    waiting = AddressChange.objects.waiting().filter(user__is_active=True)
    uuid = UUID(hex=_read(token, salt=_CHANGES, valid_for=VALID_FOR))
    return _found(waiting.select_related("user").filter(uuid=uuid).first())


def to_take_back(change: AddressChange) -> str:
    """What makes the link by which the former address stays, or comes back."""
    return signing.dumps(change.uuid.hex, salt=_TAKES_BACK)


def takes_back(token: str, *, at: datetime) -> AddressChange:
    """The change that it undoes, which waits or was made a few days ago; raises `NotValid`."""
    valid_for = VALID_FOR + AddressChange.CAN_BE_TAKEN_BACK_FOR
    uuid = UUID(hex=_read(token, salt=_TAKES_BACK, valid_for=valid_for))
    known = AddressChange.objects.filter(uuid=uuid, user__is_active=True)
    can_be = known.waiting() | known.undoable(at=at)
    return _found(can_be.select_related("user").first())


# Links that open an account -------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SignUp:
    """An address whose letters somebody reads, and the seller; None for the house itself."""

    email: str
    seller_id: int | None


def to_sign_up(newcomer: SignUp) -> str:
    """What makes the link by which somebody opens an account."""
    return signing.dumps([newcomer.email, newcomer.seller_id], salt=_SIGNS_UP)


def signs_up(token: str) -> SignUp:
    """Who may open an account by it, and where; raises `NotValid`.

    Whether somebody has the address by now is for `accounts.signing_up` to say.
    """
    email, seller_id = _read(token, salt=_SIGNS_UP, valid_for=VALID_FOR)
    is_there = seller_id is None or Organisation.objects.filter(pk=seller_id).exists()
    return _found(SignUp(email=email, seller_id=seller_id) if is_there else None)


# Links of a letter ----------------------------------------------------------------------


def of_letter(context: Mapping[str, Any], *, to: str) -> str | None:
    """What makes the link of a letter that leaves now; None if it has none, or needs none.

    A letter that waited long gets none if the address it goes to is not the person's any more.
    """
    for name, make in _MAKERS.items():
        if name in context:
            return make(context[name], to)
    return None


def _invitation(uuid: str, to: str) -> str | None:
    waiting = Invitation.objects.open().filter(uuid=uuid, email=to).first()
    return None if waiting is None else invitations.token_for(waiting)


def _confirmation(user_id: int, to: str) -> str | None:
    unconfirmed = User.objects.filter(email_verified_at__isnull=True)
    user = unconfirmed.filter(pk=user_id, email=to, is_active=True).first()
    return to_confirm(user) if user else None


def _reset(user_id: int, to: str) -> str | None:
    user = User.objects.filter(pk=user_id, email=to, is_active=True).first()
    return to_reset(user) if user else None


def _change(change_id: int, to: str) -> str | None:
    change = AddressChange.objects.waiting().filter(pk=change_id, new_email=to).first()
    return to_change(change) if change else None


def _take_back(change_id: int, to: str) -> str | None:
    change = AddressChange.objects.filter(pk=change_id, old_email=to).first()
    return to_take_back(change) if change else None


def _sign_up(seller_id: int | None, to: str) -> str | None:
    is_known = User.objects.filter(email=to).exists()
    return None if is_known else to_sign_up(SignUp(email=to, seller_id=seller_id))


# What stands in a letter's context, and what makes its link from that.
_MAKERS: Mapping[str, Callable[[Any, str], str | None]] = {
    "invitation": _invitation,
    "confirms": _confirmation,
    "resets": _reset,
    "changes": _change,
    "takes_back": _take_back,
    "signs_up": _sign_up,
}


def _read(token: str, *, salt: str, valid_for: timedelta) -> Any:
    try:
        return signing.loads(token, salt=salt, max_age=valid_for)
    except signing.BadSignature as error:
        raise NotValid(_NO_MORE) from error


def _found(found: T | None) -> T:
    if found is None:
        raise NotValid(_NO_MORE)
    return found
