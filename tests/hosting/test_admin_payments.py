"""Payments, open bills and bank statements in the staff pages."""

from __future__ import annotations

from datetime import date

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hosting import ledger, tasks
from hosting.admin import statements
from hosting.models import (
    BankImport,
    InvoiceCounter,
    LedgerEntry,
    Payment,
    ProviderEvent,
    Refund,
)
from tests.factories import AT
from tests.hosting.billing_rows import ACTOR
from tests.hosting.ledger_rows import make_bill, paid
from tests.staffing import act, facts, in_role, lines_of, said

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

PAYMENTS = "/staff/hosting/payment/"
OPEN = "/staff/hosting/openitem/"
LEDGER = "/staff/hosting/ledgerentry/"
EVENTS = "/staff/hosting/providerevent/"
STATEMENTS = "/staff/hosting/bankimport/"
NEW = {"amount": "12.50", "currency": "EUR", "received_on": "2026-11-02"}


@pytest.fixture(autouse=True)
def counter(cast):
    """The rows of bills in these tests are numbered T-."""
    InvoiceCounter.objects.update(prefix="T-")


@pytest.fixture
def bill(cast):
    """T-000001 over 10.00 EUR."""
    return make_bill(cast.other_customer, 1000)


def errors_of(response):
    return [str(error) for error in response.context["form"].non_field_errors()]


def row(page, number=0):
    return [list(each.cells) for each in page.context["tables"][number].rows]


def do(client, action, *rows, path=PAYMENTS, **fields):
    return act(client, action, *rows, path=path, confirmed="yes", **fields)


# Recording ------------------------------------------------------------------------------


def test_payment_is_recorded_in_the_name_of_who_typed_it(staff, cast):
    more = {"customer": cast.other_customer.pk, "payer": "Juniper", "reference": "R-1"}

    page = staff.post(f"{PAYMENTS}add/", {**NEW, **more}, follow=True)

    payment = Payment.objects.get()
    assert said(page) == ["The payment is recorded."]
    assert (payment.amount_minor, payment.free_minor, payment.source) == (1250, 1250, "staff")
    assert (payment.received_on, payment.customer) == (date(2026, 11, 2), cast.other_customer)
    assert facts("payment.received") == [("12.50 EUR · 2026-11-02", cast.sam.email)]


@pytest.mark.parametrize(
    ("change", "said_"),
    [
        ({"amount": "12.505"}, "EUR has no amounts as fine as 12.505."),
        ({"amount": "1.5", "currency": "JPY"}, "JPY has no amounts as fine as 1.5."),
        ({"external_id": "7"}, "This payment was recorded already."),
    ],
)
def test_payment_that_cannot_be_is_refused_with_the_reason(staff, cast, change, said_):
    paid(1, external_id="7")

    page = staff.post(f"{PAYMENTS}add/", {**NEW, **change})

    assert errors_of(page) == [said_]
    assert Payment.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"amount": ""},
        {"amount": "0"},
        {"amount": "-5"},
        {"amount": "NaN"},
        {"amount": "1e30"},
        {"currency": "XXX"},
        {"received_on": "yesterday"},
        {"customer": "x"},
        {"customer": "9" * 30},
        {"payer": "a\0b"},
        {"payer": "x" * 201},
    ],
)
def test_hostile_form_is_refused_beside_its_field(staff, cast, change):
    page = staff.post(f"{PAYMENTS}add/", {**NEW, **change})

    assert list(page.context["form"].errors) == list(change)
    assert not Payment.objects.exists()


def test_recording_needs_the_right_to(cast):
    client = in_role(cast.sam, "support")

    assert client.get(f"{PAYMENTS}add/").status_code == 403
    assert client.post(f"{PAYMENTS}add/", NEW).status_code == 403
    assert not Payment.objects.exists()


# Matching -------------------------------------------------------------------------------


