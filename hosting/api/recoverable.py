"""Removed mail: found, brought back, or destroyed after the cooling-off."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

from django.conf import settings
from rest_framework import serializers

from hosting.api import cursors, mailboxes, pending_changes, restore_runs
from hosting.api.contract import Answer, Call, Match, operation
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, Text
from hosting.api.fields import Moment as MomentField
from hosting.api.listing import LONGEST_VALUE, limit_of, mark_of
from hosting.api.mailboxes import MAILBOX
from hosting.api.moments import Moment, moment_in, optional
from hosting.api.pending_changes import PendingChangeDocument
from hosting.api.problems import invalid, wrong_parameter
from hosting.api.restore_runs import RestoreRunDocument
from mailstore import cooling, onlookers, recovery
from mailstore.addresses import ADDRESS_OCTETS
from mailstore.engine import RemovedEntry, RemovedSearch, engine
from mailstore.origins import Origin
from mailstore.recovery import Recoverable

MOST_CHOSEN = 5000
# RFC 3501 has uids of 32 bits.
_HIGHEST_UID = 2**32 - 1
_PREFIX = "msg_"
_ID = re.compile(r"msg_[0-9A-Za-z_-]+\Z")
_PLACE = re.compile(r"([1-9][0-9]{0,9})/(.+)\Z", re.DOTALL)

SEARCH = {
    "folder": "From one folder.",
    "sender": "Whose sender contains this.",
    "subject": "Whose subject contains this.",
    "removed_since": "Removed at this moment or later.",
    "removed_before": "Removed before this moment.",
}
PARAMETERS = {
    "limit": "How many a page has, 1 to 200.",
    "cursor": "Where the page begins: `next_cursor` of the one before.",
    **SEARCH,
}


class RemovedByDocument(TypedDict):
    """Who removed a message. What the mail server's log did not tell is null."""

    kind: Literal["mail_program", "retention_rules"]
    protocol: str | None
    device: str | None
    address: str | None


class RemovedMessageDocument(TypedDict):
    """A removed message. Without `recoverable_until`, a hold, a freeze or closing keeps it."""

    object: Literal["removed_message"]
    id: str
    folder: str
    sender: str
    subject: str
    bytes: int
    removed_at: Moment
    removed_by: RemovedByDocument
    recoverable_until: Moment | None


class RemovedPageDocument(TypedDict):
    """One page of removed mail, the last removed first, and how much fits in all."""

    items: list[RemovedMessageDocument]
    next_cursor: str | None
    total_count: int


class MessageId(serializers.Field[tuple[str, int], Any, str, Any]):
    """The id of a removed message, as the list has it."""

    default_error_messages = {"invalid": "This is no id of a removed message."}

    def to_internal_value(self, data: Any) -> tuple[str, int]:
        """The folder, and the uid in its part of the store."""
        place = _place_in(data) if isinstance(data, str) else None
        if place is None:
            self.fail("invalid")
        return place


class RestoreBody(Body):
    """Which messages come back. What is not there any more is left out."""

    ids = serializers.ListField(child=MessageId(), min_length=1, max_length=MOST_CHOSEN)


class RollBackBody(Body):
    """The moment to which the mailbox goes back."""

    to = MomentField()


class EmptyBody(Body):
    """The mailbox's own address, so that no mistaken id destroys anything.

    With `ids` only these messages are destroyed, without all.
    """

    address = Text(max_length=ADDRESS_OCTETS)
    ids = serializers.ListField(
        child=MessageId(), min_length=1, max_length=MOST_CHOSEN, required=False
    )


def id_of(*, folder: str, uid: int) -> str:
    """The public id of a removed message: where it lies in its mailbox's store."""
    place = f"{uid}/{folder}".encode("utf-8", "surrogateescape")
    return _PREFIX + urlsafe_b64encode(place).decode("ascii").rstrip("=")


def _place_in(text: str) -> tuple[str, int] | None:
    if not _ID.match(text):
        return None
    body = text.removeprefix(_PREFIX)
    try:
        place = urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode("utf-8", "surrogateescape")
    except binascii.Error:
        return None
    found = _PLACE.match(place)
    if found is None or int(found[1]) > _HIGHEST_UID or not found[2].isprintable():
        return None
    return found[2], int(found[1])


