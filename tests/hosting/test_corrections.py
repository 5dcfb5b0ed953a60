"""What was charged for a month comes to what the rows say, whatever became known when."""

from __future__ import annotations

import csv
import io
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts.access import Forbidden
from hosting import billing, invoicing, ledger, papers, vat
from hosting.invoicing import charged, corrections
from hosting.models import (
    BillingProfile,
    Contract,
    Invoice,
    InvoiceCounter,
    InvoiceLine,
    InvoiceTax,
    Price,
    VatRate,
)
from hosting.periods import Period
from mailstore.models import Drift
from tests.factories import make_cast
from tests.hosting.billing_rows import (
    ACTOR,
    GIGABYTE,
    OCTOBER,
    make_list,
    make_profile,
    moment,
    sold,
    used,
    worked_example,
)

pytestmark = pytest.mark.django_db(databases="__all__")

NOVEMBER, DECEMBER = Period(2026, 11), Period(2026, 12)
LATE = moment(3, month=11)


@pytest.fixture
def cast():
    cast = make_cast()
    make_profile(cast.provider)
    make_profile(cast.other_customer)
    return cast


def close(period=OCTOBER, at=None):
    return invoicing.close_month(actor=ACTOR, period=period, at=at or period.ends_at)


def bill_of(period=OCTOBER):
    return Invoice.objects.standing().get(period=period.first_day)


def take_back(invoice, at=LATE):
    return invoicing.credit(actor=ACTOR, invoice=invoice, reason="Wrong", at=at)


def shown(invoice):
    return [
        (line.kind, line.mailbox and line.mailbox.local_part, line.net_minor)
        for line in invoice.lines.order_by("position")
    ]


def taxes(invoice):
    rows = invoice.taxes.order_by("number")
    return [(tax.percent, tax.note, tax.net_minor, tax.vat_minor) for tax in rows]


def ended(mailbox, at, known_at=LATE):
    Contract.objects.filter(mailbox=mailbox).update(ends_at=at, ended_at=known_at)


def drift(mailbox, since, until, *, noted, true):
    return Drift.objects.create(
        username=mailbox.address,
        since=int(since.timestamp()),
        until=int(until.timestamp()),
        noted_bytes=noted * GIGABYTE,
        true_bytes=true * GIGABYTE,
    )


@contextmanager
def at_most_values(count):
    """Let no statement have more values than this, as beyond 250,000 none has on SQLite."""
    limit = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
    before = [(each.connection, each.connection.getlimit(limit)) for each in connections.all()]
    for connection, _before in before:
        connection.setlimit(limit, count)
    try:
        yield
    finally:
        for connection, most in before:
            connection.setlimit(limit, most)


def problems():
    return [str(found) for bill in Invoice.objects.all() for found in invoicing.verify(bill)]


# Lines that disappear --------------------------------------------------------------------


def test_storage_that_is_gone_from_a_pool_is_refunded(cast):
    BillingProfile.objects.filter(organisation=cast.other_customer).update(pools_storage=True)
    mailbox = sold(cast.other_domain, "a")
    used(mailbox, (moment(1), 36 * GIGABYTE), until=moment(1, month=11))
    close()
    drift(mailbox, moment(1), moment(2, month=11), noted=36, true=4)
    assert problems() == []

    close(NOVEMBER)

    assert shown(bill_of())[-1] == ("storage", None, 372)
    assert ("correction", None, -372) in shown(bill_of(NOVEMBER))
    assert problems() == []


def test_a_price_that_was_never_reached_is_refunded_whole(cast):
    retail = Price.objects.get(price_list__audience="retail", plan__slug="pop")
    Price.objects.create(
        price_list=retail.price_list,
        plan=retail.plan,
        starts_on=date(2026, 10, 16),
        monthly_price=Decimal("2.00"),
    )
    mailbox = sold(cast.other_domain, "a", "pop")
    close()
    ended(mailbox, moment(6))

    close(NOVEMBER)

    assert [net for _kind, _name, net in shown(bill_of())] == [48, 103]
    assert sorted(net for _kind, _name, net in shown(bill_of(NOVEMBER))) == [-103, -32]
    assert problems() == []


