"""Billing details: who keeps whose, what is refused, and what stays on bills."""

from __future__ import annotations

import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from accounts.access import Forbidden
from accounts.models import Event, Membership, Organisation
from hosting import invoicing, profiles
from hosting.models import BillingProfile, Invoice, Logo
from hosting.views import profiles as views
from tests.factories import make_member
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, OCTOBER, make_logo, make_profile, sold
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

GIVEN = {
    "legal_name": "Alder Books Ltd",
    "address": "Mill Lane 4\n1010 Vienna",
    "country": "AT",
    "vat_id": "atu 12345678",
    "pools_storage": "on",
}


def client_of(user):
    client = Client()
    signed_in(user, client)
    return client


def url(organisation, name=""):
    return f"/billing/profile/{organisation.uuid}/{name}"


def picture(colour="navy", size=(120, 40)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def upload(content, name="logo.png"):
    return {"logo": SimpleUploadedFile(name, content)}


def errors_of(response, form="form"):
    return [text for texts in response.context[form].errors.values() for text in texts]


# The details ----------------------------------------------------------------------------


def test_an_owner_fills_in_what_bills_say(cast):
    client_of(cast.alice).post(url(cast.customer), GIVEN)

    kept = BillingProfile.objects.get(organisation=cast.customer)
    assert (kept.legal_name, kept.vat_id, kept.country) == ("Alder Books Ltd", "ATU12345678", "AT")
    assert kept.pools_storage
    [event] = Event.objects.filter(kind="billing_profile.changed")
    assert (event.organisation, event.actor_name) == (cast.customer, cast.alice.email)
    assert "legal_name" in event.data["changed"]


def test_the_page_shows_how_it_stands_on_invoices(cast):
    make_profile(cast.customer, vat_id="ATU12345678")

    html = client_of(cast.alice).get(url(cast.customer)).content.decode()

    assert "Alder Ltd" in html
    assert "VAT id ATU12345678" in html
    assert "Add the logo" not in html


def test_what_did_not_change_leaves_no_event(cast):
    alice = client_of(cast.alice)
    for _turn in range(2):
        alice.post(url(cast.customer), GIVEN)

    assert Event.objects.filter(kind="billing_profile.changed").count() == 1


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"legal_name": ""}, "required"),
        ({"legal_name": "x" * 201}, "at most 200"),
        ({"legal_name": "\u202eevil"}, "cannot be printed"),
        ({"legal_name": "a\tb"}, "cannot be printed"),
        ({"address": "a\x1b[31m"}, "cannot be printed"),
        ({"address": "x" * 601}, "at most 600"),
        ({"address": " \n "}, "required"),
        ({"country": ""}, "required"),
        ({"country": "XX"}, "not one of the available"),
        ({"country": "at"}, "not one of the available"),
        ({"vat_id": "DE123456789"}, "looks like ATU12345678"),
        ({"country": "DE"}, "looks like DE123456789"),
        ({"vat_id": "=1+1"}, "looks like"),
    ],
)
def test_what_cannot_stand_on_a_bill_is_refused_with_the_reason(cast, wrong, reason):
    page = client_of(cast.alice).post(url(cast.customer), GIVEN | wrong)

    assert page.status_code == 200
    [error] = errors_of(page)
    assert reason in error
    assert not BillingProfile.objects.filter(organisation=cast.customer).exists()


def test_what_was_issued_stays_and_the_next_bill_says_it_anew(cast):
    make_profile(cast.provider)
    make_profile(cast.other_customer)
    sold(cast.other_domain, "a", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)

    given = {name: value for name, value in GIVEN.items() if name != "pools_storage"}
    client_of(cast.charlie).post(url(cast.other_customer), given)
    invoicing.close_month(actor=ACTOR, period=OCTOBER.next, at=OCTOBER.next.ends_at)

    names = Invoice.objects.order_by("period").values_list("customer_text__name", flat=True)
    assert list(names) == ["Juniper Ltd", "Alder Books Ltd"]


