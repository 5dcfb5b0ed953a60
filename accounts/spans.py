"""Rows that are somebody's, or wait, until a moment: as a condition for queries."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

# Workers read their clocks in one order and write in another, so a row may hold a moment that was
# counted from a little later than the reader's now.
_SKEW = timedelta(minutes=1)


def lasts(field: str, *, at: datetime, longest: timedelta) -> Q:
    """Rows whose `field` lies ahead of `at`, by no more than `longest`, the most it is ever set to.

    One that lies further ahead was set before the clock was set back, and holds up nobody.
    """
    return Q(**{f"{field}__gt": at, f"{field}__lte": at + longest + _SKEW})
