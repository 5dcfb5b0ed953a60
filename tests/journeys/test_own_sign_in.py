"""People look after their own sign-in: a forgotten password, open sessions, another address."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from accounts import notices, passwords
from accounts.models import User
from tests.accounts.test_sessions import HOSTILE_AGENTS, IPHONE, signed_in
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

OTHER = "some other plain words"
LONG = "a.person.with.a.very.long.name.indeed@a-company-with-a-long-name.example.test"


def link_in_letter_to(address, path):
    """Where the newest such letter leads, after a worker has sent what waits."""
    now = timezone.now()
    passwords.answer_requests(at=now)
    notices.send_waiting(at=now)
    letters = [each for each in mail.outbox if each.to == [address] and path in each.body]
    return re.search(rf"{path}\S*", letters[-1].body).group()


def test_forgotten_password_comes_by_letter(page, cast, look):
    mail.outbox.clear()
    page.goto("/account/sign-in")
    look("sign-in")
    page.get_by_role("link", name="Password forgotten?").click()
    look("password-forgotten")
    page.get_by_label("E-mail address").fill(cast.alice.email)
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()
    look("password-asked-for")

    link = link_in_letter_to(cast.alice.email, "/account/password/new")
    page.goto(link)
    look("password-new")
    page.get_by_label("New password").fill("password1234")
    page.get_by_role("button", name="Choose it").click()
    expect(page.get_by_text("easy to guess")).to_be_visible()
    look("password-new-refused")
    page.get_by_label("New password").fill(OTHER)
    page.get_by_role("button", name="Choose it").click()
    expect(page.get_by_text("You have a new password. Sign in with it.")).to_be_visible()

    page.get_by_label("E-mail address").fill(cast.alice.email)
    page.get_by_label("Password").fill(OTHER)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/overview/")


def test_link_that_was_used_says_what_to_do(chromium, live_server, cast):
    passwords.ask_reset(email=cast.alice.email, address="192.0.2.7", at=timezone.now())
    link = link_in_letter_to(cast.alice.email, "/account/password/new")
    passwords.change(user=cast.alice, password=OTHER, kept_session=None, at=timezone.now())

    # The page is a 404, which a browser calls an error of its own.
    context = chromium.new_context(base_url=live_server.url)
    other = context.new_page()
    other.goto(link)
    expect(other.get_by_role("heading", name="This link does not work")).to_be_visible()
    other.get_by_role("link", name="Ask for a new password").click()
    expect(other).to_have_url(re.compile(reverse("accounts:forgotten_password")))
    context.close()


def test_person_sees_and_ends_what_is_open_elsewhere(page, cast, sign_in, look):
    for number, agent in enumerate([IPHONE, *HOSTILE_AGENTS[:5]]):
        signed_in(cast.alice, agent=agent, address=f"2001:db8:{number}:1234:5678:90ab:cdef:1")
    sign_in(cast.alice)
    page.get_by_role("link", name="Alice: sign-in and security").click()
    listed = page.locator(".session")
    expect(listed).to_have_count(7)
    look("security")

    listed.filter(has_text="iPhone").get_by_role("button").click()
    expect(page.get_by_text("The session has ended.")).to_be_visible()
    expect(listed).to_have_count(6)
    page.get_by_role("button", name="End all others").click()
    expect(page.get_by_text("5 sessions have ended.")).to_be_visible()
    expect(listed).to_have_count(1)

    page.get_by_label("Present password").fill("wrong")
    page.get_by_label("New password").fill(OTHER)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("not the password that you sign in with")).to_be_visible()
    look("security-refused")
    page.get_by_label("Present password").fill(PASSWORD)
    page.get_by_label("New password").fill(OTHER)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("Every other session has ended.")).to_be_visible()


def test_person_moves_to_another_address_and_back(page, cast, sign_in, look):
    mail.outbox.clear()
    sign_in(cast.alice)
    page.goto("/account/security")
    page.get_by_label("New e-mail address").fill(LONG)
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Change the address").click()
    expect(page.get_by_text("Follow the link in that letter.")).to_be_visible()
    look("address-waits")

    page.goto(link_in_letter_to(LONG, "/account/address/confirm"))
    look("address-confirm")
    page.get_by_role("button", name="Use the new address").click()
    expect(page.get_by_text(f"From now on you sign in with {LONG}.")).to_be_visible()
    look("address-changed")

    page.goto(link_in_letter_to("alice@example.test", "/account/address/take-back"))
    look("address-take-back")
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("heading", name="Your account is yours")).to_be_visible()
    look("address-taken-back")
    page.goto("/account/security")
    expect(page).to_have_url(re.compile("/account/sign-in"))
    page.goto(link_in_letter_to("alice@example.test", "/account/password/new"))
    page.get_by_label("New password").fill(OTHER)
    page.get_by_role("button", name="Choose it").click()
    expect(page.get_by_text("You have a new password.")).to_be_visible()


def test_person_confirms_its_address(page, cast, sign_in, look):
    User.objects.filter(pk=cast.alice.pk).update(email_verified_at=None)
    mail.outbox.clear()
    sign_in(cast.alice)
    page.goto("/overview/")
    expect(page.get_by_text("Please confirm")).to_be_visible()
    look("unconfirmed")
    page.goto("/account/security")
    look("security-unconfirmed")
    page.get_by_role("button", name="Send the letter with the link again").click()
    expect(page.get_by_role("status")).to_be_visible()

    page.goto(link_in_letter_to("alice@example.test", "/account/confirm"))
    look("confirm")
    page.get_by_role("button", name="Yes, this is my address").click()
    expect(page.get_by_text("Your address is confirmed.")).to_be_visible()
    expect(page.get_by_text("Please confirm")).to_have_count(0)
