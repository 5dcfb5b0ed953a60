"""How much one member of staff does alone; with more, somebody else has to agree or go on."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext as _

from accounts import rate_limits
from accounts.rate_limits import Bucket, Policy

_HOUR_SECONDS = 3600


class TooMany(Exception):
    """It is more than one person does alone; the text says what there is to do."""


def at_most() -> int:
    """So many rows of one kind are changed by one person at once."""
    return int(settings.BULK_ALONE_AT_MOST)


def must_be_few(count: int) -> None:
    """Raise `TooMany` for more rows than one person changes at once."""
    if count > at_most():
        raise _too_many()


def take(*, who: str, count: int, at: datetime) -> None:
    """Count rows that somebody is about to change, or raise `TooMany` and count none.

    Otherwise many small pieces would come to what is refused as a whole. `who` names the person
    and the kind of row.
    """
    must_be_few(count)
    turn = _turn(who)
    for taken in range(count):
        if not rate_limits.take(turn, at=at, when_away="alone").allowed:
            give_back(who=who, count=taken, at=at)
            raise _too_many()


def give_back(*, who: str, count: int, at: datetime) -> None:
    """Nothing was done to so many of the rows that were counted."""
    turn = _turn(who)
    for _row in range(count):
        rate_limits.give_back(turn, at=at)


def _too_many() -> TooMany:
    message = _(
        "One person does that to %(most)s rows at once, and to as many more in an hour. "
        "Choose fewer, and have a colleague do the rest."
    )
    return TooMany(message % {"most": at_most()})


def _turn(who: str) -> Bucket:
    policy = Policy(name="staff-alone", limit=at_most(), window_seconds=_HOUR_SECONDS)
    return Bucket(policy=policy, who=who)
