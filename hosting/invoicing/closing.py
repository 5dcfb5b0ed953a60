"""The close of a month: one bill a buyer, whatever runs how often and is killed where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import groupby

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from accounts.access import Actor
from accounts.models import Organisation, on_clock_of
from hosting import billing, months, pricing, vat
from hosting.billing import Buyer
from hosting.invoicing import corrections, reviewing
from hosting.invoicing.writing import Bill, lock_counter, write
from hosting.models import BillingProfile, Contract, Invoice
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
    # Whom no bill can be written for, or none that says enough, and why.
    problems: list[str] = field(default_factory=list)


def close_month(
    *,
    actor: Actor,
    period: Period,
    at: datetime,
    among: Organisation | None = None,
    report: Callable[[Progress], None] = lambda _progress: None,
) -> Progress:
    """Write the bill of each buyer that has none for the month; raises `ClosedEarly`.

    Whoever used nothing gets none. Run again, it writes what is still missing. It is one test
    organisation that is billed, by its clock, or all that live by the real one.
    """

    def store(bills: Sequence[Bill]) -> int:
        return _write(bills, period=period, actor=actor, at=at)

    progress = _work_off(_without_bill(period, among), store, period=period, at=at, report=report)
    if among is None:
        months.note(period, progress.problems, at=at)
    return progress


def close_due(*, actor: Actor, at: datetime) -> list[Progress]:
    """Close every month that is over and not complete, oldest first; what came of each."""
    return [close_month(actor=actor, period=period, at=at) for period in months.due(at=at)]


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

    return _work_off(_without_bill(period, None), look, period=period, at=at, report=report)


def _work_off(
    waiting: QuerySet[Organisation],
    take: Callable[[Sequence[Bill]], int],
    *,
    period: Period,
    at: datetime,
    report: Callable[[Progress], None],
) -> Progress:
    """Compute the bills that are missing and give them to `take`, those of one seller at once."""
    if at < period.ends_at:
        message = f"{period} is not over before {period.ends_at:%Y-%m-%d %H:%M} UTC."
        raise ClosedEarly(message)
    progress = Progress(total=waiting.count())
    for piece in _pieces(waiting):
        listed = billing.buyers_of(piece)
        progress.problems += _unlisted(piece, listed, period=period)
        for alike in _alike(listed):
            bills = list(prepared(alike, period=period, at=at, problems=progress.problems))
            progress.written += take(bills)
        progress.looked_at += len(piece)
        report(progress)
    return progress


def _without_bill(period: Period, among: Organisation | None) -> QuerySet[Organisation]:
    billed = Invoice.objects.filter(
        customer=OuterRef("pk"), period=period.first_day, kind=Invoice.Kind.INVOICE
    )
    return billing.buyers().filter(on_clock_of(among), ~Exists(billed))


def _pieces(waiting: QuerySet[Organisation]) -> Iterator[list[Organisation]]:
    last = 0
    while some := list(waiting.filter(pk__gt=last)[:CHUNK]):
        piece = _light(some)
        yield piece
        last = piece[-1].pk


def _light(some: Sequence[Organisation]) -> list[Organisation]:
    """The first of them that are not too much together, and one of them at least."""
    weights = _contracts_of(some)
    total = 0
    piece: list[Organisation] = []
    for organisation in some:
        total += weights[organisation.pk]
        if piece and total > MOST_CONTRACTS:
            break
        piece.append(organisation)
    return piece


def _unlisted(
    piece: Sequence[Organisation], listed: Sequence[Buyer], *, period: Period
) -> list[str]:
    """Who had mailboxes in the month, and buys from no list that says what they cost."""
    known = {buyer.organisation.pk for buyer in listed}
    without = [each.pk for each in piece if each.pk not in known]
    if not without:
        return []
    having = Organisation.objects.filter(months.had_mailboxes(period), pk__in=without)
    return [f"{each} gets no bill: there is no price list for it." for each in having]


def _contracts_of(organisations: Sequence[Organisation]) -> Counter[int]:
    """How many contracts each has to do with; a reseller with those of its customers too."""
    keys = [organisation.pk for organisation in organisations]
    tree = Organisation.objects.filter(Q(pk__in=keys) | Q(parent__in=keys))
    parents = dict(tree.values_list("pk", "parent_id"))
    counted = Contract.objects.filter(mailbox__organisation__in=list(parents)).order_by()
    found: Counter[int | None] = Counter()
    for organisation, count in counted.values_list("mailbox__organisation").annotate(Count("pk")):
        found[organisation] += count
        found[parents[organisation]] += count
    return Counter({key: found[key] for key in keys})


def _alike(some: Sequence[Buyer]) -> Iterator[list[Buyer]]:
    """Those of one kind, seller and list together."""

    def terms(buyer: Buyer) -> tuple[str, int, int]:
        seller = pricing.seller_of(buyer.organisation)
        return buyer.organisation.kind, seller.pk if seller else 0, buyer.price_list.pk

    for _terms, alike in groupby(sorted(some, key=terms), key=terms):
        yield list(alike)


def prepared(
    alike: Sequence[Buyer],
    *,
    period: Period,
    at: datetime,
    problems: list[str],
    replaces: Invoice | None = None,
) -> Iterator[Bill]:
    """The bills of buyers of one seller, without numbers.

    Whoever gets none is named in `problems`. `replaces` is the one bill before of a month that
    is billed again.
    """
    seller = pricing.seller_of(alike[0].organisation)
    # Before any line is computed: a first price that is set meanwhile would leave lines out.
    alike = _priced(_by_prices_of_now(alike), period=period, problems=problems)
    if not alike:
        return
    lines = billing.charges_of(alike, period=period, known_at=at)
    late = corrections.late(alike, period=period, known_at=at)
    alike = [b for b in alike if lines[b.organisation.pk] or late.get(b.organisation.pk)]
    from_profile = seller_profile(seller)
    if from_profile is None:
        problems += _without_profile(seller, alike)
        return
    judge = reviewing.unusual_again if replaces else reviewing.unusual
    unusual = judge(alike, lines, period=period)
    known = profiles(alike, fallback=from_profile)
    taxes: dict[tuple[str, bool], Tax] = {}
    for buyer in alike:
        key = buyer.organisation.pk
        try:
            tax = _tax(taxes, seller=from_profile, customer=known[key], on=period.first_day)
        except vat.NoRate as reason:
            problems.append(f"{buyer.organisation} gets no bill: {reason}")
            continue
        if known[key].pk is None and not buyer.organisation.is_test:
            problems.append(_unknown(buyer.organisation, known[key]))
        yield Bill(
            buyer=buyer,
            seller=seller,
            seller_profile=from_profile,
            profile=known[key],
            period=period,
            lines=reviewing.without_overage(lines[key]) if key in unusual else lines[key],
            unusual=unusual.get(key),
            corrections=late.get(key, ()),
            tax=tax,
            replaces=replaces,
        )


def _without_profile(seller: Organisation | None, alike: Sequence[Buyer]) -> list[str]:
    name = seller or "The house"
    missing = f"{name} has no billing profile, so {len(alike)} bills are missing."
    return [missing] if alike else []


def _by_prices_of_now(alike: Sequence[Buyer]) -> Sequence[Buyer]:
    """Let test organisations keep the prices that there are: for them days go by before others."""
    if not alike[0].organisation.is_test or alike[0].newest_price is not None:
        return alike
    newest = pricing.newest_key()
    return [replace(buyer, newest_price=newest) for buyer in alike]


def _tax(
    taxes: dict[tuple[str, bool], Tax],
    *,
    seller: BillingProfile,
    customer: BillingProfile,
    on: date,
) -> Tax:
    """The tax between these, looked up once for each kind of buyer; raises `vat.NoRate`."""
    # It depends on no more than this of a buyer.
    terms = customer.country, bool(customer.vat_id)
    if terms not in taxes:
        taxes[terms] = vat.between(seller=seller, customer=customer, on=on)
    return taxes[terms]


def _priced(alike: Sequence[Buyer], *, period: Period, problems: list[str]) -> list[Buyer]:
    """Those whose plans all have prices; the others are named in `problems`."""
    unpriced = billing.unpriced(alike, period=period)
    problems += [
        f"{b.organisation} gets no bill: {b.price_list} has no price for "
        f"{', '.join(unpriced[b.organisation.pk])}."
        for b in alike
        if b.organisation.pk in unpriced
    ]
    return [b for b in alike if b.organisation.pk not in unpriced]


def _unknown(organisation: Organisation, taken: BillingProfile) -> str:
    """A buyer that never said where it is gets a bill all the same, since it used what it did."""
    return (
        f"{organisation} has no billing profile: its bill has no address, and is taxed as in "
        f"{taken.country}. Once it is filled in, the bill can be taken back and billed again."
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
        counter = lock_counter(bills[0].seller, is_test=bills[0].buyer.organisation.is_test)
        written = Invoice.objects.filter(
            kind=Invoice.Kind.INVOICE,
            period=period.first_day,
            customer__in=[bill.buyer.organisation for bill in bills],
        )
        done = frozenset(written.values_list("customer_id", flat=True))
        missing = [bill for bill in bills if bill.buyer.organisation.pk not in done]
        write(missing, counter=counter, actor=actor, at=at)
    return len(missing)
