"""What a reseller notes of its customers' payments, and what then stands open."""

from __future__ import annotations

from datetime import date

import pytest
from django.test import Client
from django.utils import timezone

from accounts.access import Forbidden
from accounts.models import Event, Membership
from hosting import ledger
from hosting.models import Payment
from tests.factories import make_cast, make_member
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, make_profile
from tests.hosting.ledger_rows import make_bill, paid
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

ONCE = "6a3f0f0e-0000-4000-8000-000000000001"


@pytest.fixture
def cast():
    return make_cast()


@pytest.fixture
def bill(cast):
    """Rowan's bill to Alder over 10.00 EUR."""
    return make_bill(cast.customer, 1000, seller=cast.reseller)


@pytest.fixture
def rita(cast):
    return client_of(cast.rita)


def client_of(person):
    client = Client()
    signed_in(person, client)
    return client


def page_of(bill):
    return f"/billing/invoices/{bill.uuid}/"


def record(client, bill, amount="10.00", *, on="", once=ONCE, **more):
    fields = {"amount": amount, "received_on": on or timezone.now().date(), "once": once, **more}
    return client.post(f"{page_of(bill)}received", fields)


def take_back(client, bill, payment, reason="Typed in twice"):
    return client.post(f"{page_of(bill)}received/{payment.uuid}/take-back", {"reason": reason})


def kinds():
    return list(Event.objects.order_by("seq").values_list("kind", flat=True))


def test_what_a_reseller_records_settles_its_bill(cast, bill, rita):
    assert "10.00 EUR" in rita.get(page_of(bill)).content.decode()

    response = record(rita, bill, reference="Order 4711", receipt="17")

    payment = Payment.objects.get()
    assert response.headers["Location"] == page_of(bill)
    assert (payment.source, payment.seller, payment.customer) == (
        "seller",
        cast.reseller,
        cast.customer,
    )
    assert payment.external_id == "receipt 17"
    assert ledger.open_minor(bill) == payment.free_minor == 0
    assert kinds()[-2:] == ["payment.received", "invoice.paid"]
    html = rita.get(page_of(bill)).content.decode()
    assert "Settled: nothing is left to pay" in html
    assert "Order 4711" in html
    assert "Settled: nothing is left to pay" in (
        client_of(cast.alice).get(page_of(bill)).content.decode()
    )


def test_its_customer_sees_neither_the_note_nor_the_button(cast, bill, rita):
    record(rita, bill, "4.00", reference="Paid late again")

    html = client_of(cast.alice).get(page_of(bill)).content.decode()

    assert "6.00 EUR" in html
    assert "Paid late again" not in html
    assert "Record a payment" not in html


def test_form_begins_with_all_that_is_open(bill, rita):
    record(rita, bill, "4.00")

    form = rita.get(f"{page_of(bill)}received").context["form"]

    assert str(form["amount"].value()) == "6.00"
    assert form["received_on"].value() == timezone.now().date()


def test_the_same_form_sent_twice_is_one_payment(bill, rita):
    record(rita, bill, "4.00")

    again = record(rita, bill, "4.00")

    assert again.status_code == 422
    assert "recorded already" in again.content.decode()
    assert ledger.open_minor(bill) == 600
    assert Payment.objects.count() == 1


def test_the_same_receipt_is_taken_once_for_one_seller(bill, rita):
    record(rita, bill, "4.00", receipt="17")

    again = record(rita, bill, "4.00", receipt="17", once="6a3f0f0e-0000-4000-8000-000000000002")

    assert "recorded already" in again.content.decode()
    assert Payment.objects.count() == 1


def test_more_than_is_open_is_credit_for_the_next_bill(cast, bill, rita):
    response = record(rita, bill, "15.00")
    following = make_bill(cast.customer, 800, seller=cast.reseller)

    ledger.settle_all(at=CLOSED_AT)

    shown = rita.get(response.headers["Location"]).content.decode()
    assert "5.00 EUR of it is credit" in shown
    assert ledger.open_minor(following) == 300


def test_a_settled_bill_takes_no_more(bill, rita):
    record(rita, bill)

    again = record(rita, bill, once="6a3f0f0e-0000-4000-8000-000000000002")

    assert again.status_code == 422
    assert "Nothing is left to pay" in again.content.decode()
    assert Payment.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"amount": "0"}, "greater than or equal to 0.001"),
        ({"amount": "-5"}, "greater than or equal to 0.001"),
        ({"amount": "1.005"}, "no amounts as fine"),
        ({"amount": "9" * 5000}, "no more than 15 digits"),
        ({"amount": "NaN"}, "Enter a number"),
        ({"amount": "1e400000"}, "digits"),
        ({"on": "2999-01-01"}, "A day that has been"),
        ({"on": "0001-01-01"}, "A day that has been"),
        ({"on": "yesterday"}, "Enter a valid date"),
        ({"reference": "x\x00y"}, "Null characters are not allowed"),
        ({"receipt": "x" * 101}, "at most 100 characters"),
        ({"once": "banana"}, "Enter a valid UUID"),
    ],
)
def test_nonsense_is_refused_with_the_reason_and_nothing_is_posted(bill, rita, fields, said):
    response = record(rita, bill, **fields)

    assert response.status_code == 422
    assert said in response.content.decode()
    assert not Payment.objects.exists()


