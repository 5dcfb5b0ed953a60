"""What can be asked of the activity, and one page of the answer.

Pages go by moment and key, so that the last of a million costs no more than the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, ActorKind, Capability, Standing
from accounts.models import Event, Organisation, below
from hosting import history
from mailstore.models import Mailbox

PAGE_LENGTH = 50
_LONGEST = 320
_HIGHEST = 2**63 - 1
_LOOKS_BACK = (timedelta(days=1), timedelta(days=30))
# Somebody who acted from outside of the organisation: its seller, staff, or a guest.
_OUTSIDE = (Standing.ABOVE, Standing.STAFF, Standing.VISIT)
WHO: Mapping[str, tuple[Any, Q]] = {
    "people": (
        _("Our own people"),
        Q(actor_kind=ActorKind.USER, visit=None) & ~Q(standing__in=_OUTSIDE),
    ),
    "outside": (_("Seller or staff"), Q(standing__in=_OUTSIDE) | Q(visit__isnull=False)),
    "keys": (_("Keys and programs"), Q(actor_kind=ActorKind.API_KEY)),
    "house": (_("Nobody: it happened by itself"), Q(actor_kind=ActorKind.SYSTEM)),
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for. Whatever makes no sense in an address is left out."""

    who: str = ""
    # A part of an e-mail address, or of a key's name.
    name: str = ""
    what: str = ""
    mailbox: str = ""
    organisation: UUID | None = None
    # Whole days in UTC, both included.
    first: date | None = None
    last: date | None = None

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> Wanted:
        """Read the parameters of an address."""
        return cls(
            who=asked.get("who", "") if asked.get("who") in WHO else "",
            name=_text(asked.get("name", "")),
            what=asked.get("what", "") if asked.get("what") in history.GROUPS else "",
            mailbox=_text(asked.get("mailbox", "")).lower(),
            organisation=_uuid(asked.get("organisation", "")),
            first=_day(asked.get("from", "")),
            last=_day(asked.get("until", "")),
        )

    @property
    def is_anything(self) -> bool:
        """Whether something is left out by it."""
        return self != Wanted()

    def query(self, **more: str) -> str:
        """The same as an address says it."""
        said = {
            "who": self.who,
            "name": self.name,
            "what": self.what,
            "mailbox": self.mailbox,
            "organisation": str(self.organisation or ""),
            "from": str(self.first or ""),
            "until": str(self.last or ""),
            **more,
        }
        return urlencode({name: value for name, value in said.items() if value})


def found(actor: Actor, wanted: Wanted) -> QuerySet[Event]:
    """What the actor may read of it, newest first."""
    events = _visible(actor, wanted)
    if wanted.who:
        events = events.filter(WHO[wanted.who][1])
    if wanted.name:
        events = events.filter(actor_name__icontains=wanted.name)
    if wanted.what:
        events = events.filter(kind__in=history.GROUPS[wanted.what][1])
    if wanted.first:
        events = events.filter(at__gte=_midnight(wanted.first))
    if wanted.last:
        events = events.filter(at__lt=_midnight(wanted.last) + timedelta(days=1))
    return events.order_by("-at", "-seq").select_related("organisation", "visit")


def page(
    events: QuerySet[Event], *, after: str, looks_back_from: datetime | None = None
) -> tuple[list[Event], str]:
    """Fifty of them, and behind which place the next page begins, or nothing.

    `looks_back_from` is now, where they are of many organisations.
    """
    place = _place(after)
    if place is not None:
        at, seq = place
        events = events.filter(Q(at__lt=at) | Q(at=at, seq__lt=seq), at__lte=at)
    if looks_back_from is None:
        rows = list(events[: PAGE_LENGTH + 1])
    else:
        rows = _newest(events, before=min(place[0], looks_back_from) if place else looks_back_from)
    if len(rows) <= PAGE_LENGTH:
        return rows, ""
    last = rows[PAGE_LENGTH - 1]
    return rows[:PAGE_LENGTH], f"{last.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}~{last.seq}"


