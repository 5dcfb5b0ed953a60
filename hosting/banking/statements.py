"""Reading a bank statement: how it is written is found out, or asked for where it is unclear."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import Any, TypeVar

from django.utils.translation import gettext as _

from hosting import money
from hosting.piecework import UnreadableList, without_nul

_Choice = TypeVar("_Choice")
_Value = TypeVar("_Value")

# What a column is called, in small letters; the first name is ours.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "date": ("date", "booking date", "value date", "buchungstag", "buchungsdatum", "datum"),
    "amount": ("amount", "betrag", "umsatz", "value"),
    "currency": ("currency", "währung", "waehrung"),
    "payer": (
        "payer",
        "name",
        "counterparty",
        "auftraggeber",
        "beguenstigter/zahlungspflichtiger",
        "name zahlungsbeteiligter",
    ),
    "reference": (
        "reference",
        "verwendungszweck",
        "purpose",
        "description",
        "remittance information",
    ),
    "bank_id": ("bank_id", "bank id", "id", "transaction id", "umsatz-id"),
    # Whether money came or left, where amounts have no sign. Some banks give it no name.
    "side": (
        "side",
        "cdtdbtind",
        "credit/debit",
        "debit/credit",
        "credit debit indicator",
        "soll/haben",
        "s/h",
        "",
    ),
}
NEEDED_COLUMNS = ("date", "amount")
DELIMITERS = {";": _("Semicolon"), ",": _("Comma"), "\t": _("Tab"), "|": _("Bar")}
DECIMAL_SIGNS = {",": _("Comma: 1.234,56"), ".": _("Point: 1,234.56")}
ENCODINGS = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252"}
DATES = {
    "%Y-%m-%d": "2026-10-31",
    "%d.%m.%Y": "31.10.2026",
    "%d.%m.%y": "31.10.26",
    "%d/%m/%Y": "31/10/2026",
    "%m/%d/%Y": "10/31/2026",
}
# What may stand between groups of three digits, beside the other decimal sign.
_GROUPING = " \u00a0\u202f'’"  # noqa: RUF001  # as banks write it
_MINUS = ("-", "−", "–")  # noqa: RUF001  # as banks write it
# How CAMT, MT940 and German banks say it, what is taken back included.
_CAME = frozenset({"crdt", "credit", "cr", "c", "rd", "haben", "h"})
_LEFT = frozenset({"dbit", "debit", "dr", "d", "rc", "soll", "s"})
# Far beyond any payment, and far below what the column holds.
_MOST_DIGITS = 14
_LONGEST_QUOTE = 60


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a statement is written. Empty stands for: find it out."""

    encoding: str = ""
    delimiter: str = ""
    decimal: str = ""
    date_format: str = ""

    def as_data(self) -> dict[str, Any]:
        """How it is stored."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line that can be read; money that left is below zero."""

    number: int
    day: date
    amount_minor: int
    currency: str
    payer: str
    reference: str
    bank_id: str

    @property
    def amount_text(self) -> str:
        """What moved."""
        return money.minor_text(self.amount_minor, currency=self.currency)


@dataclass(frozen=True, kw_only=True, slots=True)
class BadLine:
    """One line that cannot be read, and why."""

    number: int
    column: str
    fault: str


@dataclass(kw_only=True)
class Statement:
    """A statement that was read, and how it turned out to be written."""

    form: Form
    lines: list[Line | BadLine] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Record:
    number: int
    cells: Mapping[str, str]
    fault: str = ""


class _Unreadable(Exception):
    """One cell cannot be read; the text says why."""


def decode(content: bytes, *, encoding: str = "") -> tuple[str, str]:
    """The text of a file and its encoding; raises `UnreadableList`."""
    tried = [encoding] if encoding else _likely_encodings(content)
    for each in tried:
        try:
            return without_nul(content.decode(each)), each
        except UnicodeDecodeError as error:
            fault = error
    line = content[: fault.start].count(b"\n") + 1
    message = _("This is not %(encoding)s. Choose another encoding.")
    raise UnreadableList(line=line, message=message % {"encoding": ENCODINGS[tried[-1]]})


def _likely_encodings(content: bytes) -> list[str]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ["utf-16"]
    return ["utf-8-sig", "cp1252"]


