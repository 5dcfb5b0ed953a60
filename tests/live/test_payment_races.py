"""Payments against a real database: everybody at once, and killed anywhere."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db.models import Sum
from django.test import Client
from django.utils import timezone

from accounts.models import Event
from hosting import invoicing, ledger, paying, piecework
from hosting.banking import runs
from hosting.banking.statements import Form
from hosting.models import (
    Invoice,
    InvoiceCounter,
    LedgerEntry,
    OpenItem,
    Payment,
    ProviderEvent,
    Refund,
)
from hosting.paying import facts, refunding
from tests.factories import make_cast
from tests.hosting.billing_rows import ACTOR, CLOSED_AT
from tests.hosting.ledger_rows import make_bill, paid
from tests.live.faults import Place, in_a_process, kill_after, kill_at, lifetimes

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


# The payment provider -------------------------------------------------------------------


@pytest.fixture
def provider(settings):
    settings.PAYMENT_PROVIDER = "hosting.paying.memory.MemoryProvider"
    paying._made.cache_clear()
    yield paying.provider()
    paying._made.cache_clear()


def deliver(message, signature):
    response = Client().post(
        "/payments/stripe/webhook",
        message,
        content_type="application/json",
        headers={"stripe-signature": signature},
    )
    assert response.status_code == 200
    facts.apply_waiting(at=timezone.now())


def told_of(provider, bill, **about):
    values = {"event_id": "evt_1", "kind": "paid", "name": "test", "at": 1_793_600_000}
    values |= {"payment_id": "pi_1", "amount_minor": 1000, "currency": "EUR"}
    return provider.tell(**values, invoice_uuid=str(bill.uuid), **about)


def test_the_same_message_delivered_at_once_is_done_once(provider, counts):
    bill = make_bill(make_cast().other_customer, 1000)
    message = told_of(provider, bill)

    ended = all_at_once(*[lambda: deliver(*message)] * AT_ONCE)

    assert ended == [0] * AT_ONCE
    assert ProviderEvent.objects.get().state == "applied"
    assert list(LedgerEntry.objects.order_by("pk").values_list("kind", flat=True)) == [
        "received",
        "matched",
    ]
    assert ledger.open_minor(bill) == 0
    counts(deliveries_at_once=AT_ONCE)


PLACES = (
    Place(name="before the message is stored", owner=facts, function="store", is_before=True),
    Place(name="after the message was stored", owner=facts, function="store"),
    Place(name="before the money is booked", owner=ledger, function="receive", is_before=True),
    Place(name="after the money was booked", owner=ledger, function="receive"),
    Place(name="after the bill was settled", owner=ledger, function="match"),
    Place(name="before the message is done", owner=facts, function="_end", is_before=True),
    Place(name="after the message was done", owner=facts, function="_end"),
)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_delivery_that_is_killed_anywhere_is_done_once(place, provider, counts):
    bill = make_bill(make_cast().other_customer, 1000)
    message = told_of(provider, bill)

    kill_at(place, lambda: deliver(*message))
    # The provider had no answer and sends it again, and so does the sweep.
    deliver(*message)

    assert ledger.open_minor(bill) == 0
    assert LedgerEntry.objects.count() == 2
    assert_the_amounts_are_the_sums_of_the_entries()
    counts(kills=1)


def test_refunds_sent_by_many_workers_are_asked_for_once_each(provider, tmp_path, counts):
    cast = make_cast()
    payment = paid(1000, customer=cast.other_customer, source="stripe", external_id="pi_1")
    for _ in range(5):
        refunding.ask(actor=ACTOR, payment=payment, amount_minor=100, reason="x", at=CLOSED_AT)
    provider.paid["pi_1"] = 1000
    asked = tmp_path / "asked"

    def send():
        real = provider.refund

        def noted(wish):
            with asked.open("a") as file:
                file.write(f"{wish.key}\n")
            return f"{real(wish)}-{wish.key}"

        provider.refund = noted
        refunding.send_due(now=timezone.now)

    ended = all_at_once(*[send] * 10)

    assert ended == [0] * 10
    keys = asked.read_text().split()
    assert sorted(keys) == sorted(str(refund.uuid) for refund in Refund.objects.all())
    assert set(Refund.objects.values_list("state", flat=True)) == {"sent"}
    counts(senders=10, refunds=5)


# Bank statements ------------------------------------------------------------------------

LINES = 140


def statement(order=1):
    """A payment of 0.10 for each of forty bills, again and again; some lines name none."""
    numbers = range(LINES)[::order]
    rows = [
        f"2026-11-02,0.10,EUR,X,{f'T-{number % 40 + 1}' if number % 7 else 'thanks'},{number}\n"
        for number in numbers
    ]
    return ("date,amount,currency,payer,reference,bank_id\n" + "".join(rows)).encode()


@pytest.fixture
def books(monkeypatch):
    """Forty bills of two customers, and statements that are done in many small pieces."""
    monkeypatch.setattr(piecework, "BATCH", 5)
    cast = make_cast()
    InvoiceCounter.objects.update(prefix="T-")
    for number in range(40):
        make_bill((cast.other_customer, cast.provider)[number % 2], 1000)
    return cast


def uploaded(cast, order=1):
    listed = runs.take_in(
        user=cast.sam,
        file_name="october.csv",
        content=statement(order),
        seller=None,
        account="AT1",
        currency="EUR",
        form=Form(),
        at=timezone.now(),
    )
    runs.confirm(actor=cast.actor(cast.sam), listed=listed, at=timezone.now())
    return listed


def assert_each_line_was_recorded_once():
    named = sum(1 for number in range(LINES) if number % 7)
    assert Payment.objects.count() == LINES
    assert LedgerEntry.objects.filter(kind="matched").count() == named
    assert sum(OpenItem.objects.values_list("open_minor", flat=True)) == 40_000 - 10 * named
    assert_the_amounts_are_the_sums_of_the_entries()


def test_the_same_statement_many_times_at_once_is_recorded_once(books, counts):
    lists = [uploaded(books, order) for order in (1, -1, 1, -1)]

    ended = all_at_once(
        *(
            lambda listed=listed: runs.run(import_id=listed.pk, now=timezone.now)
            for listed in lists * 2
        )
    )

    assert ended == [0] * 8
    for listed in lists:
        listed.refresh_from_db()
        assert (listed.state, listed.done_count) == ("finished", LINES)
        assert listed.taken_count + listed.known_count == LINES
    assert_each_line_was_recorded_once()
    counts(runs_at_once=8)


def test_statement_that_is_killed_anywhere_is_recorded_once(books, counts):
    kills = 0
    listed = uploaded(books)
    for turn, seconds in enumerate(lifetimes(7)):
        ahead = timedelta(minutes=3) * turn
        pid = in_a_process(
            lambda ahead=ahead: runs.run(import_id=listed.pk, now=lambda: timezone.now() + ahead)
        )
        kills += kill_after(seconds, pid)
        listed.refresh_from_db()
        assert Payment.objects.count() == listed.taken_count == listed.done_count
        if listed.state == "finished":
            break

    assert kills > 1
    assert_each_line_was_recorded_once()
    counts(kills=kills)
