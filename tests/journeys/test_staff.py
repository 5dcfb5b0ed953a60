"""What staff do: find one mailbox among many, change limits, and bring in a list."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice
from playwright.sync_api import expect

from accounts.access import system
from accounts.models import User
from hosting import dunning, importing, tasks
from mailstore.models import Mailbox, Usage
from tests.factories import AT
from tests.hosting.dunning_rows import bill, noon, post
from tests.journeys.conftest import SCHEMES, WIDTHS
from tests.live.settings import PICTURES

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def many(cast):
    """A house of some size, with long names in it."""
    long = "the-office-of-the-third-floor-in-the-old-building"
    lines = [f"{long}@alder.test,imap,Third floor"]
    lines += [f"desk{number}@alder.test,{('pop', 'imap')[number % 2]},Desk" for number in range(70)]
    text = "address,plan,label\n" + "\n".join(lines)
    rows = importing.check(text=text, actor=system("tests")).rows
    list(importing.apply(rows=rows, actor=system("tests"), at=AT))
    Mailbox.objects.filter(local_part__endswith="3").update(state="suspended")
    Usage.objects.create(username="desk69@alder.test", bytes=4 * 10**9, messages=7)


@pytest.fixture
def look(page):
    """Check a staff page narrow and wide, light and dark, with axe."""

    def look(name):
        PICTURES.mkdir(parents=True, exist_ok=True)
        for width, scheme in product(WIDTHS, SCHEMES):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
            # Django's choice with suggestions is made by select2, whose marks are its own. To
            # preload style sheets, axe would write some into the page, which may not be.
            found = Axe().run(page, context={"exclude": [[".select2"]]}, options={"preload": False})
            assert found.violations_count == 0, found.generate_report()
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} scrolls sideways at {width}"
        page.set_viewport_size({"width": 1280, "height": 900})
        page.emulate_media(color_scheme="light")

    return look


@pytest.fixture
def staff_page(page, cast, sign_in):
    """Sam's browser, past the second factor."""
    User.objects.filter(pk=cast.sam.pk).update(is_superuser=True)
    sign_in(cast.sam)
    page.goto("/staff/")
    device = TOTPDevice.objects.get(user=cast.sam)
    page.get_by_label("Six digits").fill(f"{totp(device.bin_key):06}")
    page.get_by_role("button").last.click()
    page.wait_for_url("**/staff/")
    return page


def test_staff_find_a_mailbox_and_preview_a_new_limit(staff_page, many, look):
    page = staff_page
    look("staff")
    page.get_by_role("link", name="Mailboxes").first.click()
    look("staff-mailboxes")
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Newer")).to_be_visible()
    page.get_by_role("searchbox", name="Search").fill("desk6")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("11 on this page")).to_be_visible()

    page.get_by_role("checkbox").first.check()
    page.locator("select[name=action]").select_option("change_limit")
    page.get_by_role("button", name="Go").click()
    page.get_by_label("Limit in GB").fill("3")
    page.get_by_role("button", name="Show what would change").click()
    expect(page.get_by_text("Full at once")).to_be_visible()
    look("staff-limit")
    page.get_by_role("button", name="Change the limit").click()

    expect(page.get_by_text("Mailboxes with the new limit: 11.")).to_be_visible()


def test_staff_bring_in_a_list_and_watch_it(staff_page, many, look, tmp_path):
    page = staff_page
    file = tmp_path / "new-mailboxes.csv"
    good = "".join(f"new{number}@alder.test,imap,Desk\n" for number in range(1200))
    file.write_text(f"address,plan,label\n{good}desk1@alder.test,pop,\n../x@alder.test,gold,\n")

    page.goto("/staff/hosting/mailboximport/add/")
    look("staff-import")
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Check the list").click()
    expect(page.get_by_text("1200 mailboxes of 1202 would be opened")).to_be_visible()
    look("staff-import-preview")
    page.get_by_role("button", name="Open 1200 mailboxes, leave the other lines").click()
    expect(page.get_by_text("0 of 1202 lines done")).to_be_visible()
    look("staff-import-progress")
    tasks.resume_imports()

    # The page asks for itself how far the work is.
    expect(page.get_by_text("1202 of 1202 lines done, 1200 mailboxes opened")).to_be_visible()
    look("staff-import-finished")


def test_staff_pages_look_as_they_should(staff_page, many, look):
    page = staff_page
    box = Mailbox.objects.get(label="Third floor")
    for name, path in (
        ("mailbox", f"mailstore/mailbox/{box.pk}/change/"),
        ("mailbox-add", "mailstore/mailbox/add/"),
        ("domains", "mailstore/domain/"),
        ("events", "accounts/event/"),
        ("people", "accounts/user/"),
        ("person", f"accounts/user/{User.objects.get(email='rita@example.test').pk}/change/"),
        ("app-passwords", "mailstore/apppassword/"),
        ("imports", "hosting/mailboximport/"),
    ):
        page.goto(f"/staff/{path}")
        look(f"staff-{name}")


def test_staff_see_who_does_not_pay_and_give_more_time(staff_page, cast, look):
    page = staff_page
    due = dunning.today(timezone.now()) - timedelta(days=22)
    for customer, amount in ((cast.other_customer, 12_00), (cast.reseller, 48_20)):
        bill(customer, amount, due=due)
    for day in range(23):
        dunning.sweep(at=noon(day, due))
        post(noon(day, due))
    page.goto("/staff/hosting/dunning/")
    look("staff-past-due")
    page.get_by_role("link", name="Juniper").click()
    expect(page.get_by_text("Bills that are overdue")).to_be_visible()
    look("staff-past-due-customer")
    page.get_by_role("button", name="Give more time").click()
    page.get_by_label("Reason").fill("They asked, and pay on the first.")
    page.get_by_label("Until").fill(str(due + timedelta(days=40)))
    look("staff-more-time")
    page.get_by_role("button", name="Give more time").click()
    expect(page.get_by_text("Customers who have more time: 1.")).to_be_visible()

    page.goto("/staff/mailstore/restriction/add/")
    look("staff-stop")
    page.goto("/staff/mailstore/restriction/")
    look("staff-restrictions")
