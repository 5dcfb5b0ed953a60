"""The database posts each ledger entry itself, and refuses what does not fit."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

_PAYMENT = "(SELECT {0} FROM hosting_payment WHERE id = NEW.payment_id)"
_INVOICE = "(SELECT {0} FROM hosting_invoice WHERE id = NEW.invoice_id)"

# What is wrong with an entry, in SQL that both databases read, and the sentence about it.
REFUSED = (
    (
        (
            "NEW.reverses_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM hosting_ledgerentry e"
            " WHERE e.id = NEW.reverses_id AND e.reverses_id IS NULL AND e.kind = NEW.kind"
            " AND e.amount_minor = -NEW.amount_minor"
            " AND COALESCE(e.payment_id, 0) = COALESCE(NEW.payment_id, 0)"
            " AND COALESCE(e.invoice_id, 0) = COALESCE(NEW.invoice_id, 0))"
        ),
        "An entry is taken back by its mirror.",
    ),
    (
        (
            f"{_PAYMENT.format('currency')} <> NEW.currency"
            f" OR {_INVOICE.format('currency')} <> NEW.currency"
        ),
        "An entry is in the currency of its payment and bill.",
    ),
    (
        (
            f"NEW.kind = 'matched' AND (COALESCE({_PAYMENT.format('customer_id')}, 0)"
            f" <> {_INVOICE.format('customer_id')}"
            f" OR COALESCE({_PAYMENT.format('seller_id')}, 0)"
            f" <> COALESCE({_INVOICE.format('seller_id')}, 0))"
        ),
        "A payment settles bills of its own customer and seller.",
    ),
    (
        f"NEW.kind = 'received' AND ABS(NEW.amount_minor) <> {_PAYMENT.format('amount_minor')}",
        "A payment is received whole.",
    ),
    (
        (
            "NEW.invoice_id IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM hosting_openitem WHERE invoice_id = NEW.invoice_id)"
        ),
        "Nothing stands open of this bill.",
    ),
)
POSTED = (
    (
        "UPDATE hosting_payment SET free_minor = free_minor"
        " + CASE WHEN NEW.kind = 'received' THEN NEW.amount_minor ELSE -NEW.amount_minor END"
        " WHERE id = NEW.payment_id"
    ),
    (
        "UPDATE hosting_openitem SET open_minor = open_minor - NEW.amount_minor"
        " WHERE invoice_id = NEW.invoice_id"
    ),
)
FINAL = "What was posted is never edited. Take it back by its mirror."
# The columns of a row that stay as they were written.
KEPT = {
    "hosting_payment": (
        *("uuid", "seller_id", "source", "external_id", "currency", "amount_minor"),
        "received_on",
    ),
    "hosting_openitem": ("invoice_id", "due_on", "billed_minor"),
}
UNPOSTED = {
    "hosting_payment": "NEW.free_minor <> 0",
    "hosting_openitem": "NEW.open_minor <> NEW.billed_minor",
}


def _changed(table: str, differs: str) -> str:
    """The condition under which an UPDATE of a row is refused."""
    wrong = [f"OLD.{column} {differs} NEW.{column}" for column in KEPT[table]]
    if table == "hosting_payment":
        moved = f"OLD.customer_id {differs} NEW.customer_id"
        # The customer is named while nothing of the money has been used.
        wrong.append(f"({moved} AND OLD.free_minor <> OLD.amount_minor)")
    return " OR ".join(wrong)


def _sqlite() -> list[str]:
    # Deleting stays possible here: it is how a test database is emptied.
    def refuse(sentence: str, condition: str = "1") -> str:
        return f"SELECT RAISE(ABORT, '{sentence}') WHERE {condition};"

    checks = " ".join(refuse(sentence, condition) for condition, sentence in REFUSED)
    moves = " ".join(f"{statement};" for statement in POSTED)
    statements = [
        (
            "CREATE TRIGGER hosting_ledgerentry_posts BEFORE INSERT ON hosting_ledgerentry "
            f"BEGIN {checks} {moves} END"
        ),
        (
            "CREATE TRIGGER hosting_ledgerentry_is_final BEFORE UPDATE ON hosting_ledgerentry "
            f"BEGIN {refuse(FINAL)} END"
        ),
    ]
    for table in KEPT:
        statements += [
            (
                f"CREATE TRIGGER {table}_begins BEFORE INSERT ON {table} "
                f"WHEN {UNPOSTED[table]} BEGIN {refuse(FINAL)} END"
            ),
            (
                f"CREATE TRIGGER {table}_is_kept BEFORE UPDATE ON {table} "
                f"WHEN {_changed(table, 'IS NOT')} BEGIN {refuse(FINAL)} END"
            ),
        ]
    return statements


def _postgresql() -> list[str]:
    def refuse(sentence: str) -> str:
        return f"RAISE EXCEPTION '{sentence}' USING ERRCODE = 'check_violation';"

    def function(name: str, body: str) -> str:
        head = f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
        return f"{head} $$ BEGIN {body} END $$"

    checks = " ".join(f"IF {wrong} THEN {refuse(says)} END IF;" for wrong, says in REFUSED)
    moves = " ".join(f"{statement};" for statement in POSTED)
    statements = [
        function("hosting_post_entry", f"{checks} {moves} RETURN NEW;"),
        function("hosting_refuse_posting", refuse(FINAL)),
        (
            "CREATE TRIGGER hosting_ledgerentry_posts BEFORE INSERT ON hosting_ledgerentry "
            "FOR EACH ROW EXECUTE FUNCTION hosting_post_entry()"
        ),
        (
            "CREATE TRIGGER hosting_ledgerentry_is_final BEFORE UPDATE OR DELETE "
            "ON hosting_ledgerentry FOR EACH ROW EXECUTE FUNCTION hosting_refuse_posting()"
        ),
    ]
    for table in KEPT:
        statements += [
            (
                f"CREATE TRIGGER {table}_begins BEFORE INSERT ON {table} FOR EACH ROW "
                f"WHEN ({UNPOSTED[table]}) EXECUTE FUNCTION hosting_refuse_posting()"
            ),
            (
                f"CREATE TRIGGER {table}_is_kept BEFORE UPDATE ON {table} FOR EACH ROW WHEN "
                f"({_changed(table, 'IS DISTINCT FROM')}) EXECUTE FUNCTION hosting_refuse_posting()"
            ),
        ]
    return statements


def add_triggers(apps: Any, schema_editor: Any) -> None:
    """One for each rule."""
    dialect = {"sqlite": _sqlite, "postgresql": _postgresql}[schema_editor.connection.vendor]
    for statement in dialect():
        schema_editor.execute(statement, params=None)


def drop_triggers(apps: Any, schema_editor: Any) -> None:
    """Take them back."""
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    triggers = [("hosting_ledgerentry", name) for name in ("posts", "is_final")]
    triggers += [(table, name) for table in KEPT for name in ("begins", "is_kept")]
    for table, name in triggers:
        on = f" ON {table}" if is_postgresql else ""
        schema_editor.execute(f"DROP TRIGGER {table}_{name}{on}", params=None)
    if is_postgresql:
        for name in ("hosting_post_entry", "hosting_refuse_posting"):
            schema_editor.execute(f"DROP FUNCTION {name}()", params=None)


class Migration(migrations.Migration):
    """Triggers only."""

    dependencies: ClassVar = [("hosting", "0009_ledger")]

    operations: ClassVar = [migrations.RunPython(add_triggers, drop_triggers)]