def _newest(events: QuerySet[Event], *, before: datetime) -> list[Event]:
    """One more than a page, from the last day or, if that is too little, from further back.

    So those of two thousand organisations are never put in order as a whole.
    """
    for span in _LOOKS_BACK:
        rows = list(events.filter(at__gte=_back(before, span))[: PAGE_LENGTH + 1])
        if len(rows) > PAGE_LENGTH:
            return rows
    return list(events[: PAGE_LENGTH + 1])


def _back(before: datetime, span: timedelta) -> datetime:
    first = datetime.min.replace(tzinfo=UTC)
    return before - span if before - first > span else first


def organisations_of(actor: Actor) -> QuerySet[Organisation]:
    """Whose activity the actor may read, by name."""
    return Organisation.objects.visible_to(actor).order_by("name", "pk")


def _visible(actor: Actor, wanted: Wanted) -> QuerySet[Event]:
    """Events of the actor's tree and mode; those about money where the actor may see bills."""
    events = Event.objects.in_mode_of(actor)
    whose = _only(actor, wanted)
    if wanted.mailbox:
        # Whoever sees a mailbox sees what is about it, and no other condition is in the way
        # of the index.
        events = events.about(*_mailboxes(actor, wanted))
    elif len(whose) == 1:
        # One equals sign, so that the index by organisation and moment gives the page.
        events = events.filter(organisation_id=whose[0])
    elif whose:
        events = events.filter(organisation_id__in=whose)
    elif wanted.organisation:
        return events.none()
    else:
        events = events.visible_to(actor)
    return events.filter(readable(actor, whose=whose))


def readable(actor: Actor, *, whose: Sequence[int] = ()) -> Q:
    """A condition on facts of the actor's tree: those of kinds that its role shows.

    `whose` names the organisations, by key, where they are known.
    """
    of_money = _sees(history.MONEY, Capability.SEE_BILLS, actor=actor, whose=whose)
    return of_money & _sees(history.MAIL, Capability.SEE_MAIL, actor=actor, whose=whose)


def _only(actor: Actor, wanted: Wanted) -> list[int]:
    """The keys of the organisations it is about, as far as they can be named."""
    if wanted.organisation:
        chosen = Organisation.objects.visible_to(actor).filter(uuid=wanted.organisation)
        return list(chosen.values_list("pk", flat=True))
    if actor.is_staff or actor.seller_ids:
        return []
    return sorted(actor.organisation_ids)


def _sees(kinds: frozenset[str], needed: Capability, *, actor: Actor, whose: Sequence[int]) -> Q:
    """These kinds of facts are for roles that allow something; all others are for everybody."""
    able = actor.only_with(needed)
    if able.is_staff:
        return Q()
    if not able.organisation_ids:
        return ~Q(kind__in=kinds)
    if not actor.is_staff and able.organisation_ids == actor.organisation_ids:
        return Q()
    if set(whose) and set(whose) <= able.organisation_ids:
        return Q()
    return ~Q(kind__in=kinds) | below(able, "organisation__")


def _mailboxes(actor: Actor, wanted: Wanted) -> list[str]:
    """The ids of those that have or had the address."""
    known = Mailbox.objects.visible_to(actor).filter(address=wanted.mailbox)
    if wanted.organisation:
        known = known.filter(organisation__uuid=wanted.organisation)
    return [str(uuid) for uuid in known.values_list("uuid", flat=True)]


def _text(text: str) -> str:
    # PostgreSQL takes no text with a null character.
    return text.replace("\0", "").strip()[:_LONGEST]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    # A day more than the last one that there is cannot be counted to.
    return datetime.combine(min(day, date.max - timedelta(days=2)), time(), tzinfo=UTC)


def _place(text: str) -> tuple[datetime, int] | None:
    moment, _tilde, key = text.partition("~")
    if not (key.isascii() and key.isdecimal() and int(key[:20]) <= _HIGHEST):
        return None
    try:
        return datetime.fromisoformat(moment).replace(tzinfo=UTC), int(key[:20])
    except ValueError:
        return None
