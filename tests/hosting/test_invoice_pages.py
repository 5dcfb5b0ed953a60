"""The pages of invoices: who sees which, how they are found, and what they say."""

from __future__ import annotations

import io
from datetime import date

import pytest
from django.test import Client
from pypdf import PdfReader

from accounts.models import Membership, Organisation
from hosting import invoicing, money
from hosting.models import Invoice
from hosting.periods import Period
from hosting.views import invoices as views
from tests.factories import make_domain, make_member
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    OCTOBER,
    make_list,
    make_logo,
    make_profile,
    moment,
    sold,
    worked_example,
)
from tests.hosting.ledger_rows import make_bill
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

RECEIVED, ISSUED = "/billing/invoices/", "/billing/invoices/issued"
MONTHS = (Period(2026, 9), OCTOBER, Period(2027, 1))


@pytest.fixture
def closed(cast):
    """Three months of Juniper, and October of Alder, which Rowan sells to."""
    for organisation in (cast.provider, cast.reseller, cast.customer, cast.other_customer):
        make_profile(organisation)
    make_list(seller=cast.reseller, is_default=True, pop=("1.80", 0, "0"))
    worked_example(cast.other_domain)
    sold(cast.domain, "a", "pop", since=moment(1))
    for month in MONTHS:
        invoicing.close_month(actor=ACTOR, period=month, at=month.ends_at)
    return cast


def client_of(user):
    client = Client()
    signed_in(user, client)
    return client


def page_of(invoice, name=""):
    return f"{RECEIVED}{invoice.uuid}/{name}"


def numbers(response):
    return [row["number"] for row in response.context["invoices"]]


def bill_of(organisation, month=OCTOBER):
    return Invoice.objects.get(customer=organisation, period=month.first_day, kind="invoice")


def test_a_customer_finds_its_bills_newest_first_with_their_totals(closed):
    page = client_of(closed.charlie).get(RECEIVED)

    months = [row["period"] for row in page.context["invoices"]]
    assert months == [date(2027, 1, 1), date(2026, 10, 1), date(2026, 9, 1)]
    total = sum(
        Invoice.objects.filter(customer=closed.other_customer).values_list("total_minor", flat=True)
    )
    assert [each["total"] for each in page.context["totals"]] == [
        money.minor_text(total, currency="EUR")
    ]
    assert page.context["years"] == [2027, 2026]
    assert "7.49 EUR" in page.content.decode()


@pytest.mark.parametrize(
    ("query", "months"),
    [
        ("year=2027", [1]),
        ("year=2026", [10, 9]),
        ("year=2024", []),
        ("year=banana", [1, 10, 9]),
        ("year=٢٠٢٦", [1, 10, 9]),
        ("year=99999999999999", [1, 10, 9]),
        ("year=02026", [1, 10, 9]),
        (f"year=02026{'9' * 5000}", [1, 10, 9]),
        ("q=nothing-like-it", []),
        ("after=nowhere", []),
    ],
)
def test_the_year_and_the_search_stand_in_the_address(closed, query, months):
    page = client_of(closed.charlie).get(f"{RECEIVED}?{query}")

    assert [row["period"].month for row in page.context["invoices"]] == months


