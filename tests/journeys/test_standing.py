"""What a customer sees who does not pay, pays, and leaves."""

from __future__ import annotations

import imaplib
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.access import system
from hosting import dunning, ledger
from hosting.models import Invoice
from mailstore import standing
from mailstore.models import Restriction
from tests.hosting.dunning_rows import bill, noon, post
from tests.hosting.ledger_rows import paid

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
ACTOR = system("tests")


def test_a_bill_is_not_paid_and_then_it_is(page, cast, sign_in, look, make_program):
    # Who has bought something stays where it stands, so this comes first.
    cast.customer.parent = cast.provider
    cast.customer.save()
    program = make_program()
    program.deliver("Hello")
    due = dunning.today(timezone.now()) - timedelta(days=35)
    bill(cast.customer, 1249, due=due)
    sign_in(cast.alice)
    seen = {}
    for day in range(36):
        dunning.sweep(at=noon(day, due))
        post(noon(day, due))
        if day in {7, 21}:
            page.goto("/overview/")
            seen[day] = page.locator(".banner").inner_text()
            look(f"past-due-{day}")
    page.goto(f"/mailboxes/{program.mailbox.uuid}/")
    look("past-due-35-mailbox")
    put_off = page.locator(".banner").inner_text()
    with pytest.raises(imaplib.IMAP4.readonly):
        program.imap().select("INBOX")
    payment = paid(1249, customer=cast.customer)
    ledger.match(actor=ACTOR, payment=payment, invoice=Invoice.objects.get(), at=timezone.now())
    dunning.work_off(cast.customer, at=timezone.now())
    page.reload()

    assert "Sending is limited." in seen[7]
    assert "Mail can be read, but not changed" in seen[21]
    assert "New mail is put off" in put_off
    expect(page.locator(".banner")).to_have_count(0)
    assert program.imap().select("INBOX")[1] == [b"1"]


def test_an_organisation_leaves_and_comes_back(page, cast, sign_in, look, make_program):
    make_program()
    sign_in(cast.alice)
    page.get_by_role("link", name="Changes").click()
    look("changes-leaving")
    page.get_by_role("link", name="Close Alder").click()
    look("close-all")
    page.get_by_label("Type the name of the organisation to confirm").fill("Alder")
    page.get_by_role("button", name="Close everything").click()
    expect(page.get_by_text("Alder is closed with all its mailboxes.")).to_be_visible()
    standing.impose(
        actor=ACTOR,
        organisation=cast.customer,
        cause=Restriction.Cause.WISH,
        state=Restriction.State.CLOSED,
        stops={"sign_in": "shut"},
        reason="alice@example.test asked for it.",
        at=timezone.now(),
    )
    standing.close_along(grace=timedelta(days=30), at=timezone.now())
    page.goto("/overview/")
    look("closed-all")
    page.get_by_role("button", name="Keep it").click()

    expect(page.get_by_text("Taken back.")).to_be_visible()
    expect(page.locator(".banner")).to_have_count(0)


def test_a_stopped_organisation_reads_why(page, cast, sign_in, look):
    standing.impose(
        actor=ACTOR,
        organisation=cast.customer,
        cause=Restriction.Cause.ABUSE,
        state=Restriction.State.SUSPENDED,
        stops={"sign_in": "shut", "sending": "shut", "receiving": "put_off"},
        reason="A program of yours sent 40,000 letters to strangers. Call us.",
        at=timezone.now(),
    )
    sign_in(cast.alice)

    expect(page.get_by_text("A program of yours sent")).to_be_visible()
    look("stopped")
