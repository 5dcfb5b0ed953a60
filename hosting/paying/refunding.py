"""Paying back through the provider: the ledger first, then the wish, until it is answered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction

from accounts import outbox
from accounts.access import Actor
from hosting import ledger, paying
from hosting.models import Payment, Refund
from hosting.paying import facts

logger = logging.getLogger(__name__)

# Longer than the provider may take to answer, its tries included.
_LEASE = timedelta(minutes=2)
_LONGEST_WAIT = timedelta(hours=1)
_MOST_AT_ONCE = 100


@transaction.atomic
def ask(*, actor: Actor, payment: Payment, amount_minor: int, reason: str, at: datetime) -> Refund:
    """Pay back a part of a payment by the way it came; raises `ledger.LedgerRefused`."""
    if payment.source != Payment.Source.STRIPE:
        message = "This payment did not come by the provider; pay it back by hand."
        raise ledger.LedgerRefused(message)
    entry = ledger.pay_back(
        actor=actor, payment=payment, amount_minor=amount_minor, reason=reason, at=at
    )
    refund = Refund.objects.create(
        payment=payment, entry=entry, amount_minor=amount_minor, retry_at=at, asked_at=at
    )
    outbox.nudge("hosting.send_refunds")
    return refund


def send_due(*, now: Callable[[], datetime]) -> int:
    """Ask for each refund that nobody has asked for; returns how many are on their way."""
    due = Refund.objects.filter(state=Refund.State.ASKED, retry_at__lte=now())
    ids = list(due.order_by("retry_at", "pk").values_list("pk", flat=True)[:_MOST_AT_ONCE])
    return sum(_send(refund_id, at=now()) for refund_id in ids)


def _send(refund_id: int, *, at: datetime) -> bool:
    """Ask once, under a lease. A worker that dies has asked or not; the key makes it one."""
    provider = paying.provider()
    mine = Refund.objects.filter(pk=refund_id, state=Refund.State.ASKED, retry_at__lte=at)
    if provider is None or not mine.update(retry_at=at + _LEASE):
        return False
    refund = Refund.objects.select_related("payment").get(pk=refund_id)
    wish = paying.RefundAsk(
        key=str(refund.uuid),
        payment_id=refund.payment.external_id,
        amount_minor=refund.amount_minor,
    )
    try:
        provider_id = provider.refund(wish)
    except paying.ProviderDown as error:
        _wait(refund, str(error), at=at)
        return False
    except paying.ProviderRefused as refusal:
        _give_up(refund, str(refusal), at=at)
        return False
    asked = Refund.objects.filter(pk=refund_id, state=Refund.State.ASKED)
    asked.update(state=Refund.State.SENT, provider_id=provider_id, problem="")
    return True


def _wait(refund: Refund, problem: str, *, at: datetime) -> None:
    wait = min(timedelta(seconds=30) * 2 ** min(refund.tries, 10), _LONGEST_WAIT)
    asked = Refund.objects.filter(pk=refund.pk, state=Refund.State.ASKED)
    asked.update(tries=refund.tries + 1, retry_at=at + wait, problem=problem[:300])
    logger.warning("Refund %s waits: %s", refund.uuid, problem)


@transaction.atomic
def _give_up(refund: Refund, problem: str, *, at: datetime) -> None:
    locked = Refund.objects.select_for_update(of=("self",)).select_related("entry__payment")
    current = locked.get(pk=refund.pk)
    if current.state == Refund.State.ASKED:
        facts.fail(current, problem, at=at)
