"""Bills, billing profiles, price lists and VAT rates in the staff pages."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.access import Forbidden
from accounts.models import Event, Organisation
from hosting import agreeing, invoicing, price_lists, pricing, vat
from hosting.models import BillingProfile, Contract, Invoice, Limits, Plan, PriceList, VatRate
from hosting.periods import Period
from mailstore.models import UsageDay
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    OCTOBER,
    make_list,
    make_profile,
    moment,
    sold,
    worked_example,
)
from tests.staffing import act, facts, in_role, lines_of, said

pytestmark = pytest.mark.django_db(databases="__all__")

INVOICES = "/staff/hosting/invoice/"
PROFILES = "/staff/hosting/billingprofile/"
LISTS = "/staff/hosting/pricelist/"
RATES = "/staff/hosting/vatrate/"


@pytest.fixture
def bill(cast):
    make_profile(cast.provider)
    make_profile(cast.other_customer)
    worked_example(cast.other_domain)
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    return Invoice.objects.get()


def errors_of(response):
    return response.context["adminform"].form.non_field_errors()


# Bills ----------------------------------------------------------------------------------


def test_bills_are_found_by_number_and_by_customer_without_counting(staff, bill):
    with CaptureQueriesContext(connection) as queries:
        page = staff.get(INVOICES)

    assert [row.number for row in page.context["cl"].result_list] == ["R-000001"]
    assert not [q for q in queries.captured_queries if "COUNT(" in q["sql"]]
    for search, found in (("r-000001", 1), ("junip", 1), ("alder", 0)):
        page = staff.get(f"{INVOICES}?q={search}")
        assert len(page.context["cl"].result_list) == found


def test_the_page_of_a_bill_shows_its_lines_and_takes_no_change(staff, bill):
    page = staff.get(f"{INVOICES}{bill.pk}/change/")
    sent = staff.post(f"{INVOICES}{bill.pk}/change/", {"number": "R-9"})

    [taxes, table] = page.context["tables"]
    assert [row.cells for row in taxes.rows] == [("20", "6.24 EUR", "1.25 EUR", "")]
    assert [row.cells for row in table.rows][-1] == (
        "c@juniper.test",
        "Storage: 22.548387 GB-months kept, 5 of them included",
        "Juniper",
        "17.548387",
        "GB-month",
        "0.12",
        "2.11",
    )
    assert [name for name, _label in page.context["row_actions"]] == ["verify", "take_back"]
    assert sent.status_code == 403
    assert staff.get(f"{INVOICES}add/").status_code == 403


def test_the_paper_is_at_hand(staff, bill):
    answer = staff.get(f"{INVOICES}{bill.pk}/pdf/")

    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")


def test_verify_says_equal_or_what_differs(staff, bill):
    equal = act(staff, "verify", bill, path=INVOICES)
    UsageDay.objects.update(byte_seconds=1)
    different = act(staff, "verify", bill, path=INVOICES)

    assert said(equal) == ["R-000001 is equal to what the rows come to: 7.49 EUR."]
    assert said(different)
    assert all(text.startswith("R-000001: ") for text in said(different))


def test_a_bill_is_taken_back_with_a_reason_after_a_question(staff, cast, bill):
    asked = act(staff, "take_back", bill, path=INVOICES)
    empty = act(staff, "take_back", bill, path=INVOICES, confirmed="yes", reason=" ")
    assert "R-000001, Juniper, 2026-10, 7.49 EUR" in asked.content.decode()
    assert empty.context["form"].errors == {"reason": ["This field is required."]}

    done = act(staff, "take_back", bill, path=INVOICES, confirmed="yes", reason="Twice")
    again = act(staff, "take_back", bill, path=INVOICES, confirmed="yes", reason="Twice")

    assert said(done) == ["Bills that were taken back: 1."]
    note = Invoice.objects.get(kind="credit_note")
    assert (note.corrects, note.reason, note.total_minor) == (bill, "Twice", -749)
    assert facts("invoice.credited") == [(note.number, cast.sam.email)]
    assert "taken back already" in again.content.decode()
    page = staff.get(f"{INVOICES}{note.pk}/change/")
    assert [name for name, _label in page.context["row_actions"]] == ["verify"]


def test_support_sees_no_bill_and_takes_none_back(cast, bill):
    client = in_role(cast.sam, "support")

    assert client.get(f"{INVOICES}{bill.pk}/change/").status_code == 403
    assert client.get(f"{INVOICES}{bill.pk}/pdf/").status_code == 403
    answer = act(client, "take_back", bill, path=INVOICES, confirmed="yes", reason="Twice")
    assert answer.status_code == 403
    assert Invoice.objects.count() == 1


def test_billing_takes_bills_back(cast, bill):
    client = in_role(cast.sam, "staff_billing")

    act(client, "take_back", bill, path=INVOICES, confirmed="yes", reason="Twice")

    assert Invoice.objects.filter(kind="credit_note").count() == 1


def test_bills_are_taken_away_as_csv(staff, bill):
    head, row = lines_of(staff.get(f"{INVOICES}export/"))

    assert dict(zip(head, row, strict=True))["total_minor"] == "749"


def test_a_bill_of_a_reseller_names_it(staff, cast):
    for organisation in (cast.provider, cast.reseller):
        make_profile(organisation)
    sold(cast.domain, "a", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)

    html = staff.get(INVOICES).content.decode()

    assert "Rowan" in html
    assert "The house" in html


# Billing profiles -----------------------------------------------------------------------

PROFILE = {"legal_name": "Alder Ltd", "address": "Mill Lane 4", "country": "AT", "vat_id": ""}


def test_staff_fill_in_a_profile_and_agree_on_a_list(staff, cast):
    agreed = make_list(pop=("0.90", 0, "0"))

    staff.post(
        f"{PROFILES}add/",
        PROFILE | {"organisation": cast.other_customer.pk, "price_list": agreed.pk},
    )

    profile = BillingProfile.objects.get(organisation=cast.other_customer)
    assert profile.price_list == agreed
    assert pricing.list_for(cast.other_customer) == agreed
    assert facts("billing_profile.changed") == [("Juniper", cast.sam.email)]


def test_staff_set_days_to_pay_and_whether_a_resellers_customers_are_reminded(staff, cast):
    profile = make_profile(cast.reseller)
    given = {name: getattr(profile, name) for name in PROFILE}

    staff.post(
        f"{PROFILES}{profile.pk}/change/", given | {"payment_days": 30, "duns_customers": "on"}
    )

    profile.refresh_from_db()
    assert (profile.payment_days, profile.duns_customers) == (30, True)
    assert Event.objects.get(kind="billing_profile.changed").data["changed"] == [
        "payment_days",
        "duns_customers",
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"vat_id": "DE1"}, "looks like ATU12345678"),
        ({"country": "at1"}, "at most 2"),
        ({"legal_name": "\u202ex"}, "cannot be printed"),
    ],
)
def test_a_profile_that_cannot_stand_on_a_bill_is_refused(staff, cast, fields, reason):
    given = PROFILE | {"organisation": cast.customer.pk} | fields

    page = staff.post(f"{PROFILES}add/", given)

    assert reason in str(page.context["errors"])
    assert not BillingProfile.objects.exists()


def test_a_list_in_another_currency_is_refused_once_there_are_bills(staff, cast, bill):
    yen = make_list(currency="JPY", pop=("150", 0, "0"))
    profile = cast.other_customer.billing_profile

    page = staff.post(f"{PROFILES}{profile.pk}/change/", PROFILE | {"price_list": yen.pk})

    [error] = errors_of(page)
    assert "Juniper has bills in EUR, so it cannot buy in JPY." in error
    profile.refresh_from_db()
    assert profile.price_list is None


def test_a_list_is_agreed_with_whom_it_is_for(cast):
    wholesale = PriceList.objects.get(audience="wholesale")
    rowans = make_list(seller=cast.reseller, pop=("1.80", 0, "0"))
    for organisation, price_list, reason in (
        (cast.other_customer, wholesale, "is for resellers"),
        (cast.reseller, PriceList.objects.get(name="Retail"), "is for customers"),
        (cast.other_customer, rowans, "does not buy from"),
    ):
        profile = (
            make_profile(organisation)
            if not hasattr(Organisation.objects.get(pk=organisation.pk), "billing_profile")
            else organisation.billing_profile
        )

        with pytest.raises(pricing.PriceRefused, match=reason):
            agreeing.agree(actor=ACTOR, profile=profile, price_list=price_list, at=CLOSED_AT)

    alders = make_profile(cast.customer)
    agreeing.agree(actor=cast.actor(cast.rita), profile=alders, price_list=rowans, at=CLOSED_AT)
    assert alders.price_list == rowans
    agreeing.agree(actor=cast.actor(cast.rita), profile=alders, price_list=None, at=CLOSED_AT)
    assert alders.price_list is None
    with pytest.raises(Forbidden):
        agreeing.agree(
            actor=cast.actor(cast.alice), profile=alders, price_list=rowans, at=CLOSED_AT
        )


# Price lists ----------------------------------------------------------------------------


def test_staff_open_a_list_and_its_currency_stays_once_it_has_prices(staff, cast):
    given = {"name": "Schools", "seller": "", "audience": "retail", "currency": "USD"}
    staff.post(f"{LISTS}add/", given)
    schools = PriceList.objects.get(name="Schools")
    assert facts("price_list.changed") == [("Schools (USD)", cast.sam.email)]

    staff.post(f"{LISTS}{schools.pk}/change/", given | {"currency": "GBP"})
    schools.refresh_from_db()
    assert schools.currency == "GBP"

    used = make_list(pop=("1", 0, "0"))
    staff.post(f"{LISTS}{used.pk}/change/", given | {"name": "Renamed"})
    used.refresh_from_db()
    assert (used.name, used.currency) == ("Renamed", "EUR")


def test_the_verb_refuses_what_no_form_lets_through(cast):
    used = make_list(pop=("1", 0, "0"))
    used.currency = "JPY"
    with pytest.raises(price_lists.ListRefused, match="has prices or bills already"):
        price_lists.keep(actor=ACTOR, price_list=used, at=CLOSED_AT)
    unnamed = PriceList(name="", audience="retail", currency="EUR")
    with pytest.raises(price_lists.ListRefused, match="cannot be blank"):
        price_lists.keep(actor=ACTOR, price_list=unnamed, at=CLOSED_AT)
    rowans = PriceList(name="X", seller=cast.reseller, audience="wholesale", currency="EUR")
    with pytest.raises(price_lists.ListRefused, match="Only the house sells to resellers"):
        price_lists.keep(actor=ACTOR, price_list=rowans, at=CLOSED_AT)
    with pytest.raises(Forbidden):
        price_lists.keep(actor=cast.actor(cast.rita), price_list=used, at=CLOSED_AT)


def test_only_the_house_sells_to_resellers(staff, cast):
    given = {"name": "X", "seller": cast.reseller.pk, "audience": "wholesale", "currency": "EUR"}

    page = staff.post(f"{LISTS}add/", given)

    assert "Only the house sells to resellers." in page.content.decode()


def test_another_list_takes_the_place_of_the_default(staff, cast):
    other = make_list(pop=("0.50", 0, "0"))

    response = act(staff, "make_default", other, path=LISTS)

    assert said(response) == ["Lists that hold from now on: 1."]
    defaults = PriceList.objects.filter(seller=None, audience="retail", is_default=True)
    assert list(defaults) == [other]


def test_a_default_in_another_currency_is_refused_for_whom_it_would_bill(staff, cast, bill):
    yen = make_list(currency="JPY", pop=("150", 0, "0"))

    response = act(staff, "make_default", yen, path=LISTS)

    [text] = said(response)
    assert text.startswith("Juniper has bills in EUR, so a list in JPY cannot hold for everybody.")
    # With whom a list was agreed, the default does not matter.
    profile = cast.other_customer.billing_profile
    profile.price_list = PriceList.objects.get(name="Retail")
    profile.save()
    assert said(act(staff, "make_default", yen, path=LISTS)) == ["Lists that hold from now on: 1."]


def test_default_in_another_currency_is_refused_for_customers_of_a_reseller_without_a_list(cast):
    """Their bills come from the reseller, and their prices from the house."""
    make_profile(cast.reseller)
    make_profile(cast.customer)
    sold(cast.domain, "a", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    dollars = make_list(currency="USD", pop=("1", 0, "0"))

    with pytest.raises(price_lists.ListRefused, match="Alder has bills in EUR"):
        price_lists.make_default(actor=ACTOR, price_list=dollars, at=CLOSED_AT)
    assert pricing.list_for(cast.customer).currency == "EUR"

    # With a list of its reseller's own, the default of the house is nothing to it.
    Contract.objects.all().delete()
    price_lists.open_own(actor=ACTOR, seller=cast.reseller, at=CLOSED_AT)
    price_lists.make_default(actor=ACTOR, price_list=dollars, at=CLOSED_AT)


@pytest.mark.parametrize("cap", ["spend_cap_minor", "own_cap_minor"])
def test_cap_keeps_its_currency(cast, cap):
    dollars = make_list(currency="USD", pop=("1", 0, "0"))
    Limits.objects.create(organisation=cast.customer, **{cap: 5000})
    profile = make_profile(cast.customer)

    with pytest.raises(price_lists.ListRefused, match="Alder has a spend cap in EUR"):
        price_lists.make_default(actor=ACTOR, price_list=dollars, at=CLOSED_AT)
    with pytest.raises(pricing.PriceRefused, match="another amount in USD"):
        agreeing.agree(actor=ACTOR, profile=profile, price_list=dollars, at=CLOSED_AT)

    Limits.objects.update(spend_cap_minor=None, own_cap_minor=None)
    agreeing.agree(actor=ACTOR, profile=profile, price_list=dollars, at=CLOSED_AT)


@pytest.mark.parametrize("audience", ["retail", "wholesale"])
def test_list_without_a_price_for_what_is_used_is_refused(cast, audience):
    sold(cast.domain, "a")
    bare = make_list(audience=audience, pop=("1", 0, "0"))
    buyer = cast.customer if audience == "retail" else cast.reseller
    profile = make_profile(buyer)

    with pytest.raises(price_lists.ListRefused, match="Alder has mailboxes on IMAP, for which"):
        price_lists.make_default(actor=ACTOR, price_list=bare, at=CLOSED_AT)
    with pytest.raises(pricing.PriceRefused, match="has no price"):
        agreeing.agree(actor=ACTOR, profile=profile, price_list=bare, at=CLOSED_AT)


@pytest.mark.parametrize("until", [None, moment(16)])
def test_list_whose_prices_begin_within_the_month_waits_for_the_next(cast, until):
    """The days before would cost nothing, also of what has ended in this month."""
    make_profile(cast.provider)
    make_profile(cast.reseller)
    sold(cast.domain, "a", since=moment(1), until=until)
    late = PriceList.objects.create(name="Late", audience="retail", currency="EUR")
    pricing.succeed(
        actor=ACTOR,
        price_list=late,
        plan=Plan.objects.get(slug="imap"),
        starts_on=date(2026, 10, 15),
        monthly_price=Decimal("2.50"),
        at=moment(20),
    )

    with pytest.raises(price_lists.ListRefused, match="no price from 2026-10-01 on"):
        price_lists.make_default(actor=ACTOR, price_list=late, at=moment(20))
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    price_lists.make_default(actor=ACTOR, price_list=late, at=CLOSED_AT)

    assert pricing.list_for(cast.customer) == late


def test_mailbox_that_is_younger_than_its_price_goes_to_another_list_at_once(cast):
    sold(cast.domain, "a", since=moment(15, 3))
    sold(cast.domain, "b", since=moment(1), until=moment(1))
    late = PriceList.objects.create(name="Late", audience="retail", currency="EUR")
    pricing.succeed(
        actor=ACTOR,
        price_list=late,
        plan=Plan.objects.get(slug="imap"),
        starts_on=date(2026, 10, 15),
        monthly_price=Decimal("2.50"),
        at=moment(20),
    )

    price_lists.make_default(actor=ACTOR, price_list=late, at=moment(20))

    assert pricing.list_for(cast.customer) == late


def test_the_list_of_a_reseller_names_it(staff, cast):
    make_list(seller=cast.reseller)

    assert "Rowan" in staff.get(LISTS).content.decode()


# VAT rates ------------------------------------------------------------------------------


def test_a_new_rate_follows_the_one_that_holds(staff, cast, still_clock):
    coming = Period.of(still_clock).next.first_day
    given = {"country": "AT", "starts_on": coming, "percent": "21", "is_in_eu": "on"}

    staff.post(f"{RATES}add/", given)

    new = VatRate.objects.get(country="AT", starts_on=coming)
    assert [event.data for event in Event.objects.filter(kind="vat_rate.set")] == [
        {"starts_on": coming.isoformat(), "percent": {"old": "20.00", "new": "21"}}
    ]
    staff.post(f"{RATES}{new.pk}/change/", given | {"percent": "22"})
    new.refresh_from_db()
    assert new.percent == Decimal(22)


def test_a_rate_that_holds_is_never_changed(staff, cast):
    holds = VatRate.objects.get(country="AT")

    sent = staff.post(f"{RATES}{holds.pk}/change/", {"country": "AT", "percent": "1"})

    assert sent.status_code == 403
    holds.percent = Decimal(1)
    with pytest.raises(vat.RateRefused, match="holds already"):
        vat.keep(actor=ACTOR, rate=holds, at=CLOSED_AT)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"starts_on": date(2026, 10, 1)}, "billed already"),
        ({"starts_on": date(2026, 12, 15)}, "the first day of a month"),
        ({"percent": Decimal(101)}, "between 0 and 100"),
        ({"percent": Decimal(-1)}, "between 0 and 100"),
        ({"country": "Austria"}, "Two capital letters"),
    ],
)
def test_a_rate_that_cannot_be_is_refused(cast, fields, reason):
    fields = {"country": "AT", "starts_on": date(2026, 11, 1), "percent": Decimal(21)} | fields

    with pytest.raises(vat.RateRefused, match=reason):
        vat.keep(actor=ACTOR, rate=VatRate(**fields), at=CLOSED_AT)


def test_a_rate_may_begin_in_this_month_and_a_countrys_first_one_at_any_time(cast):
    at = datetime(2026, 11, 20, tzinfo=UTC)
    for country, day in (("AT", date(2026, 11, 1)), ("JP", date(2019, 10, 1))):
        rate = VatRate(country=country, starts_on=day, percent=Decimal(10))

        vat.keep(actor=ACTOR, rate=rate, at=at)

        assert vat.rate(country, on=date(2026, 11, 30)) == rate
    with pytest.raises(Forbidden):
        vat.keep(actor=cast.actor(cast.rita), rate=rate, at=at)


def test_the_house_can_be_set_up_in_any_order(db):
    vat.keep(
        actor=ACTOR,
        rate=VatRate(country="JP", starts_on=date(2019, 10, 1), percent=Decimal(10)),
        at=CLOSED_AT,
    )
    price_lists.keep(
        actor=ACTOR,
        price_list=PriceList(name="Yen", audience="retail", currency="JPY"),
        at=CLOSED_AT,
    )

    assert not Event.objects.exists()
