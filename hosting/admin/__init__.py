"""Staff pages for what is sold, and for mailboxes, whose orders have a price."""

from hosting.admin import (
    imports,
    invoices,
    ledger,
    mailboxes,
    parties,
    payments,
    plans,
    prices,
    statements,
)

__all__ = [
    "imports",
    "invoices",
    "ledger",
    "mailboxes",
    "parties",
    "payments",
    "plans",
    "prices",
    "statements",
]