def read(text: str, *, form: Form, currency: str) -> Statement:
    """The lines of a statement; raises `UnreadableList` where its form is wrong or unclear.

    `currency` is that of lines that name none.
    """
    if not text.strip():
        raise UnreadableList(message=_("The list is empty."))
    delimiter = form.delimiter or _delimiter(text)
    records = _records(text, delimiter)
    good = [record for record in records if not record.fault]
    decimal = form.decimal or _decimal(good, currency)
    date_format = form.date_format or _date_format(good)
    found = Form(
        encoding=form.encoding, delimiter=delimiter, decimal=decimal, date_format=date_format
    )
    return Statement(form=found, lines=[_line(each, found, currency) for each in records])


# The table ------------------------------------------------------------------------------


def _delimiter(text: str) -> str:
    """The one by which the first line falls into the most columns that we know."""

    def known(delimiter: str) -> int:
        try:
            return len(_header(next(_cells(text, delimiter), [])))
        except csv.Error:
            # What stands behind a closing quote is not this delimiter.
            return 0

    return max(DELIMITERS, key=known)


def _cells(text: str, delimiter: str) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _header(cells: Sequence[str]) -> dict[str, int]:
    """Where each column that we know stands; the first one counts."""
    names = [" ".join(cell.split()).casefold() for cell in cells]
    places: dict[str, int] = {}
    for column, spellings in COLUMNS.items():
        found = [names.index(spelling) for spelling in spellings if spelling in names]
        if found:
            places[column] = found[0]
    return places


def _records(text: str, delimiter: str) -> list[_Record]:
    reader = _cells(text, delimiter)
    try:
        first: list[str] = next(reader, [])
        width, places = len(first), _header(first)
        for column in NEEDED_COLUMNS:
            if column not in places:
                message = _("The first line names the columns, and “%(name)s” is missing.")
                raise UnreadableList(column=column, message=message % {"name": column})
        records = list(_numbered(reader, width, places))
        if "side" in places and not first[places["side"]].strip():
            records = _without_other_side(records)
    except csv.Error as error:
        message = _("The list cannot be read from here on: %(error)s.") % {"error": error}
        raise UnreadableList(line=reader.line_num, message=message) from error
    if not records:
        raise UnreadableList(message=_("There is no line below the first one."))
    return records


def _without_other_side(records: list[_Record]) -> list[_Record]:
    """A column without a name says what came and what left, or else something that we pass over."""
    said = {record.cells.get("side", "").casefold() for record in records}
    if said <= _CAME | _LEFT | {""}:
        return records
    return [replace(record, cells={**record.cells, "side": ""}) for record in records]


def _numbered(reader: Any, width: int, places: Mapping[str, int]) -> Iterator[_Record]:
    start = reader.line_num + 1
    for cells in reader:
        if len(cells) == width:
            values = {name: cells[place].strip() for name, place in places.items()}
            yield _Record(number=start, cells=values)
        elif cells:
            message = _("This line has %(found)s cells, the first line has %(wanted)s.")
            fault = message % {"found": len(cells), "wanted": width}
            yield _Record(number=start, cells={}, fault=fault)
        start = reader.line_num + 1


# How amounts and days are written -------------------------------------------------------


def _decimal(records: Iterable[_Record], currency: str) -> str:
    texts = [(record.cells["amount"], _currency(record, currency)) for record in records]

    def read_by(sign: str) -> list[int | None]:
        return [_or_none(amount, text, sign, code) for text, code in texts]

    return _clear(DECIMAL_SIGNS, read_by, column="amount")


def _date_format(records: Iterable[_Record]) -> str:
    texts = [record.cells["date"] for record in records]

    def read_by(date_format: str) -> list[date | None]:
        return [_or_none(_day, text, date_format) for text in texts]

    return _clear(DATES, read_by, column="date")


def _clear(
    choices: Iterable[_Choice],
    read_by: Callable[[_Choice], list[_Value | None]],
    *,
    column: str,
) -> _Choice:
    """The choice by which most can be read; raises `UnreadableList` if two differ in meaning."""
    read = {choice: read_by(choice) for choice in choices}
    scores = {choice: len(values) - values.count(None) for choice, values in read.items()}
    best = max(scores.values())
    likely = [choice for choice, score in scores.items() if score == best]
    if best and any(read[choice] != read[likely[0]] for choice in likely):
        message = _("It is not clear how this column is written. Choose it.")
        raise UnreadableList(column=column, message=message)
    return likely[0]


