"""What many mailboxes cost together, at the prices of their buyers' lists, in few statements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, QuerySet
from django.utils.translation import gettext

from accounts.models import Organisation
from hosting import money, pricing
from hosting.models import Contract, Plan, Price
from mailstore.models import Mailbox

# Customer and plan, and how many mailboxes of that customer are on that plan.
_Sold = Mapping[tuple[int, int], int]


def ending(mailboxes: QuerySet[Mailbox], *, at: datetime) -> list[str]:
    """What is not earned any more once these are closed."""
    sold = _sold(mailboxes)
    priced = _priced(sold, at=at)
    sentence = gettext(
        "What ends is worth %(amount)s a month at the prices of their lists, before tax and "
        "without further gigabytes."
    )
    sums = _sums(sold, priced)
    found = [sentence % {"amount": each} for each in _texts(sums)]
    return [*found, *_unpriced(sold, priced)]


def changing(mailboxes: QuerySet[Mailbox], *, plan: Plan, at: datetime) -> list[str]:
    """What they cost a month now, and what on another plan."""
    now = _sold(mailboxes)
    then: Counter[tuple[int, int]] = Counter()
    for (owner, _plan), count in now.items():
        then[owner, plan.pk] += count
    priced = _priced({**now, **then}, at=at)
    before, after = _sums(now, priced), _sums(then, priced)
    sentence = gettext(
        "A month costs %(before)s now and %(after)s then, at the prices of their lists, before "
        "tax and without further gigabytes."
    )
    found = [
        sentence
        % {
            "before": money.text(before.get(currency, Decimal(0)), currency=currency),
            "after": money.text(after.get(currency, Decimal(0)), currency=currency),
        }
        for currency in sorted({*before, *after})
    ]
    return [*found, *_unpriced(then, priced)]


def _sold(mailboxes: QuerySet[Mailbox]) -> dict[tuple[int, int], int]:
    """Test organisations are never billed, so what they have costs nothing."""
    running = Contract.objects.filter(
        mailbox__in=mailboxes, ends_at=None, mailbox__organisation__is_test=False
    )
    grouped = running.values_list("mailbox__organisation", "plan").annotate(count=Count("pk"))
    return {(owner, plan): count for owner, plan, count in grouped.order_by()}


def _priced(sold: _Sold, *, at: datetime) -> dict[tuple[int, int], Price]:
    """The price of each plan for each customer, where there is one."""
    owners = Organisation.objects.select_related("parent").filter(
        pk__in={owner for owner, _plan in sold}
    )
    lists = pricing.lists_for(list(owners))
    begun = pricing.successions({each.pk for each in lists.values()}, until=at + timedelta(days=1))
    found = {key: prices[-1] for key, prices in begun.items()}
    return {
        (owner, plan): found[lists[owner].pk, plan]
        for owner, plan in sold
        if owner in lists and (lists[owner].pk, plan) in found
    }


def _sums(sold: _Sold, priced: Mapping[tuple[int, int], Price]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for key, count in sold.items():
        price = priced.get(key)
        if price is not None:
            sums[price.currency] = (
                sums.get(price.currency, Decimal(0)) + count * price.monthly_price
            )
    return sums


def _texts(sums: Mapping[str, Decimal]) -> Iterable[str]:
    return [money.text(amount, currency=currency) for currency, amount in sorted(sums.items())]


def _unpriced(sold: _Sold, priced: Mapping[tuple[int, int], Price]) -> list[str]:
    count = sum(each for key, each in sold.items() if key not in priced)
    if not count:
        return []
    return [gettext("Mailboxes for which no list has a price: %(count)s.") % {"count": count}]
