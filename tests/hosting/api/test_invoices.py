"""Bills through the API."""

from __future__ import annotations

import pytest

from hosting import invoicing, public_ids
from hosting.models import Invoice
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, OCTOBER, make_profile, sold

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


@pytest.fixture
def bills(cast):
    """Rita's wholesale bill, and the one that she issued to Alice."""
    for organisation in (cast.provider, cast.reseller):
        make_profile(organisation)
    sold(cast.domain, "billed", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    return {each.customer: each for each in Invoice.objects.all()}


def path_of(invoice):
    return f"/invoices/{public_ids.encode('inv', invoice.uuid)}"


def test_a_reseller_sees_what_it_got_and_what_it_issued(cast, bills, rita):
    found = rita.get("/invoices?sort=number").json()["items"]

    assert {each["number"] for each in found} == {each.number for each in bills.values()}
    assert {each["is_issued_by_reseller"] for each in found} == {True, False}


def test_a_customer_never_sees_what_its_reseller_pays(cast, bills, alice):
    assert [each["number"] for each in alice.get("/invoices").json()["items"]] == [
        bills[cast.customer].number
    ]
    assert alice.get(path_of(bills[cast.reseller])).status_code == 404


def test_lines_add_up_to_the_bill(cast, bills, rita):
    shown = rita.get(path_of(bills[cast.customer])).json()
    lines = rita.get(f"{path_of(bills[cast.customer])}/lines").json()["items"]

    assert sum(line["net_minor"] for line in lines) == shown["net_minor"] > 0
    assert shown["total_minor"] == shown["net_minor"] + shown["vat_minor"]
    assert shown["month"] == lines[0]["month"] == "2026-10"
    assert shown["open_minor"] == shown["total_minor"]
    assert lines[0]["address"] == "billed@alder.test"


def test_a_credit_note_names_the_bill_that_it_takes_back(cast, bills, staff, rita):
    invoice = bills[cast.customer]
    note = invoicing.credit(actor=cast.actor(cast.sam), invoice=invoice, reason="x", at=CLOSED_AT)

    (shown,) = rita.get("/credit-notes").json()["items"]

    assert shown["corrects_id"] == public_ids.encode("inv", invoice.uuid)
    assert shown["total_minor"] == -invoice.total_minor
    one = rita.get(f"/credit-notes/{public_ids.encode('crn', note.uuid)}")
    assert one.json() == shown


def test_a_bill_that_was_taken_back_is_voided_and_was_never_paid(cast, bills, staff, rita):
    invoice = bills[cast.customer]
    invoicing.credit(actor=cast.actor(cast.sam), invoice=invoice, reason="x", at=CLOSED_AT)

    found = {
        state: [each["number"] for each in rita.get(f"/invoices?state={state}").json()["items"]]
        for state in ("open", "paid", "voided")
    }

    assert rita.get(path_of(invoice)).json()["state"] == "voided"
    assert found == {"open": [bills[cast.reseller].number], "paid": [], "voided": [invoice.number]}


@pytest.mark.parametrize(
    ("query", "count"),
    [("?month=2026-10", 2), ("?month=2026-09", 0), ("?state=open", 2), ("?state=paid", 0)],
)
def test_bills_are_filtered(query, count, bills, rita):
    assert len(rita.get(f"/invoices{query}").json()["items"]) == count


@pytest.mark.parametrize("query", ["?month=2026", "?issued_from=soon", "?customer_id=mbx_1"])
def test_a_filter_that_makes_no_sense_is_refused(query, bills, rita):
    assert rita.get(f"/invoices{query}").json()["code"] == "invalid-parameter"


def test_a_list_of_bills_costs_the_same_whatever_its_length(bills, rita, django_assert_num_queries):
    rita.get("/invoices")

    with django_assert_num_queries(3):
        rita.get("/invoices?limit=1")
    with django_assert_num_queries(3):
        rita.get("/invoices?limit=2")


def test_a_test_key_sees_no_real_bill(cast, bills):
    caller = Caller(make_key(cast.reseller, is_test=True).secret)

    assert caller.get("/invoices").json()["items"] == []
