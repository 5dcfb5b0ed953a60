"""The password that a person signs in with: changing it, and a new one for who has forgotten it.

Whoever asks for a new one hears the same, after the same work, whether or not anybody has the
address: the page writes down what was typed, and a worker looks whose it is. A new password ends
all sessions and leaves the second factor as it is.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import transaction

from accounts import (
    holding_back,
    keys,
    links,
    notices,
    outbox,
    personal_facts,
    sessions,
    signing_in,
)
from accounts.access import Actor, Origin
from accounts.models import AddressChange, ResetRequest, User, UserManager
from accounts.rate_limits import Bucket, Policy

_HOUR_SECONDS = 3600
_OF_ACCOUNT = Policy(name="reset-letter", limit=3, window_seconds=_HOUR_SECONDS)
_OF_ADDRESS = Policy(name="reset-letter-address", limit=20, window_seconds=_HOUR_SECONDS)


def ask_reset(*, email: str, address: str, at: datetime) -> None:
    """Have a link to a new password sent to whoever signs in by `email`; raises `NotNow`.

    `address` is from where somebody asks. Nothing here depends on whether there is an account.
    """
    typed = UserManager.canonical(email)
    holding_back.take(
        Bucket(policy=_OF_ACCOUNT, who=typed),
        Bucket(policy=_OF_ADDRESS, who=keys.holder_of(address)),
        at=at,
        too_often="Several letters were asked for. The last of them counts.",
        away="No letter can be sent just now.",
    )
    ResetRequest.objects.create(email=typed, asked_at=at)
    outbox.nudge("accounts.answer_reset_requests")


def answer_requests(*, at: datetime, limit: int = 200) -> int:
    """Write the letters that were asked for, the oldest first; returns how many were written."""
    written = 0
    for request in ResetRequest.objects.order_by("pk")[:limit]:
        with transaction.atomic():
            # Whoever takes the row away writes the letter, so that two workers do not both.
            if not ResetRequest.objects.filter(pk=request.pk).delete()[0]:
                continue
            user = User.objects.filter(email=request.email, is_active=True).first()
            if user is not None:
                send_link(user=user, at=at)
                written += 1
    return written


def send_link(*, user: User, at: datetime) -> None:
    """The letter with the link; it counts for an hour from when it leaves."""
    notices.tell(user=user, name="password_reset", context={"resets": user.pk}, at=at)


@transaction.atomic
def reset(
    *, token: str, password: str, address: str, at: datetime, origin: Origin | None = None
) -> User:
    """Set a new password by the link of a letter, once; raises `links.NotValid`.

    The letter was read, so that also confirms the address. Wherever somebody was signed in or at
    home is forgotten, but from where this comes.
    """
    user = links.resets(token)
    before = User.objects.filter(pk=user.pk, password=user.password, is_active=True)
    user.password = make_password(password)
    user.email_verified_at = user.email_verified_at or at
    if not before.update(password=user.password, email_verified_at=user.email_verified_at):
        message = "This link was used already."
        raise links.NotValid(message)
    _replaced(user, at=at, kept=None, by="link", origin=origin)
    signing_in.know(user=user, holder=keys.holder_of(address), at=at)
    return user


@transaction.atomic
def change(
    *,
    user: User,
    password: str,
    kept_session: str | None,
    at: datetime,
    origin: Origin | None = None,
) -> int:
    """Set another password, by somebody who has shown to know the present one.

    All sessions end but the one with the key `kept_session`; returns how many those are. That one
    has to be given a new key (`update_session_auth_hash`). The person is at home nowhere any more,
    so whoever asks for it says again where it is.
    """
    user.password = make_password(password)
    User.objects.filter(pk=user.pk).update(password=user.password)
    return _replaced(user, at=at, kept=kept_session, by="page", origin=origin)


@transaction.atomic
def replaced_by_staff(*, actor: Actor, user: User, at: datetime) -> int:
    """What follows when staff have set a password."""
    personal_facts.record(kind="user.password_set", user=user, actor=actor, at=at)
    return _replaced(user, at=at, kept=None, by="staff")


@transaction.atomic
def make_useless(*, user: User, at: datetime) -> None:
    """Nobody knows the password any more, sessions end, and a letter has a link to a new one."""
    user.password = make_password(secrets.token_urlsafe(32))
    User.objects.filter(pk=user.pk).update(password=user.password)
    sessions.drop_all(user)
    signing_in.forget_everywhere(user)
    send_link(user=user, at=at)


def _replaced(
    user: User, *, at: datetime, kept: str | None, by: str, origin: Origin | None = None
) -> int:
    """What follows a new password: whoever got in by the old one is out, and the owner hears.

    Where such a person was at home is forgotten too: with the new password there comes a letter.
    """
    ended = sessions.drop_all(user, but=kept)
    signing_in.forget_everywhere(user)
    AddressChange.objects.filter(user=user).call_off(at=at)
    data: dict[str, Any] = {"by": by, "sessions": ended}
    if by != "staff":
        personal_facts.record(
            kind="user.password_changed", user=user, at=at, origin=origin, data=data
        )
    notices.tell(user=user, name="password_changed", context={"by": by}, at=at)
    return ended
