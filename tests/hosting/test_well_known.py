"""To whom somebody writes who has found a hole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.checks import run_checks
from django.test import Client
from django.utils import timezone

from hosting import checks, well_known
from hosting.panel_hosts import forget
from tests.hosting.brand_rows import HOST, make_brand, make_host

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

PATH = "/.well-known/security.txt"


@pytest.fixture
def contact(settings):
    settings.SECURITY_CONTACTS = ["security@house.test", "https://house.test/report"]
    settings.SECURITY_POLICY_URL = "https://house.test/security"
    settings.PANEL_URL = "https://panel.house.test"


def fields(response):
    lines = response.content.decode().splitlines()
    return [tuple(line.split(": ", 1)) for line in lines]


def test_file_says_what_the_rfc_wants(contact):
    response = Client().get(PATH)
    found = fields(response)

    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "Vary" not in response.headers or "Cookie" not in response.headers["Vary"]
    expires = dict(found)["Expires"]
    assert found == [
        ("Contact", "mailto:security@house.test"),
        ("Contact", "https://house.test/report"),
        ("Expires", expires),
        ("Preferred-Languages", "en"),
        ("Canonical", f"https://panel.house.test{PATH}"),
        ("Policy", "https://house.test/security"),
    ]


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2028, 12, 31, tzinfo=UTC),
        timezone.now(),
    ],
)
def test_file_is_good_for_months_and_for_less_than_a_year(at):
    text = well_known.security_txt(
        contacts=["a@b.test"], panel_url="https://x", policy_url="", languages=["en"], at=at
    )

    line = next(line for line in text.splitlines() if line.startswith("Expires: "))
    expires = datetime.fromisoformat(line.removeprefix("Expires: "))
    assert line.endswith("Z")
    assert timedelta(days=60) < expires - at < timedelta(days=365)


def test_without_a_contact_the_address_of_the_letters_is_named(settings):
    settings.SECURITY_CONTACTS = []
    settings.DEFAULT_FROM_EMAIL = "The panel <panel@house.test>"

    assert dict(fields(Client().get(PATH)))["Contact"] == "mailto:panel@house.test"


@pytest.mark.parametrize(
    ("is_public", "contacts", "found"),
    [(True, [], ["hosting.I003"]), (True, ["a@b.test"], []), (False, [], [])],
)
def test_a_public_panel_is_told_to_choose_a_contact(is_public, contacts, found, settings):
    settings.PANEL_IS_PUBLIC, settings.SECURITY_CONTACTS = is_public, contacts

    assert [message.id for message in checks.chosen_contact()] == found


def test_letters_that_come_from_nowhere_are_found_before_the_start(settings):
    settings.SECURITY_CONTACTS, settings.DEFAULT_FROM_EMAIL = [], "nobody"

    assert "hosting.E004" in [each.id for each in run_checks()]


def test_host_of_a_reseller_names_itself_and_the_house_that_can_mend_it(contact, cast, settings):
    settings.ALLOWED_HOSTS = ["panel.house.test"]
    make_brand(cast.reseller)
    make_host(cast.reseller)
    forget()

    found = dict(fields(Client(headers={"host": HOST}).get(PATH)))

    assert found["Canonical"] == f"https://{HOST}{PATH}"
    assert found["Contact"] == "https://house.test/report"


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("a@b.test", "mailto:a@b.test"),
        ("mailto:a@b.test", "mailto:a@b.test"),
        ("https://b.test/report", "https://b.test/report"),
        ("http://b.test/", None),
        ("javascript:alert(1)", None),
        ("a@b.test\nContact: mailto:c@d.test", None),
        ("https://b.test/\nContact: x", None),
        ("https://", None),
        ("", None),
        ("nobody", None),
        ("https://[", None),
    ],
)
def test_contact_is_an_address_or_a_page(text, uri, settings):
    settings.SECURITY_CONTACTS = [text]
    found = [each.id for each in run_checks()]

    assert ("hosting.E004" in found) is (uri is None)
    if uri is None:
        with pytest.raises(ValueError, match="neither"):
            well_known.contact_uri(text)
    else:
        assert well_known.contact_uri(text) == uri


@pytest.mark.parametrize(
    ("url", "is_wrong"), [("", False), ("https://b.test/", False), ("x", True)]
)
def test_policy_is_a_page(url, is_wrong, settings):
    settings.SECURITY_POLICY_URL = url

    assert ("hosting.E005" in [each.id for each in run_checks()]) is is_wrong
