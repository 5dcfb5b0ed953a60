"""Overage above twice the usual waits for somebody to look at it before it is charged.

The usual is the mean of the bills of the three months before, of those that there are; without
one there is nothing to compare with. Little amounts never wait (`OVERAGE_REVIEW_FROM`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from django.conf import settings
from django.db.models import Count, Sum

from accounts import notices, outbox
from accounts.access import Actor, Capability
from hosting import money
from hosting.billing import Buyer
from hosting.charges import Charge, Kind
from hosting.models import HeldOverage, Invoice, InvoiceLine
from hosting.periods import Period

_TIMES = 2
# The columns of a decision.
_DECISION = ("state", "decided_at", "decided_by", "reason")


class AlreadyDecided(Exception):
    """Somebody else was faster, or took the bill back."""


@dataclass(frozen=True, kw_only=True)
class Unusual:
    """The overage of one buyer in one month, in minor units before tax, and the usual one."""

    amount_minor: int
    usual_minor: int
    # The decision that it is never charged, if one was made on an earlier bill of the month.
    let_go: HeldOverage | None = None


def unusual(
    alike: Iterable[Buyer], lines: Mapping[int, Sequence[Charge]], *, period: Period
) -> dict[int, Unusual]:
    """Whose overage has to wait, by the key of the organisation; in three queries for all.

    Test organisations pay nothing, so theirs never waits.
    """
    asked = {}
    for buyer in alike:
        key, least = buyer.organisation.pk, settings.OVERAGE_REVIEW_FROM.get(buyer.currency, 0)
        amount = _overage_minor(lines[key])
        if amount > 0 and amount >= least and not buyer.organisation.is_test:
            asked[key] = amount
    if not asked:
        return {}
    earlier = _earlier(asked, period=period)
    return {
        key: Unusual(
            amount_minor=amount,
            usual_minor=money.half_up(Fraction(*earlier[key])),
        )
        for key, amount in asked.items()
        if key in earlier and amount * earlier[key][1] > _TIMES * earlier[key][0]
    }


def unusual_again(
    alike: Sequence[Buyer], lines: Mapping[int, Sequence[Charge]], *, period: Period
) -> dict[int, Unusual]:
    """The same for a month that is billed again: what was decided about its overage holds.

    Only what comes to more than was looked at then is new, and is judged as ever.
    """
    found = unusual(alike, lines, period=period)
    for buyer in alike:
        key = buyer.organisation.pk
        decided = HeldOverage.objects.filter(customer=key, period=period.first_day).decided()
        # The largest amount that was looked at: bills of less may have come after it, and one of
        # more that was taken back before anybody decided.
        held = decided.order_by("amount_minor", "pk").last()
        amount = _overage_minor(lines[key])
        if held is None or not 0 < amount <= held.amount_minor:
            continue
        if held.state == HeldOverage.State.RELEASED:
            found.pop(key, None)
        else:
            found[key] = Unusual(amount_minor=amount, usual_minor=held.usual_minor, let_go=held)
    return found


def _earlier(customers: Iterable[int], *, period: Period) -> dict[int, tuple[int, int]]:
    """What overage came to on the bills before, all in all, and how many bills there are."""
    months = [period.previous, period.previous.previous, period.previous.previous.previous]
    bills = Invoice.objects.filter(
        kind=Invoice.Kind.INVOICE,
        customer__in=list(customers),
        period__in=[month.first_day for month in months],
        credit_notes=None,
    ).exclude(held_overage__state=HeldOverage.State.LET_GO)
    counts = dict(bills.order_by().values_list("customer").annotate(Count("pk")))
    lines = InvoiceLine.objects.filter(kind=Kind.STORAGE, invoice__in=bills)
    charged = dict(lines.order_by().values_list("invoice__customer").annotate(Sum("net_minor")))
    held = HeldOverage.objects.filter(invoice__in=bills)
    waited = dict(held.order_by().values_list("customer").annotate(Sum("amount_minor")))
    return {key: (charged.get(key, 0) + waited.get(key, 0), n) for key, n in counts.items()}


def _is_overage(line: Charge) -> bool:
    return line.kind == Kind.STORAGE


def _overage_minor(lines: Iterable[Charge]) -> int:
    return sum(line.net_minor for line in lines if _is_overage(line))


def without_overage(lines: Iterable[Charge]) -> list[Charge]:
    """The lines that are charged while the others wait."""
    return [line for line in lines if not _is_overage(line)]


def owed(lines: list[Charge], *, bill: Invoice, known_at: datetime) -> list[Charge]:
    """The lines of a bill's month that were to be charged at a moment, as it was decided then."""
    held = HeldOverage.objects.filter(invoice=bill).first()
    if held is None:
        return lines
    is_released = held.state == HeldOverage.State.RELEASED
    if is_released and held.decided_at is not None and held.decided_at <= known_at:
        return lines
    return without_overage(lines)


def hold(*, bill: Invoice, found: Unusual, actor: Actor, at: datetime) -> HeldOverage:
    """Keep what a bill leaves out, and tell its customer; inside the transaction of the bill.

    Of what was let go before there is nothing to tell.
    """
    held = HeldOverage(
        invoice=bill,
        customer_id=bill.customer_id,
        period=bill.period,
        amount_minor=found.amount_minor,
        usual_minor=found.usual_minor,
        currency=bill.currency,
        held_at=at,
    )
    if found.let_go is not None:
        for name in _DECISION:
            setattr(held, name, getattr(found.let_go, name))
    held.save()
    if found.let_go is not None:
        return held
    _record("overage.held", held, actor=actor, at=at)
    notices.announce(
        organisations=[held.customer],
        name="overage_held",
        context={
            "organisation": held.customer.name,
            "month": str(Period.of_day(held.period)),
            "amount_text": held.amount_text,
            "usual_text": held.usual_text,
            "number": bill.number,
        },
        at=at,
        with_billing=True,
    )
    return held


def release(*, actor: Actor, held: HeldOverage, at: datetime) -> None:
    """Let the next bill charge it; raises `AlreadyDecided`. Only the seller may."""
    _decide(held, HeldOverage.State.RELEASED, actor=actor, at=at)
    _record("overage.released", held, actor=actor, at=at)


def let_go(*, actor: Actor, held: HeldOverage, reason: str, at: datetime) -> None:
    """Charge it never; raises `AlreadyDecided`. Only the seller may."""
    _decide(held, HeldOverage.State.LET_GO, actor=actor, reason=reason, at=at)
    _record("overage.let_go", held, actor=actor, at=at)


def _decide(
    held: HeldOverage, state: HeldOverage.State, *, actor: Actor, reason: str = "", at: datetime
) -> None:
    seller = held.invoice.seller
    actor.must(Capability.MANAGE_BILLS, lineage=seller.lineage if seller else ())
    waiting = HeldOverage.objects.waiting().filter(pk=held.pk)
    if not waiting.update(
        state=state, decided_at=at, decided_by=actor.name, reason=reason.strip()[:500]
    ):
        is_gone = held.invoice.credit_notes.exists()
        why = "its bill was taken back" if is_gone else "it was decided about already"
        message = f"{held} waits no more: {why}."
        raise AlreadyDecided(message)
    held.refresh_from_db()


def _record(kind: str, held: HeldOverage, *, actor: Actor, at: datetime) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=held.customer,
        subject=("invoice", str(held.invoice.uuid), held.invoice.number),
        data={
            "month": str(Period.of_day(held.period)),
            "amount_minor": held.amount_minor,
            "usual_minor": held.usual_minor,
            "currency": held.currency,
            "reason": held.reason,
        },
    )