def test_page_of_a_payment_shows_what_it_could_settle(staff, cast, bill):
    payment = paid(1000, reference="for T-1")

    page = staff.get(f"{PAYMENTS}{payment.pk}/change/")

    assert row(page) == [[bill, cast.other_customer, bill.open_item.due_on, "10.00 EUR"]]
    assert page.context["tables"][0].title == "What it could settle: Number"
    assert [cells[:2] for cells in row(page, 1)] == [["Received", "10.00 EUR"]]
    names = [name for name, _label in page.context["row_actions"]]
    assert names == ["match", "assign", "pay_back", "take_back"]


def test_suggested_bills_stand_in_the_form_and_are_matched(staff, cast, bill):
    payment = paid(1200, reference="for T-1")

    page = act(staff, "match", payment, path=PAYMENTS)
    assert page.context["form"]["numbers"].value() == "T-000001"
    page = do(staff, "match", payment, numbers="T-000001", amount="")

    assert said(page) == ["Payments matched: 1."]
    assert ledger.open_minor(bill) == 0
    page = staff.get(f"{PAYMENTS}{payment.pk}/change/")
    assert [name for name, _label in page.context["row_actions"]] == ["match", "pay_back"]


def test_several_payments_are_matched_to_what_is_certain_or_none_is(staff, cast, bill):
    sure, unsure = paid(300, reference="T-1"), paid(400, reference="thanks")

    page = do(staff, "match", sure, unsure, numbers="", amount="")
    assert errors_of(page) == [f"{unsure}: It is not certain for which bill this is. Name it."]
    assert ledger.open_minor(bill) == 1000
    do(staff, "match", sure, numbers="", amount="")

    assert ledger.open_minor(bill) == 700


def test_one_payment_settles_several_bills_until_it_is_used_up(staff, cast, bill):
    others = [make_bill(cast.other_customer, 500) for _ in range(2)]
    payment = paid(1200)

    do(staff, "match", payment, numbers="T-000001 T-000002,T-000003", amount="")

    assert [ledger.open_minor(each) for each in (bill, *others)] == [0, 300, 500]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (("T-000009", ""), "There is no bill T-000009."),
        (("' OR 1=1 --", ""), "There is no bill '."),
        (("T-000001", "10.01"), "10.01 EUR is not possible: 12.00 EUR is free and 10.00 EUR is"),
        (("T-000001", "0.001"), "EUR has no amounts as fine as 0.001."),
        (("T-000002", ""), "This payment is of Juniper, and the bill is not."),
    ],
)
def test_match_that_is_not_possible_is_refused_with_the_reason(staff, cast, bill, asked, why):
    make_bill(cast.provider, 100)
    payment = paid(1200, customer=cast.other_customer)

    page = do(staff, "match", payment, numbers=asked[0], amount=asked[1])

    [error] = errors_of(page)
    assert error.startswith(f"{payment}: {why}")
    assert not LedgerEntry.objects.filter(kind="matched").exists()


def test_match_is_released_from_the_ledger(staff, cast, bill):
    entry = ledger.match(actor=ACTOR, payment=paid(1000), invoice=bill, at=AT)
    page = staff.get(f"{LEDGER}{entry.pk}/change/")
    assert [name for name, _label in page.context["row_actions"]] == ["release"]

    do(staff, "release", entry, path=LEDGER, reason="Wrong bill")

    assert ledger.open_minor(bill) == 1000
    assert staff.get(f"{LEDGER}{entry.pk}/change/").context["row_actions"] == []


def test_payment_of_nobody_is_given_to_its_owner(staff, cast):
    payment = paid(1000)

    do(staff, "assign", payment, customer=cast.other_customer.pk)

    payment.refresh_from_db()
    assert payment.customer == cast.other_customer
    page = do(staff, "assign", payment, customer="x")
    assert page.context["form"].errors["customer"]


# Paying back, taking back, writing off --------------------------------------------------


def test_paying_back_by_hand_is_recorded(staff, cast):
    payment = paid(1000, customer=cast.other_customer)

    do(staff, "pay_back", payment, amount="4.00", reason="Asked for")
    assert Payment.objects.get().free_minor == 600
    do(staff, "pay_back", payment, amount="", reason="The rest")

    assert Payment.objects.get().free_minor == 0
    assert not Refund.objects.exists()
    assert len(facts("payment.refunded")) == 2


