"""What a reseller pays for its customers, what they pay it, and what is left between.

A customer never sees any of it: these figures belong to the reseller's own pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from accounts.models import Organisation
from hosting import billing, money
from hosting.charges import Charge
from hosting.periods import Period
from mailstore.models import Mailbox


@dataclass(frozen=True, kw_only=True)
class Margin:
    """One customer's month so far, in minor units before tax."""

    customer: Organisation
    mailboxes: int
    wholesale_minor: int
    retail_minor: int
    # Of the retail price; the wholesale price is in the reseller's own.
    currency: str


@dataclass(frozen=True, kw_only=True)
class Margins:
    """A reseller's month so far. What its own mailboxes cost stands apart."""

    currency: str
    wholesale_minor: int
    own_minor: int
    customers: Sequence[Margin]

    @property
    def retail_minor(self) -> Mapping[str, int]:
        """What all customers pay, by currency."""
        found: dict[str, int] = {}
        for each in self.customers:
            found[each.currency] = found.get(each.currency, 0) + each.retail_minor
        return found

    def left_minor(self, each: Margin) -> int | None:
        """What is left of one customer's payment; None where the currencies differ."""
        if each.currency != self.currency:
            return None
        return each.retail_minor - each.wholesale_minor

    @property
    def all_left_minor(self) -> int | None:
        """What is left of everything, the reseller's own mailboxes paid as well."""
        if set(self.retail_minor) - {self.currency}:
            return None
        return self.retail_minor.get(self.currency, 0) - self.wholesale_minor


def margins(reseller: Organisation, *, at: datetime) -> Margins:
    """This month so far, in a fixed number of queries however many customers there are.

    Raises `pricing.NoPrice`.
    """
    period = Period.of(at)
    payer = billing.buyer(reseller)
    lines = billing.charges(payer, period=period, until=at)
    live = billing.buyers().filter(parent=reseller, is_test=False)
    customers = list(live.order_by("name", "pk"))
    buyers = billing.buyers_of(customers)
    retail = billing.charges_of(buyers, period=period, until=at) if buyers else {}
    owners = _owners(reseller, lines)
    wholesale = _shares(lines, owners=owners)
    counts: dict[int, int] = {}
    for owner in owners.values():
        counts[owner] = counts.get(owner, 0) + 1
    return Margins(
        currency=payer.currency,
        wholesale_minor=sum(line.net_minor for line in lines),
        own_minor=wholesale.get(reseller.pk, 0),
        customers=[
            Margin(
                customer=each.organisation,
                mailboxes=counts.get(each.organisation.pk, 0),
                wholesale_minor=wholesale.get(each.organisation.pk, 0),
                retail_minor=sum(line.net_minor for line in retail[each.organisation.pk]),
                currency=each.currency,
            )
            for each in buyers
        ],
    )


def _owners(reseller: Organisation, lines: Iterable[Charge]) -> dict[int, int]:
    """Whose each mailbox is that the lines are about."""
    below = Q(organisation=reseller) | Q(organisation__parent=reseller)
    found = dict(Mailbox.objects.filter(below).values_list("pk", "organisation_id"))
    return {line.mailbox_id: found[line.mailbox_id] for line in lines if line.mailbox_id}


def _shares(lines: Sequence[Charge], *, owners: Mapping[int, int]) -> dict[int, int]:
    """What each organisation's part of a bill is; the parts add up to it."""
    found: dict[int, int] = {}
    for line in lines:
        for owner, part in _parts(line, lines, owners=owners):
            found[owner] = found.get(owner, 0) + part
    return found


def _parts(
    line: Charge, lines: Sequence[Charge], *, owners: Mapping[int, int]
) -> Iterator[tuple[int, int]]:
    """One line by organisation: shared space by how far each mailbox went beyond its own."""
    if line.mailbox_id is not None:
        yield owners[line.mailbox_id], line.net_minor
        return
    beyond: dict[int, int] = {}
    for each in lines:
        if each.mailbox_id is not None and each.price == line.price:
            above = max(0, each.used_byte_seconds - each.included_byte_seconds)
            owner = owners[each.mailbox_id]
            beyond[owner] = beyond.get(owner, 0) + above
    yield from zip(beyond, money.split(line.net_minor, list(beyond.values())), strict=True)