def test_an_end_in_the_first_second_of_a_month_refunds_all_of_it(cast):
    mailbox = sold(cast.other_domain, "a", "pop")
    close()
    ended(mailbox, moment(1))

    close(NOVEMBER)

    november = bill_of(NOVEMBER)
    assert shown(november) == [("correction", "a", -100)]
    assert problems() == []
    [line] = papers.paper(november).sections[0].lines
    assert line.detail.endswith(
        "the mailbox ended on 1 October 2026, 00:00 UTC, which became known later"
    )


def test_a_bill_is_equal_to_what_was_known_until_a_late_end_is_put_right(cast):
    mailbox = sold(cast.other_domain, "a")
    used(mailbox, (moment(1), 36 * GIGABYTE), until=moment(1, month=12))
    close()

    ended(mailbox, moment(16, 12))

    assert problems() == []
    close(NOVEMBER)
    assert problems() == []


def test_an_end_that_another_contract_follows_was_known_all_along(cast):
    mailbox = sold(cast.other_domain, "a", "pop", until=moment(16))
    plan = Contract.objects.get().plan
    Contract.objects.update(ended_at=moment(1, month=12))
    Contract.objects.create(mailbox=mailbox, plan=plan, starts_at=moment(16))

    close()

    assert shown(bill_of()) == [("mailbox", "a", 100)]


def test_drift_of_more_addresses_than_a_statement_takes_is_put_right(cast):
    """After a bad night, that of all mailboxes of the house stands there."""
    mailbox = sold(cast.other_domain, "a")
    used(mailbox, (moment(1), 36 * GIGABYTE), until=moment(1, month=12))
    close()
    drift(mailbox, moment(1), moment(2, month=11), noted=36, true=5)
    others = (
        Drift(
            username=f"{number}@elsewhere.test",
            since=OCTOBER.start,
            until=NOVEMBER.start + 1,
            noted_bytes=2,
            true_bytes=1,
        )
        for number in range(3_000)
    )
    Drift.objects.bulk_create(others)

    with at_most_values(1_000):
        close(NOVEMBER)

    assert ("correction", "a", -372) in shown(bill_of(NOVEMBER))
    assert problems() == []


# Bills that were taken back ---------------------------------------------------------------


def test_a_month_that_was_taken_back_is_not_refunded_again(cast):
    mailbox = sold(cast.other_domain, "a")
    used(mailbox, (moment(1), 36 * GIGABYTE), until=moment(1, month=12))
    close()
    take_back(bill_of())
    drift(mailbox, moment(16, 12), moment(2, month=11), noted=36, true=5)

    close(NOVEMBER)

    assert "correction" not in [kind for kind, _name, _net in shown(bill_of(NOVEMBER))]
    assert problems() == []


def test_what_a_bill_had_put_right_is_put_right_again_after_it_was_taken_back(cast):
    mailbox = sold(cast.other_domain, "a", "pop")
    sold(cast.other_domain, "b", "pop")
    close()
    ended(mailbox, moment(16, 12))
    close(NOVEMBER)
    assert shown(bill_of(NOVEMBER)) == [("mailbox", "b", 100), ("correction", "a", -50)]

    take_back(bill_of(NOVEMBER), at=DECEMBER.starts_at)
    assert problems() == []
    close(DECEMBER)

    assert shown(bill_of(DECEMBER)) == [("mailbox", "b", 100), ("correction", "a", -50)]
    assert problems() == []
    close(DECEMBER.next)
    assert shown(bill_of(DECEMBER.next)) == [("mailbox", "b", 100)]


def test_what_was_put_right_of_a_month_goes_with_its_bill(cast):
    mailbox = sold(cast.other_domain, "a", "pop")
    sold(cast.other_domain, "b", "pop")
    close()
    ended(mailbox, moment(16, 12))
    close(NOVEMBER)
    october = bill_of()

    take_back(october, at=DECEMBER.starts_at)
    close(DECEMBER)

    assert shown(bill_of(DECEMBER)) == [("mailbox", "b", 100), ("correction", "a", 50)]
    assert charged.nets(cast.other_customer.pk, OCTOBER) == {}
    [*_lines, late] = papers.paper(bill_of(DECEMBER)).sections[0].lines
    assert "that bill was taken back" in late.detail
    assert problems() == []


