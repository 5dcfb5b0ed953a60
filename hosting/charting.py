"""Use over time as a picture: the numbers of an SVG, whole and made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

WIDTH = 600
HEIGHT = 160
_EPOCH = date(1970, 1, 1)
# Lines that people can read off: one, two or five, and noughts.
_STEPS = (1, 2, 5)
_MOST_LINES = 4


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A horizontal line, and what it stands for."""

    y: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture of `WIDTH` by `HEIGHT`; `points` and `area` are SVG's own words."""

    points: str
    area: str
    rules: tuple[Rule, ...]
    first: date
    last: date
    # What each day was on average.
    sizes: Mapping[date, int]


def use_chart(days: Mapping[int, int], *, first: int, last: int, day_seconds: int) -> Chart:
    """Steps of one day each, from the day `first` to the day `last`, counted from 1970.

    `days` has the byte-seconds of each day that brought any.
    """
    sizes = {day: days.get(day, 0) // day_seconds for day in range(first, last + 1)}
    rules = _rules(max(sizes.values()))
    top = rules[-1].bytes
    count = len(sizes)
    corners = []
    for place, size in enumerate(sizes.values()):
        y = HEIGHT - size * HEIGHT // top
        corners += [f"{place * WIDTH // count},{y}", f"{(place + 1) * WIDTH // count},{y}"]
    return Chart(
        points=" ".join(corners),
        area=" ".join([f"0,{HEIGHT}", *corners, f"{WIDTH},{HEIGHT}"]),
        rules=rules,
        first=_date(first),
        last=_date(last),
        sizes={_date(day): size for day, size in sizes.items()},
    )


def _rules(highest: int) -> tuple[Rule, ...]:
    """The fewest round steps that reach as high."""
    step = _step(highest)
    count = max(1, -(-highest // step))
    top = step * count
    return tuple(
        Rule(y=HEIGHT - step * line * HEIGHT // top, bytes=step * line) for line in range(count + 1)
    )


def _step(highest: int) -> int:
    power = 1
    while True:
        for step in _STEPS:
            if step * power * _MOST_LINES >= highest:
                return step * power
        power *= 10


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=day)
