"""Filters that lists of several kinds have in common."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q

from hosting import public_ids
from hosting.api.listing import Filter
from hosting.api.moments import day_in, moment_in


def by_id(prefix: str, path: str, meaning: str) -> Filter:
    """By the public id of what the column `path` names."""

    def condition(text: str) -> Q:
        try:
            return Q(**{path: public_ids.decode(prefix, text)})
        except public_ids.NoSuchId as error:
            raise ValueError(*error.args) from error

    form = {"pattern": f"^{prefix}_{public_ids.PATTERN}$"}
    return Filter(meaning=meaning, condition=condition, form=form)


def by_moment(path: str, meaning: str) -> Filter:
    """By a moment after RFC 3339; `path` is a column with how it is compared (`at__gte`)."""

    def condition(text: str) -> Q:
        moment = moment_in(text)
        if moment is None:
            message = "A moment such as 2026-11-03T14:00:00Z."
            raise ValueError(message)
        return Q(**{path: moment})

    return Filter(meaning=meaning, condition=condition, form={"format": "date-time"})


def by_day(path: str, meaning: str) -> Filter:
    """By a day; `path` is a column with how it is compared (`issued_on__gte`)."""

    def condition(text: str) -> Q:
        day = day_in(text)
        if day is None:
            message = "A day such as 2026-11-03."
            raise ValueError(message)
        return Q(**{path: day})

    return Filter(meaning=meaning, condition=condition, form={"format": "date"})


def by_choice(path: str, choices: Iterable[str], meaning: str) -> Filter:
    """By one of a closed set of values."""
    return Filter(meaning=meaning, condition=lambda text: Q(**{path: text}), choices=tuple(choices))
