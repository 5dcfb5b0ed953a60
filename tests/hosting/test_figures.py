"""What lists of customers are sorted by: counted by a worker, as a bill would say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import Organisation
from hosting import billing, figures, margins
from hosting.models import CustomerFigures, Limits, PriceList, SellerFigures
from hosting.periods import Period
from hosting.tasks import count_customers
from mailstore.models import LastLogin, Mailbox, Usage
from tests.factories import make_domain
from tests.hosting.billing_rows import (
    GIGABYTE,
    counted_queries,
    make_list,
    moment,
    sold,
    used,
)
from tests.hosting.simulated import keeps, make_test_customer, make_test_mailbox

pytestmark = pytest.mark.django_db(databases="__all__")

NOW = moment(31, 12)


@pytest.fixture(autouse=True)
def _prices(cast):
    make_list(cast.reseller, is_default=True, pop=("1.00", 0, "0"), imap=("2.50", 5, "0.12"))


def row_of(seller):
    return SellerFigures.objects.get_or_create(seller=seller)[0]


def refreshed(cast, at=NOW):
    assert figures.refresh(row_of(cast.reseller), at=at)
    return CustomerFigures.objects.get(organisation=cast.customer)


def test_use_and_sign_ins_are_those_of_the_mailboxes(cast):
    mailbox = sold(cast.domain, "a")
    sold(cast.domain, "b", "pop")
    sold(cast.other_domain, "of-the-house")
    Usage.objects.create(username=mailbox.address, bytes=3 * GIGABYTE)
    for device, at in (("x", 5), ("y", 9)):
        LastLogin.objects.create(
            username=mailbox.address, proto="imap", device=device, address="::1", last_login=at
        )

    found = refreshed(cast)

    assert (found.mailboxes, found.domains) == (2, 1)
    assert (found.stored_bytes, found.last_login) == (3 * GIGABYTE, 9)


def test_mailboxes_that_end_take_no_place(cast):
    for name, state in (("a", "closing"), ("b", "closed"), ("c", "active")):
        Mailbox.objects.filter(pk=sold(cast.domain, name).pk).update(state=state)

    assert refreshed(cast).mailboxes == 1


def test_money_is_what_the_margin_says(cast):
    used(sold(cast.domain, "a"), (moment(1), 30 * GIGABYTE), until=moment(31))

    found = refreshed(cast)

    margin = margins.margins(cast.reseller, at=NOW)
    (each,) = margin.customers
    assert found.retail_minor == each.retail_minor > 0
    assert found.wholesale_minor == each.wholesale_minor > 0
    assert found.left_minor == margin.left_minor(each)
    assert (found.currency, found.wholesale_currency) == ("EUR", "EUR")
    totals = row_of(cast.reseller)
    assert totals.retail_minor == {"EUR": found.retail_minor}
    assert totals.left_minor == margin.all_left_minor
    assert totals.counted_at == NOW


def test_two_currencies_leave_no_margin(cast):
    PriceList.objects.filter(seller=cast.reseller).update(currency="USD")
    sold(cast.domain, "a")

    found = refreshed(cast)

    assert (found.currency, found.wholesale_currency) == ("USD", "EUR")
    assert found.left_minor is None
    assert row_of(cast.reseller).left_minor is None


def test_without_prices_use_is_counted_all_the_same(cast):
    sold(cast.domain, "a")
    PriceList.objects.update(is_default=False)

    found = refreshed(cast)

    assert found.mailboxes == 1
    assert (found.retail_minor, found.wholesale_minor, found.currency) == (0, None, "")


def test_the_house_has_customers_of_its_own(cast):
    sold(cast.other_domain, "a")

    assert figures.refresh(row_of(cast.provider), at=NOW)

    found = CustomerFigures.objects.get(organisation=cast.other_customer)
    buyer = billing.buyer(cast.other_customer)
    lines = billing.charges(buyer, period=Period.of(NOW), until=NOW)
    assert found.retail_minor == sum(line.net_minor for line in lines) > 0
    assert found.wholesale_minor is None


@pytest.mark.parametrize(
    ("limit", "is_at_limit"),
    [
        ({}, False),
        ({"mailboxes": 1}, True),
        ({"mailboxes": 2}, False),
        ({"mailboxes": 0}, True),
        ({"domains": 1}, True),
        ({"domains": 2}, False),
        ({"stored_bytes": GIGABYTE}, True),
        ({"stored_bytes": GIGABYTE + 1}, False),
        ({"spend_cap_minor": 1}, True),
        ({"own_cap_minor": 10**6}, False),
    ],
)
def test_whoever_reached_a_limit_is_marked(cast, limit, is_at_limit):
    Usage.objects.create(username=sold(cast.domain, "a").address, bytes=GIGABYTE)
    Limits.objects.create(organisation=cast.customer, **limit)

    assert refreshed(cast).is_at_limit == is_at_limit


def test_counting_again_replaces_what_was_counted(cast):
    mailbox = sold(cast.domain, "a")
    refreshed(cast)
    Mailbox.objects.filter(pk=mailbox.pk).update(state="closed")

    found = refreshed(cast, NOW + timedelta(minutes=1))

    assert found.mailboxes == 0
    assert CustomerFigures.objects.count() == 1


def test_one_worker_counts_at_a_time(cast):
    row = row_of(cast.reseller)
    SellerFigures.objects.filter(pk=row.pk).update(leased_until=NOW + timedelta(minutes=1))

    assert not figures.refresh(row, at=NOW)
    assert figures.refresh(row, at=NOW + timedelta(minutes=2))


def test_old_figures_are_counted_anew_oldest_first(cast):
    assert figures.refresh_due(at=NOW) == 2
    assert figures.refresh_due(at=NOW + timedelta(minutes=1)) == 0
    assert figures.refresh_due(at=NOW + figures.EVERY) == 2
    # The clock was set back since.
    assert figures.refresh_due(at=NOW - timedelta(days=1)) == 2
    assert figures.refresh_due(at=NOW - timedelta(days=2), limit=1) == 1


def test_a_killed_worker_holds_nobody_up_for_ever(cast):
    figures.refresh_due(at=NOW)
    SellerFigures.objects.update(leased_until=NOW + timedelta(minutes=15), counted_at=None)

    assert figures.refresh_due(at=NOW + timedelta(minutes=14)) == 0
    assert figures.refresh_due(at=NOW + timedelta(minutes=16)) == 2


def test_the_task_counts_every_seller(cast):
    assert count_customers() == 2


@pytest.mark.parametrize("count", [1, 3])
def test_counting_takes_a_fixed_number_of_queries(cast, count):
    for number in range(count):
        customer = Organisation.objects.create(
            kind="customer", name=f"C{number}", parent=cast.reseller
        )
        sold(make_domain(f"c{number}.test", customer), "a")
    row = row_of(cast.reseller)

    with counted_queries() as counted:
        figures.refresh(row, at=NOW)

    assert counted() == 28


def test_test_organisations_have_figures_but_no_part_in_totals(cast):
    trial = make_test_customer(cast.reseller)
    keeps(make_test_mailbox(trial), 8 * GIGABYTE)
    sold(cast.domain, "live", "pop")

    refreshed(cast)

    row = row_of(cast.reseller)
    found = CustomerFigures.objects.get(organisation=trial)
    assert (found.mailboxes, found.stored_bytes, found.retail_minor) == (1, 8 * GIGABYTE, 0)
    assert (row.customers, row.mailboxes, row.stored_bytes) == (1, 1, 0)
