"""What happened to a mailbox, in words instead of the codes of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as _later
from django.utils.translation import ngettext

from accounts.access import ActorKind
from accounts.models import Event
from mailstore import quotas


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One line of a history."""

    at: datetime
    text: str
    by: str


def told(event: Event) -> Happening:
    """An event whose kind stands in `SENTENCES`, as a person reads it."""
    sentence = SENTENCES[event.kind]
    text = sentence(event.data) if callable(sentence) else _(sentence)
    by_person = event.actor_kind == ActorKind.USER
    return Happening(
        at=event.at,
        text=text % {"name": event.subject_name} if "%(name)s" in text else text,
        by=event.actor_name if by_person else settings.HOUSE_NAME,
    )


def _updated(data: Mapping[str, Any]) -> str:
    if "quota_bytes" in data:
        old, new = (quotas.byte_text(data["quota_bytes"][key]) for key in ("old", "new"))
        return _("The limit was changed from {old} to {new}.").format(old=old, new=new)
    if "window_days" in data:
        return _("Removed mail can be brought back for {new} days instead of {old}.").format(
            **data["window_days"]
        )
    if "plan" in data:
        return _("From here on the new plan alone decides how long mail stays.")
    if "trip_messages" in data:
        return _("It was changed when the tripwire fires.")
    if "tripwire" in data:
        is_on = data["tripwire"] == "on"
        return _("The tripwire was switched on.") if is_on else _("The tripwire was switched off.")
    return _("The settings were changed.")


def _warned(data: Mapping[str, Any]) -> str:
    return _("{percent} % of the limit were reached; the owners were told.").format(**data)


def _planned(data: Mapping[str, Any]) -> str:
    count = data["messages"]
    text = ngettext(
        "{count} removed message was asked back.",
        "{count} removed messages were asked back.",
        count,
    )
    return text.format(count=count)


def _restored(data: Mapping[str, Any]) -> str:
    count = data["messages"]
    return ngettext("{count} message came back.", "{count} messages came back.", count).format(
        count=count
    )


def _switched(data: Mapping[str, Any]) -> str:
    return _("Mail is read by {new} instead of {old} from here on.").format(
        new=data["new"].upper(), old=data["old"].upper()
    )


def _plan_changed(data: Mapping[str, Any]) -> str:
    return _("The plan was changed from {old} to {new}.").format(**data)


# A kind that is missing here is not shown: no page ever shows a code.
SENTENCES: Mapping[str, str | Callable[[Mapping[str, Any]], str]] = {
    "mailbox.created": _later("The mailbox was ordered."),
    "mailbox.updated": _updated,
    "mailbox.plan_changed": _plan_changed,
    "mailbox.protocol_switched": _switched,
    "mailbox.suspended": _later("The mailbox was suspended: nobody could sign in."),
    "mailbox.resumed": _later("The mailbox was resumed."),
    "mailbox.closing": _later("The mailbox was closed."),
    "mailbox.restored": _later("The mailbox was opened again."),
    "mailbox.closed": _later("The mailbox was erased."),
    "mailbox.password_set": _later("A mailbox password was set."),
    "mailbox.password_removed": _later("The mailbox password was removed."),
    "mailbox.quota_warning": _warned,
    "mailbox.quota_exceeded": _later("The mailbox was full: new mail was put off."),
    "mailbox.quota_recovered": _later("There was room again: new mail came in."),
    "mailbox.restore_planned": _planned,
    "mailbox.mail_restored": _restored,
    "app_password.created": _later("An app password was made for “%(name)s”."),
    "app_password.widened": _later("The app password of “%(name)s” works by both protocols."),
    "app_password.revoked": _later("The app password of “%(name)s” was revoked."),
    "retention.policy_changed": _later("The rules about how long mail stays were changed."),
    "tripwire.fired": _later("Much was removed at once: the tripwire locked the mailbox."),
    "tripwire.answered": _later("The tripwire's question was answered."),
}
