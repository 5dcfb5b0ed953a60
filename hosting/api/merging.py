"""Rows of several tables as one list."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

from django.db.models import QuerySet


class Merged:
    """Querysets that have the same columns to filter and to order by, read as if they were one.

    It knows as much of a queryset as a `Listing` asks of it; `annotate` gives one table what only
    another has, so that a filter holds for both.
    """

    def __init__(self, *parts: QuerySet[Any], order: Sequence[str] = ()) -> None:
        self._parts = parts
        self._order = order

    def filter(self, *conditions: Any) -> Merged:
        """Those that meet the conditions."""
        return Merged(*(part.filter(*conditions) for part in self._parts), order=self._order)

    def order_by(self, *columns: str) -> Merged:
        """The same in another order: all columns forwards, or all backwards with a minus."""
        return Merged(*(part.order_by(*columns) for part in self._parts), order=columns)

    def count(self) -> int:
        """How many there are of all kinds together."""
        return sum(part.count() for part in self._parts)

    def __getitem__(self, wanted: slice) -> list[Any]:
        """The first so many; no table is read further than that."""
        return list(islice(self._merged(wanted.stop), wanted.stop))

    def _merged(self, most: int) -> Iterator[Any]:
        columns = [column.removeprefix("-") for column in self._order]
        place: Callable[[Any], Any] = attrgetter(*columns)
        is_backwards = self._order[0].startswith("-")
        pieces = [part[:most] for part in self._parts]
        return heapq.merge(*pieces, key=place, reverse=is_backwards)
