"""What is overdue: bills whose day has come everywhere on earth, and who reminds of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Sum

from accounts import setbacks
from accounts.access import system
from accounts.models import Organisation, on_clock_of
from hosting import money
from hosting.ledger.posting import tell_of_bill
from hosting.models import BillingProfile, Dunning, OpenItem, Payment
from hosting.models.payments import OpenItemQuerySet

# The westernmost zone is twelve hours behind.
_EVERYWHERE = timedelta(hours=12)
_TELLING = "overdue bills"
_ONE_DAY = timedelta(days=1)
_MOST_TOLD = 500
_HOUSE = system("dunning")


@dataclass(frozen=True, kw_only=True)
class Bill:
    """One bill with something left to pay."""

    number: str
    due_on: date
    open_text: str


@dataclass(frozen=True, kw_only=True)
class Debt:
    """What one customer has not paid in time, the oldest bill first."""

    due_on: date
    bills: tuple[Bill, ...]
    # In minor units by currency, less what was received and not used yet.
    amounts: Mapping[str, int]
    # The reseller in whose name is reminded; None stands for the house itself.
    seller_id: int | None

    @property
    def is_small(self) -> bool:
        """Whether it is not worth stopping anything for."""
        return all(
            minor < settings.DUNNING_SMALL.get(currency, 0)
            for currency, minor in self.amounts.items()
        )

    @property
    def total_text(self) -> str:
        """All of it."""
        texts = [money.minor_text(minor, currency=code) for code, minor in self.amounts.items()]
        return " + ".join(texts)


def today(at: datetime) -> date:
    """The latest day that has begun in every zone, so that nobody is a day early."""
    return (at.astimezone(UTC) - _EVERYWHERE).date()


def begins_at(day: date) -> datetime:
    """The moment from which `today` is that day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + _EVERYWHERE


def overdue(at: datetime) -> OpenItemQuerySet:
    """Bills that are due and open, whose seller has reminders sent; the oldest first."""
    reminding = BillingProfile.objects.filter(
        organisation=OuterRef("invoice__seller"), duns_customers=True
    )
    ours = Q(invoice__seller__isnull=True) | Exists(reminding)
    return OpenItem.objects.open().due_by(today(at)).filter(ours)


def tell_of_overdue(*, at: datetime, among: Organisation | None = None) -> int:
    """Record of each bill, once, that its day has passed unpaid; returns of how many.

    It is those of one test organisation, by its clock, or of all that live by the real one.
    """
    untold = OpenItem.objects.open().due_by(today(at) - _ONE_DAY)
    untold = untold.filter(on_clock_of(among, "invoice__customer__"), overdue_told_at=None)
    due = list(untold.exclude(pk__in=setbacks.waiting(work=_TELLING, at=at))[:_MOST_TOLD])
    told = 0
    for item in due:
        bill = item.invoice
        with setbacks.apart(
            work=_TELLING, row_id=item.pk, name=bill.number, organisation=bill.customer, at=at
        ):
            told += _tell(item, at=at)
    if len(due) < _MOST_TOLD:
        setbacks.forget(work=_TELLING, at=at)
    return told


@transaction.atomic
def _tell(item: OpenItem, *, at: datetime) -> bool:
    still = OpenItem.objects.filter(pk=item.pk, open_minor__gt=0, overdue_told_at=None)
    if not still.update(overdue_told_at=at):
        return False
    tell_of_bill("invoice.overdue", item.invoice, actor=_HOUSE, at=at)
    return True


def customers_without_a_run(at: datetime) -> list[int]:
    """The keys of those who owe something and are not reminded yet; test ones are left out."""
    running = Dunning.objects.open().filter(customer=OuterRef("invoice__customer"))
    owing = overdue(at).filter(invoice__customer__is_test=False)
    found = owing.exclude(Exists(running)).order_by()
    return sorted(set(found.values_list("invoice__customer", flat=True)))


def of(customers: Collection[int], *, at: datetime) -> dict[int, Debt]:
    """The debts of these, by key; who owes nothing is not in it."""
    items: defaultdict[int, list[OpenItem]] = defaultdict(list)
    for item in overdue(at).filter(invoice__customer__in=customers):
        items[item.invoice.customer_id].append(item)
    credit = _credit(list(items))
    debts = {pk: _debt(found, credit.get(pk, {})) for pk, found in items.items()}
    return {pk: debt for pk, debt in debts.items() if debt.amounts}


def _credit(customers: Collection[int]) -> dict[int, dict[tuple[int | None, str], int]]:
    """Money that came in and settles no bill yet: nobody is stopped who has paid."""
    free = Payment.objects.filter(customer__in=customers, free_minor__gt=0).order_by()
    rows = free.values_list("customer", "seller", "currency").annotate(Sum("free_minor"))
    credit: defaultdict[int, dict[tuple[int | None, str], int]] = defaultdict(dict)
    for customer, seller, currency, minor in rows:
        credit[customer][seller, currency] = minor
    return credit


def _debt(items: list[OpenItem], credit: Mapping[tuple[int | None, str], int]) -> Debt:
    """What is left once the credit has settled the oldest bills."""
    left = dict(credit)
    bills, amounts, first = [], defaultdict[str, int](int), None
    for item in items:
        terms = (item.invoice.seller_id, item.invoice.currency)
        used = min(left.get(terms, 0), item.open_minor)
        left[terms] = left.get(terms, 0) - used
        if used == item.open_minor:
            continue
        first = first or item
        amounts[item.invoice.currency] += item.open_minor - used
        bills.append(Bill(number=item.invoice.number, due_on=item.due_on, open_text=item.open_text))
    oldest = first or items[0]
    return Debt(
        due_on=oldest.due_on,
        bills=tuple(bills),
        amounts=dict(amounts),
        seller_id=oldest.invoice.seller_id,
    )


def writers(debts: Collection[Debt]) -> dict[int | None, str]:
    """The names in which letters are written, by seller; the house is not among them."""
    sellers = {debt.seller_id for debt in debts if debt.seller_id is not None}
    named = Organisation.objects.filter(pk__in=sellers)
    return dict(named.values_list("pk", "name"))
