"""What was recorded with a fact, with the words for it: what it was before, and what it is now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Event
from hosting import money
from hosting.history.people import role_text
from hosting.history.showing import harmless
from mailstore import quotas

_LONGEST = 300


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One value. `old` is None where only the present one is known."""

    label: str
    new: str
    old: str | None = None


def _plain(value: Any, _facts: Mapping[str, Any]) -> str:
    if value is None or value == "":
        return _("none")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {each}" for name, each in sorted(value.items())) or _("none")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or _("none")
    return str(value)


def _bytes(value: Any, facts: Mapping[str, Any]) -> str:
    return quotas.byte_text(value) if isinstance(value, int) else _plain(value, facts)


def _amount(value: Any, facts: Mapping[str, Any]) -> str:
    currency = facts.get("currency", "")
    if not isinstance(value, int):
        return _plain(value, facts)
    if currency not in money.EXPONENTS:
        return f"{value / 100:.2f}"
    return money.minor_text(value, currency=currency)


def _role(value: Any, facts: Mapping[str, Any]) -> str:
    return role_text(value) if isinstance(value, str) else _plain(value, facts)


def _days(value: Any, facts: Mapping[str, Any]) -> str:
    return (
        _("%(count)s days") % {"count": value} if isinstance(value, int) else _plain(value, facts)
    )


