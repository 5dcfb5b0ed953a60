"""The file with the use of a month has what was put right, and its bill comes out all the same."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from hosting import invoicing
from hosting.exports import bill_lines
from hosting.models import Contract, Invoice, VatRate
from hosting.papers import listing
from hosting.periods import Period
from tests.hosting.billing_rows import ACTOR, OCTOBER, make_profile, moment, sold
from tests.hosting.test_exporting import computed, read, rounded

pytestmark = pytest.mark.django_db(databases="__all__")

NOVEMBER = Period(2026, 11)


def close(period):
    invoicing.close_month(actor=ACTOR, period=period, at=period.ends_at)


def whole(rows):
    """The bill as `docs/billing.md` says, corrections included: net, VAT and total."""
    use = [row for row in rows if not row["correction_of"]]
    nets = defaultdict(Decimal)
    if use:
        nets[use[0]["vat_percent"]] += computed(use)[0]
    for row in rows:
        if row["correction_of"]:
            sign = -1 if row["correction_of"] == row["month"] else 1
            nets[row["vat_percent"]] += sign * Decimal(row["correction_net"])
    vat = sum(rounded(Fraction(rate) * Fraction(net) / 100, 2) for rate, net in nets.items())
    return sum(nets.values()), vat, sum(nets.values()) + vat


def of_bill(period):
    bill = Invoice.objects.get(period=period.first_day)
    return tuple(
        Decimal(minor) / 100 for minor in (bill.net_minor, bill.vat_minor, bill.total_minor)
    )


@pytest.fixture
def put_right(cast):
    """October was charged whole; that a mailbox had ended in it was put right by November."""
    for organisation in (cast.provider, cast.other_customer):
        make_profile(organisation)
    mailbox = sold(cast.other_domain, "a", "pop")
    sold(cast.other_domain, "b", "pop")
    close(OCTOBER)
    Contract.objects.filter(mailbox=mailbox).update(
        ends_at=moment(16, 12), ended_at=moment(3, month=11)
    )
    VatRate.objects.create(
        country="AT", percent=Decimal(25), is_in_eu=True, starts_on=date(2026, 11, 1)
    )
    return mailbox


@pytest.mark.usefixtures("put_right")
def test_lines_of_the_bills_of_a_month_name_the_rate_of_the_month_that_each_is_about(cast):
    close(NOVEMBER)
    asked = {"actor": cast.actor(cast.charlie), "organisation": cast.other_customer}

    rows = list(csv.DictReader(bill_lines.lines(**asked, month=NOVEMBER)))
    listed = list(csv.DictReader(listing.csv_of(Invoice.objects.get(period=NOVEMBER.first_day))))

    told = [(row["line_month"], row["net"], row["vat_percent"]) for row in rows]
    assert told == [("2026-11", "1.00", "25.00"), ("2026-10", "-0.50", "20.00")]
    assert [(row["month"], row["net"], row["vat_percent"]) for row in listed] == told


def test_bills_come_out_of_their_files_before_and_after_something_was_put_right(cast, put_right):
    before = whole(read(cast.other_customer, at=OCTOBER.ends_at))
    [*_use, to_come] = read(cast.other_customer, period=NOVEMBER, at=moment(20, month=11))
    close(NOVEMBER)

    october = read(cast.other_customer, at=NOVEMBER.ends_at)
    november = read(cast.other_customer, period=NOVEMBER, at=NOVEMBER.ends_at)

    assert before == whole(october) == of_bill(OCTOBER)
    assert whole(november) == of_bill(NOVEMBER)
    for row, number in ((to_come, ""), (october[-1], "R-000002"), (november[-1], "R-000002")):
        assert (row["correction_of"], row["correction_on"]) == ("2026-10", number)
        assert (row["correction_net"], row["vat_percent"]) == ("-0.50", "20.00")
        assert (row["mailbox_id"], row["byte_seconds"]) == (str(put_right.uuid), "0")


def test_file_of_one_mailbox_has_its_own_corrections_only(cast, put_right):
    close(NOVEMBER)
    other = sold(cast.other_domain, "c", "pop")

    assert not any(row["correction_of"] for row in read(cast.other_customer, only=other.pk))
    assert read(cast.other_customer, only=put_right.pk)[-1]["correction_of"] == "2026-10"
