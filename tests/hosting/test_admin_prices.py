"""Plans and prices in the staff pages: looked at before they are set, and never edited."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from accounts.access import Forbidden
from accounts.models import Event, Organisation
from hosting import billing, invoicing, pricing, repricing
from hosting.models import Plan, Price, PriceList
from hosting.periods import Period
from mailstore.models import Mailbox, Usage
from tests.factories import make_domain, make_mailbox
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    GIGABYTE,
    OCTOBER,
    make_list,
    make_profile,
    sold,
)
from tests.staffing import act, facts, in_role, said

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    # No day and no month ends between a test's look at the clock and the page's.
    pytest.mark.usefixtures("still_clock"),
]

PRICES = "/staff/hosting/price/"
PLANS = "/staff/hosting/plan/"


def tomorrow():
    return timezone.now().date() + timedelta(days=1)


@pytest.fixture
def retail(cast):
    return PriceList.objects.get(seller=None, audience="retail")


@pytest.fixture
def imap(cast):
    return Plan.objects.get(slug="imap")


def wanted(price_list, plan, /, **changes):
    return {
        "price_list": price_list.pk,
        "plan": plan.pk,
        "starts_on": tomorrow().isoformat(),
        "monthly_price": "3.00",
        "included_gigabytes": "5",
        "storage_price": "0.20",
        **changes,
    }


def ask(client, button, **fields):
    return client.post(f"{PRICES}add/", {button: "yes", **fields})


def confirm(client, **fields):
    page = ask(client, "foresee", **fields)
    seen = page.context["form"].fingerprint
    return client.post(f"{PRICES}add/", {"confirmed": "yes", "seen": seen, **fields}, follow=True)


def keeping(domain, name, gigabytes, protocol="imap"):
    mailbox = make_mailbox(domain, name, protocol)
    Usage.objects.update_or_create(
        username=mailbox.address, defaults={"bytes": gigabytes * GIGABYTE}
    )
    return mailbox


def draft(price_list, plan, **changes):
    terms = {
        "starts_on": tomorrow(),
        "monthly_price": Decimal("3.00"),
        "included_bytes": 5 * GIGABYTE,
        "storage_price": Decimal("0.20"),
        **changes,
    }
    return pricing.draft(price_list=price_list, plan=plan, at=timezone.now(), **terms)


# What a price would touch ----------------------------------------------------------------


def test_outlook_counts_whom_it_touches_and_what_it_changes(cast, retail, imap):
    keeping(cast.domain, "a", 7)
    keeping(cast.other_domain, "a", 3)
    keeping(cast.other_domain, "b", 10)
    keeping(cast.other_domain, "c", 10, protocol="pop")

    found = repricing.foresee(draft(retail, imap))

    assert (found.mailboxes, found.customers, found.resellers) == (3, 2, 0)
    # Three at 2.50, and 2 and 5 GB above the five that are included, at 0.12.
    assert (found.text(found.before), found.text(found.after)) == ("8.34 EUR", "10.40 EUR")
    assert [(each.organisation, each.mailboxes) for each in found.most_affected] == [
        (cast.other_customer, 2),
        (cast.customer, 1),
    ]


def test_outlook_is_what_the_bill_of_a_whole_month_changes_by(cast, retail, imap):
    make_profile(cast.customer, pools_storage=True)
    for number, size in enumerate((1, 12, 4)):
        keeping(cast.domain, f"a{number}", size)
        keeping(cast.other_domain, f"b{number}", size)
    period = Period.of(timezone.now()).next
    Usage.objects.update(since=period.start, day_byte_seconds=0)
    starts_on = period.first_day
    found = repricing.foresee(draft(retail, imap, starts_on=starts_on, included_bytes=0))

    def billed():
        return sum(
            line.net_minor
            for organisation in (cast.customer, cast.other_customer)
            for line in billing.charges(billing.buyer(organisation), period=period)
        )

    before = billed()
    price = draft(retail, imap, starts_on=starts_on, included_bytes=0)
    price.save()

    assert found.text(found.before) == f"{Decimal(before) / 100:.2f} EUR"
    assert found.text(found.after) == f"{Decimal(billed()) / 100:.2f} EUR"


def test_reseller_is_touched_by_what_its_customers_keep(cast, imap):
    wholesale = PriceList.objects.get(audience="wholesale")
    second = Organisation.objects.create(kind="customer", name="Elm", parent=cast.reseller)
    keeping(cast.domain, "a", 1)
    keeping(make_domain("elm.test", second), "a", 1)
    keeping(cast.other_domain, "a", 1)

    found = repricing.foresee(draft(wholesale, imap))

    assert (found.mailboxes, found.customers, found.resellers) == (2, 0, 1)
    assert [each.organisation for each in found.most_affected] == [cast.reseller]


def test_who_buys_elsewhere_is_not_touched(cast, retail, imap):
    keeping(cast.domain, "a", 1)
    keeping(cast.other_domain, "a", 1)
    own = make_list(seller=cast.reseller, is_default=True, imap=("4", 5, "0.30"))
    agreed = make_list(imap=("2", 5, "0.10"))
    make_profile(cast.other_customer, price_list=agreed)

    assert repricing.foresee(draft(retail, imap)).mailboxes == 0
    [touched] = repricing.foresee(draft(own, imap)).most_affected
    assert touched.organisation == cast.customer
    [touched] = repricing.foresee(draft(agreed, imap)).most_affected
    assert touched.organisation == cast.other_customer


@pytest.mark.parametrize("kind", ["retail", "wholesale", "own", "agreed"])
def test_buyers_of_a_list_are_those_whose_list_it_is(cast, kind):
    lists = {
        "own": make_list(seller=cast.reseller, is_default=True),
        "agreed": make_list(),
        "retail": PriceList.objects.get(seller=None, audience="retail", is_default=True),
        "wholesale": PriceList.objects.get(audience="wholesale"),
    }
    for number in range(3):
        parent = (cast.provider, cast.reseller)[number % 2]
        buyer = Organisation.objects.create(kind="customer", name=f"C{number}", parent=parent)
        make_profile(buyer, price_list=(lists["agreed"], None)[number // 2])
    everybody = list(billing.buyers())

    found = set(pricing.buyers_from(lists[kind]))

    by_buyer = pricing.lists_for(everybody)
    assert found == {each for each in everybody if by_buyer.get(each.pk) == lists[kind]}


def test_price_of_a_plan_that_had_none(cast, imap):
    fresh = make_list(currency="JPY")
    keeping(cast.other_domain, "a", 7)
    make_profile(cast.other_customer, price_list=fresh)

    found = repricing.foresee(draft(fresh, imap, monthly_price=Decimal(300)))

    assert (found.current, found.text(found.before)) == (None, "0 JPY")
    assert found.text(found.after) == "300 JPY"


# The pages -------------------------------------------------------------------------------


def test_price_is_looked_at_before_it_is_set(staff, cast, retail, imap):
    keeping(cast.other_domain, "a", 15)
    asked = wanted(retail, imap)
    before = Price.objects.count()

    page = ask(staff, "foresee", **asked)

    text = page.content.decode()
    assert "Mailboxes that it touches: 1. Who pays for them: customers 1, resellers 0." in text
    assert "3.70 EUR" in text
    assert "5.00 EUR" in text
    assert Price.objects.count() == before
    assert said(confirm(staff, **asked)) == [
        f"IMAP, Retail (EUR), {tomorrow()} is set. It can be withdrawn until its day."
    ]
    price = Price.objects.get(starts_on=tomorrow())
    assert (price.monthly_price, price.included_bytes) == (Decimal("3.00"), 5 * GIGABYTE)
    assert facts("price.set") == [(str(price), cast.sam.email)]


@pytest.mark.parametrize("seen", [None, "something else"])
def test_what_was_not_looked_at_is_not_set(staff, retail, imap, seen):
    fields = {"seen": seen} if seen else {}

    page = ask(staff, "confirmed", **fields, **wanted(retail, imap))

    assert page.context["outlook"] is not None
    assert not Price.objects.filter(starts_on=tomorrow()).exists()


@pytest.mark.parametrize(
    "bad",
    [
        {"monthly_price": "0"},
        {"monthly_price": "-1"},
        {"monthly_price": "NaN"},
        {"monthly_price": "Infinity"},
        {"monthly_price": "1e30"},
        {"monthly_price": "0.0000001"},
        {"storage_price": "-0.01"},
        {"included_gigabytes": "-1"},
        {"starts_on": "2026-02-30"},
        {"starts_on": date(2020, 1, 1).isoformat()},
        {"price_list": "9" * 30},
        {"plan": "x"},
    ],
)
def test_impossible_price_is_refused_in_the_form(staff, retail, imap, bad):
    before = Price.objects.count()

    for button in ("foresee", "confirmed"):
        page = ask(staff, button, **wanted(retail, imap, **bad))
        assert page.status_code == 200
        assert page.context["form"].errors

    assert Price.objects.count() == before


def test_second_price_for_a_day_is_refused(staff, retail, imap):
    confirm(staff, **wanted(retail, imap))

    page = ask(staff, "foresee", **wanted(retail, imap, monthly_price="4"))

    [error] = page.context["form"].non_field_errors()
    assert error == "Another price begins on that day already. Withdraw it first."


def test_somebody_who_was_a_moment_faster_wins(staff, retail, imap, monkeypatch):
    real = repricing.foresee

    def foresee(price):
        outlook = real(price)
        draft(retail, imap, monthly_price=Decimal(7)).save()
        return outlook

    asked = wanted(retail, imap)
    seen = ask(staff, "foresee", **asked).context["form"].fingerprint
    monkeypatch.setattr(repricing, "foresee", foresee)

    page = ask(staff, "confirmed", seen=seen, **asked)

    assert "Another price begins on that day already" in page.content.decode()
    assert Price.objects.get(starts_on=tomorrow()).monthly_price == 7


def test_setting_a_price_needs_the_right(cast):
    assert in_role(cast.sam, "support").get(f"{PRICES}add/").status_code == 403


def test_price_in_use_can_be_neither_edited_nor_withdrawn(staff, retail, imap):
    price = Price.objects.get(price_list=retail, plan=imap)

    assert staff.post(f"{PRICES}{price.pk}/change/", {"monthly_price": "9"}).status_code == 403
    page = act(staff, "withdraw", price, path=PRICES, confirmed="yes")

    assert "This price holds already" in page.context["form"].non_field_errors()[0]
    assert staff.get(f"{PRICES}{price.pk}/change/").context["row_actions"] == []


def test_price_whose_day_has_not_come_can_be_withdrawn(staff, retail, imap):
    confirm(staff, **wanted(retail, imap))
    price = Price.objects.get(starts_on=tomorrow())

    page = act(staff, "withdraw", price, path=PRICES, confirmed="yes")

    assert said(page) == ["Prices that were taken back: 1."]
    assert not Price.objects.filter(pk=price.pk).exists()
    assert len(facts("price.withdrawn")) == 1


def test_price_that_another_follows_says_until_when(staff, retail, imap):
    later = tomorrow() + timedelta(days=30)
    confirm(staff, **wanted(retail, imap, starts_on=later.isoformat()))

    page = ask(staff, "foresee", **wanted(retail, imap))

    assert page.context["outlook"].following.starts_on == later
    assert "when another price begins" in page.content.decode()


def test_reseller_list_is_not_set_by_staff(staff, cast, imap):
    own = make_list(seller=cast.reseller, is_default=True)

    page = ask(staff, "foresee", **wanted(own, imap))

    assert "price_list" in page.context["form"].errors


def test_plan_shows_its_prices_and_what_its_policy_says(staff, imap):
    page = staff.get(f"{PLANS}{imap.pk}/change/")

    prices, policy = page.context["tables"]
    retail, wholesale = (row.cells[2] for row in prices.rows)
    assert (retail, wholesale) == ("2.50 EUR", "1.67 EUR")
    assert "200 messages or 50 % within 10 minutes, from 10 on" in policy.rows[-1].cells
    assert "/staff/mailstore/retentionpolicy/" in page.content.decode()
    linked = staff.get(prices.rows[0].url)
    assert linked.context["form"].initial["plan"] == str(imap.pk)


def test_lower_highest_limit_says_first_who_stands_above_it(staff, cast, imap):
    mailbox = make_mailbox(cast.domain)
    Mailbox.objects.filter(pk=mailbox.pk).update(quota_bytes=imap.ceiling_bytes)
    fields = {
        "name": imap.name,
        "is_on_sale": "on",
        "position": imap.position,
        "quota_bytes": imap.quota_bytes,
        "ceiling_bytes": imap.ceiling_bytes - 1,
        "window_days": imap.window_days,
        "retention_policy": "",
    }
    place = f"{PLANS}{imap.pk}/change/"

    errors = staff.post(place, fields).context["adminform"].form.errors
    assert "Mailboxes that stand above it: 1" in errors["ceiling_bytes"][0]
    before = imap.ceiling_bytes
    imap.refresh_from_db()
    assert imap.ceiling_bytes == before

    staff.post(place, fields | {"is_above_known": "on"})
    imap.refresh_from_db()
    assert imap.ceiling_bytes == before - 1
    [fact] = Event.objects.filter(kind="plan.updated")
    assert set(fact.data) == {"ceiling_bytes"}


def test_change_of_a_plan_is_a_fact_with_a_name(staff, cast, imap):
    fields = {
        "name": "IMAP plus",
        "is_on_sale": "on",
        "position": imap.position,
        "quota_bytes": imap.quota_bytes,
        "ceiling_bytes": imap.ceiling_bytes,
        "window_days": 40,
        "retention_policy": "",
    }

    staff.post(f"{PLANS}{imap.pk}/change/", fields)

    imap.refresh_from_db()
    assert (imap.name, imap.window_days) == ("IMAP plus", 40)
    assert facts("plan.updated") == [("IMAP plus", cast.sam.email)]
    data = Event.objects.get(kind="plan.updated").data
    assert data["window_days"] == {"old": "30", "new": "40"}


def test_plan_whose_limits_are_out_of_order_is_refused(staff, imap):
    fields = {
        "name": "IMAP",
        "position": 1,
        "quota_bytes": 10,
        "ceiling_bytes": 9,
        "window_days": 40,
    }

    page = staff.post(f"{PLANS}{imap.pk}/change/", fields)

    assert "The highest limit cannot be below the first one." in page.content.decode()


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"monthly_price": Decimal(0)}, "above zero"),
        ({"monthly_price": Decimal("NaN")}, "decimals"),
        ({"monthly_price": Decimal(10**6)}, "below 1000000"),
        ({"storage_price": Decimal("-0.1")}, "cannot be negative"),
        ({"included_bytes": -1}, "cannot be negative"),
        ({"storage_price": Decimal("0.0000001")}, "up to 6 decimals"),
    ],
)
def test_verb_refuses_what_the_page_refuses(cast, retail, imap, terms, reason):
    with pytest.raises(pricing.PriceRefused, match=reason):
        draft(retail, imap, **terms)


@pytest.mark.parametrize(
    "terms", [{"monthly_price": 0}, {"storage_price": -1}, {"included_bytes": -1}]
)
def test_database_refuses_what_the_page_refuses(cast, retail, imap, terms):
    price = Price(price_list=retail, plan=imap, starts_on=tomorrow(), monthly_price=1)
    for name, value in terms.items():
        setattr(price, name, value)

    with pytest.raises(IntegrityError), transaction.atomic():
        price.save()


def test_database_refuses_two_prices_that_begin_on_one_day(cast, retail, imap):
    held = Price.objects.get(price_list=retail, plan=imap)

    with pytest.raises(IntegrityError), transaction.atomic():
        Price.objects.create(
            price_list=retail, plan=imap, starts_on=held.starts_on, monthly_price=1
        )


def test_database_refuses_to_edit_what_was_charged(cast):
    make_profile(cast.provider)
    sold(cast.other_domain, "a", "pop")
    pop = Price.objects.get(price_list__audience="retail", plan__slug="pop")
    Price.objects.filter(pk=pop.pk).update(monthly_price=2)
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)

    with pytest.raises(DatabaseError, match="never edited"), transaction.atomic():
        Price.objects.filter(pk=pop.pk).update(monthly_price=3)
    with pytest.raises(ProtectedError):
        pop.delete()


def test_withdrawing_needs_the_right(cast, retail, imap):
    price = pricing.succeed(
        actor=ACTOR,
        price_list=retail,
        plan=imap,
        starts_on=tomorrow(),
        monthly_price=Decimal(3),
        at=timezone.now(),
    )

    with pytest.raises(Forbidden):
        pricing.withdraw(actor=cast.actor(cast.charlie), price=price, at=timezone.now())
