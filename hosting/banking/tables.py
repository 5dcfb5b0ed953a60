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

from hosting.banking.spelling import currency_in, is_balance, is_signed
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
    "currency": (
        "currency",
        "account currency",
        "currency code",
        "ccy",
        "währung",
        "waehrung",
        "whrg.",
        "whrg",
        "whg",
        "devise",
        "munt",
    ),
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
    # Whether it has moved at all: some banks list what is only announced, or what came to nothing.
    "status": ("status", "state", "info", "buchungsstatus", "transaction status"),
    # Whether money came or left, where amounts have no sign.
    "side": (
        "side",
        "cdtdbtind",
        "credit/debit",
        "debit/credit",
        "credit debit indicator",
        "soll/haben",
        "s/h",
        "d/c",
        "dr/cr",
        "cr/dr",
        "af bij",
    ),
}
# These say it as well, if nothing else stands in them. Some banks give the column no name.
MAYBE_SIDES = ("", "type", "transaction type", "details")
DELIMITERS = {";": _("Semicolon"), ",": _("Comma"), "\t": _("Tab"), "|": _("Bar")}
ENCODINGS = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252"}
# How CAMT, MT940 and banks say it, what is taken back included.
CAME = frozenset({"crdt", "credit", "cr", "c", "rd", "haben", "h", "bij"})
LEFT = frozenset({"dbit", "debit", "dr", "d", "rc", "soll", "s", "af"})
# As one or two letters they may stand for a kind of transfer.
_LEFT_IN_WORDS = frozenset(word for word in LEFT if len(word) > 2)  # noqa: PLR2004
BOOKED = frozenset(
    {
        "booked",
        "book",
        "gebucht",
        "umsatz gebucht",
        "completed",
        "settled",
        "posted",
        "cleared",
        "executed",
    }
)
UNBOOKED = frozenset(
    {
        "pending",
        "pdng",
        "vorgemerkt",
        "umsatz vorgemerkt",
        "reverted",
        "reversed",
        "declined",
        "failed",
        "rejected",
        "cancelled",
        "canceled",
        "authorised",
        "authorized",
        "offen",
    }
)
# To find out how so many are written takes seconds.
MOST_LINES = 50_000
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
        rows = list(islice(_numbered(reader, head), MOST_LINES + 1))
    except csv.Error as error:
        message = _("The list cannot be read from here on: %(error)s.") % {"error": error}
        raise UnreadableList(line=head.lines_before + reader.line_num, message=message) from error
    if len(rows) > MOST_LINES:
        message = _("At most %(most)s lines can be read here. Upload a shorter time.")
        raise UnreadableList(message=message % {"most": MOST_LINES})
    if not rows:
        raise UnreadableList(message=_("There is no line below the columns' names."))
    whole = [cells for _number, cells in rows if len(cells) == len(names)]
    places = {**_side(names, whole, amount=head.places.get("amount")), **head.places}
    places.pop("status", None)
    places |= _status(names, whole)
    records = [_record(number, cells, places, width=len(names)) for number, cells in rows]
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
    # What stands in two columns, so that nobody knows which of them counts.
    twice: str

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
        if self.twice:
            message = _("Two columns are called “%(name)s”. Leave the one that counts.")
            raise UnreadableList(
                line=self.lines_before + 1,
                column=self.twice,
                message=message % {"name": self.twice},
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
    places, counts = _places(names)
    amounts = [named[places[each]][1] for each in ("amount", "credit") if each in places]
    return _Head(
        start=start,
        lines_before=lines_before,
        delimiter=delimiter,
        places=places,
        currency=amounts[0] if amounts else "",
        twice=next((each for each in ("amount", "credit", "debit") if counts.get(each, 0) > 1), ""),
    )


def _places(names: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Where each column stands, and how often its name does."""
    places, counts = {}, {}
    for column, spellings in COLUMNS.items():
        name = next((spelling for spelling in spellings if spelling in names), None)
        if name is not None:
            places[column], counts[column] = names.index(name), names.count(name)
    if "currency" in places and "amount" in places:
        # A balance or a fee may have one of its own.
        name, amount = names[places["currency"]], places["amount"]
        alike = [place for place, each in enumerate(names) if each == name]
        places["currency"] = min(alike, key=lambda place: (abs(place - amount), -place))
    return places, counts


def _name(cell: str) -> tuple[str, str]:
    """What a column is called, without the currency of its amounts, and that currency."""
    name = " ".join(cell.split()).casefold()
    found = _IN_CURRENCY.fullmatch(name)
    currency = currency_in(found[2] or found[3]) if found else ""
    return (found[1], currency) if found and currency else (name, "")


# What stands in it ----------------------------------------------------------------------


def _cells(text: str, delimiter: str) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _numbered(reader: Any, head: _Head) -> Iterator[tuple[int, list[str]]]:
    start = reader.line_num + 1
    for cells in reader:
        if cells:
            yield head.lines_before + start, cells
        start = reader.line_num + 1


def _side(
    names: Sequence[str], rows: Sequence[Sequence[str]], *, amount: int | None
) -> dict[str, int]:
    """The column that says what came and what left, though its name may mean something else.

    If it says something else now and then, it counts where no sign does: what left would be taken
    for what came.
    """
    has_signs = amount is None or any(is_signed(cells[amount]) for cells in rows)
    for place, name in enumerate(names):
        if _name(name)[0] in MAYBE_SIDES:
            said = _said(rows, place)
            is_clear = said & (CAME | LEFT) and said <= CAME | LEFT | {""}
            if is_clear or (said & _LEFT_IN_WORDS and not has_signs):
                return {"side": place}
    return {}


def _status(names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, int]:
    """Of the columns that are called so, the one that says it: others tell of something else."""
    for place, name in enumerate(names):
        if _name(name)[0] in COLUMNS["status"] and _said(rows, place) & (BOOKED | UNBOOKED):
            return {"status": place}
    return {}


def _said(rows: Sequence[Sequence[str]], place: int) -> set[str]:
    return {cells[place].strip().casefold() for cells in rows}


def _record(number: int, cells: Sequence[str], places: Mapping[str, int], *, width: int) -> Record:
    if len(cells) != width:
        message = _("This line has %(found)s cells, there are %(wanted)s columns.")
        fault = message % {"found": len(cells), "wanted": width}
        return Record(number=number, cells={}, fault=fault)
    values = {name: cells[place].strip() for name, place in places.items()}
    fault = ""
    if values.get("status", "").casefold() not in BOOKED | {""}:
        fault = _("The bank has not booked this.")
    elif any(is_balance(cell) for cell in cells):
        fault = _("This is a balance and no payment.")
    return Record(number=number, cells=values, fault=fault)


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
