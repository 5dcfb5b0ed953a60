"""Lists: filters and orders that are allowed, pages by cursor, and what is shown of each row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson
from django.db.models import Model, Q, QuerySet

from hosting.api import cursors
from hosting.api.contract import Answer, Call
from hosting.api.expanding import Expander
from hosting.api.problems import wrong_parameter

M = TypeVar("M", bound=Model)
DEFAULT_LIMIT, HIGHEST_LIMIT = 50, 200
LONGEST_VALUE = 400
COMMON_PARAMETERS = ("limit", "cursor", "sort", "include", "fields")


@dataclass(frozen=True, kw_only=True)
class Filter:
    """One allowed parameter: what it means, what it can be, and the condition that it makes."""

    meaning: str
    condition: Callable[[str], Q]
    # The values that it can have, for a closed set.
    choices: tuple[str, ...] = ()
    # What the OpenAPI document says of the form of a value, beside that it is a string.
    form: Mapping[str, Any] = field(default_factory=lambda: {"maxLength": LONGEST_VALUE})


@dataclass(frozen=True, kw_only=True)
class Listing(Generic[M]):
    """How one kind of thing is listed.

    `sorts` maps each allowed order to the columns it goes by; the last column is unique, so
    that a cursor names one place. `shown` makes documents of rows, with a bounded number of
    queries whatever their number. `read` fetches the rows; whatever it makes of them has the
    columns of the orders as attributes.
    """

    shown: Callable[[Sequence[Any]], list[Any]]
    document: Any
    filters: Mapping[str, Filter] = field(default_factory=dict)
    read: Callable[[QuerySet[M]], Sequence[Any]] = list
    sorts: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"created": ("pk",)})
    # Puts what `expand` asks for beside its id (`hosting.api.expanding`).
    expand: Expander | None = None

    @property
    def default_sort(self) -> str:
        """The order when none is asked for: the first of the table."""
        return next(iter(self.sorts))

    def parameters(self) -> set[str]:
        """All names that may stand in the query."""
        names = {*COMMON_PARAMETERS, *self.filters}
        return {*names, "expand"} if self.expand else names

    def page(
        self,
        call: Call,
        rows: QuerySet[M],
        *,
        shown: Callable[[Sequence[Any]], list[Any]] | None = None,
    ) -> Answer:
        """The page that was asked for; raises a problem for what cannot be.

        `shown` is given where documents depend on who asks.
        """
        columns, is_backwards = self._order(call.query.get("sort"))
        limit = limit_of(call)
        found = rows.filter(self._conditions(call.query))
        mark = self._mark(call.query)
        after = found
        if (text := call.query.get("cursor")) is not None:
            after = found.filter(_beyond(columns, cursors.unseal(text, mark=mark), is_backwards))
        order = [f"-{column}" if is_backwards else column for column in columns]
        taken = self.read(after.order_by(*order)[: limit + 1])
        last = taken[limit - 1] if len(taken) > limit else None
        items = (shown or self.shown)(taken[:limit])
        document: dict[str, Any] = {
            "items": self._with_more(call, self._chosen(call.query.get("fields"), items), items),
            "next_cursor": (
                None if last is None else cursors.seal(_place(last, columns), mark=mark)
            ),
        }
        if _includes_count(call.query.get("include")):
            document["total_count"] = found.count()
        return Answer(document=document)

    def _with_more(self, call: Call, chosen: list[Any], items: list[Any]) -> list[Any]:
        """What was chosen of each document, and beside it what `expand` asks for."""
        if self.expand is None or "expand" not in call.query:
            return chosen
        known = set(self.document.__annotations__)
        whole = [dict(each) for each in items]
        self.expand(call, whole)
        return [
            {**some, **{name: value for name, value in all_.items() if name not in known}}
            for some, all_ in zip(chosen, whole, strict=True)
        ]

    def _order(self, asked: str | None) -> tuple[tuple[str, ...], bool]:
        name = self.default_sort if asked is None else asked.removeprefix("-")
        if name not in self.sorts:
            message = f"Sort by one of: {', '.join(self.sorts)}; a minus turns it around."
            raise wrong_parameter("sort", message)
        return self.sorts[name], bool(asked and asked.startswith("-"))

    def _conditions(self, query: Mapping[str, str]) -> Q:
        condition = Q()
        for name, each in self.filters.items():
            if name in query:
                condition &= _condition(name, each, query[name])
        return condition

    def _mark(self, query: Mapping[str, str]) -> str:
        """What a cursor belongs to: the same kind of thing, filters and order."""
        of_kind = {**query, "object": self.document.__name__}
        return mark_of(of_kind, ("object", "sort", *self.filters))

    def _chosen(self, asked: str | None, documents: list[Any]) -> list[Any]:
        if asked is None:
            return documents
        names = asked.split(",")
        known = self.document.__annotations__
        for name in names:
            if name not in known:
                message = f"Choose among: {', '.join(known)}."
                raise wrong_parameter("fields", message)
        return [{name: each[name] for name in names} for each in documents]


def _condition(name: str, each: Filter, value: str) -> Q:
    if each.choices and value not in each.choices:
        raise wrong_parameter(name, f"One of: {', '.join(each.choices)}.")
    if "\x00" in value or len(value) > LONGEST_VALUE:
        raise wrong_parameter(name, "This value cannot be looked for.")
    try:
        return each.condition(value)
    except ValueError as error:
        raise wrong_parameter(name, str(error) or "This value cannot be looked for.") from error


def mark_of(query: Mapping[str, str], names: Iterable[str]) -> str:
    """A digest of those parameters that decide which rows there are, and in which order."""
    asked = sorted((name, query[name]) for name in names if name in query)
    return hashlib.sha256(orjson.dumps(asked)).hexdigest()[:16]


def limit_of(call: Call) -> int:
    """How many rows a page may have."""
    return call.whole("limit", default=DEFAULT_LIMIT, lowest=1, highest=HIGHEST_LIMIT)


def _includes_count(text: str | None) -> bool:
    if text not in {None, "total_count"}:
        raise wrong_parameter("include", "Only total_count can be included.")
    return text is not None


def _beyond(columns: Sequence[str], values: Sequence[Any], is_backwards: bool) -> Q:  # noqa: FBT001
    """A condition on rows that come after a place, in row-value order."""
    comparison = "lt" if is_backwards else "gt"
    condition = Q()
    for index, column in enumerate(columns):
        same = dict(zip(columns[:index], values, strict=False))
        condition |= Q(**same, **{f"{column}__{comparison}": values[index]})
    return condition


def _place(row: Any, columns: Sequence[str]) -> list[Any]:
    return [getattr(row, column) for column in columns]