def test_what_is_taken_back_opens_every_bill_that_it_settled(cast, bill, rita):
    record(rita, bill, "15.00")
    following = make_bill(cast.customer, 800, seller=cast.reseller)
    ledger.settle_all(at=CLOSED_AT)
    payment = Payment.objects.get()

    response = take_back(rita, bill, payment)

    assert response.headers["Location"] == page_of(bill)
    assert [ledger.open_minor(each) for each in (bill, following)] == [1000, 800]
    payment.refresh_from_db()
    assert payment.free_minor == 0
    assert kinds()[-3:] == ["invoice.reopened", "invoice.reopened", "payment.taken_back"]
    assert "/take-back" not in rita.get(page_of(bill)).content.decode()
    assert take_back(rita, bill, payment).status_code == 422


def test_a_receipt_that_was_typed_wrongly_is_recorded_anew(bill, rita):
    record(rita, bill, "40.00", receipt="17")
    take_back(rita, bill, Payment.objects.get())

    again = record(rita, bill, "4.00", receipt="17", once="6a3f0f0e-0000-4000-8000-000000000002")
    third = record(rita, bill, "4.00", receipt="17", once="6a3f0f0e-0000-4000-8000-000000000003")

    assert (again.status_code, third.status_code) == (302, 422)
    assert "recorded already" in third.content.decode()
    assert ledger.open_minor(bill) == 600


def test_nothing_is_taken_back_without_a_reason(bill, rita):
    record(rita, bill)

    response = take_back(rita, bill, Payment.objects.get(), reason=" ")

    assert response.status_code == 422
    assert ledger.open_minor(bill) == 0


def test_money_that_went_back_in_part_stays_in_the_books(bill, rita):
    record(rita, bill, "15.00")
    payment = Payment.objects.get()
    ledger.pay_back(actor=ACTOR, payment=payment, amount_minor=500, reason="Too much", at=CLOSED_AT)

    response = take_back(rita, bill, payment)

    assert response.status_code == 422
    assert "was paid back" in response.content.decode()
    assert ledger.open_minor(bill) == 0


def test_only_what_the_seller_noted_can_be_taken_back_by_it(cast, bill, rita):
    payment = paid(400, customer=cast.customer, seller=cast.reseller)
    ledger.match(actor=ACTOR, payment=payment, invoice=bill, at=CLOSED_AT)

    assert take_back(rita, bill, payment).status_code == 404
    assert "/take-back" not in rita.get(page_of(bill)).content.decode()


def test_payment_of_another_bill_is_absent_here(cast, bill, rita):
    other = make_bill(cast.other_customer, 500, seller=cast.reseller)
    record(rita, other, "5.00")

    assert take_back(rita, bill, Payment.objects.get()).status_code == 404


def test_who_keeps_the_books_of_a_reseller(cast, bill):
    bookkeeper = make_member("books@rowan.test", cast.reseller, Membership.Role.BILLING)
    reader = make_member("reads@rowan.test", cast.reseller, Membership.Role.READ_ONLY)

    assert record(client_of(reader), bill).status_code in {403, 404}
    assert not Payment.objects.exists()
    assert record(client_of(bookkeeper), bill).status_code == 302
    assert ledger.open_minor(bill) == 0


def test_bill_of_the_house_is_not_for_this_door(cast):
    bill = make_bill(cast.reseller, 700)

    assert record(client_of(cast.rita), bill).status_code == 404
    with pytest.raises(ledger.LedgerRefused, match="recorded by its staff"):
        ledger.take(
            actor=ACTOR,
            invoice=bill,
            amount_minor=700,
            received_on=date(2026, 11, 2),
            external_id="",
            at=CLOSED_AT,
        )


@pytest.mark.parametrize("person", ["alice", "charlie"])
def test_the_verbs_refuse_whoever_is_not_paid(cast, bill, person):
    actor = cast.actor(getattr(cast, person))

    with pytest.raises(Forbidden):
        ledger.take(
            actor=actor,
            invoice=bill,
            amount_minor=1000,
            received_on=date(2026, 11, 2),
            external_id="",
            at=CLOSED_AT,
        )


def test_lists_say_what_is_left_to_pay_and_find_it(cast, bill, rita):
    make_profile(cast.reseller)
    settled = make_bill(cast.customer, 300, seller=cast.reseller)
    record(rita, settled, "3.00")

    everything = rita.get("/billing/invoices/issued").content.decode()
    left = rita.get("/billing/invoices/issued?pay=open").context["invoices"]

    assert "Settled" in everything
    assert "10.00 EUR" in everything
    assert [row["number"] for row in left] == [bill.number]
    charlie = client_of(cast.charlie).get("/billing/invoices/?pay=open")
    assert charlie.status_code == 200


@pytest.mark.parametrize("lines", [1, 30])
def test_lists_cost_the_same_for_one_bill_and_for_many(
    cast, rita, lines, django_assert_num_queries
):
    for _ in range(lines):
        make_bill(cast.customer, 100, seller=cast.reseller)

    with django_assert_num_queries(8):
        rita.get("/billing/invoices/issued")
