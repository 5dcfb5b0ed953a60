"""How tests open an account: an address, the link of a letter, then the rest."""

from __future__ import annotations

import re

from django.core import mail
from django.utils import timezone

from accounts import notices, tasks
from tests.factories import PASSWORD

SIGN_UP, OPEN = "/account/sign-up", "/account/sign-up/open"


def form(**given):
    """What somebody who opens an account types, on both pages."""
    usual = {
        "name": "Dora",
        "organisation_name": "Hazel",
        "email": "dora@example.test",
        "password": PASSWORD,
    }
    return usual | given


def letters():
    """What a worker writes and sends now."""
    before = len(mail.outbox)
    tasks.answer_sign_up_requests()
    notices.send_waiting(at=timezone.now())
    return mail.outbox[before:]


def path_in(letter):
    """Where the link of a letter leads, on whatever host."""
    return re.search(rf"{OPEN}\?token=\S+", letter.body).group()


def asked(client, email):
    """The path of the link that comes by letter."""
    assert client.post(SIGN_UP, {"email": email}).status_code == 200
    (letter,) = [each for each in letters() if OPEN in each.body]
    return path_in(letter)


def signed_up(client, **given):
    """Go through both pages; returns the answer of the second."""
    typed = form(**given)
    return client.post(asked(client, typed.pop("email")), typed)
