"""Finding one thing among all there are, by how it begins or by an id: one statement, by indexes.

There is no looking into the middle of words: behind a million rows that reads every one of them.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import CharField, F, Model, Q, QuerySet, Value
from django.db.models.functions import Cast, Lower

from accounts import keys
from accounts.models import ApiKey, Event, Organisation, User
from hosting import feed, gathering, public_ids
from hosting.models import Invoice, WebhookDelivery, WebhookEndpoint
from mailstore.models import Alarm, AppPassword, Domain, Hold, Mailbox, PendingChange, PurgeRun

MOST_OF_A_KIND = 8
LONGEST = 254
_PUBLIC_ID = re.compile(rf"[a-z]{{3}}_{public_ids.PATTERN}")
_HIGHEST_CHARACTER = "\U0010ffff"
_TO_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class _Kind(NamedTuple):
    """One kind of thing: its table, how a hit is called, whose it is, and how it stands."""

    model: type[Model]
    title: str
    owner: str = ""
    state: str = ""
    # In public ids; empty where there are none, or where they are no UUIDs.
    prefix: str = ""


KINDS: Mapping[str, _Kind] = {
    "organisation": _Kind(Organisation, "name", "parent__name", "state", "org"),
    "domain": _Kind(Domain, "name", "organisation__name", "state", "dom"),
    "mailbox": _Kind(Mailbox, "address", "organisation__name", "state", "mbx"),
    "user": _Kind(User, "email", "name"),
    "invoice": _Kind(Invoice, "number", "customer__name", "kind", "inv"),
    "api_key": _Kind(ApiKey, "label", "organisation__name", prefix="key"),
    "app_password": _Kind(AppPassword, "label", "mailbox__address", prefix="pwd"),
    "alarm": _Kind(Alarm, "reason", "mailbox__address", "answer", "alm"),
    "hold": _Kind(Hold, "matter", "", "", "hld"),
    "change": _Kind(PendingChange, "sentence", "organisation__name", "state", "chg"),
    "purge_run": _Kind(PurgeRun, "kind", "mailbox__address", "state", "prg"),
    "endpoint": _Kind(WebhookEndpoint, "url", "organisation__name", "state", "whe"),
    "delivery": _Kind(WebhookDelivery, "event_type", "endpoint__url", "state", "whd"),
    "event": _Kind(Event, "kind", "subject_name", "actor_name"),
}
_WITH_UUID = tuple(name for name, kind in KINDS.items() if kind.prefix)


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One row that was found; everything about it is text."""

    kind: str
    key: str
    title: str
    owner: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Hits of one kind, those that match as a whole first."""

    kind: str
    hits: list[Hit]
    has_more: bool


def find(*, text: str, may: Callable[[str], bool]) -> list[Group]:
    """What begins like the text, or is named by it, of the kinds that somebody may look at."""
    wanted = plain(text)
    if not wanted:
        return []
    parts = [
        _part(name, condition)
        for name, condition in _conditions(wanted)
        if may(permission(KINDS[name].model))
    ]
    return _groups(gathering.rows(parts))


def plain(text: str) -> str:
    """What is looked for: PostgreSQL takes no text with a null character."""
    return " ".join(text.replace("\0", "").split())[:LONGEST]


def permission(model: type[Model]) -> str:
    """The right to look at such rows."""
    return f"{model._meta.app_label}.view_{model._meta.model_name}"  # noqa: SLF001  # It is public.


def _conditions(text: str) -> Iterable[tuple[str, Q]]:
    if _PUBLIC_ID.fullmatch(text.lower()):
        return _by_public_id(text.lower())
    uuid = _uuid(text)
    if uuid is not None:
        return [(name, Q(uuid=uuid)) for name in _WITH_UUID]
    if keys.is_well_formed(text):
        # Somebody found a key lying about, and asks whose it is.
        return [("api_key", Q(digest=keys.digest(text)))]
    return _by_words(text)


def _by_public_id(text: str) -> Iterable[tuple[str, Q]]:
    prefix = text[:3]
    if prefix == "evt":
        return _by_event(text)
    if prefix == "crn":
        prefix = "inv"
    uuid = UUID(text[4:])
    return [(name, Q(uuid=uuid)) for name, kind in KINDS.items() if kind.prefix == prefix]


def _by_event(text: str) -> Iterable[tuple[str, Q]]:
    try:
        return [("event", Q(pk=feed.names().decode(text)))]
    except public_ids.NoSuchId:
        return []


def _by_words(text: str) -> Iterable[tuple[str, Q]]:
    """The whole first, then the beginning: so that what was meant is never cut off."""
    lower = text.lower()
    host = _host(lower)
    is_address = "@" in lower
    whole: list[tuple[str, Q]] = [
        # A name without its host is whole as well: everybody called so comes first.
        ("mailbox", Q(address=_address(lower)) if is_address else _begins("address", f"{lower}@")),
        ("user", Q(email=lower) if is_address else _begins("email", f"{lower}@")),
        ("domain", Q(name=host)),
        ("organisation", _name(text, "exact")),
        ("organisation", Q(external_ref=text)),
        ("invoice", Q(number=text) | Q(number=text.upper())),
    ]
    begun: list[tuple[str, Q]] = [
        ("mailbox", _begins("address", lower)),
        ("user", _begins("email", lower)),
        ("domain", _begins("name", host)),
        ("organisation", _name(text, "begins")),
        ("invoice", _begins("number", text) | _begins("number", text.upper())),
    ]
    hint = text.removeprefix("…")
    ends = [("api_key", Q(hint=hint))] if len(hint) == keys.HINT_LENGTH else []
    return [*whole, *begun, *ends]


def _name(text: str, way: str) -> Q:
    """By a name in any case. SQLite lowers ASCII alone, so what is compared is lowered alike."""
    is_sqlite = connections[DEFAULT_DB_ALIAS].vendor == "sqlite"
    lower = text.translate(_TO_ASCII_LOWER) if is_sqlite else text.lower()
    return Q(lower_name=lower) if way == "exact" else _begins("lower_name", lower)


def _begins(field: str, text: str) -> Q:
    """Rows whose field begins so, in the words that make the database take an index."""
    if connections[DEFAULT_DB_ALIAS].vendor == "sqlite":
        return Q(**{f"{field}__gte": text, f"{field}__lt": text + _HIGHEST_CHARACTER})
    return Q(**{f"{field}__startswith": text})


def _part(name: str, condition: Q) -> QuerySet[Any, Any]:
    kind = KINDS[name]
    rows: QuerySet[Any, Any] = kind.model._default_manager.all()  # noqa: SLF001  # Django's way
    if name == "organisation":
        rows = rows.annotate(lower_name=Lower("name"))
    columns = {
        "a_kind": Value(name, output_field=CharField()),
        "a_key": Cast(F("pk"), CharField()),
        "a_title": Cast(F(kind.title), CharField()),
        "a_owner": _text(kind.owner),
        "a_state": _text(kind.state),
    }
    found = rows.filter(condition).annotate(**columns).order_by()
    values: QuerySet[Any, Any] = found.values_list(*columns)[: MOST_OF_A_KIND + 1]
    return values


def _text(field: str) -> Any:
    return Cast(F(field), CharField()) if field else Value("", output_field=CharField())


def _groups(rows: Iterable[tuple[Any, ...]]) -> list[Group]:
    hits: dict[str, dict[str, Hit]] = {}
    for kind, key, title, owner, state in rows:
        found = hits.setdefault(kind, {})
        found.setdefault(
            key, Hit(kind=kind, key=key, title=title, owner=owner or "", state=state or "")
        )
    return [
        Group(
            kind=kind,
            hits=list(hits[kind].values())[:MOST_OF_A_KIND],
            has_more=len(hits[kind]) > MOST_OF_A_KIND,
        )
        for kind in KINDS
        if kind in hits
    ]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _host(text: str) -> str:
    """A domain as it is stored, also where it is written with letters beyond ASCII."""
    try:
        return text if text.isascii() else text.encode("idna").decode("ascii")
    except UnicodeError:
        return text


def _address(text: str) -> str:
    name, at, host = text.rpartition("@")
    return f"{name}{at}{_host(host)}"
