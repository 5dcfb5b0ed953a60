"""Staff pages for what is sold, and for mailboxes, whose orders have a price."""

from hosting.admin import (
    dunning,
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
    "dunning",
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
