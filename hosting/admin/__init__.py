"""Staff pages for what is sold, and for mailboxes, whose orders have a price."""

from hosting.admin import imports, invoices, mailboxes, parties, plans

__all__ = ["imports", "invoices", "mailboxes", "parties", "plans"]
