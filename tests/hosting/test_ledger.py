"""The ledger: what the verbs refuse, and what the database refuses whoever asks."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.access import Forbidden
from accounts.models import Event, Setback
from hosting import invoicing, ledger
from hosting.ledger import posting
from hosting.models import (
    Immutable,
    Invoice,
    LedgerEntry,
    OpenItem,
    Payment,
)
from tests.factories import make_cast
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, make_profile, sold
from tests.hosting.ledger_rows import make_bill, paid

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def cast():
    return make_cast()


@pytest.fixture
def bill(cast):
    """A bill of the house over 10.00 EUR."""
    return make_bill(cast.other_customer, 1000)


def facts(*kinds):
    return list(Event.objects.filter(kind__in=kinds).order_by("seq").values_list("kind", "data"))


def state(*rows):
    """What is open or free of each, as the database has it."""
    found = []
    for row in rows:
        if isinstance(row, Invoice):
            found.append(ledger.open_minor(row))
        else:
            found.append(Payment.objects.get(pk=row.pk).free_minor)
    return found


def refused(write, **fields):
    """Whether the database refuses to write this."""
    try:
        with transaction.atomic():
            write(**fields)
    except IntegrityError:
        return True
    return False


def match(payment, invoice, amount_minor=None):
    return ledger.match(
        actor=ACTOR, payment=payment, invoice=invoice, amount_minor=amount_minor, at=CLOSED_AT
    )


# Bills stand open -----------------------------------------------------------------------


@pytest.mark.parametrize(("days", "due"), [(None, 15), (0, 1), (7, 8)])
def test_bill_is_due_after_the_term_of_its_buyer(cast, days, due):
    make_profile(cast.provider)
    make_profile(cast.other_customer, payment_days=days)
    sold(cast.other_domain, "a", "pop")

    invoicing.close_month(actor=ACTOR, period=invoicing.closing.Period(2026, 10), at=CLOSED_AT)

    item = OpenItem.objects.get()
    assert item.due_on == date(2026, 11, due)
    assert item.open_minor == item.billed_minor == item.invoice.total_minor
    assert ledger.open_minor(item.invoice) == item.invoice.total_minor > 0


def test_open_items_are_listed_by_due_date(cast):
    late = make_bill(cast.other_customer, 300, days=30)
    early = make_bill(cast.other_customer, 200, days=3)
    make_bill(cast.customer, 100, days=1, seller=cast.reseller)
    settled = make_bill(cast.other_customer, 400, days=1)
    match(paid(400, customer=cast.other_customer), settled)

    own = OpenItem.objects.open().of(cast.other_customer)

    assert [item.invoice for item in own] == [early, late]
    assert [item.invoice for item in own.due_by(early.open_item.due_on)] == [early]
    assert list(own.due_by(early.open_item.due_on - timedelta(days=1))) == []


def test_open_items_and_payments_are_seen_by_whoever_sees_the_bill(cast):
    bought = make_bill(cast.customer, 100, seller=cast.reseller)
    wholesale = make_bill(cast.reseller, 70)
    match(paid(100, customer=cast.customer, seller=cast.reseller), bought)
    match(paid(70, customer=cast.reseller), wholesale)
    paid(30)

    def seen(user):
        actor = cast.actor(user)
        items = OpenItem.objects.visible_to(actor)
        payments = Payment.objects.visible_to(actor)
        return (
            {item.invoice for item in items},
            sorted(payment.amount_minor for payment in payments),
        )

    assert seen(cast.alice) == ({bought}, [100])
    assert seen(cast.rita) == ({bought, wholesale}, [70, 100])
    assert seen(cast.bob) == seen(cast.charlie) == (set(), [])
    assert seen(cast.sam) == ({bought, wholesale}, [30, 70, 100])


def test_bill_below_zero_asks_for_nothing_and_becomes_credit(cast, bill):
    refund = make_bill(cast.other_customer, -250)

    assert state(refund) == [0]
    credit = Payment.objects.get()
    assert (credit.source, credit.external_id, credit.free_minor) == ("bill", refund.number, 250)
    assert ledger.balance_minor(cast.other_customer) == 750
    assert ledger.settle(customer=cast.other_customer, at=CLOSED_AT) == 1
    assert state(bill, credit) == [750, 0]


# Matching -------------------------------------------------------------------------------


def test_partial_payments_add_up_until_the_bill_is_paid(cast, bill):
    first, second = paid(400, customer=cast.other_customer), paid(600)

    match(first, bill)
    assert state(bill, first) == [600, 0]
    match(second, bill)

    assert state(bill, second) == [0, 0]
    assert Payment.objects.get(pk=second.pk).customer == cast.other_customer
    assert facts("invoice.partly_paid", "invoice.paid") == [
        ("invoice.partly_paid", {"currency": "EUR", "paid_minor": 400, "open_minor": 600}),
        ("invoice.paid", {"currency": "EUR", "paid_minor": 600}),
    ]


def test_too_much_stays_as_credit_for_the_next_bill(cast, bill):
    payment = paid(1500, customer=cast.other_customer)
    match(payment, bill)
    assert state(bill, payment) == [0, 500]
    assert ledger.balance_minor(cast.other_customer) == -500
    following = [make_bill(cast.other_customer, amount) for amount in (300, 400)]

    assert ledger.settle_all(at=CLOSED_AT) == 2
    assert ledger.settle_all(at=CLOSED_AT) == 0

    assert state(*following, payment) == [0, 200, 0]
    assert ledger.balance_minor(cast.other_customer) == 200


REFUSED = {
    "sqlite": """
        CREATE TRIGGER refused BEFORE INSERT ON hosting_ledgerentry WHEN NEW.invoice_id = {pk}
        BEGIN SELECT RAISE(ABORT, 'Refused'); END
    """,
    # A trigger cannot be dropped while others wait for the end of the transaction.
    "postgresql": """
        SET LOCAL tests.refused = '{pk}';
        CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.invoice_id::text = current_setting('tests.refused') THEN
                RAISE EXCEPTION 'Refused' USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refused BEFORE INSERT ON hosting_ledgerentry
        FOR EACH ROW EXECUTE FUNCTION refused()
    """,
}
NOT_REFUSED = {
    "sqlite": "DROP TRIGGER refused",
    "postgresql": "SET LOCAL tests.refused = ''",
}


def refuse_to_settle(invoice):
    """Let the database refuse every entry about a bill."""
    with connection.cursor() as cursor:
        cursor.execute(REFUSED[connection.vendor].format(pk=invoice.pk))


def settle_again():
    with connection.cursor() as cursor:
        cursor.execute(NOT_REFUSED[connection.vendor])


def test_a_bill_that_cannot_be_settled_holds_up_no_other_customer(cast, bill):
    broken = make_bill(cast.customer, 500, seller=cast.reseller)
    following = make_bill(cast.customer, 200, seller=cast.reseller)
    credit = paid(900, customer=cast.customer, seller=cast.reseller)
    payment = paid(1000, customer=cast.other_customer)
    refuse_to_settle(broken)

    assert ledger.settle_all(at=CLOSED_AT) == 1

    assert state(bill, payment, broken, following, credit) == [0, 0, 500, 200, 900]
    setback = Setback.objects.get()
    assert (setback.work, setback.name) == ("settling bills", "Alder")
    assert setback.failure.partition("\n")[0] == "IntegrityError: Refused"
    settle_again()
    assert ledger.settle_all(at=CLOSED_AT + timedelta(seconds=59)) == 0
    assert ledger.settle_all(at=CLOSED_AT + timedelta(seconds=60)) == 2
    assert state(broken, following, credit) == [0, 0, 200]
    assert not Setback.objects.exists()


def test_credit_settles_the_oldest_first_on_both_sides(cast):
    bills = [make_bill(cast.other_customer, 500, days=days) for days in (20, 10)]
    old = paid(300, customer=cast.other_customer, on=date(2026, 10, 1))
    new = paid(400, customer=cast.other_customer, on=date(2026, 10, 2))

    ledger.settle(customer=cast.other_customer, at=CLOSED_AT)

    assert state(*bills, old, new) == [300, 0, 0, 0]
    entries = LedgerEntry.objects.filter(kind="matched").order_by("pk")
    assert list(entries.values_list("payment", "invoice", "amount_minor")) == [
        (old.pk, bills[1].pk, 300),
        (new.pk, bills[1].pk, 200),
        (new.pk, bills[0].pk, 200),
    ]


def test_sellers_and_currencies_are_kept_apart(cast):
    to_reseller = make_bill(cast.customer, 500, seller=cast.reseller)
    dollars = make_bill(cast.customer, 500, currency="USD", period=date(2026, 9, 1))
    money = paid(500, customer=cast.customer)
    to_rita = paid(500, customer=cast.customer, seller=cast.reseller)

    assert ledger.settle(customer=cast.customer, at=CLOSED_AT) == 1
    assert state(to_reseller, dollars, money, to_rita) == [0, 500, 500, 0]
    for invoice, said in ((dollars, "in USD and the payment in EUR"), (to_reseller, "same seller")):
        with pytest.raises(ledger.NotMatched, match=said):
            match(money, invoice)
    assert [(b.seller_id, b.balance_text) for b in ledger.balances(cast.customer)] == [
        (None, "-5.00 EUR"),
        (None, "5.00 USD"),
    ]


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (1001, "10.01 EUR is not possible: 20.00 EUR is free and 10.00 EUR is open."),
        (0, "0.00 EUR is not possible"),
        (-1, "-0.01 EUR is not possible"),
        (10**18, "is not possible"),
    ],
)
def test_no_more_than_is_open_can_be_matched(cast, bill, amount, said):
    payment = paid(2000)

    with pytest.raises(ledger.NotMatched, match=said):
        match(payment, bill, amount)

    assert state(bill, payment) == [1000, 2000]
    assert Payment.objects.get().customer is None


def test_a_payment_of_somebody_else_settles_no_bill(cast, bill):
    foreign = paid(1000, customer=cast.customer)

    with pytest.raises(ledger.NotMatched, match="This payment is of Alder, and the bill is not"):
        match(foreign, bill)
    with pytest.raises(ledger.NotMatched, match="Nothing is left to pay"):
        match(paid(1), make_bill(cast.other_customer, 0))


def test_nothing_is_matched_to_or_from_what_is_used_up(cast, bill):
    payment = paid(1000)
    other = make_bill(cast.other_customer, 1000)
    match(payment, bill)

    with pytest.raises(ledger.NotMatched, match="Nothing is left of this payment"):
        match(payment, other)
    with pytest.raises(ledger.NotMatched, match=f"Nothing is left to pay of {bill.number}"):
        match(paid(1), bill)


# Taking back ----------------------------------------------------------------------------


def test_match_is_released_by_its_mirror_once(cast, bill):
    payment = paid(1000)
    entry = match(payment, bill)

    back = ledger.release(actor=ACTOR, entry=entry, reason="Wrong bill", at=CLOSED_AT)

    assert (back.amount_minor, back.reverses, back.reason) == (-1000, entry, "Wrong bill")
    assert state(bill, payment) == [1000, 1000]
    assert facts("invoice.reopened") == [
        ("invoice.reopened", {"currency": "EUR", "open_minor": 1000})
    ]
    with pytest.raises(ledger.LedgerRefused, match="released already"):
        ledger.release(actor=ACTOR, entry=entry, reason="Again", at=CLOSED_AT)
    with pytest.raises(ledger.LedgerRefused, match="Only a match"):
        ledger.release(actor=ACTOR, entry=back, reason="Back again", at=CLOSED_AT)


def test_bill_that_is_open_again_is_told_with_all_that_is_open(cast, bill):
    entry = match(paid(300), bill)

    ledger.release(actor=ACTOR, entry=entry, reason="Wrong bill", at=CLOSED_AT)

    assert facts("invoice.reopened")[-1][1]["open_minor"] == 1000


def test_released_payment_can_be_given_to_its_real_owner(cast, bill):
    payment = paid(1000)
    entry = match(payment, bill)
    right = make_bill(cast.provider, 1000)
    with pytest.raises(ledger.NotMatched, match="used for Juniper"):
        ledger.assign(actor=ACTOR, payment=payment, customer=cast.provider)
    ledger.release(actor=ACTOR, entry=entry, reason="Wrong customer", at=CLOSED_AT)

    ledger.assign(actor=ACTOR, payment=payment, customer=cast.provider)
    payment.refresh_from_db()
    match(payment, right)

    assert state(bill, right, payment) == [1000, 0, 0]


def test_record_of_a_payment_that_never_came_is_taken_back(cast, bill):
    payment = paid(1000)

    ledger.take_back(actor=ACTOR, payment=payment, reason="Typed twice", at=CLOSED_AT)

    assert state(payment) == [0]
    with pytest.raises(ledger.LedgerRefused, match="is used or was paid back"):
        ledger.take_back(actor=ACTOR, payment=payment, reason="Again", at=CLOSED_AT)
    assert [kind for kind, _data in facts("payment.received", "payment.taken_back")] == [
        "payment.received",
        "payment.taken_back",
    ]


def test_only_what_is_free_is_paid_back(cast, bill):
    payment = paid(1500, customer=cast.other_customer)
    match(payment, bill)
    pay_back = {"actor": ACTOR, "payment": payment, "reason": "Asked", "at": CLOSED_AT}

    with pytest.raises(ledger.LedgerRefused, match=r"5\.01 EUR cannot be paid back: 5\.00"):
        ledger.pay_back(amount_minor=501, **pay_back)
    ledger.pay_back(amount_minor=500, **pay_back)

    assert state(bill, payment) == [0, 0]
    assert facts("payment.refunded") == [
        ("payment.refunded", {"currency": "EUR", "amount_minor": 500})
    ]


def test_payment_that_the_bank_takes_back_opens_bills_again(cast):
    bills = [make_bill(cast.other_customer, amount) for amount in (300, 400, 500)]
    payment = paid(1250, customer=cast.other_customer)
    for bill in bills:
        match(payment, bill)

    ledger.pay_back(
        actor=ACTOR,
        payment=payment,
        amount_minor=700,
        reason="Returned by the bank",
        at=CLOSED_AT,
        is_forced=True,
    )

    assert state(*bills, payment) == [0, 150, 500, 0]
    assert [told["open_minor"] for _kind, told in facts("invoice.reopened")] == [500, 150]
    with pytest.raises(ledger.LedgerRefused, match="cannot be paid back"):
        ledger.pay_back(
            actor=ACTOR,
            payment=payment,
            amount_minor=9999,
            reason="More than came",
            at=CLOSED_AT,
            is_forced=True,
        )
    assert state(*bills, payment) == [0, 150, 500, 0]


def test_money_that_never_reached_the_payer_is_taken_in_again_once(cast):
    payment = paid(500, customer=cast.other_customer)
    again = {"actor": ACTOR, "reason": "Account closed", "at": CLOSED_AT}
    entry = ledger.pay_back(
        actor=ACTOR, payment=payment, amount_minor=500, reason="Asked", at=CLOSED_AT
    )

    ledger.take_in_again(entry=entry, **again)

    assert state(payment) == [500]
    with pytest.raises(ledger.LedgerRefused, match="taken in again already"):
        ledger.take_in_again(entry=entry, **again)
    with pytest.raises(ledger.LedgerRefused, match="Only what was paid back"):
        ledger.take_in_again(entry=payment.entries.get(kind="received"), **again)


def test_naming_the_same_customer_again_and_settling_nothing_change_nothing(cast, bill):
    assert ledger.settle(customer=cast.other_customer, at=CLOSED_AT) == 0
    payment = paid(1000, customer=cast.other_customer)
    match(payment, bill)

    same = ledger.assign(actor=ACTOR, payment=payment, customer=cast.other_customer)

    assert same.customer == cast.other_customer
    assert state(bill, payment) == [0, 0]


# Credit notes and writing off -----------------------------------------------------------


def test_credit_note_settles_its_bill(cast, bill):
    invoicing.credit(actor=ACTOR, invoice=bill, reason="Never used", at=CLOSED_AT)

    assert state(bill) == [0]
    entry = LedgerEntry.objects.get()
    assert (entry.kind, entry.amount_minor) == ("credited", 1000)
    assert ledger.open_minor(Invoice.objects.get(corrects=bill)) == 0
    with pytest.raises(ledger.NotMatched, match="A credit note is not paid"):
        match(paid(1), Invoice.objects.get(corrects=bill))


def test_credit_note_of_a_paid_bill_leaves_the_money_as_credit(cast, bill):
    payment = paid(600, customer=cast.other_customer)
    match(payment, bill)
    ledger.write_off(actor=ACTOR, invoice=bill, reason="Goodwill", at=CLOSED_AT)

    invoicing.credit(actor=ACTOR, invoice=bill, reason="Never used", at=CLOSED_AT)

    assert state(bill, payment) == [0, 600]
    assert ledger.balance_minor(cast.other_customer) == -600
    with pytest.raises(ledger.NotMatched, match="Nothing is left to pay"):
        match(payment, bill)


def test_credit_note_of_a_bill_over_nothing_needs_no_entry(cast):
    bill = make_bill(cast.other_customer, 0)

    invoicing.credit(actor=ACTOR, invoice=bill, reason="Never used", at=CLOSED_AT)

    assert not LedgerEntry.objects.exists()
    with pytest.raises(ledger.LedgerRefused, match="This is no credit note"):
        ledger.credit(actor=ACTOR, note=bill, at=CLOSED_AT)


def test_credit_note_of_a_bill_below_zero_takes_the_credit_back(cast, bill):
    below = make_bill(cast.other_customer, -250)
    ledger.settle(customer=cast.other_customer, at=CLOSED_AT)
    assert state(bill) == [750]

    invoicing.credit(actor=ACTOR, invoice=below, reason="Never used", at=CLOSED_AT)

    assert state(bill, Payment.objects.get()) == [1000, 0]


def test_writing_off_gives_up_what_is_open_with_a_reason(cast, bill):
    write_off = {"actor": ACTOR, "invoice": bill, "at": CLOSED_AT}
    for reason in ("", " \n"):
        with pytest.raises(ledger.LedgerRefused, match="Say why"):
            ledger.write_off(reason=reason, **write_off)
    with pytest.raises(ledger.LedgerRefused, match=r"10\.00 EUR is open"):
        ledger.write_off(reason="x", amount_minor=1001, **write_off)

    ledger.write_off(reason="Cents", amount_minor=1, **write_off)
    ledger.write_off(reason="Insolvent", **write_off)

    assert state(bill) == [0]
    with pytest.raises(ledger.LedgerRefused, match=r"0\.00 EUR is open"):
        ledger.write_off(reason="x", **write_off)
    assert facts("invoice.written_off")[-1][1] == {
        "currency": "EUR",
        "amount_minor": 999,
        "open_minor": 0,
    }


# Who may, and what is taken once --------------------------------------------------------


def test_only_the_seller_keeps_its_books(cast, bill):
    alice, rita = cast.actor(cast.alice), cast.actor(cast.rita)
    own = make_bill(cast.customer, 100, seller=cast.reseller)
    to_rita = paid(100, customer=cast.customer, seller=cast.reseller)
    to_house = paid(100, customer=cast.other_customer)

    for actor, payment, invoice in ((alice, to_rita, own), (rita, to_house, bill)):
        with pytest.raises(Forbidden):
            ledger.match(actor=actor, payment=payment, invoice=invoice, at=CLOSED_AT)
        with pytest.raises(Forbidden):
            ledger.write_off(actor=actor, invoice=invoice, reason="x", at=CLOSED_AT)
        with pytest.raises(Forbidden):
            paid(100, customer=payment.customer, seller=payment.seller, actor=actor)
    ledger.match(actor=rita, payment=to_rita, invoice=own, at=CLOSED_AT)

    assert state(own, bill) == [0, 1000]


def test_what_a_source_tells_of_is_taken_once(cast):
    paid(100, source="bank", external_id="2026-10-31/7")
    for seller, source in ((None, "stripe"), (cast.reseller, "bank")):
        paid(100, source=source, seller=seller, external_id="2026-10-31/7")
    for _again in range(2):
        paid(100, source="bank")

    with pytest.raises(ledger.AlreadyRecorded, match="recorded already"):
        paid(999, source="bank", external_id="2026-10-31/7")

    assert Payment.objects.count() == 5
    assert len(facts("payment.received")) == 5


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"amount_minor": 0}, "above zero"),
        ({"amount_minor": -5}, "above zero"),
        ({"amount_minor": 5, "currency": "XXX"}, "XXX is not a currency of the house"),
    ],
)
def test_absurd_payment_is_refused(cast, fields, said):
    with pytest.raises(ledger.LedgerRefused, match=said):
        paid(**fields)


def test_other_faults_of_a_payment_are_not_taken_for_a_repetition(cast):
    with pytest.raises(IntegrityError):
        paid(100, source="bank", external_id=None)


# The database itself --------------------------------------------------------------------


def wrong_entries(cast, bill):
    """What no verb would write: (fields, what is wrong)."""
    payment = paid(500, customer=cast.other_customer)
    foreign = paid(500, customer=cast.customer)
    dollars = paid(500, customer=cast.other_customer, currency="USD")
    note_free = {"kind": "matched", "invoice": bill}
    entry = LedgerEntry.objects.get(payment=payment)
    return [
        ({**note_free, "payment": payment, "amount_minor": 501}, "more than was received"),
        ({**note_free, "payment": payment, "amount_minor": 0}, "nothing"),
        ({**note_free, "payment": payment, "amount_minor": -5}, "below zero"),
        ({**note_free, "payment": foreign, "amount_minor": 5}, "another customer"),
        ({**note_free, "payment": paid(500), "amount_minor": 5}, "nobody's"),
        ({**note_free, "payment": dollars, "amount_minor": 5}, "another currency"),
        ({"kind": "matched", "payment": payment, "amount_minor": 5}, "no bill"),
        ({"kind": "refunded", "payment": payment, "amount_minor": 501}, "more than is free"),
        ({"kind": "refunded", "invoice": bill, "amount_minor": 5}, "no payment"),
        ({"kind": "written_off", "invoice": bill, "amount_minor": 1001}, "more than is open"),
        ({"kind": "received", "payment": payment, "amount_minor": 500}, "received twice"),
        ({"kind": "credited", "payment": payment, "amount_minor": 5}, "no bill to credit"),
        (
            {"kind": "received", "payment": payment, "amount_minor": -499, "reverses": entry},
            "no mirror",
        ),
        (
            {"kind": "refunded", "payment": payment, "amount_minor": -500, "reverses": entry},
            "a mirror of another kind",
        ),
    ]


def test_database_refuses_what_no_verb_would_write(cast, bill):
    match(paid(1), bill)
    for fields, wrong in wrong_entries(cast, bill):
        before = state(bill), list(Payment.objects.values_list("free_minor", flat=True))
        is_refused = refused(posting.post, actor=ACTOR, at=CLOSED_AT, **fields)
        after = state(bill), list(Payment.objects.values_list("free_minor", flat=True))
        assert (is_refused, after) == (True, before), wrong


def test_a_mirror_cannot_be_mirrored_or_repeated(cast):
    payment = paid(500)
    received = payment.entries.get()
    mirror = {"actor": ACTOR, "reason": "x", "at": CLOSED_AT}
    back = posting.mirror(received, **mirror)

    for entry in (received, back):
        with pytest.raises(IntegrityError), transaction.atomic():
            posting.mirror(entry, **mirror)

    assert state(payment) == [0]


def test_nothing_that_was_posted_is_edited(cast, bill):
    payment = paid(500, customer=cast.other_customer)
    entry = match(payment, bill)
    with pytest.raises(Immutable):
        entry.save()
    with pytest.raises(Immutable):
        entry.delete()

    for rows, change in (
        (LedgerEntry.objects, {"amount_minor": 1}),
        (Payment.objects, {"amount_minor": 501}),
        (Payment.objects, {"currency": "USD"}),
        (Payment.objects, {"seller": cast.reseller}),
        (Payment.objects, {"customer": cast.customer}),
        (Payment.objects, {"external_id": "x"}),
        (Payment.objects, {"free_minor": 501}),
        (OpenItem.objects, {"due_on": date(2030, 1, 1)}),
        (OpenItem.objects, {"billed_minor": 2000}),
        (OpenItem.objects, {"open_minor": -1}),
    ):
        assert refused(rows.update, **change), change


def test_nothing_begins_half_used(cast, bill):
    fields = {"currency": "EUR", "source": "staff", "received_on": date(2026, 11, 2)}
    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.create(amount_minor=5, free_minor=5, recorded_at=CLOSED_AT, **fields)
    below = make_bill(cast.other_customer, -5)
    OpenItem.objects.filter(invoice=below).delete()
    with pytest.raises(IntegrityError), transaction.atomic():
        OpenItem.objects.create(
            invoice=below, due_on=date(2026, 11, 2), billed_minor=5, open_minor=4
        )


def test_words_of_the_rows(cast, bill):
    payment = paid(500, customer=cast.other_customer)

    assert str(payment) == "5.00 EUR · 2026-11-02"
    assert str(payment.entries.get()) == "Received 5.00 EUR"
    assert str(OpenItem.objects.get()) == f"{bill.number} · 10.00 EUR"
    assert ledger.balance_minor(cast.customer) == 0
    match(payment, bill)
    match(paid(500, customer=cast.other_customer), bill)
    assert ledger.balance_minor(cast.other_customer) == 0
