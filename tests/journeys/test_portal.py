"""A reseller with two thousand customers finds one, opens one, and acts in one."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from accounts import invitations
from accounts.models import Event, Notice, Organisation
from hosting import customer_lists, figures, reselling
from hosting.models import SellerFigures
from tests.factories import PASSWORD, make_mailbox
from tests.hosting.billing_rows import make_list, make_profile
from tests.hosting.crowd import make_customers

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def _priced(cast):
    make_list(cast.reseller, is_default=True, pop=("1.00", 0, "0"), imap=("2.50", 5, "0.12"))
    for organisation in (cast.provider, cast.reseller, cast.customer):
        make_profile(organisation)


def count_now(cast):
    row, _ = SellerFigures.objects.get_or_create(seller=cast.reseller)
    figures.refresh(row, at=timezone.now())


@pytest.mark.usefixtures("_priced")
def test_a_reseller_walks_through_two_thousand_customers(page, cast, sign_in, look, counts):
    customers = make_customers(cast.reseller, 2_000, mailboxes=25, now=timezone.now())
    count_now(cast)
    chosen = customers[1234]
    counts(customers=len(customers))
    sign_in(cast.rita)
    page.get_by_role("link", name="Customers").click()
    expect(page.get_by_role("heading", name="Customers", exact=True)).to_be_visible()
    look("customers")
    page.get_by_label("Sort by").select_option("least")
    expect(page).to_have_url(re.compile("sort=least"))
    page.get_by_label("Limits").select_option("yes")
    expect(page).to_have_url(re.compile("limit=yes"))
    look("customers-at-a-limit")

    # From here on by keyboard alone.
    page.goto(reverse("customers:list"))
    page.keyboard.press("/")
    page.keyboard.type("customer1234.test")
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("q=customer1234.test"))
    # Long enough for a list that comes anew to take away what has the focus.
    page.keyboard.press("ArrowDown", delay=500)
    expect(page.get_by_role("link", name=chosen.name)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=chosen.name)).to_be_visible()
    look("customer")
    page.go_back()
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    page.goto(reverse("customers:list"))
    for key in ("j", "j", "k", "j"):
        page.keyboard.press(key)
    second = page.locator("#rows tbody tr").nth(1)
    expect(second.locator("th a")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("nobody of this name")
    expect(page.get_by_text("No customer matches.")).to_be_visible()
    look("customers-none")


@pytest.mark.usefixtures("_priced")
def test_a_reseller_opens_limits_and_stops_a_customer(page, cast, sign_in, look):
    sign_in(cast.rita)
    page.goto(reverse("customers:list"))
    page.get_by_role("link", name="Open a customer").click()
    look("customer-open")
    page.get_by_label("Name", exact=True).fill("Hazel & Sons")
    page.get_by_label("E-mail address of the owner").fill("dora@example.test")
    page.get_by_label("First domain").fill("hazel.test")
    page.get_by_label("Mailboxes", exact=True).fill("5")
    page.get_by_role("button", name="Open the customer").click()
    expect(page.get_by_role("status")).to_contain_text("Hazel & Sons is open.")
    page.get_by_role("link", name="Name and limits").click()
    page.get_by_label("Mail in GB").fill("20")
    look("customer-edit")
    page.get_by_role("button", name="Keep this").click()
    expect(page.get_by_text("of 20 GB")).to_be_visible()
    page.get_by_role("link", name="Suspend").click()
    page.get_by_label("Why").fill("The first bill came back")
    look("customer-suspend")
    page.get_by_role("button", name="Suspend").click()
    expect(page.get_by_text("Stopped by its seller.")).to_be_visible()
    look("customer-suspended")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Resumed")).to_be_visible()
    assert Notice.objects.get(name="invitation").to == "dora@example.test"


@pytest.mark.usefixtures("_priced")
def test_a_reseller_acts_in_a_customer_who_reads_of_it(page, cast, sign_in, look):
    make_mailbox(cast.domain)
    sign_in(cast.rita)
    page.goto(reverse("customers:detail", args=[cast.customer.uuid]))
    page.get_by_role("link", name="Act here").click()
    page.get_by_label("Why").fill("Set up the new receptionist")
    look("visit-begin")
    page.get_by_role("button", name="Act here").click()
    page.wait_for_url("**/overview/")
    expect(page.get_by_role("heading", name="You act in Alder")).to_be_visible()
    expect(page.get_by_role("link", name="Customers")).to_have_count(0)
    look("visit")
    page.get_by_role("link", name="hello@alder.test").click()
    page.get_by_label("Device").fill("Reception")
    page.get_by_role("button", name="Make").first.click()
    page.get_by_role("button", name="Leave Alder").click()
    expect(page.get_by_role("status")).to_contain_text("You left Alder.")
    page.get_by_role("button", name="Sign out").click()
    sign_in(cast.alice)
    page.get_by_role("link", name="Who acted here").click()

    expect(page.get_by_text("Set up the new receptionist")).to_be_visible()
    expect(page.get_by_text("An app password was made for “Reception”")).to_be_visible()
    look("visits")
    assert set(Event.objects.exclude(visit=None).values_list("actor_name", flat=True)) == {
        cast.rita.email
    }


@pytest.mark.usefixtures("_priced")
def test_a_reseller_brings_a_list_and_sets_a_price(page, cast, sign_in, look):
    lines = ["name,external_ref,owner_email,domain,mailboxes"]
    lines += [f"Customer {n},K-{n},,list{n}.test,10" for n in range(40)]
    lines += ["Twice,K-3,,,", "No address,,nobody,,", ",,,,", "Wrong,K-99,,not a domain,"]
    sign_in(cast.rita)
    page.goto(reverse("customers:import"))
    look("customer-lists")
    file = {"name": "new.csv", "mimeType": "text/csv", "buffer": "\n".join(lines).encode()}
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_text("40 customers would be opened")).to_be_visible()
    expect(page.get_by_text("This stands on line 5 already.")).to_be_visible()
    look("customer-list-preview")
    page.get_by_role("button", name="Open them").click()
    expect(page.get_by_text("0 of 44 lines done")).to_be_visible()
    customer_lists.resume(now=timezone.now)
    expect(page.get_by_text("44 of 44 lines done. Customers opened: 40.")).to_be_visible()
    look("customer-list-done")
    assert Organisation.objects.filter(parent=cast.reseller).count() == 41

    page.goto(reverse("customers:prices"))
    look("prices")
    page.get_by_role("link", name="Another price").last.click()
    day = timezone.now().date() + timedelta(days=40)
    page.get_by_label("From").fill(day.isoformat())
    page.get_by_label("A month").fill("2.90")
    page.get_by_role("button", name="See what it changes").click()
    expect(page.get_by_role("heading", name="What it changes")).to_be_visible()
    look("price-preview")
    page.get_by_role("button", name="Set it from").click()
    expect(page.get_by_text("2.90 EUR a month from")).to_be_visible()
    look("prices-coming")


@pytest.mark.usefixtures("_priced")
def test_whoever_is_invited_chooses_a_password_and_is_in(page, cast, look):
    customer = reselling.open_customer(
        actor=cast.actor(cast.rita),
        reseller=cast.reseller,
        name="Hazel",
        owner_email="dora@example.test",
        at=timezone.now(),
    )
    token = invitations.token_for(customer.invitations.get())
    path = reverse("accounts:invitation", args=[token])
    page.goto(path)
    look("invitation")
    page.get_by_label("Your name").fill("Dora")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Choose it and go on").click()

    page.wait_for_url("**/overview/")
    expect(page.get_by_text("Dora")).to_be_visible()