# Billing again ----------------------------------------------------------------------------


def again(invoice, at=LATE, **given):
    return invoicing.bill_again(actor=ACTOR, invoice=invoice, at=at, **given)


def test_a_month_is_billed_again_with_what_is_known_now(cast):
    worked_example(cast.other_domain)
    close()
    first = bill_of()
    take_back(first)
    assert close(at=LATE).written == 0
    BillingProfile.objects.filter(organisation=cast.other_customer).update(
        country="DE", vat_id="DE123456789", address="Elm Road 1\n10115 Berlin"
    )

    second = again(first)

    assert (second.number, second.replaces) == ("R-000003", first)
    assert (second.net_minor, second.vat_minor) == (624, 0)
    assert second.customer_text["address"] == ["Elm Road 1", "10115 Berlin"]
    assert papers.paper(second).vat_notes == [vat.REVERSE_CHARGE]
    assert "Replaces invoice R-000001 of 1 November 2026" in papers.paper(second).replaces
    assert problems() == []
    assert close(at=LATE).written == 0
    with pytest.raises(invoicing.AgainRefused, match="already, as R-000003"):
        again(first)
    with pytest.raises(invoicing.AgainRefused, match="stands"):
        again(second)
    take_back(second)
    assert again(second).replaces == second
    assert problems() == []


def test_billing_again_keeps_the_prices_unless_it_is_told_otherwise(cast):
    sold(cast.other_domain, "a", "pop")
    close()
    take_back(bill_of())
    first = Invoice.objects.get(kind="invoice")
    profile = BillingProfile.objects.filter(organisation=cast.other_customer)
    profile.update(price_list=make_list(pop=("3", 0, "0")))

    kept = again(first)
    take_back(kept)
    changed = again(kept, by_terms_of_now=True)

    assert (kept.net_minor, changed.net_minor) == (100, 300)
    take_back(changed)
    profile.update(price_list=make_list(currency="JPY", pop=("300", 0, "0")))
    with pytest.raises(invoicing.AgainRefused, match="buys in JPY now"):
        again(changed, by_terms_of_now=True)
    with pytest.raises(Forbidden):
        invoicing.bill_again(actor=cast.actor(cast.charlie), invoice=changed, at=LATE)


def test_a_month_that_is_billed_again_undoes_what_was_put_right_of_it(cast):
    """The old bill's rate is taken back at the old rate, and the new bill says it all."""
    mailbox = sold(cast.other_domain, "a", "pop")
    sold(cast.other_domain, "b", "pop")
    close()
    ended(mailbox, moment(16, 12))
    close(NOVEMBER)
    first = bill_of()
    take_back(first, at=DECEMBER.starts_at)
    BillingProfile.objects.filter(organisation=cast.other_customer).update(
        country="DE", vat_id="DE123456789"
    )

    second = again(first, at=DECEMBER.starts_at)

    assert shown(second) == [("mailbox", "a", 50), ("mailbox", "b", 100), ("correction", "a", 50)]
    assert taxes(second) == [
        (Decimal(0), vat.REVERSE_CHARGE, 150, 0),
        (Decimal(20), "", 50, 10),
    ]
    assert problems() == []
    close(DECEMBER)
    assert shown(bill_of(DECEMBER)) == [("mailbox", "b", 100)]
    assert problems() == []


def test_nothing_is_billed_again_where_there_is_nothing(cast):
    mailbox = sold(cast.other_domain, "a", "pop")
    close()
    first = bill_of()
    take_back(first)
    ended(mailbox, moment(1, month=9))

    with pytest.raises(invoicing.AgainRefused, match="nothing to bill for 2026-10"):
        again(first)
    BillingProfile.objects.filter(organisation=cast.other_customer).update(country="AQ")
    ended(mailbox, None, None)
    BillingProfile.objects.filter(organisation=cast.provider).update(country="AQ")
    with pytest.raises(invoicing.AgainRefused, match="no VAT rate for AQ"):
        again(first)


