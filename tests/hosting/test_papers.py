"""Bills on paper: what page and PDF say, in any currency, at any length, from any hand."""

from __future__ import annotations

import csv
import dataclasses
import io
from datetime import date
from decimal import Decimal

import pytest
from django.conf import settings
from django.core.cache import caches
from PIL import Image
from pypdf import PdfReader

from accounts.models import Organisation
from hosting import invoicing, papers
from hosting.models import Contract, Invoice, InvoiceLine, InvoiceTax, Price
from hosting.papers import printing
from hosting.periods import Period
from mailstore.models import Drift
from tests.factories import make_cast, make_domain
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    GIGABYTE,
    OCTOBER,
    make_list,
    make_logo,
    make_profile,
    moment,
    sold,
    used,
    worked_example,
)

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def cast():
    cast = make_cast()
    make_profile(cast.provider, vat_id="ATU12345675")
    make_profile(cast.other_customer)
    return cast


@pytest.fixture(autouse=True)
def kept():
    """PDFs that were set already; none at the start of a test."""
    kept = caches["papers"]
    kept.clear()
    return kept


def close(period=OCTOBER, at=CLOSED_AT):
    invoicing.close_month(actor=ACTOR, period=period, at=at)


def the_bill(**about):
    return Invoice.objects.select_related("customer", "corrects", "logo").get(**about)


def pdf_of(paper):
    return papers.pdf(Invoice.objects.get(number=paper.number), paper)


def usage_url():
    return settings.PANEL_URL + papers.usage_path(the_bill())


def pages_of(pdf):
    """The text of each page, with its white space evened out."""
    return [" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(pdf)).pages]


def text_of(paper):
    return " ".join(pages_of(pdf_of(paper)))


def shown(paper):
    return [
        (line.what, line.quantity, line.unit, line.unit_price, line.net)
        for section in paper.sections
        for line in section.lines
    ]


def copied(invoice, number, *, lines):
    """A bill like another one, with its first line as often as wanted."""
    line = invoice.lines.order_by("position")[0]
    net = line.net_minor * lines
    values = {f.attname: getattr(invoice, f.attname) for f in Invoice._meta.concrete_fields}
    values |= {"id": None, "number": number, "period": date(2020, 1, 1)}
    values |= {"uuid": f"{lines:032x}", "net_minor": net, "vat_minor": 0, "total_minor": net}
    copy = Invoice.objects.create(**values)
    fields = {f.attname: getattr(line, f.attname) for f in InvoiceLine._meta.concrete_fields}
    rows = [
        InvoiceLine(**{**fields, "id": None, "invoice_id": copy.pk, "position": position})
        for position in range(1, lines + 1)
    ]
    InvoiceLine.objects.bulk_create(rows)
    InvoiceTax.objects.create(invoice=copy, number=1, percent=20, net_minor=net, vat_minor=0)
    return the_bill(pk=copy.pk)


# The worked example ---------------------------------------------------------------------


def test_the_worked_example_stands_on_paper_to_the_cent(cast):
    worked_example(cast.other_domain)
    close()

    paper = papers.paper(the_bill())

    assert shown(paper) == [
        ("a@juniper.test", "1", "month", "1.00", "1.00"),
        ("b@juniper.test", "0.63172", "month", "1.00", "0.63"),
        ("c@juniper.test", "1", "month", "2.50", "2.50"),
        ("c@juniper.test", "17.548387", "GB-month", "0.12", "2.11"),
    ]
    assert (paper.net_text, paper.total_text) == ("6.24", "7.49 EUR")
    assert [(row.label, row.text) for row in paper.vat] == [("VAT 20 % on 6.24", "1.25")]


def test_the_pdf_of_the_worked_example_says_all_that_an_invoice_must(cast):
    worked_example(cast.other_domain)
    close()

    [text] = pages_of(pdf_of(papers.paper(the_bill())))

    for part in (
        "Invoice R-000001 · page 1 of 1",
        "Restante Ltd Mill Lane 4 1010 Vienna Austria VAT id ATU12345675",
        "Juniper Ltd Mill Lane 4 1010 Vienna Austria",
        "Issued on 1 November 2026",
        "Period 1 to 31 October 2026, UTC",
        "b@juniper.test POP mailbox, 1,692,000 of 2,678,400 seconds 0.63172 month 1.00 0.63",
        "Storage: 22.548387 GB-months kept, 5 of them included 17.548387 GB-month 0.12 2.11",
        "Net 6.24 VAT 20 % on 6.24 1.25 Total to pay 7.49 EUR",
        "Each change counts from the second in which it happens",
        "1 GB = 10⁹ bytes",
    ):
        assert part in text
    assert usage_url() in text.replace(" ", "")


def test_a_pdf_is_tagged_and_the_same_each_time(cast):
    worked_example(cast.other_domain)
    close()
    paper = papers.paper(the_bill())

    first, second = pdf_of(paper), pdf_of(paper)

    assert first == second
    reader = PdfReader(io.BytesIO(first))
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"].value
    assert root["/Lang"] == "en"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"].value
    assert reader.metadata.title == "Invoice R-000001"
    assert b"pdfuaid:part" in root["/Metadata"].get_data()
    assert tags_of(root["/StructTreeRoot"]) >= {"/H1", "/Table", "/TH", "/TD", "/P", "/Link"}


def tags_of(element):
    """The kinds of all elements below one."""
    kids = element.get("/K", [])
    found = {element["/S"]} if "/S" in element else set()
    for kid in kids if isinstance(kids, list) else [kids]:
        below = kid.get_object()
        if hasattr(below, "get"):
            found |= tags_of(below)
    return found


# Currencies and tax ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "price", "texts"),
    [
        ("JPY", "1234.5", ("1,234.5 1,235", "VAT 20 % on 1,235 247", "Total to pay 1,482 JPY")),
        ("BHD", "0.4445", ("0.4445 0.445", "VAT 20 % on 0.445 0.089", "Total to pay 0.534 BHD")),
    ],
)
def test_each_currency_has_its_decimals(cast, currency, price, texts):
    profile = cast.other_customer.billing_profile
    profile.price_list = make_list(currency=currency, pop=(price, 0, "0"))
    profile.save()
    sold(cast.other_domain, "a", "pop")
    close()

    text = text_of(papers.paper(the_bill()))

    for part in (*texts, f"Unit price, {currency}"):
        assert part in text


