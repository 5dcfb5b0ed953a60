"""What the provider told us: stored first, then done, each once and in any order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import transaction

from accounts import outbox
from accounts.access import system
from hosting import ledger
from hosting.models import Invoice, Payment, ProviderEvent, Refund
from hosting.paying.base import Fact, FactKind

logger = logging.getLogger(__name__)

_PROVIDER = system("payment provider")
# What comes before that which it is about is looked at again, less and less often.
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
_PATIENCE = timedelta(days=3)
_MOST_AT_ONCE = 500


class _NotYet(Exception):
    """What this is about has not come."""


def store(fact: Fact, *, at: datetime) -> bool:
    """Keep a fact until it is done; returns whether it is new. What moves no money is not kept."""
    if fact.kind is FactKind.OTHER:
        return False
    event, is_new = ProviderEvent.objects.get_or_create(
        event_id=fact.event_id,
        defaults={"name": fact.name, "data": fact.as_data(), "received_at": at, "retry_at": at},
    )
    if is_new:
        outbox.nudge("hosting.apply_provider_event", event_id=event.pk)
    return is_new


def apply_waiting(*, at: datetime) -> int:
    """Do what is due, oldest first; returns how many messages are done now."""
    waiting = ProviderEvent.objects.filter(state=ProviderEvent.State.WAITING, retry_at__lte=at)
    ids = list(waiting.order_by("received_at", "pk").values_list("pk", flat=True)[:_MOST_AT_ONCE])
    return sum(_applied(event_id=event_id, at=at) for event_id in ids)


def _applied(*, event_id: int, at: datetime) -> bool:
    """One that fails in a way nobody thought of does not stop those behind it."""
    try:
        return apply(event_id=event_id, at=at)
    except Exception:
        logger.exception("Message %s of the payment provider waits for its next try.", event_id)
        event = ProviderEvent.objects.get(pk=event_id)
        _wait(event, "It failed; the log says how.", at=at)
        return False


@transaction.atomic
def apply(*, event_id: int, at: datetime) -> bool:
    """Do one message; returns whether it was ours to do, and is done."""
    waiting = ProviderEvent.objects.filter(state=ProviderEvent.State.WAITING)
    event = waiting.select_for_update().filter(pk=event_id).first()
    if event is None:
        return False
    fact = Fact(**{**event.data, "kind": FactKind(event.data["kind"])})
    try:
        with transaction.atomic():
            _DO[fact.kind](fact, at)
    except _NotYet as reason:
        _wait(event, str(reason), at=at)
        return False
    except ledger.LedgerRefused as refusal:
        _end(event, ProviderEvent.State.FAILED, str(refusal), at=at)
        return False
    _end(event, ProviderEvent.State.APPLIED, "", at=at)
    return True


def try_again(*, event: ProviderEvent, at: datetime) -> None:
    """Let a message that failed wait for its turn once more."""
    failed = ProviderEvent.objects.filter(pk=event.pk, state=ProviderEvent.State.FAILED)
    failed.update(state=ProviderEvent.State.WAITING, received_at=at, retry_at=at)
    outbox.nudge("hosting.apply_provider_event", event_id=event.pk)


def _wait(event: ProviderEvent, problem: str, *, at: datetime) -> None:
    waited = at - event.received_at
    if waited > _PATIENCE:
        _end(event, ProviderEvent.State.FAILED, problem, at=at)
        return
    event.retry_at = at + min(max(waited, _FIRST_WAIT), _LONGEST_WAIT)
    event.problem = problem[:300]
    event.save(update_fields=["retry_at", "problem"])


def _end(event: ProviderEvent, state: str, problem: str, *, at: datetime) -> None:
    event.state, event.problem, event.applied_at = state, problem[:300], at
    event.save(update_fields=["state", "problem", "applied_at"])


# One function for each kind -------------------------------------------------------------


def _paid(fact: Fact, at: datetime) -> None:
    """Take the money in, whatever the bill says now: what does not fit is credit."""
    invoice = _invoice(fact.invoice_uuid)
    payment = _take_in(fact, customer_of=invoice, external_id=fact.payment_id, at=at)
    if payment is None or invoice is None:
        return
    try:
        ledger.match(actor=_PROVIDER, payment=payment, invoice=invoice, at=at)
    except ledger.NotMatched as refusal:
        logger.warning("%s of %s stays as credit: %s", payment, invoice, refusal)


def _invoice(public_id: str) -> Invoice | None:
    """A bill of the house; nobody's money settles the bill of another seller."""
    uuid = _uuid(public_id)
    if uuid is None:
        return None
    found = Invoice.objects.filter(uuid=uuid, kind=Invoice.Kind.INVOICE, seller=None)
    return found.select_related("customer__parent").first()


