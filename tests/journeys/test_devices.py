"""Devices as their owner meets them: none, one, a strange one, forty, and copies that stay."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.access import system
from accounts.tasks import send_notices
from mailstore import credentials, devices, sign_ins, tasks
from mailstore.engine import Attendance, Outcome
from mailstore.models import Device, Mailbox, Usage
from tests.factories import AT
from tests.live.test_programs import Fetcher
from tests.patience import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ACTOR = system("tests")
LONG = "Outlook 16.0.17328 on Marie-Christine’s second laptop in the back office, Zürich (old)"


def came(mailbox, *, ago, credential, address, protocol="pop", **more):
    """What the log of some time ago would have told."""
    at = timezone.now() - ago
    words = {"outcome": Outcome.SIGNED_IN, "sign_ins": 12} | more
    seen = Attendance(
        user=mailbox.address,
        hour_at=at.replace(minute=0, second=0, microsecond=0),
        protocol=protocol,
        credential=credential,
        address=address,
        first_at=at,
        last_at=at + timedelta(minutes=1),
        **words,
    )
    sign_ins.note([seen])


def issue(mailbox, label):
    made = credentials.issue(actor=ACTOR, mailbox=mailbox, label=label, at=AT)
    return made.app_password.uuid.hex


def history_of(mailbox):
    """A laptop that keeps copies, a stranger with its password, and guesses."""
    laptop = issue(mailbox, LONG)
    for days in (25, 20, 10, 2):
        came(
            mailbox,
            ago=timedelta(days=days),
            credential=laptop,
            address="203.0.113.7",
            fetched=40,
            ended=12,
        )
    devices.judge(at=timezone.now())
    came(mailbox, ago=timedelta(hours=2), credential=laptop, address="2a00:1450:4001:82a::200e")
    came(
        mailbox,
        ago=timedelta(hours=3),
        credential="",
        protocol="",
        address="81.2.69.160",
        outcome=Outcome.WRONG_PASSWORD,
        sign_ins=1234,
    )
    Usage.objects.filter(username=mailbox.address).update(bytes=3 * 10**9)
    tasks.watch_devices()
    send_notices()


@pytest.fixture
def program(make_program):
    """A POP mailbox that is as old as the cast."""
    tasks.read_mail_log()
    program = make_program("pop", "front-desk")
    Mailbox.objects.filter(pk=program.mailbox.pk).update(created_at=AT)
    return program


def test_owner_locks_a_stranger_out_and_decides_about_copies(  # noqa: PLR0917
    page, cast, program, sign_in, look, tmp_path, mailoutbox
):
    mailbox = program.mailbox
    sign_in(cast.alice)
    page.get_by_role("link", name="front-desk@alder.test").click()
    page.get_by_role("link", name="Devices", exact=True).click()
    expect(page.get_by_text("Nobody has signed in yet")).to_be_visible()
    look("devices-none")

    for subject in ("Invoice", "Dinner on Friday"):
        program.deliver(subject, size=40_000)
    Fetcher(tmp_path, program, keeps=True).fetch()
    eventually(lambda: tasks.read_mail_log() is not None and Device.objects.exists())
    tasks.watch_devices()
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("Program")
    expect(page.locator("tbody")).to_contain_text("the mail server's own machine")
    expect(page.locator("tbody")).to_contain_text("Too early to say")
    look("devices-one")

    history_of(mailbox)
    [letter] = [one for one in mailoutbox if "signed in to from a new place" in one.subject]
    assert letter.to == ["alice@example.test"]
    assert "2a00:1450:4001:82a::200e" in letter.body
    assert f"/mailboxes/{mailbox.uuid}/devices/" in letter.body

    page.goto(f"/mailboxes/{mailbox.uuid}/")
    expect(page.get_by_text("a place that this mailbox did not know")).to_be_visible()
    look("mailbox-asks")
    page.get_by_role("link", name="Was it you?").click()
    expect(page.get_by_role("heading", name="A program leaves copies here")).to_be_visible()
    expect(page.get_by_text("2 fetched messages take")).to_be_visible()
    look("devices-asked")
    page.get_by_role("button", name="Show what would go").click()
    expect(page.get_by_role("button", name="Set the rule")).to_be_visible()
    look("copies-rule")
    page.goto(f"/mailboxes/{mailbox.uuid}/devices/")
    page.get_by_role("button", name="Leave them").click()
    expect(page.get_by_text("The copies stay.")).to_be_visible()
    expect(page.get_by_role("heading", name="A program leaves copies here")).to_have_count(0)

    question = page.get_by_role("region", name="Was this you?")
    question.get_by_role("button", name="Lock it out").click()
    expect(page.get_by_text("It is locked out, and its open sessions end.")).to_be_visible()
    expect(page.get_by_text("Cannot sign in any more")).to_be_visible()
    page.get_by_role("link", name="Show them").click()
    expect(page.locator("tbody")).to_contain_text("1234 tries")
    look("sign-ins-failed")
    page.get_by_label("Show").select_option("ok")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody")).to_contain_text(LONG)
    look("sign-ins")


def test_forty_devices_fit_on_the_page(page, cast, make_program, sign_in, look):
    program = make_program("imap", "family")
    mailbox = program.mailbox
    Mailbox.objects.filter(pk=mailbox.pk).update(created_at=AT)
    for number in range(40):
        label = LONG if number == 7 else f"Phone {number}"
        came(
            mailbox,
            ago=timedelta(hours=number + 1),
            credential=issue(mailbox, label),
            protocol="imap" if number % 3 else "pop",
            address=f"203.{number}.113.7" if number % 2 else f"2a00:{number}::{number}",
        )
    devices.judge(at=timezone.now())

    sign_in(cast.alice)
    page.goto(f"/mailboxes/{mailbox.uuid}/devices/")

    expect(page.locator("tbody tr")).to_have_count(40)
    look("devices-forty")
    page.locator("tbody tr").first.get_by_text("Not mine").click()
    expect(page.locator("tbody tr").first.get_by_role("button")).to_be_visible()
    look("devices-not-mine")