def test_reverse_charge_is_said(cast):
    profile = cast.other_customer.billing_profile
    profile.country, profile.vat_id = "DE", "DE123456789"
    profile.save()
    sold(cast.other_domain, "a", "pop")
    close()

    text = text_of(papers.paper(the_bill()))

    for part in ("VAT id DE123456789", "VAT 0 % on 1.00 0.00", "Reverse charge: the customer owes"):
        assert part in text


# Corrections and credit notes -----------------------------------------------------------


def test_a_correction_says_what_it_puts_right_and_why(cast):
    mailbox = sold(cast.other_domain, "a", "pop")
    sold(cast.other_domain, "b", "pop")
    close()
    Contract.objects.filter(mailbox=mailbox).update(
        ends_at=moment(16, 12), ended_at=moment(3, month=11)
    )
    close(Period(2026, 11), at=moment(1, month=12))

    text = text_of(papers.paper(the_bill(period=date(2026, 11, 1))))

    assert (
        "a@juniper.test Correction for October 2026, billed in R-000001: the mailbox ended on "
        "16 October 2026, 12:00 UTC, which became known later −0.50"
    ) in text


def test_a_correction_without_an_end_says_that_use_was_counted_again(cast):
    sold(cast.other_domain, "a", "pop")
    close()
    row = papers.lines.rows_of(the_bill())[0]
    charge = dataclasses.replace(papers.lines.charge_of(row), kind=InvoiceLine.Kind.CORRECTION)

    line = papers.lines.in_words(
        charge, late=papers.lines.Late(ends={}, numbers={}, taken_back=frozenset())
    )

    assert line.detail == (
        "Correction for October 2026: its use was counted again later, and came out different"
    )


def test_a_credit_note_says_what_it_takes_back_and_why(cast):
    worked_example(cast.other_domain)
    close()
    invoice = the_bill()
    note = invoicing.credit(actor=ACTOR, invoice=invoice, reason="Billed twice", at=CLOSED_AT)

    text = text_of(papers.paper(note))

    for part in (
        "Credit note R-000002 · page 1 of 1",
        "Takes back invoice R-000001 of 1 November 2026, whole. Reason: Billed twice",
        "a@juniper.test POP mailbox, the whole month −1 month 1.00 −1.00",
        "Net −6.24 VAT 20 % on −6.24 −1.25 Total credited −7.49 EUR",
    ):
        assert part in text


