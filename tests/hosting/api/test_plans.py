"""Plans and their prices through the API."""

from __future__ import annotations

import pytest

from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db


def test_plans_come_with_the_price_of_whoever_asks(rita, alice):
    wholesale = rita.get("/plans").json()["items"]
    retail = alice.get("/plans").json()["items"]

    assert [plan["id"] for plan in wholesale] == [plan["id"] for plan in retail] == ["pop", "imap"]
    assert {plan["price"]["currency"] for plan in wholesale} == {"EUR"}
    assert wholesale[1]["price"]["monthly_price"] < retail[1]["price"]["monthly_price"]
    assert alice.get("/plans/imap").json() == retail[1]


def test_a_key_for_customers_alone_is_not_told_what_their_seller_pays(cast):
    narrow = Caller(make_key(cast.reseller, only_for=(cast.customer,)).secret)

    plans = narrow.get("/plans").json()["items"]

    assert [(plan["id"], plan["price"]) for plan in plans] == [("pop", None), ("imap", None)]
    assert narrow.get("/plans/imap").json()["price"] is None


def test_a_plan_that_is_not_on_sale_is_not_there(alice):
    assert alice.get("/plans/gold").status_code == 404


def test_plans_need_the_scope_of_those_who_order(cast):
    assert Caller(make_key(cast.customer, "usage:read").secret).get("/plans").status_code == 403
