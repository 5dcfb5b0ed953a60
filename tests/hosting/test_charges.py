"""From use to money, for anything that can be measured: exact, whole and in no order."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hosting import charges, money
from hosting.charges import Measured
from hosting.models import Plan, Price, PriceList
from hosting.models.plans import GIGABYTE
from hosting.periods import Period
from hosting.vat import Tax

PERIOD = Period(2028, 2)
MONTH = PERIOD.seconds
TEN_TERABYTES = 10**13
COUNTED = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CENTS = st.decimals("0.000001", "999999", places=6)
PRICES = st.builds(
    lambda currency, monthly, storage, included: Price(
        pk=1,
        plan=Plan(pk=1, protocol="imap"),
        price_list=PriceList(pk=1, currency=currency),
        starts_on=date(2028, 1, 1),
        monthly_price=monthly,
        storage_price=storage,
        included_bytes=included,
    ),
    st.sampled_from(sorted(money.EXPONENTS)),
    CENTS,
    st.one_of(st.just(Decimal(0)), CENTS),
    st.integers(0, 10**12),
)
PIECES = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, MONTH), st.integers(0, TEN_TERABYTES)),
    min_size=1,
    max_size=20,
)


def measured(price, pieces):
    """Each piece is a mailbox's time at a price; a size held throughout it."""
    return [
        Measured(
            mailbox_id=mailbox,
            address=f"m{mailbox}@x.test",
            price=price,
            seconds=seconds,
            used_byte_seconds=seconds * size,
        )
        for mailbox, seconds, size in pieces
    ]


def cut(pieces, chance):
    """The same time in smaller pieces."""
    for mailbox, seconds, size in pieces:
        rest = seconds
        while rest:
            part = chance.randint(1, rest)
            yield mailbox, part, size
            rest -= part


@COUNTED
@given(price=PRICES, pieces=PIECES, pools=st.booleans(), seed=st.integers(0, 2**32))
def test_any_partition_in_any_order_comes_to_the_same_lines(counts, price, pieces, pools, seed):
    chance = random.Random(seed)
    parts = list(cut(pieces, chance))[:2_000]
    rest = sum(seconds for _m, seconds, _s in pieces) - sum(seconds for _m, seconds, _s in parts)
    if rest:
        parts = list(pieces)
    chance.shuffle(parts)
    counts(examples=1, parts=len(parts))

    whole = charges.charge(measured(price, pieces), period=PERIOD, pools=pools)
    apart = charges.charge(measured(price, parts), period=PERIOD, pools=pools)

    assert apart == whole


@COUNTED
@given(price=PRICES, pieces=PIECES, pools=st.booleans())
def test_each_line_is_its_exact_amount_rounded_once_and_never_negative(
    counts, price, pieces, pools
):
    counts(examples=1)
    for line in charges.charge(measured(price, pieces), period=PERIOD, pools=pools):
        if line.kind == "mailbox":
            exact = Fraction(price.monthly_price) * line.seconds / MONTH
        else:
            above = line.used_byte_seconds - line.included_byte_seconds
            exact = Fraction(price.storage_price) * above / (GIGABYTE * MONTH)
        unit = Fraction(1, 10 ** money.EXPONENTS[price.currency])
        assert line.net_minor >= 0
        assert abs(line.net_minor * unit - exact) <= unit / 2


@COUNTED
@given(price=PRICES, pieces=PIECES)
def test_sharing_what_is_included_never_costs_more_than_a_cent_a_mailbox(counts, price, pieces):
    counts(examples=1)
    rows = measured(price, pieces)

    alone = charges.charge(rows, period=PERIOD, pools=False)
    shared = charges.charge(rows, period=PERIOD, pools=True)

    total = sum(line.net_minor for line in shared)
    assert total <= sum(line.net_minor for line in alone) + len(pieces) + 1


