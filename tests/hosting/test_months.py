"""Months that could not be closed: told of, caught up with, and complete at last."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date
from decimal import Decimal

import pytest
from django.db import connection

from accounts import outbox
from accounts.models import Organisation
from hosting import (
    agreeing,
    attention,
    billing,
    doctor,
    invoicing,
    months,
    price_lists,
    pricing,
    profiles,
    tasks,
)
from hosting.models import BillingProfile, Invoice, MonthClose, Plan, PriceList
from hosting.periods import Period
from tests.factories import make_cast, make_mailbox
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    OCTOBER,
    make_list,
    make_profile,
    moment,
    sold,
)
from tests.staffing import act, said

pytestmark = pytest.mark.django_db(databases="__all__")
CLOSES = "/staff/hosting/monthclose/"


@pytest.fixture
def cast():
    cast = make_cast()
    make_profile(cast.provider)
    make_profile(cast.other_customer)
    return cast


def close(among=None):
    return invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT, among=among)


def test_who_has_something_without_a_price_gets_no_bill_until_it_has_one(cast):
    make_profile(cast.reseller)
    make_profile(cast.customer)
    sold(cast.domain, "a", "imap")
    sold(cast.domain, "p", "pop")
    own = make_list(seller=cast.reseller, is_default=True, pop=("1.80", 0, "0"))

    assert close().problems == ["Alder gets no bill: Agreed (EUR) has no price for IMAP."]
    assert not Invoice.objects.filter(customer=cast.customer).exists()

    # The first price of a plan may begin on a day that is past; then the bill is whole.
    pricing.succeed(
        actor=ACTOR,
        price_list=own,
        plan=Plan.objects.get(slug="imap"),
        starts_on=date(2026, 10, 1),
        monthly_price=Decimal("3.00"),
        at=CLOSED_AT,
    )
    assert close().problems == []
    assert Invoice.objects.get(customer=cast.customer).net_minor == 480


@contextmanager
def after_the_first_read_of_prices(work):
    """As if somebody else did it in that moment."""
    reads = []

    def watch(execute, sql, *args):
        found = execute(sql, *args)
        if 'FROM "hosting_price"' in sql and not reads:
            reads.append(sql)
            work()
        return found

    with connection.execute_wrapper(watch):
        yield
    assert reads


@pytest.mark.parametrize("is_test", [False, True])
def test_price_that_is_set_during_the_close_leaves_no_line_out(cast, is_test):
    Organisation.objects.filter(pk=cast.other_customer.pk).update(is_test=is_test)
    for name, protocol in (("a", "imap"), ("p", "pop")):
        sold(cast.other_domain, name, protocol, since=moment(1))
    agreed_list = make_list(pop=("1.80", 0, "0"))
    BillingProfile.objects.filter(organisation=cast.other_customer).update(price_list=agreed_list)
    customer = Organisation.objects.select_related("parent").get(pk=cast.other_customer.pk)
    among = customer if is_test else None

    def set_price():
        pricing.succeed(
            actor=ACTOR,
            price_list=agreed_list,
            plan=Plan.objects.get(slug="imap"),
            starts_on=date(2026, 10, 1),
            monthly_price=Decimal("3.00"),
            at=CLOSED_AT,
        )

    with after_the_first_read_of_prices(set_price):
        assert close(among).problems == [
            "Juniper gets no bill: Agreed (EUR) has no price for IMAP."
        ]
    assert not Invoice.objects.exists()

    assert close(among).problems == []
    assert Invoice.objects.get().net_minor == 480


def test_months_that_no_worker_closed_are_caught_up_with(cast):
    sold(cast.other_domain, "a", "pop", since=moment(1, month=8))
    at = moment(3, 2, month=11)
    assert months.trouble(at=at) == "The bills of 2026-08 have not been written."

    written = [progress.written for progress in invoicing.close_due(actor=ACTOR, at=at)]

    assert written == [1, 1, 1]
    periods = Invoice.objects.order_by("pk").values_list("period", flat=True)
    assert [f"{day:%Y-%m}" for day in periods] == ["2026-08", "2026-09", "2026-10"]
    assert months.due(at=at) == []
    assert months.trouble(at=at) == ""
    assert months.due(at=moment(1, 2, month=12)) == [Period(2026, 11)]


def test_month_is_not_late_in_the_night_in_which_it_is_closed(cast):
    sold(cast.other_domain, "a", "pop", since=moment(1))

    assert months.trouble(at=moment(2, 1, month=11)) == ""
    assert months.trouble(at=moment(2, 3, month=11)) != ""


def test_month_stays_open_until_no_bill_is_missing(cast, staff):
    sold(cast.domain, "a", "pop", since=moment(1))
    at = moment(2, 5, month=11)
    first_at = moment(1, 2, month=11)
    why = "Rowan has no billing profile, so 1 bills are missing."
    invoicing.close_due(actor=ACTOR, at=first_at)
    invoicing.close_due(actor=ACTOR, at=at)

    row = MonthClose.objects.get()
    assert (row.failing_since, row.looked_at, row.problem_count) == (first_at, at, 1)
    assert row.problems[0] == why
    assert months.trouble(at=at) == f"Bills of 2026-10 are missing. {why}"
    [finding] = doctor.examine(only=["bills"])
    assert (finding.is_well, why in finding.text) == (False, True)
    [found] = [f for f in attention.find(may=lambda _right: True, at=at) if f.name == "bills"]
    assert (found.count, found.since) == (1, first_at)
    page = staff.get(f"{CLOSES}{row.pk}/change/").content.decode()
    assert why in page

    make_profile(cast.reseller)
    make_profile(cast.customer)
    assert tasks.close_months() >= 1
    assert not MonthClose.objects.exclude(failing_since=None).exists()
    [finding] = doctor.examine(only=["bills"])
    assert finding.is_well


def test_staff_have_missing_bills_written_at_once(staff, monkeypatch):
    close()
    MonthClose.objects.update(failing_since=CLOSED_AT, problems=["x"], problem_count=1)
    nudged = []
    monkeypatch.setattr(outbox, "nudge", lambda name, **_ids: nudged.append(name))

    response = act(staff, "close_now", MonthClose.objects.get(), path=CLOSES)

    assert nudged == ["hosting.close_months"]
    assert said(response) == [
        "A worker writes what can be written of every month that is not complete."
    ]


def test_month_of_a_test_organisation_is_no_month_of_the_house(cast):
    cast.other_customer.__class__.objects.filter(pk=cast.other_customer.pk).update(is_test=True)
    sold(cast.other_domain, "a", "pop", since=moment(1))

    assert months.due(at=CLOSED_AT) == []


# What a month that is over is billed by --------------------------------------------------


BEFORE_THE_CLOSE = moment(1, month=11)


def agreed(cast, price_list, at):
    profile = BillingProfile.objects.select_related("organisation__parent").get(
        organisation=cast.other_customer
    )
    agreeing.agree(actor=ACTOR, profile=profile, price_list=price_list, at=at)
    profile.save()


def test_list_agreed_before_the_close_does_not_reach_back(cast):
    sold(cast.other_domain, "a", "pop", since=moment(1))
    dear = make_list(pop=("3", 0, "0"))
    later = moment(2, month=11)

    with pytest.raises(pricing.PriceRefused, match="Juniper has no bill of 2026-10 yet"):
        agreed(cast, dear, BEFORE_THE_CLOSE)
    close()
    agreed(cast, dear, later)

    assert Invoice.objects.get().net_minor == 100
    assert billing.buyer(cast.other_customer).price_list == dear


def test_list_for_everybody_does_not_reach_back(cast):
    """Nor does one of resellers, who pay for what their customers have."""
    sold(cast.domain, "a", "pop", since=moment(1))
    make_profile(cast.reseller)
    for audience, name in (("retail", "Alder"), ("wholesale", "Rowan")):
        new = make_list(audience=audience, pop=("3", 0, "0"))
        with pytest.raises(price_lists.ListRefused, match=f"{name} has no bill of 2026-10 yet"):
            price_lists.make_default(actor=ACTOR, price_list=new, at=BEFORE_THE_CLOSE)

    close()
    price_lists.make_default(actor=ACTOR, price_list=new, at=CLOSED_AT)

    assert sorted(Invoice.objects.values_list("net_minor", flat=True)) == [67, 100]
    new.refresh_from_db()
    assert new.is_default


def test_whether_space_is_shared_does_not_reach_back(cast):
    sold(cast.other_domain, "a", since=moment(1))
    profile = profiles.of(cast.other_customer)
    profile.pools_storage = True

    with pytest.raises(profiles.ProfileRefused, match="no bill of 2026-10 yet"):
        profiles.keep(actor=ACTOR, profile=profile, at=BEFORE_THE_CLOSE)
    close()
    profiles.keep(actor=ACTOR, profile=profile, at=CLOSED_AT)

    assert not Invoice.objects.get().pools_storage
    assert profiles.of(cast.other_customer).pools_storage


def test_staff_read_why_sharing_cannot_change(cast, staff):
    sold(cast.other_domain, "a", since=moment(1, year=2025))
    profile = profiles.of(cast.other_customer)
    given = {name: getattr(profile, name) for name in ("legal_name", "address", "country")}

    page = staff.post(
        f"/staff/hosting/billingprofile/{profile.pk}/change/", {**given, "pools_storage": "on"}
    )

    assert "Juniper has no bill of 2025-10 yet" in page.content.decode()
    assert not profiles.of(cast.other_customer).pools_storage


def test_who_had_no_mailboxes_and_who_is_a_test_changes_at_once(cast):
    sold(cast.other_domain, "a", "pop", since=BEFORE_THE_CLOSE)
    sold(cast.domain, "a", "pop", since=moment(1))
    agreed(cast, make_list(pop=("3", 0, "0")), BEFORE_THE_CLOSE)

    cast.customer.is_test = True
    cast.customer.save()
    everybody = make_list(pop=("4", 0, "0"))
    price_lists.make_default(actor=ACTOR, price_list=everybody, at=BEFORE_THE_CLOSE)


def test_reseller_opens_a_list_of_its_own_before_the_close(cast):
    """It begins as a copy, so the month costs the same."""
    sold(cast.domain, "a", "pop", since=moment(1))
    make_profile(cast.reseller)

    own = price_lists.open_own(
        actor=cast.actor(cast.rita), seller=cast.reseller, at=BEFORE_THE_CLOSE
    )
    close()

    [bill] = Invoice.objects.filter(customer=cast.customer)
    assert (bill.price_list, bill.net_minor) == (own, 100)


def test_giving_up_an_agreed_list_does_not_reach_back(cast):
    """The one for everybody is another list, and in another currency it is none."""
    dear = make_list(pop=("3", 0, "0"))
    BillingProfile.objects.filter(organisation=cast.other_customer).update(price_list=dear)
    sold(cast.other_domain, "a", "pop", since=moment(1))

    with pytest.raises(pricing.PriceRefused, match="Juniper has no bill of 2026-10 yet"):
        agreed(cast, None, BEFORE_THE_CLOSE)
    close()
    agreed(cast, None, moment(2, month=11))
    assert Invoice.objects.get().net_minor == 300

    francs = make_list(currency="CHF", pop=("3", 0, "0"))
    PriceList.objects.exclude(pk=francs.pk).update(is_default=False)
    PriceList.objects.filter(pk=francs.pk).update(is_default=True)
    BillingProfile.objects.filter(organisation=cast.other_customer).update(price_list=dear)
    with pytest.raises(pricing.PriceRefused, match="Juniper has bills in EUR"):
        agreed(cast, None, moment(2, month=11))


# Without a list --------------------------------------------------------------------------


@pytest.fixture
def wholesale(cast):
    """The list agreed with the reseller, where none holds for everybody."""
    PriceList.objects.filter(audience="wholesale").update(is_default=False)
    agreed_list = make_list(audience="wholesale", pop=("0.50", 0, "0"))
    make_profile(cast.reseller, price_list=agreed_list)
    make_profile(cast.customer)
    return agreed_list


def take_list(organisation, *, at):
    profile = BillingProfile.objects.select_related("organisation__parent").get(
        organisation=organisation
    )
    agreeing.agree(actor=ACTOR, profile=profile, price_list=None, at=at)
    profile.save()


@pytest.mark.usefixtures("wholesale")
@pytest.mark.parametrize(
    ("until", "why"),
    [
        # It has to do with this month.
        (moment(1, 5, month=11), "Alder has mailboxes on POP"),
        # It has to do with October alone, which is not billed yet.
        (moment(20), "Rowan has no bill of 2026-10 yet"),
    ],
)
def test_list_of_who_has_something_is_not_taken_away(cast, until, why):
    sold(cast.domain, "a", "pop", since=moment(1), until=until)

    with pytest.raises(pricing.PriceRefused, match=why):
        take_list(cast.reseller, at=BEFORE_THE_CLOSE)

    assert close().problems == []
    assert Invoice.objects.get(customer=cast.reseller).net_minor > 0


@pytest.mark.usefixtures("wholesale")
def test_list_of_who_has_bills_is_not_taken_away(cast):
    """What is put right of a bill stands on the next one, which needs a list."""
    sold(cast.domain, "a", "pop", since=moment(1), until=moment(20))
    close()

    with pytest.raises(pricing.PriceRefused, match="Rowan has bills"):
        take_list(cast.reseller, at=moment(2, month=11))


@pytest.mark.usefixtures("wholesale")
def test_list_of_who_has_nothing_is_taken_away(cast):
    take_list(cast.reseller, at=BEFORE_THE_CLOSE)

    assert profiles.of(cast.reseller).price_list is None


@pytest.mark.usefixtures("wholesale")
def test_rest_of_a_profile_is_kept_where_there_was_no_list(cast, staff):
    sold(cast.domain, "a", "pop", since=moment(1))
    BillingProfile.objects.filter(organisation=cast.reseller).update(price_list=None)

    profile = profiles.of(cast.reseller)
    given = {name: getattr(profile, name) for name in ("legal_name", "country")}
    staff.post(
        f"/staff/hosting/billingprofile/{profile.pk}/change/", {**given, "address": "Elsewhere"}
    )

    assert profiles.of(cast.reseller).address == "Elsewhere"


def test_rest_of_a_profile_is_kept_whatever_the_list_for_everybody_is(cast, staff):
    """Whoever went over to it when nothing was checked is not held up by that."""
    sold(cast.other_domain, "a", "pop", since=moment(1))
    close()
    francs = make_list(currency="CHF", pop=("3", 0, "0"))
    PriceList.objects.exclude(pk=francs.pk).update(is_default=False)
    PriceList.objects.filter(pk=francs.pk).update(is_default=True)

    profile = profiles.of(cast.other_customer)
    given = {name: getattr(profile, name) for name in ("legal_name", "country")}
    staff.post(
        f"/staff/hosting/billingprofile/{profile.pk}/change/", {**given, "address": "Elsewhere"}
    )

    assert profiles.of(cast.other_customer).address == "Elsewhere"


def test_staff_read_why_a_list_is_not_taken_away(cast, staff, wholesale):
    make_mailbox(cast.domain, "a", "pop")
    profile = profiles.of(cast.reseller)
    given = {name: getattr(profile, name) for name in ("legal_name", "address", "country")}

    page = staff.post(f"/staff/hosting/billingprofile/{profile.pk}/change/", given)

    assert "Alder has mailboxes on POP" in page.content.decode()
    assert profiles.of(cast.reseller).price_list == wholesale


def test_month_stays_open_while_somebody_has_something_and_no_list(cast, wholesale):
    sold(cast.domain, "a", "pop", since=moment(1))
    BillingProfile.objects.filter(organisation=cast.reseller).update(price_list=None)

    assert close().problems == ["Rowan gets no bill: there is no price list for it."]
    assert months.due(at=CLOSED_AT) == [OCTOBER]

    profile = profiles.of(cast.reseller)
    agreeing.agree(actor=ACTOR, profile=profile, price_list=wholesale, at=CLOSED_AT)
    profile.save()
    assert close().problems == []
    assert Invoice.objects.get(customer=cast.reseller).net_minor == 50
    assert months.due(at=CLOSED_AT) == []


def test_who_has_neither_a_list_nor_mailboxes_keeps_no_month_open(cast):
    PriceList.objects.filter(audience="wholesale").update(is_default=False)
    sold(cast.other_domain, "a", "pop", since=moment(1))

    assert close().problems == []
    assert months.due(at=CLOSED_AT) == []


def test_a_new_name_for_a_list_leaves_whether_it_holds_for_everybody(cast):
    """The page read the list before somebody let it hold."""
    fresh = make_list(pop=("3", 0, "0"))
    stale = PriceList.objects.get(pk=fresh.pk)
    price_lists.make_default(actor=ACTOR, price_list=fresh, at=CLOSED_AT)

    stale.name = "For everybody"
    price_lists.keep(actor=ACTOR, price_list=stale, at=CLOSED_AT)

    fresh.refresh_from_db()
    assert (fresh.name, fresh.is_default) == ("For everybody", True)
