"""Staff bill a month again whose bill was taken back, and hear why it cannot be taken back."""

from __future__ import annotations

import pytest

from hosting import invoicing, ledger
from hosting.models import BillingProfile, Contract, Invoice
from hosting.periods import Period
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    OCTOBER,
    make_profile,
    moment,
    sold,
    worked_example,
)
from tests.staffing import act, facts, in_role, said

pytestmark = pytest.mark.django_db(databases="__all__")

INVOICES = "/staff/hosting/invoice/"


@pytest.fixture
def bill(cast):
    make_profile(cast.provider)
    make_profile(cast.other_customer)
    worked_example(cast.other_domain)
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    return Invoice.objects.get()


def offered(staff, bill):
    page = staff.get(f"{INVOICES}{bill.pk}/change/")
    return [name for name, _label in page.context["row_actions"]]


def test_a_month_is_billed_again_with_another_address(staff, cast, bill):
    early = act(staff, "bill_again", bill, path=INVOICES, confirmed="yes")
    act(staff, "take_back", bill, path=INVOICES, confirmed="yes", reason="Wrong address")
    assert "R-000001 stands. Take it back first." in early.content.decode()
    assert offered(staff, bill) == ["verify", "bill_again"]
    BillingProfile.objects.filter(organisation=cast.other_customer).update(address="Elm Road 1")

    asked = act(staff, "bill_again", bill, path=INVOICES)
    done = act(staff, "bill_again", bill, path=INVOICES, confirmed="yes")

    assert "counts what is known now of contracts and use" in asked.content.decode()
    assert said(done) == ["Months that were billed again: 1."]
    again = Invoice.objects.get(replaces=bill)
    assert (again.customer_text["address"], again.total_minor) == (["Elm Road 1"], 749)
    assert facts("invoice.issued")[-1] == (again.number, cast.sam.email)
    assert offered(staff, bill) == ["verify"]
    assert offered(staff, again) == ["verify", "take_back"]
    page = staff.get(f"{INVOICES}{again.pk}/change/")
    assert page.context["tables"][0].rows[0].cells == ("20", "6.24 EUR", "1.25 EUR", "")


def test_support_bills_nothing_again(cast, bill):
    invoicing.credit(actor=ACTOR, invoice=bill, reason="Wrong", at=CLOSED_AT)

    answer = act(in_role(cast.sam, "support"), "bill_again", bill, path=INVOICES, confirmed="yes")

    assert answer.status_code == 403
    assert not Invoice.objects.filter(replaces=bill).exists()


def test_a_bill_whose_credit_was_paid_back_says_why_it_stays(staff, cast):
    for organisation in (cast.provider, cast.other_customer):
        make_profile(organisation)
    mailbox = sold(cast.other_domain, "a", "pop")
    november = Period(2026, 11)
    for month in (OCTOBER, november):
        invoicing.close_month(actor=ACTOR, period=month, at=month.ends_at)
        Contract.objects.filter(mailbox=mailbox).update(
            ends_at=moment(1), ended_at=moment(3, month=11)
        )
    bill = Invoice.objects.get(period=november.first_day)
    payment = cast.other_customer.payments.get()
    ledger.pay_back(
        actor=ACTOR, payment=payment, amount_minor=120, reason="Asked", at=november.ends_at
    )

    answer = act(staff, "take_back", bill, path=INVOICES, confirmed="yes", reason="Wrong")

    assert answer.status_code == 200
    assert "What R-000002 gave the customer is no longer there." in answer.content.decode()
    assert not Invoice.objects.filter(kind="credit_note").exists()