def test_two_who_fill_it_in_for_the_first_time_at_once_make_one(cast):
    first, second = (profiles.of(cast.customer) for _turn in range(2))
    for profile in (first, second):
        profile.address, profile.country = "Mill Lane 4", "AT"
    profiles.keep(actor=cast.actor(cast.alice), profile=first, at=CLOSED_AT)
    second.legal_name = "Another"

    with pytest.raises(profiles.ProfileRefused, match="Somebody else"):
        profiles.keep(actor=cast.actor(cast.alice), profile=second, at=CLOSED_AT)

    assert BillingProfile.objects.get(organisation=cast.customer).legal_name == "Alder"


def test_what_somebody_else_changed_meanwhile_stays(cast):
    make_profile(cast.customer)
    owners, staffs = (profiles.of(cast.customer) for _turn in range(2))
    staffs.payment_days, owners.address = 60, "Elm Road 9"
    profiles.keep(actor=ACTOR, profile=staffs, asked=["payment_days"], at=CLOSED_AT)

    profiles.keep(actor=ACTOR, profile=owners, asked=["address"], at=CLOSED_AT)

    kept = BillingProfile.objects.get(organisation=cast.customer)
    assert (kept.address, kept.payment_days) == ("Elm Road 9", 60)


def test_a_page_that_was_open_for_long_writes_what_was_changed_on_it_alone(cast):
    make_profile(cast.customer)
    alice = client_of(cast.alice)
    shown = alice.get(url(cast.customer)).context["form"]
    opened = {
        prefix + name: str(shown[name].value() or "")
        for name in ("legal_name", "address", "country", "vat_id")
        for prefix in ("", "initial-")
    }
    BillingProfile.objects.filter(organisation=cast.customer).update(address="Elm Road 9")

    alice.post(url(cast.customer), opened | {"legal_name": "Alder Books Ltd"})

    kept = BillingProfile.objects.get(organisation=cast.customer)
    assert (kept.legal_name, kept.address) == ("Alder Books Ltd", "Elm Road 9")


def test_a_page_writes_what_was_changed_on_it_alone(cast, monkeypatch):
    make_profile(cast.customer)
    kept = BillingProfile.objects.filter(organisation=cast.customer)
    load = profiles.of

    def load_just_before(organisation):
        profile = load(organisation)
        kept.update(payment_days=60)
        return profile

    monkeypatch.setattr(profiles, "of", load_just_before)

    client_of(cast.alice).post(url(cast.customer), {**GIVEN, "address": "Elm Road 9"})

    assert kept.get().payment_days == 60
    assert kept.get().address == "Elm Road 9"


def test_the_page_says_so_too(cast, monkeypatch):
    def refuse(**_named):
        raise profiles.ProfileRefused("Somebody else was faster.")

    monkeypatch.setattr(profiles, "keep", refuse)

    page = client_of(cast.alice).post(url(cast.customer), GIVEN)

    assert errors_of(page) == ["Somebody else was faster."]


def test_the_verb_refuses_what_no_form_has_seen(cast):
    profile = BillingProfile(organisation=cast.customer, legal_name="A", address="B", country="??")

    with pytest.raises(profiles.ProfileRefused, match="Two capital letters"):
        profiles.keep(actor=ACTOR, profile=profile, at=CLOSED_AT)


# Whose ----------------------------------------------------------------------------------


def test_a_reseller_keeps_its_own_and_its_customers_details(cast):
    listed = client_of(cast.rita).get("/billing/profile/")

    assert [each.name for each in listed.context["organisations"]] == ["Rowan", "Alder"]
    assert client_of(cast.rita).get(url(cast.customer)).status_code == 200


def test_lists_are_searched_and_paged(cast, monkeypatch):
    monkeypatch.setattr(views, "PAGE_LENGTH", 2)
    for name in ("Birch", "Cedar"):
        Organisation.objects.create(kind="customer", name=name, parent=cast.reseller)
    rita = client_of(cast.rita)

    first = rita.get("/billing/profile/")
    second = rita.get("/billing/profile/" + first.context["next_url"])

    shown = [[each.name for each in page.context["organisations"]] for page in (first, second)]
    assert shown == [["Rowan", "Alder"], ["Birch", "Cedar"]]
    found = rita.get("/billing/profile/?q=bir")
    assert [each.name for each in found.context["organisations"]] == ["Birch"]
    assert "Nobody of that name" in rita.get("/billing/profile/?q=juniper").content.decode()


def test_whoever_keeps_one_is_led_straight_to_it(cast):
    answer = client_of(cast.alice).get("/billing/profile/")

    assert answer.headers["Location"] == url(cast.customer)


