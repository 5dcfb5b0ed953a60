"""Bank statements in the ledger: what each line settles, once, whoever uploads it how often."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Event, User
from hosting import invoicing, ledger, piecework, tasks
from hosting.banking import clerk, runs, tables
from hosting.banking.statements import Form
from hosting.models import BankImport, InvoiceCounter, LedgerEntry, Payment, Refund
from hosting.piecework import UnreadableList, WrongState
from tests.factories import AT
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, make_profile
from tests.hosting.ledger_rows import make_bill, paid

pytestmark = pytest.mark.django_db(databases="__all__")

HEADER = "date,amount,currency,payer,reference,bank_id\n"


@pytest.fixture(autouse=True)
def counters(cast):
    """The rows of bills in these tests are numbered T-, and the reseller's Q-."""
    InvoiceCounter.objects.update(prefix="T-")
    InvoiceCounter.objects.create(seller=cast.reseller, prefix="Q-")


@pytest.fixture
def bill(cast):
    """T-000001 over 10.00 EUR."""
    return make_bill(cast.other_customer, 1000)


def statement(*lines, header=HEADER):
    return (header + "".join(f"{line}\n" for line in lines)).encode()


def take_in(cast, *lines, seller=None, account="AT1", content=None):
    return runs.take_in(
        user=cast.sam,
        file_name="october.csv",
        content=content or statement(*lines),
        seller=seller,
        account=account,
        currency="EUR",
        form=Form(),
        at=timezone.now(),
    )


def verdicts(listed):
    return [(verdict.outcome.value, verdict.text) for verdict in runs.preview(listed=listed)]


def worked_off(cast, listed):
    runs.confirm(actor=cast.actor(cast.sam), listed=listed, at=timezone.now())
    assert runs.run(import_id=listed.pk, now=timezone.now)
    listed.refresh_from_db()
    return listed.taken_count, listed.settled_count, listed.known_count, listed.problems


def state(*bills):
    return [ledger.open_minor(bill) for bill in bills]


# What a line settles --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said", "left"),
    [
        ("10.00,EUR,X,T-1", ("matched", "T-000001: 10.00 EUR"), 0),
        ("4.00,EUR,X,bill T000001", ("matched", "T-000001: 4.00 EUR"), 600),
        ("12.50,EUR,X,T-1", ("matched", "T-000001: 10.00 EUR; 2.50 EUR stay as credit"), 0),
        ("10.00,EUR,JUNIPER  ltd.,thanks", ("matched", "T-000001: 10.00 EUR"), 0),
        ("10.00,EUR,juniper,", ("matched", "T-000001: 10.00 EUR"), 0),
        ("10.00,EUR,Somebody,", ("unmatched", "Amount"), 1000),
        ("9.99,EUR,Juniper,", ("unmatched", "No bill is named, and the amount tells none."), 1000),
        ("10.00,USD,X,T-1", ("unmatched", "The bill that is named is in another currency."), 1000),
        ("10.00,EUR,X,T-99", ("unmatched", "Nothing is open of the bills that are named."), 1000),
    ],
)
def test_preview_says_what_happens_and_then_it_does(cast, bill, line, said, left):
    make_profile(cast.other_customer)
    listed = take_in(cast, f"2026-11-02,{line},1")

    assert verdicts(listed) == [said]
    is_matched = said[0] == "matched"
    assert (Payment.objects.count(), state(bill)) == (0, [1000])
    assert worked_off(cast, listed) == (1, int(is_matched), 0, [])

    assert state(bill) == [left]
    payment = Payment.objects.get()
    assert payment.free_minor == payment.amount_minor - (1000 - left)
    assert (payment.customer == cast.other_customer) == is_matched


def test_several_bills_are_paid_by_one_line_in_the_order_they_are_named(cast, bill):
    second = make_bill(cast.other_customer, 500)
    listed = take_in(cast, "2026-11-02,12.00,EUR,X,T-2 T-1,1", "2026-11-03,4.00,EUR,X,T-1 T-2,2")

    assert [text for _outcome, text in verdicts(listed)] == [
        "T-000002: 5.00 EUR, T-000001: 7.00 EUR",
        "T-000001: 3.00 EUR; 1.00 EUR stay as credit",
    ]
    assert worked_off(cast, listed)[:2] == (2, 2)

    assert state(bill, second) == [0, 0]
    assert ledger.balance_minor(cast.other_customer) == -100


