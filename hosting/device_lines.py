"""Devices and sign-ins in a person's words: what the pages show, made from rows once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import F, Q, Sum, Window
from django.db.models.functions import RowNumber
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailstore import copies, devices, networks, sign_ins
from mailstore.copies import Evidence, Habit
from mailstore.engine import MAILBOX_PASSWORD
from mailstore.models import Device, Mailbox, Place, SignIn

# So many of a device's places are shown, beside those that its owner is asked about.
_MOST_PLACES = 3
_MOST_ASKED = 200


def rows(mailbox: Mailbox, page: Sequence[Device], *, at: datetime) -> list[dict[str, Any]]:
    """Devices of one mailbox as lines of a list, with what is asked about each."""
    names, working = names_of(mailbox), devices.working_credentials(mailbox)
    habits = copies.evidence(mailbox=mailbox, devices=page, at=at)
    places = _places(page)
    return [
        {
            "uuid": device.uuid,
            "name": names.get(device.credential, _("An app password that is gone")),
            "is_gone": device.credential not in working,
            "is_mailbox_password": device.credential == MAILBOX_PASSWORD,
            "credential": device.credential,
            "protocol": device.protocol,
            "address": device.last_address,
            "network": in_words(device.last_address),
            "first_at": device.first_at,
            "last_at": device.last_at,
            "sign_ins": device.sign_ins,
            "habit": habit_text(habits.get(device.pk)),
            "places": [_place(place) for place in places[device.pk]],
            "asked": [_place(p) for p in places[device.pk] if p.state == Place.State.ASKED],
            "newest": max((place.pk for place in places[device.pk]), default=0),
        }
        for device in page
    ]


def names_of(mailbox: Mailbox) -> dict[str, str]:
    """How what signs in is called, by its credential."""
    return {**sign_ins.labels_of(mailbox), MAILBOX_PASSWORD: _("Mailbox password")}


def in_words(address: str) -> str:
    """From where somebody comes, as far as the address itself says it."""
    if not address:
        return _("many addresses")
    words = {
        networks.Kind.SAME_MACHINE: _("the mail server's own machine"),
        networks.Kind.PRIVATE: _("a private network, such as an office's"),
        networks.Kind.SHARED: _("a network that many customers of a provider share"),
    }
    kind = networks.kind_of(address)
    return words.get(kind) or _("network %(network)s") % {"network": networks.place_of(address)}


def habit_text(found: Evidence | None) -> str:
    """What a POP program does with copies, in words; nothing for IMAP."""
    if found is None:
        return ""
    count = found.fetched
    counted = ngettext("%(count)s message", "%(count)s messages", count) % {"count": count}
    texts = {
        Habit.REMOVES: _("Removes what it has fetched"),
        Habit.KEEPS: _("Leaves copies: fetched %(counted)s in the last month, removed none"),
        Habit.LOOKS: _("Only looks whether there is mail"),
        Habit.UNKNOWN: _("Too early to say whether it leaves copies"),
    }
    return texts[found.habit] % {"counted": counted}


def history(page: Iterable[SignIn], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Hours of sign-ins and failures as lines of a list."""
    return [
        {
            "hour_at": row.hour_at,
            "first_at": row.first_at,
            "last_at": row.last_at,
            "is_moment": row.first_at == row.last_at,
            "is_failure": row.outcome != SignIn.Outcome.SIGNED_IN,
            "outcome_text": row.get_outcome_display(),
            "name": _name(row, names),
            "protocol": row.get_protocol_display() if row.protocol else "",
            "address": row.address or _("Many addresses"),
            "network": in_words(row.address) if row.address else "",
            "count_text": _count_text(row),
            "did_text": _did_text(row),
        }
        for row in page
    ]


def failed_count(mailbox: Mailbox, *, since: datetime) -> int:
    """How many tries failed since then."""
    found = SignIn.objects.filter(mailbox=mailbox, hour_at__gte=since)
    failed = found.exclude(outcome=SignIn.Outcome.SIGNED_IN)
    return failed.aggregate(sum=Sum("sign_ins"))["sum"] or 0


def open_questions(mailbox: Mailbox, *, at: datetime) -> dict[str, Any]:
    """Context for the mailbox's first page: what waits for an answer on that of the devices."""
    known = list(Device.objects.filter(mailbox=mailbox)) if not mailbox.is_imap else []
    keeping = copies.keepers(mailbox=mailbox, devices=known, at=at)
    return {
        "asks_about_places": Place.objects.asked().filter(device__mailbox=mailbox).exists(),
        "leaves_copies": bool(keeping),
    }


def _places(page: Sequence[Device]) -> dict[int, list[Place]]:
    """The last places of each device, and those that its owner is asked about."""
    rank = Window(RowNumber(), partition_by=F("device"), order_by=("-last_at", "-pk"))
    ranked = Place.objects.filter(device__in=page).annotate(rank=rank)
    found: dict[int, list[Place]] = {device.pk: [] for device in page}
    shown = ranked.filter(Q(rank__lte=_MOST_PLACES) | Q(state=Place.State.ASKED))
    for place in shown.order_by("-last_at", "-pk")[: _MOST_ASKED + _MOST_PLACES * len(page)]:
        found[place.device_id].append(place)
    return found


def _place(place: Place) -> dict[str, Any]:
    return {
        "address": place.last_address,
        "network": in_words(place.last_address),
        "first_at": place.first_at,
        "last_at": place.last_at,
        "state": place.state,
    }


def _name(row: SignIn, names: Mapping[str, str]) -> str:
    if not row.credential:
        return ""
    return names.get(row.credential, _("An app password that is gone"))


def _count_text(row: SignIn) -> str:
    if row.outcome != SignIn.Outcome.SIGNED_IN:
        text = ngettext("%(count)s try", "%(count)s tries", row.sign_ins)
    elif row.sign_ins:
        text = ngettext("%(count)s sign-in", "%(count)s sign-ins", row.sign_ins)
    else:
        return _("an earlier session ended")
    return text % {"count": row.sign_ins}


def _did_text(row: SignIn) -> str:
    if not row.ended:
        return ""
    counts = {"fetched": row.fetched, "glanced": row.glanced, "removed": row.removed}
    if row.glanced and row.protocol == Mailbox.Protocol.POP:
        # Some fetch whole messages so, and would seem to have removed what they never had.
        return _("fetched %(fetched)s, looked into %(glanced)s, removed %(removed)s") % counts
    return _("fetched %(fetched)s, removed %(removed)s") % counts
