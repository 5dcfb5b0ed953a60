"""How much a mailbox used over a period, in byte-seconds, exactly.

The mail server's database integrates every report (`mailstore.models.Usage`). Here its days are
added up. A contract begins and ends within a day; it keeps what that day had brought until
then, its mark, so that two contracts that follow each other share no second and miss none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import F

from mailstore.models import Usage, UsageDay
from mailstore.models.reports import mark_of

DAY_SECONDS = 86_400
# SQLite takes at most 32,766 values in one query.
_AT_ONCE = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
# A sum over a month of ten terabytes is beyond 64 bits; its two halves are not.
_HALF = 10**9
# Reports and the days that are closed are read in one statement: a report that comes in between
# two of them would close a day that neither of them tells of, or both do.
_METERS = """
SELECT u.username, u.bytes, u.since, u.day_byte_seconds,
    coalesce(sum(d.byte_seconds / {half} * ({overlap})), 0),
    coalesce(sum(d.byte_seconds %% {half} * ({overlap})), 0)
FROM mailstore_usage u
LEFT JOIN mailstore_usageday d
    ON d.username = u.username AND d.day < {end} AND d.day + d.days > {first}
WHERE u.username {among}
GROUP BY u.username
"""
# PostgreSQL takes the days of all addresses that there are, rather than look up those of ten
# thousand; asked for each address on its own it has no choice.
_METERS_ONE_BY_ONE = """
SELECT u.username, u.bytes, u.since, u.day_byte_seconds, coalesce(high, 0), coalesce(low, 0)
FROM mailstore_usage u
CROSS JOIN LATERAL (
    SELECT sum(d.byte_seconds / {half} * ({overlap})) AS high,
        sum(d.byte_seconds %% {half} * ({overlap})) AS low
    FROM mailstore_usageday d
    WHERE d.username = u.username AND d.day < {end} AND d.day + d.days > {first}
) AS closed
WHERE u.username {among}
"""
_OVERLAP = """
    CASE WHEN d.day + d.days < {end} THEN d.day + d.days ELSE {end} END
    - CASE WHEN d.day > {first} THEN d.day ELSE {first} END
