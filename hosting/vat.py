"""Value added tax on what the house and its resellers sell, which are services over the Internet.

The rules are those of Directive 2006/112/EC, articles 44, 58 and 196: a business in another
member state owes the tax itself, anybody else in the EU pays the rate of where they live, and
outside of the EU none is due. Rates and membership are rows (`VatRate`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import money
from hosting.models import BillingProfile, VatRate
from hosting.periods import Period

REVERSE_CHARGE = "Reverse charge: the customer owes the tax."
OUTSIDE = "Not subject to VAT in the EU."
NOT_LIABLE = "No VAT is charged."


class RateRefused(Exception):
    """The rate cannot be set so; the text says why."""


class NoRate(Exception):
    """There is no row that says what a country's rate is."""


@dataclass(frozen=True, kw_only=True)
class Tax:
    """What is charged on a net amount, and the sentence that the bill says about it."""

    percent: Decimal
    note: str = ""

    def on(self, net_minor: int) -> int:
        """The tax on the sum of nets, rounded once."""
        return money.half_up(Fraction(self.percent) * net_minor / 100)


@dataclass(frozen=True, kw_only=True)
class Group:
    """What is charged at one rate, all in all."""

    tax: Tax
    net_minor: int

    @property
    def vat_minor(self) -> int:
        """The tax on it, rounded once."""
        return self.tax.on(self.net_minor)


def grouped(first: Tax, parts: Iterable[tuple[Tax, int]]) -> list[Group]:
    """Nets by what applies to them; `first` is there even where nothing falls under it."""
    sums = {first: 0}
    for tax, net_minor in parts:
        sums[tax] = sums.get(tax, 0) + net_minor
    return [Group(tax=tax, net_minor=net_minor) for tax, net_minor in sums.items()]


def between(*, seller: BillingProfile, customer: BillingProfile, on: date) -> Tax:
    """What applies to a sale on a day; raises `NoRate` for a country without a row."""
    there = rate(customer.country, on=on)
    if seller.country == customer.country:
        return Tax(percent=_required(there, customer.country).percent)
    here = rate(seller.country, on=on)
    if here is None or not here.is_in_eu:
        return Tax(percent=Decimal(0), note=NOT_LIABLE)
    if there is None or not there.is_in_eu:
        return Tax(percent=Decimal(0), note=OUTSIDE)
    if customer.vat_id:
        return Tax(percent=Decimal(0), note=REVERSE_CHARGE)
    return Tax(percent=there.percent)


def rate(country: str, *, on: date) -> VatRate | None:
    """The row that holds on a day, if there is one for the country."""
    rows = VatRate.objects.filter(country=country, starts_on__lte=on)
    return rows.order_by("-starts_on").first()


@transaction.atomic
def keep(*, actor: Actor, rate: VatRate, at: datetime) -> VatRate:
    """Store a rate that holds from a day on; raises `RateRefused`.

    It begins with a month, since a bill asks which rate holds on the first day of its month and
    taxes all of that month so. What months that are over were billed at stays as it was. A new
    rate may begin with this month, since its bills are still to come; a country's first one may
    begin with any.
    """
    check(actor=actor, rate=rate, at=at)
    before = _before(rate)
    rate.save()
    _record(rate, before=before, actor=actor, at=at)
    return rate


def check(*, actor: Actor, rate: VatRate, at: datetime) -> None:
    """Raise `RateRefused` where `keep` would."""
    actor.must(Capability.SEE_BILLS, lineage=())
    if not may_change(rate, at=at):
        message = "This rate holds already. Let another one follow it instead."
        raise RateRefused(message)
    if rate.starts_on.day != 1:
        message = (
            "A month is billed at the rate of its first day. Choose the first day of a month: a "
            "rate that begins within one would not be used for the rest of it."
        )
        raise RateRefused(message)
    known = VatRate.objects.filter(country=rate.country).exclude(pk=rate.pk)
    if rate.starts_on < Period.of(at).first_day and known.exists():
        message = "The months before this one were billed already. Choose a later day."
        raise RateRefused(message)
    try:
        rate.full_clean()
    except ValidationError as error:
        raise RateRefused(" ".join(error.messages)) from error


def may_change(rate: VatRate, *, at: datetime) -> bool:
    """Whether it is new, or its day has not come."""
    before = VatRate.objects.filter(pk=rate.pk).first()
    return before is None or before.starts_on > at.astimezone(UTC).date()


def _before(rate: VatRate) -> VatRate | None:
    """What held or would have held: the row as it was, or the one that it follows."""
    stored = VatRate.objects.filter(pk=rate.pk).first()
    earlier = VatRate.objects.filter(country=rate.country, starts_on__lt=rate.starts_on)
    return stored or earlier.order_by("-starts_on").first()


def _record(rate: VatRate, *, before: VatRate | None, actor: Actor, at: datetime) -> None:
    provider = Organisation.objects.filter(kind=Organisation.Kind.PROVIDER).first()
    if provider is None:
        return
    outbox.record(
        kind="vat_rate.set",
        at=at,
        actor=actor,
        organisation=provider,
        subject=("vat_rate", str(rate.pk), str(rate)),
        data={
            "starts_on": rate.starts_on.isoformat(),
            "percent": {
                "old": None if before is None else str(before.percent),
                "new": str(rate.percent),
            },
        },
    )


def _required(found: VatRate | None, country: str) -> VatRate:
    if found is None:
        message = f"There is no VAT rate for {country}. Staff can add it under VAT rates."
        raise NoRate(message)
    return found