def _or_none(read: Callable[..., _Value], *given: str) -> _Value | None:
    try:
        return read(*given)
    except _Unreadable:
        return None


def _currency(record: _Record, fallback: str) -> str:
    return record.cells.get("currency", "").upper() or fallback


def _known(currency: str) -> str:
    if currency not in money.EXPONENTS:
        message = _("%(currency)s is not a currency of the house.")
        raise _Unreadable(message % {"currency": _quotable(currency)})
    return currency


def amount(text: str, decimal: str, currency: str) -> int:
    """An amount as a bank writes it, in minor units; raises an error with the reason."""
    exponent = money.EXPONENTS[_known(currency)]
    digits, is_negative = _signed(text)
    groups = "[" + re.escape(_GROUPING + ("." if decimal == "," else ",")) + "]"
    pattern = rf"(\d+|\d{{1,3}}(?:{groups}\d{{3}})+)(?:{re.escape(decimal)}(\d+))?"
    found = re.fullmatch(pattern, digits, re.ASCII)
    if found is None:
        raise _Unreadable(_("This is no amount."))
    whole, part = re.sub(r"\D", "", found[1]), (found[2] or "").ljust(exponent, "0")
    if part[exponent:].strip("0"):
        message = _("%(currency)s has no amounts as fine as this.")
        raise _Unreadable(message % {"currency": currency})
    minor = (whole + part[:exponent]).lstrip("0")
    if len(minor) > _MOST_DIGITS:
        raise _Unreadable(_("Nobody pays so much."))
    if not minor:
        raise _Unreadable(_("Nothing was paid."))
    return int(minor) * (-1 if is_negative else 1)


def _signed(text: str) -> tuple[str, bool]:
    """The amount without its sign, which stands before or after it."""
    text = text.strip()
    for minus in _MINUS:
        if text.startswith(minus):
            return text[1:].strip(), True
        if text.endswith(minus):
            return text[:-1].strip(), True
    return text.removeprefix("+").strip(), False


def _day(text: str, date_format: str) -> date:
    # Python would read other digits and shorter years as well.
    shape = re.escape(date_format).replace("%Y", r"\d{4}")
    for part in ("%y", "%m", "%d"):
        shape = shape.replace(part, r"\d{2}")
    if not re.fullmatch(shape, text, re.ASCII):
        raise _Unreadable(_("This is no day."))
    try:
        return datetime.strptime(text, date_format).date()  # noqa: DTZ007  # a day has no zone
    except ValueError as error:
        raise _Unreadable(_("This is no day.")) from error


# Lines ----------------------------------------------------------------------------------


def _line(record: _Record, form: Form, currency: str) -> Line | BadLine:
    if record.fault:
        return BadLine(number=record.number, column="", fault=record.fault)
    column = "date"
    try:
        day = _day(record.cells["date"], form.date_format)
        column = "currency"
        code = _known(_currency(record, currency))
        column = "amount"
        minor = amount(record.cells["amount"], form.decimal, code)
        column = "side"
        minor = _sided(minor, record.cells.get("side", ""))
        texts = {}
        for column in ("payer", "reference", "bank_id"):  # named if it is bad
            texts[column] = _text(record.cells.get(column, ""))
    except _Unreadable as fault:
        return BadLine(number=record.number, column=column, fault=str(fault))
    return Line(number=record.number, day=day, amount_minor=minor, currency=code, **texts)


def _sided(minor: int, side: str) -> int:
    """The amount with the sign that another column has for it; without one, as it is."""
    side = side.casefold()
    if not side or (side in _LEFT and minor < 0):
        return minor
    if side in _LEFT:
        return -minor
    if side not in _CAME or minor < 0:
        raise _Unreadable(_("It is not clear whether this came in or left."))
    return minor


def _text(text: str) -> str:
    """Words on one line."""
    words = " ".join(text.split())
    if not words.isprintable():
        raise _Unreadable(_("This has characters that cannot be shown."))
    return words


def _quotable(text: str) -> str:
    shown = text if text.isprintable() else text.encode("unicode_escape").decode()
    return shown if len(shown) <= _LONGEST_QUOTE else f"{shown[:_LONGEST_QUOTE]}…"
