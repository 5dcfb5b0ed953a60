"""Passkeys with an authenticator in software; the journey does the same with a real browser."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.utils import timezone
from django_otp_webauthn.models import WebAuthnCredential

from accounts import lost_links
from accounts.models import Authenticator, Event, Notice, User
from accounts.second_factor import authenticators, losing
from tests.accounts.soft_authenticator import SoftAuthenticator
from tests.factories import PASSWORD
from tests.staffing import SECRET, by_password_alone, signed_in, stale, verified

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

BASE = "/account/second-factor/passkey"
DEVICES = "/account/security/second-factor/"


@pytest.fixture(autouse=True)
def panel(settings):
    settings.PANEL_URL = "http://localhost"
    settings.ALLOWED_HOSTS = ["localhost", "testserver", "127.0.0.1"]


def at_panel(client):
    client.defaults["HTTP_HOST"] = "localhost"
    return client


def post(client, what, answer=None, **more):
    return client.post(
        f"{BASE}/{what}", json.dumps(answer), content_type="application/json", **more
    )


def key(**more):
    return SoftAuthenticator(**{"origin": "http://localhost", "host": "localhost"} | more)


def add(client, passkey):
    options = post(client, "register").json()
    return post(client, "registered", passkey.make(options))


def show(client, passkey, **more):
    options = post(client, "show").json()
    return post(client, "shown", passkey.show(options), **more)


@pytest.fixture
def alice(cast):
    return at_panel(signed_in(cast.alice))


@pytest.fixture
def passkey(cast, alice):
    passkey = key()
    assert add(alice, passkey).status_code == 200
    return passkey


def half(user):
    return at_panel(by_password_alone(user))


# Adding ---------------------------------------------------------------------------------


def test_a_passkey_is_a_second_factor_from_then_on(cast, alice, passkey):
    device = WebAuthnCredential.objects.get()

    assert (device.user, device.name) == (cast.alice, "Passkey")
    assert alice.get("/overview/").status_code == 200
    assert (
        half(cast.alice).get("/overview/").headers["Location"].startswith("/account/second-factor/")
    )
    assert Notice.objects.get().context["what"] == "added"
    assert Event.objects.get(kind="second_factor.added").data == {"name": "Passkey"}


@pytest.mark.parametrize("what", ["register", "registered"])
def test_adding_asks_for_a_fresh_proof(what, cast):
    authenticators.give(cast.alice, secret=SECRET)
    browsers = [
        at_panel(Client()),
        half(cast.alice),
        at_panel(stale(verified(cast.alice))),
        half(cast.rita),
    ]

    for browser in browsers:
        assert post(browser, what, {}).status_code == 403
    assert not WebAuthnCredential.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [{"origin": "https://evil.test"}, {"host": "evil.test"}, {"origin": "http://localhost:1"}],
)
def test_a_passkey_of_another_page_is_none(wrong, alice):
    assert add(alice, key(**wrong)).status_code == 422
    assert not WebAuthnCredential.objects.exists()


def test_an_answer_to_another_challenge_adds_nothing(alice, passkey):
    other = key()
    options = post(alice, "register").json()
    answer = other.make(options)
    post(alice, "register")

    assert post(alice, "registered", answer).status_code == 422
    assert post(alice, "registered", answer).status_code == 422
    assert WebAuthnCredential.objects.count() == 1


def test_a_passkey_belongs_to_one_person(cast, passkey):
    rita = at_panel(signed_in(cast.rita))

    assert add(rita, passkey).status_code == 422
    assert WebAuthnCredential.objects.get().user == cast.alice


HOSTILE = [
    None,
    [],
    "x",
    {},
    {"id": 1},
    {"id": "x", "rawId": "x", "response": {}, "type": "public-key"},
    {"id": "AA", "rawId": "AA", "response": {"clientDataJSON": "{}"}, "type": "public-key"},
    {"id": "\0", "rawId": "\0", "response": None, "type": None},
]


@pytest.mark.parametrize("answer", HOSTILE)
@pytest.mark.parametrize("what", ["register", "show"])
def test_what_is_no_answer_is_refused(answer, what, cast, alice, passkey):
    browser = alice if what == "register" else half(cast.alice)
    post(browser, what)

    refused = post(browser, {"register": "registered", "show": "shown"}[what], answer)

    assert refused.status_code == 422
    assert refused.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 20_000, b"x" * 200_000])
def test_what_is_no_json_is_refused(body, alice):
    post(alice, "register")

    answer = alice.post(f"{BASE}/registered", body, content_type="application/json")

    assert answer.status_code == 422


# As a second factor ---------------------------------------------------------------------


def test_showing_it_lets_the_session_in_and_leads_back(cast, passkey):
    browser = half(cast.alice)
    before = browser.session.session_key
    options = post(browser, "show").json()

    answer = browser.post(
        f"{BASE}/shown?next=/domains/",
        json.dumps(passkey.show(options)),
        content_type="application/json",
    )

    assert answer.json()["redirect_url"] == "/domains/"
    assert browser.session.session_key != before
    assert browser.get("/domains/").status_code == 200


def test_an_answer_is_good_for_one_time(cast, passkey):
    browser = half(cast.alice)
    answer = passkey.show(post(browser, "show").json())

    assert post(browser, "shown", answer).status_code == 200
    assert post(browser, "shown", answer).status_code == 422
    assert post(half(cast.alice), "shown", answer).status_code == 422


def test_somebody_else_s_passkey_opens_nothing(cast, passkey):
    """Charlie has the password of Alice's neighbour and a passkey of his own."""
    charlies = key()
    add(at_panel(signed_in(cast.charlie)), charlies)
    browser = half(cast.alice)

    assert show(browser, charlies).status_code == 422
    assert browser.get("/overview/").status_code == 302


