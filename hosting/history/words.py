"""The one table of sentences: every kind of fact that is recorded has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from hosting.history import mail, people, trade

# A kind that is missing here is shown by its name, and a test fails.
SENTENCES: Mapping[str, str | Callable[[Mapping[str, Any]], str]] = {
    **mail.SENTENCES,
    **people.SENTENCES,
    **trade.SENTENCES,
}
# What only those read who may see bills.
MONEY = frozenset(trade.SENTENCES)
# What only those read who may see what is in mailboxes.
MAIL = frozenset(mail.SENTENCES)
_PROGRAMS = (
    *("api_key", "webhook_endpoint", "webhook_delivery", "ping"),
    *("import", "export", "test_clock"),
)
_PEOPLE = ("member", "invitation", "user", "second_factor")


def _of(*prefixes: str) -> frozenset[str]:
    return frozenset(kind for kind in SENTENCES if kind.partition(".")[0] in prefixes)


# What can be asked for: its word in an address, its name, and the kinds that belong to it.
GROUPS: Mapping[str, tuple[Any, frozenset[str]]] = {
    "mailboxes": (
        _("Mailboxes and devices"),
        _of("mailbox", "app_password", "device", "operation"),
    ),
    "removal": (
        _("Rules and removal of mail"),
        _of("retention", "purge", "hold", "tripwire", "change"),
    ),
    "access": (_("Visits from outside"), _of("access")),
    "people": (_("People"), _of(*_PEOPLE)),
    "programs": (_("Keys and programs"), _of(*_PROGRAMS)),
    "domains": (_("Domains and host names"), _of("domain", "panel_host")),
    "organisation": (
        _("The organisation"),
        _of("organisation", "limits", "brand", "notice", "bulk"),
    ),
    "money": (_("Bills and prices"), MONEY),
}