def test_the_database_lets_no_month_stand_twice(cast):
    sold(cast.other_domain, "a", "pop")
    close()
    first = bill_of()
    fields = {
        field.attname: getattr(first, field.attname)
        for field in Invoice._meta.concrete_fields
        if field.attname not in {"id", "uuid", "number", "replaces_id"}
    }

    def write(number, replaces):
        with transaction.atomic():
            Invoice.objects.create(number=number, replaces=replaces, **fields)

    with pytest.raises(DatabaseError, match="taken back"):
        write("R-9", first)
    take_back(first)
    with pytest.raises(DatabaseError):
        write("R-9", None)
    write("R-9", first)
    with pytest.raises(DatabaseError):
        write("R-10", first)
    with pytest.raises(DatabaseError, match="never edited"), transaction.atomic():
        InvoiceTax.objects.update(vat_minor=1)


# Rates ------------------------------------------------------------------------------------


def test_a_correction_is_taxed_at_the_rate_of_its_own_month(cast):
    mailbox = sold(cast.other_domain, "a", "pop")
    sold(cast.other_domain, "b", "pop")
    close()
    ended(mailbox, moment(16, 12))
    VatRate.objects.create(
        country="AT", percent=Decimal(25), is_in_eu=True, starts_on=date(2026, 11, 1)
    )

    close(NOVEMBER)

    november = bill_of(NOVEMBER)
    assert taxes(november) == [(Decimal(25), "", 100, 25), (Decimal(20), "", -50, -10)]
    assert (november.net_minor, november.vat_minor, november.total_minor) == (50, 15, 65)
    rows = [(row.label, row.text) for row in papers.paper(november).vat]
    assert rows == [("VAT 25 % on 1.00", "0.25"), ("VAT 20 % on −0.50", "−0.10")]
    rows = csv.DictReader(papers.csv_of(november))
    assert [row["vat_percent"] for row in rows] == ["25.00", "20.00"]
    note = take_back(november, at=DECEMBER.starts_at)
    assert taxes(note) == [(Decimal(25), "", -100, -25), (Decimal(20), "", 50, 10)]
    assert problems() == []


def test_a_vat_id_that_came_later_keeps_no_tax_of_what_is_refunded(cast):
    profile = BillingProfile.objects.filter(organisation=cast.other_customer)
    profile.update(country="DE")
    mailbox = sold(cast.other_domain, "a", "pop")
    sold(cast.other_domain, "b", "pop")
    close()
    ended(mailbox, moment(16, 12))
    profile.update(vat_id="DE123456789")

    close(NOVEMBER)

    november = bill_of(NOVEMBER)
    assert taxes(november) == [
        (Decimal(0), vat.REVERSE_CHARGE, 100, 0),
        (Decimal(19), "", -50, -10),
    ]
    assert problems() == []


def test_rates_that_are_the_same_are_one_sum_rounded_once(cast):
    mailbox = sold(cast.other_domain, "a", "pop")
    sold(cast.other_domain, "b", "pop")
    close()
    ended(mailbox, moment(16, 12))

    close(NOVEMBER)

    assert taxes(bill_of(NOVEMBER)) == [(Decimal(20), "", 50, 10)]


# Credit notes and numbers -----------------------------------------------------------------


def test_credit_that_was_paid_back_cannot_be_taken_back_with_its_bill(cast):
    mailbox = sold(cast.other_domain, "a", "pop")
    close()
    ended(mailbox, moment(1))
    close(NOVEMBER)
    november = bill_of(NOVEMBER)
    payment = november.customer.payments.get()
    ledger.pay_back(
        actor=ACTOR, payment=payment, amount_minor=120, reason="Asked for", at=DECEMBER.starts_at
    )

    with pytest.raises(invoicing.CreditRefused, match="no longer there"):
        take_back(november, at=DECEMBER.starts_at)

    assert not Invoice.objects.filter(corrects=november).exists()
    assert InvoiceCounter.objects.get().next_number == 3


