"""What was kept over time, by day or month, as programs read it; the same use that is billed.

Use is known by day: the meter closes a day to one number. So there are no hours to be had, and
the most that was kept is told as the highest mean of a day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from itertools import groupby

from django.db.models import Q, Sum

from accounts.models import Organisation
from hosting import clocks, metering, meters
from hosting.metering import DAY_SECONDS, Span
from hosting.models import Contract
from hosting.periods import Period
from mailstore.models import Mailbox, Usage

# In one answer.
MOST_DAYS = 400
# Mailboxes are summed up in pieces of this size, each with the same few statements.
PIECE = 10_000

# Byte-seconds by day, counted from 1 January 1970.
Days = Mapping[int, int]


class Grain(StrEnum):
    """By what use is told apart."""

    DAY = "day"
    MONTH = "month"


class UsageRefused(Exception):
    """The use cannot be told so; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One day or month, so far as it has gone by."""

    starts_at: datetime
    ends_at: datetime
    byte_seconds: int
    mean_bytes: int
    # The highest mean of one of its days.
    most_bytes: int
    # Of the present only: the mail server keeps no count of the past.
    messages_count: int | None


@dataclass(frozen=True, kw_only=True)
class MailboxUse:
    """The use of one of several mailboxes."""

    mailbox: Mailbox
    buckets: Sequence[Bucket]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A time in seconds of Unix time, as far as it has gone by."""

    grain: Grain
    start: int
    end: int
    now: int
    # Where a test clock stands; None stands for the real one.
    clock: int | None


def of_mailbox(
    mailbox: Mailbox, *, grain: str, since: date, until: date, at: datetime
) -> list[Bucket]:
    """One mailbox from the day `since` until before `until`; load `organisation` with it.

    Raises `UsageRefused`.
    """
    asked = _asked(mailbox.organisation, grain=grain, since=since, until=until, at=at)
    days = _days([mailbox.pk], asked)
    return _buckets(days.get(mailbox.pk, {}), asked, _messages([mailbox.address]))


def of_organisation(
    organisation: Organisation, *, grain: str, since: date, until: date, at: datetime
) -> list[Bucket]:
    """All mailboxes of an organisation together, without those of whoever is below it.

    Six statements for each ten thousand mailboxes. Raises `UsageRefused`.
    """
    asked = _asked(organisation, grain=grain, since=since, until=until, at=at)
    total: defaultdict[int, int] = defaultdict(int)
    messages = last = 0
    while piece := _page(organisation, after=last, limit=PIECE):
        last = piece[-1].pk
        for days in _days([mailbox.pk for mailbox in piece], asked).values():
            for day, used in days.items():
                total[day] += used
        messages += sum(_messages_of(piece).values())
    return _buckets(total, asked, messages)


def by_mailbox(
    organisation: Organisation,
    *,
    grain: str,
    since: date,
    until: date,
    at: datetime,
    after: int = 0,
    limit: int = 50,
) -> list[MailboxUse]:
    """Each mailbox by itself, those with keys above `after` in their order.

    As many statements for a page however many mailboxes there are. Raises `UsageRefused`.
    """
    asked = _asked(organisation, grain=grain, since=since, until=until, at=at)
    page = _page(organisation, after=after, limit=limit)
    days = _days([mailbox.pk for mailbox in page], asked)
    messages = _messages_of(page)
    return [
        MailboxUse(
            mailbox=mailbox,
            buckets=_buckets(days.get(mailbox.pk, {}), asked, messages.get(mailbox.address, 0)),
        )
        for mailbox in page
    ]


def _asked(
    organisation: Organisation, *, grain: str, since: date, until: date, at: datetime
) -> _Asked:
    if grain not in list(Grain):
        message = "Use is kept by day. Ask for days or months."
        raise UsageRefused(message)
    if not 0 < (until - since).days <= MOST_DAYS:
        message = f"Ask for one day or more, and at most {MOST_DAYS}; the last is not included."
        raise UsageRefused(message)
    is_whole = since.day == until.day == 1
    if grain == Grain.MONTH and not is_whole:
        message = "Months begin and end on the first day of a month."
        raise UsageRefused(message)
    now = metering.seconds(clocks.moment_for(organisation, at))
    return _Asked(
        grain=Grain(grain),
        start=_midnight(since),
        end=min(_midnight(until), now),
        now=now,
        clock=now if organisation.is_test else None,
    )