def test_bills_come_in_pages_by_key_with_as_many_queries_for_one_as_for_three(
    closed, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr(views, "PAGE_LENGTH", 2)
    charlie = client_of(closed.charlie)

    with django_assert_num_queries(8):
        first = charlie.get(RECEIVED)
    with django_assert_num_queries(8):
        second = charlie.get(RECEIVED + first.context["next_url"])

    assert (len(numbers(first)), len(numbers(second))) == (2, 1)
    assert set(numbers(first)) & set(numbers(second)) == set()
    assert second.context["next_url"] == ""
    assert "First page" in second.content.decode()


def test_whoever_has_no_bill_yet_reads_when_the_first_one_comes(cast):
    for person, path in ((cast.charlie, RECEIVED), (cast.rita, ISSUED)):
        page = client_of(person).get(path).content.decode()

        assert "No invoice yet" in page


def test_one_bill_is_a_page_and_a_pdf_that_say_the_same(closed):
    bill, charlie = bill_of(closed.other_customer), client_of(closed.charlie)

    page, pdf = charlie.get(page_of(bill)), charlie.get(page_of(bill, "pdf"))

    html = page.content.decode()
    text = " ".join(PdfReader(io.BytesIO(pdf.content)).pages[0].extract_text().split())
    for part in ("17.548387", "7.49 EUR", "VAT 20 % on 6.24", "1 to 31 October 2026, UTC"):
        assert part in html
        assert part in text
    assert pdf.headers["Content-Type"] == "application/pdf"
    assert pdf.headers["Content-Disposition"] == f'inline; filename="{bill.number}.pdf"'
    assert "/usage/2026-10.csv" in text.replace(" ", "")


def test_lines_are_a_csv(closed):
    bill = bill_of(closed.other_customer)

    answer = client_of(closed.charlie).get(page_of(bill, "lines.csv"))

    assert answer.getvalue().decode().count("\r\n") == 5
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{bill.number}.csv"'


def test_a_bill_that_was_taken_back_says_so_and_the_credit_note_leads_back(closed):
    bill, charlie = bill_of(closed.other_customer), client_of(closed.charlie)
    note = invoicing.credit(actor=ACTOR, invoice=bill, reason="<b>Twice</b>", at=CLOSED_AT)

    page, listed = charlie.get(page_of(bill)).content.decode(), charlie.get(RECEIVED)

    assert "This invoice was taken back, whole." in page
    assert f"Credit note {note.number}" in page
    assert "&lt;b&gt;Twice&lt;/b&gt;" in charlie.get(page_of(note)).content.decode()
    assert f"Takes back {bill.number}" in listed.content.decode()


def test_a_resellers_customer_gets_bills_from_the_reseller_alone(closed):
    alice = client_of(closed.alice)
    retail, wholesale = bill_of(closed.customer), bill_of(closed.reseller)

    assert retail.number in numbers(alice.get(RECEIVED))
    assert wholesale.number not in numbers(alice.get(RECEIVED))
    assert numbers(alice.get(ISSUED)) == []
    html = alice.get(page_of(retail)).content.decode()
    assert "Rowan Ltd" in html
    assert "Restante Ltd" not in html
    assert alice.get(page_of(wholesale)).status_code == 404
    assert alice.get(page_of(retail, "statement")).status_code == 404


def test_a_reseller_sees_what_it_pays_and_what_it_issued_and_nothing_of_others(closed):
    rita = client_of(closed.rita)

    assert bill_of(closed.reseller).number in numbers(rita.get(RECEIVED))
    assert bill_of(closed.customer).number in numbers(rita.get(ISSUED))
    assert rita.get(page_of(bill_of(closed.customer))).status_code == 200
    assert rita.get(page_of(bill_of(closed.other_customer))).status_code == 404
    assert bill_of(closed.customer).number in numbers(rita.get(f"{ISSUED}?q=alder"))
    assert numbers(rita.get(f"{ISSUED}?q=juniper")) == []


def test_a_reseller_reads_its_statement_as_page_and_pdf(closed):
    rita, bill = client_of(closed.rita), bill_of(closed.reseller)

    page, pdf = rita.get(page_of(bill, "statement")), rita.get(page_of(bill, "statement.pdf"))

    assert "You billed 1.80 EUR, which leaves 1.13 EUR." in page.content.decode()
    assert pdf.headers["Content-Disposition"] == f'inline; filename="{bill.number}-statement.pdf"'


def test_the_house_lists_what_it_issued_to_everybody(closed):
    listed = numbers(client_of(closed.sam).get(ISSUED))

    assert set(listed) == set(Invoice.objects.filter(seller=None).values_list("number", flat=True))


def test_the_billing_role_sees_bills_and_an_admin_does_not(closed):
    roles = Membership.Role
    bill = bill_of(closed.other_customer)
    for role, status in ((roles.BILLING, 200), (roles.ADMIN, 404)):
        user = make_member(f"{role}@example.test", closed.other_customer, role)

        assert client_of(user).get(page_of(bill)).status_code == status


def test_a_customer_that_changes_hands_shows_its_new_reseller_no_old_bill(cast):
    bill = make_bill(cast.other_customer, 500)
    Organisation.objects.filter(pk=cast.other_customer.pk).update(parent=cast.reseller)

    assert client_of(cast.rita).get(page_of(bill)).status_code == 404


def test_the_logo_of_the_bill_is_served_as_what_it_is(cast):
    make_profile(cast.provider, logo=make_logo(cast.provider))
    make_profile(cast.other_customer)
    sold(make_domain("third.test", cast.other_customer), "a", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    bill, charlie = bill_of(cast.other_customer), client_of(cast.charlie)

    picture = charlie.get(page_of(bill, "logo"))

    assert picture.headers["Content-Type"] == "image/png"
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    assert picture.content.startswith(b"\x89PNG")
    assert f"{page_of(bill)}logo" in charlie.get(page_of(bill)).content.decode()


def test_a_bill_without_a_logo_has_none(closed):
    bill = bill_of(closed.other_customer)

    assert client_of(closed.charlie).get(page_of(bill, "logo")).status_code == 404