def test_a_credit_note_is_verified_line_by_line(cast):
    worked_example(cast.other_domain)
    close()
    note = take_back(bill_of())
    assert invoicing.verify(note) == []
    line = note.lines.order_by("-position").first()
    values = {
        field.attname: getattr(line, field.attname)
        for field in InvoiceLine._meta.concrete_fields
        if field.attname != "id"
    }

    InvoiceLine.objects.create(**{**values, "position": 9, "net_minor": 0})

    assert [found.what for found in invoicing.verify(note)] == ["Line 9"]


def test_a_number_that_is_missing_is_found(cast, capsys):
    worked_example(cast.other_domain)
    close()
    take_back(bill_of())
    call_command("verify_invoice", "--numbers")
    assert capsys.readouterr().out == "Every number was given once.\n"
    InvoiceCounter.objects.update(next_number=4)

    with pytest.raises(SystemExit):
        call_command("verify_invoice", "--numbers", stdout=(out := io.StringIO()))

    assert out.getvalue() == "R-000003 should come next, and R-000004 does.\n"


# Whatever happens -------------------------------------------------------------------------


class WhateverHappens(TestCase):
    """Ends, drift, credit notes and bills that are written again, in any order."""

    databases = "__all__"

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        pools=st.booleans(),
        sizes=st.lists(st.integers(1, 60), min_size=1, max_size=3),
        moves=st.lists(
            st.tuples(
                st.sampled_from(["end", "drift", "take back", "bill again", "rate"]),
                st.integers(0, 2),
                st.integers(1, 30),
            ),
            max_size=5,
        ),
    )
    def test_what_was_charged_is_what_the_rows_come_to(self, pools, sizes, moves):
        cast = make_cast()
        make_profile(cast.provider)
        make_profile(cast.other_customer, pools_storage=pools)
        boxes = []
        for number, size in enumerate(sizes):
            boxes.append(sold(cast.other_domain, f"box{number}"))
            used(boxes[-1], (moment(1), size * GIGABYTE), until=moment(1, month=3, year=2027))
        month = OCTOBER
        close(month)
        for number, (move, place, day) in enumerate(moves):
            box = boxes[place % len(boxes)]
            at = month.ends_at.replace(day=2)
            self.do(move, box, at=at, day=day, month=month, number=number)
            month = month.next
            close(month)
            assert problems() == []

        for each in OCTOBER.until(month):
            bill = charged.bill_of(cast.other_customer.pk, each)
            now = {}
            if bill is not None:
                buyer = replace(billing.buyer(cast.other_customer), price_list=bill.price_list)
                lines = billing.charges(buyer, period=each)
                now = corrections.nets(lines, tax=charged.tax_of(bill))
            assert charged.nets(cast.other_customer.pk, each) == now
        assert invoicing.verify_numbers() == []

    def do(self, move, box, *, at, day, month, number):
        bills = Invoice.objects.filter(kind="invoice").order_by("pk")
        match move:
            case "end":
                Contract.objects.filter(mailbox=box, ends_at=None).update(
                    ends_at=month.starts_at.replace(day=min(day, 28)), ended_at=at
                )
            case "drift":
                last = Drift.objects.filter(username=box.address).order_by("-until").first()
                begun = month.starts_at.replace(day=min(day, 28))
                if last is None or last.until <= int(begun.timestamp()):
                    drift(box, begun, at, noted=2, true=1)
            case "take back":
                standing = Invoice.objects.standing().order_by("pk")
                if standing:
                    take_back(standing[day % len(standing)], at=at)
            case "bill again":
                gone = bills.filter(credit_notes__isnull=False, replaced_by=None)
                # Of a month nothing may be left to bill.
                with suppress(invoicing.AgainRefused):
                    for bill in gone[:1]:
                        again(bill, at=at)
            case "rate":
                VatRate.objects.create(
                    country="AT",
                    percent=Decimal(10 + number),
                    is_in_eu=True,
                    starts_on=month.next.first_day,
                )
