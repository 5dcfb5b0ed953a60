"""What a dry run of a batch says of costs."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import keys
from accounts.models import Organisation
from hosting import billing, pricing, public_ids
from hosting.models import BillingProfile, Contract, Plan
from hosting.periods import Period
from mailstore import domains
from mailstore.models import Mailbox
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.api.test_batch import change, create
from tests.hosting.billing_rows import ACTOR, make_list
from tests.hosting.simulated import MADE, make_test_customer, make_test_mailbox

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    # No day and no month ends between a test's look at the clock and the page's.
    pytest.mark.usefixtures("still_clock"),
]

WITHOUT_BILLS = sorted(set(keys.SCOPES) - {"invoices:read"})


def tried(caller, *items):
    answer = caller.post("/batch?dry_run=true", {"items": list(items)})
    assert answer.status_code == 200, answer.content
    return answer.json()


def amounts(item):
    return tuple(item["cost"][month]["after_minor"] for month in ("this_month", "full_month"))


@pytest.mark.parametrize("pools", [False, True])
def test_a_dry_run_says_what_the_bill_would_say(cast, rita, pools):
    BillingProfile.objects.create(organisation=cast.customer, pools_storage=pools)
    items = [create(cast, 0, plan="imap"), create(cast, 1), create(cast, 2, plan="imap")]

    found = tried(rita, *items)
    done = rita.post("/batch", {"items": items}).json()

    (total,) = found["totals"]
    assert [amounts(each)[1] for each in found["items"]] == [250, 100, 250]
    assert (total["currency"], total["full_month_minor"]) == ("EUR", 600)
    assert total["this_month_minor"] == sum(amounts(each)[0] for each in found["items"])
    assert (done["totals"], [each["cost"] for each in done["items"]]) == (None, [None] * 3)
    buyer = billing.buyer(cast.customer)
    period = Period.of(Contract.objects.earliest("starts_at").starts_at)
    for mailbox, item in zip(Mailbox.objects.order_by("pk"), found["items"], strict=True):
        for each, minor in zip((period, period.next), amounts(item), strict=True):
            lines = billing.charges(buyer, period=each, only=mailbox.pk)
            # A second may have gone by since the dry run.
            assert abs(sum(line.net_minor for line in lines) - minor) <= 1


def test_an_item_costs_what_the_preview_of_its_order_says(cast, rita):
    order = create(cast, 0, plan="imap")

    (item,) = tried(rita, order)["items"]
    single = rita.post("/mailboxes?preview=true", order["body"]).json()

    assert item["cost"]["full_month"] == single["full_month"]
    before, after = (x["this_month"]["after_minor"] for x in (item["cost"], single))
    assert abs(before - after) <= 1


def test_totals_are_by_currency(cast, rita):
    other = Organisation.objects.create(name="Birch", kind="customer", parent=cast.reseller)
    domain = domains.add(actor=ACTOR, organisation=other, name="birch.test", at=AT)
    yen = make_list(seller=cast.reseller, currency="JPY", pop=("150", 0, "0"))
    BillingProfile.objects.create(organisation=other, price_list=yen)
    there = public_ids.encode("dom", domain.uuid)
    abroad = [create(cast, number, domain_id=there) for number in (1, 2)]

    found = tried(rita, create(cast, 0), *abroad)

    full = [(each["currency"], each["full_month_minor"]) for each in found["totals"]]
    assert full == [("EUR", 100), ("JPY", 300)]


def test_a_price_that_begins_next_month_is_that_of_the_full_month(cast, rita):
    coming = Period.of(timezone.now()).next
    pricing.succeed(
        actor=ACTOR,
        price_list=pricing.list_for(cast.customer),
        plan=Plan.objects.get(slug="pop"),
        starts_on=date(coming.year, coming.month, 1),
        monthly_price=Decimal(3),
        included_bytes=0,
        storage_price=Decimal(0),
        at=AT,
    )

    (item,) = tried(rita, create(cast, 0))["items"]

    this_month, full_month = amounts(item)
    assert (this_month <= 100, full_month) == (True, 300)


def test_a_test_organisation_pays_from_its_own_moment_on(cast):
    trial = make_test_customer(cast.reseller)
    domain = make_test_mailbox(trial).domain
    caller = Caller(make_key(cast.reseller, is_test=True).secret)
    order = create(cast, 0, domain_id=public_ids.encode("dom", domain.uuid))

    (item,) = tried(caller, order)["items"]

    starts_at = Period.of(MADE).starts_at.isoformat().replace("+00:00", "Z")
    assert item["cost"]["this_month"]["starts_at"] == starts_at


def test_a_key_that_sees_no_bills_is_told_no_amounts(cast):
    caller = Caller(make_key(cast.reseller, *WITHOUT_BILLS).secret)
    mailbox = make_mailbox(cast.domain)
    place = f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}"
    order = create(cast, 0)

    found = tried(caller, order)
    alone = caller.post("/mailboxes?preview=true", order["body"]).json()
    closing = caller.post(f"{place}/close?preview=true").json()
    moving = caller.post(f"{place}/change-plan?preview=true", {"plan": "pop"}).json()

    assert (found["totals"], found["items"][0]["cost"]) == (None, None)
    assert (alone["this_month"], alone["full_month"]) == (None, None)
    assert (closing["months"], moving["this_month"], moving["full_month"]) == (None, None, None)


def test_changes_have_no_price(cast, rita):
    found = tried(rita, change(make_mailbox(cast.domain), "suspend_mailbox"))

    assert (found["totals"], found["items"][0]["cost"]) == ([], None)


def test_the_price_takes_as_many_statements_for_five_hundred_items_as_for_one(cast, rita):
    def more(count):
        """How many statements the price takes beyond the same call without it."""
        seen = []
        for caller in (rita, Caller(make_key(cast.reseller, *WITHOUT_BILLS).secret)):
            # The first call of a key takes statements of its own.
            caller.get("/plans")
            with CaptureQueriesContext(connection) as queries:
                tried(caller, *(create(cast, n, plan=("pop", "imap")[n % 2]) for n in range(count)))
            seen.append(len(queries))
        return seen[0] - seen[1]

    assert (more(1), more(500)) == (3, 3)
