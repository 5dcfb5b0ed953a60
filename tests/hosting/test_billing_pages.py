"""What the customer sees of its money, and who sees nothing of it."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hosting.models import Contract
from hosting.periods import Period
from mailstore.models import Mailbox, Usage
from tests.factories import make_mailbox
from tests.hosting.billing_rows import GIGABYTE, make_list, make_profile

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def alice(cast):
    return client_of(cast.alice)


@pytest.fixture
def rita(cast):
    return client_of(cast.rita)


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def kept(domain, name, gigabytes=0, protocol="imap"):
    """A mailbox that has kept as much since the month began."""
    period = Period.of(timezone.now())
    mailbox = make_mailbox(domain, name, protocol)
    Contract.objects.filter(mailbox=mailbox).update(
        starts_at=period.starts_at, start_mark=0, end_mark=0
    )
    Mailbox.objects.filter(pk=mailbox.pk).update(created_at=period.starts_at)
    Usage.objects.update_or_create(
        username=mailbox.address, defaults={"bytes": int(gigabytes * GIGABYTE)}
    )
    Usage.objects.filter(username=mailbox.address).update(since=period.start, day_byte_seconds=0)
    mailbox.refresh_from_db()
    return mailbox


def page(client, organisation, query=""):
    return client.get(reverse("billing:detail", args=[organisation.uuid]) + query)


def test_bill_is_explained_line_by_line_with_its_forecast(alice, cast):
    make_profile(cast.reseller)
    make_profile(cast.customer)
    make_list(cast.reseller, is_default=True, imap=("2.50", 5, "0.12"), pop=("1.00", 0, "0"))
    kept(cast.domain, "a", 25)
    kept(cast.domain, "b", protocol="pop")

    text = text_of(page(alice, cast.customer))

    assert "Alder buys from Rowan." in text
    assert "25 GB-months kept, 5 included, 20 above at 0.12 EUR each." in text
    assert "With 20 % VAT (1.18 EUR) 7.08 EUR" in text
    assert "The whole month at 2.50 EUR." in text
