"""What became known after a month was closed is put right in the next one, never by an edit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from django.db.models import F

from hosting import billing, metering
from hosting.billing import Buyer
from hosting.charges import Charge
from hosting.invoicing import charged, reviewing
from hosting.invoicing.charged import Key
from hosting.models import Contract, HeldOverage, InvoiceLine
from hosting.periods import Period
from hosting.vat import Tax
from mailstore.models import Drift

# SQLite takes at most 32,766 values in one query.
_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True)
class Correction:
    """A line that puts a month right, and what applied to that month."""

    charge: Charge
    tax: Tax

    @property
    def net_minor(self) -> int:
        """What it adds; below zero where too much was charged."""
        return self.charge.net_minor


def late(
    alike: Sequence[Buyer], *, period: Period, known_at: datetime
) -> dict[int, list[Correction]]:
    """Lines that the bill of a month has for earlier ones, by buyer.

    They are about ends of contracts and drift that were written down late, about overage that
    was released, and about what credit notes took back with a bill.
    """
    owners = billing.owners_of([buyer.organisation for buyer in alike])
    by_key = {buyer.organisation.pk: buyer for buyer in alike}
    months = {
        (owners[organisation], month)
        for organisation, since in _late(list(owners), period=period)
        for month in Period.of(since).until(period.previous)
    }
    # A month that is billed again undoes what other bills put right of it, too.
    months |= {each for each in charged.unsettled(list(by_key)) if each[1] <= period}
    found: dict[int, list[Correction]] = {}
    for key, month in sorted(months):
        differences = _differences(by_key[key], month, known_at=known_at)
        found.setdefault(key, []).extend(differences)
    return found


def _late(organisations: Sequence[int], *, period: Period) -> Iterator[tuple[int, datetime]]:
    """Whom something is about that came late, and since when."""
    for start in range(0, len(organisations), _AT_ONCE):
        piece = organisations[start : start + _AT_ONCE]
        yield from _ended_late(piece, period=period)
        yield from _released(piece, period=period)
        yield from _drifted(piece, period=period)


def _ended_late(organisations: Sequence[int], *, period: Period) -> Iterator[tuple[int, datetime]]:
    contracts = Contract.objects.filter(mailbox__organisation__in=organisations)
    ended = contracts.filter(ended_at__gte=period.starts_at, ends_at__lt=period.starts_at)
    ends = ended.values_list("mailbox__organisation_id", "ends_at")
    yield from ((organisation, at) for organisation, at in ends if at is not None)


def _released(organisations: Sequence[int], *, period: Period) -> Iterator[tuple[int, datetime]]:
    released = HeldOverage.objects.filter(
        customer__in=organisations,
        state=HeldOverage.State.RELEASED,
        decided_at__gte=period.starts_at,
        period__lt=period.first_day,
    )
    for organisation, day in released.values_list("customer_id", "period"):
        yield organisation, Period.of_day(day).starts_at


def _drifted(organisations: Sequence[int], *, period: Period) -> Iterator[tuple[int, datetime]]:
    """The buyers' own addresses are looked up, since a bad night leaves drift of all there are."""
    drifts = Drift.objects.filter(until__gt=period.start, since__lt=period.start)
    if not drifts.filter(noted_bytes__gt=F("true_bytes")).exists():
        return
    begun = Contract.objects.filter(
        mailbox__organisation__in=organisations, starts_at__lt=period.starts_at
    )
    rows = begun.values_list("mailbox__organisation_id", "mailbox__address", "starts_at")
    contracts = rows.iterator(chunk_size=_AT_ONCE)
    while piece := list(islice(contracts, _AT_ONCE)):
        gaps = metering.gaps_of({address for _organisation, address, _starts_at in piece})
        for organisation, address, starts_at in piece:
            for gap in gaps.get(address, ()):
                if gap.since < period.start < gap.until:
                    yield organisation, max(starts_at, metering.moment(gap.since))


def nets(lines: Iterable[Charge], *, tax: Tax) -> dict[Key, int]:
    """What lines come to, by mailbox and price; nothing of it is 0."""
    found: dict[Key, int] = {}
    for line in lines:
        key = Key(line.mailbox_id, line.price.pk, tax)
        found[key] = found.get(key, 0) + line.net_minor
    return {key: net_minor for key, net_minor in found.items() if net_minor}


def _differences(buyer: Buyer, month: Period, *, known_at: datetime) -> list[Correction]:
    """What a month should come to, less what was charged for it.

    A month without a bill that stands should come to nothing: what never had one is still to be
    billed, and what was taken back is billed again only by `bill_again`.
    """
    owner = buyer.organisation.pk
    bill = charged.bill_of(owner, month)
    before = charged.nets(owner, month)
    lines: list[Charge] = []
    now: dict[Key, int] = {}
    if bill is not None:
        terms = billing.on_terms_of(bill, organisation=buyer.organisation)
        lines = billing.charges(terms, period=month, known_at=known_at)
        lines = reviewing.owed(lines, bill=bill, known_at=known_at)
        now = nets(lines, tax=charged.tax_of(bill))
    keys = [key for key in {**now, **before} if now.get(key, 0) != before.get(key, 0)]
    if not keys:
        return []
    # What nothing is charged for any more is taken back as well.
    known = _nothing_of(owner, month) | {(line.mailbox_id, line.price.pk): line for line in lines}
    return [
        Correction(
            charge=replace(
                known[key.mailbox_id, key.price_id],
                net_minor=now.get(key, 0) - before.get(key, 0),
            ),
            tax=key.tax,
        )
        for key in keys
    ]


def _nothing_of(owner: int, month: Period) -> dict[tuple[int | None, int], Charge]:
    """Lines of nothing, for each mailbox and price that was charged for."""
    return {
        place: Charge(
            kind=InvoiceLine.Kind.MAILBOX if line.mailbox else InvoiceLine.Kind.STORAGE,
            mailbox_id=line.mailbox_id,
            address=line.mailbox.address if line.mailbox else "",
            price=line.price,
            period=month,
            seconds=0,
            used_byte_seconds=0,
            included_byte_seconds=0,
            net_minor=0,
        )
        for place, line in charged.one_line_each(owner, month).items()
    }