def test_what_came_by_stripe_goes_back_by_stripe(staff, cast):
    payment = paid(1000, customer=cast.other_customer, source="stripe", external_id="pi_1")

    do(staff, "pay_back", payment, amount="", reason="Asked for")

    refund = Refund.objects.get()
    assert (refund.state, refund.amount_minor) == ("asked", 1000)


def test_record_of_what_never_came_is_taken_back_with_a_reason(staff, cast):
    payment = paid(1000)

    page = do(staff, "take_back", payment, reason="")
    assert page.context["form"].errors["reason"]
    do(staff, "take_back", payment, reason="Typed twice")

    assert Payment.objects.get().free_minor == 0
    assert LedgerEntry.objects.filter(reason="Typed twice").count() == 1


def test_bill_is_written_off_with_a_reason(staff, cast, bill):
    page = staff.get(f"{OPEN}{bill.pk}/change/")
    assert [name for name, _label in page.context["row_actions"]] == ["write_off"]

    do(staff, "write_off", bill, path=OPEN, amount="0.01", reason="Cents")
    do(staff, "write_off", bill, path=OPEN, amount="", reason="Insolvent")

    assert ledger.open_minor(bill) == 0
    page = staff.get(f"{OPEN}{bill.pk}/change/")
    assert page.context["row_actions"] == []
    assert [cells[5] for cells in row(page)] == ["Insolvent", "Cents"]


def test_message_that_failed_is_tried_again(staff):
    event = ProviderEvent.objects.create(
        event_id="evt_1", name="x", data={}, state="failed", received_at=AT, retry_at=AT
    )

    page = act(staff, "try_again", event, path=EVENTS)

    assert said(page) == ["Messages that are tried again: 1."]
    assert ProviderEvent.objects.get().state == "waiting"


# Lists ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "count"),
    [
        (f"{PAYMENTS}?use=nobody", 1),
        (f"{PAYMENTS}?use=free", 2),
        (f"{PAYMENTS}?use=used", 1),
        (f"{PAYMENTS}?q=junip", 2),
        (f"{OPEN}?standing=open", 1),
        (f"{OPEN}?standing=overdue", 1),
        (f"{OPEN}?standing=settled", 1),
        (f"{OPEN}?q=T-000001", 1),
    ],
)
def test_lists_are_narrowed_down(staff, cast, bill, path, count):
    paid(1)
    paid(2, customer=cast.other_customer)
    settled = make_bill(cast.other_customer, 500)
    ledger.match(actor=ACTOR, payment=paid(500), invoice=settled, at=AT)

    page = staff.get(path)

    assert page.context["cl"].result_count == count


@pytest.mark.parametrize("path", [PAYMENTS, OPEN, LEDGER])
def test_list_costs_the_same_few_queries_for_any_number_of_rows(staff, cast, path):
    counts = []
    for number in (1, 3):
        for _ in range(number):
            bill = make_bill(cast.other_customer, 500)
            ledger.match(actor=ACTOR, payment=paid(500), invoice=bill, at=AT)
        with CaptureQueriesContext(connection) as queries:
            assert staff.get(path).status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_lists_are_taken_away_as_csv(staff, cast, bill):
    paid(1000, reference="=1+1")

    [_header, payment] = lines_of(staff.get(f"{PAYMENTS}export/"))
    [_header, item] = lines_of(staff.get(f"{OPEN}export/"))

    assert (payment[2], payment[-1]) == ("1000", "'=1+1")
    assert item[0] == "T-000001"


# Bank statements ------------------------------------------------------------------------

STATEMENT = """Buchungstag;Betrag;Währung;Name;Verwendungszweck;id
02.11.2026;10,00;EUR;Juniper;T-1;1
03.11.2026;-5,00;EUR;Bank;fees;2
04.11.2026;1,00;EUR;<script>alert(1)</script>;x;3
31.11.2026;1,00;EUR;X;x;4
"""


