"""What each customer uses, pays and leaves, counted by a worker for the lists of its seller.

Money is computed by the code that also writes the bill (`margins`, `billing`), so a list says
what a bill would have said at its `counted_at`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Count, F, Max, Q, QuerySet

from accounts import spans
from accounts.models import Organisation
from hosting import billing, margins, metering, pricing
from hosting.models import CustomerFigures, Limits, SellerFigures
from hosting.periods import Period
from mailstore.models import Domain, LastLogin, Mailbox

_T = TypeVar("_T")

# Counting fifty thousand mailboxes takes seconds, and a list may be as old as this.
EVERY = timedelta(minutes=10)
# Far longer than it takes; after that a killed worker's seller is counted by another one.
_LEASE = timedelta(minutes=15)
# Rows are looked up and written in pieces of this size.
_AT_ONCE = 1_000
_ENDING = (Mailbox.State.CLOSING, Mailbox.State.CLOSED)


@dataclass(kw_only=True)
class _Use:
    """How far one customer has gone."""

    mailboxes: int = 0
    domains: int = 0
    stored_bytes: int = 0
    last_login: int = 0


@dataclass(frozen=True, kw_only=True)
class _Money:
    """One customer's month so far."""

    retail_minor: int = 0
    currency: str = ""
    wholesale_minor: int | None = None
    wholesale_currency: str = ""
    left_minor: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """Everything about a seller's customers, by their keys."""

    money: Mapping[int, _Money]
    totals: dict[str, Any] = field(default_factory=dict)


def refresh_due(*, at: datetime, limit: int = 20) -> int:
    """Count the customers of sellers whose figures are old, oldest first; returns how many."""
    for seller in sellers().filter(seller_figures=None):
        SellerFigures.objects.get_or_create(seller=seller)
    old = SellerFigures.objects.filter(_is_old(at)).order_by(F("counted_at").asc(nulls_first=True))
    return sum(refresh(row, at=at) for row in old.select_related("seller__parent")[:limit])


def sellers() -> QuerySet[Organisation]:
    """Everybody who can have customers."""
    kinds = (Organisation.Kind.PROVIDER, Organisation.Kind.RESELLER)
    return Organisation.objects.filter(kind__in=kinds)


def refresh(row: SellerFigures, *, at: datetime) -> bool:
    """Count one seller's customers; returns whether nobody else does.

    Test organisations have figures of their own, but are no part of the totals and bring no money.
    """
    mine = SellerFigures.objects.filter(pk=row.pk)
    if not mine.filter(_is_free(at)).update(leased_until=at + _LEASE):
        return False
    customers = list(_customers(row.seller))
    live = [customer for customer in customers if not customer.is_test]
    counted = _money(row.seller, live, at=at)
    use = _use(customers)
    with transaction.atomic():
        _write(customers, use=use, money=counted.money)
        mine.update(
            counted_at=at,
            leased_until=None,
            customers=len(live),
            mailboxes=sum(use[each.pk].mailboxes for each in live),
            stored_bytes=sum(use[each.pk].stored_bytes for each in live),
            retail_minor=_by_currency(counted.money.values()),
            **counted.totals,
        )
    return True


def _is_old(at: datetime) -> Q:
    # A moment ahead of the clock was noted by one that was set back since.
    fresh = Q(counted_at__gt=at - EVERY, counted_at__lte=at)
    return _is_free(at) & (Q(counted_at=None) | ~fresh)


def _is_free(at: datetime) -> Q:
    return ~spans.lasts("leased_until", at=at, longest=_LEASE)


def _customers(seller: Organisation) -> QuerySet[Organisation]:
    customers = seller.children.filter(kind=Organisation.Kind.CUSTOMER)
    return customers.select_related("parent").order_by("pk")


