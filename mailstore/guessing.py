"""What the guard counted, for people: who is guessing at whose mailbox password, and the letter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Count, QuerySet

from accounts import notices, outbox
from accounts.access import system
from accounts.models import Organisation
from mailstore.guard.tally import MOST_SOURCES, SPELL_SECONDS
from mailstore.models import Guessing, GuessingAlarm, GuessingSource, Mailbox

# Fewer different passwords are somebody who has forgotten which it was.
ALARM_TRIES = 20
# So many mailboxes are named in one letter; of the others it says how many they are.
_MOST_NAMED = 20
_LETTER_EVERY = timedelta(days=1)
_KEPT = timedelta(days=30)
_SPELL = timedelta(seconds=SPELL_SECONDS)
_WATCH = system("guard")


@dataclass(frozen=True, kw_only=True)
class Spell:
    """Guesses at one mailbox that go on, or came to an end less than an hour ago."""

    since: datetime
    last_at: datetime
    tries: int
    looked_at: int
    addresses: int

    @property
    def has_more_addresses(self) -> bool:
        """Whether there were more than are told apart."""
        return self.addresses >= MOST_SOURCES


def spells(addresses: Iterable[str], *, at: datetime) -> dict[str, Spell]:
    """The spells worth a word that go on at these mailboxes, by address; two queries at most."""
    found = _running(at).filter(username__in=list(addresses)).order_by("began_at")
    rows = {row.username: row for row in found}
    if not rows:
        return {}
    sources = GuessingSource.objects.filter(guessing__in=[row.pk for row in rows.values()])
    counts = dict(sources.values_list("guessing").annotate(Count("pk")).order_by())
    return {
        username: Spell(
            since=datetime.fromtimestamp(row.began_at, tz=UTC),
            last_at=datetime.fromtimestamp(row.last_at, tz=UTC),
            tries=row.tries,
            looked_at=row.looked_at,
            addresses=counts.get(row.pk, 0),
        )
        for username, row in rows.items()
    }


def spell(mailbox: Mailbox, *, at: datetime) -> Spell | None:
    """The one at this mailbox, if somebody is guessing."""
    return spells([mailbox.address], at=at).get(mailbox.address)


def _running(at: datetime) -> QuerySet[Guessing]:
    since = int((at - _SPELL).timestamp())
    return Guessing.objects.filter(tries__gte=ALARM_TRIES, last_at__gte=since)


def watch(*, at: datetime, limit: int = 1000) -> int:
    """Note each spell that is new, and write to its owners, once a day at most.

    Returns how many were new.
    """
    running = list(_running(at).order_by("-last_at")[:limit])
    standing = Mailbox.objects.standing().filter(address__in=[row.username for row in running])
    by_address = {mailbox.address: mailbox for mailbox in standing.select_related("organisation")}
    new = 0
    for row in running:
        mailbox = by_address.get(row.username)
        # Guesses at whoever had the address before are nobody's news.
        if mailbox is not None and row.began_at >= int(mailbox.created_at.timestamp()):
            new += _note(row, mailbox, at=at)
    _write_letters(at=at)
    return new


@transaction.atomic
def _note(row: Guessing, mailbox: Mailbox, *, at: datetime) -> bool:
    _alarm, is_new = GuessingAlarm.objects.get_or_create(
        mailbox=mailbox,
        began_at=datetime.fromtimestamp(row.began_at, tz=UTC),
        defaults={"noticed_at": at},
    )
    if is_new:
        outbox.record(
            kind="mailbox.guessing_noticed",
            at=at,
            actor=_WATCH,
            organisation=mailbox.organisation,
            subject=mailbox.subject,
            data={"tries": row.tries, "addresses": row.sources.count()},
        )
    return is_new


def _write_letters(*, at: datetime) -> None:
    untold = GuessingAlarm.objects.filter(told_at__isnull=True)
    owners = untold.values_list("mailbox__organisation_id", flat=True).distinct()
    for organisation_id in list(owners):
        _write_letter(organisation_id, at=at)


@transaction.atomic
def _write_letter(organisation_id: int, *, at: datetime) -> None:
    """One letter about all mailboxes of an organisation, unless one left within a day."""
    organisation = Organisation.objects.select_for_update().get(pk=organisation_id)
    alarms = GuessingAlarm.objects.filter(mailbox__organisation=organisation)
    if alarms.filter(told_at__gt=at - _LETTER_EVERY).exists():
        return
    untold = alarms.filter(told_at__isnull=True).select_related("mailbox").order_by("began_at")
    since: defaultdict[str, list[GuessingAlarm]] = defaultdict(list)
    for alarm in untold:
        since[alarm.mailbox.address].append(alarm)
    if not since:
        return
    going_on = spells(since, at=at)
    lines = [
        _line(address, found[0], going_on.get(address)) for address, found in sorted(since.items())
    ]
    notices.announce(
        organisations=[organisation],
        name="guessing",
        context={
            "lines": lines[:_MOST_NAMED],
            "more": max(len(lines) - _MOST_NAMED, 0),
            "first": lines[0]["address"],
            "count": len(lines),
        },
        at=at,
        about=f"guessing:{organisation.pk}",
    )
    untold.update(told_at=at)


def _line(address: str, alarm: GuessingAlarm, found: Spell | None) -> dict[str, object]:
    return {
        "address": address,
        "mailbox": str(alarm.mailbox.uuid),
        "since": f"{alarm.began_at:%Y-%m-%d %H:%M} UTC",
        "tries": found.tries if found else None,
        "addresses": found.addresses if found else None,
    }


def forget_old(*, at: datetime) -> int:
    """Forget spells that were over 30 days ago; returns how many."""
    before = at - _KEPT
    GuessingAlarm.objects.filter(began_at__lt=before, told_at__isnull=False).delete()
    old = Guessing.objects.filter(last_at__lt=int(before.timestamp()))
    return old.delete()[1].get("mailstore.Guessing", 0)
