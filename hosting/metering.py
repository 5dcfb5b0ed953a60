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
from typing import NamedTuple

from django.db import connections
from django.db.models import F

from mailstore.models import Usage, UsageDay

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
_OVERLAP = """
    CASE WHEN d.day + d.days < {end} THEN d.day + d.days ELSE {end} END
    - CASE WHEN d.day > {first} THEN d.day ELSE {first} END
"""
# How each database takes any number of names as one value.
_AMONG = {
    "postgresql": "= ANY(%s)",
    "sqlite": "IN (SELECT value FROM json_each(%s))",
}


@dataclass(frozen=True, kw_only=True)
class Span:
    """Time on one address's meter, from one mark to another.

    Seconds of Unix time, `start` included and `end` not. A mark is what the day of its moment
    had brought until then, in byte-seconds; at midnight it is nothing.
    """

    username: str
    start: int
    end: int
    start_mark: int = 0
    end_mark: int = 0

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
    """What the day of `at` has brought each address until then. `at` is not in the past.

    An address that nothing was ever reported of has no mark, which stands for 0.
    """
    return {meter.username: _mark(meter, at) for meter in _meters(usernames, first=0, end=0)}


def sizes(usernames: Iterable[str]) -> dict[str, int]:
    """The bytes that the mail server reported last of each address."""
    return {meter.username: meter.bytes for meter in _meters(usernames, first=0, end=0)}


def byte_seconds(spans: Iterable[Span]) -> list[int]:
    """The use of each span, in their order.

    Spans over the same days share a query; those of a month close are mostly alike.
    """
    wanted = list(spans)
    by_days: dict[tuple[int, int], set[str]] = {}
    for span in wanted:
        by_days.setdefault(span.days, set()).add(span.username)
    totals = {days: whole_days(names, *days) for days, names in by_days.items()}
    return [
        max(0, totals[span.days].get(span.username, 0) - span.start_mark + span.end_mark)
        for span in wanted
    ]


def whole_days(usernames: Iterable[str], first: int, end: int) -> dict[str, int]:
    """The use of each address from the day `first` until before the day `end`."""
    if first >= end:
        return {}
    found = {}
    for meter in _meters(usernames, first=first, end=end):
        total = meter.closed + _open_days(meter, first, end)
        if total:
            found[meter.username] = total
    return found


def by_day(username: str, first: int, end: int) -> dict[int, int]:
    """The use of one address on each day that brought any."""
    return by_days([username], first, end)[username]


def by_days(usernames: Iterable[str], first: int, end: int) -> dict[str, dict[int, int]]:
    """The same for several addresses, in two queries for each ten thousand."""
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
    """A part of a span within one day, and its use. Seconds of Unix time."""

    start: int
    end: int
    byte_seconds: int


def pieces_of(spans: Sequence[Span]) -> Iterator[list[Piece]]:
    """Each span day by day: its pieces add up to what `byte_seconds` says of it."""
    first = min(span.start for span in spans) // DAY_SECONDS
    last = max(span.end for span in spans) // DAY_SECONDS
    days = by_days({span.username for span in spans}, first, last + 1)
    for span in spans:
        yield list(_pieces_of(span, days[span.username]))


def _pieces_of(span: Span, days: Mapping[int, int]) -> Iterator[Piece]:
    first, last = span.days
    for day in range(first, last + 1):
        start = max(span.start, day * DAY_SECONDS)
        end = min(span.end, (day + 1) * DAY_SECONDS)
        until = span.end_mark if day == last else days.get(day, 0)
        before = span.start_mark if day == first else 0
        if start < end:
            yield Piece(start, end, until - before)


def _mark(report: _Meter, at: int) -> int:
    since_day, day = report.since // DAY_SECONDS, at // DAY_SECONDS
    if day > since_day:
        return report.bytes * (at % DAY_SECONDS)
    return report.day_byte_seconds + report.bytes * max(0, at - report.since)


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
    connection = connections[Usage.objects.all().db]
    names = list(usernames)
    statement = _METERS.format(
        half=_HALF,
        overlap=_OVERLAP.format(first=first, end=end),
        first=first,
        end=end,
        among=_AMONG[connection.vendor],
    )
    one_value = names if connection.vendor == "postgresql" else json.dumps(names)
    with connection.cursor() as cursor:
        cursor.execute(statement, [one_value])
        for username, size, since, day_byte_seconds, high, low in cursor.fetchall():
            closed = int(high) * _HALF + int(low)
            yield _Meter(username, size, since, day_byte_seconds, closed)


def _pieces(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]
