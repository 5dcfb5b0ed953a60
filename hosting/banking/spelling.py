"""How banks write amounts and days in a cell, and which way of writing a whole column follows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import TypeVar

from django.utils.translation import gettext as _

from hosting import money
from hosting.piecework import UnreadableList

_Choice = TypeVar("_Choice")
_Value = TypeVar("_Value")

DECIMAL_SIGNS = {",": _("Comma: 1.234,56"), ".": _("Point: 1,234.56")}
DATES = {
    "%Y-%m-%d": "2026-10-31",
    "%d.%m.%Y": "31.10.2026",
    "%d.%m.%y": "31.10.26",
    "%d/%m/%Y": "31/10/2026",
    "%m/%d/%Y": "10/31/2026",
    "%d-%m-%Y": "31-10-2026",
    "%m-%d-%Y": "10-31-2026",
    "%Y/%m/%d": "2026/10/31",
    "%Y%m%d": "20261031",
    "%d %b %Y": "31 Oct 2026",
}
# What may stand for digits and letters in each part of a day; Python would read more.
_PARTS = {"%Y": r"\d{4}", "%y": r"\d{2}", "%m": r"\d{2}", "%d": r"\d{2}", "%b": "[A-Za-z]{3}"}
# Some banks tell the time as well. A payment has the day that the bank wrote.
_TIME = r"(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
# What may stand between groups of three digits, beside the other decimal sign.
_GROUPING = " \u00a0\u202f'’"  # noqa: RUF001  # as banks write it
_MINUS = ("-", "−", "–")  # noqa: RUF001  # as banks write it
# A dollar may be one of many, but the house sells in one of them only.
_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}
_WORD = "[A-Za-z]{3}|[€$£¥]"
_AMOUNT = re.compile(
    rf"(?P<sign>[{re.escape('+' + ''.join(_MINUS))}]?)(?:\s?(?P<before>{_WORD}))?"
    rf"(?P<digits>[^A-Za-z€$£¥]*)(?P<after>{_WORD})?"
)
# Some banks put what the account held into lines like those of payments.
_BALANCE = re.compile(
    r"(?:(?:anfangs|end|schluss|begin|eind)saldo|saldovortrag|(?:alter|neuer) (?:saldo|kontostand)"
    r"|(?:opening|closing|beginning|ending) balance|balance (?:brought|carried) forward"
    r"|solde (?:initial|final))(?:(?: as of| on| am| vom| per| au)? [0-9./-]{8,10})?:?",
    re.IGNORECASE,
)
# Far beyond any payment, and far below what the column holds.
_MOST_DIGITS = 14
_LONGEST_QUOTE = 60


class Unreadable(Exception):
    """One cell cannot be read; the text says why."""


def currency_in(text: str) -> str:
    """The house's currency that these words name, or nothing: `(€)`, `EUR`, `chf`."""
    word = text.strip().strip("()[]").strip()
    code = _SIGNS.get(word, word.upper())
    return code if code in money.EXPONENTS else ""


def currency_beside(text: str) -> str:
    """The house's currency that an amount names, or nothing: `7,49 €`, `EUR 7.49`."""
    return currency_in(_apart(text)[1])


def known(currency: str) -> str:
    """A currency of the house as it is; raises `Unreadable` for another."""
    if currency not in money.EXPONENTS:
        message = _("%(currency)s is not a currency of the house.")
        raise Unreadable(message % {"currency": _quotable(currency)})
    return currency


def amount(text: str, decimal: str, currency: str) -> int:
    """An amount as a bank writes it, in minor units; raises `Unreadable`.

    It may name its currency, if that is the one of its line.
    """
    exponent = money.EXPONENTS[known(currency)]
    digits, named = _apart(text)
    if named and currency_in(named) != currency:
        message = _("This is in another currency than its line, which is in %(currency)s.")
        raise Unreadable(message % {"currency": currency})
    digits, is_negative = _signed(digits)
    groups = "[" + re.escape(_GROUPING + ("." if decimal == "," else ",")) + "]"
    pattern = rf"(\d+|\d{{1,3}}(?:{groups}\d{{3}})+)(?:{re.escape(decimal)}(\d+))?"
    found = re.fullmatch(pattern, digits, re.ASCII)
    if found is None:
        raise Unreadable(_("This is no amount."))
    whole, part = re.sub(r"\D", "", found[1]), (found[2] or "").ljust(exponent, "0")
    if part[exponent:].strip("0"):
        message = _("%(currency)s has no amounts as fine as this.")
        raise Unreadable(message % {"currency": currency})
    minor = (whole + part[:exponent]).lstrip("0")
    if len(minor) > _MOST_DIGITS:
        raise Unreadable(_("Nobody pays so much."))
    if not minor:
        raise Unreadable(_("Nothing was paid."))
    return int(minor) * (-1 if is_negative else 1)


def _apart(text: str) -> tuple[str, str]:
    """The amount with its sign, and what stands beside it as a currency does."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or not re.search(r"\d", found["digits"]):
        return text, ""
    return found["sign"] + found["digits"].strip(), found["before"] or found["after"] or ""


def _signed(text: str) -> tuple[str, bool]:
    """The amount without its sign, which stands before or after it."""
    text = text.strip()
    for minus in _MINUS:
        if text.startswith(minus):
            return text[1:].strip(), True
        if text.endswith(minus):
            return text[:-1].strip(), True
    return text.removeprefix("+").strip(), False


def is_signed(text: str) -> bool:
    """Whether there is a minus in it, wherever it stands."""
    return any(minus in text for minus in _MINUS)


def is_balance(text: str) -> bool:
    """Whether it says that its line tells what the account held."""
    return bool(_BALANCE.fullmatch(" ".join(text.split())))


def day(text: str, date_format: str) -> date:
    """The day that a bank wrote in one of `DATES`; raises `Unreadable`."""
    shape = re.escape(date_format)
    for part, written in _PARTS.items():
        shape = shape.replace(part, written)
    found = re.fullmatch(rf"({shape}){_TIME}", text, re.ASCII)
    if found is None:
        raise Unreadable(_("This is no day."))
    try:
        return datetime.strptime(found[1], date_format).date()  # noqa: DTZ007  # a day has no zone
    except ValueError as error:
        raise Unreadable(_("This is no day.")) from error


def decimal_of(texts: Iterable[tuple[str, str]]) -> str:
    """The decimal sign of amounts, each with its currency; raises `UnreadableList`."""
    known_texts = list(texts)

    def read_by(sign: str) -> list[int | None]:
        return [_or_none(amount, text, sign, code) for text, code in known_texts]

    return _clear(DECIMAL_SIGNS, read_by, column="amount")


def date_format_of(texts: Iterable[str]) -> str:
    """How these days are written; raises `UnreadableList` where it is unclear."""
    known_texts = list(texts)

    def read_by(date_format: str) -> list[date | None]:
        return [_or_none(day, text, date_format) for text in known_texts]

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
    except Unreadable:
        return None


def words(text: str) -> str:
    """Words on one line; raises `Unreadable` for what cannot be shown."""
    line = " ".join(text.split())
    if not line.isprintable():
        raise Unreadable(_("This has characters that cannot be shown."))
    return line


def _quotable(text: str) -> str:
    shown = text if text.isprintable() else text.encode("unicode_escape").decode()
    return shown if len(shown) <= _LONGEST_QUOTE else f"{shown[:_LONGEST_QUOTE]}…"
