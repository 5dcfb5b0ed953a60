"""The history of sign-ins: what the mail server's log tells, added up and forgotten in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from mailstore import networks, tallying
from mailstore.engine import Attendance, Outcome
from mailstore.models import AppPassword, Device, Mailbox, Place, SignIn
from mailstore.models.devices import OTHER_ADDRESSES
from mailstore.tallying import Tally

# From so many addresses are failures told apart, for a mailbox and an hour; all others are one.
MOST_ADDRESSES = 50
_AT_ONCE = 5000
_COUNTS = ("sign_ins", "without_tls", "ended", "fetched", "glanced", "removed")
_HISTORY = Tally(
    model=SignIn,
    key=("mailbox", "hour_at", "protocol", "credential", "address", "outcome"),
    sums=_COUNTS,
    latest=("session",),
)
_DEVICES = Tally(
    model=Device,
    key=("mailbox", "credential", "protocol"),
    sums=("sign_ins",),
    latest=("last_address",),
    furthest=("last_removed_at",),
    new=("uuid",),
)
_PLACES = Tally(
    model=Place,
    key=("device", "network"),
    sums=("sign_ins",),
    latest=("last_address",),
    new=("state", "answered_by", "is_untold"),
)


@dataclass(frozen=True, kw_only=True)
class _Born:
    """A mailbox, its first moment, and whether anything but app passwords opens it."""

    key: int
    at: datetime
    has_password: bool


def note(told: Sequence[Attendance]) -> None:
    """Add what the log told; call it in the transaction that moves the position.

    What is about nobody's mailbox, or about an earlier one with the same address, is left out;
    the log tells whole seconds.
    """
    born = _born({one.user for one in told})
    known = [
        (born[one.user].key, _judged(one, born[one.user]))
        for one in told
        if one.user in born and one.first_at >= born[one.user].at
    ]
    good = [(key, one) for key, one in known if one.outcome is Outcome.SIGNED_IN]
    failed = [(key, one) for key, one in known if one.outcome is not Outcome.SIGNED_IN]
    _note_devices(good)
    rows = [_row(key, one, address=one.address) for key, one in good]
    tallying.add(_HISTORY, rows + _bounded(failed))


def forget(*, before: datetime) -> int:
    """Remove the history of the hours before a moment; returns how many rows it was.

    It goes by the hour's index in batches, so it costs what there is to remove.
    """
    removed = 0
    while True:
        old = SignIn.objects.filter(hour_at__lt=before).order_by("hour_at").values("pk")[:_AT_ONCE]
        keys = [row["pk"] for row in old]
        if not keys:
            return removed
        SignIn.objects.filter(pk__in=keys).delete()
        removed += len(keys)


def forget_all(mailbox: Mailbox) -> None:
    """Drop everything that is known of the devices of a mailbox that is no more."""
    SignIn.objects.filter(mailbox=mailbox).delete()
    Device.objects.filter(mailbox=mailbox).delete()


def _judged(one: Attendance, mailbox: _Born) -> Attendance:
    """The guard refuses whatever is no app password where nothing else can be right.

    The log tells of that as of a try that was held back, and it may be the first of somebody who
    mistyped an app password.
    """
    is_guess = one.outcome is Outcome.THROTTLED and not one.credential
    if is_guess and not mailbox.has_password:
        return replace(one, outcome=Outcome.WRONG_PASSWORD)
    return one


def _born(addresses: Iterable[str]) -> dict[str, _Born]:
    """The mailbox that has each address now."""
    found: dict[str, _Born] = {}
    names = sorted(addresses)
    for start in range(0, len(names), _AT_ONCE):
        standing = Mailbox.objects.standing().filter(address__in=names[start : start + _AT_ONCE])
        columns = standing.values_list("address", "pk", "created_at", "password_hash")
        for address, key, created_at, password_hash in columns:
            at = created_at.replace(microsecond=0)
            found[address] = _Born(key=key, at=at, has_password=bool(password_hash))
    return found


def labels_of(mailbox: Mailbox) -> dict[str, str]:
    """How each app password of a mailbox is called, by its credential; revoked ones too."""
    passwords = AppPassword.objects.filter(mailbox=mailbox).values_list("uuid", "label")
    return {uuid.hex: label for uuid, label in passwords}


def _note_devices(good: Sequence[tuple[int, Attendance]]) -> None:
    """Add to devices, and then to their places; whoever answers takes them in this order, too."""
    devices: dict[tuple[Any, ...], dict[str, Any]] = {}
    for mailbox_id, one in good:
        row = {
            "mailbox": mailbox_id,
            "credential": one.credential,
            "protocol": one.protocol,
            "sign_ins": one.sign_ins,
            "first_at": one.first_at,
            "last_at": one.last_at,
            "last_address": one.address,
            "last_removed_at": one.removed_at,
            "uuid": uuid4(),
        }
        _gather(devices, row, key=_DEVICES.key)
    tallying.add(_DEVICES, list(devices.values()))
    keys = _keys_of_devices({mailbox_id for mailbox_id, _one in good})
    places: dict[tuple[Any, ...], dict[str, Any]] = {}
    for mailbox_id, one in good:
        row = {
            "device": keys[mailbox_id, one.credential, one.protocol],
            "network": networks.place_of(one.address),
            "sign_ins": one.sign_ins,
            "first_at": one.first_at,
            "last_at": one.last_at,
            "last_address": one.address,
            "state": Place.State.FRESH.value,
            "answered_by": "",
            "is_untold": False,
        }
        _gather(places, row, key=_PLACES.key)
    tallying.add(_PLACES, list(places.values()))


def _keys_of_devices(mailboxes: Iterable[int]) -> dict[tuple[int, str, str], int]:
    found = Device.objects.filter(mailbox__in=mailboxes)
    columns = found.values_list("mailbox_id", "credential", "protocol", "pk")
    return {(mailbox, credential, protocol): pk for mailbox, credential, protocol, pk in columns}


def _gather(
    rows: dict[tuple[Any, ...], dict[str, Any]], row: dict[str, Any], *, key: tuple[str, ...]
) -> None:
    """Add a row to the one with the same key, if there is one."""
    known = rows.setdefault(tuple(row[name] for name in key), row)
    if known is row:
        return
    known["sign_ins"] += row["sign_ins"]
    known["first_at"] = min(known["first_at"], row["first_at"])
    if row["last_at"] >= known["last_at"]:
        known["last_at"], known["last_address"] = row["last_at"], row["last_address"]
    if row.get("last_removed_at") is not None:
        known["last_removed_at"] = max(
            known["last_removed_at"] or row["last_removed_at"], row["last_removed_at"]
        )


def _row(mailbox_id: int, one: Attendance, *, address: str) -> dict[str, Any]:
    return {
        "mailbox": mailbox_id,
        "hour_at": one.hour_at,
        "protocol": one.protocol,
        "credential": one.credential,
        "address": address,
        "outcome": one.outcome.value,
        "first_at": one.first_at,
        "last_at": one.last_at,
        "session": one.session,
        **{name: getattr(one, name) for name in _COUNTS},
    }


def _bounded(failed: Sequence[tuple[int, Attendance]]) -> list[dict[str, Any]]:
    """Failures as rows: however many addresses they come from, few of them are told apart."""
    told_apart = _addresses_by_hour(failed)
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for mailbox_id, one in failed:
        addresses = told_apart[mailbox_id, one.hour_at]
        if one.address not in addresses and len(addresses) < MOST_ADDRESSES:
            addresses.add(one.address)
        address = one.address if one.address in addresses else OTHER_ADDRESSES
        row = _row(mailbox_id, one, address=address)
        known = rows.setdefault(tuple(row[name] for name in _HISTORY.key), row)
        if known is not row:
            known["sign_ins"] += row["sign_ins"]
            known["first_at"] = min(known["first_at"], row["first_at"])
            known["last_at"] = max(known["last_at"], row["last_at"])
    return list(rows.values())


def _addresses_by_hour(
    failed: Sequence[tuple[int, Attendance]],
) -> dict[tuple[int, datetime], set[str]]:
    """From which addresses tries are known to have failed, by mailbox and hour."""
    found: dict[tuple[int, datetime], set[str]] = {
        (mailbox_id, one.hour_at): set() for mailbox_id, one in failed
    }
    known = SignIn.objects.filter(
        mailbox__in={mailbox_id for mailbox_id, _hour in found},
        hour_at__in={hour for _mailbox_id, hour in found},
    ).exclude(outcome=SignIn.Outcome.SIGNED_IN)
    columns = known.exclude(address=OTHER_ADDRESSES).values_list("mailbox_id", "hour_at", "address")
    for mailbox_id, hour_at, address in columns.distinct():
        if (mailbox_id, hour_at) in found:
            found[mailbox_id, hour_at].add(address)
    return found