# Length ---------------------------------------------------------------------------------


def test_five_hundred_lines_repeat_the_head_of_the_table_and_the_number(cast):
    sold(cast.other_domain, "a", "pop")
    close()

    pages = pages_of(pdf_of(papers.paper(copied(the_bill(), "R-000500", lines=500))))

    assert len(pages) > 10
    for number, page in enumerate(pages[:-1], start=1):
        assert f"Invoice R-000500 · page {number} of {len(pages)}" in page
        assert "For Quantity Unit Unit price, EUR Net, EUR" in page
    assert sum(page.count("a@juniper.test") for page in pages) == 500


def test_ten_thousand_lines_are_summed_up_and_all_of_them_are_a_csv(
    cast, django_assert_max_num_queries
):
    worked_example(cast.other_domain)
    close()
    many = copied(the_bill(), "R-010000", lines=10_000)

    with django_assert_max_num_queries(5):
        paper = papers.paper(many)

    assert shown(paper) == [("10,000 POP mailboxes", "10,000", "month", "1.00", "10,000.00")]
    [text] = pages_of(pdf_of(paper))
    assert "These are the sums of 10,000 lines, each rounded by itself. All lines as CSV" in text
    assert len(list(csv.reader("".join(papers.csv_of(many)).splitlines()))) == 10_001


def test_a_sum_of_lines_names_each_kind_and_takes_back_what_is_credited(cast, monkeypatch):
    monkeypatch.setattr(papers.bills, "MOST_LINES", 3)
    mailbox = sold(cast.other_domain, "z", "pop")
    worked_example(cast.other_domain)
    close()
    Contract.objects.filter(mailbox=mailbox).update(
        ends_at=moment(16), ended_at=moment(3, month=11)
    )
    close(Period(2026, 11), at=moment(1, month=12))
    november = the_bill(period=date(2026, 11, 1))
    note = invoicing.credit(actor=ACTOR, invoice=november, reason="All", at=CLOSED_AT)

    assert shown(papers.paper(note)) == [
        ("1 correction", "", "", "", "0.52"),
        ("1 IMAP mailbox", "−1", "month", "2.50", "−2.50"),
        ("2 POP mailboxes", "−2", "month", "1.00", "−2.00"),
    ]


def test_what_is_shared_is_one_line_of_its_own(cast):
    cast.other_customer.billing_profile.pools_storage = True
    cast.other_customer.billing_profile.save()
    used(sold(cast.other_domain, "a"), (moment(1), 9 * GIGABYTE))
    close()

    paper = papers.paper(the_bill())

    assert shown(paper)[-1] == ("All IMAP mailboxes at this price", "4", "GB-month", "0.12", "0.48")


# Resellers ------------------------------------------------------------------------------


@pytest.fixture
def resold(cast):
    """Two customers of Rowan, one of which Rowan itself bills in the same currency."""
    make_profile(cast.reseller, logo=make_logo(cast.reseller))
    make_profile(cast.customer)
    retail = {"pop": ("1.80", 0, "0"), "imap": ("4.00", 5, "0.20")}
    make_list(seller=cast.reseller, is_default=True, **retail)
    second = Organisation.objects.create(kind="customer", name="Birch", parent=cast.reseller)
    sold(cast.domain, "a", "pop")
    sold(make_domain("birch.test", second), "b", "pop")
    sold(cast.domain, "c", "pop")
    close()
    return cast


def test_a_statement_groups_the_house_bill_by_customer_with_the_margin(resold):
    paper = papers.statement(the_bill(customer=resold.reseller))

    assert [(s.title, s.net_text, s.note) for s in paper.sections] == [
        ("Alder", "1.34", "You billed 3.60 EUR, which leaves 2.26 EUR."),
        ("Birch", "0.67", "You billed 1.80 EUR, which leaves 1.13 EUR."),
    ]
    assert [line[0] for line in shown(paper)] == ["a@alder.test", "c@alder.test", "b@birch.test"]
    assert "Statement R-000001 · page 1 of 1" in text_of(paper)


