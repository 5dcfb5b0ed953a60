"""The pages of one customer, as its seller sees them, and what others do not."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, Notice, Organisation, Visit
from hosting import figures, invoicing
from hosting.models import BillingProfile, Limits, PriceList, SellerFigures
from mailstore.models import Domain
from tests.factories import make_domain, make_mailbox, make_member
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    OCTOBER,
    counted_queries,
    make_list,
    make_profile,
    sold,
)
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


@pytest.fixture
def reader(cast):
    return client_of(make_member("ron@example.test", cast.reseller, Membership.Role.READ_ONLY))


@pytest.fixture
def _counted(cast):
    make_list(cast.reseller, is_default=True, pop=("1.00", 0, "0"), imap=("2.50", 5, "0.12"))
    make_mailbox(cast.domain)
    sold(cast.domain, "billed", "pop")
    figures.refresh(SellerFigures.objects.create(seller=cast.reseller), at=timezone.now())


def place(cast, name=""):
    return f"/customers/{cast.customer.uuid}/{name}"


def text_of(response):
    return response.content.decode()


# The list -------------------------------------------------------------------------------


@pytest.mark.usefixtures("_counted")
def test_the_list_shows_costs_to_those_who_see_bills(rita, admin, cast):
    full = text_of(rita.get("/customers/"))
    plain = text_of(admin.get("/customers/"))

    assert "You keep" in full
    assert "Costs you" in full
    assert "Alder" in plain
    assert "Costs you" not in plain
    assert "margin" not in plain


def test_a_seller_without_customers_is_told_what_to_do(cast):
    _reseller, sven = make_sibling(cast)

    assert "No customer yet" in text_of(client_of(sven).get("/customers/"))


def test_a_role_that_opens_none_is_offered_nothing(reader):
    page = text_of(reader.get("/customers/"))

    assert "Open a customer" not in page
    assert reader.get("/customers/open").status_code == 403


def test_rows_come_alone_as_one_types(rita):
    response = rita.get("/customers/?q=ald", headers={"HX-Request": "true"})

    assert text_of(response).lstrip().startswith('<div id="rows"')
    assert "HX-Request" in response.headers["Vary"]


def test_the_list_comes_whole_when_a_browser_goes_back(rita):
    headers = {"HX-Request": "true", "HX-History-Restore-Request": "true"}

    assert "<!doctype html>" in text_of(rita.get("/customers/", headers=headers))


def test_staff_see_whose_each_customer_is(cast):
    page = text_of(client_of(cast.sam).get("/customers/"))

    assert "Rowan" in page
    assert "Juniper" in page


def test_only_sellers_are_led_to_customers(cast, rita):
    assert 'href="/customers/"' in text_of(rita.get("/overview/"))
    assert 'href="/customers/"' not in text_of(client_of(cast.alice).get("/overview/"))


# One customer ---------------------------------------------------------------------------


@pytest.mark.usefixtures("_counted")
def test_a_page_tells_all_of_a_customer(cast, rita):
    for organisation in (cast.provider, cast.reseller, cast.customer):
        make_profile(organisation)
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    Limits.objects.create(organisation=cast.customer, mailboxes=2, domains=0, stored_bytes=10**9)

    page = text_of(rita.get(place(cast)))

    for said in (
        "hello@alder.test",
        "alder.test",
        "alice@example.test",
        "buys from Rowan",
        "The domain alder.test was added.",
        "hello@alder.test: The mailbox was ordered.",
        "October 2026",
        "of 1 GB",
        "Act here",
        "Suspend",
    ):
        assert said in page, said


@pytest.mark.usefixtures("_counted")
def test_a_page_shows_money_to_those_who_see_bills(cast, rita, admin):
    assert "You keep" in text_of(rita.get(place(cast)))
    plain = text_of(admin.get(place(cast)))
    assert "You keep" not in plain
    assert "Its bill" not in plain
    assert "Act here" in plain


@pytest.mark.usefixtures("_counted")
def test_the_owner_sees_no_wholesale_and_no_margin(cast):
    alice = client_of(cast.alice)

    for path in ("/overview/", f"/billing/{cast.customer.uuid}/", "/access/", "/domains/"):
        page = text_of(alice.get(path))
        for hidden in ("You keep", "Costs you", "margin", "1.67", "wholesale"):
            assert hidden not in page, (path, hidden)
    assert alice.get(place(cast)).status_code == 404
    assert alice.get("/customers/").status_code == 404


def test_a_sibling_sees_nothing(cast):
    _reseller, sven = make_sibling(cast)
    client = client_of(sven)

    for name in ("", "edit", "suspend", "enter"):
        assert client.get(place(cast, name)).status_code == 404, name
        assert client.post(place(cast, name), {"reason": "x"}).status_code in {404, 405}
    assert "Alder" not in text_of(client.get("/customers/?q=a"))
    assert not Visit.objects.exists()


def test_a_reader_is_offered_nothing_and_changes_nothing(cast, reader):
    page = text_of(reader.get(place(cast)))

    assert "Act here" not in page
    assert "Suspend" not in page
    for name in ("edit", "suspend", "enter"):
        assert reader.get(place(cast, name)).status_code == 403, name
    for name, form in (("resume", {}), ("invite", {"email": "dora@example.test"})):
        assert reader.post(place(cast, name), form).status_code == 403, name


@pytest.mark.parametrize("count", [1, 3])
def test_a_page_asks_a_fixed_number_of_queries(cast, rita, count):
    for number in range(count):
        make_mailbox(cast.domain, f"box{number}")
        make_member(f"p{number}@example.test", cast.customer, Membership.Role.ADMIN)

    with counted_queries() as counted:
        rita.get(place(cast))

    assert counted() == 19


def test_its_mailboxes_are_searched_and_paged(cast, rita):
    for number in range(60):
        make_mailbox(cast.domain, f"box{number:02}")

    first = rita.get(place(cast))
    second = rita.get(place(cast) + first.context["next_url"])
    found = rita.get(place(cast, "?q=box07"), headers={"HX-Request": "true"})

    assert [len(p.context["mailboxes"]) for p in (first, second, found)] == [50, 10, 1]
    assert text_of(found).lstrip().startswith('<div id="rows"')
    assert f'href="{place(cast)}' in text_of(found) or "hx-get" in text_of(found)


def test_other_mailboxes_of_the_reseller_are_not_among_them(cast, rita):
    other = Organisation.objects.create(kind="customer", name="Hazel", parent=cast.reseller)
    make_mailbox(make_domain("hazel.test", other), "hidden")

    assert "hidden@" not in text_of(rita.get(place(cast)))


# Opening --------------------------------------------------------------------------------


def test_the_form_opens_a_customer(cast, rita):
    asked = {
        "seller": str(cast.reseller.uuid),
        "name": "Hazel",
        "owner_email": "dora@example.test",
        "external_ref": "A-9",
        "domain": "hazel.test",
        "mailboxes": "5",
        "gigabytes": "1.5",
        "address": "Mill Lane 4",
        "country": "AT",
    }

    answer = rita.post("/customers/open", asked, follow=True)

    customer = Organisation.objects.get(name="Hazel")
    limits = Limits.objects.get(organisation=customer)
    assert "Hazel is open." in text_of(answer)
    assert (limits.mailboxes, limits.domains, limits.stored_bytes) == (5, None, 1_500_000_000)
    assert BillingProfile.objects.get(organisation=customer).legal_name == "Hazel"
    assert Domain.objects.get(name="hazel.test").organisation == customer
    assert Notice.objects.get().to == "dora@example.test"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "Ha\u202ezel"}, "name"),
        ({"owner_email": "nobody"}, "owner_email"),
        ({"domain": "alder.test"}, "domain"),
        ({"mailboxes": "-1"}, "mailboxes"),
        ({"gigabytes": "1e99"}, "gigabytes"),
        ({"country": "AT"}, "address"),
        ({"address": "Mill Lane"}, "country"),
        ({"vat_id": "ATU1"}, "address"),
        ({"address": "x", "country": "AT", "vat_id": "nonsense"}, "address"),
    ],
)
def test_the_form_says_beside_the_field_what_is_wrong(cast, rita, changed, field):
    asked = {"seller": str(cast.reseller.uuid), "name": "Hazel"} | changed

    answer = rita.post("/customers/open", asked)

    assert answer.status_code == 422
    assert field in answer.context["form"].errors
    assert not Organisation.objects.filter(name="Hazel").exists()


def test_nobody_opens_one_below_a_sibling(cast, rita):
    sibling, _sven = make_sibling(cast)

    for foreign in (sibling, cast.provider, cast.customer):
        asked = {"seller": str(foreign.uuid), "name": "Hazel"}
        assert rita.post("/customers/open", asked).status_code == 422
    assert not Organisation.objects.filter(name="Hazel").exists()


def test_a_sellers_lists_are_offered_and_no_strangers(cast, rita):
    sibling, _sven = make_sibling(cast)
    own = make_list(cast.reseller, currency="USD", imap=("3", 5, "0.2"))
    foreign = make_list(sibling, currency="GBP", imap=("3", 5, "0.2"))

    offered = rita.get("/customers/open").context["form"].fields["price_list"].queryset

    assert own in offered
    assert foreign not in offered
    assert not offered.filter(audience="wholesale").exists()


def test_an_admin_is_not_asked_for_billing(admin, cast):
    assert "Billing details" not in text_of(admin.get("/customers/open"))

    asked = {"seller": str(cast.reseller.uuid), "name": "Hazel", "country": "AT"}
    assert admin.post("/customers/open", asked).status_code == 302


def test_staff_choose_the_seller(cast):
    sam = client_of(cast.sam)

    sam.post("/customers/open", {"seller": str(cast.provider.uuid), "name": "Hazel"})

    assert "Rowan" in text_of(sam.get("/customers/open"))
    assert Organisation.objects.get(name="Hazel").parent == cast.provider


# Name, limits, stopping, people ---------------------------------------------------------


def test_name_limits_and_cap_are_kept(cast, rita):
    make_list(cast.reseller, is_default=True, imap=("2.50", 5, "0.12"))
    asked = {"name": "Alder & Sons", "mailboxes": "9", "gigabytes": "2", "spend_cap": "30.50"}

    rita.post(place(cast, "edit"), asked)

    cast.customer.refresh_from_db()
    limits = Limits.objects.get(organisation=cast.customer)
    assert cast.customer.name == "Alder & Sons"
    assert (limits.mailboxes, limits.stored_bytes) == (9, 2 * 10**9)
    assert limits.spend_cap_minor == 3050
    shown = text_of(rita.get(place(cast, "edit")))
    assert 'value="30.50"' in shown
    assert 'value="2"' in shown


def test_a_role_that_caps_nothing_is_not_asked_for_a_cap(cast, admin):
    assert "Spend cap" not in text_of(admin.get(place(cast, "edit")))
    assert admin.post(place(cast, "edit"), {"name": "Alder"}).status_code == 302


def test_without_prices_there_is_no_cap_to_set(cast, rita):
    PriceList.objects.update(is_default=False)

    assert "Spend cap" not in text_of(rita.get(place(cast, "edit")))


def test_a_taken_reference_is_said_beside_it(cast, rita):
    Organisation.objects.create(
        kind="customer", name="Hazel", parent=cast.reseller, external_ref="A-1"
    )

    answer = rita.post(place(cast, "edit"), {"name": "Alder", "external_ref": "A-1"})

    assert answer.status_code == 422
    assert "external_ref" in answer.context["form"].errors


def test_a_customer_is_suspended_and_resumed_by_pages(cast, rita):
    rita.post(place(cast, "suspend"), {"reason": "Asked by telephone"})
    stopped = text_of(rita.get(place(cast)))
    own = text_of(client_of(cast.alice).get("/overview/"))
    rita.post(place(cast, "resume"))
    again = rita.post(place(cast, "resume"), follow=True)

    assert "Stopped by its seller." in stopped
    assert "Alder is stopped by Rowan." in own
    assert "Asked by telephone" in own
    cast.customer.refresh_from_db()
    assert cast.customer.state == "active"
    assert "any more" in text_of(again)


def test_suspending_needs_a_reason(cast, rita):
    assert rita.post(place(cast, "suspend"), {"reason": " "}).status_code == 422


def test_a_closed_customer_is_not_suspended_by_the_page(cast, rita):
    Organisation.objects.filter(pk=cast.customer.pk).update(state="closed")

    answer = rita.post(place(cast, "suspend"), {"reason": "x"}, follow=True)

    assert "is closed already" in text_of(answer)
    assert "Take the closing back" in text_of(answer)


def test_an_owner_is_invited_and_shown_as_waiting(cast):
    answer = signed_in(cast.rita).post(
        place(cast, "invite"), {"email": "Dora@example.test"}, follow=True
    )

    assert "A letter is on its way to dora@example.test" in text_of(answer)
    assert "invited, and not here yet" in text_of(answer)


@pytest.mark.parametrize("email", ["", "nobody", f"{'a' * 60}@{'bb.' * 70}test"])
def test_a_wrong_address_is_said_on_the_page(cast, rita, email):
    answer = rita.post(place(cast, "invite"), {"email": email})

    assert answer.status_code == 422
    assert not Notice.objects.exists()


def test_a_closing_that_was_asked_for_stands_on_the_page(cast, rita):
    rita.post(f"/organisations/{cast.customer.uuid}/close", {"name": "Alder"})

    assert "It closes on" in text_of(rita.get(place(cast)))
