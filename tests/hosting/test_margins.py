"""What a reseller pays, what its customers pay, and what is left."""

from __future__ import annotations

from decimal import Decimal

import pytest

from accounts.models import Organisation
from hosting import billing, margins
from hosting.models import BillingProfile, Plan, Price, PriceList
from tests.factories import make_domain
from tests.hosting.billing_rows import (
    GIGABYTE,
    OCTOBER,
    counted_queries,
    make_list,
    moment,
    sold,
    used,
)

pytestmark = pytest.mark.django_db(databases="__all__")

NOW = moment(31, 23)


@pytest.fixture(autouse=True)
def _prices(cast):
    """Retail 2.50 and 0.12 above 5 GB; wholesale 1.75 and 0.08, as the house has it."""
    make_list(cast.reseller, is_default=True, pop=("1.00", 0, "0"), imap=("2.50", 5, "0.12"))
    wholesale = PriceList.objects.get(audience="wholesale", is_default=True)
    Price.objects.filter(price_list=wholesale, plan=Plan.objects.get(slug="imap")).update(
        monthly_price=Decimal("1.75"),
        included_bytes=5 * GIGABYTE,
        storage_price=Decimal("0.08"),
    )


def make_sibling(cast, name="Hazel"):
    kind = Organisation.Kind.CUSTOMER
    sibling = Organisation.objects.create(kind=kind, name=name, parent=cast.reseller)
    return sibling, make_domain(f"{name.lower()}.test", sibling)


def found_by_name(found):
    return {each.customer.name: each for each in found.customers}


def test_margin_is_retail_less_wholesale_per_customer(cast):
    sibling, domain = make_sibling(cast)
    used(sold(cast.domain, "a"), (moment(1), 30 * GIGABYTE), until=moment(31))
    sold(domain, "b")
    sold(cast.other_domain, "of-the-house")

    found = margins.margins(cast.reseller, at=moment(31))

    alder, hazel = (found_by_name(found)[name] for name in ("Alder", "Hazel"))
    # Thirty of 31 days, in which 25 GB were above the included ones.
    assert (alder.retail_minor, alder.wholesale_minor) == (242 + 290, 169 + 194)
    assert (hazel.retail_minor, hazel.wholesale_minor) == (242, 169)
    assert found.left_minor(alder) == 169
    assert found.wholesale_minor == 363 + 169
    assert found.retail_minor == {"EUR": 532 + 242}
    assert found.all_left_minor == 774 - 532
    assert [each.mailboxes for each in found.customers] == [1, 1]
    assert sibling in {each.customer for each in found.customers}


def test_shares_of_a_pool_add_up_to_the_wholesale_bill(cast):
    BillingProfile.objects.create(
        organisation=cast.reseller, legal_name="R", address="", country="AT", pools_storage=True
    )
    _sibling, domain = make_sibling(cast)
    used(sold(cast.domain, "a"), (moment(1), 30 * GIGABYTE), until=moment(31))
    used(sold(domain, "b"), (moment(1), 17 * GIGABYTE), until=moment(31))
    used(sold(domain, "c"), (moment(1), 1 * GIGABYTE), until=moment(31))

    found = margins.margins(cast.reseller, at=moment(31))

    lines = billing.charges(billing.buyer(cast.reseller), period=OCTOBER, until=moment(31))
    assert found.wholesale_minor == sum(line.net_minor for line in lines)
    assert sum(each.wholesale_minor for each in found.customers) == found.wholesale_minor
    alder, hazel = (found_by_name(found)[name] for name in ("Alder", "Hazel"))
    # 33 GB above for 30 of 31 days at 0.08 are 2.55, split as 25 to 12.
    assert (alder.wholesale_minor - 169, hazel.wholesale_minor - 2 * 169) == (172, 83)


def test_own_mailboxes_of_a_reseller_stand_apart(cast):
    domain = make_domain("rowan.test", cast.reseller)
    sold(domain, "info")

    found = margins.margins(cast.reseller, at=moment(31))

    assert found.own_minor == found.wholesale_minor == 169
    assert found.all_left_minor == -169
    assert [each.wholesale_minor for each in found.customers] == [0]


def test_currencies_are_not_subtracted_from_each_other(cast):
    sibling, domain = make_sibling(cast)
    dollars = make_list(cast.reseller, currency="USD", imap=("3", 5, "1"))
    BillingProfile.objects.create(
        organisation=sibling, legal_name="H", address="", country="US", price_list=dollars
    )
    sold(cast.domain, "a")
    sold(domain, "b")

    found = margins.margins(cast.reseller, at=moment(31))

    hazel = found_by_name(found)["Hazel"]
    assert found.left_minor(hazel) is None
    assert found.all_left_minor is None
    assert set(found.retail_minor) == {"EUR", "USD"}


def test_reseller_without_customers_has_an_empty_page(cast):
    kind = Organisation.Kind.RESELLER
    lonely = Organisation.objects.create(kind=kind, name="Lonely", parent=cast.provider)

    found = margins.margins(lonely, at=NOW)

    assert (found.customers, found.wholesale_minor, found.all_left_minor) == ([], 0, 0)


@pytest.mark.parametrize("count", [1, 3])
def test_margins_ask_a_fixed_number_of_queries(cast, count):
    for number in range(count):
        _sibling, domain = make_sibling(cast, f"Hazel{number}")
        for name in ("a", "b"):
            sold(domain, name)

    with counted_queries() as count_queries:
        margins.margins(cast.reseller, at=NOW)

    assert count_queries() == 17
