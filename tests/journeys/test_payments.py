"""Money comes in: a customer pays by card, and staff take in a bank statement."""

from __future__ import annotations

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from hosting import ledger, paying, tasks
from hosting.models import InvoiceCounter
from hosting.paying import facts
from tests.hosting.billing_rows import make_profile
from tests.hosting.ledger_rows import make_bill, paid

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

STATEMENT = """Buchungstag;Betrag;Währung;Name;Verwendungszweck;id
02.11.2026;12,00;EUR;Juniper Ltd;Rechnung T-1, danke;1
03.11.2026;-5,00;EUR;The Bank;Fees for October;2
04.11.2026;1.204,99;EUR;Somebody with a rather long name;no number at all;3
31.11.2026;1,00;EUR;X;x;4
"""


@pytest.fixture
def provider(settings, live_server):
    # The provider's page leads back to the panel of whoever the bill is for.
    settings.PANEL_URL = live_server.url
    settings.PAYMENT_PROVIDER = "hosting.paying.memory.MemoryProvider"
    settings.PAYMENT_ORIGIN = "https://checkout.stripe.com"
    paying._made.cache_clear()
    yield paying.provider()
    paying._made.cache_clear()


def test_customer_pays_by_card_and_is_told_the_truth(page, cast, sign_in, look, provider):
    bill = make_bill(cast.other_customer, 749, at=timezone.now())
    page.route(
        "https://checkout.stripe.com/**",
        lambda route: route.fulfill(body="<h1>Card number</h1>", content_type="text/html"),
    )
    sign_in(cast.charlie)
    page.goto(f"/billing/invoices/{bill.uuid}/payment")
    look("payment")
    page.get_by_role("button", name="Pay 7.49 EUR by card").click()
    expect(page.get_by_role("heading", name="Card number")).to_be_visible()

    [(ask, _page)] = provider.pages.values()
    page.goto(ask.success_url)
    expect(page.get_by_text("Not yet confirmed.")).to_be_visible()
    look("payment-waiting")
    told = {"event_id": "evt_1", "kind": "paid", "name": "x", "at": 1_793_600_000}
    told |= {"payment_id": "pi_1", "amount_minor": 749, "currency": "EUR"}
    body, signature = provider.tell(**told, invoice_uuid=str(bill.uuid))
    facts.store(provider.read(body=body, signature=signature), at=timezone.now())
    tasks.apply_provider_events()

    # The page asks for itself whether the provider has told.
    expect(page.get_by_text("Settled: nothing is left to pay")).to_be_visible()
    look("payment-settled")


def test_staff_take_in_a_bank_statement(staff_page, cast, look, tmp_path):
    page = staff_page
    InvoiceCounter.objects.update(prefix="T-")
    make_profile(cast.other_customer)
    bill = make_bill(cast.other_customer, 1000)
    file = tmp_path / "october.csv"
    file.write_text(STATEMENT, encoding="cp1252")

    page.goto("/staff/hosting/bankimport/add/")
    look("staff-statement")
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_label("Account:", exact=True).fill("AT61-1904")
    page.get_by_role("button", name="Check the statement").click()
    expect(page.get_by_text("T-000001: 10.00 EUR; 2.00 EUR stay as credit")).to_be_visible()
    look("staff-statement-preview")
    page.get_by_role("button", name="Record 2 lines").click()
    expect(page.get_by_text("0 of 4 lines done")).to_be_visible()
    tasks.resume_bank_imports()

    expect(page.get_by_text("4 of 4 lines done, 2 payments recorded")).to_be_visible()
    look("staff-statement-finished")
    assert ledger.open_minor(bill) == 0
    page.goto("/staff/hosting/payment/?use=nobody")
    look("staff-payments")
    page.get_by_role("link", name="4 Nov 2026").click()
    look("staff-payment")


def test_staff_match_a_payment_to_the_bill_it_names(staff_page, cast, look):
    page = staff_page
    InvoiceCounter.objects.update(prefix="T-")
    bill = make_bill(cast.other_customer, 1000)
    payment = paid(400, payer="Juniper", reference="bill T-1")

    page.goto("/staff/hosting/payment/add/")
    look("staff-payment-add")
    page.goto(f"/staff/hosting/payment/{payment.pk}/change/")
    page.get_by_role("button", name="Match to bills …").click()
    expect(page.get_by_label("Bills")).to_have_value("T-000001")
    look("staff-payment-match")
    page.get_by_role("button", name="Match to bills").click()

    expect(page.get_by_text("Payments matched: 1.")).to_be_visible()
    assert ledger.open_minor(bill) == 600
    page.goto(f"/staff/hosting/openitem/{bill.pk}/change/")
    look("staff-open-item")