@COUNTED
@given(prices=st.lists(PRICES, min_size=1, max_size=4), pieces=PIECES, pools=st.booleans())
def test_what_is_shared_is_used_up_before_anything_is_charged(counts, prices, pieces, pools):
    """Whatever the prices: what is charged at all of them is what is above in all, and no more."""
    counts(examples=1)
    for number, price in enumerate(prices):
        price.pk, price.price_list = number, prices[0].price_list
    rows = [
        replace(each, price=prices[number % len(prices)])
        for number, each in enumerate(measured(prices[0], pieces))
    ]

    lines = charges.charge(rows, period=PERIOD, pools=pools)

    groups, charged, own = Counter(), Counter(), Counter()
    for line in lines:
        group = 0 if pools else line.mailbox_id
        above = line.used_byte_seconds - line.included_byte_seconds
        if line.kind == "storage":
            charged[group] += above
            assert 0 < above <= own[line.mailbox_id, line.price.pk]
        elif line.price.storage_price:
            groups[group] += above
            own[None if pools else line.mailbox_id, line.price.pk] += above
    assert charged == Counter({group: above for group, above in groups.items() if above > 0})


def test_shared_space_spans_plans_and_prices():
    """Two plans with 5 and 50 GB included, of which 15 are used: nothing is above."""
    lists = PriceList(pk=1, currency="EUR")
    rows = [
        Measured(
            mailbox_id=number,
            address=f"m{number}@x.test",
            price=Price(
                pk=number,
                plan=Plan(pk=number, slug=f"p{number}", protocol="imap"),
                price_list=lists,
                starts_on=date(2028, 1, 1),
                monthly_price=Decimal(1),
                storage_price=Decimal("0.12"),
                included_bytes=included * GIGABYTE,
            ),
            seconds=MONTH,
            used_byte_seconds=15 * (number == 1) * GIGABYTE * MONTH,
        )
        for number, included in ((1, 5), (2, 50))
    ]

    shared = charges.charge(rows, period=PERIOD, pools=True)
    alone = charges.charge(rows, period=PERIOD, pools=False)

    assert [(line.kind, line.net_minor) for line in shared] == [("mailbox", 100)] * 2
    assert sum(line.net_minor for line in alone) == 200 + 120


@pytest.mark.parametrize("pools", [False, True])
def test_price_that_begins_within_the_month_takes_nothing_from_what_is_included(pools):
    """6 GB in the first half and 3 in the second are 4.5 on average, of 5 that are included."""
    lists, plan = PriceList(pk=1, currency="EUR"), Plan(pk=1, slug="imap", protocol="imap")
    rows = [
        Measured(
            mailbox_id=1,
            address="m1@x.test",
            price=Price(
                pk=day,
                plan=plan,
                price_list=lists,
                starts_on=date(2028, 2, day),
                monthly_price=Decimal(2),
                storage_price=Decimal("0.12"),
                included_bytes=5 * GIGABYTE,
            ),
            seconds=MONTH // 2,
            used_byte_seconds=size * GIGABYTE * MONTH // 2,
        )
        for day, size in ((1, 6), (15, 3))
    ]

    assert [line.kind for line in charges.charge(rows, period=PERIOD, pools=pools)] == [
        "mailbox",
        "mailbox",
    ]


@COUNTED
@given(amount=st.integers(0, 10**15), weights=st.lists(st.integers(0, 10**18), min_size=1))
def test_parts_add_up_to_the_whole_by_largest_remainder(counts, amount, weights):
    total = sum(weights)
    if not total:
        return
    counts(examples=1)

    parts = money.split(amount, weights)

    assert sum(parts) == amount
    remainders = {}
    for part, weight in zip(parts, weights, strict=True):
        exact = Fraction(amount * weight, total)
        assert exact.__floor__() <= part <= exact.__ceil__()
        remainders.setdefault(part > exact.__floor__(), []).append(exact - exact.__floor__())
    # Nobody who was rounded up had a smaller remainder than somebody who was not.
    assert min(remainders.get(True, [1])) >= max(remainders.get(False, [0]))


@COUNTED
@given(
    net=st.integers(-(10**15), 10**15),
    percent=st.decimals(0, 100, places=2),
)
def test_tax_is_rounded_once_and_mirrors(counts, net, percent):
    counts(examples=1)
    tax = Tax(percent=percent)

    assert tax.on(-net) == -tax.on(net)
    assert abs(tax.on(net) - Fraction(percent) * net / 100) <= Fraction(1, 2)
