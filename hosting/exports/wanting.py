"""What can be asked for: the kinds of files, what each takes, and what a key needs for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from hosting.models import Export
from hosting.periods import Period

Kind = Export.Kind
CSV, JSON_LINES = "csv", "jsonl"
_MEDIA_TYPES = {CSV: "text/csv; charset=utf-8", JSON_LINES: "application/jsonl"}
_FIRST_DAY = date(1970, 1, 1)
# What each kind takes beside the organisation; the first of them are needed.
_OF_A_MONTH = frozenset({"month"})
_TAKES: Mapping[str, frozenset[str]] = {
    Kind.USAGE: _OF_A_MONTH,
    Kind.INVOICE_LINES: _OF_A_MONTH,
    Kind.CUSTOMERS: frozenset({"with_amounts"}),
    Kind.ACTIVITY: frozenset({"since", "until", "format"}),
    Kind.ACTIVITY_PROOF: frozenset(),
}
_SCOPES: Mapping[str, tuple[str, ...]] = {
    # Its prices and its tax are those of the bill.
    Kind.USAGE: ("usage:read", "invoices:read"),
    Kind.INVOICE_LINES: ("invoices:read",),
    Kind.CUSTOMERS: ("organisations:read",),
    Kind.ACTIVITY: ("audit:read",),
    Kind.ACTIVITY_PROOF: ("audit:read",),
}


class NotWanted(Exception):
    """These values make no sense together; `field` names the one that is wrong."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What of a kind: a month such as 2026-10, or days of which `until` is the first one left out.

    What was not asked for is None.
    """

    month: str | None = None
    since: str | None = None
    until: str | None = None
    format: str | None = None
    with_amounts: bool | None = None

    def as_data(self) -> dict[str, Any]:
        """As it is stored: what was asked for alone."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def check(self, kind: str) -> None:
        """Raise `NotWanted` where a kind does not take this, or needs more."""
        for name in self.as_data():
            if name not in _TAKES[kind]:
                message = f"An export of this kind takes no {name}."
                raise NotWanted(message, field=name)
        if "month" in _TAKES[kind]:
            self.period()
        since, until = self.day("since"), self.day("until")
        if since is not None and until is not None and since >= until:
            message = "This is the day after the last, so it lies behind since."
            raise NotWanted(message, field="until")
        if self.format not in {None, *_MEDIA_TYPES}:
            message = f"One of: {', '.join(_MEDIA_TYPES)}."
            raise NotWanted(message, field="format")

    def period(self) -> Period:
        """The month; raises `NotWanted`."""
        try:
            return Period.parse(self.month or "")
        except ValueError as error:
            message = "A month such as 2026-10 is needed."
            raise NotWanted(message, field="month") from error

    def day(self, name: str) -> date | None:
        """One of the days, if it was asked for; raises `NotWanted`."""
        text = getattr(self, name)
        if text is None:
            return None
        message = "A day such as 2026-11-03."
        try:
            day = date.fromisoformat(text)
        except ValueError as error:
            raise NotWanted(message, field=name) from error
        # Python reads 20261103 and 2026-W45-2 as well.
        if day < _FIRST_DAY or day.isoformat() != text:
            raise NotWanted(message, field=name)
        return day


def of(export: Export) -> Wanted:
    """What an export was asked to hold."""
    return Wanted(**export.wanted)


def scopes_for(kind: str, wanted: Wanted) -> tuple[str, ...]:
    """What a key needs, to ask for it and to fetch it, beside what all exports take."""
    return (*_SCOPES[kind], *(("invoices:read",) if wanted.with_amounts else ()))


def form_of(export: Export) -> str:
    """How the file is written: `csv` or `jsonl`."""
    if export.kind == Kind.ACTIVITY_PROOF:
        return JSON_LINES
    return of(export).format or CSV


def media_type(export: Export) -> str:
    """The type that the file is sent with."""
    return _MEDIA_TYPES[form_of(export)]


def file_name(export: Export) -> str:
    """A name that says what is in the file, in characters that every system takes."""
    name = export.organisation.name
    plain = "".join(each if each.isascii() and each.isalnum() else "-" for each in name)
    parts = (export.kind.replace("_", "-"), of(export).month, plain)
    stem = "-".join(part for part in parts if part)
    return f"{stem}.{form_of(export)}".lower()
