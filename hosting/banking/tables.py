"""The table in a bank's file: its encoding, where it begins, what stands in which column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from hosting.banking.spelling import currency_in
from hosting.piecework import UnreadableList, without_nul

# What a column is called, in small letters; the first name is ours.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "date": (
        "date",
        "booking date",
        "value date",
        "completed date",
        "transaction date",
        "buchungstag",
        "buchungsdatum",
        "buchung",
        "datum",
    ),
    "amount": ("amount", "betrag", "umsatz", "value", "bedrag", "montant"),
    # What came and what left, where each has a column of its own.
    "credit": (
        "credit",
        "credit amount",
        "paid in",
        "money in",
        "haben",
        "gutschrift",
        "crédit",
    ),
    "debit": (
        "debit",
        "debit amount",
        "paid out",
        "money out",
        "soll",
        "lastschrift",
        "belastung",
        "débit",
    ),
    "currency": ("currency", "währung", "waehrung", "devise", "munt"),
    "payer": (
        "payer",
        "payer name",
        "name",
        "counterparty",
        "counter party",
        "partner name",
        "payee",
        "auftraggeber",
        "auftraggeber/empfänger",
        "auftraggeber / begünstigter",
        "begünstigter / auftraggeber",
        "beguenstigter/zahlungspflichtiger",
        "zahlungspflichtige*r",
        "name zahlungsbeteiligter",
        "naam / omschrijving",
        "naam tegenpartij",
    ),
    "reference": (
        "reference",
        "payment reference",
        "verwendungszweck",
        "purpose",
        "remittance information",
        "mededelingen",
        "libellé",
        "description",
        "buchungstext",
    ),
    "bank_id": ("bank_id", "bank id", "id", "transaction id", "transferwise id", "umsatz-id"),
    # Whether money came or left, where amounts have no sign. Some banks give it no name.
    "side": (
        "side",
        "cdtdbtind",
        "credit/debit",
        "debit/credit",
        "credit debit indicator",
        "soll/haben",
        "s/h",
        "af bij",
        "",
    ),
}
DELIMITERS = {";": _("Semicolon"), ",": _("Comma"), "\t": _("Tab"), "|": _("Bar")}
ENCODINGS = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252"}
# How CAMT, MT940 and banks say it, what is taken back included.
CAME = frozenset({"crdt", "credit", "cr", "c", "rd", "haben", "h", "bij"})
LEFT = frozenset({"dbit", "debit", "dr", "d", "rc", "soll", "s", "af"})
# Some banks tell of the account before the table begins, in fewer lines than these.
_MOST_LINES_BEFORE = 40
_LINE_END = re.compile(r"\r\n|\n|\r")
_LONGEST_HEAD = 20_000
# A column's name may say in which currency its amounts are: `Betrag (€)`, `Umsatz in EUR`.
_IN_CURRENCY = re.compile(r"(.+?) ?(?:\(([^()]+)\)| in ([a-z]{3}))")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line of the table; `number` is its line in the file.

    `cells` has what stands in the columns that we know, and what came or left as one amount.
    """

    number: int
    cells: Mapping[str, str]
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The lines of a table, and the currency that its amounts' column names."""

    records: Sequence[Record]
    currency: str


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


def find(text: str, *, delimiter: str = "") -> tuple[Table, str]:
    """The table in the text of a file, and its delimiter; raises `UnreadableList`."""
    if not text.strip():
        raise UnreadableList(message=_("The list is empty."))
    head = _head(text, [delimiter] if delimiter else list(DELIMITERS))
    reader = _cells(text[head.start :], head.delimiter)
    try:
        names: list[str] = next(reader, [])
        head.refuse_what_is_missing()
        records = list(_numbered(reader, head, width=len(names)))
    except csv.Error as error:
        message = _("The list cannot be read from here on: %(error)s.") % {"error": error}
        raise UnreadableList(line=head.lines_before + reader.line_num, message=message) from error
    if not records:
        raise UnreadableList(message=_("There is no line below the columns' names."))
    if "side" in head.places and not names[head.places["side"]].strip():
        records = _without_other_side(records)
    return Table(records=[_moved(each) for each in records], currency=head.currency), head.delimiter


