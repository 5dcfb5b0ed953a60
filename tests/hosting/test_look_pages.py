"""The pages of a reseller's look: tried out, previewed, kept, put back; style sheet and logo."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts import membership
from accounts.access import system
from accounts.models import Membership, Organisation
from hosting import panel_hosts
from hosting.models import Brand, Logo, PanelHost
from hosting.views import errors, look_of
from tests.factories import AT
from tests.hosting.billing_rows import make_logo, make_profile
from tests.hosting.brand_rows import HOST, make_brand, make_host
from tests.hosting.test_profiles import picture
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

GIVEN = {
    "product_name": "Rowan Post",
    "accent": "#7a1f4b",
    "accent_dark": "",
    "support_email": "help@rowan.test",
    "support_url": "https://rowan.test/help",
}


@pytest.fixture(autouse=True)
def _forget():
    panel_hosts.forget()
    yield
    panel_hosts.forget()


@pytest.fixture
def rita(cast):
    client = Client()
    signed_in(cast.rita, client)
    return client


@pytest.fixture
def url(cast):
    return lambda name="detail": reverse(f"look:{name}", args=[cast.reseller.uuid])


@pytest.fixture
def alice(cast):
    client = Client()
    signed_in(cast.alice, client)
    return client


def text_of(response):
    return response.content.decode()


def errors_of(response, form="form"):
    return {name: list(texts) for name, texts in response.context[form].errors.items()}


# Trying out -----------------------------------------------------------------------------


def test_what_is_tried_out_is_seen_by_nobody_else(rita, alice, url):
    response = rita.post(url("try_out"), GIVEN, follow=True)

    shown = text_of(response)
    assert response.redirect_chain == [(url("preview"), 302)]
    assert "· Rowan Post" in shown
    assert re.search(r'href="/brand/7a1f4b-[0-9a-f]{6}-[0-9a-f]{16}\.css"', shown)
    assert not Brand.objects.exists()
    assert "Rowan Post" not in text_of(alice.get("/overview/"))
    assert "Rowan Post" not in text_of(rita.get("/overview/"))


def test_what_was_tried_out_is_kept_by_a_button(rita, alice, url):
    rita.post(url("try_out"), GIVEN)

    response = rita.post(url("keep"), follow=True)

    assert "Your customers see it from now on." in text_of(response)
    assert response.context["is_draft"] is False
    overview = text_of(alice.get("/overview/"))
    assert "Rowan Post" in overview
    assert 'href="https://rowan.test/help"' in overview
    assert "mail held until it is called for" not in overview


def test_what_was_tried_out_is_dropped_by_a_button(rita, url):
    rita.post(url("try_out"), GIVEN)

    response = rita.post(url("forget"), follow=True)

    assert response.context["form"]["product_name"].value() == "Rowan"
    rita.post(url("forget"))


def test_form_goes_on_with_what_is_tried_out(rita, url, cast):
    make_brand(cast.reseller, product_name="Old Name")
    rita.post(url("try_out"), GIVEN)

    response = rita.get(url())

    assert response.context["is_draft"]
    assert response.context["form"]["product_name"].value() == "Rowan Post"
    assert Brand.objects.get().product_name == "Old Name"


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("accent", "#f5c400", "The nearest that can be read is #866b00."),
        ("accent", "yellow", "Write a colour as # and six signs"),
        ("accent_dark", "#24479f", "hard to read on dark pages"),
        ("product_name", "", "required"),
        ("product_name", "a@b", "none of"),
        ("support_email", "x", "valid email"),
        ("support_url", "http://rowan.test", "https://"),
        ("support_url", "https://a@rowan.test", "without a name"),
    ],
)
def test_refusal_stands_beside_its_field(rita, url, field, value, text):
    response = rita.post(url("try_out"), {**GIVEN, field: value})

    assert text in " ".join(errors_of(response)[field])
    assert not rita.session.get("brand_drafts")


def test_keeping_nothing_that_was_tried_keeps_what_the_form_began_with(rita, url):
    rita.post(url("keep"))

    assert Brand.objects.get().product_name == "Rowan"


def test_keeping_is_refused_where_the_verb_refuses(rita, url, cast):
    session = rita.session
    session["brand_drafts"] = {
        str(cast.reseller.uuid): {**GIVEN, "accent": "#f5c400", "logo": None}
    }
    session.save()

    response = rita.post(url("keep"), follow=True)

    assert "The nearest that can be read" in text_of(response)
    assert not Brand.objects.exists()


# The logo -------------------------------------------------------------------------------


def logo_given(content):
    return {**GIVEN, "logo": SimpleUploadedFile("logo.png", content)}


def test_logo_is_shown_in_the_preview_and_then_to_all(rita, alice, url):
    preview = rita.post(url("try_out"), logo_given(picture()), follow=True)
    assert f'src="{url("draft_logo")}"' in text_of(preview)
    assert rita.get(url("draft_logo")).headers["Content-Type"] == "image/png"

    rita.post(url("keep"))

    logo_path = reverse("brand:logo", args=[Brand.objects.get().uuid, Logo.objects.get().pk])
    assert f'src="{logo_path}"' in text_of(alice.get("/overview/"))
    served = Client().get(logo_path)
    assert served.status_code == 200
    assert served.headers["Content-Type"] == "image/png"
    assert served.headers["X-Content-Type-Options"] == "nosniff"
    assert served.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert "immutable" in served.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"<svg onload='alert(1)'/>", "no PNG or JPEG"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 300_000, "more than 200 kB"),
        (b"GIF89a", "no PNG or JPEG"),
    ],
)
def test_file_that_is_no_harmless_picture_is_refused(rita, url, content, text):
    response = rita.post(url("try_out"), logo_given(content))

    assert text in " ".join(errors_of(response)["logo"])
    assert not Logo.objects.exists()


def test_logo_stays_until_it_is_taken_off(rita, url, cast):
    make_brand(cast.reseller, logo=make_logo(cast.reseller))

    rita.post(url("try_out"), {**GIVEN, "product_name": "Other"})
    rita.post(url("keep"))
    assert Brand.objects.get().logo is not None
    rita.post(url("try_out"), {**GIVEN, "without_logo": "on"})
    assert rita.get(url("draft_logo")).status_code == 404
    rita.post(url("keep"))

    assert Brand.objects.get().logo is None


def test_logo_that_was_forgotten_meanwhile_is_left_out(rita, url):
    rita.post(url("try_out"), logo_given(picture()))
    Logo.objects.all().delete()

    assert rita.get(url("preview")).status_code == 200
    rita.post(url("keep"))

    assert Brand.objects.get().logo is None


def test_logo_of_somebody_else_is_never_shown(rita, url, cast):
    foreign = make_logo(cast.provider)
    session = rita.session
    session["brand_drafts"] = {str(cast.reseller.uuid): {**GIVEN, "logo": foreign.pk}}
    session.save()

    assert rita.get(url("draft_logo")).status_code == 404


def test_logo_by_another_version_is_absent(cast):
    brand = make_brand(cast.reseller, logo=make_logo(cast.reseller))
    other = make_logo(cast.reseller)

    assert Client().get(reverse("brand:logo", args=[brand.uuid, other.pk])).status_code == 404


# Putting back ---------------------------------------------------------------------------


def test_look_of_the_house_comes_back_and_the_own_one_waits(rita, alice, url, cast):
    make_brand(cast.reseller)

    rita.post(url("put_back"))

    assert "Rowan Post" not in text_of(alice.get("/overview/"))
    assert rita.get(url()).context["form"]["product_name"].value() == "Rowan Post"
    rita.post(url("keep"))
    assert "Rowan Post" in text_of(alice.get("/overview/"))


def test_putting_back_nothing_does_nothing(rita, url):
    rita.post(url("put_back"))

    assert not rita.session.get("brand_drafts")


# The style sheet ------------------------------------------------------------------------


def test_style_sheet_is_served_for_good_and_says_only_colours(cast, alice):
    make_brand(cast.reseller)
    page = text_of(alice.get("/overview/"))
    [path] = re.findall(r'href="(/brand/[^"]+\.css)"', page)

    response = Client().get(path)

    assert response.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "immutable" in response.headers["Cache-Control"]
    assert "max-age=31536000" in response.headers["Cache-Control"]
    assert "Cookie" not in response.headers.get("Vary", "")
    assert "--accent:#7a1f4b;" in text_of(response)
    # It stands after the tokens that it replaces.
    assert page.index("css/tokens.css") < page.index(path)


@pytest.mark.parametrize(
    "path",
    [
        "/brand/7a1f4b-7a1f4b-0000000000000000.css",
        "/brand/7a1f4b.css",
        "/brand/7A1F4B-7a1f4b-0000000000000000.css",
        "/brand/url(x)-7a1f4b-0000000000000000.css",
        "/brand/7a1f4b;-7a1f4b-0000000000000000.css",
    ],
)
def test_style_sheet_by_another_name_is_absent(path):
    response = Client().get(path)

    assert response.status_code == 404
    assert "immutable" not in response.headers.get("Cache-Control", "")


def test_house_has_no_style_sheet_of_its_own(cast):
    make_brand(cast.reseller)

    assert "/brand/" not in text_of(Client().get("/"))


# The host name --------------------------------------------------------------------------


def test_name_is_asked_for_and_its_records_are_shown(rita, url, settings):
    settings.PANEL_URL = "https://panel.house.test"

    response = rita.post(url("claim_host"), {"name": "Panel.Rowan.test"}, follow=True)

    host = PanelHost.objects.get()
    shown = text_of(response)
    assert host.name == HOST
    for text in (HOST, "panel.house.test", f"_panel-proof.{HOST}", f"panel-proof={host.token}"):
        assert f">{text}</code>" in shown
    assert "We have not looked yet." in shown


def test_name_that_cannot_be_had_is_said_beside_the_field(rita, url):
    response = rita.post(url("claim_host"), {"name": "localhost"})

    assert "whole host name" in " ".join(errors_of(response, "host_form")["name"])


def test_empty_name_is_asked_for_again(rita, url):
    response = rita.post(url("claim_host"), {})

    assert errors_of(response, "host_form")["name"] == ["This field is required."]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "Your customers sign in at"),
        ({"state": "waiting", "verified_at": None}, "Waits for its records"),
        (
            {"state": "waiting", "verified_at": None, "problem": "no_proof"},
            "The TXT record is missing",
        ),
        ({"problem": "leads_elsewhere"}, "If that stays so for a week"),
    ],
)
def test_page_says_how_the_name_stands(rita, url, cast, fields, text):
    failing = {"failing_since": AT} if fields.get("problem") == "leads_elsewhere" else {}
    make_host(cast.reseller, checked_at=AT, **fields, **failing)

    assert text in text_of(rita.get(url()))


def test_records_are_looked_at_by_a_button(rita, url, cast):
    host = make_host(cast.reseller, due_at=None)

    rita.post(url("look_at_host"))

    host.refresh_from_db()
    assert host.due_at is not None


def test_name_is_given_up_once_it_was_typed(rita, url, cast):
    make_host(cast.reseller)

    refused = rita.post(url("give_up_host"), {"name": "panel"}, follow=True)
    assert "Type the host name" in text_of(refused)
    assert PanelHost.objects.exists()
    rita.post(url("give_up_host"), {"name": f" {HOST.upper()} "})

    assert not PanelHost.objects.exists()
    assert "Type the host name" in text_of(rita.post(url("give_up_host"), follow=True))


# Who ------------------------------------------------------------------------------------


def test_owner_is_led_to_the_own_look(rita, url):
    response = rita.get("/look/")

    assert response.headers["Location"] == url()


@pytest.mark.parametrize("person", ["alice", "bob", "charlie", "sam"])
def test_nobody_else_has_such_a_page(cast, person, url):
    client = Client()
    signed_in(getattr(cast, person), client)

    assert client.get("/look/").status_code == 404
    assert client.get(url()).status_code == 404
    assert client.post(url("keep")).status_code == 404


def test_page_of_the_details_leads_there(rita, cast, url, alice):
    make_profile(cast.reseller)

    at_rowan = f"/billing/profile/{cast.reseller.uuid}/"
    assert url() in text_of(rita.get(at_rowan))
    of_alder = f"/billing/profile/{cast.customer.uuid}/"
    assert "/look/" not in text_of(alice.get(of_alder))
    assert "/look/" not in text_of(rita.get(of_alder))


def test_two_resellers_drafts_do_not_mix(rita, cast, url):
    other = Organisation.objects.create(kind="reseller", name="Sorrel", parent=cast.provider)
    membership.add_member(
        actor=system("x"), organisation=other, user=cast.rita, role=Membership.Role.OWNER, at=AT
    )
    rita.post(url("try_out"), GIVEN)

    response = rita.get(reverse("look:detail", args=[other.uuid]))

    assert response.context["form"]["product_name"].value() == "Sorrel"


# Mishaps --------------------------------------------------------------------------------


def test_page_made_before_anybody_is_known_is_in_the_houses_name(settings):
    settings.HOUSE_NAME = "The House"
    request = RequestFactory().get("/")

    assert look_of(request).name == "The House"
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    assert look_of(request).name == "The House"


def test_bad_request_says_in_whose_name(settings):
    settings.HOUSE_NAME = "The House"

    response = errors.bad_request(RequestFactory().get("/"), ValueError())

    assert response.status_code == 400
    assert "The House" in text_of(response)
