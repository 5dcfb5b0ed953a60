"""Which bills a payment is for: by the numbers in its reference, or by its amount and payer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import Organisation
from hosting.models import InvoiceCounter, OpenItem

# Longer numbers are none of ours, and what goes on after a hyphen is somebody else's: with the
# prefix R-, the 4 of R4-000002 is no number.
_NUMBER = r"[-\s./]*0*([0-9]{1,12})(?![^\W_]|[-./][0-9])"
_MOST_BY_AMOUNT = 1000


@dataclass(frozen=True, kw_only=True)
class Clue:
    """What is known of one payment."""

    amount_minor: int
    currency: str
    payer: str
    reference: str


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """Bills that a payment could settle, the most likely first, and why.

    Only what is certain is matched without somebody looking at it.
    """

    items: Sequence[OpenItem] = field(default=())
    reason: str = ""
    is_certain: bool = False


def numbers_in(text: str, prefixes: Iterable[str]) -> list[str]:
    """The bill numbers that a text names, however they were spaced, in its order."""
    found: list[tuple[int, str]] = []
    for prefix in prefixes:
        stem = re.escape(prefix.rstrip("-"))
        hits = re.finditer(rf"(?<![^\W_]){stem}{_NUMBER}", text, re.IGNORECASE)
        found += [(hit.start(), f"{prefix}{int(hit[1]):06}") for hit in hits]
    return list(dict.fromkeys(number for _place, number in sorted(found)))


def suggest(clues: Sequence[Clue], *, seller: Organisation | None) -> list[Suggestion]:
    """What each payment to one seller is for, in a few queries however many there are."""
    counters = InvoiceCounter.objects.filter(seller=seller, is_test=False)
    prefixes = list(counters.values_list("prefix", flat=True))
    named = [numbers_in(clue.reference, prefixes) for clue in clues]
    wanted = {number for numbers in named for number in numbers}
    by_number = {item.invoice.number: item for item in _open(seller, invoice__number__in=wanted)}
    amounts = {clue.amount_minor for clue, numbers in zip(clues, named, strict=True) if not numbers}
    by_amount: dict[tuple[int, str], list[OpenItem]] = {}
    for item in _open(seller, open_minor__in=amounts)[: _MOST_BY_AMOUNT + 1]:
        by_amount.setdefault((item.open_minor, item.invoice.currency), []).append(item)
    if sum(map(len, by_amount.values())) > _MOST_BY_AMOUNT:
        # Among so many an amount says nothing, and those left out may be the right ones.
        by_amount.clear()
    return [
        _suggestion(clue, numbers, by_number, by_amount)
        for clue, numbers in zip(clues, named, strict=True)
    ]


def _open(seller: Organisation | None, **which: Any) -> QuerySet[OpenItem]:
    live = OpenItem.objects.open().filter(invoice__customer__is_test=False)
    items = live.filter(invoice__seller=seller, **which)
    return items.select_related("invoice__customer__billing_profile", "invoice__seller")


def _suggestion(
    clue: Clue,
    numbers: Sequence[str],
    by_number: Mapping[str, OpenItem],
    by_amount: Mapping[tuple[int, str], list[OpenItem]],
) -> Suggestion:
    if numbers:
        return _named(clue, [by_number[number] for number in numbers if number in by_number])
    alike = by_amount.get((clue.amount_minor, clue.currency), [])
    if not alike:
        return Suggestion(reason=_("No bill is named, and the amount tells none."))
    payers = [item for item in alike if _is_payer(clue.payer, item)]
    if len(payers) == 1:
        return Suggestion(items=payers, reason=_("Amount and payer"), is_certain=True)
    return Suggestion(items=payers or alike, reason=_("Amount"))


def _named(clue: Clue, items: Sequence[OpenItem]) -> Suggestion:
    if not items:
        return Suggestion(reason=_("Nothing is open of the bills that are named."))
    if any(item.invoice.currency != clue.currency for item in items):
        return Suggestion(items=items, reason=_("The bill that is named is in another currency."))
    if len({item.invoice.customer_id for item in items}) > 1:
        return Suggestion(items=items, reason=_("Bills of several customers are named."))
    return Suggestion(items=items, reason=_("Number"), is_certain=True)


def _is_payer(payer: str, item: OpenItem) -> bool:
    customer = item.invoice.customer
    profile = getattr(customer, "billing_profile", None)
    names = {customer.name, profile.legal_name if profile else ""}
    return _plain(payer) in {_plain(name) for name in names if _plain(name)}


def _plain(name: str) -> str:
    return " ".join(re.findall(r"\w+", name.casefold()))
