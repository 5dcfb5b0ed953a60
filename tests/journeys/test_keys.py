"""An owner gives a program a key, replaces it, and ends it when it has leaked."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts import keyring
from accounts.models import ApiKey, Organisation
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

LONG = (
    "Nordlicht-Versand für Ersatzteile & Zubehör, Außenstelle Großhansdorf, Abteilung Bestellungen"
)


def fill_in(page):
    page.get_by_label("Name", exact=True).fill("Web shop")
    page.get_by_label("See mailboxes and their use").check()
    page.get_by_label("Order and change mailboxes").check()
    page.get_by_label("Only from these addresses").fill("127.0.0.1")


def test_owner_gives_a_program_a_key_and_ends_it(page, cast, sign_in, look):
    for name in ("Ash & Sons", LONG):
        Organisation.objects.create(kind="customer", name=name, parent=cast.reseller)
    sign_in(cast.rita)
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_text("No key yet")).to_be_visible()
    look("keys-none")

    page.get_by_role("link", name="Make a key").click()
    look("keys-make")
    page.get_by_label("Only from these addresses").fill("somewhere")
    page.get_by_role("button", name="Make the key").click()
    look("keys-make-refused")
    fill_in(page)
    page.get_by_label("Alder").check()
    page.get_by_role("button", name="Make the key").click()

    shown = page.locator("#secret")
    secret = shown.inner_text()
    look("keys-secret")
    page.reload()
    expect(shown).to_be_hidden()
    expect(page.get_by_role("heading", name="Web shop")).to_be_visible()
    assert Caller(secret).get("/mailboxes").status_code == 200
    page.get_by_role("link", name="Rotate").click()
    look("keys-rotate")
    page.get_by_role("button", name="Make the new key").click()
    expect(shown).not_to_have_text(secret)
    page.get_by_role("link", name="I have it").click()

    page.get_by_role("button", name=re.compile("^Revoke")).click()
    expect(page.get_by_text("1 key was revoked and opens nothing any more.")).to_be_visible()
    look("keys-revoked")
    page.goto("/keys/")
    expect(page.get_by_text("Replaced, and works for a while")).to_be_visible()


def test_owner_finds_what_a_leaked_key_did(page, cast, sign_in, look):
    leaked = make_key(cast.reseller, networks=["192.0.2.0/24", "2001:db8:1234:5678::/64"])
    keyring.authenticate(secret=leaked.secret, address="2001:db8:1234:5678::1", at=timezone.now())
    ApiKey.objects.update(label=LONG)
    holder = keyring.actor_with(leaked.api_key)
    for number in range(3):
        keyring.make(
            actor=holder,
            organisation=cast.customer,
            label=f"Back door {number}",
            scopes=["mailboxes:read"],
            networks=["192.0.2.7"],
            at=timezone.now(),
        )
    sign_in(cast.rita)

    page.goto("/keys/")
    look("keys-list")
    page.get_by_role("link", name=re.compile("Nordlicht")).click()
    expect(page.get_by_text("3 working keys were made with it")).to_be_visible()
    look("keys-leaked")
    page.get_by_role("button", name="Revoke all of them, and this one").click()

    expect(page.get_by_text("4 keys were revoked and open nothing any more.")).to_be_visible()
    assert not ApiKey.objects.working(at=timezone.now()).exists()
