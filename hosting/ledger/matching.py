"""Which payment settles which bill."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from django.db import transaction
from django.db.models import Exists, OuterRef

from accounts import setbacks
from accounts.access import Actor, system
from accounts.models import Organisation
from hosting import money
from hosting.ledger.posting import (
    LedgerRefused,
    lock_customer,
    lock_payment,
    mirror,
    must_keep_books,
    must_say_why,
    post,
    tell_of_bill,
)
from hosting.ledger.reading import open_minor
from hosting.models import Invoice, LedgerEntry, OpenItem, Payment

_SETTLER = system("ledger")
_WORK = "settling bills"


class NotMatched(LedgerRefused):
    """The payment cannot settle this bill; the text says why."""


@transaction.atomic
def assign(*, actor: Actor, payment: Payment, customer: Organisation) -> Payment:
    """Say whose money it is; raises `NotMatched` once any of it is used."""
    payment = lock_payment(payment)
    must_keep_books(actor, payment.seller)
    if payment.customer_id != customer.pk:
        if payment.free_minor < payment.amount_minor:
            message = f"Part of this payment is used for {payment.customer}. Release it first."
            raise NotMatched(message)
        Payment.objects.filter(pk=payment.pk).update(customer=customer)
        payment.customer = customer
    return payment


@transaction.atomic
def match(
    *,
    actor: Actor,
    payment: Payment,
    invoice: Invoice,
    at: datetime,
    amount_minor: int | None = None,
) -> LedgerEntry:
    """Settle a bill by a payment, whole or in part; raises `NotMatched`.

    Without an amount, as much as the payment has and the bill takes. A payment whose customer
    was not known is the customer's from now on.
    """
    must_keep_books(actor, payment.seller)
    _must_be_of(invoice.customer, payment)
    lock_customer(invoice.customer)
    payment = lock_payment(payment)
    _must_be_of(invoice.customer, payment)
    item = _must_fit(payment, invoice)
    most = min(payment.free_minor, item.open_minor)
    amount = most if amount_minor is None else amount_minor
    if not 0 < amount <= most:
        raise NotMatched(_why_not(payment, item, amount))
    if payment.customer_id is None:
        payment = assign(actor=actor, payment=payment, customer=invoice.customer)
    return _matched(payment, item, amount, actor=actor, at=at)


def _must_be_of(customer: Organisation, payment: Payment) -> None:
    if payment.customer_id not in {None, customer.pk}:
        message = f"This payment is of {payment.customer}, and the bill is not."
        raise NotMatched(message)


def _must_fit(payment: Payment, invoice: Invoice) -> OpenItem:
    if payment.seller_id != invoice.seller_id:
        message = "The payment and the bill are not of the same seller."
        raise NotMatched(message)
    if payment.currency != invoice.currency:
        message = f"The bill is in {invoice.currency} and the payment in {payment.currency}."
        raise NotMatched(message)
    item = OpenItem.objects.select_for_update().filter(invoice=invoice).first()
    if item is None:
        message = "A credit note is not paid."
        raise NotMatched(message)
    item.invoice = invoice
    return item


def _why_not(payment: Payment, item: OpenItem, amount: int) -> str:
    if item.is_settled:
        return f"Nothing is left to pay of {item.invoice}."
    if not payment.free_minor:
        return "Nothing is left of this payment."
    text = money.minor_text(amount, currency=payment.currency)
    return f"{text} is not possible: {payment.free_text} is free and {item.open_text} is open."


def _matched(
    payment: Payment, item: OpenItem, amount: int, *, actor: Actor, at: datetime
) -> LedgerEntry:
    entry = post(
        kind=LedgerEntry.Kind.MATCHED,
        payment=payment,
        invoice=item.invoice,
        amount_minor=amount,
        actor=actor,
        at=at,
    )
    # What the trigger made of the two rows, which are locked.
    payment.free_minor -= amount
    item.open_minor -= amount
    if item.is_settled:
        tell_of_bill("invoice.paid", item.invoice, actor=actor, at=at, paid_minor=amount)
    else:
        tell_of_bill(
            *("invoice.partly_paid", item.invoice),
            actor=actor,
            at=at,
            paid_minor=amount,
            open_minor=item.open_minor,
        )
    return entry


@transaction.atomic
def release(*, actor: Actor, entry: LedgerEntry, reason: str, at: datetime) -> LedgerEntry:
    """Take a match back: the bill is open again, and the money free; raises `LedgerRefused`."""
    is_match = entry.kind == LedgerEntry.Kind.MATCHED and entry.reverses_id is None
    if not is_match or entry.payment is None:
        message = "Only a match can be released."
        raise LedgerRefused(message)
    must_say_why(reason)
    payment = lock_payment(entry.payment)
    must_keep_books(actor, payment.seller)
    if LedgerEntry.objects.filter(reverses=entry).exists():
        message = "This match was released already."
        raise LedgerRefused(message)
    return released(entry, actor=actor, reason=reason, at=at)


def released(
    entry: LedgerEntry, *, actor: Actor, reason: str, at: datetime, kept_minor: int = 0
) -> LedgerEntry:
    """Take back one match of a locked customer, and tell how much of its bill is open again.

    So much of it is kept by a match of its own.
    """
    taken_back = mirror(entry, actor=actor, reason=reason, at=at)
    # A match has a bill; the database says so.
    invoice = cast("Invoice", entry.invoice)
    if kept_minor:
        post(
            kind=LedgerEntry.Kind.MATCHED,
            payment=entry.payment,
            invoice=invoice,
            amount_minor=kept_minor,
            reason=reason,
            actor=actor,
            at=at,
        )
    left = open_minor(invoice)
    tell_of_bill("invoice.reopened", invoice, actor=actor, at=at, open_minor=left)
    return taken_back


def settle_all(*, at: datetime) -> int:
    """Let what customers have to their credit settle what they owe; returns how many matches.

    A customer for whom that fails holds up nobody else, and is tried again later. Its own bills
    wait together, since the oldest is settled first. Test organisations are left to their clocks.
    """
    owing = OpenItem.objects.filter(
        Exists(Payment.objects.filter(customer=OuterRef("invoice__customer"), free_minor__gt=0)),
        open_minor__gt=0,
        invoice__customer__is_test=False,
    )
    due = owing.exclude(invoice__customer__in=setbacks.waiting(work=_WORK, at=at)).order_by()
    customers = sorted(set(due.values_list("invoice__customer", flat=True)))
    count = 0
    for pk in customers:
        customer = Organisation.objects.get(pk=pk)
        with setbacks.apart(
            work=_WORK, row_id=pk, name=str(customer), organisation=customer, at=at
        ):
            count += settle(customer=customer, at=at)
    setbacks.forget(work=_WORK, at=at)
    return count


@transaction.atomic
def settle(*, customer: Organisation, at: datetime, actor: Actor = _SETTLER) -> int:
    """Match what a customer has to its credit to what it owes, oldest first on both sides.

    Returns how many matches that were. Sellers and currencies are kept apart.
    """
    lock_customer(customer)
    payments = list(Payment.objects.select_for_update().filter(customer=customer).free())
    if not payments:
        return 0
    count = 0
    for item in OpenItem.objects.of(customer).open().select_for_update(of=("self",)):
        terms = (item.invoice.seller_id, item.invoice.currency)
        for payment in payments:
            amount = min(payment.free_minor, item.open_minor)
            if amount and (payment.seller_id, payment.currency) == terms:
                _matched(payment, item, amount, actor=actor, at=at)
                count += 1
    return count
