"""How much a mailbox used over a period, in byte-seconds, exactly.

The mail server's database integrates every report (`mailstore.models.Usage`). Here its days are
added up. A contract begins and ends within a day; it keeps what that day had brought until
then, its mark, so that two contracts that follow each other share no second and miss none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models import F, Sum
from django.db.models.functions import Greatest, Least

from mailstore.models import Usage, UsageDay

DAY_SECONDS = 86_400
# A sum over a month of ten terabytes is beyond 64 bits; its two halves are not.
_HALF = 10**9
# SQLite takes at most 32,766 values in one query.
_AT_ONCE = 10_000


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
    return int(at.replace(microsecond=0).timestamp())


def moment(unix_seconds: int) -> datetime:
    """The other way round."""
    return datetime.fromtimestamp(unix_seconds, tz=UTC)


def marks(usernames: Iterable[str], *, at: int) -> dict[str, int]:
    """What the day of `at` has brought each address until then. `at` is now, or later.

    An address that nothing was ever reported of has no mark, which stands for 0. Whoever waited
    for a lock over midnight finds the day of `at` closed; then all that it brought counts.
    """
    found = {}
    for report in _reports(usernames):
        is_closed = at // DAY_SECONDS < report.since // DAY_SECONDS
        found[report.username] = _closed_mark(report, at) if is_closed else _mark(report, at)
    return found


def sizes(usernames: Iterable[str]) -> dict[str, int]:
    """The bytes that the mail server reported last of each address."""
    return {report.username: report.bytes for report in _reports(usernames)}


def byte_seconds(spans: Iterable[Span]) -> list[int]:
    """The use of each span, in their order.

    Spans over the same days share two queries; those of a month close are mostly alike.
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
    names = list(usernames)
    found = _closed_days(names, first, end)
    for report in _reports(names):
        still_open = _open_days(report, first, end)
        if still_open:
            found[report.username] = found.get(report.username, 0) + still_open
    return found


def by_day(username: str, first: int, end: int) -> dict[int, int]:
    """The use of one address on each day that brought any."""
    return by_days([username], first, end)[username]


def by_days(usernames: Iterable[str], first: int, end: int) -> dict[str, dict[int, int]]:
    """The same for several addresses, in two queries for each ten thousand."""
    names = list(usernames)
    found: dict[str, dict[int, int]] = {name: {} for name in names}
    for report in _reports(names):
        for day in range(max(report.since // DAY_SECONDS, first), end):
            open_day = _open_days(report, day, day + 1)
            if open_day:
                found[report.username][day] = open_day
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


def _mark(report: Usage, at: int) -> int:
    since_day, day = report.since // DAY_SECONDS, at // DAY_SECONDS
    if day > since_day:
        return report.bytes * (at % DAY_SECONDS)
    return report.day_byte_seconds + report.bytes * max(0, at - report.since)


def _closed_mark(report: Usage, at: int) -> int:
    day = at // DAY_SECONDS
    return whole_days([report.username], day, day + 1).get(report.username, 0)


def _open_days(report: Usage, first: int, end: int) -> int:
    """What days that the database has not closed yet bring if nothing changes any more."""
    since_day = report.since // DAY_SECONDS
    total = 0
    if first <= since_day < end:
        rest = DAY_SECONDS - report.since % DAY_SECONDS
        total = report.day_byte_seconds + report.bytes * rest
    whole = max(0, end - max(first, since_day + 1))
    return total + report.bytes * DAY_SECONDS * whole


def _closed_days(usernames: list[str], first: int, end: int) -> dict[str, int]:
    overlap = Least(F("day") + F("days"), end) - Greatest(F("day"), first)
    found: dict[str, int] = {}
    for names in _pieces(usernames):
        rows = UsageDay.objects.filter(username__in=names, day__lt=end, day__gt=first - F("days"))
        sums = (
            rows.order_by()
            .values("username")
            .annotate(
                high=Sum(F("byte_seconds") / _HALF * overlap),
                low=Sum(F("byte_seconds") % _HALF * overlap),
            )
        )
        for name, high, low in sums.values_list("username", "high", "low"):
            found[name] = int(high) * _HALF + int(low)
    return found


def _reports(usernames: Iterable[str]) -> Iterator[Usage]:
    for names in _pieces(list(usernames)):
        yield from Usage.objects.filter(username__in=names)


def _pieces(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]
