"""Forecasts and savings: what the bill says with less, taken from what it says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosting import billing, charting, forecasting, invoicing, pricing
from hosting.charges import Charge, Kind, charge
from hosting.forecasting import Forecast, Kept, Line, Measured, Standing
from hosting.metering import DAY_SECONDS
from hosting.models import BillingProfile, Contract, Invoice, Plan, Price, PriceList
from hosting.periods import Period
from mailstore.models import Mailbox, Usage
from tests.hosting.billing_rows import (
    ACTOR,
    GIGABYTE,
    OCTOBER,
    make_list,
    make_profile,
    moment,
    sold,
    switch,
    used,
)

pytestmark = pytest.mark.django_db(databases="__all__")

# Ten of the 31 days have gone by.
NOW = moment(11)


@pytest.fixture
def buyer(cast):
    make_list(cast.reseller, is_default=True, pop=("1.00", 0, "0"), imap=("2.50", 5, "0.12"))
    return billing.buyer(cast.customer)


def keeps(mailbox, gigabytes, *steps, at=NOW):
    """So many GB since the month began, or from each of the steps on."""
    used(mailbox, (moment(1), gigabytes * GIGABYTE), *steps, until=at)
    Usage.objects.filter(username=mailbox.address).update(
        bytes=(steps[-1][1] if steps else gigabytes * GIGABYTE)
    )
    Usage.objects.filter(username=mailbox.address).update(
        since=int(at.timestamp()), day_byte_seconds=0
    )


def test_forecast_is_the_bill_if_nothing_changes(cast, buyer):
    mailbox = sold(cast.domain, "a")
    keeps(mailbox, 36)

    found = forecasting.forecast(buyer, at=NOW)

    assert found.so_far_minor == 81 + 120
    assert found.whole_minor == 250 + 372
    assert [line.either.kind for line in found.lines] == [Kind.MAILBOX, Kind.STORAGE]


def test_line_stays_that_is_there_so_far_only(cast, buyer):
    """Much was kept at first; by the end of the month what is included covers it."""
    mailbox = sold(cast.domain, "a")
    keeps(mailbox, 12, (moment(10), 0))

    found = forecasting.forecast(buyer, at=NOW)

    (storage,) = (line for line in found.lines if line.either.kind == Kind.STORAGE)
    assert (storage.so_far_minor, storage.whole_minor) == (22, 0)
    assert storage.whole is None


def test_what_earlier_months_put_right_is_on_the_next_bill(cast, buyer):
    """Its end in September was written down in October, after September was billed."""
    for organisation in (cast.reseller, cast.customer):
        make_profile(organisation)
    mailbox = sold(cast.domain, "a")
    sold(cast.domain, "b")
    september = OCTOBER.previous
    invoicing.close_month(actor=ACTOR, period=september, at=moment(1, 2))
    Contract.objects.filter(mailbox=mailbox).update(ends_at=moment(16, month=9), ended_at=moment(2))

    found = forecasting.forecast(buyer, at=NOW)

    assert [line.net_minor for line in found.corrections] == [-125]
    assert found.whole_minor == found.whole_minor_with({}) == 250 - 125
    assert found.so_far_minor == 81 - 125
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=OCTOBER.ends_at)
    bill = Invoice.objects.get(customer=cast.customer, period=OCTOBER.first_day)
    assert bill.net_minor == found.whole_minor


def test_saving_of_the_month_is_for_the_rest_of_it(cast, buyer):
    mailbox = sold(cast.domain, "a")
    keeps(mailbox, 36)
    found = forecasting.forecast(buyer, at=NOW)
    (standing,) = forecasting.standings([buyer], at=NOW)
    less = {mailbox.pk: 31 * GIGABYTE}

    saved = found.whole_minor - found.whole_minor_with(less)

    # 31 GB for 21 of 31 days are 21 GB-months, at 0.12.
    assert saved == 252
    assert standing.saving_minor(less) == 372
    assert forecasting.monthly_savings(less, at=NOW) == {"EUR": 372}


def test_nothing_is_saved_within_what_is_included(cast, buyer):
    mailbox = sold(cast.domain, "a")
    keeps(mailbox, 5)
    found = forecasting.forecast(buyer, at=NOW)
    less = {mailbox.pk: 5 * GIGABYTE}

    assert found.whole_minor_with(less) == found.whole_minor
    assert forecasting.monthly_savings(less, at=NOW) == {"EUR": 0}


def test_nothing_is_saved_in_a_pool_that_has_room(cast, buyer):
    BillingProfile.objects.create(
        organisation=cast.customer, legal_name="A", address="", country="AT", pools_storage=True
    )
    buyer = billing.buyer(cast.customer)
    mailbox = sold(cast.domain, "a")
    keeps(mailbox, 9)
    other = sold(cast.domain, "b")
    keeps(other, 1)
    found = forecasting.forecast(buyer, at=NOW, only=mailbox.pk)
    (standing,) = forecasting.standings([buyer], at=NOW)

    assert standing.saving_minor({mailbox.pk: 9 * GIGABYTE}) == 0
    keeps_more = {other.pk: -6 * GIGABYTE}
    assert standing.saving_minor(keeps_more) == -72
    assert found.whole_minor == found.whole_minor_with({mailbox.pk: 9 * GIGABYTE}) == 500


def test_pool_is_seen_whole_even_from_one_mailbox(cast, buyer):
    BillingProfile.objects.create(
        organisation=cast.customer, legal_name="A", address="", country="AT", pools_storage=True
    )
    boxes = [sold(cast.domain, name) for name in ("a", "b")]
    for mailbox in boxes:
        keeps(mailbox, 15)

    found = forecasting.forecast(billing.buyer(cast.customer), at=NOW, only=boxes[0].pk)

    assert found.whole_minor == 500 + 240
    assert found.lines[-1].either.mailbox_id is None
    assert len(found.of_mailbox(boxes[0].pk)) == 1


def test_saving_counts_each_owner_at_its_own_prices(cast, buyer):
    """Juniper buys from the house in another currency."""
    make_list(currency="USD", imap=("3", 0, "1"))
    BillingProfile.objects.create(
        organisation=cast.other_customer,
        legal_name="J",
        address="",
        country="US",
        price_list=PriceList.objects.get(currency="USD"),
    )
    mine, theirs = sold(cast.domain, "a"), sold(cast.other_domain, "b")
    for mailbox in (mine, theirs):
        keeps(mailbox, 10)

    found = forecasting.monthly_savings(
        {mine.pk: GIGABYTE, theirs.pk: 2 * GIGABYTE, 0: GIGABYTE}, at=NOW
    )

    assert found == {"EUR": 12, "USD": 200}


def test_tax_is_unknown_until_the_seller_says_where_it_is(cast, buyer):
    assert forecasting.tax_of(buyer, period=OCTOBER) is None

    make_profile(cast.reseller)
    tax = forecasting.tax_of(buyer, period=OCTOBER)
    assert tax is not None
    assert tax.percent == 20

    BillingProfile.objects.update(country="ZZ")
    assert forecasting.tax_of(buyer, period=OCTOBER) is None


def test_alternatives_price_its_own_use(cast, buyer):
    mailbox = sold(cast.domain, "a")
    keeps(mailbox, 9)
    found = forecasting.forecast(buyer, at=NOW)

    as_pop, as_imap = forecasting.alternatives(mailbox, found, at=NOW)

    assert (as_pop.this_month_minor, as_imap.this_month_minor) == (100, 298)
    assert (as_pop.is_now, as_imap.is_now) == (False, True)
    assert as_pop.too_much_bytes == 8 * GIGABYTE
    assert as_imap.too_much_bytes == 0
    # It was sold in September already, and nothing is known of its size then.
    assert (as_pop.last_month_minor, as_imap.last_month_minor) == (100, 250)


def test_alternatives_of_a_young_mailbox_know_no_last_month(cast, buyer):
    mailbox = sold(cast.domain, "a", since=moment(6))
    found = forecasting.forecast(buyer, at=NOW)

    as_pop, _as_imap = forecasting.alternatives(mailbox, found, at=NOW)

    assert as_pop.last_month_minor is None
    assert as_pop.this_month_minor == 84


def test_alternatives_price_a_mailbox_as_it_is_even_if_that_is_not_sold_any_more(cast, buyer):
    mailbox = sold(cast.domain, "a")
    keeps(mailbox, 9)
    Plan.objects.filter(slug="imap").update(is_on_sale=False)
    found = forecasting.forecast(buyer, at=NOW)

    shown = forecasting.alternatives(mailbox, found, at=NOW)

    assert [(each.price.plan.slug, each.is_now) for each in shown] == [
        ("pop", False),
        ("imap", True),
    ]
    assert shown[1].this_month_minor == found.whole_minor


def test_alternatives_know_the_plan_that_a_mailbox_went_over_to(cast, buyer):
    """Its lines of the plan before stand on the same bill, and so does a price still to come."""
    mailbox = sold(cast.domain, "a")
    switch(mailbox, "pop", moment(5))
    Mailbox.objects.filter(pk=mailbox.pk).update(protocol="pop")
    mailbox.refresh_from_db()
    pricing.succeed(
        actor=ACTOR,
        price_list=buyer.price_list,
        plan=Plan.objects.get(slug="pop"),
        starts_on=date(2026, 10, 20),
        monthly_price=Decimal("9.00"),
        at=NOW,
    )
    found = forecasting.forecast(buyer, at=NOW)

    shown = forecasting.alternatives(mailbox, found, at=NOW)

    assert [(each.price.plan.slug, each.is_now, each.this_month_minor) for each in shown] == [
        ("pop", True, 100),
        ("imap", False, 250),
    ]


def test_alternatives_of_a_mailbox_that_is_not_charged_are_what_is_on_sale(cast, buyer):
    mailbox = sold(cast.domain, "a", until=moment(1, month=9))
    found = forecasting.forecast(buyer, at=NOW)

    shown = forecasting.alternatives(mailbox, found, at=NOW)

    assert [each.this_month_minor for each in shown] == [0, 0]


def test_price_that_follows_today_holds_for_what_is_saved(cast, buyer):
    mailbox = sold(cast.domain, "a")
    keeps(mailbox, 10)
    pricing.succeed(
        actor=ACTOR,
        price_list=buyer.price_list,
        plan=Plan.objects.get(slug="imap"),
        starts_on=date(2026, 10, 11),
        monthly_price=Decimal(3),
        included_bytes=0,
        storage_price=Decimal(1),
        at=moment(2),
    )

    assert forecasting.monthly_savings({mailbox.pk: GIGABYTE}, at=NOW) == {"EUR": 100}
    assert forecasting.monthly_savings({mailbox.pk: GIGABYTE}, at=NOW - timedelta(seconds=1)) == {
        "EUR": 12
    }
    found = forecasting.forecast(buyer, at=NOW)
    assert found.whole_minor - found.whole_minor_with({mailbox.pk: GIGABYTE}) == 67


def test_standing_leaves_out_what_has_no_price(cast, buyer):
    mailbox = sold(cast.domain, "a")
    Price.objects.filter(price_list=buyer.price_list).delete()

    (standing,) = forecasting.standings([buyer], at=NOW, only=mailbox.pk)

    assert standing.kept == {}


SECONDS = OCTOBER.seconds
PRICE = Price(
    pk=1,
    plan=Plan(pk=1, slug="imap", protocol="imap"),
    price_list=PriceList(currency="EUR"),
    starts_on=date(2026, 1, 1),
    monthly_price=Decimal("2.50"),
    included_bytes=5 * GIGABYTE,
    storage_price=Decimal("0.12"),
)
SIZES = st.integers(0, 10**13)


class Terms:
    """As much of a buyer as sums need."""

    def __init__(self, *, pools):
        self.pools_storage = pools


@given(
    sizes=st.lists(SIZES, min_size=1, max_size=6),
    shares=st.lists(st.integers(0, 100), min_size=6, max_size=6),
    pools=st.booleans(),
)
def test_saving_is_never_negative_and_grows_with_what_goes(sizes, shares, pools):
    standing = Standing(
        buyer=Terms(pools=pools),
        period=OCTOBER,
        kept={number: Kept(size, PRICE) for number, size in enumerate(sizes)},
    )
    less = {number: size * shares[number] // 100 for number, size in enumerate(sizes)}
    everything = dict(enumerate(sizes))

    saved = standing.saving_minor(less)

    assert 0 <= saved <= standing.saving_minor(everything)
    assert standing.month_minor(everything) == 250 * len(sizes)


@given(
    size=SIZES,
    gone=st.integers(0, SECONDS),
    percent=st.integers(0, 100),
    pools=st.booleans(),
)
def test_bill_with_less_is_the_bill_of_what_is_then_kept(size, gone, percent, pools):
    less = size * percent // 100

    def lines(byte_seconds, seconds):
        return charge(
            [
                Measured(
                    mailbox_id=7,
                    address="a",
                    price=PRICE,
                    seconds=seconds,
                    used_byte_seconds=byte_seconds,
                )
            ],
            period=OCTOBER,
            pools=pools,
        )

    so_far = {line.key: line for line in lines(size * gone, gone)}
    whole = {line.key: line for line in lines(size * SECONDS, SECONDS)}
    found = Forecast(
        buyer=Terms(pools=pools),
        period=OCTOBER,
        lines=[Line(so_far.get(key), whole.get(key)) for key in {**whole, **so_far}],
    )

    then = lines(size * gone + (size - less) * (SECONDS - gone), SECONDS)

    assert found.whole_minor_with({7: less}) == sum(line.net_minor for line in then)
    assert found.whole_minor == sum(line.net_minor for line in whole.values())
    assert all(isinstance(line.either, Charge) for line in found.lines)


TODAY = 20_000


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([10, 11, 12, 13, 14], 86),
        # It stands still, shrinks, or is known too shortly.
        ([10, 10, 10, 10], None),
        ([14, 13, 12, 11], None),
        ([10, 20], None),
        ([], None),
    ],
)
def test_days_until_full_go_by_the_pace_of_two_weeks(sizes, expected):
    first = TODAY - len(sizes)
    days = {first + number: size * DAY_SECONDS for number, size in enumerate(sizes)}
    # Before the two weeks, and today, which is not over.
    days |= {TODAY - 15: 10**12, TODAY: 10**12}

    found = forecasting.days_until_full(
        days, today=TODAY, used_bytes=sizes[-1] if sizes else 0, quota_bytes=100
    )

    assert found == expected


def test_full_mailbox_has_no_days_left_to_tell():
    days = {TODAY - number: (10 - number) * DAY_SECONDS for number in range(1, 5)}

    found = forecasting.days_until_full(days, today=TODAY, used_bytes=100, quota_bytes=100)

    assert found is None


@given(sizes=st.lists(SIZES, min_size=1, max_size=60))
def test_chart_stays_in_its_frame(sizes):
    days = {TODAY + number: size * DAY_SECONDS for number, size in enumerate(sizes)}

    chart = charting.use_chart(
        days, first=TODAY, last=TODAY + len(sizes) - 1, day_seconds=DAY_SECONDS
    )

    corners = [tuple(map(int, corner.split(","))) for corner in chart.points.split()]
    assert all(0 <= x <= charting.WIDTH and 0 <= y <= charting.HEIGHT for x, y in corners)
    assert (corners[0][0], corners[-1][0]) == (0, charting.WIDTH)
    assert list(chart.sizes.values()) == sizes
    steps = [rule.bytes for rule in chart.rules]
    assert steps[0] == 0
    assert steps[-1] >= max(sizes)
    assert 2 <= len(steps) <= 5
    assert chart.rules[0].y == charting.HEIGHT
    assert chart.rules[-1].y == 0
    assert chart.last - chart.first == timedelta(days=len(sizes) - 1)


def test_period_of_the_forecast_is_the_month_of_the_clock(cast, buyer):
    late = datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)

    assert forecasting.forecast(buyer, at=late).period == OCTOBER
    assert forecasting.forecast(buyer, at=late + timedelta(seconds=1)).period == Period(2026, 11)
