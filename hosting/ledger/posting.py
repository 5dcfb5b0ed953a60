"""Putting bills and money into the ledger, and taking an entry back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import money, storing
from hosting.models import Invoice, LedgerEntry, OpenItem, Payment

# What somebody typed, and can have mistyped.
_TYPED = frozenset({Payment.Source.STAFF, Payment.Source.SELLER})
_LONGEST_NUMBER = 190


class LedgerRefused(Exception):
    """This cannot be posted; the text says why."""


class AlreadyRecorded(LedgerRefused):
    """The source told of this payment before."""


def must_keep_books(actor: Actor, seller: Organisation | None) -> None:
    """Raise `Forbidden` unless the actor may post what this seller is paid; None is the house."""
    actor.must(Capability.SEE_BILLS, lineage=seller.lineage if seller else ())


def lock_customer(customer: Organisation) -> None:
    """Let one at a time post for a customer, until the transaction ends; always lock this first."""
    locked = Organisation.objects.select_for_update(no_key=True).order_by()
    locked.get(pk=customer.pk)


def lock_seller(seller: Organisation | None) -> None:
    """Let one at a time take in a statement of a seller; lock this before any customer."""
    lock_customer(seller or house())


def lock_payment(payment: Payment) -> Payment:
    """The payment as it is now, locked, with its parties."""
    if payment.customer_id is not None:
        lock_customer(Organisation(pk=payment.customer_id))
    Payment.objects.select_for_update().get(pk=payment.pk)
    return Payment.objects.select_related("customer__parent", "seller__parent").get(pk=payment.pk)


def enter(
    invoices: Sequence[Invoice], *, payment_days: Sequence[int | None], actor: Actor, at: datetime
) -> None:
    """Let new bills of one moment stand open until the end of their terms.

    Call it in the transaction that writes them. Bills below zero become credit.
    """
    storing.store(
        [_open_item(bill, days) for bill, days in zip(invoices, payment_days, strict=True)]
    )
    for invoice in invoices:
        if invoice.total_minor < 0:
            _receive(
                Payment(
                    seller_id=invoice.seller_id,
                    customer_id=invoice.customer_id,
                    source=Payment.Source.BILL,
                    external_id=invoice.number,
                    currency=invoice.currency,
                    amount_minor=-invoice.total_minor,
                    received_on=at.date(),
                    reference=invoice.number,
                    recorded_at=at,
                ),
                actor=actor,
                at=at,
            )


def _open_item(invoice: Invoice, days: int | None) -> OpenItem:
    term = settings.PAYMENT_TERM_DAYS if days is None else days
    billed = max(invoice.total_minor, 0)
    return OpenItem(
        invoice_id=invoice.pk,
        due_on=invoice.issued_at.date() + timedelta(days=term),
        billed_minor=billed,
        open_minor=billed,
    )


@transaction.atomic
def receive(
    *,
    actor: Actor,
    seller: Organisation | None,
    customer: Organisation | None,
    source: str,
    amount_minor: int,
    currency: str,
    received_on: date,
    at: datetime,
    external_id: str = "",
    payer: str = "",
    reference: str = "",
) -> Payment:
    """Record money that came in; raises `AlreadyRecorded` or `LedgerRefused`."""
    must_keep_books(actor, seller)
    if amount_minor <= 0:
        message = "A payment is above zero."
        raise LedgerRefused(message)
    if currency not in money.EXPONENTS:
        message = f"{currency} is not a currency of the house."
        raise LedgerRefused(message)
    payment = Payment(
        seller=seller,
        customer=customer,
        source=source,
        external_id=external_id,
        currency=currency,
        amount_minor=amount_minor,
        received_on=received_on,
        payer=payer[:200],
        reference=reference[:500],
        recorded_at=at,
    )
    return _receive(payment, actor=actor, at=at)


def _receive(payment: Payment, *, actor: Actor, at: datetime) -> Payment:
    if payment.source in _TYPED:
        payment.external_id = _not_taken_back(payment)
    try:
        with transaction.atomic():
            payment.save(force_insert=True)
    except IntegrityError as error:
        taken = Payment.objects.filter(
            seller=payment.seller_id, source=payment.source, external_id=payment.external_id
        )
        if not payment.external_id or not taken.exists():
            raise
        message = "This payment was recorded already."
        raise AlreadyRecorded(message) from error
    post(
        kind=LedgerEntry.Kind.RECEIVED,
        payment=payment,
        amount_minor=payment.amount_minor,
        actor=actor,
        at=at,
    )
    tell("payment.received", payment, amount_minor=payment.amount_minor, actor=actor, at=at)
    payment.refresh_from_db(fields=["free_minor"])
    return payment


def _not_taken_back(payment: Payment) -> str:
    """The number of a receipt, with another one behind it if it was recorded and taken back.

    Somebody had mistyped that. What a bank or a provider told of stays known, whatever became of
    it, or it would come again with the next statement.
    """
    number, records = payment.external_id, 1
    taken_back = Payment.objects.filter(
        seller=payment.seller_id, source=payment.source, entries__reversed_by__kind="received"
    )
    while number and taken_back.filter(external_id=number).exists():
        records += 1
        number = f"{payment.external_id[:_LONGEST_NUMBER]} ({records})"
    return number


def post(
    *,
    kind: str,
    amount_minor: int,
    actor: Actor,
    at: datetime,
    payment: Payment | None = None,
    invoice: Invoice | None = None,
    reverses: LedgerEntry | None = None,
    reason: str = "",
) -> LedgerEntry:
    """Write one entry; the database moves the amounts and raises `IntegrityError` if it cannot."""
    owner = payment or invoice
    entry = LedgerEntry(
        kind=kind,
        at=at,
        payment=payment,
        invoice=invoice,
        currency=owner.currency if owner else "",
        amount_minor=amount_minor,
        reverses=reverses,
        reason=reason.strip()[:300],
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name,
    )
    entry.save(force_insert=True)
    if invoice is not None:
        # Whatever was stopped for want of this money goes on at once.
        outbox.nudge("hosting.work_off_dunning", customer_id=invoice.customer_id)
    return entry


def mirror(entry: LedgerEntry, *, actor: Actor, reason: str, at: datetime) -> LedgerEntry:
    """Take one entry back, with no question asked."""
    return post(
        kind=entry.kind,
        payment=entry.payment,
        invoice=entry.invoice,
        amount_minor=-entry.amount_minor,
        reverses=entry,
        reason=reason,
        actor=actor,
        at=at,
    )


@transaction.atomic
def take_back(*, actor: Actor, payment: Payment, reason: str, at: datetime) -> LedgerEntry:
    """Take back the record of a payment that never came; raises `LedgerRefused` once it is used."""
    payment = lock_payment(payment)
    must_keep_books(actor, payment.seller)
    must_say_why(reason)
    if payment.free_minor < payment.amount_minor:
        message = "Part of this payment is used or was paid back. Release it first."
        raise LedgerRefused(message)
    received = payment.entries.get(kind=LedgerEntry.Kind.RECEIVED, reverses=None)
    entry = mirror(received, actor=actor, reason=reason, at=at)
    tell("payment.taken_back", payment, amount_minor=payment.amount_minor, actor=actor, at=at)
    return entry


def must_say_why(reason: str) -> None:
    """Raise `LedgerRefused` where no reason is given."""
    if not reason.strip():
        message = "Say why; the ledger keeps it."
        raise LedgerRefused(message)


def tell(kind: str, payment: Payment, *, amount_minor: int, actor: Actor, at: datetime) -> None:
    """Record the event of a payment; before its customer is known it is the seller's."""
    organisation = payment.customer or payment.seller
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=organisation or house(),
        subject=("payment", str(payment.uuid), str(payment)),
        data={"amount_minor": amount_minor, "currency": payment.currency},
    )


def tell_of_bill(kind: str, invoice: Invoice, *, actor: Actor, at: datetime, **data: Any) -> None:
    """Record the event of a bill."""
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=invoice.customer,
        subject=("invoice", str(invoice.uuid), invoice.number),
        data={"currency": invoice.currency, **data},
    )


def house() -> Organisation:
    """The provider, which stands for a seller of None."""
    return Organisation.objects.get(kind=Organisation.Kind.PROVIDER)
