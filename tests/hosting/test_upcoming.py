from __future__ import annotations

import pytest

from hosting import clocks, invoicing, ordering, upcoming
from hosting.models import BillingProfile, Contract, Invoice
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    GIGABYTE,
    OCTOBER,
    make_profile,
    moment,
    sold,
    used,
    worked_example,
)
from tests.hosting.simulated import (
    REALLY,
    advance,
    keeps,
    make_test_customer,
    make_test_mailbox,
)

pytestmark = pytest.mark.django_db(databases="__all__")


def test_last_second_of_the_month_says_what_the_bill_will_say(cast):
    make_profile(cast.provider)
    mailbox = worked_example(cast.other_domain)

    found = upcoming.upcoming(cast.other_customer, at=moment(31, 23))
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)

    bill = Invoice.objects.get()
    assert found.forecast == upcoming.Sums(
        net_minor=bill.net_minor, vat_minor=bill.vat_minor, total_minor=bill.total_minor
    )
    assert [line.forecast.amount_minor for line in found.lines] == [100, 63, 250, 211]
    storage = found.lines[-1]
    assert (storage.kind, storage.mailbox, storage.plan) == ("storage", mailbox.uuid, "imap")
    assert (storage.unit, storage.unit_bytes) == ("gigabyte_month", GIGABYTE)
    assert storage.forecast == upcoming.Side(
        quantity="17.548387",
        seconds=OCTOBER.seconds,
        used_byte_seconds="60393600000000000",
        included_byte_seconds=str(5 * GIGABYTE * OCTOBER.seconds),
        amount_minor=211,
    )


def test_month_so_far_is_what_a_bill_would_say_now(cast):
    sold(cast.other_domain, "a", "pop")

    found = upcoming.upcoming(cast.other_customer, at=moment(16, 12))

    [line] = found.lines
    assert (line.unit, line.unit_bytes, line.currency) == ("mailbox_month", None, "EUR")
    assert line.now.quantity == "0.500000"
    assert (line.now.amount_minor, line.forecast.amount_minor) == (50, 100)
    assert (found.period, found.computed_at, found.currency) == (OCTOBER, moment(16, 12), "EUR")


def test_line_that_is_still_to_come_is_nothing_so_far(cast):
    mailbox = sold(cast.other_domain, "c")
    used(mailbox, (moment(1), 0), (moment(5), 6 * GIGABYTE))

    # What is included for the whole month is more than half of what is used by then.
    lines = upcoming.upcoming(cast.other_customer, at=moment(3)).lines

    storage = lines[-1]
    assert storage.kind == "storage"
    assert (storage.now.quantity, storage.now.amount_minor) == ("0.000000", 0)
    assert storage.forecast.amount_minor > 0


def test_sums_have_no_tax_while_too_little_is_known(cast):
    sold(cast.other_domain, "a", "pop")

    found = upcoming.upcoming(cast.other_customer, at=moment(31, 23))

    assert not BillingProfile.objects.exists()
    assert found.vat_percent is None
    assert found.forecast == upcoming.Sums(net_minor=100, vat_minor=None, total_minor=None)


def test_shared_space_has_a_line_without_a_mailbox(cast):
    make_profile(cast.other_customer, pools_storage=True)
    for name in ("a", "b"):
        used(sold(cast.other_domain, name), (moment(1), 9 * GIGABYTE))

    lines = upcoming.upcoming(cast.other_customer, at=moment(31, 23)).lines

    assert (lines[-1].mailbox, lines[-1].address, lines[-1].kind) == (None, "", "storage")


def test_correction_of_an_earlier_month_is_a_line_of_the_next_bill(cast):
    make_profile(cast.provider)
    mailbox = sold(cast.other_domain, "a", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    ordering.end_contract(mailbox, at=moment(16, 12))
    Contract.objects.update(ended_at=moment(1, 12, month=11))

    found = upcoming.upcoming(cast.other_customer, at=moment(2, month=11))

    [line] = found.lines
    assert (line.kind, line.period, line.mailbox) == ("correction", OCTOBER, mailbox.uuid)
    assert line.now.amount_minor == line.forecast.amount_minor == -50
    assert found.now.net_minor == -50


def test_next_bill_of_a_test_organisation_is_that_of_its_clock(cast):
    make_profile(cast.provider)
    trial = make_test_customer(cast.provider)
    keeps(make_test_mailbox(trial), 20 * GIGABYTE)
    advance(trial, to=moment(26))

    found = upcoming.upcoming(trial, at=REALLY)
    advance(trial, to=moment(1, month=11))

    bill = Invoice.objects.get()
    assert (found.period, found.computed_at) == (OCTOBER, moment(26))
    assert found.forecast.total_minor == bill.total_minor
    assert found.now.net_minor < found.forecast.net_minor
    assert clocks.now_for(trial) == moment(1, month=11)