def test_line_after_the_one_that_paid_all_is_left_to_staff(cast, bill):
    listed = take_in(cast, "2026-11-02,10.00,EUR,X,T-1,1", "2026-11-03,10.00,EUR,X,T-1,2")

    assert [outcome for outcome, _text in verdicts(listed)] == ["matched", "unmatched"]
    assert worked_off(cast, listed) == (2, 1, 0, [])


def test_bills_of_several_customers_are_not_divided_by_guessing(cast, bill):
    make_bill(cast.provider, 500)
    listed = take_in(cast, "2026-11-02,15.00,EUR,X,T-1 T-2,1")

    assert verdicts(listed) == [("unmatched", "Bills of several customers are named.")]


def test_two_bills_that_the_amount_could_mean_are_left_to_staff(cast, bill):
    make_bill(cast.other_customer, 1000)

    assert verdicts(take_in(cast, "2026-11-02,10.00,EUR,Juniper,,1")) == [("unmatched", "Amount")]


def test_among_very_many_open_bills_an_amount_says_nothing(cast, bill, monkeypatch):
    monkeypatch.setattr("hosting.banking.matching._MOST_BY_AMOUNT", 1)
    make_bill(cast.provider, 1000)
    listed = take_in(cast, "2026-11-02,10.00,EUR,Juniper,,1", "2026-11-02,10.00,EUR,X,T-1,2")

    assert [outcome for outcome, _text in verdicts(listed)] == ["unmatched", "matched"]


def test_account_of_a_reseller_settles_its_own_bills_only(cast, bill):
    own = make_bill(cast.customer, 1000, seller=cast.reseller, number="Q-000001")
    lines = ["2026-11-02,10.00,EUR,X,Q-1,1", "2026-11-02,10.00,EUR,X,T-1,2"]
    listed = take_in(cast, *lines, seller=cast.reseller)

    assert [outcome for outcome, _text in verdicts(listed)] == ["matched", "unmatched"]
    worked_off(cast, listed)

    assert state(bill, own) == [1000, 0]
    assert set(Payment.objects.values_list("seller", flat=True)) == {cast.reseller.pk}


# Once -----------------------------------------------------------------------------------


def test_the_same_statement_twice_is_recorded_once(cast, bill):
    lines = ["2026-11-02,3.00,EUR,X,T-1,1"] + ["2026-11-02,1.00,EUR,X,T-1,"] * 2
    first, second = take_in(cast, *lines), take_in(cast, *lines, "2026-11-04,1.00,EUR,X,T-1,4")

    assert worked_off(cast, first) == (3, 3, 0, [])
    assert [outcome for outcome, _text in verdicts(second)] == ["known"] * 3 + ["matched"]
    assert worked_off(cast, second) == (1, 1, 3, [])

    assert state(bill) == [400]


def test_id_that_stands_twice_is_named(cast):
    listed = take_in(cast, "2026-11-02,3.00,EUR,X,,1", "2026-11-02,3.00,EUR,Y,,1")

    assert verdicts(listed)[1] == ("known", "Its id stands on line 2 already.")
    assert worked_off(cast, listed) == (1, 0, 1, [])


@pytest.mark.parametrize("other", ["2026-11-02,4.00,EUR", "2026-12-02,3.00,EUR"])
def test_id_that_was_used_for_something_else_passes_over_no_payment_in_silence(cast, other):
    lines = "2026-11-02,3.00,EUR,X,,1", f"{other},X,,1"
    said = "That was another amount or day, so this one is not used."

    assert verdicts(take_in(cast, *lines))[1] == (
        "bad",
        f"Its id stands on line 2 already. {said}",
    )
    worked_off(cast, take_in(cast, lines[0]))
    later = take_in(cast, lines[1])
    assert verdicts(later) == [("bad", f"Recorded already. {said}")]
    taken, _settled, known, problems = worked_off(cast, later)

    assert (taken, known, [each["column"] for each in problems]) == (0, 0, ["bank_id"])


def test_two_accounts_may_have_the_same_ids(cast):
    for account in ("AT1", "AT2"):
        assert worked_off(cast, take_in(cast, "2026-11-02,3.00,EUR,X,,1", account=account))[0] == 1
    assert Payment.objects.count() == 2


def test_payment_that_came_while_the_line_was_judged_is_known(cast, bill, monkeypatch):
    listed = take_in(cast, "2026-11-02,3.00,EUR,X,T-1,1")
    paid(300, source="bank", external_id="AT1:1")
    monkeypatch.setattr(clerk.Clerk, "_known", lambda _self, _piece: {})

    assert worked_off(cast, listed) == (0, 0, 1, [])


