"""Ids in the audit log: typed and opaque, as everywhere in the API, whatever was recorded.

Facts are recorded with the UUIDs of things, and with the keys of rows where there is no UUID, such
as of people. Plans, their rules and host names have names that people chose; those stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.access import ActorKind
from accounts.models import Event
from hosting import public_ids
from hosting.feed import Names

# What a fact can be about, by the kind of its subject, with the prefix of the id outside.
BY_UUID: Mapping[str, str] = {
    "alarm": "alm",
    "api_key": "key",
    "app_password": "pwd",
    "bulk_request": "blk",
    "clock_advance": "opn",
    "device": "dev",
    "domain": "dom",
    "dunning": "dun",
    "export": "exp",
    "hold": "hld",
    "import": "imp",
    "invitation": "ivt",
    "invoice": "inv",
    "mailbox": "mbx",
    "organisation": "org",
    "payment": "pay",
    "pending_change": "chg",
    "purge_run": "prg",
    "restore_run": "rst",
    "visit": "vis",
    "webhook_endpoint": "whe",
}
BY_KEY: Mapping[str, str] = {
    "notice": "ntc",
    "price": "prc",
    "price_list": "prl",
    "user": "usr",
    "vat_rate": "vat",
}
BY_NAME = ("panel_host", "plan", "retention_policy")
# A credit note is recorded as the invoice that it is in the books.
_CREDITED = "invoice.credited"
# Values of facts that hold the UUID of a thing.
IN_FACTS: Mapping[str, str] = {
    "alarm": "alm",
    "domain": "dom",
    "invoice": "inv",
    "mailbox": "mbx",
    "organisation": "org",
    "receipt": "prg",
    "restore": "rst",
}
_ACTORS = {"usr": ActorKind.USER, "key": ActorKind.API_KEY}
_TYPED = re.compile(r"[a-z]{3}_[0-9a-f]{32}")
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")
_NAME = re.compile(r"(?=.*[a-z])[a-z0-9][a-z0-9._-]*")
_KINDS_BY_UUID = {prefix: kind for kind, prefix in BY_UUID.items()}
_KINDS_BY_KEY = {prefix: kind for kind, prefix in BY_KEY.items()}
_NO_SUBJECT = "An id such as mbx_…, or the name of a plan, as an entry has it."
# What the filters take, for the OpenAPI document.
ACTOR_PATTERN = rf"^(usr|key)_{public_ids.PATTERN}$"


def actor_id(event: Event, *, names: Names) -> str | None:
    """Who did it; the house itself has no id."""
    if event.actor_kind == ActorKind.API_KEY:
        return _of_uuid("key", event.actor_id)
    return _of_key("usr", event.actor_id, names=names) if _is_person(event) else None


def _is_person(event: Event) -> bool:
    return event.actor_kind == ActorKind.USER


def subject_id(event: Event, *, names: Names) -> str:
    """What it was done to."""
    if event.kind == _CREDITED:
        return _of_uuid("crn", event.subject_id)
    if (prefix := BY_UUID.get(event.subject_kind)) is not None:
        return _of_uuid(prefix, event.subject_id)
    if (prefix := BY_KEY.get(event.subject_kind)) is not None:
        return _of_key(prefix, event.subject_id, names=names)
    return event.subject_id


def facts(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What was recorded, with public ids in place of UUIDs."""
    return {
        name: _of_uuid(IN_FACTS[name], value)
        if name in IN_FACTS and isinstance(value, str)
        else value
        for name, value in recorded.items()
    }


def _of_uuid(prefix: str, text: str) -> str:
    """The public id; what is no UUID is told as it was recorded, for nothing here is left out."""
    if _UUID.fullmatch(text) is None:
        return text
    return public_ids.encode(prefix, UUID(text))


def _of_key(prefix: str, text: str, *, names: Names) -> str:
    is_key = text.isascii() and text.isdecimal()
    return names.encode_of(prefix, int(text)) if is_key else text


def by_actor(text: str, *, names: Names) -> Q:
    """Facts of one person or key; raises `ValueError` for what is no id of one."""
    kind = _ACTORS.get(text[:3])
    if kind is None or _TYPED.fullmatch(text) is None:
        message = "An id such as usr_… or key_…; `actor_kind=system` finds what the house did."
        raise ValueError(message)
    recorded = str(_uuid_in(text)) if kind is ActorKind.API_KEY else _key_in(text, names=names)
    return Q(actor_kind=kind, actor_id=recorded)


def by_subject(text: str, *, names: Names) -> Q:
    """Facts about one thing; raises `ValueError` for what nothing here can be named."""
    if _TYPED.fullmatch(text) is None:
        return _by_name(text)
    prefix = text[:3]
    if prefix in _KINDS_BY_UUID:
        found = Q(subject_kind=_KINDS_BY_UUID[prefix], subject_id=str(_uuid_in(text)))
        return found & ~Q(kind=_CREDITED) if prefix == "inv" else found
    if prefix == "crn":
        return Q(kind=_CREDITED, subject_id=str(_uuid_in(text)))
    if prefix in _KINDS_BY_KEY:
        return Q(subject_kind=_KINDS_BY_KEY[prefix], subject_id=_key_in(text, names=names))
    raise ValueError(_NO_SUBJECT)


def _by_name(text: str) -> Q:
    is_broken_id = text[:3] in public_ids.KINDS and text[3:4] == "_"
    if is_broken_id or _NAME.fullmatch(text) is None or _UUID.fullmatch(text) is not None:
        raise ValueError(_NO_SUBJECT)
    return Q(subject_kind__in=BY_NAME, subject_id=text)


def _uuid_in(text: str) -> UUID:
    return public_ids.decode(text[:3], text)


def _key_in(text: str, *, names: Names) -> str:
    """The key of a row as it was recorded; an id that is nobody's finds nothing."""
    try:
        return str(names.decode_of(text[:3], text))
    except public_ids.NoSuchId:
        return ""
