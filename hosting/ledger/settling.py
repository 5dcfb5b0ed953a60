"""What else ends a debt or a credit: credit notes, writing off, and paying back."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts.access import Actor
from hosting import money
from hosting.ledger.matching import released
from hosting.ledger.posting import (
    LedgerRefused,
    lock_customer,
    lock_payment,
    mirror,
    must_keep_books,
    must_say_why,
    post,
    tell,
    tell_of_bill,
)
from hosting.models import Invoice, LedgerEntry, OpenItem, Payment


@transaction.atomic
def credit(*, actor: Actor, note: Invoice, at: datetime) -> None:
    """Settle the bill that a credit note takes back; what was paid is the customer's credit.

    Call it in the transaction that writes the note.
    """
    invoice = note.corrects
    if invoice is None:
        message = "This is no credit note."
        raise LedgerRefused(message)
    lock_customer(invoice.customer)
    for entry in _standing(invoice):
        mirror(entry, actor=actor, reason=note.number, at=at)
    if invoice.total_minor < 0:
        _take_credit_back(invoice, actor=actor, note=note, at=at)
    elif invoice.total_minor > 0:
        post(
            kind=LedgerEntry.Kind.CREDITED,
            invoice=invoice,
            amount_minor=invoice.total_minor,
            reason=note.number,
            actor=actor,
            at=at,
        )


def _take_credit_back(invoice: Invoice, *, actor: Actor, note: Invoice, at: datetime) -> None:
    """What a bill below zero had given is no longer the customer's."""
    payment = Payment.objects.get(
        seller=invoice.seller_id, source=Payment.Source.BILL, external_id=invoice.number
    )
    pay_back(
        actor=actor,
        payment=payment,
        amount_minor=payment.amount_minor,
        reason=note.number,
        at=at,
        is_forced=True,
    )


def _standing(invoice: Invoice) -> list[LedgerEntry]:
    """What settles a bill now: entries that were not taken back."""
    entries = LedgerEntry.objects.filter(invoice=invoice, reverses=None, reversed_by=None)
    return list(entries.select_related("payment", "invoice").order_by("pk"))


@transaction.atomic
def write_off(
    *,
    actor: Actor,
    invoice: Invoice,
    reason: str,
    at: datetime,
    amount_minor: int | None = None,
) -> LedgerEntry:
    """Give up what is open of a bill, or a part of it; raises `LedgerRefused`."""
    must_keep_books(actor, invoice.seller)
    must_say_why(reason)
    lock_customer(invoice.customer)
    item = OpenItem.objects.select_for_update().filter(invoice=invoice).first()
    most = item.open_minor if item else 0
    amount = most if amount_minor is None else amount_minor
    if not 0 < amount <= most:
        open_text = money.minor_text(most, currency=invoice.currency)
        message = f"{open_text} is open of {invoice}; more, or nothing, cannot be given up."
        raise LedgerRefused(message)
    entry = post(
        kind=LedgerEntry.Kind.WRITTEN_OFF,
        invoice=invoice,
        amount_minor=amount,
        reason=reason,
        actor=actor,
        at=at,
    )
    tell_of_bill(
        *("invoice.written_off", invoice),
        actor=actor,
        at=at,
        amount_minor=amount,
        open_minor=most - amount,
    )
    return entry


@transaction.atomic
def pay_back(
    *,
    actor: Actor,
    payment: Payment,
    amount_minor: int,
    reason: str,
    at: datetime,
    is_forced: bool = False,
) -> LedgerEntry:
    """Record that money went back to the payer; raises `LedgerRefused`.

    Only what is free can be paid back, unless it is gone already (`is_forced`, as when a bank
    takes a payment back): then bills it had settled are open again, the newest first.
    """
    payment = lock_payment(payment)
    must_keep_books(actor, payment.seller)
    must_say_why(reason)
    if is_forced:
        _free_up(payment, amount_minor, actor=actor, reason=reason, at=at)
    if not 0 < amount_minor <= payment.free_minor:
        text = money.minor_text(amount_minor, currency=payment.currency)
        message = f"{text} cannot be paid back: {payment.free_text} is free."
        raise LedgerRefused(message)
    entry = post(
        kind=LedgerEntry.Kind.REFUNDED,
        payment=payment,
        amount_minor=amount_minor,
        reason=reason,
        actor=actor,
        at=at,
    )
    tell("payment.refunded", payment, amount_minor=amount_minor, actor=actor, at=at)
    return entry


@transaction.atomic
def take_in_again(*, actor: Actor, entry: LedgerEntry, reason: str, at: datetime) -> LedgerEntry:
    """Record that money which was paid back never reached the payer; raises `LedgerRefused`."""
    if entry.kind != LedgerEntry.Kind.REFUNDED or entry.payment is None:
        message = "Only what was paid back can be taken in again."
        raise LedgerRefused(message)
    payment = lock_payment(entry.payment)
    must_keep_books(actor, payment.seller)
    if LedgerEntry.objects.filter(reverses=entry).exists():
        message = "This was taken in again already."
        raise LedgerRefused(message)
    taken_back = mirror(entry, actor=actor, reason=reason, at=at)
    tell("payment.refund_failed", payment, amount_minor=entry.amount_minor, actor=actor, at=at)
    return taken_back


def _free_up(
    payment: Payment, amount_minor: int, *, actor: Actor, reason: str, at: datetime
) -> None:
    """Release matches until so much is free, and match again what was released too much."""
    matched = payment.entries.filter(kind=LedgerEntry.Kind.MATCHED, reverses=None, reversed_by=None)
    for entry in matched.select_related("invoice__customer").order_by("-pk"):
        missing = amount_minor - payment.free_minor
        if missing <= 0:
            return
        kept = max(0, entry.amount_minor - missing)
        released(entry, actor=actor, reason=reason, at=at, kept_minor=kept)
        payment.free_minor += entry.amount_minor - kept
