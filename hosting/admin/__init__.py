"""Staff pages for what is sold, and for mailboxes, whose orders have a price."""

from hosting.admin import imports, mailboxes, plans, prices

__all__ = ["imports", "mailboxes", "plans", "prices"]