Shown = Callable[[Any, Mapping[str, Any]], str]
# Every name under which something is recorded: its words, and how its values are shown.
FIELDS: Mapping[str, tuple[Any, Shown]] = {
    "accent": (gettext_lazy("Colour"), _plain),
    "accent_dark": (gettext_lazy("Colour on dark pages"), _plain),
    "address": (gettext_lazy("Address"), _plain),
    "addresses": (gettext_lazy("Addresses"), _plain),
    "allows_imap": (gettext_lazy("IMAP"), _plain),
    "allows_pop": (gettext_lazy("POP"), _plain),
    "amount_minor": (gettext_lazy("Amount"), _amount),
    "answer": (gettext_lazy("Answer"), _plain),
    "app_passwords_only": (gettext_lazy("App passwords only"), _plain),
    "asked_by": (gettext_lazy("Asked by"), _plain),
    "audience": (gettext_lazy("For"), _plain),
    "browser": (gettext_lazy("Browser"), _plain),
    "by": (gettext_lazy("By way of"), _plain),
    "bytes": (gettext_lazy("Size"), _bytes),
    "cap_minor": (gettext_lazy("Spend cap"), _amount),
    "cause": (gettext_lazy("Cause"), _plain),
    "confirmed_by": (gettext_lazy("Confirmed by"), _plain),
    "corrects": (gettext_lazy("Corrected bill"), _plain),
    "country": (gettext_lazy("Country"), _plain),
    "currency": (gettext_lazy("Currency"), _plain),
    "day": (gettext_lazy("Step of day"), _plain),
    "days": (gettext_lazy("Removed after"), _days),
    "deed": (gettext_lazy("What"), _plain),
    "description": (gettext_lazy("Description"), _plain),
    "device": (gettext_lazy("Kind"), _plain),
    "devices": (gettext_lazy("Removed"), _plain),
    "domains": (gettext_lazy("Domains"), _plain),
    "due_at": (gettext_lazy("Due"), _plain),
    "duns_customers": (gettext_lazy("Reminds its customers"), _plain),
    "done": (gettext_lazy("Lines done"), _plain),
    "effective_at": (gettext_lazy("Takes effect"), _plain),
    "email": (gettext_lazy("E-mail"), _plain),
    "event_types": (gettext_lazy("Told of"), _plain),
    "expected": (gettext_lazy("Should be"), _plain),
    "external_ref": (gettext_lazy("Reference"), _plain),
    "failed": (gettext_lazy("Failed"), _plain),
    "folder": (gettext_lazy("Folder"), _plain),
    "former_is_lost": (gettext_lazy("Somebody else reads the former address"), _plain),
    "from": (gettext_lazy("From"), _plain),
    "hint": (gettext_lazy("Ends with"), _plain),
    "included_bytes": (gettext_lazy("Included"), _bytes),
    "is_staff": (gettext_lazy("Staff"), _plain),
    "is_active": (gettext_lazy("May sign in"), _plain),
    "is_superuser": (gettext_lazy("All rights"), _plain),
    "is_test": (gettext_lazy("For testing"), _plain),
    "label": (gettext_lazy("Name"), _plain),
    "labels": (gettext_lazy("Labels"), _plain),
    "last_address": (gettext_lazy("Last seen from"), _plain),
    "last_owner": (gettext_lazy("Last owner"), _plain),
    "left": (gettext_lazy("Left"), _plain),
    "legal_name": (gettext_lazy("Name on bills"), _plain),
    "logo": (gettext_lazy("Logo number"), _plain),
    "logo_id": (gettext_lazy("Logo number"), _plain),
    "mailboxes": (gettext_lazy("Mailboxes"), _plain),
    "messages": (gettext_lazy("Messages"), _plain),
    "moment": (gettext_lazy("Back to"), _plain),
    "month": (gettext_lazy("Month"), _plain),
    "monthly_price": (gettext_lazy("Per month"), _plain),
    "name": (gettext_lazy("Name"), _plain),
    "net_minor": (gettext_lazy("Spent so far"), _amount),
    "networks": (gettext_lazy("From where"), _plain),
    "new": (gettext_lazy("Now"), _plain),
    "next_on": (gettext_lazy("Next step on"), _plain),
    "now": (gettext_lazy("Now"), _plain),
    "old": (gettext_lazy("Before"), _plain),
    "open_minor": (gettext_lazy("Open"), _amount),
    "paid_minor": (gettext_lazy("Paid"), _amount),
    "payment_days": (gettext_lazy("Days to pay"), _plain),
    "percent": (gettext_lazy("Percent"), _plain),
    "period": (gettext_lazy("Month"), _plain),
    "place_letters": (gettext_lazy("Letters about devices"), _plain),
    "plan": (gettext_lazy("Plan"), _plain),
    "pools_storage": (gettext_lazy("Shares included space"), _plain),
    "previous_plan": (gettext_lazy("Plan before"), _plain),
    "price_list_id": (gettext_lazy("Price list number"), _plain),
    "problems": (gettext_lazy("Problems"), _plain),
    "product_name": (gettext_lazy("Product name"), _plain),
    "protocol": (gettext_lazy("Protocol"), _plain),
    "protocols": (gettext_lazy("Protocols"), _plain),
    "quota_bytes": (gettext_lazy("Limit"), _bytes),
    "reach": (gettext_lazy("For"), _plain),
    "reason": (gettext_lazy("Reason"), _plain),
    "receiving": (gettext_lazy("Receiving"), _plain),
    "receiving_below": (gettext_lazy("Receiving of customers"), _plain),
    "replaces": (gettext_lazy("In the place of"), _plain),
    "role": (gettext_lazy("Role"), _role),
    "lines": (gettext_lazy("Lines"), _plain),
    "rows": (gettext_lazy("Lines"), _plain),
    "scope": (gettext_lazy("What is held"), _plain),
    "scopes": (gettext_lazy("Allowed"), _plain),
    "sending": (gettext_lazy("Sending"), _plain),
    "sending_below": (gettext_lazy("Sending of customers"), _plain),
    "sentence": (gettext_lazy("In words"), _plain),
    "sessions": (gettext_lazy("Sessions ended"), _plain),
    "sign_in": (gettext_lazy("Signing in"), _plain),
    "sign_in_below": (gettext_lazy("Signing in of customers"), _plain),
    "starts_on": (gettext_lazy("From"), _plain),
    "state": (gettext_lazy("State"), _plain),
    "stopped": (gettext_lazy("Stopped"), _plain),
    "storage_price": (gettext_lazy("Per further GB"), _plain),
    "stored_bytes": (gettext_lazy("Mail in all"), _bytes),
    "support_email": (gettext_lazy("Support address"), _plain),
    "seen": (gettext_lazy("Found"), _plain),
    "support_url": (gettext_lazy("Support page"), _plain),
    "target": (gettext_lazy("Until"), _plain),
    "total_minor": (gettext_lazy("Total"), _amount),
    "tries": (gettext_lazy("Tries"), _plain),
    "trip_fewest": (gettext_lazy("Tripwire: fewest messages"), _plain),
    "trip_messages": (gettext_lazy("Tripwire: messages"), _plain),
    "trip_minutes": (gettext_lazy("Tripwire: minutes"), _plain),
    "trip_percent": (gettext_lazy("Tripwire: percent"), _plain),
    "tripwire": (gettext_lazy("Tripwire"), _plain),
    "until": (gettext_lazy("Until"), _plain),
    "url": (gettext_lazy("Address"), _plain),
    "usual_minor": (gettext_lazy("Usual"), _amount),
    "vat_id": (gettext_lazy("VAT id"), _plain),
    "was": (gettext_lazy("State before"), _plain),
    "whose": (gettext_lazy("Whose"), _plain),
    "window_days": (gettext_lazy("Can be brought back for"), _days),
}
# Numbers of things, and what is said by another value beside it.
UNSAID = frozenset(
    {
        "alarm",
        "changed",
        "delivery",
        "domain",
        "invoice",
        "kind",
        "mailbox",
        "next_day",
        "organisation",
        "policy_version",
        "problem",
        "receipt",
        "restore",
    }
)


def details(event: Event) -> list[Detail]:
    """What was recorded with it, in words; a value without words is told by its name."""
    return list(_details(event.data))


def _details(data: Mapping[str, Any]) -> Iterator[Detail]:
    for name, value in data.items():
        if name in UNSAID:
            continue
        label, shown = FIELDS.get(name, (name.replace("_", " "), _plain))
        old, new = (value["old"], value["new"]) if _is_change(value) else (None, value)
        yield Detail(
            label=str(label),
            new=_short(shown(new, data)),
            old=_short(shown(old, data)) if _is_change(value) else None,
        )


def _is_change(value: Any) -> bool:
    return isinstance(value, Mapping) and {"old", "new"} == set(value)


def _short(text: str) -> str:
    shown = harmless(text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
