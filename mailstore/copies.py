"""Whether POP programs leave copies on the server: what their sessions say, and what was decided.

Some programs remove what they fetched at once, some after a week or two, and some never. So
several sessions over more than two weeks are needed before one is said to keep copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import on_clock_of
from mailstore import quotas, retention, sign_ins
from mailstore.engine import Engine
from mailstore.models import Device, Mailbox, SignIn

INBOX = "INBOX"
# Programs that remove later do so after two weeks at most, unless somebody chose otherwise.
_LONG_ENOUGH = timedelta(days=15)
_LOOKS_BACK = timedelta(days=31)
# In so many hours it must have fetched something.
_ENOUGH_HOURS = 3
_AT_ONCE = 500
_GROWN_TIMES = 2
_GROWN_LEAST_BYTES = 100_000_000


class Habit(StrEnum):
    """What a POP program does with what it has fetched."""

    # Too little is known.
    UNKNOWN = auto()
    # It only looks whether there is mail.
    LOOKS = auto()
    REMOVES = auto()
    KEEPS = auto()


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the sessions of a device say, of those that the history still has."""

    habit: Habit
    fetched: int
    removed: int
    # Since when it has removed nothing, as far as is known.
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Copies:
    """What programs have fetched and left in a mailbox. `rule_days` is when a rule removes it."""

    devices: Sequence[Device]
    messages: int
    bytes: int
    rule_days: int | None


def evidence(*, mailbox: Mailbox, devices: Sequence[Device], at: datetime) -> dict[int, Evidence]:
    """What the POP devices of a mailbox do, by their keys; IMAP devices have no copies."""
    pop = [device for device in devices if device.protocol == Mailbox.Protocol.POP]
    if not pop:
        return {}
    sums = _sums(mailbox, since=at - _LOOKS_BACK)
    return {device.pk: _judged(device, sums.get(device.credential, {}), at=at) for device in pop}


def keepers(*, mailbox: Mailbox, devices: Sequence[Device], at: datetime) -> list[Device]:
    """Devices that leave copies, if there is something to decide about that.

    There is not while another program removes what they leave, or where somebody wanted it so
    and the mailbox has not grown much since.
    """
    if mailbox.is_imap:
        return []
    habits = evidence(mailbox=mailbox, devices=devices, at=at)
    if any(found.habit is Habit.REMOVES for found in habits.values()):
        return []
    used = quotas.used(mailbox)
    keeping = [d for d in devices if d.pk in habits and habits[d.pk].habit is Habit.KEEPS]
    return [device for device in keeping if not _is_decided(device, used_bytes=used)]


def suspected(*, at: datetime) -> Iterator[int]:
    """Keys of mailboxes in which a device may leave copies that nobody was told of.

    It reads the devices once, by key in pieces, and looks closer at those alone that have removed
    nothing for long; most programs remove what they fetch. Test organisations get no letters.
    """
    last = 0
    while piece := list(_untold(at).filter(pk__gt=last).order_by("pk")[:_AT_ONCE]):
        last = piece[-1].pk
        sums = _sums_of({device.mailbox_id for device in piece}, since=at - _LOOKS_BACK)
        keeping = {
            device.mailbox_id
            for device in piece
            if _judged(device, sums.get((device.mailbox_id, device.credential), {}), at=at).habit
            is Habit.KEEPS
        }
        yield from sorted(keeping)


def _untold(at: datetime) -> QuerySet[Device]:
    return Device.objects.filter(
        Q(last_removed_at=None) | Q(last_removed_at__lt=at - _LOOKS_BACK),
        on_clock_of(None, "mailbox__organisation__"),
        mailbox__in=Mailbox.objects.standing().filter(protocol=Mailbox.Protocol.POP),
        protocol=Mailbox.Protocol.POP,
        copies_told_at=None,
        first_at__lte=at - _LONG_ENOUGH,
        last_at__gte=at - _LOOKS_BACK,
    )


def measured(*, mailbox: Mailbox, devices: Sequence[Device], engine: Engine) -> Copies:
    """How much the copies take that devices left. Raises `EngineError`."""
    found = engine.messages(user=mailbox.address, folder=INBOX, retrieved=True)
    decision = retention.decide(mailbox, INBOX, retention.layers_of(mailbox))
    return Copies(
        devices=devices,
        messages=len(found),
        bytes=sum(message.bytes for message in found),
        rule_days=decision.days,
    )


@transaction.atomic
def leave(*, actor: Actor, device: Device, at: datetime) -> None:
    """Its copies are to stay: nobody is asked again until the mailbox is twice as large."""
    mailbox = device.mailbox
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    Device.objects.filter(pk=device.pk).update(
        copies_kept_at=at, copies_kept_bytes=quotas.used(mailbox)
    )
    outbox.record(
        kind="device.copies_kept",
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=mailbox.subject,
        data={
            "protocol": device.protocol,
            "last_address": device.last_address,
            "label": sign_ins.labels_of(mailbox).get(device.credential, ""),
        },
    )


def _sums(mailbox: Mailbox, *, since: datetime) -> dict[str, dict[str, Any]]:
    found = _sums_of([mailbox.pk], since=since)
    return {credential: sums for (_mailbox, credential), sums in found.items()}


def _sums_of(mailboxes: Iterable[int], *, since: datetime) -> dict[tuple[int, str], dict[str, Any]]:
    rows = SignIn.objects.filter(
        mailbox__in=mailboxes,
        hour_at__gte=since,
        protocol=Mailbox.Protocol.POP,
        outcome=SignIn.Outcome.SIGNED_IN,
    )
    counted = rows.values("mailbox_id", "credential").annotate(
        fetches=Sum("fetched"),
        removals=Sum("removed"),
        sessions=Sum("ended"),
        hours=Count("pk", filter=Q(fetched__gt=0)),
    )
    return {(row["mailbox_id"], row["credential"]): dict(row) for row in counted.order_by()}


def _judged(device: Device, sums: Mapping[str, Any], *, at: datetime) -> Evidence:
    fetched, removed = sums.get("fetches") or 0, sums.get("removals") or 0
    last_removed_at = device.last_removed_at
    since = max(device.first_at, last_removed_at or device.first_at)
    if last_removed_at is not None and at - last_removed_at <= _LOOKS_BACK:
        habit = Habit.REMOVES
    elif sums.get("hours", 0) >= _ENOUGH_HOURS and at - since >= _LONG_ENOUGH:
        habit = Habit.KEEPS
    elif not fetched and (sums.get("sessions") or 0) >= _ENOUGH_HOURS:
        habit = Habit.LOOKS
    else:
        habit = Habit.UNKNOWN
    return Evidence(habit=habit, fetched=fetched, removed=removed, since=since)


def _is_decided(device: Device, *, used_bytes: int) -> bool:
    if device.copies_kept_at is None or device.copies_kept_bytes is None:
        return False
    then = device.copies_kept_bytes
    return used_bytes <= max(then * _GROWN_TIMES, then + _GROWN_LEAST_BYTES)