def _use(customers: Sequence[Organisation]) -> dict[int, _Use]:
    found = {customer.pk: _Use() for customer in customers}
    for piece in _pieces(list(found)):
        addresses = _addresses(piece)
        sizes = metering.sizes(addresses)
        logins = _last_logins(list(addresses))
        for address, owner in addresses.items():
            use = found[owner]
            use.mailboxes += 1
            use.stored_bytes += sizes.get(address, 0)
            use.last_login = max(use.last_login, logins.get(address, 0))
        counts = Domain.objects.filter(organisation__in=piece).order_by()
        for owner, count in counts.values_list("organisation").annotate(Count("pk")):
            found[owner].domains = count
    return found


def _addresses(owners: Sequence[int]) -> dict[str, int]:
    """Whose each address is, of the mailboxes that take a place."""
    counting = Mailbox.objects.filter(organisation__in=owners).exclude(state__in=_ENDING)
    return dict(counting.values_list("address", "organisation_id"))


def _last_logins(addresses: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for piece in _pieces(addresses):
        logins = LastLogin.objects.filter(username__in=piece).order_by()
        found |= dict(logins.values_list("username").annotate(Max("last_login")))
    return found


def _money(seller: Organisation, customers: Sequence[Organisation], *, at: datetime) -> _Counted:
    """Nothing where nothing has a price."""
    if seller.kind != Organisation.Kind.RESELLER:
        return _Counted(money=_retail(customers, at=at))
    try:
        found = margins.margins(seller, at=at)
    except pricing.NoPrice:
        return _Counted(money={})
    money = {
        each.customer.pk: _Money(
            retail_minor=each.retail_minor,
            currency=each.currency,
            wholesale_minor=each.wholesale_minor,
            wholesale_currency=found.currency,
            left_minor=found.left_minor(each),
        )
        for each in found.customers
    }
    totals = {
        "wholesale_minor": found.wholesale_minor,
        "wholesale_currency": found.currency,
        "left_minor": found.all_left_minor,
    }
    return _Counted(money=money, totals=totals)


def _retail(customers: Sequence[Organisation], *, at: datetime) -> dict[int, _Money]:
    """What customers of the house pay it."""
    period = Period.of(at)
    found = {}
    for piece in _pieces(customers):
        buyers = billing.buyers_of(piece)
        lines = billing.charges_of(buyers, period=period, until=at) if buyers else {}
        for buyer in buyers:
            net_minor = sum(line.net_minor for line in lines[buyer.organisation.pk])
            found[buyer.organisation.pk] = _Money(retail_minor=net_minor, currency=buyer.currency)
    return found


def _write(
    customers: Sequence[Organisation], *, use: Mapping[int, _Use], money: Mapping[int, _Money]
) -> None:
    keys = [customer.pk for customer in customers]
    rows = Limits.objects.filter(organisation__parent__in={c.parent_id for c in customers})
    limits = {row.organisation_id: row for row in rows}
    figures = [
        CustomerFigures(
            organisation_id=key,
            is_at_limit=_is_at_limit(limits.get(key), use[key], money.get(key, _Money())),
            **vars(use[key]),
            **vars(money.get(key, _Money())),
        )
        for key in keys
    ]
    names = [*vars(_Use()), *vars(_Money()), "is_at_limit"]
    CustomerFigures.objects.bulk_create(
        figures,
        batch_size=_AT_ONCE,
        update_conflicts=True,
        unique_fields=["organisation"],
        update_fields=names,
    )


def _is_at_limit(limits: Limits | None, use: _Use, money: _Money) -> bool:
    if limits is None:
        return False
    reached = (
        (limits.mailboxes, use.mailboxes),
        (limits.domains, use.domains),
        (limits.stored_bytes, use.stored_bytes),
        (limits.cap_minor, money.retail_minor),
    )
    return any(most is not None and used >= most for most, used in reached)


def _by_currency(money: Iterable[_Money]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for each in money:
        found[each.currency] += each.retail_minor
    return dict(found)


def _pieces(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
