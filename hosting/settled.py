"""The database itself refuses to change for whom something was bought.

A bill is computed again from the contracts of those who stand below the buyer, and a mailbox is
found by whose it is. Were either to change, no bill before could be verified.

The triggers are made after each migration, not by one: a migration on SQLite that changes such
a table makes it anew, and loses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Columns of a table that stay while a condition on the old row holds."""

    name: str
    table: str
    columns: tuple[str, ...]
    is_settled: str
    sentence: str


RULES = (
    Rule(
        name="hosting_place_stays",
        table="accounts_organisation",
        columns=("parent_id", "kind"),
        is_settled="""EXISTS (
            SELECT 1 FROM accounts_organisation o
            JOIN mailstore_mailbox m ON m.organisation_id = o.id
            JOIN hosting_contract c ON c.mailbox_id = m.id
            WHERE o.id = OLD.id OR o.parent_id = OLD.id
        )""",
        sentence="Who has bought is billed where it stands: its kind and seller are settled.",
    ),
    Rule(
        name="hosting_owner_stays",
        table="mailstore_mailbox",
        columns=("organisation_id",),
        is_settled="EXISTS (SELECT 1 FROM hosting_contract WHERE mailbox_id = OLD.id)",
        sentence="What a mailbox costs is billed to its organisation, which is settled.",
    ),
)


def hold(*, using: str = DEFAULT_DB_ALIAS, **_signal: Any) -> None:
    """Make the triggers where they are missing; Django calls it after it has migrated."""
    connection = connections[using]
    tables = {"hosting_contract", *(rule.table for rule in RULES)}
    if not tables <= set(connection.introspection.table_names()):
        return
    with connection.cursor() as cursor:
        for rule in RULES:
            for statement in _DIALECTS[connection.vendor](rule):
                cursor.execute(statement)


def _sqlite(rule: Rule) -> list[str]:
    changes = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in rule.columns)
    trigger = (
        f"CREATE TRIGGER IF NOT EXISTS {rule.name} "
        f"BEFORE UPDATE OF {', '.join(rule.columns)} ON {rule.table} "
        f"WHEN ({changes}) AND {rule.is_settled} "
        f"BEGIN SELECT RAISE(ABORT, '{rule.sentence}'); END"
    )
    return [trigger]


def _postgresql(rule: Rule) -> list[str]:
    # The condition of a trigger cannot look at other tables, so its function does.
    function = (
        f"CREATE OR REPLACE FUNCTION {rule.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {rule.is_settled} THEN RAISE EXCEPTION '{rule.sentence}' "
        "USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$"
    )
    changes = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in rule.columns)
    trigger = (
        f"CREATE OR REPLACE TRIGGER {rule.name} "
        f"BEFORE UPDATE OF {', '.join(rule.columns)} ON {rule.table} "
        f"FOR EACH ROW WHEN ({changes}) EXECUTE FUNCTION {rule.name}()"
    )
    return [function, trigger]


_DIALECTS = {"sqlite": _sqlite, "postgresql": _postgresql}
