"""Who is let in, and how often."""

from __future__ import annotations

import re

import pytest

from accounts import keyring, keys
from accounts.access import system
from tests.factories import AT, PASSWORD
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db


def test_nobody_is_let_in_without_a_key():
    answer = Caller().get("/plans")

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_cookie_opens_nothing_here(cast):
    caller = Caller()
    caller.client.login(username="rita@example.test", password=PASSWORD)

    assert caller.get("/plans").status_code == 401


@pytest.mark.parametrize("scheme", ["Basic", "Token", "bearer"])
def test_only_the_bearer_scheme_is_known(scheme, cast):
    caller = Caller()
    caller.headers = {"authorization": f"{scheme} {make_key(cast.customer).secret}"}

    assert caller.get("/plans").status_code == (200 if scheme == "bearer" else 401)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda _key: "", "unauthenticated"),
        (lambda key: f"{key.secret}x", "key-unknown"),
        (lambda _key: keys.new_secret(is_test=False), "key-unknown"),
        (lambda _key: "rst_live_\u00e9", "key-unknown"),
    ],
)
def test_what_is_no_key_is_told_so(spoil, code, cast):
    caller = Caller()
    secret = spoil(make_key(cast.customer))
    caller.headers = {"authorization": f"Bearer {secret}"}

    answer = caller.get("/plans")

    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert secret[:20] not in answer.text or not secret


def test_a_revoked_key_opens_nothing(cast):
    made = make_key(cast.customer)
    keyring.revoke(actor=system("tests"), api_key=made.api_key, at=AT)

    assert Caller(made.secret).get("/plans").json()["code"] == "key-revoked"


def test_a_key_bound_to_a_network_is_of_no_use_elsewhere(cast):
    made = make_key(cast.customer, networks=["192.0.2.0/24"])

    answer = Caller(made.secret).get("/plans")

    assert (answer.status_code, answer.json()["code"]) == (403, "network-not-allowed")


def test_a_key_is_held_to_its_limit_and_told_about_it(cast, settings):
    settings.RATE_LIMIT_KEY_PER_MINUTE = 2
    caller = Caller(make_key(cast.customer).secret)

    answers = [caller.get("/plans") for _each in range(3)]

    assert [each.status_code for each in answers] == [200, 200, 429]
    assert re.fullmatch(r'"key";q=2;w=60, "organisation";.*', answers[0]["RateLimit-Policy"])
    assert re.match(r'"key";r=1;t=\d+', answers[0]["RateLimit"])
    assert int(answers[2]["Retry-After"]) > 0
    assert answers[2].json()["code"] == "rate-limited"


def test_whoever_tries_keys_is_slowed_down_and_a_good_key_is_not(cast, settings):
    settings.RATE_LIMIT_FAILED_KEYS_PER_MINUTE = 2
    good = Caller(make_key(cast.customer).secret)
    tries = [Caller(keys.new_secret(is_test=False)).get("/plans") for _each in range(3)]

    assert [each.status_code for each in tries] == [401, 401, 429]
    assert good.get("/plans").status_code == 200


POLICIES = {"key": r'"key";q=\d+;w=60, "organisation";.*', "address": r'"failed-keys";q=\d+;w=60'}


@pytest.mark.parametrize(
    ("secret", "asked", "status", "of"),
    [
        ("good", ("get", "/plans"), 200, "key"),
        ("good", ("get", "/plans?colour=red"), 400, "key"),
        ("good", ("get", "/nowhere"), 404, "key"),
        ("good", ("get", "/"), 404, "key"),
        ("good", ("get", "/mailboxes/xyz"), 404, "key"),
        ("good", ("post", "/nowhere"), 404, "key"),
        ("good", ("put", "/plans"), 405, "key"),
        ("bad", ("get", "/plans"), 401, "address"),
        ("bad", ("get", "/nowhere"), 401, "address"),
        ("", ("get", "/plans"), 401, "address"),
        ("", ("get", "/nowhere"), 404, "address"),
        ("", ("get", ""), 404, "address"),
        ("", ("get", "elsewhere"), 404, "address"),
    ],
)
def test_every_answer_says_how_often_one_may_ask(secret, asked, status, of, cast):
    secrets = {"good": make_key(cast.customer).secret, "bad": keys.new_secret(is_test=False)}
    caller = Caller(secrets.get(secret, ""))

    method, path = asked
    answer = getattr(caller, method)(path)

    assert answer.status_code == status
    assert re.fullmatch(POLICIES[of], answer.headers["RateLimit-Policy"])
    assert re.match(rf'"{POLICIES[of][1:4]}', answer.headers["RateLimit"])


@pytest.mark.parametrize(("method", "path"), [("put", "/plans"), ("get", "/nowhere")])
def test_calls_that_come_to_nothing_are_counted_too(method, path, cast, settings):
    settings.RATE_LIMIT_KEY_PER_MINUTE = 2
    caller = Caller(make_key(cast.customer).secret)

    answers = [getattr(caller, method)(path) for _each in range(3)]

    assert [each.status_code for each in answers] == [*[answers[0].status_code] * 2, 429]
    assert caller.get("/plans").status_code == 429


def test_whoever_sends_no_key_uses_up_nothing(cast, settings):
    settings.RATE_LIMIT_FAILED_KEYS_PER_MINUTE = 2

    answers = [Caller().get("/plans") for _each in range(3)]

    assert [each.status_code for each in answers] == [401] * 3
    assert {each.headers["RateLimit"] for each in answers} == {'"failed-keys";r=2;t=0'}


def test_a_key_that_opens_nothing_uses_up_a_turn_and_is_told(cast, settings):
    settings.RATE_LIMIT_FAILED_KEYS_PER_MINUTE = 2

    answer = Caller(keys.new_secret(is_test=False)).get("/plans")

    assert answer.headers["RateLimit"].startswith('"failed-keys";r=1;')
