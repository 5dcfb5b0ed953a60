"""Value added tax on what the house and its resellers sell, which are services over the Internet.

The rules are those of Directive 2006/112/EC, articles 44, 58 and 196: a business in another
member state owes the tax itself, anybody else in the EU pays the rate of where they live, and
outside of the EU none is due. Rates and membership are rows (`VatRate`).
"""

from __future__ import annotations

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

    What months that are over were billed at stays as it was. A new rate may begin in this
    month, since its bills are still to come; a country's first one may begin at any time.
    """
    check(actor=actor, rate=rate, at=at)
    rate.save()
    _record(rate, actor=actor, at=at)
    return rate


def check(*, actor: Actor, rate: VatRate, at: datetime) -> None:
    """Raise `RateRefused` where `keep` would."""
    actor.must(Capability.SEE_BILLS, lineage=())
    if not may_change(rate, at=at):
        message = "This rate holds already. Let another one follow it instead."
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


def _record(rate: VatRate, *, actor: Actor, at: datetime) -> None:
    provider = Organisation.objects.filter(kind=Organisation.Kind.PROVIDER).first()
    if provider is None:
        return
    outbox.record(
        kind="vat_rate.set",
        at=at,
        actor=actor,
        organisation=provider,
        subject=("vat_rate", str(rate.pk), str(rate)),
        data={"starts_on": rate.starts_on.isoformat(), "percent": str(rate.percent)},
    )


def _required(found: VatRate | None, country: str) -> VatRate:
    if found is None:
        message = f"There is no VAT rate for {country}. Staff can add it under VAT rates."
        raise NoRate(message)
    return found
