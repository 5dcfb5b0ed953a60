"""Signing in somewhere new: a letter asks the person whether that was them.

A browser that has signed in keeps a token, and so is known again wherever it goes. A known one
that comes from a new address is told of as well, until it has done so three times: letters about
each network of somebody who travels would only teach not to read them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F

from accounts import browser_names, notices, personal_facts, sessions
from accounts.access import Origin
from accounts.models import KnownBrowser, User

# How many browsers are remembered for each person, the latest ones.
MOST_KNOWN = 20
_MOVES_TOLD = 3
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A browser in which somebody has just signed in; `token` is what it showed, if anything."""

    token: str
    user_agent: str
    address: str
    # Whether the person had signed in from the address before.
    is_known_address: bool
    origin: Origin | None = None


@transaction.atomic
def note(*, user: User, arrival: Arrival, at: datetime) -> str:
    """Remember the browser, and ask by letter if it is new; returns the token it is to keep."""
    token = arrival.token if _TOKEN.match(arrival.token) else secrets.token_urlsafe(32)
    has_moved = not arrival.is_known_address
    had_any = KnownBrowser.objects.filter(user=user).exists()
    browser, is_new = KnownBrowser.objects.get_or_create(
        user=user, digest=_digest(token), defaults={"last_at": at}
    )
    if is_new:
        # Somebody who has none yet, and is at home there, has signed in before there were tokens.
        is_news = had_any or has_moved
        _forget_oldest(user)
    else:
        is_news = has_moved and browser.moves < _MOVES_TOLD
        moves = F("moves") + int(is_news)
        KnownBrowser.objects.filter(pk=browser.pk).update(last_at=at, moves=moves)
    if is_news:
        _ask(user, arrival, is_known_browser=not is_new, at=at)
    return token


@transaction.atomic
def note_first(*, user: User, token: str, at: datetime) -> str:
    """Remember the browser in which an account began, without a letter; returns the token."""
    kept = token if _TOKEN.match(token) else secrets.token_urlsafe(32)
    KnownBrowser.objects.update_or_create(user=user, digest=_digest(kept), defaults={"last_at": at})
    return kept


def _ask(user: User, arrival: Arrival, *, is_known_browser: bool, at: datetime) -> None:
    browser = browser_names.in_words(sessions.readable_agent(arrival.user_agent))
    personal_facts.record(
        kind="user.signed_in_anew",
        user=user,
        at=at,
        origin=arrival.origin,
        data={"browser": browser},
    )
    told = {"browser": browser, "address": arrival.address}
    context = {**told, "at": f"{at:%Y-%m-%d %H:%M} UTC", "is_known_browser": is_known_browser}
    notices.tell(user=user, name="new_sign_in", context=context, at=at)


def _forget_oldest(user: User) -> None:
    known = KnownBrowser.objects.filter(user=user)
    latest = list(known.order_by("-last_at", "-pk").values_list("pk", flat=True)[:MOST_KNOWN])
    known.exclude(pk__in=latest).delete()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
