"""Whose meter counts: the mail server's (`metering`), or for test organisations steps.

A step says how large a mailbox was when its test clock moved on. Its size counts for all the
time that the clock then passed over, so that the use is size times simulated seconds; after
the clock's moment the size of now counts, as in every forecast. The mail server knows nothing
of that time, so neither its days nor the drift found in them have a part in it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from django.db.models import Max

from hosting import metering, storing
from hosting.metering import DAY_SECONDS, Piece, Span
from hosting.models import MeterStep

# SQLite takes at most 32,766 values in one query.
_AT_ONCE = 10_000

# The sizes of an address, each from a second of Unix time on, in their order.
Steps = Sequence[tuple[int, int]]


def byte_seconds(spans: Iterable[Span], *, known_at: datetime | None = None) -> list[int]:
    """The use of each span, in their order, each by its own meter."""
    wanted = list(spans)
    simulated = [span for span in wanted if span.clock is not None]
    if not simulated:
        return metering.byte_seconds(wanted, known_at=known_at)
    steps = _steps(simulated)
    real = iter(metering.byte_seconds((s for s in wanted if s.clock is None), known_at=known_at))
    return [
        next(real) if span.clock is None else _integral(steps[span.username], span.start, span.end)
        for span in wanted
    ]


def pieces_of(spans: Sequence[Span], *, known_at: datetime | None = None) -> Iterator[list[Piece]]:
    """Each span day by day: its pieces add up to what `byte_seconds` says of it."""
    simulated = [span for span in spans if span.clock is not None]
    if not simulated:
        yield from metering.pieces_of(spans, known_at=known_at)
        return
    steps = _steps(simulated)
    for span in spans:
        if span.clock is None:
            yield from metering.pieces_of([span], known_at=known_at)
        else:
            yield [
                Piece(start, end, _integral(steps[span.username], start, end))
                for start, end in _days_of(span)
            ]


def by_days(
    usernames: Iterable[str], first: int, end: int, *, clock: int | None
) -> dict[str, dict[int, int]]:
    """The use of addresses of one organisation on each day that brought any.

    `clock` is the second at which a test organisation is, None that it lives by the real clock.
    """
    names = list(usernames)
    if clock is None:
        return metering.by_days(names, first, end)
    until = min(end * DAY_SECONDS, clock)
    spans = [
        Span(username=name, start=first * DAY_SECONDS, end=until, clock=clock)
        for name in names
        if first * DAY_SECONDS < until
    ]
    found: dict[str, dict[int, int]] = {name: {} for name in names}
    for span, days in zip(spans, pieces_of(spans), strict=True):
        found[span.username] = {
            day.start // DAY_SECONDS: day.byte_seconds for day in days if day.byte_seconds
        }
    return found


def note_sizes(usernames: Sequence[str], *, at: int) -> None:
    """Let the sizes of now count from this second of a test clock on, where they are others.

    Call it in the transaction in which the clock moves on from there.
    """
    sizes = metering.sizes(usernames)
    for start in range(0, len(usernames), _AT_ONCE):
        piece = usernames[start : start + _AT_ONCE]
        last = _last_sizes(piece)
        storing.store(
            [
                MeterStep(username=name, since=at, bytes=sizes.get(name, 0))
                for name in piece
                if sizes.get(name, 0) != last.get(name, 0)
            ]
        )


def _last_sizes(usernames: Sequence[str]) -> dict[str, int]:
    steps = MeterStep.objects.filter(username__in=usernames)
    newest = dict(steps.order_by().values_list("username").annotate(Max("since")))
    rows = steps.filter(since__in=set(newest.values())).values_list("username", "since", "bytes")
    return {name: size for name, since, size in rows if newest[name] == since}


def _steps(spans: Sequence[Span]) -> Mapping[str, Steps]:
    """The steps of these addresses, with their sizes of now from their clock's moment on."""
    names = sorted({span.username for span in spans})
    end = max(span.end for span in spans)
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
    for start in range(0, len(names), _AT_ONCE):
        piece = names[start : start + _AT_ONCE]
        rows = MeterStep.objects.filter(username__in=piece, since__lt=end).order_by("since")
        for name, since, size in rows.values_list("username", "since", "bytes"):
            found[name].append((since, size))
    ahead = {s.username: s.clock for s in spans if s.clock is not None and s.clock < end}
    sizes = metering.sizes(ahead) if ahead else {}
    for name, clock in ahead.items():
        found[name].append((clock, sizes.get(name, 0)))
    return found


def _integral(steps: Steps, start: int, end: int) -> int:
    """Sizes times the seconds for which they stood, between two seconds."""
    begun = max(0, bisect_right(steps, start, key=lambda step: step[0]) - 1)
    ends = [since for since, _size in steps[begun + 1 :]]
    return sum(
        size * max(0, min(end, until) - max(start, since))
        for (since, size), until in zip(steps[begun:], [*ends, end], strict=False)
    )


def _days_of(span: Span) -> Iterator[tuple[int, int]]:
    for day in range(span.start // DAY_SECONDS, -(-span.end // DAY_SECONDS)):
        start, end = day * DAY_SECONDS, (day + 1) * DAY_SECONDS
        yield max(start, span.start), min(end, span.end)
