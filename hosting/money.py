"""Money: decimal, rounded once, in words. `float` has no place here."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

# ISO 4217 exponents of the currencies the house sells in.
EXPONENTS = {"EUR": 2, "USD": 2, "GBP": 2, "CHF": 2, "JPY": 0, "BHD": 3}


def rounded(amount: Decimal, *, currency: str) -> Decimal:
    """The amount to the currency's smallest unit, halves away from zero."""
    return amount.quantize(Decimal(1).scaleb(-EXPONENTS[currency]), rounding=ROUND_HALF_UP)


def text(amount: Decimal, *, currency: str) -> str:
    """`2.50 EUR`."""
    return f"{rounded(amount, currency=currency)} {currency}"
