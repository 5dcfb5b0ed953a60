"""Telling owners how near they are to what they allow themselves to spend in a month."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts import notices, outbox
from accounts.access import system
from accounts.models import Organisation, on_clock_of
from hosting import billing, money, pricing
from hosting.billing import Buyer
from hosting.models import InvoiceLine, Limits, Spending
from hosting.periods import Period

THRESHOLDS = (50, 80, 100)
_WATCH = system("spending")


def watch(*, at: datetime, among: Organisation | None = None) -> int:
    """Count what everybody with a cap has spent this month; returns how many were told of it.

    It is one test organisation, by its clock, or all that live by the real one.
    """
    whose = on_clock_of(among, "organisation__")
    capped = Limits.objects.capped().filter(whose).select_related("organisation__parent")
    return sum(_watched(limits, at=at) for limits in capped.order_by("pk").iterator())


def _watched(limits: Limits, *, at: datetime) -> bool:
    try:
        buyer = billing.buyer(limits.organisation)
    except pricing.NoPrice:
        return False
    return _tell(limits, _counted(buyer, at=at), buyer=buyer, at=at)


def _counted(buyer: Buyer, *, at: datetime) -> Spending:
    period = Period.of(at)
    lines = billing.charges(buyer, period=period, until=at)
    storage = [line.net_minor for line in lines if line.kind == InvoiceLine.Kind.STORAGE]
    spending, _created = Spending.objects.update_or_create(
        organisation=buyer.organisation,
        period=period.first_day,
        defaults={
            "net_minor": sum(line.net_minor for line in lines),
            "storage_minor": sum(storage),
            "counted_at": at,
        },
    )
    return spending


@transaction.atomic
def _tell(limits: Limits, spending: Spending, *, buyer: Buyer, at: datetime) -> bool:
    """Tell of the highest threshold that was reached, once a month each.

    The cap is looked up once more: whoever changed it since it was read lets the month begin
    anew, and would be told of the old one, and then of none.
    """
    cap = Limits.objects.select_for_update().get(pk=limits.pk).cap_minor
    if cap is None:
        return False
    reached = max((t for t in THRESHOLDS if spending.net_minor * 100 >= cap * t), default=0)
    # Whoever writes the threshold down tells of it, so that two workers do not both.
    untold = Spending.objects.filter(pk=spending.pk, told_percent__lt=reached)
    if not untold.update(told_percent=reached):
        return False
    spent_text = money.minor_text(spending.net_minor, currency=buyer.currency)
    cap_text = money.minor_text(cap, currency=buyer.currency)
    outbox.record(
        kind="spend_cap.reached",
        at=at,
        actor=_WATCH,
        organisation=buyer.organisation,
        subject=("organisation", str(buyer.organisation.uuid), buyer.organisation.name),
        data={"percent": reached, "net_minor": spending.net_minor, "cap_minor": cap},
    )
    if buyer.organisation.is_test:
        return True  # Nobody is written to about money that nobody pays.
    notices.announce(
        organisations=[buyer.organisation],
        name="spend_cap",
        context={
            "organisation": buyer.organisation.name,
            "percent": reached,
            "spent_text": spent_text,
            "cap_text": cap_text,
            "month": str(Period.of(at)),
        },
        at=at,
    )
    return True