def _midnight(day: date) -> int:
    return metering.seconds(datetime.combine(day, time(tzinfo=UTC)))


def _page(organisation: Organisation, *, after: int, limit: int) -> list[Mailbox]:
    return list(
        Mailbox.objects.filter(organisation=organisation, pk__gt=after).order_by("pk")[:limit]
    )


def _days(keys: Sequence[int], asked: _Asked) -> dict[int, dict[int, int]]:
    """What mailboxes used on each day, by the key of the mailbox."""
    if asked.start >= asked.end:
        return {}
    held = list(_held(keys, asked))
    found: dict[int, dict[int, int]] = {}
    for (mailbox, _span), pieces in zip(
        held, meters.pieces_of([span for _mailbox, span in held]) if held else (), strict=True
    ):
        days = found.setdefault(mailbox, {})
        for piece in pieces:
            day = piece.start // DAY_SECONDS
            days[day] = days.get(day, 0) + piece.byte_seconds
    return found


def _held(keys: Sequence[int], asked: _Asked) -> Iterator[tuple[int, Span]]:
    """The time of each contract on its meter, with its marks, as bills count it."""
    contracts = Contract.objects.filter(
        Q(ends_at=None) | Q(ends_at__gt=metering.moment(asked.start)),
        mailbox__in=keys,
        starts_at__lt=metering.moment(asked.end),
    ).order_by("mailbox", "pk")
    names = ("mailbox_id", "mailbox__address", "starts_at", "ends_at", "start_mark", "end_mark")
    rows = list(contracts.values_list(*names))
    marks = _marks({row[1] for row in rows}, asked)
    for mailbox, address, starts_at, ends_at, start_mark, end_mark in rows:
        begun = metering.seconds(starts_at)
        over = metering.seconds(ends_at) if ends_at else None
        is_over = over is not None and over <= asked.end
        yield (
            mailbox,
            Span(
                username=address,
                start=max(begun, asked.start),
                end=over if over is not None and is_over else asked.end,
                start_mark=start_mark if begun >= asked.start else 0,
                end_mark=end_mark if is_over else marks.get(address, 0),
                clock=asked.clock,
            ),
        )


def _marks(usernames: Iterable[str], asked: _Asked) -> Mapping[str, int]:
    """What the present day has brought until now, where it is a part of what was asked."""
    is_midnight = asked.end % DAY_SECONDS == 0
    return {} if asked.clock is not None or is_midnight else metering.marks(usernames, at=asked.end)


def _messages(usernames: Sequence[str]) -> int:
    found = Usage.objects.filter(username__in=usernames).aggregate(total=Sum("messages"))
    return found["total"] or 0


def _messages_of(page: Sequence[Mailbox]) -> dict[str, int]:
    """By address; a mailbox that gave its address up has nothing to do with what is there now."""
    names = [mailbox.address for mailbox in page if mailbox.state != Mailbox.State.CLOSED]
    rows = Usage.objects.filter(username__in=names)
    return dict(rows.values_list("username", "messages"))


def _buckets(days: Days, asked: _Asked, messages: int) -> list[Bucket]:
    """All that the time has, those without any use too."""
    numbers = range(asked.start // DAY_SECONDS, -(-asked.end // DAY_SECONDS))
    return [
        _bucket(list(group), days, asked, messages)
        for _key, group in groupby(numbers, key=lambda day: _key(day, asked.grain))
    ]


def _key(day: int, grain: Grain) -> str:
    return str(Period.of(metering.moment(day * DAY_SECONDS)) if grain is Grain.MONTH else day)


def _bucket(numbers: Sequence[int], days: Days, asked: _Asked, messages: int) -> Bucket:
    start = numbers[0] * DAY_SECONDS
    end = min((numbers[-1] + 1) * DAY_SECONDS, asked.end)
    total = sum(days.get(day, 0) for day in numbers)
    return Bucket(
        starts_at=metering.moment(start),
        ends_at=metering.moment(end),
        byte_seconds=total,
        mean_bytes=total // (end - start),
        most_bytes=max(
            days.get(day, 0) // (min((day + 1) * DAY_SECONDS, end) - day * DAY_SECONDS)
            for day in numbers
        ),
        messages_count=messages if end == asked.now else None,
    )
