"""Whom a new price would touch, and what it would change, before anybody sets it.

Computed for one whole month, at what each mailbox keeps at the moment, before tax.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any, NamedTuple

from django.db import connection

from accounts.models import Organisation
from hosting import billing, money, pricing
from hosting.models import BillingProfile, Contract, Price
from hosting.models.plans import GIGABYTE
from mailstore.models import Usage

MOST_AFFECTED = 10
_AT_ONCE = 5_000
_BY_OWNER = """
SELECT m.organisation_id, count(*), sum(coalesce(u.bytes, 0)),
    sum(greatest(coalesce(u.bytes, 0) - %s, 0)), sum(greatest(coalesce(u.bytes, 0) - %s, 0))
FROM hosting_contract c
JOIN mailstore_mailbox m ON m.id = c.mailbox_id
LEFT JOIN mailstore_usage u ON u.username = m.address
WHERE c.ends_at IS NULL AND c.plan_id = %s AND m.organisation_id = ANY(%s)
GROUP BY m.organisation_id
"""


class Kept(NamedTuple):
    """What some mailboxes keep together, and how much of it each has above what is included."""

    mailboxes: int
    bytes: int
    above_before: int
    above_after: int

    def __add__(self, other: Any) -> Kept:
        """Both together."""
        return Kept(*(mine + its for mine, its in zip(self, other, strict=True)))


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a buyer pays a month for its mailboxes on the plan, now and then; exact."""

    organisation: Organisation
    mailboxes: int
    before: Fraction
    after: Fraction

    @property
    def change(self) -> Fraction:
        """By how much it goes up."""
        return self.after - self.before


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """All that a price touches. Without `current` the plan had no price on the list until then."""

    price: Price
    current: Price | None
    following: Price | None
    mailboxes: int
    customers: int
    resellers: int
    before: Fraction
    after: Fraction
    most_affected: list[Effect]

    def text(self, amount: Fraction) -> str:
        """An amount in the currency of the list."""
        currency = self.price.currency
        return money.minor_text(money.to_minor(amount, currency=currency), currency=currency)


def foresee(price: Price) -> Outlook:
    """What a price from `pricing.draft` would change."""
    current, following = _neighbours(price)
    live = pricing.buyers_from(price.price_list).filter(is_test=False)
    buyers = {buyer.pk: buyer for buyer in live}
    pooling = frozenset(
        BillingProfile.objects.filter(
            pools_storage=True, organisation__in=pricing.buyers_from(price.price_list)
        ).values_list("organisation_id", flat=True)
    )
    effects = [
        _effect(buyers[key], kept, current=current, price=price, pools=key in pooling)
        for key, kept in _kept(buyers, current=current, price=price).items()
    ]
    kinds = Organisation.Kind
    return Outlook(
        price=price,
        current=current,
        following=following,
        mailboxes=sum(effect.mailboxes for effect in effects),
        customers=sum(effect.organisation.kind == kinds.CUSTOMER for effect in effects),
        resellers=sum(effect.organisation.kind == kinds.RESELLER for effect in effects),
        before=sum((effect.before for effect in effects), Fraction(0)),
        after=sum((effect.after for effect in effects), Fraction(0)),
        most_affected=sorted(effects, key=lambda each: -abs(each.change))[:MOST_AFFECTED],
    )


def _neighbours(price: Price) -> tuple[Price | None, Price | None]:
    """What holds on the day before, and what follows."""
    others = Price.objects.filter(price_list=price.price_list, plan=price.plan)
    others = others.select_related("price_list")
    yesterday = price.starts_on - timedelta(days=1)
    current = others.filter(starts_on__lte=yesterday).order_by("-starts_on").first()
    following = others.filter(starts_on__gt=price.starts_on).order_by("starts_on").first()
    return current, following


def _kept(
    buyers: dict[int, Organisation], *, current: Price | None, price: Price
) -> dict[int, Kept]:
    """By buyer. A reseller that buys wholesale pays for the mailboxes of its customers."""
    owners: dict[int, int] = {}
    for kind in (Organisation.Kind.CUSTOMER, Organisation.Kind.RESELLER):
        alike = [buyer for buyer in buyers.values() if buyer.kind == kind]
        owners |= billing.owners_of(alike) if alike else {}
    found: dict[int, Kept] = {}
    for owner, kept in _by_owner(list(owners), current=current, price=price):
        buyer = owners[owner]
        found[buyer] = found[buyer] + kept if buyer in found else kept
    return found


def _by_owner(
    owners: list[int], *, current: Price | None, price: Price
) -> Iterator[tuple[int, Kept]]:
    """One statement over contracts, mailboxes and reports where they lie in one database."""
    included = current.included_bytes if current else 0, price.included_bytes
    if connection.vendor != "postgresql":
        yield from _one_by_one(owners, included, plan_id=price.plan_id)
        return
    with connection.cursor() as cursor:
        cursor.execute(_BY_OWNER, [*included, price.plan_id, owners])
        for owner, *kept in cursor.fetchall():
            yield owner, Kept(*(int(value) for value in kept))


def _one_by_one(
    owners: list[int], included: tuple[int, int], *, plan_id: int
) -> Iterator[tuple[int, Kept]]:
    """On SQLite the reports lie in another file, so no statement reaches both."""
    running = Contract.objects.filter(
        ends_at=None, plan=plan_id, mailbox__organisation__in=owners
    ).values_list("mailbox__organisation_id", "mailbox__address")
    contracts = running.iterator(chunk_size=_AT_ONCE)
    while piece := list(islice(contracts, _AT_ONCE)):
        reports = Usage.objects.filter(username__in=[address for _owner, address in piece])
        sizes = dict(reports.values_list("username", "bytes"))
        for owner, address in piece:
            size = sizes.get(address, 0)
            yield owner, Kept(1, size, *(max(0, size - bytes_) for bytes_ in included))


def _effect(
    buyer: Organisation, kept: Kept, *, current: Price | None, price: Price, pools: bool
) -> Effect:
    before = _monthly(current, kept, above=kept.above_before, pools=pools) if current else None
    return Effect(
        organisation=buyer,
        mailboxes=kept.mailboxes,
        before=before or Fraction(0),
        after=_monthly(price, kept, above=kept.above_after, pools=pools),
    )


def _monthly(price: Price, kept: Kept, *, above: int, pools: bool) -> Fraction:
    if pools:
        above = max(0, kept.bytes - kept.mailboxes * price.included_bytes)
    storage = Fraction(Decimal(price.storage_price)) * above / GIGABYTE
    return Fraction(Decimal(price.monthly_price)) * kept.mailboxes + storage
