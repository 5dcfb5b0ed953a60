"""What became known after a month was closed is put right in the next one, never by an edit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from django.db.models import F, Max, Sum

from hosting import billing, metering
from hosting.billing import Buyer
from hosting.charges import Charge
from hosting.models import Contract, Invoice, InvoiceLine
from hosting.periods import Period
from mailstore.models import Drift

# A mailbox at a price: what a difference is about.
Key = tuple[int | None, int]


def late(alike: Sequence[Buyer], *, period: Period, known_at: datetime) -> dict[int, list[Charge]]:
    """Lines for what was written down after its month, by buyer: ends of contracts, and drift."""
    owners = billing.owners_of([buyer.organisation for buyer in alike])
    by_key = {buyer.organisation.pk: buyer for buyer in alike}
    months = {
        (owners[organisation], month)
        for organisation, since in _late(list(owners), period=period)
        for month in Period.of(since).until(period.previous)
    }
    found: dict[int, list[Charge]] = {}
    for key, month in sorted(months):
        differences = _differences(by_key[key], month, known_at=known_at)
        found.setdefault(key, []).extend(differences)
    return found


def _late(organisations: Sequence[int], *, period: Period) -> Iterator[tuple[int, datetime]]:
    """Whom something is about that came late, and since when."""
    contracts = Contract.objects.filter(mailbox__organisation__in=organisations)
    ended = contracts.filter(ended_at__gte=period.starts_at, ends_at__lt=period.starts_at)
    ends = ended.values_list("mailbox__organisation_id", "ends_at")
    yield from ((organisation, at) for organisation, at in ends if at is not None)
    drifts = Drift.objects.filter(until__gt=period.start, since__lt=period.start)
    excess = drifts.filter(noted_bytes__gt=F("true_bytes")).order_by("-since")
    since = dict(excess.values_list("username", "since"))
    touched = contracts.filter(mailbox__address__in=since, starts_at__lt=period.starts_at)
    for organisation, address, starts_at in touched.values_list(
        "mailbox__organisation_id", "mailbox__address", "starts_at"
    ):
        yield organisation, max(starts_at, metering.moment(since[address]))


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


def last_known_at(invoice: Invoice) -> datetime:
    """When what was charged for a bill's month was last computed."""
    lines = InvoiceLine.objects.filter(
        invoice__customer=invoice.customer_id, invoice__kind="invoice", period=invoice.period
    )
    latest: datetime | None = lines.aggregate(at=Max("invoice__issued_at"))["at"]
    return latest or invoice.issued_at


def _differences(buyer: Buyer, month: Period, *, known_at: datetime) -> list[Charge]:
    """Nothing for a month that was never billed: its bill is still to come."""
    before = charged(buyer, month)
    if not before:
        return []
    lines = billing.charges(buyer, period=month, known_at=known_at)
    now = nets(lines)
    one_each = {(line.mailbox_id, line.price.pk): line for line in lines}
    return [
        replace(one_each[key], net_minor=now[key] - before.get(key, 0))
        for key in now
        if now[key] != before.get(key, 0)
    ]