class RemovedMail(Endpoint):
    """The recoverable mail of a mailbox."""

    @operation(
        name="list_recoverable",
        scope="recovery:read",
        gives=RemovedPageDocument,
        parameters=PARAMETERS,
        problems=("backend-unavailable",),
    )
    def get(self, call: Call, *, mailbox: UUID) -> Answer:
        """Search removed mail by sender, subject, folder and date; the last removed first."""
        found_mailbox = MAILBOX.load(call, mailbox)
        onlookers.note(actor=call.actor, mailbox=found_mailbox, at=call.at)
        mark = mark_of({**call.query, "mailbox": str(mailbox)}, ("mailbox", *SEARCH))
        found = recovery.listing(
            mailbox=found_mailbox,
            engine=engine(),
            search=_search(call.query),
            most=limit_of(call),
            after=_after(call.query.get("cursor"), mark=mark),
        )
        last = found.last
        place = None if last is None else (last.removed_at, last.uid, last.folder)
        page: RemovedPageDocument = {
            "items": [_document(row) for row in found.rows],
            "next_cursor": None if place is None else cursors.seal(place, mark=mark),
            "total_count": found.total,
        }
        return Answer(document=page)


def _search(query: Mapping[str, str]) -> RemovedSearch:
    texts = {name: _text(query, name) for name in ("folder", "sender", "subject")}
    return RemovedSearch(
        **texts, since=_moment(query, "removed_since"), until=_moment(query, "removed_before")
    )


def _text(query: Mapping[str, str], name: str) -> str:
    value = query.get(name, "")
    if not (value.isprintable() and len(value) <= LONGEST_VALUE):
        raise wrong_parameter(name, "This value cannot be looked for.")
    return value


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    moment = moment_in(query[name])
    if moment is None:
        raise wrong_parameter(name, "This is a moment such as 2026-11-03T14:00:00Z.")
    return moment


def _after(cursor: str | None, *, mark: str) -> RemovedEntry | None:
    if cursor is None:
        return None
    removed_at, uid, folder = cursors.unseal(cursor, mark=mark)
    return RemovedEntry(folder=folder, uid=uid, removed_at=removed_at)


def _document(row: Recoverable) -> RemovedMessageDocument:
    message = row.message
    return {
        "object": "removed_message",
        "id": id_of(folder=message.folder, uid=message.uid),
        "folder": message.folder,
        "sender": message.sender,
        "subject": message.subject,
        "bytes": message.bytes,
        "removed_at": Moment(message.removed_at),
        "removed_by": _removed_by(row.origin),
        "recoverable_until": optional(row.until),
    }


def _removed_by(origin: Origin) -> RemovedByDocument:
    return {
        "kind": "retention_rules" if origin.by_rules else "mail_program",
        "protocol": origin.protocol or None,
        "device": origin.device or None,
        "address": origin.address or None,
    }


_REFUSED = ("backend-unavailable", "limit-reached", "wrong-state")


class Restoring(Endpoint):
    """Chosen messages that come back."""

    @operation(
        name="restore_messages",
        scope="recovery:write",
        takes=RestoreBody,
        gives=RestoreRunDocument,
        status=202,
        problems=_REFUSED,
    )
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """Bring messages back, each to its own folder. The run shows how far it is."""
        run = recovery.restore(
            actor=call.actor,
            mailbox=MAILBOX.locked(call, mailbox),
            engine=engine(),
            chosen=call.asked["ids"],
            at=call.at,
        )
        return restore_runs.accepted(run)


class RollingBack(Endpoint):
    """A mailbox that goes back to a moment."""

    @operation(
        name="roll_back_mailbox",
        scope="recovery:write",
        takes=RollBackBody,
        gives=RestoreRunDocument,
        status=202,
        problems=_REFUSED,
    )
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """Bring back all that was removed since a moment, each to its own folder."""
        run = recovery.roll_back(
            actor=call.actor,
            mailbox=MAILBOX.locked(call, mailbox),
            engine=engine(),
            moment=call.asked["to"],
            at=call.at,
        )
        return restore_runs.accepted(run)


class Emptying(Endpoint):
    """The wish that removed mail be destroyed."""

    @operation(
        name="empty_recoverable",
        scope="recovery:write",
        takes=EmptyBody,
        gives=PendingChangeDocument,
        status=202,
        match=Match.REQUIRED,
        problems=("backend-unavailable", "hold-active", "wrong-state"),
    )
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """Have removed mail destroyed, all of it until now or some, unless that is called off."""
        found = MAILBOX.locked(call, mailbox, first=mailboxes.lock_owner)
        if cast("str", call.asked["address"]).lower() != found.address:
            raise invalid("/address", "This is not the address of this mailbox.", code="differs")
        wait = settings.COOLING_OFF
        if "ids" in call.asked:
            change = cooling.ask_to_destroy(
                actor=call.actor,
                mailbox=found,
                engine=engine(),
                chosen=call.asked["ids"],
                wait=wait,
                at=call.at,
            )
        else:
            change = cooling.ask_to_empty_store(
                actor=call.actor, mailbox=found, until=call.now, wait=wait, at=call.at
            )
        return pending_changes.accepted(change)
