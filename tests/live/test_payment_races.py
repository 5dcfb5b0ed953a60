"""Payments against a real database: everybody at once, and killed anywhere."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from django.db.models import Sum

from accounts.models import Event
from hosting import invoicing, ledger
from hosting.models import Invoice, LedgerEntry, OpenItem, Payment
from tests.factories import make_cast
from tests.hosting.billing_rows import ACTOR, CLOSED_AT
from tests.hosting.ledger_rows import make_bill, paid
from tests.live.faults import in_a_process

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

AT_ONCE = 50


def all_at_once(*works):
    """Each in a process of its own; gives how they ended."""
    pids = [in_a_process(work) for work in works]
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def assert_the_amounts_are_the_sums_of_the_entries():
    for payment in Payment.objects.all():
        sums = dict(payment.entries.values_list("kind").annotate(Sum("amount_minor")).order_by())
        out = sums.get("matched", 0) + sums.get("refunded", 0)
        assert payment.free_minor == sums["received"] - out
    for item in OpenItem.objects.all():
        settled = LedgerEntry.objects.filter(invoice=item.invoice_id)
        total = settled.aggregate(total=Sum("amount_minor"))["total"] or 0
        assert item.open_minor == item.billed_minor - total


def test_matches_at_once_use_exactly_what_was_received(counts):
    cast = make_cast()
    bills = [make_bill(cast.other_customer, 1000) for _ in range(AT_ONCE)]
    payment = paid(7 * 30, customer=cast.other_customer)

    def match(bill):
        with suppress(ledger.NotMatched):
            ledger.match(actor=ACTOR, payment=payment, invoice=bill, amount_minor=30, at=CLOSED_AT)

    ended = all_at_once(*(lambda bill=bill: match(bill) for bill in bills))

    assert ended == [0] * AT_ONCE
    assert LedgerEntry.objects.filter(kind="matched").count() == 7
    payment.refresh_from_db()
    assert payment.free_minor == 0
    assert_the_amounts_are_the_sums_of_the_entries()
    counts(matches_at_once=AT_ONCE, made=7)


def test_payments_at_once_pay_a_bill_exactly(counts):
    cast = make_cast()
    bill = make_bill(cast.other_customer, 1000)
    payments = [paid(150, customer=(None, cast.other_customer)[n % 2]) for n in range(AT_ONCE)]

    def match(payment):
        with suppress(ledger.NotMatched):
            ledger.match(actor=ACTOR, payment=payment, invoice=bill, at=CLOSED_AT)

    ended = all_at_once(*(lambda payment=payment: match(payment) for payment in payments))

    assert ended == [0] * AT_ONCE
    assert ledger.open_minor(bill) == 0
    assert Event.objects.filter(kind="invoice.paid").count() == 1
    assert_the_amounts_are_the_sums_of_the_entries()
    counts(payments_at_once=AT_ONCE)


def test_everything_at_once_leaves_books_that_add_up(counts):
    cast = make_cast()
    bills = [make_bill(cast.other_customer, 500 + n) for n in range(10)]
    payments = [paid(400, customer=cast.other_customer) for _ in range(10)]
    entries = [
        ledger.match(actor=ACTOR, payment=p, invoice=b, amount_minor=100, at=CLOSED_AT)
        for p, b in zip(payments[:5], bills[:5], strict=True)
    ]
    say = {"actor": ACTOR, "reason": "Test", "at": CLOSED_AT}
    works = []
    for number in range(5):
        bill, payment, entry = bills[number], payments[number], entries[number]
        works += [
            lambda: ledger.settle(customer=cast.other_customer, at=CLOSED_AT),
            lambda bill=bill: invoicing.credit(invoice=bill, **say),
            lambda bill=bill: ledger.write_off(invoice=bill, amount_minor=50, **say),
            lambda entry=entry: ledger.release(entry=entry, **say),
            lambda payment=payment: ledger.pay_back(payment=payment, amount_minor=250, **say),
            lambda payment=payment: ledger.pay_back(
                payment=payment, amount_minor=100, is_forced=True, **say
            ),
        ]

    def quietly(work):
        with suppress(ledger.LedgerRefused, invoicing.CreditRefused):
            work()

    ended = all_at_once(*(lambda work=work: quietly(work) for work in works))

    assert ended == [0] * len(works)
    assert_the_amounts_are_the_sums_of_the_entries()
    credited = Invoice.objects.filter(credit_notes__isnull=False)
    assert {ledger.open_minor(bill) for bill in credited} == {0}
    counts(verbs_at_once=len(works))


def test_the_same_payment_told_of_at_once_is_taken_once(counts):
    cast = make_cast()

    def receive():
        with suppress(ledger.AlreadyRecorded):
            paid(100, customer=cast.other_customer, source="bank", external_id="line 7")

    ended = all_at_once(*[receive] * AT_ONCE)

    assert ended == [0] * AT_ONCE
    assert Payment.objects.count() == LedgerEntry.objects.count() == 1
    counts(told_at_once=AT_ONCE)