def _take_in(
    fact: Fact, *, customer_of: Invoice | Payment | None, external_id: str, at: datetime
) -> Payment | None:
    """The new payment, or nothing if it was told of before."""
    try:
        return ledger.receive(
            actor=_PROVIDER,
            seller=None,
            customer=customer_of.customer if customer_of else None,
            source=Payment.Source.STRIPE,
            external_id=external_id,
            amount_minor=fact.amount_minor,
            currency=fact.currency,
            received_on=datetime.fromtimestamp(fact.at, tz=UTC).date(),
            reference=str(customer_of or fact.invoice_uuid),
            at=at,
        )
    except ledger.AlreadyRecorded:
        return None


def _payment(fact: Fact) -> Payment:
    found = Payment.objects.select_related("customer").filter(
        seller=None, source=Payment.Source.STRIPE, external_id=fact.payment_id
    )
    payment = found.first()
    if payment is None:
        message = f"Payment {fact.payment_id} is not known yet."
        raise _NotYet(message)
    return payment


def _refunded(fact: Fact, at: datetime) -> None:
    """Ours is on its way then; one made at the provider's own pages is taken over.

    So is one of ours that we had given up: the provider refuses a refund that it made and whose
    key it has forgotten.
    """
    own = _refund(fact)
    if own is None or (own.state == Refund.State.FAILED and not own.provider_id):
        _gone(fact, reason=f"Paid back at the provider, {fact.object_id}", at=at)
    elif own.state == Refund.State.ASKED:
        own.state, own.provider_id = Refund.State.SENT, fact.object_id
        own.save(update_fields=["state", "provider_id"])


def _refund(fact: Fact) -> Refund | None:
    refunds = Refund.objects.select_for_update(of=("self",)).select_related("entry__payment")
    known = refunds.filter(provider_id=fact.object_id).first()
    if known is None and fact.refund_key:
        uuid = _uuid(fact.refund_key)
        known = refunds.filter(uuid=uuid).first() if uuid else None
    return known


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _gone(fact: Fact, *, reason: str, at: datetime) -> None:
    """Money left without our asking; what it had settled is open again."""
    payment = _payment(fact)
    entry = ledger.pay_back(
        actor=_PROVIDER,
        payment=payment,
        amount_minor=fact.amount_minor,
        reason=reason,
        at=at,
        is_forced=True,
    )
    Refund.objects.create(
        payment=payment,
        entry=entry,
        amount_minor=fact.amount_minor,
        state=Refund.State.SENT,
        provider_id=fact.object_id,
        retry_at=at,
        asked_at=at,
    )


def _refund_failed(fact: Fact, at: datetime) -> None:
    refund = _refund(fact)
    if refund is None:
        message = f"Refund {fact.object_id} is not known yet."
        raise _NotYet(message)
    # A refund that has the provider's own word is not taken for one that we gave up.
    refund.provider_id = fact.object_id
    refund.save(update_fields=["provider_id"])
    fail(refund, "The provider could not pay it back.", at=at)


def fail(refund: Refund, problem: str, *, at: datetime) -> None:
    """The money of a locked refund is here again; done once."""
    if refund.state == Refund.State.FAILED:
        return
    ledger.take_in_again(actor=_PROVIDER, entry=refund.entry, reason=problem, at=at)
    refund.state, refund.problem = Refund.State.FAILED, problem[:300]
    refund.save(update_fields=["state", "problem"])


def _taken(fact: Fact, at: datetime) -> None:
    if _refund(fact) is None:
        _gone(fact, reason=f"Disputed by the payer, {fact.object_id}", at=at)


def _given_back(fact: Fact, at: datetime) -> None:
    _take_in(fact, customer_of=_payment(fact), external_id=fact.object_id, at=at)


_DO: dict[FactKind, Callable[[Fact, datetime], None]] = {
    FactKind.PAID: _paid,
    FactKind.REFUNDED: _refunded,
    FactKind.REFUND_FAILED: _refund_failed,
    FactKind.TAKEN: _taken,
    FactKind.GIVEN_BACK: _given_back,
}
