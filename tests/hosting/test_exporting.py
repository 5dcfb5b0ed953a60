"""The file with the use of a month: a bill comes out of it with nothing else."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest

from hosting import billing, exporting, invoicing, metering
from hosting.metering import DAY_SECONDS
from hosting.models import BillingProfile, Contract, Invoice, Plan, Price, PriceList
from mailstore.models import Drift, Usage, UsageDay
from tests.factories import make_mailbox
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    GIGABYTE,
    OCTOBER,
    counted_queries,
    make_list,
    make_profile,
    moment,
    sold,
    switch,
    used,
)

pytestmark = pytest.mark.django_db(databases="__all__")


def read(organisation, *, period=OCTOBER, at=CLOSED_AT, only=None):
    chosen = exporting.month(organisation, period=period)
    text = "".join(exporting.lines(chosen, at=at, only=only))
    return list(csv.DictReader(io.StringIO(text, newline="")))


def rounded(amount, decimals):
    exact = Decimal(amount.numerator) / Decimal(amount.denominator)
    return exact.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)


def shares(group):
    """What is above the included space of a group, by price, in whole byte-seconds."""
    above = sum(group.values())
    if above <= 0:
        return
    beyond = {price: max(0, group[price]) for price in sorted(group)}
    exact = {price: Fraction(above * own, sum(beyond.values())) for price, own in beyond.items()}
    parts = {price: int(share) for price, share in exact.items()}
    by_remainder = sorted(exact, key=lambda price: parts[price] - exact[price])
    for price in by_remainder[: above - sum(parts.values())]:
        parts[price] += 1
    yield from parts.items()


def computed(rows):
    """A bill in plain Python, as `docs/billing.md` says, from the rows of a file alone."""
    sums = defaultdict(lambda: [0, 0])
    terms = {}
    for row in rows:
        key = row["mailbox_id"], row["plan"], row["price_from"]
        sums[key][0] += int(row["seconds"])
        sums[key][1] += int(row["byte_seconds"])
        terms[key] = row
    net = Decimal(0)
    groups = defaultdict(lambda: defaultdict(int))
    for (mailbox, plan, price_from), (seconds, byte_seconds) in sums.items():
        row = terms[mailbox, plan, price_from]
        month, decimals = int(row["month_seconds"]), int(row["currency_decimals"])
        net += rounded(Fraction(row["monthly_price"]) * seconds / month, decimals)
        if Fraction(row["storage_price"]):
            shared = row["shares_included"] == "yes"
            group = groups["all" if shared else (mailbox, plan)]
            group[plan, price_from] += byte_seconds - int(row["included_bytes"]) * seconds
            terms[plan, price_from] = row
    for group in groups.values():
        for price, share in shares(group):
            row = terms[price]
            unit = 10**9 * int(row["month_seconds"])
            cost = Fraction(row["storage_price"]) * share / unit
            net += rounded(cost, int(row["currency_decimals"]))
    row = rows[0]
    vat = rounded(Fraction(row["vat_percent"]) * Fraction(net) / 100, int(row["currency_decimals"]))
    return net, vat, net + vat


def billed(organisation):
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    bill = Invoice.objects.get(customer=organisation)
    return tuple(
        Decimal(minor) / 100 for minor in (bill.net_minor, bill.vat_minor, bill.total_minor)
    )


def make_month(cast):
    """POP for all of October and for a part, IMAP of changing size, and a change of plan."""
    for organisation in (cast.reseller, cast.customer):
        make_profile(organisation)
    make_list(cast.reseller, is_default=True, pop=("1.00", 0, "0"), imap=("2.50", 5, "0.12"))
    sold(cast.domain, "pop-a", "pop")
    sold(cast.domain, "pop-b", "pop", since=moment(12, 10))
    grown = sold(cast.domain, "imap-c")
    used(
        grown,
        (moment(1), 18 * GIGABYTE),
        (moment(11), 42 * GIGABYTE),
        (moment(21), 9 * GIGABYTE),
    )
    small = sold(cast.domain, "imap-d")
    used(small, (moment(1), 1 * GIGABYTE + 1))
    changed = sold(cast.domain, "was-pop", "pop")
    used(changed, (moment(1), 8 * GIGABYTE + 7))
    switch_at(changed, moment(17, 13))


def switch_at(mailbox, at):
    """A change within a day, with what the day had brought by then."""
    switch(mailbox, "imap", at)
    mark = (8 * GIGABYTE + 7) * (int(at.timestamp()) % DAY_SECONDS)
    Contract.objects.filter(mailbox=mailbox, ends_at=at).update(end_mark=mark)
    Contract.objects.filter(mailbox=mailbox, starts_at=at).update(start_mark=mark)


@pytest.mark.parametrize("pools", [False, True])
def test_bill_comes_out_of_the_file_to_the_cent(cast, pools):
    make_month(cast)
    BillingProfile.objects.filter(organisation=cast.customer).update(pools_storage=pools)

    expected = billed(cast.customer)

    rows = read(cast.customer)
    assert computed(rows) == expected
    assert {row["shares_included"] for row in rows} == {"yes" if pools else "no"}


@pytest.mark.parametrize("pools", [False, True])
def test_bill_comes_out_of_the_file_where_a_price_began_within_the_month(cast, pools):
    make_month(cast)
    BillingProfile.objects.filter(organisation=cast.customer).update(pools_storage=pools)
    own = PriceList.objects.get(seller=cast.reseller)
    plus = Plan.objects.create(
        slug="imap-plus",
        name="Plus",
        protocol="imap",
        quota_bytes=1,
        ceiling_bytes=1,
        window_days=1,
    )
    for plan, day, storage in (("imap", 17, "0.15"), ("imap-plus", 1, "0.09")):
        Price.objects.create(
            price_list=own,
            plan=Plan.objects.get(slug=plan),
            starts_on=date(2026, 10, day),
            monthly_price=Decimal("2.75"),
            included_bytes=6 * GIGABYTE,
            storage_price=Decimal(storage),
        )
    big = sold(cast.domain, "plus")
    Contract.objects.filter(mailbox=big).update(plan=plus)
    used(big, (moment(1), 7 * GIGABYTE + 3))

    expected = billed(cast.customer)

    assert computed(read(cast.customer)) == expected


@pytest.mark.parametrize("is_found_in_time", [True, False])
def test_bill_comes_out_of_the_file_whatever_had_drifted(cast, is_found_in_time):
    make_month(cast)
    until = moment(20, 5) if is_found_in_time else moment(3, month=11)
    Drift.objects.create(
        username=f"imap-c@{cast.domain.name}",
        since=int(moment(12, 7).timestamp()),
        until=int(until.timestamp()),
        noted_bytes=9 * GIGABYTE,
        true_bytes=GIGABYTE + 1,
    )

    expected = billed(cast.customer)

    rows = read(cast.customer)
    assert computed(rows) == expected
    assert invoicing.verify(Invoice.objects.get(customer=cast.customer)) == []
    waived = sum(int(row["waived_byte_seconds"]) for row in rows)
    gap_seconds = int((moment(20, 5) - moment(12, 7)).total_seconds())
    assert waived == (gap_seconds * (8 * GIGABYTE - 1) if is_found_in_time else 0)


def test_worked_example_comes_out_of_the_file(cast):
    make_month(cast)
    kept = [row for row in read(cast.customer) if row["mailbox"][:5] in {"pop-a", "pop-b"}]
    kept += [row for row in read(cast.customer) if row["mailbox"].startswith("imap-c")]

    assert computed(kept) == (Decimal("6.24"), Decimal("1.25"), Decimal("7.49"))
    by_mailbox = sum(int(row["byte_seconds"]) for row in kept if "imap" in row["mailbox"])
    assert by_mailbox == 60_393_600_000_000_000


def test_file_of_a_reseller_gives_its_wholesale_bill(cast):
    make_month(cast)
    make_profile(cast.provider)

    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    bill = Invoice.objects.get(customer=cast.reseller)

    rows = read(cast.reseller)
    assert computed(rows)[0] == Decimal(bill.net_minor) / 100
    assert {row["organisation"] for row in rows} == {"Alder"}


def test_file_keeps_to_the_terms_of_the_bill(cast):
    make_month(cast)
    expected = billed(cast.customer)
    other = make_list(cast.reseller, imap=("9.00", 0, "1"), pop=("8.00", 0, "0"))
    BillingProfile.objects.filter(organisation=cast.customer).update(
        price_list=other, pools_storage=True
    )

    assert computed(read(cast.customer)) == expected


def test_file_of_a_month_that_runs_ends_now(cast):
    make_list(cast.reseller, is_default=True, imap=("2.50", 5, "0.12"))
    mailbox = sold(cast.domain, "a")
    at = datetime(2026, 10, 20, 6, 30, tzinfo=UTC)
    used(mailbox, (moment(1), 9 * GIGABYTE), until=moment(20))
    Usage.objects.filter(username=mailbox.address).update(bytes=7 * GIGABYTE)
    Usage.objects.filter(username=mailbox.address).update(
        since=int(moment(20).timestamp()), day_byte_seconds=0
    )

    rows = read(cast.customer, at=at)

    (line,) = (
        line
        for line in billing.charges(billing.buyer(cast.customer), period=OCTOBER, until=at)
        if line.kind == "storage"
    )
    assert sum(int(row["byte_seconds"]) for row in rows) == line.used_byte_seconds
    assert sum(int(row["seconds"]) for row in rows) == line.seconds
    assert rows[-1]["until"] == "2026-10-20T06:30:00Z"
    assert rows[-1]["vat_percent"] == ""


def test_two_mailboxes_of_one_address_share_no_day(cast):
    """Given up and opened again on the same day, each has its own part of the meter."""
    make_list(cast.reseller, is_default=True, imap=("2.50", 5, "0.12"))
    first = sold(cast.domain, "a", until=moment(10, 12))
    used(first, (moment(1), 6 * GIGABYTE))
    half = 6 * GIGABYTE * DAY_SECONDS // 2
    Contract.objects.filter(mailbox=first).update(end_mark=half)
    type(first).objects.filter(pk=first.pk).update(state="closed")
    second = sold(cast.domain, "a", since=moment(10, 12))
    Contract.objects.filter(mailbox=second).update(start_mark=half)

    rows = read(cast.customer)

    by_mailbox = defaultdict(int)
    for row in rows:
        by_mailbox[row["mailbox_id"]] += int(row["byte_seconds"])
    assert by_mailbox == {
        str(first.uuid): 6 * GIGABYTE * DAY_SECONDS * 9 + half,
        str(second.uuid): 6 * GIGABYTE * DAY_SECONDS * 21 + half,
    }


def test_file_of_one_mailbox_has_its_rows_only(cast):
    make_month(cast)
    mailbox = sold(cast.domain, "other")

    rows = read(cast.customer, only=mailbox.pk)

    assert {row["mailbox"] for row in rows} == {"other@alder.test"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_a_formula(cast, start):
    make_list(cast.reseller, is_default=True, imap=("2.50", 5, "0.12"))
    sold(cast.domain, "a")
    type(cast.customer).objects.filter(pk=cast.customer.pk).update(name=f'{start}cmd|"/C"!A1')
    cast.customer.refresh_from_db()

    (*_all, row) = read(cast.customer)

    assert row["organisation"] == f'\'{start}cmd|"/C"!A1'


def test_name_of_the_file_is_plain(cast):
    cast.customer.name = 'Ä"; rm\r\n../x'

    chosen = exporting.month(cast.customer, period=OCTOBER)

    assert exporting.file_name(chosen) == "usage-2026-10-----rm-----x.csv"


@pytest.mark.parametrize("count", [1, 3])
def test_file_asks_a_fixed_number_of_queries(cast, count):
    for number in range(count):
        sold(cast.domain, f"box{number}")
    chosen = exporting.month(cast.customer, period=OCTOBER)

    with counted_queries() as count_queries:
        list(exporting.lines(chosen, at=CLOSED_AT))

    # One of them is about drift, and three are about what will be put right.
    assert count_queries() == 11


def test_days_of_several_addresses_are_those_of_each(cast):
    boxes = [make_mailbox(cast.domain, name) for name in ("a", "b")]
    for number, mailbox in enumerate(boxes, start=1):
        used(mailbox, (moment(1), number), (moment(5), 0), (moment(7), number * 10))
    first, end = OCTOBER.start // DAY_SECONDS, OCTOBER.end // DAY_SECONDS

    found = metering.by_days([box.address for box in boxes], first, end)

    for mailbox in boxes:
        days = found[mailbox.address]
        assert days == metering.by_day(mailbox.address, first, end)
        assert (
            sum(days.values())
            == metering.whole_days([mailbox.address], first, end)[mailbox.address]
        )
    assert UsageDay.objects.count() == 6


def test_what_has_no_price_is_left_out(cast):
    sold(cast.domain, "a")
    make_list(cast.reseller, is_default=True, pop=("1.00", 0, "0"))

    assert read(cast.customer) == []
