"""What each role of the staff may see and change on the staff pages, model by model.

Verbs hold everybody to `accounts.access`; this table says which pages, fields and buttons are
shown at all. What does not stand here is for operators alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accounts.access import ROLE_CAPABILITIES, Capability

_SEE, _SEE_MAIL, _MAIL = Capability.SEE, Capability.SEE_MAIL, Capability.MANAGE_MAIL
_PEOPLE, _KEYS, _HOUSE = Capability.MANAGE_PEOPLE, Capability.MANAGE_KEYS, Capability.RUN_HOUSE
_SEE_BILLS, _BILLS = Capability.SEE_BILLS, Capability.MANAGE_BILLS


@dataclass(frozen=True, kw_only=True)
class Need:
    """What is needed to see such rows, and to add, change or act on them."""

    see: Capability
    change: Capability


_MONEY = Need(see=_SEE_BILLS, change=_BILLS)
_OF_MAIL = Need(see=_SEE_MAIL, change=_MAIL)
_OF_HOUSE = Need(see=_SEE_MAIL, change=_HOUSE)

NEEDS: Mapping[str, Need] = {
    "accounts.organisation": Need(see=_SEE, change=_PEOPLE),
    # Whoever sets the address or password of somebody can be that person: money, keys and all.
    # Support asks people in and out on the pages of their organisations.
    "accounts.user": Need(see=_SEE, change=_HOUSE),
    # From where people come is for those who help with mail and people.
    "accounts.signedin": Need(see=_SEE_MAIL, change=_PEOPLE),
    "accounts.event": Need(see=_SEE_MAIL, change=_HOUSE),
    "accounts.checkpoint": _OF_HOUSE,
    "accounts.factorloss": Need(see=_SEE, change=_HOUSE),
    "accounts.visit": _OF_MAIL,
    "accounts.eventcheck": _OF_HOUSE,
    "accounts.apikey": Need(see=_SEE_MAIL, change=_KEYS),
    "accounts.notice": Need(see=_SEE, change=_SEE),
    "accounts.setback": Need(see=_SEE_MAIL, change=_HOUSE),
    "mailstore.alarm": _OF_MAIL,
    "mailstore.apppassword": _OF_MAIL,
    "mailstore.device": _OF_MAIL,
    "mailstore.domain": _OF_MAIL,
    "mailstore.drift": _OF_HOUSE,
    "mailstore.guessingalarm": _OF_MAIL,
    "mailstore.hold": _OF_HOUSE,
    "mailstore.mailbox": _OF_MAIL,
    "mailstore.pendingchange": _OF_MAIL,
    "mailstore.protocolswitch": _OF_MAIL,
    "mailstore.purgerun": _OF_HOUSE,
    "mailstore.quotawarning": _OF_MAIL,
    "mailstore.recount": _OF_HOUSE,
    "mailstore.removal": _OF_MAIL,
    "mailstore.restorerun": _OF_MAIL,
    "mailstore.restriction": Need(see=_SEE, change=_PEOPLE),
    "mailstore.retentionpolicy": _OF_HOUSE,
    "mailstore.signin": _OF_MAIL,
    "hosting.bankimport": _MONEY,
    "hosting.billingprofile": _MONEY,
    "hosting.brand": Need(see=_SEE, change=_HOUSE),
    # Each request is seen by those who may look at what it changes, and changed by no page.
    "hosting.bulkrequest": Need(see=_SEE, change=_SEE),
    "hosting.clockadvance": _OF_HOUSE,
    "hosting.contract": Need(see=_SEE, change=_HOUSE),
    "hosting.dunning": _MONEY,
    "hosting.heldoverage": _MONEY,
    "hosting.invoice": _MONEY,
    "hosting.ledgerentry": _MONEY,
    "hosting.mailboximport": _OF_MAIL,
    "hosting.monthclose": _MONEY,
    "hosting.openitem": _MONEY,
    "hosting.panelhost": Need(see=_SEE, change=_HOUSE),
    "hosting.payment": _MONEY,
    "hosting.plan": Need(see=_SEE, change=_HOUSE),
    "hosting.planchange": Need(see=_SEE, change=_HOUSE),
    "hosting.price": _MONEY,
    "hosting.pricelist": _MONEY,
    "hosting.providerevent": _MONEY,
    "hosting.refund": _MONEY,
    "hosting.vatrate": _MONEY,
    "hosting.webhookdelivery": Need(see=_SEE_MAIL, change=_KEYS),
    "hosting.webhookendpoint": Need(see=_SEE_MAIL, change=_KEYS),
}


# What Django asks for; anything else that a page asks for is for operators.
_VERBS = frozenset({"view", "add", "change", "delete"})


def permits(role: str, permission: str) -> bool:
    """Whether a role of the staff has one of Django's permissions, as `hosting.view_invoice`."""
    app, _dot, codename = permission.partition(".")
    verb, _line, model = codename.partition("_")
    allowed = ROLE_CAPABILITIES.get(role, frozenset[Capability]())
    need = NEEDS.get(f"{app}.{model}")
    if need is None or verb not in _VERBS:
        return Capability.RUN_HOUSE in allowed
    return (need.see if verb == "view" else need.change) in allowed


def sees_any(role: str, app: str) -> bool:
    """Whether a role sees rows of any model of an app."""
    return any(
        permits(role, f"{app}.view_{label.partition('.')[2]}")
        for label in NEEDS
        if label.startswith(f"{app}.")
    )
