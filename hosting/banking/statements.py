"""Reading a bank statement: how it is written is found out, or asked for where it is unclear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from django.utils.translation import gettext as _

from hosting import money
from hosting.banking import spelling, tables
from hosting.banking.spelling import Unreadable
from hosting.banking.tables import Record


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


def read(text: str, *, form: Form, currency: str) -> Statement:
    """The lines of a statement; raises `UnreadableList` where its form is wrong or unclear.

    `currency` is that of lines that name none.
    """
    table, delimiter = tables.find(text, delimiter=form.delimiter)
    default = _Default(stated=table.currency, fallback=currency)
    good = [record.cells for record in table.records if not record.fault]
    amounts = [(cells["amount"], _currency(cells, default)) for cells in good]
    found = Form(
        encoding=form.encoding,
        delimiter=delimiter,
        decimal=form.decimal or spelling.decimal_of(amounts),
        date_format=form.date_format or spelling.date_format_of(cells["date"] for cells in good),
    )
    return Statement(form=found, lines=[_line(each, found, default) for each in table.records])


@dataclass(frozen=True, kw_only=True)
class _Default:
    """The currency that the amounts' column states, if it does, and that of lines without one."""

    stated: str
    fallback: str


def _currency(cells: Mapping[str, str], default: _Default) -> str:
    named = cells.get("currency", "").upper() or spelling.currency_beside(cells["amount"])
    return named or default.stated or default.fallback


def _known_currency(cells: Mapping[str, str], default: _Default) -> str:
    """What a line is in; raises `Unreadable` where that contradicts the name of the column."""
    code = spelling.known(_currency(cells, default))
    if default.stated not in {"", code}:
        # Some banks tell beside it in which currency the payer had paid.
        message = _("This line is in another currency than its column, which is in %(stated)s.")
        raise Unreadable(message % {"stated": default.stated})
    return code


def _line(record: Record, form: Form, default: _Default) -> Line | BadLine:
    if record.fault:
        return BadLine(number=record.number, column="", fault=record.fault)
    column = "date"
    try:
        day = spelling.day(record.cells["date"], form.date_format)
        column = "currency"
        code = _known_currency(record.cells, default)
        column = "amount"
        minor = spelling.amount(record.cells["amount"], form.decimal, code)
        column = "side"
        minor = _sided(minor, record.cells.get("side", ""))
        texts = {}
        for column in ("payer", "reference", "bank_id"):  # named if it is bad
            texts[column] = spelling.words(record.cells.get(column, ""))
    except Unreadable as fault:
        return BadLine(number=record.number, column=column, fault=str(fault))
    return Line(number=record.number, day=day, amount_minor=minor, currency=code, **texts)


def _sided(minor: int, side: str) -> int:
    """The amount with the sign that another column has for it; without one, as it is."""
    side = side.casefold()
    if not side or (side in tables.LEFT and minor < 0):
        return minor
    if side in tables.LEFT:
        return -minor
    if side not in tables.CAME or minor < 0:
        raise Unreadable(_("It is not clear whether this came in or left."))
    return minor
