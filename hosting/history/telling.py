"""Facts as a person reads them: one sentence, who it was, and what it was before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from accounts.access import ActorKind
from accounts.models import Event
from hosting.history.showing import harmless
from hosting.history.words import SENTENCES

# Their sentences do not say which.
_OF_MAILBOXES = ("mailbox", "app_password", "device", "retention", "tripwire", "purge")


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One line of a history."""

    at: datetime
    text: str
    by: str


def sentence_of(event: Event) -> str:
    """What happened, without to what; what cannot be told in words is told by its name."""
    try:
        sentence = SENTENCES[event.kind]
        text = sentence(event.data) if callable(sentence) else _(sentence)
    except (KeyError, TypeError, ValueError, AttributeError):
        # Another release recorded it, under another name or with other values.
        said = _("Something happened that this release has no words for (%(kind)s).")
        return said % {"kind": harmless(event.kind)}
    name = event.subject_name
    # An address of a webhook may hold what opens it, so only its host is told.
    host = urlsplit(name).hostname or "?" if "%(host)s" in text else ""
    return harmless(text.replace("%(name)s", name).replace("%(host)s", host))


def told(event: Event, *, house_name: str) -> Happening:
    """An event as a person reads it."""
    return Happening(at=event.at, text=sentence_of(event), by=who(event, house_name=house_name))


def who(event: Event, *, house_name: str) -> str:
    """Whoever did it: a person, a key by its name, or else the house."""
    if event.actor_kind == ActorKind.USER:
        return harmless(event.actor_name)
    if event.actor_kind == ActorKind.API_KEY:
        return _("API key “%(name)s”") % {"name": harmless(event.actor_name)}
    return house_name


def told_of_all(events: Iterable[Event], *, house_name: str) -> list[Happening]:
    """Events of many things as a person reads them, each with what it happened to.

    What no sentence tells of is left out.
    """
    return [
        replace(told(event, house_name=house_name), text=with_subject(event))
        for event in events
        if event.kind in SENTENCES
    ]


def with_subject(event: Event) -> str:
    """What happened, and to which mailbox if it happened to one."""
    text = sentence_of(event)
    if event.kind.partition(".")[0] not in _OF_MAILBOXES:
        return text
    return f"{harmless(event.data.get('address', event.subject_name))}: {text}"
