"""The second factor in a real browser: an app, a passkey, codes on paper, and a lost device."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.core import mail
from django.utils import timezone
from playwright.sync_api import expect

from accounts import notices, sealing
from accounts.models import Authenticator, FactorLoss
from accounts.second_factor import authenticators
from accounts.session_store import SessionStore
from tests.factories import PASSWORD
from tests.staffing import SECRET

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

DEVICES = "/account/security/second-factor/"


def by_password(page, user):
    page.goto("/account/sign-in")
    page.get_by_label("E-mail address").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_out(page):
    page.get_by_role("button", name="Sign out").click()


def code_of_new(user):
    device = Authenticator.objects.get(user=user, confirmed=False)
    secret = sealing.open_sealed(device.sealed_secret)
    return authenticators.code_at(secret, at=timezone.now())


def link_in_latest(words):
    notices.send_waiting(at=timezone.now())
    letters = [each for each in mail.outbox if words in each.subject]
    return re.search(r"https?://[^/]+(/account/\S+)", letters[-1].body)[1]


@pytest.fixture
def passkeys(page, live_server, settings):
    """A phone, as far as the browser knows, which has looked at its person."""
    settings.PANEL_URL = live_server.url
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )


def test_staff_set_up_an_app_and_codes_on_paper(page, cast, look):
    by_password(page, cast.sam)
    expect(page.get_by_role("heading", name="Set up your second factor")).to_be_visible()
    expect(page.get_by_role("navigation", name="Main")).to_have_count(0)
    look("factor-enrol")
    page.get_by_label("Six digits from your app").fill("123")
    page.get_by_role("button", name="Confirm").click()
    look("factor-enrol-refused")
    page.get_by_label("Six digits from your app").fill(code_of_new(cast.sam))
    page.get_by_label("Name of the device").fill("Sam's phone")
    page.get_by_role("button", name="Confirm").click()

    look("recovery-codes-none")
    page.get_by_role("button", name="Make them now").click()
    codes = page.locator(".codes code").all_inner_texts()
    look("recovery-codes")
    with page.expect_download() as download:
        page.get_by_role("link", name="Keep as a file").click()
    assert codes[0] in download.value.path().read_text()
    page.goto(DEVICES)
    look("factors")
    sign_out(page)

    by_password(page, cast.sam)
    look("factor-verify")
    page.get_by_label("Code").fill(codes[3])
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url("**/overview/")
    page.goto("/staff/")
    expect(page).to_have_url(re.compile("/staff/$"))


def test_customer_signs_in_with_a_passkey(page, cast, look, passkeys):
    by_password(page, cast.alice)
    page.wait_for_url("**/overview/")
    page.goto(DEVICES)
    look("factors-none")
    page.get_by_role("link", name="Add a passkey").click()
    look("passkey-add")
    page.get_by_role("button", name="Make a passkey").click()
    page.wait_for_url("**/codes")
    page.get_by_role("link", name="Not now").click()
    expect(page.get_by_role("row", name=re.compile("Passkey"))).to_be_visible()
    look("factors-passkey")
    sign_out(page)

    page.goto("/account/sign-in")
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_visible()
    look("sign-in-passkey")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/overview/")
    sign_out(page)

    by_password(page, cast.alice)
    expect(page.get_by_role("button", name="Use a passkey")).to_be_visible()
    look("factor-verify-passkey")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/overview/")

    page.goto(DEVICES)
    page.get_by_role("link", name="Rename Passkey").click()
    page.get_by_label("Name of the device").fill("Blue phone")
    page.get_by_role("button", name="Change the name").click()
    page.get_by_role("link", name="Remove Blue phone").click()
    look("factor-remove")
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("None yet.")).to_be_visible()


def test_customer_loses_the_device_and_finds_it_again(page, cast, look):
    authenticators.give(cast.alice, secret=SECRET)
    by_password(page, cast.alice)
    page.get_by_role("link", name="I have lost my device").click()
    look("factor-lost")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Write me the letter").click()
    expect(page.get_by_text("We have written to your address.")).to_be_visible()
    look("factor-lost-sent")

    page.goto(link_in_latest("Your lost second factor"))
    look("factor-lost-begin")
    page.get_by_role("button", name="Begin the wait").click()
    expect(page.get_by_text("The wait has begun.")).to_be_visible()
    page.goto("/account/second-factor/lost")
    look("factor-lost-waiting")

    page.goto(link_in_latest("will be removed"))
    look("factor-found")
    page.get_by_role("button", name="Call it off").click()
    expect(page.get_by_text("Called off.")).to_be_visible()
    assert FactorLoss.objects.get().state == "called_off"


def test_owner_asks_everybody_and_what_was_typed_survives_the_question(page, cast, look, sign_in):
    sign_in(cast.alice)
    page.goto(DEVICES)
    page.get_by_role("link", name="A second factor for everybody in Alder").click()
    look("factor-demand")
    page.get_by_label("Days until it holds").fill("5")
    for cookie in page.context.cookies():
        if cookie["name"] == settings.SESSION_COOKIE_NAME:
            forget_proof(cookie["value"])
    page.get_by_role("button", name="Ask for it").click()
    look("password-again")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    look("go-on")
    page.get_by_role("button", name="Send it now").click()

    expect(page.get_by_text("A second factor is asked for from").first).to_be_visible()
    look("factor-demanded")
    page.goto("/overview/")
    expect(page.get_by_role("heading", name="Alder asks everybody")).to_be_visible()
    look("factor-banner")
    page.goto(f"/organisations/{cast.customer.uuid}/second-factor/lost")
    look("factor-lost-member")


def forget_proof(key):
    """As if the person had come an hour ago."""
    session = SessionStore(key)
    del session["password_proved_at"]
    session.save()