"""
_GAPS = """
SELECT username, since, until, noted_bytes - true_bytes FROM mailstore_drift
WHERE noted_bytes > true_bytes AND until <= {known_by} AND username {among}
"""
_LAST_SECOND = 2**62


@dataclass(frozen=True, kw_only=True)
class Span:
    """Time on one address's meter, from one mark to another.

    Seconds of Unix time, `start` included and `end` not. A mark is what the day of its moment
    had brought until then, in byte-seconds; at midnight it is nothing. `clock` is set where a
    test clock counts, which is at that second; it needs no marks (`hosting.meters`).
    """

    username: str
    start: int
    end: int
    start_mark: int = 0
    end_mark: int = 0
    clock: int | None = None

    @property
    def days(self) -> tuple[int, int]:
        """The first day, and the day of the end, which is not counted whole."""
        return self.start // DAY_SECONDS, self.end // DAY_SECONDS


def seconds(at: datetime) -> int:
    """A moment in whole seconds of Unix time, as the meter counts."""
    return (at - _EPOCH) // _SECOND


def moment(unix_seconds: int) -> datetime:
    """The other way round."""
    return _EPOCH + unix_seconds * _SECOND


def marks(usernames: Iterable[str], *, at: int) -> dict[str, int]:
    """What the day of `at` has brought each address until then. `at` is now, or later.

    An address that nothing was ever reported of has no mark, which stands for 0. Whoever waited
    for a lock over midnight finds the day of `at` closed; then all that it brought counts.
    """
    found = {}
    for meter in _meters(usernames, first=0, end=0):
        is_closed = at // DAY_SECONDS < meter.since // DAY_SECONDS
        found[meter.username] = _closed_mark(meter, at) if is_closed else _mark(meter, at)
    return found


def sizes(usernames: Iterable[str]) -> dict[str, int]:
    """The bytes that the mail server reported last of each address."""
    return {meter.username: meter.bytes for meter in _meters(usernames, first=0, end=0)}


def byte_seconds(spans: Iterable[Span], *, known_at: datetime | None = None) -> list[int]:
    """The use of each span, in their order; of drift, what was written down until `known_at`.

    Spans over the same days share a query; those of a month close are mostly alike.
    """
    wanted = list(spans)
    by_days: dict[tuple[int, int], set[str]] = {}
    for span in wanted:
        by_days.setdefault(span.days, set()).add(span.username)
    totals = {days: _metered(names, *days) for days, names in by_days.items()}
    gaps = gaps_of({span.username for span in wanted}, known_at=known_at)
    return [
        max(0, totals[span.days].get(span.username, 0) - span.start_mark + span.end_mark)
        - _waived(gaps.get(span.username, ()), span.start, span.end)
        for span in wanted
    ]


def whole_days(usernames: Iterable[str], first: int, end: int) -> dict[str, int]:
    """The use of each address from the day `first` until before the day `end`."""
    names = list(usernames)
    gaps = gaps_of(names)
    return {
        name: metered - _waived(gaps.get(name, ()), first * DAY_SECONDS, end * DAY_SECONDS)
        for name, metered in _metered(names, first, end).items()
    }


def by_day(username: str, first: int, end: int) -> dict[int, int]:
    """The use of one address on each day that brought any."""
    return by_days([username], first, end)[username]


def by_days(usernames: Iterable[str], first: int, end: int) -> dict[str, dict[int, int]]:
    """The same for several addresses, in a few queries for each ten thousand."""
    names = list(usernames)
    gaps = gaps_of(names)
    return {
        name: {
            day: metered - _waived(gaps.get(name, ()), day * DAY_SECONDS, (day + 1) * DAY_SECONDS)
            for day, metered in days.items()
        }
        for name, days in _metered_days(names, first, end).items()
    }


def _metered_days(usernames: Iterable[str], first: int, end: int) -> dict[str, dict[int, int]]:
    names = list(usernames)
    found: dict[str, dict[int, int]] = {name: {} for name in names}
    for meter in _meters(names, first=first, end=first):
        for day in range(max(meter.since // DAY_SECONDS, first), end):
            open_day = _open_days(meter, day, day + 1)
            if open_day:
                found[meter.username][day] = open_day
    # Read after it, a day that was closed meanwhile takes the place of the open one.
    for piece in _pieces(names):
        rows = UsageDay.objects.filter(username__in=piece, day__lt=end, day__gt=first - F("days"))
        for row in rows:
            for day in range(max(row.day, first), min(row.day + row.days, end)):
                found[row.username][day] = row.byte_seconds
    return found


class Piece(NamedTuple):
    """A part of a span within one day, and its use. Seconds of Unix time.

    `waived` is what was noted beyond that, in gaps of the mail server's reports.
    """

    start: int
    end: int
    byte_seconds: int
    waived: int = 0


def pieces_of(spans: Sequence[Span], *, known_at: datetime | None = None) -> Iterator[list[Piece]]:
    """Each span day by day: its pieces add up to what `byte_seconds` says of it."""
    first = min(span.start for span in spans) // DAY_SECONDS
    last = max(span.end for span in spans) // DAY_SECONDS
    names = {span.username for span in spans}
    days = _metered_days(names, first, last + 1)
    gaps = gaps_of(names, known_at=known_at)
    for span in spans:
        yield list(_pieces_of(span, days[span.username], gaps.get(span.username, ())))


def _pieces_of(span: Span, days: Mapping[int, int], gaps: Sequence[Gap]) -> Iterator[Piece]:
    first, last = span.days
    for day in range(first, last + 1):
        start = max(span.start, day * DAY_SECONDS)
        end = min(span.end, (day + 1) * DAY_SECONDS)
        until = span.end_mark if day == last else days.get(day, 0)
        before = span.start_mark if day == first else 0
        if start < end:
            waived = _waived(gaps, start, end)
            yield Piece(start, end, until - before - waived, waived)


def _metered(usernames: Iterable[str], first: int, end: int) -> dict[str, int]:
    """What the meter counted, whether it was right or not."""
    if first >= end:
        return {}
    found = {}
    for meter in _meters(usernames, first=first, end=end):
        total = meter.closed + _open_days(meter, first, end)
        if total:
            found[meter.username] = total
    return found


def _mark(meter: _Meter, at: int) -> int:
    return mark_of(
        size=meter.bytes, since=meter.since, day_byte_seconds=meter.day_byte_seconds, at=at
    )


def _closed_mark(meter: _Meter, at: int) -> int:
    """Marks tell what was counted; what of it was wrong is taken off from spans."""
    day = at // DAY_SECONDS
    return _metered([meter.username], day, day + 1).get(meter.username, 0)


def gaps_of(usernames: Iterable[str], *, known_at: datetime | None = None) -> dict[str, list[Gap]]:
    """When too much was noted, by address: there is little of it. It is charged to nobody."""
    known_by = _LAST_SECOND if known_at is None else seconds(known_at)
    found: dict[str, list[Gap]] = {}
    for username, *gap in _rows(_GAPS, usernames, known_by=known_by):
        found.setdefault(username, []).append(Gap(*gap))
    return found


def _waived(gaps: Iterable[Gap], start: int, end: int) -> int:
    """What of a time was noted in excess. The gaps of one address never overlap."""
    return sum(
        gap.excess_bytes * max(0, min(gap.until, end) - max(gap.since, start)) for gap in gaps
    )


class Gap(NamedTuple):
    """A time in which so much more was noted than there was; seconds of Unix time."""

    since: int
    until: int
    excess_bytes: int


class _Meter(NamedTuple):
    """A report, and what the days brought that are closed."""

    username: str
    bytes: int
    since: int
    day_byte_seconds: int
    closed: int


def _open_days(report: _Meter, first: int, end: int) -> int:
    """What days that the database has not closed yet bring if nothing changes any more."""
    since_day = report.since // DAY_SECONDS
    total = 0
    if first <= since_day < end:
        rest = DAY_SECONDS - report.since % DAY_SECONDS
        total = report.day_byte_seconds + report.bytes * rest
    whole = max(0, end - max(first, since_day + 1))
    return total + report.bytes * DAY_SECONDS * whole


def _meters(usernames: Iterable[str], *, first: int, end: int) -> Iterator[_Meter]:
    overlap = _OVERLAP.format(first=first, end=end)
    is_sqlite = connections[Usage.objects.all().db].vendor == "sqlite"
    statement = _METERS if is_sqlite else _METERS_ONE_BY_ONE
    found = _rows(statement, usernames, half=_HALF, overlap=overlap, first=first, end=end)
    for username, size, since, day_byte_seconds, high, low in found:
        closed = int(high) * _HALF + int(low)
        yield _Meter(username, size, since, day_byte_seconds, closed)


def _rows(statement: str, usernames: Iterable[str], **numbers: int | str) -> list[Any]:
    """What a statement about some addresses finds in the database of the reports.

    Any number of addresses goes as one value, in the way of each database.
    """
    connection = connections[Usage.objects.all().db]
    names = list(usernames)
    value: Any = names
    among = "= ANY(%s)"
    if connection.vendor == "sqlite":
        value, among = json.dumps(names), "IN (SELECT value FROM json_each(%s))"
    with connection.cursor() as cursor:
        cursor.execute(statement.format(among=among, **numbers), [value])
        return list(cursor.fetchall())


def _pieces(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]
