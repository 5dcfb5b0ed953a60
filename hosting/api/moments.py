"""Moments in documents. The renderer writes them after RFC 3339, in UTC with `Z`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import NewType

from django.utils.dateparse import parse_datetime

Moment = NewType("Moment", datetime)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def optional(moment: datetime | None) -> Moment | None:
    """A moment that may not have come."""
    return None if moment is None else Moment(moment)


def moment_in(text: str) -> datetime | None:
    """The moment in a text after RFC 3339 with its offset, or None where there is none."""
    try:
        moment = parse_datetime(text)
        if moment is None or moment.tzinfo is None or "T" not in text:
            return None
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        # The latter for what an offset leads beyond the years that there are.
        return None


def day_in(text: str) -> date | None:
    """The day in a text such as 2026-11-03, or None where there is none."""
    if _DAY.fullmatch(text) is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
