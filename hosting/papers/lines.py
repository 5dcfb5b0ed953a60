"""The lines of a bill in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from django.db.models import QuerySet
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from hosting import money
from hosting.charges import Charge
from hosting.invoicing import charged
from hosting.models import Contract, HeldOverage, Invoice, InvoiceLine
from hosting.models.plans import GIGABYTE
from hosting.papers.values import Line, amount, number, quantity
from hosting.periods import Period

Kind = InvoiceLine.Kind


@dataclass(frozen=True, kw_only=True)
class Late:
    """What a bill's corrections are about."""

    # When the contract of a mailbox ended, which became known after that month.
    ends: Mapping[tuple[int | None, date], datetime]
    # The bill of a month; where one was taken back and billed again, the last one.
    numbers: Mapping[date, str]
    # The months whose bill was taken back.
    taken_back: frozenset[date]
    # Months whose space above the included had waited to be looked at.
    waited: frozenset[date] = frozenset()


def rows_of(invoice: Invoice) -> QuerySet[InvoiceLine]:
    """The lines of a bill in their order, with all that this module needs of each."""
    found = invoice.lines.select_related(
        "mailbox__organisation", "price__plan", "price__price_list"
    )
    return found.order_by("position")


def charge_of(row: InvoiceLine) -> Charge:
    """A stored line as it was computed."""
    return Charge(
        kind=Kind(row.kind),
        mailbox_id=row.mailbox_id,
        address=row.mailbox.address if row.mailbox else "",
        price=row.price,
        period=Period.of_day(row.period),
        seconds=row.seconds,
        used_byte_seconds=row.used_byte_seconds,
        included_byte_seconds=row.included_byte_seconds,
        net_minor=row.net_minor,
    )


def late(invoice: Invoice) -> Late:
    """Read what the corrections of a bill need, in a few queries."""
    corrections = invoice.lines.filter(kind=Kind.CORRECTION)
    months = list(corrections.order_by().values_list("period", flat=True).distinct())
    if not months:
        return Late(ends={}, numbers={}, taken_back=frozenset())
    ended = Contract.objects.filter(
        mailbox__in=corrections.values("mailbox"), ended_at__isnull=False
    ).order_by("ends_at")
    ends = ended.values_list("mailbox_id", "ends_at", "ended_at")
    bills = Invoice.objects.standing().filter(customer=invoice.customer_id, period__in=months)
    standing = dict(bills.values_list("period", "held_overage__state"))
    return Late(
        ends={
            (mailbox, month): at
            for mailbox, at, known_at in ends
            for month in months
            if at and known_at and at < Period.of_day(month).ends_at <= known_at
        },
        numbers=charged.numbers(invoice.customer_id, months),
        taken_back=frozenset(months) - standing.keys(),
        waited=frozenset(
            month for month, state in standing.items() if state == HeldOverage.State.RELEASED
        ),
    )


def in_words(charge: Charge, *, late: Late, is_credit: bool = False) -> Line:
    """One line. A credit note takes back quantities, at the same prices."""
    currency = charge.price.currency
    net = amount(charge.net_minor, currency=currency)
    what = charge.address or _("All %(protocol)s mailboxes at this price") % _protocol(charge)
    if charge.kind == Kind.CORRECTION:
        return Line(what=what, detail=_correction(charge, late), net=net)
    return Line(
        what=what,
        detail=_storage(charge) if charge.kind == Kind.STORAGE else _time(charge),
        quantity=quantity(-charge.quantity if is_credit else charge.quantity),
        unit=_unit(charge),
        unit_price=_price_text(charge),
        net=net,
    )


def summary(charges: Iterable[Charge], *, is_credit: bool = False) -> list[Line]:
    """What many lines come to by kind and price; each was rounded by itself."""
    found: dict[tuple[str, str, int], tuple[int, Charge]] = {}
    for charge in charges:
        key = (charge.kind, charge.price.plan.protocol, charge.price.pk)
        count, together = found.get(key, (0, None))
        found[key] = (count + 1, _together(together, charge) if together else charge)
    return [
        _summed(charge, count=count, is_credit=is_credit)
        for _key, (count, charge) in sorted(found.items(), key=lambda each: each[0])
    ]


def _together(one: Charge, other: Charge) -> Charge:
    return replace(
        one,
        seconds=one.seconds + other.seconds,
        used_byte_seconds=one.used_byte_seconds + other.used_byte_seconds,
        included_byte_seconds=one.included_byte_seconds + other.included_byte_seconds,
        net_minor=one.net_minor + other.net_minor,
    )


def _summed(charge: Charge, *, count: int, is_credit: bool) -> Line:
    net = amount(charge.net_minor, currency=charge.price.currency)
    counted = {"count": f"{count:,}", **_protocol(charge)}
    if charge.kind == Kind.CORRECTION:
        text = ngettext("%(count)s correction", "%(count)s corrections", count) % counted
        return Line(what=text, detail=_("Differences of earlier months"), net=net)
    text = ngettext("%(count)s %(protocol)s mailbox", "%(count)s %(protocol)s mailboxes", count)
    return Line(
        what=text % counted,
        detail=_storage(charge) if charge.kind == Kind.STORAGE else _("Time of all together"),
        quantity=quantity(-charge.quantity if is_credit else charge.quantity),
        unit=_unit(charge),
        unit_price=_price_text(charge),
        net=net,
    )


def _protocol(charge: Charge) -> dict[str, str]:
    return {"protocol": charge.price.plan.get_protocol_display()}


def _unit(charge: Charge) -> str:
    return _("GB-month") if charge.kind == Kind.STORAGE else _("month")


def _price_text(charge: Charge) -> str:
    """As many decimals as the price needs; the currency stands at the head of the column."""
    currency = charge.price.currency
    text = money.price_text(charge.unit_price, currency=currency)
    return number(Decimal(text.removesuffix(f" {currency}")))


def _time(charge: Charge) -> str:
    if charge.seconds == charge.period.seconds:
        return _("%(protocol)s mailbox, the whole month") % _protocol(charge)
    text = _("%(protocol)s mailbox, %(seconds)s of %(all)s seconds")
    figures = {"seconds": f"{charge.seconds:,}", "all": f"{charge.period.seconds:,}"}
    return text % {**figures, **_protocol(charge)}


def _storage(charge: Charge) -> str:
    text = _("Storage: %(used)s GB-months kept, %(included)s of them included")
    return text % {
        "used": _gb_months(charge.used_byte_seconds, charge.period),
        "included": _gb_months(charge.included_byte_seconds, charge.period),
    }


def _gb_months(byte_seconds: int, period: Period) -> str:
    exact = Fraction(byte_seconds, GIGABYTE * period.seconds)
    return quantity(Decimal(money.half_up(exact * 10**6)).scaleb(-6))


def _correction(charge: Charge, late: Late) -> str:
    """Which month is put right, and what became known."""
    month = {"month": date_format(charge.period.first_day, "F Y")}
    text = _("Correction for %(month)s") % month
    first_day = charge.period.first_day
    if number := late.numbers.get(first_day):
        text += _(", billed in %(number)s") % {"number": number}
    if first_day in late.taken_back:
        return text + _(": that bill was taken back, and what was put right of it as well")
    if at := late.ends.get((charge.mailbox_id, first_day)):
        ended = _(": the mailbox ended on %(at)s UTC, which became known later")
        return text + ended % {"at": date_format(at, "j F Y, H:i")}
    if first_day in late.waited:
        return text + _(": space above the included, which had waited to be looked at")
    return text + _(": its use was counted again later, and came out different")
