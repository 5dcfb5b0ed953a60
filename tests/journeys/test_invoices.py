"""What people do with invoices: find one, read it, take it along, and say who they are."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect
from pypdf import PdfReader

from hosting import invoicing
from hosting.models import BillingProfile, Invoice
from hosting.periods import Period
from tests.factories import make_mailbox
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    OCTOBER,
    make_list,
    make_profile,
    moment,
    sold,
    worked_example,
)

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

LONG = "The Very Honourable Company of Bookbinders, Stationers and Letterpress Printers of Alder"


@pytest.fixture
def billed(cast):
    """Months of the house's customer, and of a reseller's with a long name and long addresses."""
    make_profile(cast.provider, vat_id="ATU12345675")
    make_profile(cast.reseller)
    make_profile(cast.customer)
    make_profile(cast.other_customer)
    BillingProfile.objects.filter(organisation=cast.customer).update(
        legal_name=LONG, country="DE", vat_id="DE123456789"
    )
    prices = {"pop": ("1.80", 0, "0"), "imap": ("4.00", 5, "0.20")}
    make_list(seller=cast.reseller, is_default=True, **prices)
    worked_example(cast.other_domain)
    for number in range(40):
        name = f"a-rather-long-name-for-a-mailbox-that-somebody-chose-{number}"
        sold(cast.domain, name, "pop", since=moment(1 + number % 20))
    for month in (Period(2026, 9), OCTOBER, Period(2026, 11)):
        invoicing.close_month(actor=ACTOR, period=month, at=month.ends_at)
    return cast


def bill_of(organisation, month=OCTOBER):
    return Invoice.objects.get(customer=organisation, period=month.first_day, kind="invoice")


def a_logo(path):
    picture = Image.new("RGB", (480, 160), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((10, 10, 150, 150), fill="#8b1e3f")
    draw.rectangle((180, 50, 470, 110), fill="#8b1e3f")
    picture.save(path)
    return path


def test_a_customer_finds_reads_and_keeps_an_invoice(page, billed, sign_in, look):
    taken_back = bill_of(billed.other_customer, Period(2026, 9))
    invoicing.credit(actor=ACTOR, invoice=taken_back, reason="Billed twice", at=CLOSED_AT)
    sign_in(billed.charlie)
    page.goto("/billing/invoices/")
    look("invoices")
    page.get_by_label("Year").select_option("2026")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Total of 2026")).to_be_visible()

    page.get_by_role("link", name=bill_of(billed.other_customer).number, exact=True).click()

    expect(page.get_by_role("cell", name="7.49 EUR")).to_be_visible()
    expect(page.get_by_text("17.548387")).to_be_visible()
    look("invoice")
    address = page.get_by_role("link", name="PDF").get_attribute("href")
    answer = page.request.get(address)
    assert "7.49 EUR" in PdfReader(io.BytesIO(answer.body())).pages[0].extract_text()


def test_whoever_has_no_invoice_yet_reads_when_one_comes(page, cast, sign_in, look):
    make_mailbox(cast.domain)
    sign_in(cast.alice)
    page.goto("/billing/invoices/")
    expect(page.get_by_role("heading", name="No invoice yet")).to_be_visible()
    look("invoices-empty")


def test_a_reseller_has_its_own_logo_its_invoices_and_its_statement(
    page, billed, sign_in, look, tmp_path
):
    sign_in(billed.rita)
    page.goto("/billing/profile/")
    look("billing-profiles")
    page.get_by_role("link", name="Rowan").click()
    page.get_by_label("Picture").set_input_files(a_logo(tmp_path / "logo.png"))
    page.get_by_role("button", name="Add the logo").click()
    expect(page.get_by_role("img", name="Logo of Rowan Ltd")).to_be_visible()
    look("billing-profile-logo")
    december = Period(2026, 12)
    invoicing.close_month(actor=ACTOR, period=december, at=december.ends_at)

    page.goto("/billing/invoices/issued")
    look("invoices-issued")
    page.get_by_role("link", name=bill_of(billed.customer, december).number, exact=True).click()
    expect(page.get_by_text("Reverse charge")).to_be_visible()
    expect(page.get_by_role("img", name="Rowan Ltd")).to_be_visible()
    look("invoice-issued")
    page.goto(f"/billing/invoices/{bill_of(billed.reseller).uuid}/")
    page.get_by_role("link", name="By customer").click()
    expect(page.get_by_text("which leaves")).to_be_visible()
    look("statement")


def test_a_reseller_notes_what_its_customer_paid_and_takes_a_slip_back(page, billed, sign_in, look):
    bill = bill_of(billed.customer)
    sign_in(billed.rita)
    page.goto("/billing/invoices/issued?pay=open")
    page.get_by_role("link", name=bill.number, exact=True).click()
    look("invoice-issued-open")
    page.get_by_role("link", name="Record a payment").click()
    look("payment-record")
    page.get_by_label("Amount").fill("1.00")
    page.get_by_label("Note").fill(f"Transfer of {LONG}")
    page.get_by_role("button", name="Record it").click()
    expect(page.get_by_text("The payment is recorded.")).to_be_visible()
    look("invoice-issued-partly-paid")

    page.get_by_role("link", name="Take back").click()
    look("payment-take-back")
    page.get_by_label("Why").fill("That was another customer.")
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_text("What it had settled is to pay again.")).to_be_visible()

    page.get_by_role("link", name="Record a payment").click()
    page.get_by_role("button", name="Record it").click()
    expect(page.get_by_text("Settled: nothing is left to pay")).to_be_visible()
    page.goto("/billing/invoices/issued")
    expect(page.get_by_role("row", name=bill.number).get_by_text("Settled")).to_be_visible()


def test_an_owner_says_who_it_is_and_is_told_what_is_wrong(page, cast, sign_in, look):
    sign_in(cast.alice)
    page.goto("/billing/profile/")
    page.get_by_label("Name on invoices").fill("Alder Books Ltd")
    page.get_by_label("Address").fill("Mill Lane 4\n1010 Vienna")
    page.get_by_label("Country").select_option("Austria")
    page.get_by_label("VAT id").fill("DE123456789")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_text("looks like ATU12345678")).to_be_visible()
    look("billing-profile-wrong")

    page.get_by_label("VAT id").fill("atu 12345675")
    page.get_by_role("button", name="Keep").click()

    expect(page.get_by_text("Invoices from now on say it so.")).to_be_visible()
    expect(page.get_by_text("VAT id ATU12345675")).to_be_visible()
    look("billing-profile")


def test_staff_look_through_bills_and_take_one_back(staff_page, billed, look):
    page = staff_page
    page.goto("/staff/hosting/invoice/")
    look("staff-invoices")
    bill = bill_of(billed.other_customer)
    page.goto(f"/staff/hosting/invoice/{bill.pk}/change/")
    look("staff-invoice")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("is equal to what the rows come to")).to_be_visible()
    page.goto(f"/staff/hosting/invoice/{bill.pk}/change/")
    page.get_by_role("button", name="Take back").click()
    page.get_by_label("Reason").fill("Billed twice")
    look("staff-take-back")
    page.get_by_role("button", name="Take back").click()

    expect(page.get_by_text("Bills that were taken back: 1.")).to_be_visible()
    for name in ("billingprofile", "pricelist", "vatrate"):
        page.goto(f"/staff/hosting/{name}/")
        look(f"staff-{name}")
    assert Invoice.objects.filter(corrects=bill).exists()
