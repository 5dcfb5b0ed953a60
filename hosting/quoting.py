"""What an order would cost, from the bills that it would change; nothing stays of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounts.access import Actor
from hosting import billing, clocks, ordering
from hosting.billing import Buyer
from hosting.changing import Month
from hosting.models import Plan
from hosting.periods import Period
from mailstore.models import Domain


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What a new mailbox brings to the bill of this month and of a full one, while it is empty."""

    address: str
    this_month: Month
    full_month: Month


def order(
    *,
    actor: Actor,
    domain: Domain,
    local_part: str,
    plan: Plan,
    external_ref: str = "",
    quota_bytes: int | None = None,
    at: datetime,
) -> Quote:
    """The quote for an order; raises all that `ordering.order` would raise.

    The order is placed and undone, so what it says is what the order would do.
    """
    with transaction.atomic():
        mailbox = ordering.order(
            actor=actor,
            domain=domain,
            local_part=local_part,
            plan=plan,
            external_ref=external_ref,
            quota_bytes=quota_bytes,
            at=at,
        )
        buyer = billing.buyer(domain.organisation)
        period = Period.of(clocks.moment_for(domain.organisation, at))
        quote = Quote(
            address=mailbox.address,
            this_month=_month(buyer, mailbox.pk, period),
            full_month=_month(buyer, mailbox.pk, period.next),
        )
        transaction.set_rollback(True)
    return quote


def _month(buyer: Buyer, mailbox_id: int, period: Period) -> Month:
    lines = billing.charges(buyer, period=period, only=mailbox_id)
    return Month(period=period, currency=buyer.currency, before=[], after=lines)