@pytest.mark.parametrize("role", [Membership.Role.ADMIN, Membership.Role.READ_ONLY])
def test_roles_that_see_no_bills_keep_no_details(cast, role):
    user = make_member("erin@example.test", cast.customer, role)

    assert client_of(user).post(url(cast.customer), GIVEN).status_code == 404
    with pytest.raises(Forbidden):
        profiles.keep(actor=cast.actor(user), profile=profiles.of(cast.customer), at=CLOSED_AT)
    with pytest.raises(Forbidden):
        profiles.set_logo(
            actor=cast.actor(user), organisation=cast.customer, content=b"", at=CLOSED_AT
        )


# Logos ----------------------------------------------------------------------------------


@pytest.fixture
def seller(cast):
    make_profile(cast.reseller)
    return cast.reseller


def test_a_reseller_sets_sees_replaces_and_removes_its_logo(cast, seller):
    rita = client_of(cast.rita)

    rita.post(url(seller, "logo/set"), upload(picture()))
    shown = rita.get(url(seller, "logo"))
    rita.post(url(seller, "logo/set"), upload(picture("red")))
    replaced = rita.get(url(seller, "logo"))
    page = rita.get(url(seller)).content.decode()
    for _turn in range(2):
        rita.post(url(seller, "logo/remove"))

    assert shown.headers["Content-Type"] == "image/png"
    assert shown.content != replaced.content
    assert "Replace the logo" in page
    assert rita.get(url(seller, "logo")).status_code == 404
    assert Event.objects.filter(kind="billing_profile.changed").count() == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<svg onload='alert(1)'/>", "no PNG or JPEG"),
        (b"\0" * 200_001, "200 kB"),
        (picture(size=(4000, 1001)), "four million dots"),
    ],
)
def test_a_file_that_is_no_logo_is_refused_with_the_reason(cast, seller, content, reason):
    page = client_of(cast.rita).post(url(seller, "logo/set"), upload(content))

    [error] = errors_of(page, "logo_form")
    assert reason in error
    assert not Logo.objects.exists()


def test_no_file_at_all_is_refused(cast, seller):
    page = client_of(cast.rita).post(url(seller, "logo/set"))

    assert errors_of(page, "logo_form") == ["This field is required."]


def test_a_logo_needs_a_name_first(cast):
    page = client_of(cast.rita).post(url(cast.reseller, "logo/set"), upload(picture()))
    removed = client_of(cast.rita).post(url(cast.reseller, "logo/remove"), follow=True)

    assert errors_of(page, "logo_form") == ["Fill in the name and the address first."]
    assert "Fill in the name" in removed.content.decode()


def test_who_sells_nothing_has_no_logo(cast):
    make_profile(cast.customer)

    page = client_of(cast.alice).post(url(cast.customer, "logo/set"), upload(picture()))

    assert errors_of(page, "logo_form") == ["Only who sells has a logo on its bills."]


def test_logos_that_no_bill_shows_are_forgotten_and_the_others_kept(cast, seller):
    make_profile(cast.provider)
    sold(cast.domain, "a", "pop")
    on_bill, unused, last = (make_logo(seller, c) for c in ("red", "green", "blue"))
    BillingProfile.objects.filter(organisation=seller).update(logo=on_bill)
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    BillingProfile.objects.filter(organisation=seller).update(logo=last)

    new = profiles.set_logo(
        actor=cast.actor(cast.rita), organisation=seller, content=picture(), at=CLOSED_AT
    )

    # The one before the new one may be in use by a close at this moment.
    assert set(Logo.objects.all()) == {on_bill, last, new}
    assert unused not in Logo.objects.all()


# Asking for them ------------------------------------------------------------------------


def test_whoever_orders_is_asked_for_an_address_until_there_is_one(cast):
    asked = f"Bills to {cast.customer} have no address yet"

    def order_page(user):
        return client_of(user).get("/mailboxes/order").content.decode()

    assert asked in order_page(cast.alice)
    assert url(cast.customer) in order_page(cast.alice)
    # Bob sees no bills, and staff buy nothing.
    assert "have no address yet" not in order_page(cast.bob)
    assert "have no address yet" not in order_page(cast.sam)
    make_profile(cast.customer)
    assert "have no address yet" not in order_page(cast.alice)
