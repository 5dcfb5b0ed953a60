"""An owner goes from IMAP to POP, reads what it means before, and goes back."""

from __future__ import annotations

import poplib

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.access import system
from mailstore import credentials, switching
from mailstore.models import Mailbox
from tests.factories import AT, make_mailbox
from tests.live.test_mail import refusal
from tests.patience import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def fill(program):
    """A mailbox as it is after some years."""
    for number in range(12):
        program.deliver(f"Letter {number}", size=60_000)
    client = program.imap()
    for folder, count in (("Sent", 9), ("Archive", 14), ("Junk", 3), ("Invoices/2026", 6)):
        client.create(folder)
        for number in range(count):
            text = f"Subject: {folder} {number}\r\n\r\n{'x' * 30_000}\r\n"
            client.append(folder, "", None, text.encode())
    client.select("INBOX")
    client.store("1:8", "+FLAGS", r"\Seen")
    client.logout()
    for label, allows_pop in (("Laptop", True), ("Phone of the shop", False)):
        credentials.issue(
            actor=system("tests"),
            mailbox=program.mailbox,
            label=label,
            allows_pop=allows_pop,
            at=AT,
        )


def test_owner_changes_to_pop_and_back(page, cast, make_program, sign_in, look):
    program = make_program()
    fill(program)
    sign_in(cast.alice)
    page.get_by_role("link", name="hello@alder.test").click()
    page.get_by_role("link", name="Change plan or protocol").click()
    expect(page.get_by_role("heading", name="Plan and protocol")).to_be_visible()
    look("plans")

    page.get_by_role("link", name="See what POP changes").click()
    expect(page.get_by_text("32 messages (")).to_be_visible()
    look("change-to-pop")
    page.get_by_label("Move the mail of the other folders").check()
    page.get_by_label("Let app passwords that are meant").check()
    page.get_by_label("Type the address to confirm").fill("hello@alder.test")
    page.get_by_role("button", name="Change to POP with costs").click()
    expect(page.get_by_text("Mail is read by POP from now on.")).to_be_visible()
    look("changed-to-pop")
    switching.follow_open(engine=program.live, at=timezone.now())
    assert "IMAP is not enabled" in refusal(program.imap)
    assert program.pop().stat()[0] == 12 + 9 + 14 + 6

    page.get_by_role("button", name="Go back to IMAP").click()
    expect(page.get_by_text("The mailbox is back on IMAP")).to_be_visible()
    switching.follow_open(engine=program.live, at=timezone.now())
    assert program.imap().select("INBOX")[1] == [b"41"]
    with pytest.raises(poplib.error_proto):
        program.pop()


def test_owner_of_a_pop_mailbox_needs_no_typing(page, cast, make_program, sign_in, look):
    program = make_program("pop", "till")
    program.deliver("One")
    sign_in(cast.alice)
    page.get_by_role("link", name="till@alder.test").click()
    page.get_by_role("link", name="Plan", exact=True).click()
    look("plans-of-pop")
    page.get_by_role("link", name="See what IMAP changes").click()
    look("change-to-imap")

    page.get_by_role("button", name="Change to IMAP with costs").click()

    expect(page.get_by_text("Mail is read by IMAP from now on.")).to_be_visible()
    switching.follow_open(engine=program.live, at=timezone.now())
    eventually(lambda: len(program.imap().list()[1]) == 6)


def test_closing_shows_what_is_still_charged(page, cast, sign_in, look, live):
    mailbox: Mailbox = make_mailbox(cast.domain)
    live.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    sign_in(cast.alice)

    page.goto(f"/mailboxes/{mailbox.uuid}/close")

    expect(page.get_by_text("charged to the second of the closing")).to_be_visible()
    look("close-costs")
