"""Letting somebody do a thing only so often, and saying when to come again."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import rate_limits
from accounts.rate_limits import Bucket


class NotNow(Exception):
    """It is not done for the moment. `status` is how a page answers."""

    status = 429

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TooOften(NotNow):
    """Somebody has done it too often."""


class NobodyCounts(NotNow):
    """The server that counts is away, and without it the limits would not hold."""

    status = 503


def take(*wanted: Bucket, at: datetime, too_often: str, away: str | None) -> None:
    """One turn of each, or `NotNow` with one of the two sentences before what there is to do.

    Without a sentence for it (`away`), everybody is let through while nobody can count.
    """
    result = rate_limits.take(*wanted, at=at, when_away="open" if away is None else "closed")
    if result.allowed:
        return
    seconds = result.retry_after_seconds
    if result.is_away:
        message = _("%(what)s Try again in a minute.") % {"what": away}
        raise NobodyCounts(message, retry_after_seconds=seconds)
    minutes = -(-seconds // 60)
    text = ngettext(
        "%(what)s Wait a minute, then try again.",
        "%(what)s Wait %(minutes)s minutes, then try again.",
        minutes,
    )
    message = text % {"what": too_often, "minutes": minutes}
    raise TooOften(message, retry_after_seconds=seconds)
