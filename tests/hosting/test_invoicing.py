"""Bills: the worked example to the cent, and what may happen while a month is closed."""

from __future__ import annotations

import io
import itertools
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.access import Forbidden
from accounts.models import Organisation
from hosting import billing, invoicing, vat
from hosting.models import (
    Contract,
    Immutable,
    Invoice,
    InvoiceCounter,
    InvoiceLine,
    Plan,
    Price,
    VatRate,
)
from hosting.periods import Period
from mailstore.models import Drift, Usage, UsageDay
from tests.factories import make_cast, make_domain
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    GIGABYTE,
    OCTOBER,
    make_list,
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
    make_profile(cast.provider)
    make_profile(cast.other_customer)
    return cast


@pytest.fixture
def machine_zone(monkeypatch):
    def put(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield put
    monkeypatch.undo()
    time.tzset()


def close(period=OCTOBER, at=CLOSED_AT):
    return invoicing.close_month(actor=ACTOR, period=period, at=at)


def shown(invoice):
    return [
        (line.kind, line.mailbox and line.mailbox.local_part, line.net_minor)
        for line in invoice.lines.order_by("position")
    ]


def test_the_worked_example_comes_out_to_the_cent(cast):
    worked_example(cast.other_domain)

    assert close().written == 1

    invoice = Invoice.objects.get()
    assert shown(invoice) == [
        ("mailbox", "a", 100),
        ("mailbox", "b", 63),
        ("mailbox", "c", 250),
        ("storage", "c", 211),
    ]
    assert (invoice.net_minor, invoice.vat_minor, invoice.total_minor) == (624, 125, 749)
    assert invoice.total_text == "7.49 EUR"
    [second, storage] = InvoiceLine.objects.filter(position__in=(2, 4)).order_by("position")
    assert second.seconds == 1_692_000
    assert storage.used_byte_seconds == 60_393_600_000_000_000
    lines = billing.charges(billing.buyer(cast.other_customer), period=OCTOBER)
    assert lines[-1].quantity == Decimal("17.548387")
    assert invoicing.verify(invoice) == []


def test_nobody_is_billed_twice_and_no_number_is_lost(cast):
    worked_example(cast.other_domain)

    assert [close().written for _ in range(3)] == [1, 0, 0]

    assert [invoice.number for invoice in Invoice.objects.all()] == ["R-000001"]
    assert InvoiceCounter.objects.get().next_number == 2


def test_a_month_that_is_not_over_is_not_closed(cast):
    for at in (moment(31, 23), moment(1, month=11) - timedelta(microseconds=1)):
        with pytest.raises(invoicing.ClosedEarly, match="2026-10 is not over"):
            close(at=at)
    assert close(at=moment(1, month=11)).written == 0


@pytest.mark.parametrize("fault", ["lock_counter", "write"])
def test_a_close_that_dies_leaves_nothing_half_done(cast, monkeypatch, fault):
    worked_example(cast.other_domain)
    real = getattr(invoicing.closing, fault)

    def die(*given, **named):
        real(*given, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(invoicing.closing, fault, die)
        with pytest.raises(KeyboardInterrupt), transaction.atomic():
            close()
    assert not Invoice.objects.exists()
    assert InvoiceCounter.objects.get().next_number == 1
    close()
    assert Invoice.objects.get().number == "R-000001"


def test_statements_of_a_close_do_not_grow_with_the_buyers(cast):
    taken = []
    for number, count in enumerate((2, 12)):
        for buyer in range(count):
            owner = Organisation.objects.create(
                kind="customer", name=f"C{number}-{buyer}", parent=cast.provider
            )
            sold(make_domain(f"c{number}-{buyer}.test", owner), "a")
        with CaptureQueriesContext(connection) as queries:
            assert close().written == count
        taken.append(len(queries))

    assert taken[0] == taken[1]


def test_large_buyers_are_billed_in_pieces_of_their_own(cast, monkeypatch):
    make_profile(cast.reseller)
    for domain in (cast.domain, cast.other_domain):
        for name in ("a", "b"):
            sold(domain, name)
    monkeypatch.setattr(invoicing.closing, "MOST_CONTRACTS", 3)
    looked_at = []

    invoicing.close_month(
        actor=ACTOR,
        period=OCTOBER,
        at=CLOSED_AT,
        report=lambda progress: looked_at.append(progress.looked_at),
    )

    assert looked_at == [1, 2, 3]
    assert Invoice.objects.count() == 3


def test_final_is_final(cast):
    worked_example(cast.other_domain)
    close()
    invoice = Invoice.objects.get()
    for row in (invoice, invoice.lines.first()):
        row.net_minor += 1
        with pytest.raises(Immutable):
            row.save()
        with pytest.raises(Immutable):
            row.delete()
    for rows in (Invoice.objects, InvoiceLine.objects):
        with pytest.raises(DatabaseError, match="never edited"), transaction.atomic():
            rows.update(net_minor=1)


def test_verify_finds_what_was_changed_in_the_rows(cast):
    worked_example(cast.other_domain)
    close()
    invoice = Invoice.objects.get()

    UsageDay.objects.update(byte_seconds=1)

    assert [str(each) for each in invoicing.verify(invoice)] != []
    with pytest.raises(SystemExit):
        call_command("verify_invoice", invoice.number, stdout=io.StringIO())


def test_commands(cast, capsys):
    worked_example(cast.other_domain)
    call_command("close_month", "2026-10")
    assert "1 bills written for 2026-10" in capsys.readouterr().out
    call_command("verify_invoice", "R-000001")
    assert "R-000001 is equal: 7.49 EUR in all." in capsys.readouterr().out
    for given in ("2026-13", "october", "2026-1", "٢٠٢٦-10"):
        with pytest.raises(CommandError, match="no month"):
            call_command("close_month", given)
    with pytest.raises(CommandError, match="is not over"):
        call_command("close_month", "2999-01")
    with pytest.raises(CommandError, match="no bill X-1") as refused:
        call_command("verify_invoice", "X-1")
    assert refused.value.returncode == 2


def test_what_would_be_written_can_be_seen_before(cast, capsys):
    worked_example(cast.other_domain)
    sold(cast.domain, "a", "pop")
    make_profile(cast.customer)

    with pytest.raises(SystemExit) as ended:
        call_command("close_month", "2026-10", "--dry-run")

    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "Juniper: 4 lines, 7.49 EUR",
        "Rowan: 1 lines, 0.80 EUR",
        "2 bills of 8.29 EUR would be written for 2026-10.",
    ]
    assert said.err.splitlines() == [
        "Rowan has no billing profile, so 1 bills are missing.",
        (
            "Rowan has no billing profile: its bill has no address, and is taxed as in AT. Once it "
            "is filled in, the bill can be taken back and billed again."
        ),
    ]
    assert ended.value.code == 1
    assert not Invoice.objects.exists()


def test_a_month_without_bills_is_seen_before_as_such(cast, capsys):
    call_command("close_month", "2026-10", "--dry-run")

    assert capsys.readouterr().out == "0 bills would be written for 2026-10.\n"
    with pytest.raises(CommandError, match="is not over") as refused:
        call_command("close_month", "2999-01", "--dry-run")
    assert refused.value.returncode == 2


def test_a_terminal_sees_how_far_the_close_is(cast, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    worked_example(cast.other_domain)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    call_command("close_month", "2026-10", stdout=io.StringIO())

    assert terminal.getvalue().endswith("." * 75 + "]\n")


# Prices that change, contracts that follow each other ----------------------------------


def test_each_part_of_the_month_has_its_price(cast):
    sold(cast.other_domain, "a", "pop")
    retail = Price.objects.get(price_list__audience="retail", plan__slug="pop")
    Price.objects.create(
        price_list=retail.price_list,
        plan=retail.plan,
        starts_on=date(2026, 10, 11),
        monthly_price=Decimal("2.00"),
    )
    close()
    lines = InvoiceLine.objects.order_by("position")
    assert [(line.seconds, line.net_minor) for line in lines] == [
        (10 * 86400, 32),
        (21 * 86400, 135),
    ]


def test_pieces_of_one_contract_count_together(cast):
    mailbox = sold(cast.other_domain, "a", "imap", since=moment(1), until=moment(7))
    plan = Plan.objects.get(slug="imap")
    cuts = [moment(7), moment(9, 5), moment(20, 13), None]
    for begin, end in itertools.pairwise(cuts):
        Contract.objects.create(mailbox=mailbox, plan=plan, starts_at=begin, ends_at=end)
    used(mailbox, (moment(1), 0))
    close()
    assert shown(Invoice.objects.get()) == [("mailbox", "a", 250)]


def test_what_is_included_is_shared_in_a_pool(cast):
    profile = cast.other_customer.billing_profile
    profile.pools_storage = True
    profile.save()
    for name, size in (("a", 9), ("b", 2)):
        used(sold(cast.other_domain, name), (moment(1), size * GIGABYTE))
    close()
    invoice = Invoice.objects.get()
    assert shown(invoice) == [
        ("mailbox", "a", 250),
        ("mailbox", "b", 250),
        ("storage", None, 12),
    ]
    assert invoicing.verify(invoice) == []


def test_ten_terabytes_for_a_month_do_not_overflow(cast):
    used(sold(cast.other_domain, "a"), (moment(1), 10**13))
    close()
    line = InvoiceLine.objects.get(kind="storage")
    assert line.used_byte_seconds == 10**13 * OCTOBER.seconds
    assert line.net_minor == (10_000 - 5) * 12


@pytest.mark.parametrize(
    ("currency", "price", "net"), [("JPY", "150.5", 151), ("BHD", "0.4445", 445), ("EUR", "1", 100)]
)
def test_each_currency_is_rounded_to_its_unit(cast, currency, price, net):
    profile = cast.other_customer.billing_profile
    profile.price_list = make_list(currency=currency, pop=(price, 0, "0"))
    profile.save()
    sold(cast.other_domain, "a", "pop")
    close()
    invoice = Invoice.objects.get()
    assert (invoice.currency, invoice.net_minor) == (currency, net)


@pytest.mark.parametrize("month", ["2024-02", "2026-02", "2026-12", "2027-01"])
def test_a_whole_month_costs_its_price_however_long_it_is(cast, month):
    period = Period.parse(month)
    sold(cast.other_domain, "a", "pop", since=datetime(2020, 1, 1, tzinfo=UTC))
    Price.objects.update(starts_on=date(2020, 1, 1))
    VatRate.objects.update(starts_on=date(2020, 1, 1))
    close(period, at=period.ends_at)
    assert Invoice.objects.get().net_minor == 100


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("month", ["2027-12", "2028-02", "2028-03", "2026-10"])
def test_a_month_is_the_same_in_any_zone(cast, month, zone, machine_zone):
    """Around new year, the leap day and the change to winter time, whatever the machine's zone."""
    machine_zone(zone)
    period, here = Period.parse(month), ZoneInfo(zone)
    mailbox = sold(
        cast.other_domain,
        "a",
        since=period.starts_at.astimezone(here),
        until=period.ends_at.astimezone(here),
    )
    used(mailbox, (period.starts_at, 9 * GIGABYTE), until=period.ends_at)
    last_moment = (period.ends_at - timedelta(microseconds=1)).astimezone(here)
    with timezone.override(here):
        with pytest.raises(invoicing.ClosedEarly):
            close(period, at=last_moment)
        written = [
            close(each, at=each.ends_at.astimezone(here)).written
            for each in (period.previous, period, period, period.next)
        ]

    assert written == [0, 1, 0, 0]
    invoice = Invoice.objects.get()
    assert (invoice.number, invoice.net_minor) == ("R-000001", 250 + 48)
    assert invoice.net_minor == sum(line.net_minor for line in invoice.lines.all())
    assert invoice.lines.get(kind="mailbox").seconds == period.seconds
    assert invoicing.verify(invoice) == []


# Resellers ------------------------------------------------------------------------------


def test_reseller_buys_wholesale_and_sells_retail(cast):
    make_profile(cast.reseller)
    make_profile(cast.customer)
    make_list(seller=cast.reseller, is_default=True, pop=("1.80", 0, "0"))
    sold(cast.domain, "a", "pop")

    assert close().written == 2

    bought = Invoice.objects.get(customer=cast.reseller)
    charged = Invoice.objects.get(customer=cast.customer)
    assert (bought.seller, bought.net_minor, bought.number) == (None, 67, "R-000001")
    assert (charged.seller, charged.net_minor) == (cast.reseller, 180)
    assert charged.number == f"R{cast.reseller.pk}-000001"
    assert charged.seller_text["name"] == "Rowan Ltd"
    assert invoicing.verify(bought) == invoicing.verify(charged) == []


def test_who_has_no_profile_to_sell_with_is_named(cast):
    sold(cast.domain, "a", "pop")
    sold(cast.other_domain, "a", "pop")
    progress = close()
    assert progress.written == 2
    [missing, unknown] = progress.problems
    assert unknown.startswith("Rowan has no billing profile: its bill has no address")
    assert missing == "Rowan has no billing profile, so 1 bills are missing."
    bought = Invoice.objects.get(customer=cast.reseller)
    assert (bought.customer_text["address"], bought.customer_text["country"]) == ([], "AT")


# Tax ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seller", "customer", "vat_id", "percent", "note"),
    [
        ("AT", "AT", "", "20", ""),
        ("AT", "AT", "ATU12345675", "20", ""),
        ("AT", "DE", "DE123456789", "0", vat.REVERSE_CHARGE),
        ("AT", "FI", "", "25.5", ""),
        ("AT", "CH", "", "0", vat.OUTSIDE),
        ("AT", "JP", "", "0", vat.OUTSIDE),
        ("CH", "CH", "", "8.1", ""),
        ("CH", "AT", "", "0", vat.NOT_LIABLE),
    ],
)
def test_tax(cast, seller, customer, vat_id, percent, note):  # noqa: PLR0917
    cast.provider.billing_profile.country = seller
    cast.other_customer.billing_profile.country = customer
    cast.other_customer.billing_profile.vat_id = vat_id
    found = vat.between(
        seller=cast.provider.billing_profile,
        customer=cast.other_customer.billing_profile,
        on=date(2026, 10, 1),
    )
    assert (found.percent, found.note) == (Decimal(percent), note)


def test_a_new_rate_holds_from_its_day(cast):
    VatRate.objects.create(
        country="AT", percent=Decimal(21), is_in_eu=True, starts_on=date(2026, 10, 1)
    )
    sold(cast.other_domain, "a", "pop")
    close()
    close(Period(2026, 9))
    assert [invoice.vat_minor for invoice in Invoice.objects.order_by("period")] == [20, 21]


def test_a_country_without_a_rate_gets_no_bill_but_a_reason(cast):
    cast.provider.billing_profile.country = cast.other_customer.billing_profile.country = "JP"
    for organisation in (cast.provider, cast.other_customer):
        organisation.billing_profile.save()
    sold(cast.other_domain, "a", "pop")
    assert close().problems == [
        "Juniper gets no bill: There is no VAT rate for JP. Staff can add it under VAT rates."
    ]


# Corrections and credit notes -----------------------------------------------------------


def test_an_end_that_came_late_is_put_right_next_month(cast):
    mailbox = sold(cast.other_domain, "a", "pop")
    sold(cast.other_domain, "b", "pop")
    close()
    contract = Contract.objects.get(mailbox=mailbox)
    contract.ends_at, contract.ended_at = moment(16, 12), moment(3, month=11)
    contract.save()
    october = Invoice.objects.get()

    close(Period(2026, 11), at=moment(1, month=12))
    close(Period(2026, 12), at=moment(1, month=1, year=2027))

    november = Invoice.objects.get(period=date(2026, 11, 1))
    assert shown(november) == [("mailbox", "b", 100), ("correction", "a", -50)]
    assert invoicing.verify(november) == invoicing.verify(october) == []
    december = Invoice.objects.get(period=date(2026, 12, 1))
    assert shown(december) == [("mailbox", "b", 100)]


def test_what_came_late_is_put_right_on_the_terms_of_its_own_month(cast):
    mailbox = sold(cast.other_domain, "a", "pop")
    close()
    contract = Contract.objects.get(mailbox=mailbox)
    contract.ends_at, contract.ended_at = moment(16, 12), moment(3, month=11)
    contract.save()
    cast.other_customer.billing_profile.price_list = make_list(pop=("3", 0, "0"))
    cast.other_customer.billing_profile.save()
    sold(cast.other_domain, "b", "pop", since=moment(1, month=11))

    close(Period(2026, 11), at=moment(1, month=12))

    november = Invoice.objects.get(period=date(2026, 11, 1))
    assert shown(november) == [("mailbox", "b", 300), ("correction", "a", -50)]
    assert [invoicing.verify(each) for each in Invoice.objects.all()] == [[], []]


def drift(mailbox, since, until, *, noted, true):
    return Drift.objects.create(
        username=mailbox.address,
        since=int(since.timestamp()),
        until=int(until.timestamp()),
        noted_bytes=noted * GIGABYTE,
        true_bytes=true * GIGABYTE,
    )


def test_a_gap_is_charged_at_its_lower_end(cast):
    mailbox = sold(cast.other_domain, "a")
    used(mailbox, (moment(1), 36 * GIGABYTE))
    # Half of the month was noted with 36 GB and had 5; a day had more than was noted.
    drift(mailbox, moment(1), moment(16, 12), noted=36, true=5)
    drift(mailbox, moment(20), moment(21), noted=36, true=90)

    close()

    invoice = Invoice.objects.get()
    storage = invoice.lines.get(kind="storage")
    half = 31 * 86_400 // 2
    assert storage.used_byte_seconds == (36 + 5) * GIGABYTE * half
    assert storage.net_minor == 186
    assert invoicing.verify(invoice) == []


def test_drift_that_is_found_after_the_bill_is_put_right_next_month(cast):
    mailbox = sold(cast.other_domain, "a")
    used(mailbox, (moment(1), 36 * GIGABYTE), until=moment(1, month=12))
    close()
    october = Invoice.objects.get()
    drift(mailbox, moment(16, 12), moment(2, month=11), noted=36, true=5)

    assert invoicing.verify(october) == []
    close(Period(2026, 11), at=moment(1, month=12))
    close(Period(2026, 12), at=moment(1, month=1, year=2027))

    november = Invoice.objects.get(period=date(2026, 11, 1))
    day = 86_400 * 31 * GIGABYTE * Decimal("0.12") / (GIGABYTE * 30 * 86_400)
    storage = round((31 * Decimal("0.12") - day) * 100)
    assert shown(november) == [
        ("mailbox", "a", 250),
        ("storage", "a", storage),
        ("correction", "a", -186),
    ]
    assert invoicing.verify(november) == invoicing.verify(october) == []
    december = Invoice.objects.get(period=date(2026, 12, 1))
    assert shown(december) == [("mailbox", "a", 250)]


def test_drift_in_a_month_without_a_bill_waits_for_that_bill(cast):
    mailbox = sold(cast.other_domain, "a")
    used(mailbox, (moment(1), 36 * GIGABYTE), until=moment(1, month=12))
    drift(mailbox, moment(1), moment(2, month=11), noted=36, true=5)

    close(Period(2026, 11), at=moment(1, month=12))
    assert [kind for kind, _name, _net in shown(Invoice.objects.get())] == ["mailbox", "storage"]
    close(OCTOBER, at=moment(2, month=12))

    october = Invoice.objects.get(period=OCTOBER.first_day)
    assert shown(october) == [("mailbox", "a", 250)]
    assert invoicing.verify(october) == []


def test_a_credit_note_mirrors_its_bill_once(cast):
    worked_example(cast.other_domain)
    close()
    invoice = Invoice.objects.get()
    with pytest.raises(Forbidden):
        invoicing.credit(
            actor=cast.actor(cast.charlie), invoice=invoice, reason="Mine", at=CLOSED_AT
        )
    with pytest.raises(invoicing.CreditRefused, match="Say why"):
        invoicing.credit(actor=ACTOR, invoice=invoice, reason=" ", at=CLOSED_AT)

    note = invoicing.credit(actor=ACTOR, invoice=invoice, reason="A mistake", at=CLOSED_AT)

    assert (note.number, note.total_minor, note.kind) == ("R-000002", -749, "credit_note")
    assert [net for *_rest, net in shown(note)] == [-100, -63, -250, -211]
    assert invoicing.verify(note) == []
    for again, reason in ((invoice, "already"), (note, "cannot be taken back")):
        with pytest.raises(invoicing.CreditRefused, match=reason):
            invoicing.credit(actor=ACTOR, invoice=again, reason="Again", at=CLOSED_AT)


# This month -----------------------------------------------------------------------------


def test_so_far_and_forecast(cast):
    mailbox = sold(cast.other_domain, "a")
    used(mailbox, (moment(1), 10 * GIGABYTE), until=moment(16))
    now = moment(16, 12)
    Usage.objects.filter(username=mailbox.address).update(bytes=10 * GIGABYTE)
    Usage.objects.filter(username=mailbox.address).update(
        since=int(moment(16).timestamp()), day_byte_seconds=0
    )
    UsageDay.objects.filter(day__gte=int(moment(16).timestamp()) // 86400).delete()
    buyer = billing.buyer(cast.other_customer)

    so_far = billing.charges(buyer, period=OCTOBER, until=now)
    forecast = billing.charges(buyer, period=OCTOBER)

    assert [line.net_minor for line in so_far] == [125, 30]
    assert [line.net_minor for line in forecast] == [250, 60]
