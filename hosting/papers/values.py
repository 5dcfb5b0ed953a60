"""What a paper says, as finished values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from hosting import countries, money
from hosting.models import Logo

# Nobody reads more lines than these, and a thousand take WeasyPrint five seconds. A longer
# bill shows what they come to by price, and leads to all of them as CSV.
MOST_LINES = 500


@dataclass(frozen=True, kw_only=True)
class Party:
    """One of the two whom a bill is between, as the bill has kept it."""

    name: str
    address: Sequence[str]
    country: str
    vat_id: str

    @classmethod
    def of(cls, text: dict[str, Any]) -> Party:
        """Read what `BillingProfile.as_text` wrote."""
        return cls(
            name=text["name"],
            address=text["address"],
            country=countries.name(text["country"]),
            vat_id=text["vat_id"],
        )


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line in words. A correction is a difference, so it has no quantity of its own."""

    what: str
    detail: str
    net: str
    quantity: str = ""
    unit: str = ""
    unit_price: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """Lines with what they come to; only the sections of a statement have titles."""

    lines: Sequence[Line]
    title: str = ""
    net_text: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class VatRow:
    """What is taxed at one rate, and the tax."""

    label: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A bill, a credit note or a statement with all that it says."""

    title: str
    number: str
    issued_on: date
    # Nothing is due on a credit note.
    due_on: date | None
    period_text: str
    currency: str
    seller: Party
    buyer: Party
    logo: Logo | None
    # What it takes back and why, for a credit note.
    corrects: str
    reason: str
    # Which bill of the same month it stands in the place of.
    replaces: str
    sections: Sequence[Section]
    line_count: int
    net_text: str
    # One each rate, and the sentences that go with them.
    vat: Sequence[VatRow]
    vat_notes: Sequence[str]
    total_label: str
    total_text: str
    notes: Sequence[str]

    @property
    def is_summary(self) -> bool:
        """Whether its lines are too many to stand on it one by one."""
        return self.line_count > MOST_LINES

    @property
    def line_count_text(self) -> str:
        """How many they are."""
        return f"{self.line_count:,}"


def amount(minor: int, *, currency: str) -> str:
    """`123450` EUR as `1,234.50`."""
    return number(money.from_minor(minor, currency=currency))


def number(value: Decimal) -> str:
    """Grouped by thousands, in full, with a true minus."""
    return f"{value:,f}".replace("-", "\N{MINUS SIGN}")


def quantity(value: Decimal) -> str:
    """The same without zeros at its end."""
    return number(value.normalize())
