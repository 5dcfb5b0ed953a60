"""Devices as their owners know them: "was this you?", letters about new places, and locking out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Min, Sum

from accounts import notices, outbox
from accounts.access import Actor, Capability
from mailstore import credentials, sign_ins
from mailstore.engine import MAILBOX_PASSWORD
from mailstore.models import (
    AppPassword,
    Device,
    Mailbox,
    Place,
    PlaceLetters,
    Removal,
)

# Wherever somebody signed in on the first day from, that is where the mailbox belongs.
_FIRST_DAY = timedelta(days=1)
# Whoever makes an app password sets a program up with it soon, and needs no letter about that.
_SETTING_UP = timedelta(days=7)
_BETWEEN_LETTERS = timedelta(days=1)
# A letter about what was longer ago would frighten more than it would help.
_NEWS = timedelta(days=7)
_MOST_NAMED = 10
_AT_ONCE = 1000
_SWITCH = {True: "on", False: "off"}
# A device that was not seen for so long is new when it comes back.
MEMORY = timedelta(days=180)


@dataclass(frozen=True, kw_only=True)
class LockedOut:
    """What became of a device that is nobody's: what it had removed, and since when."""

    removed: int
    since: datetime


def judge(*, at: datetime, limit: int = 500) -> int:
    """Decide of places that were just seen whether their owner is asked; returns how many are."""
    fresh = Place.objects.fresh().select_related("device__mailbox").order_by("pk")[:limit]
    asked = 0
    for place in fresh:
        is_new = _is_new(place)
        state = Place.State.ASKED if is_new else Place.State.ASSUMED
        tells = is_new and at - place.first_at < _NEWS and not _is_setting_up(place)
        mine = Place.objects.fresh().filter(pk=place.pk)
        asked += bool(mine.update(state=state, is_untold=tells) and is_new)
    return asked


def tell(*, at: datetime, limit: int = 200) -> int:
    """Write to the owners of mailboxes with new places, a letter a day; returns how many letters.

    What comes in between waits for the next one.
    """
    untold = Place.objects.filter(is_untold=True, device__mailbox__in=Mailbox.objects.standing())
    waiting = untold.exclude(
        device__mailbox__place_letters__last_at__gt=at - _BETWEEN_LETTERS
    ).order_by("device__mailbox")
    keys = waiting.values_list("device__mailbox", flat=True).distinct()[:limit]
    return sum(_tell_owners(key, at=at) for key in keys)


def forget(*, at: datetime) -> int:
    """Drop places that were not seen for half a year, and devices without any; returns how many.

    It goes by the index of the places in batches, so it costs what there is to drop.
    """
    gone = 0
    while True:
        old = Place.objects.filter(last_at__lt=at - MEMORY).order_by("last_at")
        keys = dict(old.values_list("pk", "device")[:_AT_ONCE])
        if not keys:
            return gone
        Place.objects.filter(pk__in=keys).delete()
        Device.objects.filter(pk__in=set(keys.values()), places=None).delete()
        gone += len(keys)


@transaction.atomic
def confirm(*, actor: Actor, device: Device, seen: Place | None = None, at: datetime) -> int:
    """It was the owner: returns how many places are known from now on.

    `seen` is the newest place that the answer was about; one that came later is asked again.
    """
    _lock(actor, device)
    places = Place.objects.filter(device=device).exclude(state=Place.State.MINE)
    if seen is not None:
        places = places.filter(pk__lte=seen.pk)
    confirmed = places.update(
        state=Place.State.MINE, answered_at=at, answered_by=actor.name, is_untold=False
    )
    if confirmed:
        _record("device.confirmed", device=device, actor=actor, at=at)
    return confirmed


@transaction.atomic
def lock_out(*, actor: Actor, device: Device, at: datetime) -> LockedOut:
    """It was somebody else: what it signs in with works no more, and open sessions end.

    An app password is revoked and the mailbox password removed; whoever uses the same from
    another program needs a new one. What it had removed is not touched and can be brought back.
    """
    mailbox = _lock(actor, device)
    asked = Place.objects.filter(device=device).exclude(state=Place.State.MINE)
    since = asked.aggregate(since=Min("first_at"))["since"] or device.first_at
    if device.credential == MAILBOX_PASSWORD:
        credentials.set_mailbox_password(actor=actor, mailbox=mailbox, password="", at=at)
    else:
        for password in AppPassword.objects.filter(mailbox=mailbox, revoked_at=None):
            if password.uuid.hex == device.credential:
                password.mailbox = mailbox
                credentials.revoke(actor=actor, app_password=password, at=at)
    asked.update(
        state=Place.State.NOT_MINE, answered_at=at, answered_by=actor.name, is_untold=False
    )
    _record("device.locked_out", device=device, actor=actor, at=at)
    return LockedOut(removed=_removed_by(device, since=since), since=since)


