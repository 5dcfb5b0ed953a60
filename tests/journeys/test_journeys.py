"""What people do, from the first page to mail in a mail program."""

from __future__ import annotations

import poplib
import re

import pytest
from playwright.sync_api import expect

from mailstore import provisioning
from mailstore.models import Mailbox
from tests import newcomers
from tests.factories import AT, make_mailbox
from tests.patience import PATIENCE_SECONDS
from tests.real_mail import Program

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def test_visitor_compares_and_is_advised(page, cast, look):
    page.goto("/")
    look("choice")
    expect(page.locator("#estimate")).to_contain_text("on 2 devices")

    page.get_by_label("How many devices do you read it on?").fill("1")
    page.get_by_label("How much mail do you keep?").fill("0")

    expect(page.locator("output[for=id_devices]")).to_have_text("1 device")
    expect(page.locator("output[for=id_gb]")).to_have_text("0 GB")
    expect(page.locator("#estimate")).to_contain_text("POP costs less")
    expect(page.locator("[data-protocol=pop] .fits")).to_be_visible()
    expect(page.locator("[data-protocol=imap] .fits")).to_be_hidden()


def test_newcomer_signs_up_orders_and_reads_mail(page, cast, live, mail_server, look):
    page.goto("/account/sign-up")
    look("sign-up")
    page.get_by_label("E-mail address").fill("dora@example.test")
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()
    look("sign-up-asked-for")
    (letter,) = newcomers.letters()
    page.goto(newcomers.path_in(letter))
    look("sign-up-open")
    page.get_by_label("Your name").fill("Dora")
    page.get_by_label("Company or household").fill("Dora's Hats")
    page.get_by_label("Password").fill("password1234")
    page.get_by_role("button", name="Open the account").click()
    expect(page.get_by_text("easy to guess")).to_be_visible()
    look("sign-up-open-refused")
    page.get_by_label("Password").fill("three plain words")
    page.get_by_role("button", name="Open the account").click()
    expect(page.get_by_role("heading", name="No mailbox yet")).to_be_visible()
    look("overview-empty")

    page.get_by_role("main").get_by_role("link", name="Add a domain").click()
    page.get_by_label("Domain").fill("hats.test")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text("hats.test was added")
    look("domains")

    page.get_by_role("main").get_by_role("link", name="Order a mailbox hats.test").click()
    expect(page.get_by_label("Space", exact=True)).to_be_visible()
    page.wait_for_load_state()
    page.get_by_label("Space", exact=True).select_option("50 GB")
    expect(page.locator("#price")).to_contain_text("7.90 EUR")
    look("order")
    page.get_by_label("Name before the @").fill("hello")
    page.get_by_label("First device").fill("Till")
    page.locator("input[value=pop]").check()
    expect(page.locator("#price")).to_contain_text("1.00 EUR")
    expect(page.get_by_label("Space", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Order with costs").click()
    secret = page.locator("#secret").inner_text()
    expect(page.get_by_text("being prepared")).to_be_visible()
    provisioning.prepare_pending(engine=live, at=AT)
    expect(page.get_by_text("Ready")).to_be_visible()
    look("set-up")
    page.get_by_role("button", name="Send me a test message").click()
    expect(page.locator("#test-message")).to_contain_text("in the inbox")

    program = pop_client(Mailbox.objects.get(), secret, mail_server)
    lines = program.retr(1)[1]
    program.close()
    assert b"Subject: It works: hello@hats.test" in lines
    expect(page.get_by_text("“Till” signed in by POP")).to_be_visible()


def pop_client(mailbox, secret, server):
    client = poplib.POP3("127.0.0.1", server.pop3_port, timeout=PATIENCE_SECONDS)
    client.user(mailbox.address)
    client.pass_(secret)
    return client


def test_folder_with_a_long_name_stays_within_the_page(page, cast, make_program, sign_in, look):
    program: Program = make_program()
    imap = program.imap()
    imap.create("L" * 80)
    imap.logout()

    sign_in(cast.alice)
    page.get_by_role("link", name="hello@alder.test").click()

    expect(page.get_by_text("L" * 80)).to_be_visible()
    look("long-folder")


def test_owner_watches_use_grow_without_reloading(page, cast, make_program, sign_in, look):
    program: Program = make_program()
    for number in range(8):
        program.deliver(f"Letter {number}", size=40_000)
    program.imap().logout()
    sign_in(cast.alice)
    look("overview")
    page.get_by_role("link", name="hello@alder.test").click()
    expect(page.get_by_text("all 8 messages would still be here")).to_be_visible()
    look("mailbox")

    program.deliver("One more")

    expect(page.get_by_text("all 9 messages would still be here")).to_be_visible()


def test_owner_revokes_suspends_and_closes(page, cast, make_program, sign_in, look):
    make_program()
    sign_in(cast.alice)
    page.get_by_role("link", name="hello@alder.test").click()
    page.get_by_role("link", name="Revoke").click()
    look("revoke")
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Revoked: 1 device")).to_be_visible()
    page.get_by_text("Suspend or close").click()
    page.get_by_role("button", name="Suspend").click()
    expect(page.get_by_text("Suspended: nobody can sign in")).to_be_visible()
    look("mailbox-suspended")
    page.get_by_text("Suspend or close").click()
    page.get_by_role("link", name=re.compile("Close")).click()
    look("close")
    page.get_by_label("Type the address to confirm").fill("hello@alder.test")
    page.get_by_role("button", name="Close the mailbox").click()
    expect(page.get_by_text("This mailbox closes on")).to_be_visible()
    look("mailbox-closing-soon")
    page.get_by_role("button", name="Call it off").click()
    expect(page.get_by_text("This mailbox closes on")).to_be_hidden()


def test_long_lists_and_addresses_fit(page, cast, sign_in, look):
    for number in range(70):
        make_mailbox(cast.domain, f"a-rather-long-name-for-a-mailbox-that-somebody-chose-{number}")
    sign_in(cast.alice)

    look("overview-many")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator(".mailbox-list tbody tr")).to_have_count(20)


def test_owner_finds_a_mailbox_while_typing(page, cast, sign_in):
    for name in ("anna", "bert", "carl"):
        make_mailbox(cast.domain, name)
    sign_in(cast.alice)
    expect(page.locator(".mailbox-list tbody tr")).to_have_count(3)

    page.get_by_label("Search").press_sequentially("ber")

    expect(page.locator(".mailbox-list tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("q=ber"))
    # A finger stays on the button for a while, and what it came down on must still be there.
    page.get_by_role("link", name="bert@alder.test").click(delay=500)
    expect(page.get_by_role("heading", name="bert@alder.test")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Your mailboxes")).to_be_visible()
    expect(page.locator(".mailbox-list tbody tr")).to_have_count(1)


def test_owner_keeps_her_place_in_the_list_while_it_is_brought_up_to_date(page, cast, sign_in):
    for name in ("anna", "bert", "carl"):
        make_mailbox(cast.domain, name)
    page.clock.install()
    sign_in(cast.alice)
    here = page.get_by_role("link", name="bert@alder.test")
    here.focus()
    old = here.element_handle()

    page.clock.run_for(11_000)

    page.wait_for_function("old => !old.isConnected", arg=old)
    expect(here).to_be_focused()


def test_marks_of_the_present_page_show_in_colours_of_ones_own(page, cast, sign_in):
    mailbox = make_mailbox(cast.domain, "anna")
    page.emulate_media(forced_colors="active")
    sign_in(cast.alice)
    page.goto(f"/mailboxes/{mailbox.uuid}/set-up")

    below = ".map(tab => getComputedStyle(tab).borderBottomColor)"
    lines = page.evaluate(f"[...document.querySelectorAll('.subnav a')]{below}")
    bars = page.evaluate(
        """["::after", null].map(part => getComputedStyle(
            document.querySelector(".nav a[aria-current]"), part).backgroundColor)"""
    )

    assert [line == lines[0] for line in lines] == [True, False, *[True] * (len(lines) - 2)]
    assert bars[0] not in (
        bars[1],
        page.evaluate("getComputedStyle(document.body).backgroundColor"),
    )


def test_owner_copies_a_setting(page, cast, make_program, sign_in):
    program: Program = make_program()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(cast.alice)
    page.goto(f"/mailboxes/{program.mailbox.uuid}/set-up")

    page.get_by_role("button", name="Copy user name").click()

    expect(page.get_by_role("button", name="Copied user name")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "hello@alder.test"


def test_everything_works_without_javascript(chromium, live_server, cast):
    context = chromium.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/?gb=20&devices=1")

    expect(page.locator("#estimate")).to_contain_text("4.30 EUR")
    context.close()


def test_first_page_is_small_and_asks_no_other_host(page, cast, live_server):
    answers = []

    def note(answer):
        answers.append(answer)

    page.on("response", note)

    page.goto("/", wait_until="networkidle")

    assert {answer.url.startswith(live_server.url) for answer in answers} == {True}
    assert len(answers) <= 10
    # As it comes over the line.
    assert sum(answer.request.sizes()["responseBodySize"] for answer in answers) < 100_000
