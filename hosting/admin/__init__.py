"""Staff pages for what is sold, and for mailboxes, whose orders have a price."""

from hosting.admin import dunning, imports, mailboxes, plans

__all__ = ["dunning", "imports", "mailboxes", "plans"]