def test_bill_that_was_paid_while_the_line_was_judged_stays_paid_once(cast, bill, monkeypatch):
    listed = take_in(cast, "2026-11-02,10.00,EUR,X,T-1,1")
    real = clerk.Clerk.judge

    def judge(self, piece):
        found = real(self, piece)
        ledger.match(actor=ACTOR, payment=paid(1000), invoice=bill, at=CLOSED_AT)
        return found

    monkeypatch.setattr(clerk.Clerk, "judge", judge)

    assert worked_off(cast, listed) == (1, 0, 0, [])
    assert Payment.objects.get(source="bank").free_minor == 1000


# Money that left ------------------------------------------------------------------------


def test_payment_that_the_bank_takes_back_opens_the_bill_again(cast, bill):
    worked_off(cast, take_in(cast, "2026-11-02,10.00,EUR,X,T-1,1"))
    back = take_in(cast, "2026-11-05,-10.00,EUR,X,Return of T-1,2")

    assert [outcome for outcome, _text in verdicts(back)] == ["returned"]
    assert worked_off(cast, back) == (1, 0, 0, [])
    assert worked_off(cast, take_in(cast, "2026-11-05,-10.00,EUR,X,Return of T-1,2"))[2] == 1

    assert state(bill) == [1000]
    assert Payment.objects.get().free_minor == 0
    assert Event.objects.filter(kind="payment.refunded").count() == 1


def test_money_that_staff_had_paid_back_is_noted_and_not_booked_again(cast, bill):
    payment = paid(400, customer=cast.other_customer)
    ledger.pay_back(actor=ACTOR, payment=payment, amount_minor=400, reason="Asked", at=AT)
    listed = take_in(cast, "2026-11-05,-4.00,EUR,Juniper,refund of T-1,2")

    assert verdicts(listed) == [("noted", "In the ledger already: Paid back 4.00 EUR")]
    assert worked_off(cast, listed) == (1, 0, 0, [])

    assert LedgerEntry.objects.filter(kind="refunded").count() == 1
    assert Refund.objects.get().provider_id == "bank:AT1:2"
    assert verdicts(take_in(cast, "2026-11-06,-4.00,EUR,Juniper,,3"))[0][0] == "bad"


def test_what_staff_paid_back_once_is_one_line(cast):
    payment = paid(400, customer=cast.other_customer)
    ledger.pay_back(actor=ACTOR, payment=payment, amount_minor=400, reason="Asked", at=AT)
    lines = ["2026-11-05,-4.00,EUR,Juniper,,1", "2026-11-06,-4.00,EUR,Landlord,,2"]
    listed = take_in(cast, *lines)

    assert [outcome for outcome, _text in verdicts(listed)] == ["noted", "bad"]
    taken, _settled, _known, problems = worked_off(cast, listed)

    assert (taken, [problem["line"] for problem in problems]) == (1, [3])
    assert Refund.objects.get().provider_id == "bank:AT1:1"


def test_credit_that_a_credit_note_took_back_has_left_nobody(cast):
    below_zero = make_bill(cast.other_customer, -400, number="Z-000001")
    invoicing.credit(actor=ACTOR, invoice=below_zero, reason="Wrong", at=AT)

    listed = take_in(cast, "2026-11-05,-4.00,EUR,Landlord,rent,1")

    assert [outcome for outcome, _text in verdicts(listed)] == ["bad"]


@pytest.mark.parametrize("reference", ["", "T-1", "T-99", "fees"])
def test_money_that_left_for_nobody_knows_what_is_for_staff(cast, bill, reference):
    listed = take_in(cast, f"2026-11-05,-10.00,EUR,Bank,{reference},2")

    problem = {
        "line": 2,
        "column": "amount",
        "message": "Money that left, and it is not clear for what. Record it by hand.",
        "code": "invalid",
    }
    assert worked_off(cast, listed) == (0, 0, 0, [problem])
    assert not LedgerEntry.objects.exists()


def test_return_of_what_was_paid_back_already_is_named(cast, bill):
    worked_off(cast, take_in(cast, "2026-11-02,10.00,EUR,X,T-1,1"))
    back = ["2026-11-05,-6.00,EUR,X,T-1,2", "2026-11-05,-6.00,EUR,X,T-1,3"]

    taken, _settled, _known, problems = worked_off(cast, take_in(cast, *back))

    assert taken == 1
    assert "cannot be paid back" in problems[0]["message"]
    assert state(bill) == [600]


