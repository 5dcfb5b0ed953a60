"""Staff pages for what is sold, and for mailboxes, whose orders have a price."""

from hosting.admin import imports, ledger, mailboxes, payments, plans, statements

__all__ = ["imports", "ledger", "mailboxes", "payments", "plans", "statements"]