def test_a_removed_passkey_opens_nothing_and_ends_what_it_opened(cast, alice, passkey):
    authenticators.give(cast.alice, secret=SECRET)
    browser = half(cast.alice)
    show(browser, passkey)
    device = WebAuthnCredential.objects.get()

    alice.post(f"{DEVICES}passkey/{device.pk}/remove")

    assert not WebAuthnCredential.objects.exists()
    assert browser.get("/overview/").status_code == 302
    assert show(half(cast.alice), passkey).status_code == 422


def test_showing_it_calls_off_what_was_said_to_be_lost(cast, passkey):
    loss = losing.ask(token=lost_links.asking_token(cast.alice), address="", at=timezone.now())

    show(half(cast.alice), passkey)

    loss.refresh_from_db()
    assert loss.state == "called_off"


# Instead of a password ------------------------------------------------------------------


def test_a_passkey_signs_in_without_a_password(cast, passkey):
    browser = at_panel(Client())

    answer = show(browser, passkey)

    assert answer.json()["redirect_url"] == "/overview/"
    assert browser.get("/overview/").status_code == 200


def test_without_a_look_at_the_person_it_signs_nobody_in(cast, alice):
    """A key that somebody found would do, if touching it were enough."""
    passkey = key(looks_at_person=False)
    add(alice, passkey)

    browser = at_panel(Client())
    assert show(browser, passkey).status_code == 422
    assert browser.get("/overview/").status_code == 302
    assert show(half(cast.alice), passkey).status_code == 200


def test_a_challenge_for_a_second_factor_signs_nobody_in(cast, alice):
    """It asks for less, so it counts for the person alone for whom it was made."""
    passkey = key(looks_at_person=False)
    add(alice, passkey)
    browser = half(cast.alice)
    options = post(browser, "show").json()
    browser.post("/account/sign-out")

    assert post(browser, "shown", passkey.show(options)).status_code == 422


def test_somebody_who_may_not_sign_in_does_not_by_a_passkey(cast, passkey):
    User.objects.filter(pk=cast.alice.pk).update(is_active=False)
    browser = at_panel(Client())

    assert show(browser, passkey).status_code == 422
    assert browser.get("/overview/").status_code == 302


def test_a_passkey_that_nobody_knows_signs_nobody_in(alice, passkey):
    assert show(at_panel(Client()), key()).status_code == 422


def test_challenges_for_strangers_are_counted(passkey):
    browser = at_panel(Client())
    answers = {post(browser, "show").status_code for _ in range(121)}

    assert answers == {200, 429}


def test_no_passkey_is_shown_without_the_token_of_the_page(cast, passkey):
    browser = at_panel(Client(enforce_csrf_checks=True))

    for what in ("show", "shown", "register", "registered"):
        assert post(browser, what, {}).status_code == 403


# Elsewhere ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["show", "shown", "register", "registered"])
def test_at_another_name_there_are_none(what, cast):
    browser = signed_in(cast.alice)

    assert post(browser, what, {}).status_code == 404
    page = browser.get(BASE).content.decode()
    assert "http://localhost" in page
    assert "passkey-register-button" not in page


def test_a_panel_at_an_address_has_none(cast, settings):
    settings.PANEL_URL = "https://127.0.0.1"
    browser = signed_in(cast.alice)

    page = browser.get(BASE, secure=True, headers={"host": "127.0.0.1"}).content.decode()

    assert "passkey-register-button" not in page


def test_pages_carry_the_scripts_of_the_package_and_nothing_inline(alice):
    answer = alice.get(BASE)
    page = answer.content.decode()

    script = "/static/django_otp_webauthn/otp_webauthn_register.js"
    assert f'<script type="module" src="{script}">' in page
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert alice.get(f"{BASE}/words.js").headers["Content-Type"].startswith("text/javascript")


def test_last_passkey_stays_with_whoever_must_have_one(cast):
    rita = at_panel(signed_in(cast.rita))
    add(rita, key())
    device = WebAuthnCredential.objects.get()
    first = rita.post(f"{DEVICES}passkey/{device.pk}/remove")
    kept = key()
    add(rita, kept)
    Authenticator.objects.all().delete()
    device = WebAuthnCredential.objects.get()
    again = half(cast.rita)
    show(again, kept)

    second = again.post(f"{DEVICES}passkey/{device.pk}/remove")

    assert (first.status_code, second.status_code) == (302, 409)
    assert WebAuthnCredential.objects.count() == 1


def test_a_passkey_can_be_used_while_the_password_is_not_known(cast, passkey):
    """It is both factors at once, so it is fresh for what matters too."""
    browser = at_panel(Client())
    show(browser, passkey)

    assert browser.get("/keys/make").status_code == 200
    assert PASSWORD not in str(dict(browser.session))
