"""Test mode through the API: a month's bill in a second."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from hosting import public_ids, test_clock
from hosting.models import ClockAdvance, Invoice
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.billing_rows import make_profile
from tests.hosting.simulated import make_test_customer, make_test_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


@pytest.fixture
def tester(cast):
    return Caller(make_key(cast.reseller, is_test=True).secret)


@pytest.fixture
def trial(cast):
    make_profile(cast.reseller)
    return make_test_customer(cast.reseller)


def path_of(organisation):
    return f"/organisations/{public_ids.encode('org', organisation.uuid)}"


def arrive(twin):
    (asked,) = ClockAdvance.objects.under_way()
    assert test_clock.run(advance_id=asked.pk, engine=twin, now=timezone.now)


def test_a_clock_that_goes_on_over_the_end_of_a_month_gives_its_bill(trial, tester, twin):
    make_test_mailbox(trial)
    before = tester.get(f"{path_of(trial)}/test-clock").json()

    asked = tester.post(f"{path_of(trial)}/test-clock/advance", {"by_seconds": 30 * 86_400})
    arrive(twin)

    done = tester.get(asked.headers["Location"].removeprefix("/api/v1")).json()
    after = tester.get(f"{path_of(trial)}/test-clock").json()
    (bill,) = tester.get("/invoices").json()["items"]
    assert (asked.status_code, asked.json()["state"], done["state"]) == (202, "running", "done")
    assert (done["done_count"], done["total_count"], done["unit"]) == (30, 30, "days")
    assert before["now"] < after["now"]
    assert bill["number"].startswith("TEST-")
    assert Invoice.objects.get().customer == trial


def test_what_happens_in_a_test_organisation_happens_at_its_clocks_moment(trial, tester):
    mailbox = make_test_mailbox(trial)
    path = f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}"

    tester.post(f"{path}/suspend", None, if_match="*")

    (event,) = tester.get("/events?types=mailbox.suspended").json()["items"]
    assert event["created_at"].startswith("2026-10-20")
    assert event["is_test"]


def test_a_clock_on_its_way_takes_no_other_order(trial, tester):
    path = f"{path_of(trial)}/test-clock/advance"
    tester.post(path, {"by_seconds": 60})

    again = tester.post(path, {"by_seconds": 60})

    assert (again.status_code, again.json()["code"]) == (409, "wrong-state")


@pytest.mark.parametrize(
    "body",
    [{}, {"by_seconds": 0}, {"by_seconds": 10**9}, {"to": "2020-01-01T00:00:00Z"}, {"to": "x"}],
)
def test_a_clock_only_goes_forward_and_not_too_far(body, trial, tester):
    assert tester.post(f"{path_of(trial)}/test-clock/advance", body).status_code == 422


def test_the_next_bill_is_told_before_it_is_written(cast, trial, tester):
    make_test_mailbox(trial)
    customer_id = public_ids.encode("org", trial.uuid)

    shown = tester.get(f"/invoices/upcoming?customer_id={customer_id}").json()

    assert (shown["customer_id"], shown["month"]) == (customer_id, "2026-10")
    assert shown["forecast"]["net_minor"] == sum(
        line["forecast"]["amount_minor"] for line in shown["lines"]
    )
    assert shown["lines"][0]["mailbox_id"].startswith("mbx_")


def test_a_strangers_next_bill_is_as_absent(cast, rita):
    stranger = public_ids.encode("org", cast.other_customer.uuid)

    assert rita.get(f"/invoices/upcoming?customer_id={stranger}").status_code == 404
    assert rita.get("/invoices/upcoming?customer_id=mbx_1").status_code == 400


def test_use_is_told_by_day_and_by_month(trial, tester, twin):
    mailbox = make_test_mailbox(trial)
    advance = f"{path_of(trial)}/test-clock/advance"
    tester.post(advance, {"by_seconds": int(timedelta(days=3).total_seconds())})
    arrive(twin)
    path = f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}/usage"

    days = tester.get(f"{path}?since=2026-10-20&until=2026-10-24").json()
    month = tester.get(f"{path_of(trial)}/usage?grain=month").json()

    assert [each["starts_at"][:10] for each in days["items"]] == [
        "2026-10-20",
        "2026-10-21",
        "2026-10-22",
        "2026-10-23",
    ][: len(days["items"])]
    assert [each["starts_at"] for each in month["items"]] == ["2026-10-01T00:00:00Z"]
    assert all(each["byte_seconds"].isdecimal() for each in month["items"])


@pytest.mark.parametrize(
    "query", ["?grain=hour", "?since=soon", "?since=2026-11-03&until=2026-11-01", "?by=day"]
)
def test_use_that_cannot_be_told_is_refused(query, cast, alice):
    assert alice.get(f"{path_of(cast.customer)}/usage{query}").status_code == 400
