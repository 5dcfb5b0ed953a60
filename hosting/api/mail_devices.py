"""Devices of a mailbox and the history of its sign-ins, as programs read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from hosting import public_ids
from hosting.api import mailboxes
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.filters import by_choice
from hosting.api.listing import Filter, Listing
from hosting.api.moments import Moment, optional
from hosting.public_ids import NoSuchId
from mailstore import copies, onlookers
from mailstore.copies import Habit
from mailstore.engine import MAILBOX_PASSWORD
from mailstore.models import Device, Mailbox, Place, SignIn

ProtocolName = Literal["pop", "imap"]
CredentialName = Literal["app_password", "mailbox_password"]
OutcomeName = Literal["signed_in", "wrong_password", "refused", "wrong_network", "throttled"]
HabitName = Literal["unknown", "looks", "removes", "keeps"]


class CredentialIds(TypedDict):
    """What was signed in with; both null where a try failed before that was known."""

    credential: CredentialName | None
    app_password_id: str | None


class SignInDocument(CredentialIds):
    """What one credential did from one address in one hour, or how tries from there failed.

    `count` is of sign-ins or of tries. Messages are those of sessions that ended in the hour.
    Without an address, it stands for many from which tries failed.
    """

    object: Literal["sign_ins"]
    mailbox_id: str
    hour_at: Moment
    protocol: ProtocolName | None
    address: str | None
    outcome: OutcomeName
    first_at: Moment
    last_at: Moment
    count: int
    without_tls_count: int
    last_session: str | None
    sessions_ended: int
    messages_fetched: int
    messages_glanced_at: int
    messages_removed: int


class DeviceDocument(CredentialIds):
    """A program, by what it signs in with and its protocol.

    `copies` says of POP what it does with messages that it has fetched. `is_asked_about` is true
    while its owner has not said whether a new place of it is known.
    """

    object: Literal["device"]
    id: str
    mailbox_id: str
    protocol: ProtocolName
    first_seen_at: Moment
    last_seen_at: Moment
    last_address: str
    sign_in_count: int
    last_removed_at: Moment | None
    copies: HabitName | None
    is_asked_about: bool


def _credential_ids(credential: str) -> CredentialIds:
    if credential in {"", MAILBOX_PASSWORD}:
        return {
            "credential": "mailbox_password" if credential else None,
            "app_password_id": None,
        }
    return {
        "credential": "app_password",
        "app_password_id": public_ids.encode("pwd", UUID(hex=credential)),
    }


def _sign_ins(mailbox: Mailbox, found: Sequence[SignIn]) -> list[SignInDocument]:
    mailbox_id = public_ids.encode("mbx", mailbox.uuid)
    return [
        {
            **_credential_ids(row.credential),
            "object": "sign_ins",
            "mailbox_id": mailbox_id,
            "hour_at": Moment(row.hour_at),
            "protocol": cast("ProtocolName | None", row.protocol or None),
            "address": row.address or None,
            "outcome": cast("OutcomeName", row.outcome),
            "first_at": Moment(row.first_at),
            "last_at": Moment(row.last_at),
            "count": row.sign_ins,
            "without_tls_count": row.without_tls,
            "last_session": row.session or None,
            "sessions_ended": row.ended,
            "messages_fetched": row.fetched,
            "messages_glanced_at": row.glanced,
            "messages_removed": row.removed,
        }
        for row in found
    ]


def _devices(mailbox: Mailbox, at: datetime, found: Sequence[Any]) -> list[DeviceDocument]:
    mailbox_id = public_ids.encode("mbx", mailbox.uuid)
    habits = copies.evidence(mailbox=mailbox, devices=found, at=at)
    return [
        {
            **_credential_ids(device.credential),
            "object": "device",
            "id": public_ids.encode("dev", device.uuid),
            "mailbox_id": mailbox_id,
            "protocol": cast("ProtocolName", device.protocol),
            "first_seen_at": Moment(device.first_at),
            "last_seen_at": Moment(device.last_at),
            "last_address": device.last_address,
            "sign_in_count": device.sign_ins,
            "last_removed_at": optional(device.last_removed_at),
            "copies": _habit_name(habits[device.pk].habit) if device.pk in habits else None,
            "is_asked_about": device.is_asked_about,
        }
        for device in found
    ]


def _habit_name(habit: Habit) -> HabitName:
    return cast("HabitName", habit.value)


def _by_credential(text: str) -> Q:
    """By the id of an app password, or by the word for the mailbox password."""
    if text == "mailbox_password":
        return Q(credential=MAILBOX_PASSWORD)
    try:
        return Q(credential=public_ids.decode("pwd", text).hex)
    except NoSuchId as error:
        raise ValueError(*error.args) from error


_PROTOCOL = by_choice("protocol", Mailbox.Protocol.values, "By protocol.")
_CREDENTIAL = Filter(
    meaning="By what was signed in with: the id of an app password, or `mailbox_password`.",
    condition=_by_credential,
    form={"pattern": f"^(pwd_{public_ids.PATTERN}|mailbox_password)$"},
)
# What is shown of a row depends on its mailbox, so each page says how.
SIGN_INS: Listing[SignIn] = Listing(
    shown=list,
    document=SignInDocument,
    sorts={"hour": ("hour_at", "pk")},
    filters={
        "protocol": _PROTOCOL,
        "credential": _CREDENTIAL,
        "outcome": by_choice("outcome", SignIn.Outcome.values, "By how it ended."),
    },
)
DEVICES: Listing[Device] = Listing(
    shown=list,
    document=DeviceDocument,
    sorts={"created": ("pk",), "last_seen": ("last_at", "pk")},
    filters={"protocol": _PROTOCOL, "credential": _CREDENTIAL},
)


class SignIns(Endpoint):
    """The history of sign-ins of a mailbox."""

    @operation(name="list_sign_ins", scope="mailboxes:read", lists=SIGN_INS)
    def get(self, call: Call, *, mailbox: UUID) -> Answer:
        """List sign-ins and failed tries of the last weeks, added up by the hour.

        An hour goes on growing while it lasts, and a little longer: the log is read every few
        seconds.
        """
        found = mailboxes.load(call, mailbox)
        onlookers.note(actor=call.actor, mailbox=found, at=call.at)
        rows = SignIn.objects.filter(mailbox=found)
        return SIGN_INS.page(call, rows, shown=partial(_sign_ins, found))


class Devices(Endpoint):
    """The programs that sign in to a mailbox."""

    @operation(name="list_devices", scope="mailboxes:read", lists=DEVICES)
    def get(self, call: Call, *, mailbox: UUID) -> Answer:
        """List the programs that sign in to a mailbox."""
        found = mailboxes.load(call, mailbox)
        onlookers.note(actor=call.actor, mailbox=found, at=call.at)
        asked = Place.objects.asked().filter(device=OuterRef("pk"))
        rows = Device.objects.filter(mailbox=found).annotate(is_asked_about=Exists(asked))
        return DEVICES.page(call, rows, shown=partial(_devices, found, call.now))