def upload(client, content=STATEMENT, **fields):
    content = content if isinstance(content, bytes) else content.encode("cp1252")
    asked = {"account": "AT12", "currency": "EUR", **fields}
    file = SimpleUploadedFile("october.csv", content)
    return client.post(f"{STATEMENTS}add/", {**asked, "file": file}, follow=True)


def test_statement_is_previewed_recorded_and_watched(staff, cast, bill):
    page = upload(staff)

    listed = BankImport.objects.get()
    assert dict(page.context["counts"]) == {
        "Matched": 1,
        "Without a bill": 1,
        "Known": 0,
        "Taken back": 0,
        "Noted": 0,
        "Not used": 2,
    }
    assert page.context["form_text"] == (
        "Read as Windows-1252; Semicolon; Comma: 1.234,56; days as 31.10.2026"
    )
    assert [(each.line, each.column) for each in page.context["problems"]] == [
        (3, "amount"),
        (5, "date"),
    ]
    assert page.context["rows"][0].text == "T-000001: 10.00 EUR"
    assert b"<script>alert" not in page.content
    assert not Payment.objects.exists()
    staff.post(f"{STATEMENTS}{listed.pk}/start/")
    tasks.run_bank_import(import_id=listed.pk)
    done = staff.get(f"{STATEMENTS}{listed.pk}/progress/")

    assert b"2 payments recorded, 1 of them matched, 0 known" in done.content
    assert ledger.open_minor(bill) == 0
    lines = lines_of(staff.get(f"{STATEMENTS}{listed.pk}/problems/"))
    assert [line[:2] for line in lines[1:]] == [["3", "amount"], ["5", "date"]]


@pytest.mark.parametrize(
    ("content", "fields", "why"),
    [
        (b"", {}, "The submitted file is empty."),
        (b"date,amount\n\0", {}, "Line 2: There is a NUL here, so this is not a text."),
        (b"date,amount\n\xe9", {"encoding": "utf-8-sig"}, "Line 2: This is not UTF-8."),
        (b"x,y\n1,2\n", {}, "Line 1: One line has to name the columns, and “date” is missing."),
        (
            b"date;amount\n01/02/2026;5\n",
            {},
            "Line 1: It is not clear how this column is written. Choose it.",
        ),
        (b"\xff\xd8\xff\xe0" * 9, {}, "Line 1: One line has to name the columns"),
    ],
)
def test_file_that_is_no_statement_is_refused_beside_its_field(staff, cast, content, fields, why):
    page = upload(staff, content, **fields)

    [message] = page.context["form"].errors["file"]
    assert message.startswith(why)
    assert not BankImport.objects.exists()


def test_statement_of_more_than_ten_megabytes_is_refused(staff, cast, monkeypatch):
    assert statements.MOST_BYTES == 10_000_000
    monkeypatch.setattr(statements, "MOST_BYTES", 100)

    page = upload(staff, b"x" * 101)

    assert page.context["form"].errors["file"] == ["The file has more than 10 MB."]


@pytest.mark.parametrize("fields", [{"account": ""}, {"account": "a b"}, {"currency": "XXX"}])
def test_statement_without_its_account_is_refused(staff, cast, fields):
    assert list(upload(staff, **fields).context["form"].errors) == list(fields)


def test_statement_is_left_alone(staff, cast):
    upload(staff)
    listed = BankImport.objects.get()

    staff.post(f"{STATEMENTS}{listed.pk}/cancel/")
    page = staff.post(f"{STATEMENTS}{listed.pk}/start/", follow=True)

    assert said(page) == ["The list has changed meanwhile, so this cannot be done now."]
    assert staff.get(f"{STATEMENTS}{'9' * 30}/change/").status_code == 302


def test_statement_that_new_rules_cannot_read_says_so(staff, cast):
    upload(staff)
    BankImport.objects.update(content="x")

    page = staff.get(f"{STATEMENTS}{BankImport.objects.get().pk}/change/")

    assert [each.line for each in page.context["problems"]] == [1]
    assert page.context["good_count"] == 0


def test_uploading_needs_the_right_to_record(cast):
    client = in_role(cast.sam, "support")

    assert client.get(f"{STATEMENTS}add/").status_code == 403