# The run --------------------------------------------------------------------------------


def test_bad_lines_do_not_stop_the_others(cast, bill):
    listed = take_in(cast, "x,1,EUR,X,,1", "2026-11-02,10.00,EUR,X,T-1,2", "2026-11-02,1,EUR")

    taken, settled, known, problems = worked_off(cast, listed)

    assert (taken, settled, known) == (1, 1, 0)
    assert [(each["line"], each["column"]) for each in problems] == [(2, "date"), (4, "")]


def test_long_statement_is_done_in_pieces_each_once(cast, bill, monkeypatch):
    monkeypatch.setattr(piecework, "BATCH", 7)
    lines = [f"2026-11-02,0.10,EUR,X,T-1,{number}" for number in range(50)]
    listed = take_in(cast, *lines)
    runs.confirm(actor=cast.actor(cast.sam), listed=listed, at=timezone.now())
    real, calls = ledger.receive, []

    def dies_once(**fields):
        calls.append(fields)
        if len(calls) == 24:
            message = "The machine stops."
            raise RuntimeError(message)
        return real(**fields)

    monkeypatch.setattr(ledger, "receive", dies_once)
    with pytest.raises(RuntimeError):
        runs.run(import_id=listed.pk, now=timezone.now)
    listed.refresh_from_db()
    assert listed.done_count == listed.taken_count == Payment.objects.count() == 21

    assert runs.resume(now=timezone.now) == 0
    assert runs.resume(now=lambda: timezone.now() + timedelta(minutes=3)) == 1

    listed.refresh_from_db()
    assert (listed.state, listed.taken_count, listed.known_count) == ("finished", 50, 0)
    assert state(bill) == [500]


def test_statement_is_started_by_who_uploaded_it_and_only_once(cast):
    listed = take_in(cast, "2026-11-02,1.00,EUR,X,,1")
    with pytest.raises(WrongState, match="Only who uploaded"):
        runs.confirm(actor=cast.actor(cast.rita), listed=listed, at=timezone.now())
    runs.confirm(actor=cast.actor(cast.sam), listed=listed, at=timezone.now())
    with pytest.raises(WrongState, match="changed meanwhile"):
        runs.confirm(actor=cast.actor(cast.sam), listed=listed, at=timezone.now())

    assert tasks.run_bank_import(import_id=listed.pk) is True
    assert tasks.run_bank_import(import_id=listed.pk) is False
    assert tasks.resume_bank_imports() == 0


def test_nothing_is_recorded_in_the_name_of_somebody_who_left(cast):
    listed = take_in(cast, "2026-11-02,1.00,EUR,X,,1")
    runs.confirm(actor=cast.actor(cast.sam), listed=listed, at=timezone.now())
    User.objects.filter(pk=cast.sam.pk).update(is_active=False)

    runs.run(import_id=listed.pk, now=timezone.now)

    assert BankImport.objects.get().state == "cancelled"
    assert not Payment.objects.exists()


def test_statement_that_new_rules_cannot_read_is_left_with_the_reason_and_holds_up_no_other(cast):
    old, good = (take_in(cast, f"2026-11-02,1.00,EUR,X,,{number}") for number in (1, 2))
    for listed in (old, good):
        runs.confirm(actor=cast.actor(cast.sam), listed=listed, at=timezone.now())
    BankImport.objects.filter(pk=old.pk).update(
        content="date,amount,amount\n2026-11-02,1.00,2.00\n"
    )

    assert runs.resume(now=timezone.now) == 2

    old.refresh_from_db()
    [problem] = old.problems
    assert (old.state, old.problem_count, problem["column"]) == ("cancelled", 1, "amount")
    assert [payment.external_id for payment in Payment.objects.all()] == ["AT1:2"]


def test_too_long_a_statement_is_refused(cast, monkeypatch):
    monkeypatch.setattr(tables, "MOST_LINES", 2)

    with pytest.raises(UnreadableList, match="At most 2 lines"):
        take_in(cast, *[f"2026-11-02,1.00,EUR,X,,{number}" for number in range(3)])


def test_preview_costs_the_same_few_queries_for_any_number_of_lines(
    cast, bill, django_assert_num_queries
):
    for count in (1, 300):
        lines = [f"2026-11-02,1.00,EUR,X,T-{number} x,{number}" for number in range(count)]
        listed = take_in(cast, "2026-11-02,10.00,EUR,Juniper,thanks,x", *lines)
        with django_assert_num_queries(5):
            runs.preview(listed=listed)
