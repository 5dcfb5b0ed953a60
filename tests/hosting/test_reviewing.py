"""Overage above twice the usual waits, and is charged or let go by somebody who looked at it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.access import Forbidden
from accounts.models import Event, Notice
from hosting import attention, billing, environment, invoicing
from hosting.invoicing import reviewing
from hosting.models import BillingProfile, HeldOverage, Invoice, InvoiceLine
from hosting.periods import Period
from tests.factories import make_cast
from tests.hosting.billing_rows import (
    ACTOR,
    GIGABYTE,
    make_list,
    make_profile,
    moment,
    sold,
    used,
)
from tests.staffing import act, said

pytestmark = pytest.mark.django_db(databases="__all__")
HELD = "/staff/hosting/heldoverage/"
MONTHS = [Period(2026, month) for month in (7, 8, 9, 10)]


@pytest.fixture
def cast():
    cast = make_cast()
    make_profile(cast.provider)
    make_profile(cast.other_customer)
    return cast


def close(month):
    return invoicing.close_month(actor=ACTOR, period=month, at=month.ends_at)


def bill_of(month):
    return Invoice.objects.get(period=month.first_day, kind="invoice")


def kept(cast, *gigabytes, months=MONTHS):
    """A mailbox with 5 GB included, which kept so much in each month, at 0.12 for each GB above."""
    mailbox = sold(cast.other_domain, "a", since=months[0].starts_at)
    steps = [
        (month.starts_at, size * GIGABYTE) for month, size in zip(months, gigabytes, strict=True)
    ]
    used(mailbox, *steps, until=months[-1].ends_at)
    for month in months:
        close(month)
    return bill_of(months[-1])


@pytest.mark.parametrize(
    ("last", "held"),
    [(105, None), (106, 1212), (55, None)],
    ids=["twice the usual", "a little more", "the usual"],
)
def test_overage_waits_above_twice_the_mean_of_three_months(cast, last, held):
    bill = kept(cast, 55, 55, 55, last)

    found = HeldOverage.objects.filter(invoice=bill).values_list("amount_minor", "usual_minor")
    assert list(found) == ([] if held is None else [(held, 600)])
    assert bill.net_minor == 250 + (0 if held else (last - 5) * 12)
    assert invoicing.verify(bill) == []


def test_new_customer_has_no_usual(cast):
    bill = kept(cast, 500, months=MONTHS[3:])

    assert not HeldOverage.objects.exists()
    assert bill.net_minor == 250 + 495 * 12


def test_who_never_had_any_waits_with_the_first(cast):
    kept(cast, 1, 1, 1, 47)

    assert HeldOverage.objects.get().amount_minor == 504


def test_little_amounts_never_wait(cast):
    kept(cast, 1, 1, 1, 46)

    assert not HeldOverage.objects.exists()


def test_months_that_waited_count_for_the_usual_and_those_let_go_do_not(cast):
    kept(cast, 55, 55, 55, 155)
    november = Period(2026, 11)
    lines = {
        cast.other_customer.pk: billing.charges(
            billing.buyer(cast.other_customer), period=MONTHS[3]
        )
    }
    buyers = [billing.buyer(cast.other_customer)]

    # 6, 6 and 18 are 10 on average.
    assert reviewing.unusual(buyers, lines, period=november) == {}
    reviewing.let_go(
        actor=ACTOR, held=HeldOverage.objects.get(), reason="x", at=moment(2, month=11)
    )
    [found] = reviewing.unusual(buyers, lines, period=november).values()
    assert (found.amount_minor, found.usual_minor) == (1800, 600)


def test_test_organisations_never_wait(cast):
    kept(cast, 55, 55, 55, 155)
    buyer = billing.buyer(cast.other_customer)
    lines = {buyer.organisation.pk: billing.charges(buyer, period=MONTHS[3])}
    assert reviewing.unusual([buyer], lines, period=MONTHS[3])

    buyer.organisation.is_test = True

    assert reviewing.unusual([buyer], lines, period=MONTHS[3]) == {}


def test_customer_and_staff_are_told(cast, staff):
    bill = kept(cast, 55, 55, 55, 155)

    [letter] = Notice.objects.filter(name="overage_held")
    assert (letter.to, letter.context["amount_text"]) == ("charlie@example.test", "18.00 EUR")
    assert letter.context["number"] == bill.number
    assert Event.objects.filter(kind="overage.held").count() == 1
    found = attention.find(may=lambda _right: True, at=moment(2, month=11))
    assert [(f.count, f.since) for f in found if f.name == "overage"] == [(1, MONTHS[3].ends_at)]
    assert b"18.00 EUR" in staff.get(HELD).content


def test_released_overage_is_a_correction_on_the_next_bill_once(cast, staff):
    october = kept(cast, 55, 55, 55, 155)
    held = HeldOverage.objects.get()

    assert said(act(staff, "release", held, path=HELD)) == [
        "Overage that the next bill charges: 1."
    ]
    HeldOverage.objects.update(decided_at=moment(5, month=11))
    assert invoicing.verify(october) == []
    december = Period(2026, 12)
    for month in (MONTHS[3].next, december):
        close(month)

    corrections = InvoiceLine.objects.filter(kind="correction")
    assert list(corrections.values_list("invoice__period", "period", "net_minor")) == [
        (MONTHS[3].next.first_day, MONTHS[3].first_day, 1800)
    ]
    for bill in Invoice.objects.all():
        assert invoicing.verify(bill) == []


def test_overage_that_was_let_go_is_never_charged(cast, staff):
    october = kept(cast, 55, 55, 55, 155)
    held = HeldOverage.objects.get()

    answer = act(staff, "let_go", held, path=HELD, reason="A loop of theirs", confirmed="yes")

    assert said(answer) == ["Overage that is never charged: 1."]
    held.refresh_from_db()
    assert (held.state, held.reason) == ("let_go", "A loop of theirs")
    close(MONTHS[3].next)
    assert not InvoiceLine.objects.filter(kind="correction").exists()
    assert invoicing.verify(october) == []


def test_of_two_who_decide_at_once_one_is_told(cast):
    kept(cast, 55, 55, 55, 155)
    mine, theirs = HeldOverage.objects.get(), HeldOverage.objects.get()

    reviewing.release(actor=ACTOR, held=mine, at=moment(2, month=11))

    with pytest.raises(reviewing.AlreadyDecided, match="decided about already"):
        reviewing.let_go(actor=ACTOR, held=theirs, reason="x", at=moment(2, month=11))
    assert HeldOverage.objects.get().state == "released"


# A month that is billed again --------------------------------------------------------------


def again(bill, **given):
    at = moment(3, month=11)
    invoicing.credit(actor=ACTOR, invoice=bill, reason="Wrong address", at=at)
    return invoicing.bill_again(actor=ACTOR, invoice=bill, at=at, **given)


def decided(verb, **given):
    [held] = HeldOverage.objects.all()
    verb(actor=ACTOR, held=held, at=moment(2, month=11), **given)


def problems():
    return [str(found) for bill in Invoice.objects.all() for found in invoicing.verify(bill)]


def test_overage_that_was_let_go_stays_so_when_the_month_is_billed_again(cast):
    october = kept(cast, 55, 55, 55, 155)
    decided(reviewing.let_go, reason="A loop of theirs")

    second = again(again(october))

    assert second.net_minor == 250
    assert set(HeldOverage.objects.values_list("state", "reason")) == {
        ("let_go", "A loop of theirs")
    }
    assert Event.objects.filter(kind="overage.held").count() == 1
    assert Notice.objects.filter(name="overage_held").count() == 1
    close(MONTHS[3].next)
    assert not InvoiceLine.objects.filter(invoice__kind="invoice", kind="correction").exists()
    assert problems() == []


def test_overage_that_was_released_is_charged_at_once_when_the_month_is_billed_again(cast):
    october = kept(cast, 55, 55, 55, 155)
    decided(reviewing.release)

    second = again(again(october))

    assert second.net_minor == 250 + 1800
    assert HeldOverage.objects.count() == 1
    close(MONTHS[3].next)
    assert not InvoiceLine.objects.filter(invoice__kind="invoice", kind="correction").exists()
    assert problems() == []


def test_overage_that_is_more_than_was_looked_at_waits_again(cast):
    october = kept(cast, 55, 55, 55, 155)
    decided(reviewing.release)
    dearer = make_list(imap=("2.50", 5, "0.24"))
    BillingProfile.objects.filter(organisation=cast.other_customer).update(price_list=dearer)

    second = again(october, by_terms_of_now=True)

    assert second.net_minor == 250
    [waiting] = HeldOverage.objects.waiting()
    assert (waiting.invoice, waiting.amount_minor) == (second, 3600)
    assert problems() == []


@pytest.mark.parametrize(
    ("verb", "given", "charged"),
    [(reviewing.let_go, {"reason": "A loop of theirs"}, 0), (reviewing.release, {}, 1)],
)
@pytest.mark.parametrize(
    "prices",
    [
        # More, which is taken back before anybody decided, and then less than was looked at.
        ("0.24", "0.10"),
        # Less, and then as much as was looked at.
        ("0.08", "0.12"),
    ],
)
def test_what_was_decided_holds_whatever_came_between(cast, verb, given, charged, prices):
    bill = kept(cast, 55, 55, 55, 155)
    decided(verb, **given)

    for price in prices:
        agreed = make_list(imap=("2.50", 5, price))
        BillingProfile.objects.filter(organisation=cast.other_customer).update(price_list=agreed)
        bill = again(bill, by_terms_of_now=True)

    assert bill.net_minor == 250 + charged * 15_000 * Decimal(prices[-1])
    assert not HeldOverage.objects.waiting().exists()
    assert problems() == []


def test_overage_of_a_bill_that_was_taken_back_waits_on_the_next_one_alone(cast):
    october = kept(cast, 55, 55, 55, 155)
    held = HeldOverage.objects.get()

    second = again(october)

    [waiting] = HeldOverage.objects.waiting()
    assert waiting.invoice == second
    with pytest.raises(reviewing.AlreadyDecided, match="its bill was taken back"):
        reviewing.release(actor=ACTOR, held=held, at=moment(4, month=11))


def test_staff_are_offered_only_what_waits(cast, staff):
    october = kept(cast, 55, 55, 55, 155)
    held = HeldOverage.objects.get()
    again(october)
    waiting = HeldOverage.objects.waiting().get()

    def listed(state):
        page = staff.get(HELD, {"state": state})
        return [row.pk for row in page.context["cl"].result_list]

    def offered(row):
        page = staff.get(f"{HELD}{row.pk}/change/")
        return [name for name, _label in page.context["row_actions"]]

    assert (listed("waiting"), listed("gone")) == ([waiting.pk], [held.pk])
    assert (listed("let_go"), len(listed(""))) == ([], 2)
    assert (offered(waiting), offered(held)) == (["release", "let_go"], [])
    assert "Bill taken back" in staff.get(f"{HELD}{held.pk}/change/").content.decode()
    found = attention.find(may=lambda _right: True, at=moment(4, month=11))
    assert [f.count for f in found if f.name == "overage"] == [1]
    start = staff.get("/staff/").content.decode()
    assert "/staff/hosting/heldoverage/?state=waiting" in start


def test_only_the_seller_decides(cast):
    kept(cast, 55, 55, 55, 155)

    with pytest.raises(Forbidden):
        reviewing.release(
            actor=cast.actor(cast.charlie), held=HeldOverage.objects.get(), at=moment(2, month=11)
        )


@pytest.mark.parametrize("given", ["EUR", "XXX 5", "EUR -1", "EUR 0.001", "EUR 1e", "5 EUR"])
def test_amounts_that_make_no_sense_are_refused(given, monkeypatch):
    monkeypatch.setenv("DUNNING_SMALL", given)

    with pytest.raises(ImproperlyConfigured, match="DUNNING_SMALL"):
        environment.amounts("DUNNING_SMALL", default="")


def test_amounts_are_in_minor_units(monkeypatch):
    assert environment.amounts("NOT_GIVEN", default="EUR 5, JPY 800, BHD 2.5") == {
        "EUR": 500,
        "JPY": 800,
        "BHD": 2500,
    }
