"""Nothing is gone at once, as its owner lives through it, with real programs at the other end."""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.access import system
from accounts.tasks import send_notices
from mailstore import credentials, tasks
from mailstore.models import Alarm, Mailbox
from tests.factories import AT
from tests.live.test_mail import is_ended
from tests.live.test_programs import Computer, Fetcher
from tests.patience import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ACTOR = system("tests")
FOLDERS = ("INBOX", "Archive", "Work/Über uns", "Entwürfe & Söhne")
WIRE_NAMES = {
    "Work/Über uns": "Work/&ANw-ber uns",
    "Entwürfe & Söhne": "Entw&APw-rfe &- S&APY-hne",
}


def wire(folder):
    return WIRE_NAMES.get(folder, folder)


def test_pop_customer_gets_back_a_downloaded_and_deleted_message(  # noqa: PLR0917
    page, cast, make_program, sign_in, look, tmp_path
):
    program = make_program("pop", "till")
    for subject in ("Invoice for the new roof", "Dinner on Friday", "Your parcel is on its way"):
        program.live.deliver(
            recipient=program.address,
            message=(
                f"From: Zoë Zimmer <zoe@example.test>\r\nSubject: {subject}\r\n"
                f"Message-ID: <{sha256(subject.encode()).hexdigest()[:8]}@example.test>\r\n\r\n"
                f"{subject}.\r\n"
            ).encode(),
            sender="zoe@example.test",
        )
    computer = Fetcher(tmp_path, program, keeps=False)
    assert len(computer.fetch()) == 3
    assert program.pop().stat() == (0, 0)
    eventually(lambda: "del=3/3" in program.server.log.read_text())
    tasks.read_mail_log()
    tasks.note_retrievals()
    # The computer is lost, and with it the only copy.
    for letter in (tmp_path / "mail" / "new").iterdir():
        letter.unlink()

    sign_in(cast.alice)
    page.get_by_role("link", name="till@alder.test").click()
    page.get_by_role("link", name="Removed", exact=True).click()
    look("pop-removed")
    page.get_by_label("Subject").fill("roof")
    page.get_by_role("button", name="Search").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Invoice for the new roof")
    expect(rows).to_contain_text("zoe@example.test")
    expect(rows).to_contain_text("by a mail program (POP3, Program, 127.0.0.1)")
    until = page.locator("td[data-label='Can come back until'] time")
    expect(until).to_have_attribute("datetime", re.compile(r"\d{4}-\d\d-\d\dT"))
    look("pop-found")

    page.get_by_label("Invoice for the new roof").check()
    page.get_by_role("button", name="Bring back what is ticked").click()
    expect(page.get_by_text("1 message comes back.")).to_be_visible()
    tasks.run_restores()
    expect(page.get_by_text("1 message came back on")).to_be_visible()
    look("pop-back")

    tasks.note_retrievals()
    assert computer.fetch() == ["Invoice for the new roof"]


def shown(computer):
    """Every message that a computer shows: its folder, its digest and its flags."""
    found = Counter()
    for folder in computer.folders:
        for message in computer.folder(folder):
            del message["X-TUID"]  # By this mbsync knows its own copy.
            digest = sha256(message.as_bytes()).hexdigest()
            found[folder, digest, message.get_flags()] += 1
    return found


def fill(program):
    """Mail of several years, in several folders, some of it read, starred or with a label."""
    client = program.imap()
    for folder in FOLDERS:
        client.create(f'"{wire(folder)}"')
        for number in range(25):
            flags = [r"\Seen"] * (number % 2) + [r"\Flagged"] * (number % 5 == 0)
            flags += [r"\Answered"] * (number % 7 == 0)
            head = f"From: a@example.test\r\nSubject: {wire(folder)} {number}\r\n\r\n"
            text = f"{head}{'x' * number}\r\n".encode()
            client.append(f'"{wire(folder)}"', " ".join(flags), None, text)
    client.logout()


def delete_everything(program, secret):
    """The thief's script: it empties each folder, and removes those that can be removed."""
    thief = program.imap(secret)
    for folder in FOLDERS:
        thief.select(f'"{wire(folder)}"')
        thief.store("1:*", "+FLAGS", r"(\Deleted)")
        thief.expunge()
        thief.select("INBOX")
        thief.delete(f'"{wire(folder)}"')
    return thief


def test_owner_rolls_back_what_a_thief_deleted(  # noqa: PLR0917
    page, cast, make_program, sign_in, look, tmp_path, mailoutbox
):
    # The log tells of what other tests did to this address.
    tasks.read_mail_log()
    program = make_program("imap", "hello")
    fill(program)
    computer = Computer(tmp_path / "before", program)
    computer.synchronise()
    before = shown(computer)
    assert sum(before.values()) == 100
    stolen = credentials.issue(
        actor=ACTOR, mailbox=program.mailbox, label="Old phone", at=AT
    ).secret

    thief = delete_everything(program, stolen)
    eventually(lambda: f"Mailbox deleted: {FOLDERS[-1]}" in program.server.log.read_text())
    tasks.read_mail_log()
    eventually(lambda: is_ended(thief, program, at=timezone.now()))
    for secret in (stolen, program.secret):
        with pytest.raises(Exception, match="This mailbox is locked: much mail was removed"):
            program.imap(secret)
    send_notices()
    told = {one.to[0]: one for one in mailoutbox}
    assert set(told) == {"alice@example.test", "rita@example.test"}
    [link] = re.findall(r"https?://[^/]+(/mailboxes/alarms/\S+)", told["alice@example.test"].body)

    sign_in(cast.alice)
    look("locked-overview")
    page.goto(link)
    expect(page.get_by_text("100 % of the mailbox was removed")).to_be_visible()
    table = page.locator("tbody")
    expect(table).to_contain_text("Old phone")
    expect(table).to_contain_text("127.0.0.1")
    expect(table).to_contain_text("Entwürfe & Söhne")
    # One row for each folder and minute, and a minute may end in between.
    rows = page.locator("tbody tr").count()
    assert len(FOLDERS) <= rows <= len(FOLDERS) + 1
    look("alarm")
    page.get_by_role("button", name="Roll it back").click()
    expect(page.get_by_text("All of it comes back.")).to_be_visible()
    tasks.run_restores()
    expect(page.get_by_text("100 messages came back on")).to_be_visible()
    look("rolled-back")

    page.goto(link)
    expect(page.get_by_text("Rolled back")).to_be_visible()
    look("alarm-answered")
    with pytest.raises(Exception, match="Authentication failed"):
        program.imap(stolen)
    mailbox = Mailbox.objects.get(pk=program.mailbox.pk)
    program.secret = credentials.issue(actor=ACTOR, mailbox=mailbox, label="New", at=AT).secret
    after = Computer(tmp_path / "after", program)
    after.synchronise()
    assert shown(after) == before
    assert Alarm.objects.get().messages == 100
