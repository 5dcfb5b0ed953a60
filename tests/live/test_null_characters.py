"""Null characters, which SQLite takes in texts and PostgreSQL does not."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import make_cast
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def test_a_name_with_a_null_character_signs_nobody_in():
    client = Client()

    answer = client.post(reverse("accounts:sign_in"), {"username": "a\0@b.test", "password": "x"})

    assert (answer.status_code, answer.wsgi_request.user.is_authenticated) == (200, False)


def test_a_domain_with_a_null_character_is_none_to_order_in():
    client, cast = Client(), make_cast()
    signed_in(cast.alice, client)

    answer = client.post(reverse("mailboxes:order"), {"domain": "alder\0.test"})

    assert answer.status_code == 422
