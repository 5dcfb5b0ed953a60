"""Several bounded questions in one statement, on either database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet

# Nobody counts further: a page says "1,000+" and leads to the list.
MOST_COUNTED = 1_000


def counts(
    parts: Sequence[tuple[str, QuerySet[Any], str]], *, using: str = DEFAULT_DB_ALIAS
) -> dict[str, tuple[int, datetime | None]]:
    """How many rows each query has, up to one more than `MOST_COUNTED`, and the earliest moment.

    A part is a name, a query in the order of an index, and the field with the moment.
    """
    if not parts:
        return {}
    statements, given = [], []
    for name, rows, field in parts:
        sql, parameters = _compiled(rows.values(field)[: MOST_COUNTED + 1], using=using)
        column = connections[using].ops.quote_name(rows.model._meta.get_field(field).column)  # noqa: SLF001  # Django's way
        statements.append(f"SELECT %s, COUNT(*), MIN(part.{column}) FROM ({sql}) AS part")  # noqa: S608  # Django made it.
        given += [name, *parameters]
    rows_found = _run(statements, given, using=using)
    return {name: (count, _moment(first)) for name, count, first in rows_found}


def rows(parts: Sequence[QuerySet[Any]], *, using: str = DEFAULT_DB_ALIAS) -> list[tuple[Any, ...]]:
    """What several `values_list` queries bring, one after another; all have the same columns.

    Each is sliced, and every column is cast to text, since parts must agree about types.
    """
    statements, given = [], []
    for part in parts:
        sql, parameters = _compiled(part, using=using)
        statements.append(f"SELECT * FROM ({sql}) AS part")  # noqa: S608  # Django made it.
        given += parameters
    return _run(statements, given, using=using) if statements else []


def _compiled(query: QuerySet[Any], *, using: str) -> tuple[str, list[Any]]:
    sql, parameters = query.query.get_compiler(using=using).as_sql()
    return sql, list(parameters)


def _run(statements: Sequence[str], given: Sequence[Any], *, using: str) -> list[tuple[Any, ...]]:
    with connections[using].cursor() as cursor:
        cursor.execute(" UNION ALL ".join(statements), list(given))
        return list(cursor.fetchall())


def _moment(value: Any) -> datetime | None:
    """SQLite gives back what it has stored, UTC as text; the mail server counts seconds."""
    if value is None or isinstance(value, datetime):
        return value
    if isinstance(value, int):
        return datetime.fromtimestamp(value, tz=UTC)
    return datetime.fromisoformat(str(value)).replace(tzinfo=UTC)
