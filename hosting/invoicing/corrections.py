"""What became known after a month was closed is put right in the next one, never by an edit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from django.db.models import Sum

from hosting import billing
from hosting.billing import Buyer
from hosting.charges import Charge
from hosting.models import Contract, InvoiceLine
from hosting.periods import Period

# A mailbox at a price: what a difference is about.
Key = tuple[int | None, int]


def late(alike: Sequence[Buyer], *, period: Period) -> dict[int, list[Charge]]:
    """Lines for ends of contracts that were written down after their month, by buyer."""
    owners = billing.owners_of([buyer.organisation for buyer in alike])
    ended = Contract.objects.filter(
        mailbox__organisation__in=list(owners),
        ended_at__gte=period.starts_at,
        ends_at__lt=period.starts_at,
    ).values_list("mailbox__organisation_id", "ends_at")
    by_key = {buyer.organisation.pk: buyer for buyer in alike}
    found: dict[int, list[Charge]] = {}
    months = {
        (owners[organisation], month)
        for organisation, ends_at in ended
        if ends_at is not None
        for month in Period.of(ends_at).until(period.previous)
    }
    for key, month in sorted(months):
        found.setdefault(key, []).extend(_differences(by_key[key], month))
    return found


def charged(buyer: Buyer, month: Period) -> dict[Key, int]:
    """What was charged for a month so far, corrections included, by mailbox and price."""
    lines = InvoiceLine.objects.filter(
        invoice__customer=buyer.organisation, invoice__kind="invoice", period=month.first_day
    )
    sums = lines.order_by().values_list("mailbox_id", "price_id").annotate(Sum("net_minor"))
    return {(mailbox, price): net for mailbox, price, net in sums}


def nets(lines: Iterable[Charge]) -> dict[Key, int]:
    """What lines come to, by mailbox and price."""
    found: dict[Key, int] = {}
    for line in lines:
        key = (line.mailbox_id, line.price.pk)
        found[key] = found.get(key, 0) + line.net_minor
    return found


def _differences(buyer: Buyer, month: Period) -> list[Charge]:
    """Nothing for a month that was never billed: its bill is still to come."""
    before = charged(buyer, month)
    if not before:
        return []
    lines = billing.charges(buyer, period=month)
    now = nets(lines)
    one_each = {(line.mailbox_id, line.price.pk): line for line in lines}
    return [
        replace(one_each[key], net_minor=now[key] - before.get(key, 0))
        for key in now
        if now[key] != before.get(key, 0)
    ]