# Where it begins ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Head:
    """The line with the columns' names: where it starts, and where each column stands."""

    start: int
    lines_before: int
    delimiter: str
    places: Mapping[str, int]
    currency: str

    @property
    def missing(self) -> str:
        """A column without which nothing can be read, or nothing."""
        if "date" not in self.places:
            return "date"
        return "" if self.places.keys() & {"amount", "credit"} else "amount"

    def refuse_what_is_missing(self) -> None:
        """Raise `UnreadableList` if there is such a column."""
        if name := self.missing:
            message = _("One line has to name the columns, and “%(name)s” is missing.")
            raise UnreadableList(
                line=self.lines_before + 1, column=name, message=message % {"name": name}
            )


def _head(text: str, delimiters: Sequence[str]) -> _Head:
    """The first line that names all that is needed, or else the one that names the most."""
    heads = []
    for lines_before, start in enumerate(_starts(text)):
        each = [_head_at(text, start, lines_before, delimiter) for delimiter in delimiters]
        heads.append(max(each, key=_fullness))
        if not heads[-1].missing:
            return heads[-1]
    return max(heads, key=_fullness)


def _fullness(head: _Head) -> tuple[bool, int]:
    return not head.missing, len(head.places)


def _starts(text: str) -> Iterator[int]:
    yield 0
    for found in islice(_LINE_END.finditer(text), _MOST_LINES_BEFORE):
        yield found.end()


def _head_at(text: str, start: int, lines_before: int, delimiter: str) -> _Head:
    try:
        cells: list[str] = next(_cells(text[start : start + _LONGEST_HEAD], delimiter), [])
    except csv.Error:
        # What stands behind a closing quote is not this delimiter.
        cells = []
    named = [_name(cell) for cell in cells]
    names = [name for name, _currency in named]
    places: dict[str, int] = {}
    for column, spellings in COLUMNS.items():
        found = [names.index(spelling) for spelling in spellings if spelling in names]
        if found:
            places[column] = found[0]
    amounts = [named[places[each]][1] for each in ("amount", "credit") if each in places]
    return _Head(
        start=start,
        lines_before=lines_before,
        delimiter=delimiter,
        places=places,
        currency=amounts[0] if amounts else "",
    )


def _name(cell: str) -> tuple[str, str]:
    """What a column is called, without the currency of its amounts, and that currency."""
    name = " ".join(cell.split()).casefold()
    found = _IN_CURRENCY.fullmatch(name)
    currency = currency_in(found[2] or found[3]) if found else ""
    return (found[1], currency) if found and currency else (name, "")


# What stands in it ----------------------------------------------------------------------


def _cells(text: str, delimiter: str) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _numbered(reader: Any, head: _Head, *, width: int) -> Iterator[Record]:
    start = reader.line_num + 1
    for cells in reader:
        number = head.lines_before + start
        if len(cells) == width:
            values = {name: cells[place].strip() for name, place in head.places.items()}
            yield Record(number=number, cells=values)
        elif cells:
            message = _("This line has %(found)s cells, there are %(wanted)s columns.")
            fault = message % {"found": len(cells), "wanted": width}
            yield Record(number=number, cells={}, fault=fault)
        start = reader.line_num + 1


def _without_other_side(records: list[Record]) -> list[Record]:
    """A column without a name says what came and what left, or else something that we pass over."""
    said = {record.cells.get("side", "").casefold() for record in records}
    if said <= CAME | LEFT | {""}:
        return records
    return [replace(record, cells={**record.cells, "side": ""}) for record in records]


def _moved(record: Record) -> Record:
    """The record with one amount and its side, where what came and what left stand apart."""
    moved = {name: record.cells.get(name, "") for name in ("credit", "debit")}
    told = [name for name, text in moved.items() if re.search("[1-9]", text)]
    if len(told) > 1:
        return replace(record, fault=_("It is not clear whether this came in or left."))
    if told:
        return replace(record, cells={**record.cells, "amount": moved[told[0]], "side": told[0]})
    amount = record.cells.get("amount") or moved["credit"] or moved["debit"]
    return replace(record, cells={**record.cells, "amount": amount})
