"""What a reseller buys and sells at, and another price of its own from a day on."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import Membership
from hosting import price_lists
from hosting.models import Price, PriceList
from tests.factories import make_member
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, make_list, sold
from tests.hosting.crowd import make_sibling
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")


def client_of(user):
    client = Client()
    signed_in(user, client)
    return client


@pytest.fixture
def rita(cast):
    return client_of(cast.rita)


@pytest.fixture
def admin(cast):
    """Of the reseller, with a role that shows no bills."""
    return client_of(make_member("rob@example.test", cast.reseller, Membership.Role.ADMIN))


def text_of(response):
    return response.content.decode()


def prices_of(reseller, name=""):
    return f"/customers/prices/{reseller.uuid}/{name}"


TERMS = {"plan": "imap", "starts_on": "2031-01-01", "monthly_price": "2.90", "gigabytes": "5"}


def test_prices_are_shown_with_what_is_left(cast, rita):
    make_list(cast.reseller, is_default=True, pop=("1.00", 0, "0"), imap=("1.50", 5, "0.12"))

    page = text_of(rita.get("/customers/prices/", follow=True))

    assert "1.67 EUR" in page
    assert "1.50 EUR" in page
    assert 'data-state="full">-0.17 EUR' in page
    assert "0.33 EUR" in page


def test_two_currencies_leave_no_margin(cast, rita):
    make_list(cast.reseller, currency="USD", is_default=True, imap=("3", 5, "0.12"))

    page = rita.get(prices_of(cast.reseller))

    assert all("left_text" not in row for row in page.context["rows"])


def test_a_list_of_ones_own_begins_as_a_copy(cast, rita):
    sold(cast.domain, "a")
    before = rita.get(f"/billing/{cast.customer.uuid}/").context["totals"]
    rita.post(prices_of(cast.reseller, "own"))
    again = rita.post(prices_of(cast.reseller, "own"), follow=True)

    own = PriceList.objects.get(seller=cast.reseller)
    house = PriceList.objects.get(seller=None, audience="retail", is_default=True)
    assert own.is_default
    assert own.prices.count() == house.prices.count()
    assert rita.get(f"/billing/{cast.customer.uuid}/").context["totals"] == before
    assert "a list of its own already" in text_of(again)


def test_without_a_list_of_the_house_nothing_is_copied(cast, rita):
    PriceList.objects.update(is_default=False)

    answer = rita.post(prices_of(cast.reseller, "own"), follow=True)

    assert "no list for customers yet" in text_of(answer)
    assert "Nothing has a price yet." in text_of(answer)


def test_a_price_is_looked_at_set_and_taken_back(cast, rita):
    sold(cast.domain, "a")
    price_lists.open_own(actor=ACTOR, seller=cast.reseller, at=CLOSED_AT)
    seen = rita.get(prices_of(cast.reseller, "set"), TERMS)
    assert not Price.objects.filter(starts_on__year=2031).exists()

    rita.post(prices_of(cast.reseller, "set"), TERMS)

    price = Price.objects.get(starts_on__year=2031)
    assert "1 mailboxes of 1 customers" in text_of(seen)
    assert price.price_list.seller == cast.reseller
    assert "2.90 EUR a month from 1 January 2031" in text_of(rita.get(prices_of(cast.reseller)))
    rita.post(prices_of(cast.reseller, f"withdraw/{price.pk}"))
    assert not Price.objects.filter(pk=price.pk).exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"starts_on": "2020-01-01"},
        {"starts_on": "someday"},
        {"monthly_price": "0"},
        {"monthly_price": "-1"},
        {"monthly_price": "NaN"},
        {"plan": "gold"},
        {"plan": "pop", "storage_price": "1"},
    ],
)
def test_a_price_that_cannot_be_is_refused(cast, rita, changed):
    price_lists.open_own(actor=ACTOR, seller=cast.reseller, at=CLOSED_AT)
    count = Price.objects.count()

    answer = rita.post(prices_of(cast.reseller, "set"), TERMS | changed)

    assert answer.status_code == 422
    assert Price.objects.count() == count


def test_a_price_that_holds_is_not_taken_back(cast, rita):
    own = price_lists.open_own(actor=ACTOR, seller=cast.reseller, at=CLOSED_AT)
    price = own.prices.first()

    answer = rita.post(prices_of(cast.reseller, f"withdraw/{price.pk}"), follow=True)

    assert "This price holds already" in text_of(answer)


def test_prices_of_the_house_are_out_of_reach(cast, rita):
    house = PriceList.objects.get(seller=None, audience="retail", is_default=True)

    path = prices_of(cast.reseller, f"withdraw/{house.prices.first().pk}")
    assert rita.post(path).status_code == 404
    assert rita.get(prices_of(cast.reseller, "set")).status_code == 404


def test_who_sees_no_bills_sees_no_prices(cast, admin):
    assert admin.get("/customers/prices/").status_code == 404
    assert admin.get(prices_of(cast.reseller)).status_code == 404


def test_whoever_sees_bills_only_sets_no_price(cast):
    price_lists.open_own(actor=ACTOR, seller=cast.reseller, at=CLOSED_AT)
    clerk = client_of(make_member("cora@example.test", cast.reseller, Membership.Role.BILLING))

    page = text_of(clerk.get(prices_of(cast.reseller)))

    assert "Another price" not in page
    assert clerk.get(prices_of(cast.reseller, "set")).status_code == 403
    assert clerk.post(prices_of(cast.reseller, "own")).status_code == 403


def test_staff_choose_whose_prices(cast):
    make_sibling(cast)

    assert "Sorrel" in text_of(client_of(cast.sam).get("/customers/prices/"))
