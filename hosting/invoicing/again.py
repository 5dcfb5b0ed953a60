"""Billing a month again whose bill was taken back."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts.access import Actor, Capability
from hosting import billing, pricing
from hosting.billing import Buyer
from hosting.invoicing.closing import prepared
from hosting.invoicing.writing import lock_counter, write
from hosting.models import Invoice
from hosting.periods import Period


class AgainRefused(Exception):
    """The month cannot be billed again; the text says why."""


def bill_again(
    *, actor: Actor, invoice: Invoice, at: datetime, by_terms_of_now: bool = False
) -> Invoice:
    """Write a new bill of the month of one that was taken back; raises `AgainRefused`.

    It says what is known now: of the customer's name, address and VAT id, and of what was used.
    Its price list, and whether space is shared, are those of the bill that was taken back,
    unless those that hold now are asked for. Only its seller may.
    """
    seller = invoice.seller
    actor.must(Capability.SEE_BILLS, lineage=seller.lineage if seller else ())
    _must_be_possible(invoice)
    problems: list[str] = []
    buyer = _buyer(invoice, by_terms_of_now=by_terms_of_now)
    month = Period.of_day(invoice.period)
    bills = list(prepared([buyer], period=month, at=at, problems=problems, replaces=invoice))
    if not bills:
        raise AgainRefused(" ".join(problems) or f"There is nothing to bill for {month}.")
    with transaction.atomic():
        counter = lock_counter(seller, is_test=invoice.customer.is_test)
        # Somebody else may have done it while this one was computed.
        _must_be_possible(invoice)
        [written] = write(bills, counter=counter, actor=actor, at=at)
    return written


def _must_be_possible(invoice: Invoice) -> None:
    if invoice.kind != Invoice.Kind.INVOICE or not invoice.credit_notes.exists():
        message = f"{invoice.number} stands. Take it back first."
        raise AgainRefused(message)
    again = invoice.replaced_by.first()
    if again is not None:
        message = f"{invoice.number} was billed again already, as {again.number}."
        raise AgainRefused(message)


def _buyer(invoice: Invoice, *, by_terms_of_now: bool) -> Buyer:
    if not by_terms_of_now:
        return billing.on_terms_of(invoice, organisation=invoice.customer)
    try:
        found = billing.buyer(invoice.customer)
    except pricing.NoPrice as reason:
        raise AgainRefused(str(reason)) from reason
    if found.currency != invoice.currency:
        message = f"{invoice.customer} buys in {found.currency} now, and did not in that month."
        raise AgainRefused(message)
    return found
