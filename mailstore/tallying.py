"""Rows that count up: made where they are missing, added to where they are, in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Field, Model


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How rows of one table are added to; all are names of its fields.

    `key` finds a row. Of `first` the earlier moment stays and of `last` the later one; the
    fields in `latest` follow the row that has the later `last`. `new` are for new rows only.
    """

    model: type[Model]
    key: tuple[str, ...]
    sums: tuple[str, ...]
    first: str = "first_at"
    last: str = "last_at"
    latest: tuple[str, ...] = ()
    # Of these the later moment stays; a null is earlier than any.
    furthest: tuple[str, ...] = ()
    new: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields in the order in which rows give them."""
        moments = (self.first, self.last)
        return (*self.key, *self.sums, *moments, *self.latest, *self.furthest, *self.new)


def add(tally: Tally, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows, each with a value for every field of the tally and no key twice."""
    if not rows:
        return
    fields = [tally.model._meta.get_field(name) for name in tally.columns]  # noqa: SLF001  # Django's documented way
    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in tally.key))
    values = [_prepared(field, [row[field.name] for row in ordered]) for field in fields]  # type: ignore[arg-type]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_statement(tally, fields, _arrays(fields)), values)
        else:
            marks = ", ".join(["%s"] * len(fields))
            cursor.executemany(
                _statement(tally, fields, f"VALUES ({marks})"), list(zip(*values, strict=True))
            )


def _prepared(field: Field[Any, Any], column: list[Any]) -> list[Any]:
    if connection.vendor == "postgresql":
        return column
    return [field.get_db_prep_save(value, connection) for value in column]


def _arrays(fields: Sequence[Any]) -> str:
    types = (str(field.db_type(connection)) for field in fields)
    # The names of types are Django's own.
    arrays = ", ".join(f"%s::{type_}[]" for type_ in types)
    return f"SELECT * FROM unnest({arrays})"  # noqa: S608


def _statement(tally: Tally, fields: Sequence[Any], source: str) -> str:
    quote = connection.ops.quote_name
    table = quote(tally.model._meta.db_table)  # noqa: SLF001  # Django's documented way
    column = {field.name: quote(field.column) for field in fields}
    old = {name: f"{table}.{column[name]}" for name in column}
    new = {name: f"excluded.{column[name]}" for name in column}
    changes = {name: f"{old[name]} + {new[name]}" for name in tally.sums}
    first, last = tally.first, tally.last
    is_later = f"{new[last]} >= {old[last]}"
    for name in (*tally.latest, last):
        changes[name] = f"CASE WHEN {is_later} THEN {new[name]} ELSE {old[name]} END"
    changes[first] = (
        f"CASE WHEN {new[first]} < {old[first]} THEN {new[first]} ELSE {old[first]} END"
    )
    for name in tally.furthest:
        is_further = f"{old[name]} IS NULL OR {new[name]} > {old[name]}"
        changes[name] = (
            f"CASE WHEN {is_further} THEN COALESCE({new[name]}, {old[name]}) ELSE {old[name]} END"
        )
    sets = ", ".join(f"{column[name]} = {change}" for name, change in changes.items())
    keys = ", ".join(column[name] for name in tally.key)
    return (
        f"INSERT INTO {table} ({', '.join(column.values())}) {source} "
        f"ON CONFLICT ({keys}) DO UPDATE SET {sets}"
    )
