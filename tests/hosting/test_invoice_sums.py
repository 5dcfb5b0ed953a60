"""Whatever a month holds, its bill adds up: properties of bills as they are written."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts.models import Organisation
from hosting import invoicing, money, papers
from hosting.billing import Buyer
from hosting.charges import Charge, Measured, charge
from hosting.invoicing import Correction
from hosting.invoicing.writing import Bill, lock_counter, write
from hosting.models import (
    BillingProfile,
    Invoice,
    InvoiceCounter,
    InvoiceLine,
    Plan,
    Price,
    PriceList,
    VatRate,
)
from hosting.periods import Period
from hosting.vat import Tax
from mailstore.models import Mailbox
from tests.factories import make_cast
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, OCTOBER, make_profile, sold

pytestmark = pytest.mark.django_db(databases="__all__")

MONTHS = st.builds(Period, st.integers(2000, 2400), st.integers(1, 12))
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
PERCENTS = st.decimals(0, 100, places=2)
CURRENCIES = st.sampled_from(sorted(money.EXPONENTS))


# Months ---------------------------------------------------------------------------------


@given(MONTHS, ZONES)
def test_a_month_has_the_same_ends_in_every_zone(month, zone):
    first, end = month.starts_at.astimezone(zone), month.ends_at.astimezone(zone)
    moment = timedelta(microseconds=1)

    assert Period.of(first) == Period.of(end - moment) == month
    assert Period.of(end) == month.next
    assert Period.of(first - moment) == month.previous
    assert (month.next.start, month.previous.end) == (month.end, month.start)


@given(st.integers(2000, 2400))
def test_the_months_of_a_year_are_its_seconds_leap_days_included(year):
    months = [Period(year, month) for month in range(1, 13)]

    days = date(year + 1, 1, 1) - date(year, 1, 1)
    assert sum(month.seconds for month in months) == days.days * 86_400
    assert list(months[0].until(months[-1])) == months


# Bills ----------------------------------------------------------------------------------


@st.composite
def prices(draw, currency):
    return Price(
        pk=draw(st.integers(1, 3)),
        plan=Plan(pk=1, slug="imap", protocol="imap"),
        price_list=PriceList(pk=1, currency=currency),
        starts_on=date(2026, 1, 1),
        monthly_price=draw(st.decimals("0.000001", "99999", places=6)),
        included_bytes=draw(st.integers(0, 10**12)),
        storage_price=draw(st.decimals(0, 999, places=6)),
    )


@st.composite
def months(draw):
    """What some mailboxes used in a month, at up to three prices of one list."""
    currency, period = draw(CURRENCIES), draw(MONTHS)
    known = {price.pk: price for price in draw(st.lists(prices(currency), min_size=1, max_size=3))}
    measured = draw(
        st.lists(
            st.builds(
                Measured,
                mailbox_id=st.integers(1, 20),
                address=st.just("a@alder.test"),
                price=st.sampled_from(list(known.values())),
                seconds=st.integers(1, period.seconds),
                used_byte_seconds=st.integers(0, 10**13 * period.seconds),
            ),
            max_size=20,
        )
    )
    return currency, period, measured


def bill_of(lines, tax, *, currency="EUR", period=OCTOBER, corrections=()):
    price_list = PriceList(pk=1, currency=currency)
    customer = Organisation(pk=1, kind="customer", name="A")
    return Bill(
        buyer=Buyer(organisation=customer, price_list=price_list, pools_storage=False),
        seller=None,
        seller_profile=BillingProfile(legal_name="S", address="", country="AT"),
        profile=BillingProfile(legal_name="C", address="", country="AT"),
        period=period,
        lines=lines,
        corrections=corrections,
        tax=tax,
    )


@settings(max_examples=300, deadline=None)
@given(months(), PERCENTS, st.booleans(), st.randoms(use_true_random=False))
def test_lines_add_up_to_the_net_and_the_tax_is_rounded_once(month, percent, pools, chance):
    currency, period, measured = month
    lines = charge(measured, period=period, pools=pools)
    tax = Tax(percent=percent)

    bill = bill_of(lines, tax, currency=currency, period=period)

    assert bill.net_minor == sum(line.net_minor for line in lines)
    assert bill.total_minor == bill.net_minor + bill.vat_minor
    exact = Fraction(percent) * bill.net_minor / 100
    assert abs(bill.vat_minor - exact) <= Fraction(1, 2)
    assert all(line.net_minor >= 0 for line in lines)
    shuffled = list(measured)
    chance.shuffle(shuffled)
    again = charge(shuffled, period=period, pools=pools)
    assert sorted(map(repr, again)) == sorted(map(repr, lines))


@given(st.integers(-(10**15), 10**15), PERCENTS)
def test_the_tax_of_what_is_taken_back_is_the_tax_that_was_charged(net, percent):
    tax = Tax(percent=percent)

    assert tax.on(-net) == -tax.on(net)


# Rows -----------------------------------------------------------------------------------


class WrittenBills(TestCase):
    """Bills in the database: each example in a transaction of its own."""

    databases = "__all__"

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        nets=st.lists(st.integers(-(10**9), 10**12), min_size=1, max_size=30),
        late=st.lists(st.integers(-(10**9), 10**9), max_size=5),
        percent=PERCENTS,
    )
    def test_a_bill_adds_up_and_its_credit_note_mirrors_it_exactly(self, nets, late, percent):
        bill = self.bill(nets, late, percent)
        counter = lock_counter(None)
        write([bill], counter=counter, actor=ACTOR, at=CLOSED_AT)
        invoice = Invoice.objects.get(kind="invoice")

        note = invoicing.credit(actor=ACTOR, invoice=invoice, reason="x", at=CLOSED_AT)

        rows = [facts(row) for row in invoice.lines.order_by("position")]
        mirrored = [facts(row) for row in note.lines.order_by("position")]
        assert [net for *_rest, net in rows] == [*nets, *late]
        assert [(*rest, -net) for *rest, net in rows] == mirrored
        assert invoice.net_minor == sum(nets) + sum(late)
        assert invoice.vat_minor == Tax(percent=percent).on(invoice.net_minor)
        assert invoice.total_minor + note.total_minor == 0
        assert invoice.net_minor + note.net_minor == invoice.vat_minor + note.vat_minor == 0
        assert (note.vat_percent, note.currency) == (invoice.vat_percent, invoice.currency)
        assert invoicing.verify(note) == []
        numbers = Invoice.objects.order_by("pk").values_list("number", flat=True)
        assert list(numbers) == ["R-000001", "R-000002"]
        assert InvoiceCounter.objects.get().next_number == 3
        assert papers.paper(invoice).total_text.replace(",", "") == (
            invoice.total_text.replace("-", "\N{MINUS SIGN}")
        )

    def bill(self, nets, late, percent):
        cast = make_cast()
        mailbox = sold(cast.other_domain, "a", "pop")
        price = Price.objects.get(price_list__audience="retail", plan__slug="pop")
        lines = [line_of(mailbox, price, net) for net in nets]
        tax = Tax(percent=percent)
        corrections = [Correction(charge=line_of(mailbox, price, net), tax=tax) for net in late]
        return Bill(
            buyer=Buyer(
                organisation=cast.other_customer,
                price_list=price.price_list,
                pools_storage=False,
            ),
            seller=None,
            seller_profile=make_profile(cast.provider),
            profile=make_profile(cast.other_customer),
            period=OCTOBER,
            lines=lines,
            corrections=corrections,
            tax=tax,
        )


def line_of(mailbox: Mailbox, price: Price, net: int) -> Charge:
    return Charge(
        kind=InvoiceLine.Kind.MAILBOX,
        mailbox_id=mailbox.pk,
        address=mailbox.address,
        price=price,
        period=OCTOBER,
        seconds=OCTOBER.seconds,
        used_byte_seconds=10**20,
        included_byte_seconds=0,
        net_minor=net,
    )


def facts(row: InvoiceLine) -> tuple[object, ...]:
    return (
        row.position,
        row.kind,
        row.mailbox_id,
        row.price_id,
        row.period,
        row.seconds,
        row.used_byte_seconds,
        row.included_byte_seconds,
        row.net_minor,
    )


# Days on which clocks go wrong ----------------------------------------------------------


@pytest.mark.parametrize("month", ["2024-02", "2025-02", "2026-12", "2027-01", "2028-02"])
@pytest.mark.parametrize("hours", [-12, 0, 5, 14])
def test_a_close_at_the_last_moment_is_early_and_at_the_next_one_is_not(month, hours, db):
    period = Period.parse(month)
    zone = timezone(timedelta(hours=hours))
    end = period.ends_at.astimezone(zone)

    with pytest.raises(invoicing.ClosedEarly):
        invoicing.close_month(actor=ACTOR, period=period, at=end - timedelta(microseconds=1))

    assert invoicing.close_month(actor=ACTOR, period=period, at=end).written == 0


@pytest.mark.parametrize(
    ("since", "seconds"),
    [
        (datetime(2024, 2, 29, tzinfo=UTC), 86_400),
        (datetime(2024, 2, 28, 23, 59, 59, tzinfo=UTC), 86_401),
        (datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), 1),
    ],
)
def test_the_leap_day_counts_like_any_other(since, seconds):
    cast = make_cast()
    for organisation in (cast.provider, cast.other_customer):
        make_profile(organisation)
    Price.objects.update(starts_on=date(2020, 1, 1), monthly_price=Decimal(29 * 864))
    february = Period(2024, 2)
    sold(cast.other_domain, str(uuid.uuid4()), "pop", since=since)

    VatRate.objects.update(starts_on=date(2020, 1, 1))
    invoicing.close_month(actor=ACTOR, period=february, at=february.ends_at)

    bill = Invoice.objects.get()
    assert bill.lines.get().seconds == seconds
    # A cent a second.
    assert bill.net_minor == seconds
