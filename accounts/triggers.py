"""Triggers by which the database itself refuses to change or remove rows, in both dialects.

They are made after each migration, not by one, since SQLite loses them whenever a migration
makes the table anew. They are left alone where they stand as they should: SQLite has everybody
else read its schema again after each change of it, and the mail server then fails once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

_ASKS = "accounts_rows_stay"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What is refused of a row: `on` is UPDATE or DELETE, `when` a condition on OLD and NEW."""

    name: str
    table: str
    on: str
    when: str = ""


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Refusals that say one `sentence`.

    `name` is that of the function behind them. `refusals` is given the operator by which two
    values differ, null or not.
    """

    name: str
    sentence: str
    refusals: Callable[[str], Iterable[Refusal]]

    @property
    def tables(self) -> list[str]:
        """What is guarded."""
        return list(dict.fromkeys(each.table for each in self.refusals("")))

    def hold(self, *, using: str) -> None:
        """Make the triggers where they are missing or are others."""
        connection = connections[using]
        if not set(self.tables) <= set(connection.introspection.table_names()):
            return
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")
                if {sql for (sql,) in cursor.fetchall()}.issuperset(self._sqlite()):
                    return
            made = self._sqlite if connection.vendor == "sqlite" else self._postgresql
            for statement in (*self.let_go(connection.vendor), *made()):
                cursor.execute(statement)

    def let_go(self, vendor: str) -> list[str]:
        """What takes the triggers away: for whoever empties the database of a test."""
        if vendor == "sqlite":
            return [f"DROP TRIGGER IF EXISTS {each.name}" for each in self.refusals("IS NOT")]
        named = [(each.name, each.table) for each in self.refusals("IS DISTINCT FROM")]
        named += [(f"{table}_is_never_emptied", table) for table in self.tables]
        return [f"DROP TRIGGER IF EXISTS {name} ON {table}" for name, table in named]

    def _sqlite(self) -> list[str]:
        return [
            f"CREATE TRIGGER {each.name} BEFORE {each.on} ON {each.table} "
            f"WHEN {_ASKS}()"
            + (f" AND ({each.when}) " if each.when else " ")
            + f"BEGIN SELECT RAISE(ABORT, '{self.sentence}'); END"
            for each in self.refusals("IS NOT")
        ]

    def _postgresql(self) -> list[str]:
        refuse = (
            f"CREATE OR REPLACE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql "
            f"AS $$ BEGIN RAISE EXCEPTION '{self.sentence}' USING ERRCODE = 'check_violation'; "
            "END $$"
        )
        rows = [
            f"CREATE TRIGGER {each.name} BEFORE {each.on} ON {each.table} FOR EACH ROW "
            + (f"WHEN ({each.when}) " if each.when else "")
            + f"EXECUTE FUNCTION {self.name}()"
            for each in self.refusals("IS DISTINCT FROM")
        ]
        empty = [
            f"CREATE TRIGGER {table}_is_never_emptied BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {self.name}()"
            for table in self.tables
        ]
        return [refuse, *rows, *empty]


def changed(columns: Iterable[str], differs: str) -> str:
    """The condition that one of the columns gets another value."""
    return "(" + " OR ".join(f"NEW.{name} {differs} OLD.{name}" for name in columns) + ")"


def tell(*, connection: BaseDatabaseWrapper, holds: bool = True, **_signal: Any) -> None:
    """Answer to SQLite's triggers whether they hold; Django calls it for each new connection.

    Only tests let them go, to empty their database without a change of its schema. Whoever opens
    the database by another program has no such function, and changes nothing guarded either.
    """
    if connection.vendor == "sqlite":
        connection.connection.create_function(_ASKS, 0, lambda: holds)
