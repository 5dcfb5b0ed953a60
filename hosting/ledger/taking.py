"""What a seller notes in its own books: money for one of its bills, and what was noted wrongly."""

from __future__ import annotations

from datetime import date, datetime

from django.db import transaction

from accounts.access import Actor
from hosting.ledger.matching import match, released
from hosting.ledger.posting import (
    LedgerRefused,
    lock_customer,
    lock_payment,
    must_keep_books,
    must_say_why,
    receive,
    take_back,
)
from hosting.models import Invoice, LedgerEntry, Payment


@transaction.atomic
def take(
    *,
    actor: Actor,
    invoice: Invoice,
    amount_minor: int,
    received_on: date,
    external_id: str,
    at: datetime,
    reference: str = "",
) -> Payment:
    """Note money for a seller's bill, and settle the bill by it; raises `LedgerRefused`.

    What is more than the bill takes is the customer's credit. The same `external_id` is taken
    once, and raises `AlreadyRecorded` from then on.
    """
    if invoice.seller is None:
        message = "What the house is paid is recorded by its staff."
        raise LedgerRefused(message)
    must_keep_books(actor, invoice.seller)
    lock_customer(invoice.customer)
    payment = receive(
        actor=actor,
        seller=invoice.seller,
        customer=invoice.customer,
        source=Payment.Source.SELLER,
        amount_minor=amount_minor,
        currency=invoice.currency,
        received_on=received_on,
        external_id=external_id,
        reference=reference,
        at=at,
    )
    match(actor=actor, payment=payment, invoice=invoice, at=at)
    payment.refresh_from_db(fields=["free_minor"])
    return payment


@transaction.atomic
def take_back_whole(*, actor: Actor, payment: Payment, reason: str, at: datetime) -> LedgerEntry:
    """Take back the record of money that never came, from every bill that it settled.

    Raises `LedgerRefused` where some of it was paid back.
    """
    payment = lock_payment(payment)
    must_keep_books(actor, payment.seller)
    must_say_why(reason)
    matches = payment.entries.filter(
        kind=LedgerEntry.Kind.MATCHED, reverses=None, reversed_by=None
    ).select_related("payment", "invoice__customer__parent")
    for entry in matches.order_by("pk"):
        released(entry, actor=actor, reason=reason, at=at)
    return take_back(actor=actor, payment=payment, reason=reason, at=at)
