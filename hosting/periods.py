"""Months as bills know them, in UTC: half-open, so that no second belongs to two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property


@dataclass(frozen=True, order=True)
class Period:
    """One calendar month; its end is the beginning of the next one."""

    year: int
    month: int

    def __post_init__(self) -> None:
        """Refuse what no calendar has."""
        date(self.year, self.month, 1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read `2026-10`; raise `ValueError` for anything else."""
        year, hyphen, month = text.partition("-")
        is_plain = year.isascii() and month.isascii() and year.isdigit() and month.isdigit()
        if not (hyphen and is_plain and len(year) == 4 and len(month) == 2):  # noqa: PLR2004
            message = f"“{text}” is no month. Write year and month, for example 2026-10."
            raise ValueError(message)
        try:
            return cls(int(year), int(month))
        except ValueError as error:
            message = f"There is no month {text}."
            raise ValueError(message) from error

    @classmethod
    def of(cls, at: datetime) -> Period:
        """The month in which a moment lies, whatever zone it is told in."""
        there = at.astimezone(UTC)
        return cls(there.year, there.month)

    @classmethod
    def of_day(cls, day: date) -> Period:
        """The month of a day."""
        return cls(day.year, day.month)

    @property
    def next(self) -> Period:
        """The month after."""
        return Period(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def previous(self) -> Period:
        """The month before."""
        return Period(self.year - (self.month == 1), (self.month - 2) % 12 + 1)

    @property
    def first_day(self) -> date:
        """Its first day."""
        return date(self.year, self.month, 1)

    @property
    def starts_at(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def ends_at(self) -> datetime:
        """The first moment that is not in it any more."""
        return self.next.starts_at

    @cached_property
    def start(self) -> int:
        """Its first second, of Unix time."""
        return int(self.starts_at.timestamp())

    @cached_property
    def end(self) -> int:
        """The first second that is not in it any more."""
        return int(self.ends_at.timestamp())

    @cached_property
    def seconds(self) -> int:
        """How long it is."""
        return self.end - self.start

    def until(self, last: Period) -> Iterator[Period]:
        """This month and those after it, `last` included."""
        here = self
        while here <= last:
            yield here
            here = here.next
