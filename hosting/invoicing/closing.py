"""The close of a month: one bill a buyer, whatever runs how often and is killed where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from accounts.access import Actor
from accounts.models import Organisation
from hosting import billing, pricing, vat
from hosting.billing import Buyer
from hosting.invoicing import corrections
from hosting.invoicing.writing import Bill, lock_counter, write
from hosting.models import BillingProfile, Invoice
from hosting.periods import Period
from hosting.vat import Tax

# So many buyers are computed at once and written in one transaction: few enough that nobody
# waits long for the counter.
CHUNK = 100
# Together they have about so many contracts at most, so that memory stays small.
MOST_CONTRACTS = 10_000


class ClosedEarly(Exception):
    """The month is not over."""


@dataclass(kw_only=True)
class Progress:
    """How far a close has come."""

    total: int
    looked_at: int = 0
    written: int = 0
    # Whom no bill can be written for, and why.
    problems: list[str] = field(default_factory=list)


def close_month(
    *,
    actor: Actor,
    period: Period,
    at: datetime,
    report: Callable[[Progress], None] = lambda _progress: None,
) -> Progress:
    """Write the bill of each buyer that has none for the month; raises `ClosedEarly`.

    Whoever used nothing gets none. Run again, it writes what is still missing.
    """

    def store(bills: Sequence[Bill]) -> int:
        return _write(bills, period=period, actor=actor, at=at)

    return _work_off(period, store, at=at, report=report)


def foresee(
    *,
    period: Period,
    at: datetime,
    show: Callable[[Bill], None],
    report: Callable[[Progress], None] = lambda _progress: None,
) -> Progress:
    """Compute what `close_month` would write now and hand each bill to `show`; store nothing.

    Raises `ClosedEarly`, too.
    """

    def look(bills: Sequence[Bill]) -> int:
        for bill in bills:
            show(bill)
        return len(bills)

    return _work_off(period, look, at=at, report=report)


def _work_off(
    period: Period,
    take: Callable[[Sequence[Bill]], int],
    *,
    at: datetime,
    report: Callable[[Progress], None],
) -> Progress:
    """Compute the bills that are missing and give them to `take`, those of one seller at once."""
    if at < period.ends_at:
        message = f"{period} is not over before {period.ends_at:%Y-%m-%d %H:%M} UTC."
        raise ClosedEarly(message)
    waiting = _without_bill(period)
    progress = Progress(total=waiting.count())
    for piece in _pieces(waiting):
        for alike in _alike(billing.buyers_of(piece)):
            bills = list(_prepared(alike, period=period, at=at, problems=progress.problems))
            progress.written += take(bills)
        progress.looked_at += len(piece)
        report(progress)
    return progress


def _without_bill(period: Period) -> QuerySet[Organisation]:
    billed = Invoice.objects.filter(
        customer=OuterRef("pk"), period=period.first_day, kind=Invoice.Kind.INVOICE
    )
    return billing.buyers().filter(~Exists(billed))


def _pieces(waiting: QuerySet[Organisation]) -> Iterator[list[Organisation]]:
    last = 0
    while some := list(waiting.filter(pk__gt=last)[:CHUNK]):
        piece = _light(some)
        yield piece
        last = piece[-1].pk


def _light(some: Sequence[Organisation]) -> list[Organisation]:
    """The first of them that are not too much together, and one of them at least."""
    weights = billing.contracts_of(some)
    total = 0
    piece: list[Organisation] = []
    for organisation in some:
        total += weights[organisation.pk]
        if piece and total > MOST_CONTRACTS:
            break
        piece.append(organisation)
    return piece


def _alike(some: Sequence[Buyer]) -> Iterator[list[Buyer]]:
    """Those of one kind, seller and list together."""

    def terms(buyer: Buyer) -> tuple[str, int, int]:
        seller = pricing.seller_of(buyer.organisation)
        return buyer.organisation.kind, seller.pk if seller else 0, buyer.price_list.pk

    for _terms, alike in groupby(sorted(some, key=terms), key=terms):
        yield list(alike)


def _prepared(
    alike: Sequence[Buyer], *, period: Period, at: datetime, problems: list[str]
) -> Iterator[Bill]:
    """The bills of buyers of one seller, without numbers."""
    seller = pricing.seller_of(alike[0].organisation)
    lines = billing.charges_of(alike, period=period, known_at=at)
    late = corrections.late(alike, period=period, known_at=at)
    unpriced = billing.unpriced(alike, period=period)
    said = [f"{alike[0].price_list} has no price for {p}, so it was not charged." for p in unpriced]
    problems += [problem for problem in said if problem not in problems]
    alike = [b for b in alike if lines[b.organisation.pk] or late.get(b.organisation.pk)]
    from_profile = seller_profile(seller)
    if from_profile is None:
        name = seller or "The house"
        if alike:
            problems.append(f"{name} has no billing profile, so {len(alike)} bills are missing.")
        return
    known = profiles(alike, fallback=from_profile)
    # The tax depends on no more than this of a buyer.
    taxes: dict[tuple[str, bool], Tax] = {}
    for buyer in alike:
        key = buyer.organisation.pk
        terms = known[key].country, bool(known[key].vat_id)
        try:
            if terms not in taxes:
                taxes[terms] = vat.between(
                    seller=from_profile, customer=known[key], on=period.first_day
                )
        except vat.NoRate as reason:
            problems.append(f"{buyer.organisation} gets no bill: {reason}")
            continue
        yield Bill(
            buyer=buyer,
            seller=seller,
            seller_profile=from_profile,
            profile=known[key],
            period=period,
            lines=lines[key],
            corrections=late.get(key, ()),
            tax=taxes[terms],
        )


def seller_profile(seller: Organisation | None) -> BillingProfile | None:
    """What bills say of a seller, None standing for the house; None if it has said nothing."""
    if seller is not None:
        return BillingProfile.objects.filter(organisation=seller).first()
    return BillingProfile.objects.filter(organisation__kind=Organisation.Kind.PROVIDER).first()


def profiles(alike: Sequence[Buyer], *, fallback: BillingProfile) -> dict[int, BillingProfile]:
    """What is known of each; who has said nothing is taken for a neighbour of the seller."""
    known = BillingProfile.objects.filter(organisation__in=[b.organisation for b in alike])
    by_key = {profile.organisation_id: profile for profile in known}
    for buyer in alike:
        by_key.setdefault(
            buyer.organisation.pk,
            BillingProfile(
                organisation=buyer.organisation,
                legal_name=buyer.organisation.name,
                country=fallback.country,
            ),
        )
    return by_key


def _write(bills: Sequence[Bill], *, period: Period, actor: Actor, at: datetime) -> int:
    """Write those that nobody else has written since they were computed."""
    if not bills:
        return 0
    with transaction.atomic():
        counter = lock_counter(bills[0].seller)
        written = Invoice.objects.filter(
            kind=Invoice.Kind.INVOICE,
            period=period.first_day,
            customer__in=[bill.buyer.organisation for bill in bills],
        )
        done = frozenset(written.values_list("customer_id", flat=True))
        missing = [bill for bill in bills if bill.buyer.organisation.pk not in done]
        write(missing, counter=counter, actor=actor, at=at)
    return len(missing)
