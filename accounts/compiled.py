"""Queries that are asked thousands of times a minute: made into SQL once, and planned once.

Django makes the SQL of a query anew each time it is asked, and PostgreSQL its plan. For what a
page of the API looks up, both took longer than finding the rows did.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import psycopg
from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, ForeignKey, Lookup, QuerySet
from psycopg._queries import PostgresQuery

Key = int | str
# What turns a column into its Python value, by the number of the column.
_Converters = Mapping[int, tuple[Sequence[Callable[..., Any]], Any]]


@Field.register_lookup
@ForeignKey.register_lookup
class Among(Lookup):
    """`name__among=keys` is `name__in=keys` with one parameter, however many keys there are."""

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        """A condition of PostgreSQL, on an array."""
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", (*parameters, self.rhs)

    def as_sqlite(
        self, compiler: Any, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        """A condition of SQLite, on a list in JSON."""
        column, parameters = self.process_lhs(compiler, connection)
        keys = "SELECT value FROM json_each(%s)"
        return f"{column} IN ({keys})", (*parameters, self.rhs)


@dataclass(frozen=True)
class _Place:
    """Where the keys of one list go."""

    name: str


@dataclass(frozen=True, kw_only=True)
class _Statement:
    """SQL, its parameters or the places of those that come later, and how columns are read."""

    database: str
    sql: str
    parameters: Sequence[Any]
    converters: _Converters

    @classmethod
    def of(cls, rows: QuerySet[Any, Any]) -> Self:
        """The statement of a query set of tuples."""
        compiler = rows.query.get_compiler(using=rows.db)
        sql, parameters = compiler.as_sql()
        columns = [select[0] for select in compiler.select[: compiler.col_count]]
        return cls(
            database=rows.db,
            sql=sql,
            parameters=parameters,
            converters=compiler.get_converters(columns),
        )

    def rows(self, lists: Mapping[str, Sequence[Key]]) -> list[tuple[Any, ...]]:
        """What it finds with the keys of these lists in their places."""
        connection = connections[self.database]
        listed = json.dumps if connection.vendor == "sqlite" else list
        parameters = [
            listed(lists[each.name]) if isinstance(each, _Place) else each
            for each in self.parameters
        ]
        with _cursor(connection) as cursor:
            cursor.execute(self.sql, parameters)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        if not self.converters:
            return found
        return [_converted(row, self.converters, connection) for row in found]


class CompiledQuery:
    """A query for the rows that belong to some keys, each list of which is given by name.

    `build` makes the query set, of tuples; it is called once, and names its lists by `__among`:

    used = CompiledQuery(lambda names: Usage.objects.filter(username__among=names).values_list(…))
    used.rows(names=["a@x.test", "b@x.test"])
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Any]]) -> None:
        self._build = build
        self._statement: _Statement | None = None

    def rows(self, **lists: Iterable[Key]) -> list[tuple[Any, ...]]:
        """The rows that belong to these keys; a list may be empty, and is of one type."""
        keys = {name: list(each) for name, each in lists.items()}
        if not any(keys.values()):
            return []
        if self._statement is None:
            self._statement = _Statement.of(self._build(**{name: _Place(name) for name in keys}))
        return self._statement.rows(keys)


def tuples(rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """The rows of a query set of tuples, whose plan PostgreSQL keeps for the next of its form."""
    try:
        statement = _Statement.of(rows)
    except EmptyResultSet:
        return []
    return statement.rows({})


class _PreparingCursor(psycopg.Cursor[Any]):
    """A cursor whose statements the connection remembers, with their plans."""

    def execute(self, query: Any, params: Any = None, **_options: Any) -> Self:
        """Ask by a prepared statement; the driver keeps those that were asked last."""
        super().execute(query, params, prepare=True)
        # Django tells what was asked from here, and the driver leaves it out of what it prepared.
        self._query = PostgresQuery(self._tx)
        self._query.query = query.encode()
        return self


def _cursor(connection: Any) -> Any:
    """Django's own cursors put all values into the text, which is a new statement each time."""
    if connection.vendor != "postgresql":
        return connection.cursor()
    # As Django's own does: PostgreSQL may have been started anew since the request before.
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    return connection._prepare_cursor(_PreparingCursor(connection.connection))  # noqa: SLF001


def _converted(
    row: Sequence[Any], converters: _Converters, connection: BaseDatabaseWrapper
) -> tuple[Any, ...]:
    values = list(row)
    for column, (each, expression) in converters.items():
        for convert in each:
            values[column] = convert(values[column], expression, connection)
    return tuple(values)
