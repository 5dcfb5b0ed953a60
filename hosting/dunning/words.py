"""What steps do, in words that the customer, its people and staff all read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from hosting.steps import Action

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

NAMES: Mapping[Action, StrOrPromise] = MappingProxyType(
    {
        Action.MAIL: _("Reminder"),
        Action.LIMIT: _("Sending limited"),
        Action.READ_ONLY: _("Read only"),
        Action.PUT_OFF: _("New mail waits"),
        Action.CLOSE: _("Closed"),
    }
)
_NOW: Mapping[Action, StrOrPromise] = MappingProxyType(
    {
        Action.MAIL: _("Everything works as before."),
        Action.LIMIT: _("Sending is limited. Mail arrives and is read as before."),
        Action.READ_ONLY: _(
            "Mail can be read, but not changed or removed, and sending is limited. New mail "
            "goes on arriving."
        ),
        Action.PUT_OFF: _(
            "New mail is put off: it waits at its senders, who try again for some days. What "
            "is there can be read. Nothing can be sent."
        ),
        Action.CLOSE: _(
            "All mailboxes are closed. Nobody signs in, and new mail goes back to its senders."
        ),
    }
)


# Said of each step that limits or stops sending, as long as it does so in name only.
_NO_SENDING = _(
    "This house takes no mail from programs yet: what is sent by another server goes on."
)


def day_text(day: date) -> str:
    """`3 March 2026`."""
    return f"{day:%-d %B %Y}"


def effect(action: Action) -> str:
    """What holds once a step was taken."""
    text = str(_NOW[action])
    if action in {Action.LIMIT, Action.READ_ONLY, Action.PUT_OFF}:
        return f"{text} {_NO_SENDING}"
    if action is not Action.CLOSE:
        return text
    back = gettext("For %(days)s days payment brings all back; then it is erased for good.")
    return f"{text} {back % {'days': settings.CLOSING_GRACE.days}}"


def effect_below(stops: Mapping[str, str]) -> str:
    """What holds for the customers of a reseller."""
    if stops.get("sign_in_below") == "shut":
        return gettext("Nobody can sign in for now.")
    if stops.get("receiving_below") == "put_off":
        return gettext(
            "New mail is put off: it waits at its senders, who try again for some days. What is "
            "there can be read."
        )
    if stops.get("sign_in_below") == "read_only":
        return gettext("Mail can be read, but not changed or removed. New mail goes on arriving.")
    if stops.get("sending_below"):
        return f"{_NOW[Action.LIMIT]} {_NO_SENDING}"
    return gettext("Everything works as before.")