def test_a_long_statement_has_a_line_a_customer(resold, monkeypatch):
    monkeypatch.setattr(papers.statements, "MOST_LINES", 2)

    paper = papers.statement(the_bill(customer=resold.reseller))

    assert [(s.title, s.net_text, s.lines) for s in paper.sections] == [
        ("Alder", "1.34", []),
        ("Birch", "0.67", []),
    ]


def test_a_statement_of_very_many_customers_folds_the_rest(resold, monkeypatch):
    monkeypatch.setattr(papers.statements, "MOST_LINES", 1)

    paper = papers.statement(the_bill(customer=resold.reseller))

    assert [(s.title, s.net_text) for s in paper.sections] == [("2 other customers", "2.01")]


def test_the_share_of_no_mailbox_comes_last_on_a_statement(resold):
    profile = resold.reseller.billing_profile
    profile.pools_storage = True
    profile.save()
    used(
        sold(resold.domain, "i", since=moment(1, month=11)),
        (moment(1, month=11), 9 * GIGABYTE),
        until=moment(1, month=12),
    )
    close(Period(2026, 11), at=moment(1, month=12))

    paper = papers.statement(the_bill(customer=resold.reseller, period=date(2026, 11, 1)))

    assert [s.title for s in paper.sections] == ["Alder", "Birch", "Shared by all mailboxes"]


def test_a_resellers_customer_sees_the_reseller_and_nothing_of_the_wholesale(resold):
    text = text_of(papers.paper(the_bill(customer=resold.customer)))

    assert text.count("Rowan Ltd") >= 2
    for secret in ("Restante Ltd", "0.67", "1.34", "R-000001"):
        assert secret not in text


def test_the_logo_stands_on_the_bill_and_stays_when_another_follows(resold):
    profile = resold.reseller.billing_profile
    before = pdf_of(papers.paper(the_bill(customer=resold.customer)))
    profile.logo = make_logo(resold.reseller, "red")
    profile.legal_name = "Another Name"
    profile.save()

    after = pdf_of(papers.paper(the_bill(customer=resold.customer)))

    assert before == after
    [picture] = PdfReader(io.BytesIO(after)).pages[0].images
    assert picture.image.size == (120, 40)


# Hostile hands --------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src="file:///etc/passwd">',
    "<style>*{background:url(file:///etc/passwd)}</style>",
    "url(file:///etc/passwd)",
    "<link rel=stylesheet href=http://127.0.0.1:1/x.css>",
    "<a href='javascript:alert(1)'>x</a>",
    "{{ paper.logo }}{% now 'Y' %}",
    "W" * 200,
    "\u202eevil\u202c",
    "😀 Émile Ñandú Жуков שלום",
    "a" * 60 + " " + "&amp;" * 20,
    "\x00\x01\x1b[31m",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_and_addresses_are_text_and_nothing_else(cast, text, monkeypatch):
    asked = []
    real = printing.HandedOver.fetch

    def fetch(self, url, headers=None):
        asked.append(url)
        return real(self, url, headers)

    monkeypatch.setattr(printing.HandedOver, "fetch", fetch)
    profile = cast.other_customer.billing_profile
    # What PostgreSQL cannot keep never gets as far as a bill.
    kept = text.replace("\x00", "")
    profile.legal_name, profile.address = kept, f"{kept}\n{kept}"
    profile.save()
    sold(cast.other_domain, "a", "pop")
    close()

    pdf = pdf_of(papers.paper(the_bill()))

    assert asked == []
    assert b"/JavaScript" not in pdf
    reader = PdfReader(io.BytesIO(pdf))
    assert {link for page in reader.pages for link in links_of(page)} == {usage_url()}
    for page in reader.pages:
        # The margins stay empty, and no word is longer than the column it stands in.
        assert all(62 <= x <= 540 for x in places_of(page))
        assert "W" * 60 not in page.extract_text()


def links_of(page):
    for annotation in page.get("/Annots", []):
        action = annotation.get_object().get("/A")
        if action:
            yield action["/URI"]


def places_of(page):
    """Where texts begin, from the left."""
    found = []

    def note(text, cm, tm, _font, _size):
        if text.strip():
            found.append(tm[4] * cm[0] + cm[4])

    page.extract_text(visitor_text=note)
    return found