@transaction.atomic
def switch_letters(*, actor: Actor, mailbox: Mailbox, is_on: bool, at: datetime) -> None:
    """Whether the owners get letters about new places, and about programs that leave copies."""
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    letters = _letters_of(mailbox)
    if letters.is_on == is_on:
        return
    PlaceLetters.objects.filter(pk=letters.pk).update(is_on=is_on)
    outbox.record(
        kind="mailbox.updated",
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=mailbox.subject,
        data={"place_letters": {"old": _SWITCH[letters.is_on], "new": _SWITCH[is_on]}},
    )


def are_letters_on(mailbox: Mailbox) -> bool:
    """Whether the owners get letters about devices; they do unless somebody said no."""
    return not PlaceLetters.objects.filter(mailbox=mailbox, is_on=False).exists()


def working_credentials(mailbox: Mailbox) -> set[str]:
    """What somebody can sign in with now."""
    passwords = AppPassword.objects.filter(mailbox=mailbox, revoked_at=None)
    working = {uuid.hex for uuid in passwords.values_list("uuid", flat=True)}
    opens_by_its_own = bool(mailbox.password_hash) and not mailbox.app_passwords_only
    return working | ({MAILBOX_PASSWORD} if opens_by_its_own else set())


def _is_new(place: Place) -> bool:
    """Whether nobody of this mailbox was ever there, or somebody who was none of its people."""
    others = Place.objects.filter(device__mailbox=place.device.mailbox).exclude(pk=place.pk)
    there = others.filter(network=place.network)
    if there.filter(state=Place.State.NOT_MINE).exists():
        return True
    if there.filter(state__in=(Place.State.MINE, Place.State.ASSUMED)).exists():
        return False
    first_at = others.aggregate(first=Min("first_at"))["first"]
    return first_at is not None and place.first_at >= first_at + _FIRST_DAY


def _is_setting_up(place: Place) -> bool:
    """Whether it is the first place of an app password that was just made."""
    device = place.device
    if Place.objects.filter(device=device, pk__lt=place.pk).exists():
        return False
    made = AppPassword.objects.filter(mailbox=device.mailbox, revoked_at=None)
    recent = made.filter(created_at__gt=place.first_at - _SETTING_UP)
    return device.credential in {password.uuid.hex for password in recent}


@transaction.atomic
def _tell_owners(mailbox_id: int, *, at: datetime) -> bool:
    mailbox = Mailbox.objects.select_related("organisation").get(pk=mailbox_id)
    letters = _letters_of(mailbox)
    # The lock of the row decides between two workers, so this is looked at again.
    if letters.last_at is not None and letters.last_at > at - _BETWEEN_LETTERS:
        return False
    untold = Place.objects.filter(device__mailbox=mailbox, is_untold=True)
    places = list(untold.select_related("device").order_by("pk"))
    untold.update(is_untold=False)
    if not places or not letters.is_on:
        return False
    PlaceLetters.objects.filter(pk=letters.pk).update(last_at=at)
    labels = sign_ins.labels_of(mailbox)
    notices.announce(
        organisations=[mailbox.organisation],
        name="new_place",
        context={
            "address": mailbox.address,
            "mailbox": str(mailbox.uuid),
            "places": [_line(place, labels) for place in places[:_MOST_NAMED]],
            "more": max(0, len(places) - _MOST_NAMED),
        },
        at=at,
        but=frozenset({mailbox.address}),
    )
    return True


def _line(place: Place, labels: dict[str, str]) -> dict[str, str]:
    return {
        "device": labels.get(place.device.credential, "The mailbox password"),
        "protocol": place.device.get_protocol_display(),
        "address": place.last_address,
        "at_text": f"{place.first_at:%-d %B %Y, %H:%M} UTC",
    }


def _letters_of(mailbox: Mailbox) -> PlaceLetters:
    """The row, locked."""
    PlaceLetters.objects.get_or_create(mailbox=mailbox)
    return PlaceLetters.objects.select_for_update().get(mailbox=mailbox)


def _lock(actor: Actor, device: Device) -> Mailbox:
    """The device's mailbox. Whoever reads the log takes mailboxes before devices as well."""
    mailbox = device.mailbox
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    Mailbox.objects.select_for_update(no_key=True).get(pk=mailbox.pk)
    Device.objects.select_for_update().get(pk=device.pk)
    return mailbox


def _removed_by(device: Device, *, since: datetime) -> int:
    """How many messages a device removed since a moment, as the log of removals says."""
    removals = Removal.objects.filter(mailbox=device.mailbox, ended_at__gte=since)
    mine = removals.filter(device=device.credential)
    return mine.aggregate(sum=Sum("messages"))["sum"] or 0


def _record(kind: str, *, device: Device, actor: Actor, at: datetime) -> None:
    mailbox = device.mailbox
    outbox.record(
        kind=kind,
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
