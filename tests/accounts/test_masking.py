"""Secrets are masked by their names and by their forms; all else is left as it is."""

from __future__ import annotations

from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password

from accounts import keys, masking, outbox
from accounts.access import system
from hosting.webhooks import signing
from mailstore import credentials
from tests.factories import AT

SECRETS = {
    "API key": keys.new_secret(is_test=False),
    "test key": keys.new_secret(is_test=True),
    "webhook secret": signing.shown(signing.new_secret()),
    "app password": credentials.new_secret(),
    "Argon2": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("x"),
    "Dovecot": "{ARGON2ID}$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$x",
    "Django": PBKDF2PasswordHasher().encode("x", "somesalt", iterations=1),
    "md5": make_password("x", hasher="md5"),
    "crypt": "$6$salt$hash",
    "bearer": "Bearer abc.def",
    "otp": "otpauth://totp/x?secret=ABC",
    "private key": "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
}


@pytest.mark.parametrize("name", SECRETS)
def test_what_has_the_form_of_a_secret_is_masked(name):
    secret = SECRETS[name]

    masked = masking.masked({"reason": [f"it was {secret}"], "x": {"old": secret, "new": 1}})

    assert secret not in str(masked)
    assert masking.MASK in masked["reason"][0]
    assert masked["x"]["new"] == 1


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "password_hash",
        "secret",
        "client_secret",
        "token",
        "Token",
        "digest",
        "totp_seed",
        "recovery_codes",
    ],
)
def test_what_has_the_name_of_a_secret_is_masked(name):
    assert masking.masked({"a": [{name: "x"}]}) == {"a": [{name: masking.MASK}]}


def test_an_empty_secret_says_that_there_is_none():
    assert masking.masked({"password": ""}) == {"password": ""}


def test_all_else_is_left_as_it_is():
    data = {
        "mailbox": str(uuid4()),
        "hex": uuid4().hex,
        "address": "anna+x@example.test",
        "scopes": ["passwords:write", "keys:write"],
        "networks": ["192.0.2.0/24"],
        "bytes": 10**15,
        "url": "https://example.test/hook?id=7",
        "nothing": None,
        "sentence": "Mail is removed after 30 days; the token ring was never used.",
    }

    assert masking.masked(data) == data


def test_secrets_in_addresses_of_webhooks_are_masked():
    text = masking.masked_text("https://x.test/h?a=1&token=s3cret&b=2")

    assert text == f"https://x.test/h?a=1&{masking.MASK}&b=2"


def test_an_event_is_masked_before_it_is_stored(cast):
    secret = credentials.new_secret()
    event = outbox.record(
        kind="app_password.created",
        at=AT,
        actor=system("tests"),
        organisation=cast.customer,
        subject=("app_password", "x", f"Phone {secret}"),
        data={"reason": secret, "token": "x"},
    )

    event.refresh_from_db()
    assert secret not in f"{event.subject_name} {event.data}"
    assert event.data["token"] == masking.MASK
