"""Money: exact until it is rounded, once, in words. `float` has no place here.

Amounts are kept in the currency's smallest unit, as whole numbers; prices may be finer.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

# ISO 4217 exponents of the currencies the house sells in.
EXPONENTS = {"EUR": 2, "USD": 2, "GBP": 2, "CHF": 2, "JPY": 0, "BHD": 3}
CURRENCIES = tuple((code, code) for code in EXPONENTS)


class TooFine(ValueError):
    """An amount has more decimals than its currency."""


def rounded(amount: Decimal, *, currency: str) -> Decimal:
    """The amount to the currency's smallest unit, halves away from zero."""
    return amount.quantize(Decimal(1).scaleb(-EXPONENTS[currency]), rounding=ROUND_HALF_UP)


def text(amount: Decimal, *, currency: str) -> str:
    """`2.50 EUR`."""
    return f"{rounded(amount, currency=currency)} {currency}"


def to_minor(amount: Fraction, *, currency: str) -> int:
    """An exact amount in the currency's smallest unit, halves away from zero."""
    return minor_of(amount.numerator, amount.denominator, currency=currency)


def minor_of(numerator: int, denominator: int, *, currency: str) -> int:
    """The same of a ratio that need not be reduced, which takes most of a fraction's time."""
    return _half_up(numerator * 10 ** EXPONENTS[currency], denominator)


def exact_minor(amount: Decimal, *, currency: str) -> int:
    """`2.50` EUR as `250`; raises `TooFine` where the currency has no such amount."""
    minor = amount.scaleb(EXPONENTS[currency])
    if minor != minor.to_integral_value():
        message = f"{currency} has no amounts as fine as {amount}."
        raise TooFine(message)
    return int(minor)


def half_up(amount: Fraction) -> int:
    """The nearest whole number, halves away from zero."""
    return _half_up(amount.numerator, amount.denominator)


def _half_up(numerator: int, denominator: int) -> int:
    sign = -1 if numerator < 0 else 1
    return sign * ((2 * abs(numerator) + denominator) // (2 * denominator))


def from_minor(amount_minor: int, *, currency: str) -> Decimal:
    """`250` EUR as `2.50`."""
    return Decimal(amount_minor).scaleb(-EXPONENTS[currency])


def minor_text(amount_minor: int, *, currency: str) -> str:
    """`250` EUR as `2.50 EUR`."""
    return f"{from_minor(amount_minor, currency=currency)} {currency}"


def price_text(price: Decimal, *, currency: str) -> str:
    """A price with as many decimals as it needs, and at least those of the currency."""
    shortest = price.normalize()
    places = max(EXPONENTS[currency], -int(shortest.as_tuple().exponent))
    return f"{price.quantize(Decimal(1).scaleb(-places))} {currency}"


def split(amount: int, weights: Sequence[int]) -> list[int]:
    """Parts that add up to the whole, each as near to its weight as can be.

    By largest remainder; equal remainders go to those that come first.
    """
    total = sum(weights)
    if total <= 0:
        message = "There is nothing to split by."
        raise ValueError(message)
    parts = [amount * weight // total for weight in weights]
    remainders = [amount * weight % total for weight in weights]
    order = sorted(range(len(weights)), key=lambda place: -remainders[place])
    for place in order[: amount - sum(parts)]:
        parts[place] += 1
    return parts