def test_what_was_not_handed_over_is_not_read(tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (3, 3), "red").save(secret)
    html = f"<p>Here</p><img src='{secret.as_uri()}'><img src='http://127.0.0.1:9/x.png'>"
    css = f"p {{ background: url('{secret.as_uri()}') }} @import url('{tmp_path.as_uri()}/x.css');"

    pdf = printing.pdf(html, css=css, pictures={})

    [page] = PdfReader(io.BytesIO(pdf)).pages
    assert (page.extract_text(), list(page.images)) == ("Here", [])


def test_csv_has_no_formulas_and_keeps_numbers(resold):
    Organisation.objects.filter(pk=resold.customer.pk).update(name="=cmd|'/c calc'!A1")
    bill = the_bill(customer=resold.reseller)
    note = invoicing.credit(actor=ACTOR, invoice=bill, reason="All", at=CLOSED_AT)

    rows = list(csv.DictReader(io.StringIO("".join(papers.csv_of(note)))))

    assert rows[0] == {
        "invoice": note.number,
        "line": "1",
        "kind": "mailbox",
        "customer": "'=cmd|'/c calc'!A1",
        "mailbox": "a@alder.test",
        "protocol": "pop",
        "month": "2026-10",
        "seconds": "2678400",
        "used_byte_seconds": "0",
        "included_byte_seconds": "0",
        "quantity": "1.000000",
        "unit_price": "0.670000",
        "net": "-0.67",
        "vat_percent": "20.00",
        "currency": "EUR",
    }


def test_a_country_that_is_not_known_here_is_shown_by_its_code(cast):
    profile = cast.other_customer.billing_profile
    profile.country = "QQ"
    profile.save()
    Price.objects.update(monthly_price=Decimal(1))
    sold(cast.other_domain, "a", "pop")
    close()

    assert papers.paper(the_bill()).buyer.country == "QQ"


# Once for a while -------------------------------------------------------------------------


def test_a_pdf_is_set_once_for_a_while_and_the_same_byte_by_byte(cast, kept, monkeypatch):
    make_profile(cast.reseller)
    sold(cast.other_domain, "a", "pop")
    close()
    times = []
    real = printing.pdf
    monkeypatch.setattr(
        printing, "pdf", lambda *given, **named: times.append(1) or real(*given, **named)
    )
    paper = papers.paper(the_bill())

    first, second = pdf_of(paper), pdf_of(paper)
    kept.clear()
    third = pdf_of(paper)

    assert first == second == third
    assert len(times) == 2


def test_another_text_or_picture_is_set_anew(cast):
    sold(cast.other_domain, "a", "pop")
    close()
    paper = papers.paper(the_bill())
    made = {pdf_of(paper)}
    made.add(pdf_of(dataclasses.replace(paper, number=f"{paper.number}")))
    for colour in ("navy", "red"):
        logo = make_logo(cast.provider, colour)
        made.add(papers.pdf(the_bill(), dataclasses.replace(paper, logo=logo)))

    assert len(made) == 3


# Gaps -----------------------------------------------------------------------------------


def gap(address, since, until):
    Drift.objects.create(
        username=address,
        since=int(since.timestamp()),
        until=int(until.timestamp()),
        noted_bytes=9 * GIGABYTE,
        true_bytes=GIGABYTE,
    )


def test_bill_says_when_the_lower_size_was_counted(cast):
    mailbox = sold(cast.other_domain, "a")
    used(mailbox, (moment(1), 9 * GIGABYTE))
    gap(mailbox.address, moment(12, 7), moment(20, 5))
    gap("somebody@else.test", moment(12, 7), moment(20, 5))
    close()
    gap(mailbox.address, moment(25), moment(2, month=11))

    found = papers.paper(the_bill()).notes[-1]

    assert found == (
        "Reports of the mail server were lost, so the lower size was counted: "
        "a@juniper.test from 12 October 2026, 07:00 until 20 October 2026, 05:00 (UTC)."
    )


def test_bill_names_ten_gaps_and_counts_the_others(cast):
    for number in range(12):
        mailbox = sold(cast.other_domain, f"m{number}")
        gap(mailbox.address, moment(12, 7), moment(20, 5))
    close()

    found = papers.paper(the_bill()).notes[-1]

    assert found.count("from 12 October") == 10
    assert found.endswith("; 2 more, in the file with the use (UTC).")


def test_bill_without_gaps_says_nothing_of_them(cast):
    sold(cast.other_domain, "a")
    close()

    assert len(papers.paper(the_bill()).notes) == 2
