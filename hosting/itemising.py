"""Bills in the making in a person's words: what the pages show, made from charges once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from typing import Any

from django.utils.translation import gettext as _

from hosting import money
from hosting.charges import Charge, Kind
from hosting.forecasting import Forecast, Line, Standing, monthly_savings
from hosting.models.plans import GIGABYTE
from hosting.vat import Tax
from mailstore.engine import FolderUsage
from mailstore.quotas import byte_text

# The folders that bills speak of by name; all others are one class.
CLASSES = ("INBOX", "Sent", "Junk", "Trash")
# What a person can empty without looking: nothing in there was meant to stay.
_PASSING = frozenset({"Junk", "Trash"})


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line: what for, how it comes about, and what it costs."""

    what: str
    how: str
    so_far_text: str
    whole_text: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """All lines of one mailbox, or those of the space that all share (`mailbox_id` None)."""

    mailbox_id: int | None
    address: str
    items: Sequence[Item]
    so_far_text: str
    whole_text: str
    # To the mailbox's own page, where there is one.
    url: str = ""

    @property
    def only(self) -> Item | None:
        """The one item, where there are not several to add up."""
        return self.items[0] if len(self.items) == 1 else None


def entries(lines: Iterable[Line]) -> list[Entry]:
    """Lines by mailbox, in their order."""
    return [
        _entry(mailbox_id, list(group))
        for mailbox_id, group in groupby(lines, key=lambda line: line.either.mailbox_id)
    ]


def _entry(mailbox_id: int | None, lines: Sequence[Line]) -> Entry:
    currency = lines[0].either.price.currency
    return Entry(
        mailbox_id=mailbox_id,
        address=lines[0].either.address,
        items=[_item(line) for line in lines],
        so_far_text=money.minor_text(sum(x.so_far_minor for x in lines), currency=currency),
        whole_text=money.minor_text(sum(x.whole_minor for x in lines), currency=currency),
    )


def _item(line: Line) -> Item:
    charge = line.either
    currency = charge.price.currency
    is_storage = charge.kind == Kind.STORAGE
    return Item(
        what=_("Space above the included") if is_storage else charge.price.plan.name,
        how=_space(charge) if is_storage else _time(charge),
        so_far_text=money.minor_text(line.so_far_minor, currency=currency),
        whole_text=money.minor_text(line.whole_minor, currency=currency),
    )


def _time(charge: Charge) -> str:
    price = charge.price
    if charge.seconds == charge.period.seconds:
        text = _("The whole month at %(price)s.") % {"price": price.price_text}
    else:
        text = _("%(share)s of a month at %(price)s.") % {
            "share": _short(Fraction(charge.seconds, charge.period.seconds)),
            "price": price.price_text,
        }
    above = charge.used_byte_seconds - charge.included_byte_seconds
    if not price.storage_price or above > 0:
        return text
    kept = _("%(used)s GB-months kept, %(included)s included.") % _gigabyte_months(charge)
    return f"{text} {kept}"


def _space(charge: Charge) -> str:
    text = _("%(used)s GB-months kept, %(included)s included, %(above)s above at %(price)s each.")
    return text % {**_gigabyte_months(charge), "price": charge.price.storage_price_text}


def _gigabyte_months(charge: Charge) -> dict[str, str]:
    unit = GIGABYTE * charge.period.seconds
    used, included = charge.used_byte_seconds, charge.included_byte_seconds
    exact = {"used": used, "included": included, "above": used - included}
    return {name: _short(Fraction(amount, unit)) for name, amount in exact.items()}


def _short(amount: Fraction) -> str:
    """Three decimals at most; the file with the use has every byte-second."""
    thousandths = money.half_up(amount * 1000)
    if amount and not thousandths:
        return _("under 0.001")
    text = f"{Decimal(thousandths).scaleb(-3):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def corrections(found: Forecast) -> list[dict[str, Any]]:
    """What earlier months put right, one line each."""
    return [
        {
            "address": line.address,
            "month": line.period.first_day,
            "net_text": money.minor_text(line.net_minor, currency=line.price.currency),
        }
        for line in (each.charge for each in found.corrections)
    ]


def totals(found: Forecast, tax: Tax | None) -> dict[str, Any]:
    """The sums of a month as the bill would say them; no tax where too little is known."""
    currency = found.buyer.currency
    shown = {
        "so_far_text": money.minor_text(found.so_far_minor, currency=currency),
        "whole_text": money.minor_text(found.whole_minor, currency=currency),
    }
    if tax is None:
        return shown
    groups = found.taxes(tax, net_minor=found.whole_minor)
    vat_minor = sum(group.vat_minor for group in groups)
    # What is put right may be taxed at another rate; then no single one says it.
    is_one = all(group.tax == tax for group in groups)
    return {
        **shown,
        "vat_percent": f"{tax.percent.normalize():f}" if is_one else "",
        "vat_note": tax.note if is_one else "",
        "vat_text": money.minor_text(vat_minor, currency=currency),
        "total_text": money.minor_text(found.whole_minor + vat_minor, currency=currency),
    }


def folders(
    usage: Iterable[FolderUsage], *, mailbox_id: int, found: Forecast, standing: Standing
) -> list[dict[str, Any]]:
    """What each class of folders holds, and what its absence would save."""
    sizes = dict.fromkeys((*CLASSES, ""), 0)
    for folder in usage:
        sizes[_class_of(folder.folder)] += folder.bytes
    currency = found.buyer.currency
    shown = []
    for name, size in sizes.items():
        now = found.whole_minor - found.whole_minor_with({mailbox_id: size})
        monthly = standing.saving_minor({mailbox_id: size})
        shown.append(
            {
                "name": {"INBOX": _("Inbox"), "": _("Other folders")}.get(name, name),
                "folder": name,
                "bytes": size,
                "size_text": byte_text(size),
                "now_text": money.minor_text(now, currency=currency),
                "monthly_text": money.minor_text(monthly, currency=currency),
                "costs": bool(now or monthly),
                "is_offered": name in _PASSING and bool(now or monthly),
            }
        )
    return shown


def _class_of(folder: str) -> str:
    """The class of a folder; what lies below Junk counts as Junk."""
    top = folder.partition("/")[0]
    return top if top in CLASSES else ""


def savings_text(by_currency: Mapping[str, int]) -> str:
    """`0.42 EUR`, or nothing where nothing is saved."""
    return " + ".join(
        money.minor_text(amount, currency=currency)
        for currency, amount in sorted(by_currency.items())
        if amount
    )


def saved_text(bytes_of: Mapping[int, int], *, at: datetime) -> str:
    """What a month costs less at today's prices without so much of each mailbox, by its key."""
    going = {mailbox: size for mailbox, size in bytes_of.items() if size}
    return savings_text(monthly_savings(going, at=at))
