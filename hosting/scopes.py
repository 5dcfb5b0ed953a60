"""What each scope of an API key allows, in words for people, in groups."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

GROUPS: tuple[tuple[Promise, Mapping[str, Promise]], ...] = (
    (
        _("Customers and domains"),
        {
            "organisations:read": _("See customers and their limits"),
            "organisations:write": _("Open, change, suspend and close customers"),
            "people:read": _("See who belongs to an organisation and who is invited"),
            "people:write": _("Invite, change and remove people, but no owners"),
            "domains:read": _("See domains and their checks"),
            "domains:write": _("Add and verify domains"),
        },
    ),
    (
        _("Mailboxes"),
        {
            "mailboxes:read": _("See mailboxes and their use"),
            "mailboxes:write": _("Order and change mailboxes; this costs money"),
            "mailboxes:delete": _("Close mailboxes"),
            "passwords:write": _("Make and revoke app passwords, and so read mail"),
        },
    ),
    (
        _("How long mail stays"),
        {
            "retention:read": _("See retention rules"),
            "retention:write": _("Set retention rules, which remove mail"),
            "recovery:read": _("Search removed mail"),
            "recovery:write": _("Bring removed mail back"),
            "purge:read": _("See purges and their receipts"),
            "purge:cancel": _("Call off purges that are planned"),
        },
    ),
    (
        _("Money and data"),
        {
            "usage:read": _("See how much space was used"),
            "invoices:read": _("See invoices and credit notes"),
            "exports:read": _("Fetch exports, and follow imports"),
            "exports:write": _("Start exports and imports"),
        },
    ),
    (
        _("Events and keys"),
        {
            "events:read": _("Follow everything that happens"),
            "webhooks:write": _("Set to which addresses events are sent"),
            "keys:write": _("Make and revoke keys that may do no more than this one"),
            "audit:read": _("See who did what"),
        },
    ),
    (
        _("Holds"),
        {
            "holds:read": _("See what holds stop"),
            "holds:write": _("Stop all removal of mail, and release it"),
        },
    ),
)
IN_WORDS: Mapping[str, Promise] = {
    scope: words for _group, scopes in GROUPS for scope, words in scopes.items()
}
