"""What staff do: find one mailbox among many, change limits, and bring in a list."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.access import system
from accounts.models import Membership, Organisation, User
from hosting import bulk, dunning, importing, tasks
from hosting.models import BulkRequest
from mailstore.models import Alarm, Domain, Mailbox, Usage
from tests.factories import AT, make_member
from tests.hosting.dunning_rows import bill, noon, post

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


def test_staff_find_a_mailbox_and_preview_a_new_limit(staff_page, many, look):
    page = staff_page
    look("staff")
    page.get_by_role("link", name="Mailboxes", exact=True).click()
    look("staff-mailboxes")
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Newer")).to_be_visible()
    page.get_by_role("searchbox", name="Search", exact=True).fill("desk6")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("11 on this page")).to_be_visible()

    page.locator("#action-toggle").check()
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


def test_staff_look_at_a_price_before_they_set_it(staff_page, many, look):
    page = staff_page
    page.goto("/staff/hosting/plan/")
    page.locator("#result_list").get_by_role("link", name="IMAP", exact=True).click()
    look("staff-plan")
    page.get_by_role("link", name="Retail (EUR)").click()
    page.get_by_label("From").fill((AT + timedelta(days=3_000)).date().isoformat())
    page.get_by_label("Price per mailbox and month").fill("3.10")
    page.get_by_label("Included GB").fill("4")
    page.get_by_label("Price per further GB and month").fill("0.15")
    page.get_by_role("button", name="Show whom it touches").click()
    expect(page.get_by_text("Mailboxes that it touches")).to_be_visible()
    look("staff-price")
    page.get_by_role("button", name="Set this price").click()
    expect(page.get_by_text("It can be withdrawn until its day.")).to_be_visible()
    look("staff-prices")


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


def test_staff_start_at_what_needs_attention_and_find_things(staff_page, many, cast, look):
    page = staff_page
    hostile = "<script>alert(1)</script>"
    now = timezone.now()
    box = Mailbox.objects.get(label="Third floor")
    Alarm.objects.create(
        mailbox=box,
        at=now - timedelta(hours=5),
        since=AT,
        messages=900,
        bytes=9 * 10**8,
        reason=f"900 messages by {hostile}",
    )
    Mailbox.objects.filter(local_part__endswith="7").update(full_since=now - timedelta(days=2))
    Domain.objects.create(name="waiting.test", organisation=cast.customer)
    Organisation.objects.filter(pk=cast.other_customer.pk).update(name=hostile)
    page.goto("/staff/")
    expect(page.get_by_text("Mail server")).to_have_count(2)
    look("staff-attention")
    page.get_by_role("link", name="Tripwires without an answer").click()
    expect(page.get_by_text("900 messages by <script>")).to_be_visible()

    # The slash leads to the search box, once the page's script is there to hear it.
    page.wait_for_load_state()
    page.keyboard.press("/")
    page.keyboard.type("desk1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Search")).to_be_visible()
    look("staff-search")
    page.get_by_role("link", name="desk1@alder.test", exact=True).click()
    look("staff-one-mailbox")
    page.goto("/staff/search/?q=%3Cscript")
    expect(page.get_by_role("link", name=hostile)).to_be_visible()
    page.goto("/staff/accounts/organisation/")
    expect(page.get_by_role("link", name=hostile).first).to_be_visible()
    page.goto("/staff/mail-server/")
    expect(page.get_by_text("answers.")).to_be_visible()
    expect(page.get_by_role("cell", name="imap-login")).to_be_visible()
    look("staff-mail-server")


def test_menu_opens_on_a_narrow_screen(staff_page, look):
    page = staff_page
    page.set_viewport_size({"width": 390, "height": 900})
    expect(page.get_by_role("link", name="Mailboxes")).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Mailboxes", exact=True).click()
    expect(page.get_by_role("heading", name="Mailboxes")).to_be_visible()


def test_two_people_suspend_many(staff_page, many, cast, look):
    page = staff_page
    kim = make_member("kim@example.test", cast.provider, Membership.Role.OPERATOR)
    page.goto("/staff/mailstore/mailbox/?q=desk")
    page.locator("select[name=action]").select_option("suspend")
    page.get_by_label("All that match, on other pages too").check()
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_text("of 70 chosen")).to_be_visible()
    look("staff-bulk")
    page.get_by_label("Reason").fill("They send spam.")
    page.get_by_role("button", name="Ask a second person").click()
    expect(page.get_by_text("It takes a second person.")).to_be_visible()
    look("staff-bulk-asked")

    asked = BulkRequest.objects.get()
    at = timezone.now()
    bulk.confirm(actor=cast.actor(kim), request=asked, is_fresh=True, at=at)
    page.reload()
    bulk.run(request_id=asked.pk, now=timezone.now)

    # The page asks for itself how far the work is.
    expect(page.get_by_text("Finished:")).to_be_visible()
    look("staff-bulk-finished")


def test_staff_come_into_a_customer_and_go_back(staff_page, many, look):
    page = staff_page
    box = Mailbox.objects.get(label="Third floor")
    page.goto(f"/staff/mailstore/mailbox/{box.pk}/change/")
    page.get_by_role("link", name="Act in Alder").click()
    look("staff-visit")
    page.get_by_label("Reason").fill("They called about a full mailbox.")
    page.get_by_role("button", name="Act in Alder").click()
    page.wait_for_url("**/overview/")
    page.get_by_role("button", name="Leave").click()

    expect(page.get_by_text("You left Alder.")).to_be_visible()
    expect(page.get_by_role("heading", name="Change mailbox")).to_be_visible()


def test_the_name_of_the_house_is_whole_beside_all_the_links(staff_page):
    staff_page.goto("/overview/")

    lines = staff_page.locator(".brand").evaluate(
        """brand => {
            const name = document.createRange();
            name.selectNodeContents(brand.lastChild);
            return name.getClientRects().length;
        }"""
    )

    assert lines == 1
