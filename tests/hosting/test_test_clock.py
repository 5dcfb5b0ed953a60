from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse

from accounts.access import Forbidden
from accounts.models import Event, Membership, Notice
from hosting import (
    billing,
    capping,
    clocks,
    dunning,
    exporting,
    invoicing,
    ledger,
    limits,
    margins,
    metering,
    ordering,
    pricing,
    spending,
    tasks,
    test_clock,
)
from hosting.banking import matching
from hosting.bulk import DEEDS
from hosting.dunning import debts
from hosting.models import (
    ClockAdvance,
    Contract,
    Dunning,
    Invoice,
    InvoiceCounter,
    Limits,
    MeterStep,
    Plan,
    PriceList,
    Spending,
)
from hosting.models import TestClock as Clock
from hosting.paying import checkouts
from hosting.periods import Period
from mailstore import closing, cooling, domains, provisioning, standing
from mailstore.engine import engine
from mailstore.models import Mailbox, PendingChange, Restriction, Usage
from tests.factories import make_mailbox, make_member
from tests.hosting.billing_rows import CLOSED_AT, GIGABYTE, OCTOBER, make_list, make_profile, sold
from tests.hosting.ledger_rows import paid
from tests.hosting.simulated import (
    ACTOR,
    MADE,
    REALLY,
    advance,
    ask,
    keeps,
    make_test_customer,
    make_test_mailbox,
    now,
    work_off,
)
from tests.staffing import signed_in
from tests.stopwatch import seconds_of_work

pytestmark = pytest.mark.django_db(databases="__all__")
DAY = 86_400
NOVEMBER = OCTOBER.next


@pytest.fixture
def trial(cast):
    """A test organisation of the house, which can write bills."""
    make_profile(cast.provider)
    return make_test_customer(cast.provider)


def at(day, hour=0, month=11):
    return datetime(2026, month, day, hour, tzinfo=UTC)


def facts(invoice):
    lines = invoice.lines.order_by("position")
    return [(each.kind, each.seconds, each.used_byte_seconds, each.net_minor) for each in lines]


# Which time it is ---------------------------------------------------------------------------


def test_time_of_a_live_organisation_is_the_real_one(cast, django_assert_num_queries):
    with django_assert_num_queries(0):
        found = clocks.moment_for(cast.customer, REALLY)

    assert found == REALLY
    assert abs(clocks.now_for(cast.customer) - datetime.now(UTC)) < timedelta(minutes=1)


def test_time_of_a_test_organisation_stands_still_from_its_making(trial):
    assert clocks.now_for(trial) == clocks.moment_for(trial, REALLY) == MADE

    advance(trial, seconds=90)

    assert clocks.now_for(trial) == MADE + timedelta(seconds=90)


def test_contract_begins_at_the_test_clock_whichever_door_it_comes_through(trial):
    mailbox = make_test_mailbox(trial)

    assert Contract.objects.get(mailbox=mailbox).starts_at == MADE


# What is asked ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({"to": MADE}, "only goes forward"),
        ({"to": MADE - timedelta(days=1)}, "only goes forward"),
        ({"seconds": 0}, "only goes forward"),
        ({"seconds": -5}, "only goes forward"),
        ({"seconds": 62 * DAY + 1}, "At most 62 days"),
        ({"to": MADE + timedelta(days=63)}, "At most 62 days"),
        ({"seconds": 10**30}, "At most 62 days"),
        ({}, "one of the two"),
        ({"seconds": 5, "to": MADE + timedelta(days=1)}, "one of the two"),
    ],
)
def test_advance_that_makes_no_sense_is_refused(trial, target, says):
    with pytest.raises(test_clock.ClockRefused, match=says):
        ask(trial, **target)

    assert not ClockAdvance.objects.exists()
    assert clocks.now_for(trial) == MADE


def test_advance_of_62_days_is_the_longest(trial):
    asked = advance(trial, seconds=62 * DAY)

    assert (asked.state, asked.done_count, asked.total_count) == ("done", 62, 62)


def test_live_organisation_has_no_clock_to_advance(cast):
    with pytest.raises(test_clock.ClockRefused, match="Only a test organisation"):
        ask(cast.customer, seconds=5)


def test_only_who_manages_the_mail_advances_a_clock(cast, trial):
    with pytest.raises(Forbidden):
        test_clock.advance(actor=cast.actor(cast.charlie), organisation=trial, seconds=5, at=REALLY)


def test_second_advance_waits_for_the_first(trial):
    first = ask(trial, seconds=5)

    with pytest.raises(test_clock.AdvanceUnderWay):
        ask(trial, seconds=5)
    work_off(first)
    advance(trial, seconds=7)

    assert clocks.now_for(trial) == MADE + timedelta(seconds=12)


def test_database_keeps_advances_forward_and_one_at_a_time(trial):
    ask(trial, seconds=5)
    shape = {
        "organisation": trial,
        "started_from": MADE,
        "total_count": 1,
        "asked_at": REALLY,
        "asked_by": "x",
    }

    for wrong in ({"target": MADE + timedelta(1)}, {"target": MADE, "state": "done"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            ClockAdvance.objects.create(**shape, **wrong)


def test_advance_leaves_events_at_the_moments_of_the_clock(trial):
    advance(trial, seconds=DAY)

    found = Event.objects.filter(organisation=trial, kind__startswith="test_clock")
    assert list(found.order_by("seq").values_list("kind", "at")) == [
        ("test_clock.advancing", MADE),
        ("test_clock.advanced", MADE + timedelta(days=1)),
    ]


# What is billed -----------------------------------------------------------------------------


def test_months_end_gives_within_a_second_a_bill_that_matches_by_hand(trial):
    mailbox = make_test_mailbox(trial)
    keeps(mailbox, 20 * GIGABYTE)
    advance(trial, to=at(26, month=10))
    keeps(mailbox, 8 * GIGABYTE)

    with seconds_of_work() as took:
        advance(trial, to=at(2))

    [invoice] = Invoice.objects.filter(customer=trial)
    # Twelve days of 31: 2.50 by 12/31 = 0.97. Six days at 20 GB and six at 8 GB are
    # 168 GB-days, less 5 a day included: 108 / 31 at 0.12 = 0.42.
    seconds, use = 12 * DAY, 168 * GIGABYTE * DAY
    assert facts(invoice) == [("mailbox", seconds, use, 97), ("storage", seconds, use, 42)]
    assert (invoice.net_minor, invoice.issued_at) == (139, at(1))
    assert invoicing.verify(invoice) == []
    assert took() < 1


def test_bill_can_be_verified_after_the_mailbox_changed(trial):
    mailbox = make_test_mailbox(trial)
    keeps(mailbox, 20 * GIGABYTE)
    advance(trial, to=at(2))
    keeps(mailbox, 0)
    advance(trial, to=at(2, month=12))

    bills = Invoice.objects.filter(customer=trial).order_by("period")

    assert [invoicing.verify(each) for each in bills] == [[], []]
    # One day of November at 20 GB lies within the 150 GB-days that are included.
    assert facts(bills[1]) == [("mailbox", 30 * DAY, 20 * GIGABYTE * DAY, 250)]


def test_use_of_the_month_is_the_same_in_the_file_as_on_the_bill(trial):
    mailbox = make_test_mailbox(trial)
    keeps(mailbox, 7 * GIGABYTE)
    advance(trial, to=at(1))

    rows = csv.DictReader(exporting.lines(exporting.month(trial, period=OCTOBER), at=at(1)))

    used = [int(row["byte_seconds"]) for row in rows]
    assert used == [7 * GIGABYTE * DAY] * 12


def test_forecast_counts_the_size_of_now_after_the_clock(trial):
    mailbox = make_test_mailbox(trial)
    keeps(mailbox, GIGABYTE)
    advance(trial, to=at(25, month=10))
    keeps(mailbox, 3 * GIGABYTE)
    buyer = billing.buyer(trial)

    [so_far] = billing.charges(buyer, period=OCTOBER, until=clocks.now_for(trial))
    [whole] = billing.charges(buyer, period=OCTOBER)

    assert so_far.used_byte_seconds == 5 * GIGABYTE * DAY
    assert whole.used_byte_seconds == (5 + 3 * 7) * GIGABYTE * DAY


def test_real_reports_and_days_have_no_part_in_a_test_organisations_use(trial):
    mailbox = make_test_mailbox(trial)
    keeps(mailbox, GIGABYTE)
    # As the mail server reports it, really.
    Usage.objects.filter(username=mailbox.address).update(since=metering.seconds(MADE) - DAY)

    advance(trial, seconds=10)

    lines = billing.charges(billing.buyer(trial), period=OCTOBER, until=clocks.now_for(trial))
    assert [line.used_byte_seconds for line in lines] == [10 * GIGABYTE]


def test_step_is_written_only_where_the_size_has_changed(trial):
    one, two = make_test_mailbox(trial), make_test_mailbox(trial, "empty")
    keeps(one, 5)
    advance(trial, seconds=DAY)
    advance(trial, seconds=DAY)
    keeps(one, 6)
    advance(trial, seconds=DAY)

    start = metering.seconds(MADE)
    assert list(MeterStep.objects.order_by("since").values_list("username", "since", "bytes")) == [
        (one.address, start, 5),
        (one.address, start + 2 * DAY, 6),
    ]
    assert two.address


def test_bills_of_tests_never_take_a_live_number(cast, trial):
    make_profile(cast.reseller)
    other = make_test_customer(cast.reseller, "Second trial")
    make_test_mailbox(trial)
    make_test_mailbox(other, host="second.test")
    make_list(cast.reseller, imap=("3.00", 5, "0.15"), is_default=True)
    live = InvoiceCounter.objects.get(seller=None, is_test=False).next_number
    for each in (trial, other):
        advance(each, to=at(1))

    numbers = set(Invoice.objects.values_list("number", flat=True))

    assert numbers == {"TEST-000001", f"TEST-R{cast.reseller.pk}-000001"}
    assert InvoiceCounter.objects.get(seller=None, is_test=False).next_number == live


def test_credit_note_of_a_test_bill_is_numbered_among_the_tests(trial):
    make_test_mailbox(trial)
    advance(trial, to=at(1))

    note = invoicing.credit(actor=ACTOR, invoice=Invoice.objects.get(), reason="Trial", at=at(1))

    assert note.number == "TEST-000002"


def test_bill_that_cannot_be_written_is_told_of_and_comes_with_the_next_advance(cast):
    trial = make_test_customer(cast.provider)
    make_test_mailbox(trial)

    asked = advance(trial, to=at(2))

    assert asked.problems == ["The house has no billing profile, so 1 bills are missing."]
    assert not Invoice.objects.exists()

    make_profile(cast.provider)
    asked = advance(trial, seconds=60)

    assert asked.problems == []
    assert Invoice.objects.get().period == OCTOBER.first_day


def test_months_that_could_not_be_billed_come_later_however_many(cast):
    trial = make_test_customer(cast.provider)
    make_test_mailbox(trial)
    december = NOVEMBER.next

    advance(trial, to=at(15, month=12))
    assert not Invoice.objects.exists()
    make_profile(cast.provider)
    asked = advance(trial, to=at(2, month=1).replace(year=2027))

    assert asked.problems == []
    periods = Invoice.objects.order_by("pk").values_list("period", flat=True)
    assert list(periods) == [each.first_day for each in (OCTOBER, NOVEMBER, december)]
    for bill in Invoice.objects.all():
        assert invoicing.verify(bill) == []


def test_end_of_a_contract_within_the_advance_ends_what_is_charged(trial):
    mailbox = make_test_mailbox(trial)
    keeps(mailbox, GIGABYTE)
    advance(trial, to=at(25, month=10))
    provisioning.close(
        actor=ACTOR, mailbox=mailbox, grace=timedelta(days=30), at=clocks.now_for(trial)
    )

    advance(trial, to=at(1))

    contract = Contract.objects.get(mailbox=mailbox)
    assert contract.ends_at == contract.ended_at == at(25, month=10)
    assert facts(Invoice.objects.get()) == [("mailbox", 5 * DAY, 5 * GIGABYTE * DAY, 40)]


# What else falls due ------------------------------------------------------------------------


def test_debt_takes_its_course_by_the_test_clock_without_letters(trial):
    keeps(make_test_mailbox(trial), 300 * GIGABYTE)
    seen = {}
    advance(trial, to=at(1))
    # Due at the end of the term; each stop waits its days of notice.
    for day in range(0, 80, 5):
        advance(trial, seconds=5 * DAY)
        trial.refresh_from_db()
        seen.setdefault(trial.state, day)

    assert list(seen) == ["active", "past_due", "suspended", "closed"]
    assert not Notice.objects.exists()
    assert Mailbox.objects.get().state == Mailbox.State.CLOSING


def test_overdue_bill_is_told_of_by_the_test_clock_once(trial):
    keeps(make_test_mailbox(trial), 300 * GIGABYTE)
    advance(trial, to=at(1))

    assert debts.tell_of_overdue(at=REALLY) == 0
    advance(trial, to=at(20))

    told = Event.objects.filter(kind="invoice.overdue")
    # Due on the 15th, a day that is over everywhere at noon of the 16th.
    assert list(told.values_list("organisation", "at")) == [(trial.pk, at(16, 12))]


def test_one_long_advance_does_what_many_short_ones_do(cast, trial):
    other = make_test_customer(cast.provider, "Other")
    for each, host in ((trial, "trial.test"), (other, "other.test")):
        keeps(make_test_mailbox(each, host=host), 300 * GIGABYTE)
    advance(trial, seconds=62 * DAY)
    for _days in range(31):
        advance(other, seconds=2 * DAY)

    found = [
        list(Dunning.objects.get(customer=each).steps.order_by("pk").values_list("at", "kind"))
        for each in (trial, other)
    ]
    bills = [
        list(Invoice.objects.filter(customer=each).order_by("period").values_list("net_minor"))
        for each in (trial, other)
    ]

    assert bills[0] == bills[1]
    assert [kind for _at, kind in found[0]] == [kind for _at, kind in found[1]]
    # A short advance ends at midnight, so both look at noon.
    assert found[0] == found[1]


def test_payment_ends_the_course_at_the_moment_of_the_clock(trial):
    make_test_mailbox(trial)
    advance(trial, to=at(1))
    advance(trial, seconds=40 * DAY)
    invoice = Invoice.objects.order_by("pk").first()
    payments = [paid(each.total_minor, customer=trial) for each in Invoice.objects.order_by("pk")]
    for payment, each in zip(payments, Invoice.objects.order_by("pk"), strict=True):
        ledger.match(actor=ACTOR, payment=payment, invoice=each, at=clocks.now_for(trial))

    tasks.work_off_dunning(customer_id=trial.pk)

    run = Dunning.objects.get(customer=invoice.customer)
    assert run.ended_at == clocks.now_for(trial)


def test_what_was_closed_for_a_debt_comes_back_while_the_clock_stands(trial):
    mailbox = make_test_mailbox(trial)
    restriction = {"organisation": trial, "cause": Restriction.Cause.DEBT}
    standing.impose(
        actor=ACTOR, state="closed", stops={}, reason="Not paid", at=MADE, **restriction
    )
    assert test_clock.follow_standing(at=REALLY) == 1
    mailbox.refresh_from_db()
    closed = mailbox.state, mailbox.closing_since
    standing.lift(actor=ACTOR, reason="Paid", at=MADE, **restriction)

    tasks.follow_standing()

    mailbox.refresh_from_db()
    assert closed == (Mailbox.State.CLOSING, MADE)
    assert mailbox.state == Mailbox.State.PENDING
    assert test_clock.follow_standing(at=REALLY) == 0


def test_change_that_cools_off_is_made_when_the_clock_comes_there(trial):
    mailbox = make_test_mailbox(trial)
    cooling.ask_to_close(
        actor=ACTOR,
        mailbox=mailbox,
        grace=settings.CLOSING_GRACE,
        wait=timedelta(hours=72),
        at=clocks.now_for(trial),
    )
    advance(trial, seconds=71 * 3600)
    assert Mailbox.objects.get().state == Mailbox.State.ACTIVE

    advance(trial, seconds=4 * DAY)

    mailbox.refresh_from_db()
    assert mailbox.closing_since == MADE + timedelta(hours=72)
    assert Contract.objects.get(mailbox=mailbox).ends_at == mailbox.closing_since


def test_grace_of_a_closed_mailbox_ends_by_the_test_clock(trial):
    mailbox = make_test_mailbox(trial)
    provisioning.close(actor=ACTOR, mailbox=mailbox, grace=timedelta(days=10), at=MADE)

    closing.close_for_good(actor=ACTOR, at=REALLY)
    mailbox.refresh_from_db()
    assert mailbox.state == Mailbox.State.CLOSING

    advance(trial, seconds=10 * DAY)

    mailbox.refresh_from_db()
    assert mailbox.state == Mailbox.State.CLOSED


def test_spend_cap_is_watched_by_the_test_clock_without_letters(trial):
    keeps(make_test_mailbox(trial), 100 * GIGABYTE)
    capping.set_above(actor=ACTOR, organisation=trial, cap_minor=100, currency="EUR", at=MADE)

    assert spending.watch(at=REALLY) == 0
    advance(trial, to=at(31, month=10))

    assert Spending.objects.get(organisation=trial).told_percent == 100
    assert Event.objects.filter(organisation=trial, kind="spend_cap.reached").exists()
    assert not Notice.objects.exists()


# What runs by the real clock leaves tests alone ---------------------------------------------


def test_price_that_a_test_bill_has_is_not_taken_back(trial):
    """Its day has not come for anybody else."""
    price = pricing.succeed(
        actor=ACTOR,
        price_list=PriceList.objects.get(seller=None, audience="retail"),
        plan=Plan.objects.get(slug="imap"),
        starts_on=date(2026, 10, 25),
        monthly_price=Decimal("3.00"),
        at=MADE,
    )
    make_test_mailbox(trial)
    advance(trial, to=at(1))

    with pytest.raises(pricing.PriceRefused, match="a test bill has it"):
        pricing.withdraw(actor=ACTOR, price=price, at=MADE)


def test_price_that_is_set_for_days_the_clock_has_passed_changes_no_bill(trial):
    """For everybody else that day is still to come, so it may be set."""
    mailbox = make_test_mailbox(trial)
    keeps(mailbox, 20 * GIGABYTE)
    advance(trial, to=at(1, month=12))
    bills = list(Invoice.objects.order_by("pk"))
    before = [facts(bill) for bill in bills]
    rows = exporting_rows(trial, NOVEMBER)
    pricing.succeed(
        actor=ACTOR,
        price_list=PriceList.objects.get(seller=None, audience="retail"),
        plan=Plan.objects.get(slug="imap"),
        starts_on=date(2026, 11, 16),
        monthly_price=Decimal("3.00"),
        at=MADE,
    )

    assert [found for bill in bills for found in invoicing.verify(bill)] == []
    assert exporting_rows(trial, NOVEMBER) == rows
    note = invoicing.credit(actor=ACTOR, invoice=bills[-1], reason="Wrong", at=at(2, month=12))
    again = invoicing.bill_again(actor=ACTOR, invoice=bills[-1], at=at(2, month=12))
    advance(trial, to=at(1, month=1).replace(year=2027))

    assert facts(again) == before[-1]
    december = Invoice.objects.get(period=date(2026, 12, 1))
    assert [net for *_rest, net in facts(december)] == [300]
    found = [*bills, note, again, december]
    assert [each for bill in found for each in invoicing.verify(bill)] == []


def exporting_rows(organisation, month):
    return list(exporting.lines(exporting.month(organisation, period=month), at=month.ends_at))


def test_live_close_writes_no_bill_for_a_test_organisation(cast, trial):
    make_test_mailbox(trial)
    sold(cast.other_domain, "live")

    progress = invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)

    assert (progress.total, progress.written) == (3, 1)
    assert Invoice.objects.get().customer == cast.other_customer


def test_live_sweeps_find_nothing_in_a_test_organisation(trial):
    mailbox = make_test_mailbox(trial)
    advance(trial, to=at(1))
    cooling.ask_to_close(
        actor=ACTOR,
        mailbox=mailbox,
        grace=timedelta(days=30),
        wait=timedelta(hours=1),
        at=clocks.now_for(trial),
    )

    assert dunning.sweep(at=REALLY) == 0
    assert list(dunning.foresee(at=REALLY)) == []
    assert cooling.make_due(engine=engine(), at=REALLY) == 0
    assert ledger.settle_all(at=REALLY) == 0
    assert PendingChange.objects.get().state == PendingChange.State.WAITING


def test_more_time_that_staff_give_ends_by_the_test_clock(trial):
    make_test_mailbox(trial)
    advance(trial, to=at(1))
    advance(trial, seconds=30 * DAY)
    until = (clocks.now_for(trial) + timedelta(days=5)).date()
    assert until < REALLY.date()

    dunning.extend(actor=ACTOR, run=Dunning.objects.get(), until=until, reason="Asked", at=REALLY)

    run = Dunning.objects.get()
    assert run.extended_until == until
    assert all(step.at <= clocks.now_for(trial) for step in run.steps.all())


def test_run_of_a_test_organisation_goes_on_by_its_clock_only(trial):
    make_test_mailbox(trial)
    advance(trial, to=at(1))
    advance(trial, seconds=30 * DAY)
    before = Dunning.objects.get().version

    assert dunning.sweep(at=REALLY + timedelta(days=100)) == 0
    assert Dunning.objects.get().version == before


def test_reseller_pays_nothing_for_tests_and_sees_none_in_its_margin(cast):
    make_profile(cast.provider)
    trial = make_test_customer(cast.reseller)
    keeps(make_test_mailbox(trial), 90 * GIGABYTE)
    sold(cast.domain, "live")

    found = margins.margins(cast.reseller, at=CLOSED_AT)
    lines = billing.charges(billing.buyer(cast.reseller), period=OCTOBER)

    assert [each.customer for each in found.customers] == [cast.customer]
    assert [line.address for line in lines] == ["live@alder.test"]


def test_payment_is_never_taken_for_a_test_bill(trial):
    make_test_mailbox(trial)
    advance(trial, to=at(1))
    invoice = Invoice.objects.get()
    clue = matching.Clue(
        amount_minor=invoice.total_minor, currency="EUR", payer="Trial", reference=invoice.number
    )

    [suggestion] = matching.suggest([clue], seller=None)

    assert list(suggestion.items) == []
    assert not checkouts.is_offered(invoice)


def test_mailboxes_of_tests_cost_nobody_above_anything(cast):
    """Not even a reseller that may spend nothing; a cap of its own holds a test organisation."""
    Limits.objects.create(organisation=cast.reseller, spend_cap_minor=0)
    trial = make_test_customer(cast.reseller)
    make_test_mailbox(trial)

    Limits.objects.create(organisation=trial, spend_cap_minor=0)
    with pytest.raises(limits.LimitReached, match="Trial may spend"):
        make_test_mailbox(trial, "second")


def test_mailboxes_of_tests_count_towards_limits_above(cast):
    trial = make_test_customer(cast.reseller)
    make_test_mailbox(trial)

    assert limits.use_of(cast.reseller).mailboxes == 1


# Domains ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alder.example", "example.com", "test.com", "localhost.org"])
def test_test_organisation_takes_on_no_name_that_could_be_owned(trial, name):
    with pytest.raises(domains.NotForTests, match=r"ends with \.test or \.localhost"):
        ordering.add_domain(actor=ACTOR, organisation=trial, name=name, at=REALLY)


@pytest.mark.parametrize("name", ["shop.test", "shop.localhost"])
def test_test_organisation_takes_on_reserved_names(trial, name):
    domain = ordering.add_domain(actor=ACTOR, organisation=trial, name=name, at=REALLY)

    assert domain.state == "confirmed"


# Workers ------------------------------------------------------------------------------------


def test_advance_is_taken_up_by_the_sweep(trial):
    asked = ask(trial, seconds=DAY)

    assert test_clock.resume(engine=engine(), now=now) == 1
    assert test_clock.resume(engine=engine(), now=now) == 0

    asked.refresh_from_db()
    assert (asked.state, asked.finished_at) == ("done", REALLY)


def test_tasks_work_advances_off(trial):
    asked = ask(trial, seconds=DAY)

    assert tasks.advance_test_clock(advance_id=asked.pk)
    assert tasks.advance_test_clocks() == 0
    assert not tasks.advance_test_clock(advance_id=asked.pk)


def test_leased_advance_is_left_alone_until_the_lease_is_over(trial):
    asked = ask(trial, seconds=DAY)
    ClockAdvance.objects.update(lease_until=REALLY + timedelta(minutes=1))

    assert not test_clock.run(advance_id=asked.pk, engine=engine(), now=now)

    later = REALLY + timedelta(minutes=3)
    assert test_clock.run(advance_id=asked.pk, engine=engine(), now=lambda: later)


@pytest.mark.parametrize("moves", [0, 1])
def test_worker_that_lost_its_lease_stops_before_its_next_leg(trial, monkeypatch, moves):
    asked = ask(trial, to=at(2))
    real, calls = test_clock._do_due, []

    def robbed(*args, **named):
        real(*args, **named)
        if len(calls) == moves:
            ClockAdvance.objects.update(fence=99)
        calls.append(None)

    monkeypatch.setattr(test_clock, "_do_due", robbed)

    assert not test_clock.run(advance_id=asked.pk, engine=engine(), now=now)
    assert clocks.now_for(trial) == (MADE, at(1))[moves]


def test_worker_that_lost_its_lease_at_the_end_does_not_finish(trial, monkeypatch):
    asked = ask(trial, seconds=5)
    real = test_clock._finish

    def robbed(*args, **named):
        ClockAdvance.objects.update(fence=99)
        real(*args, **named)

    monkeypatch.setattr(test_clock, "_finish", robbed)

    assert not test_clock.run(advance_id=asked.pk, engine=engine(), now=now)
    assert ClockAdvance.objects.get().state == "running"


def test_clock_that_was_moved_by_another_hand_keeps_nothing_of_the_leg(trial, monkeypatch):
    keeps(make_test_mailbox(trial), 5)
    asked = ask(trial, seconds=5)
    real = test_clock._moment
    monkeypatch.setattr(test_clock, "_moment", lambda each: real(each) - timedelta(seconds=1))

    assert not test_clock.run(advance_id=asked.pk, engine=engine(), now=now)
    assert not MeterStep.objects.exists()


def test_live_mailbox_is_billed_as_before(cast):
    make_mailbox(cast.other_domain)

    assert Period.of(MADE) == OCTOBER
    assert billing.test_clocks([billing.buyer(cast.other_customer)]) == {}


# Its pages ------------------------------------------------------------------------------


def test_pages_of_a_test_organisation_show_the_month_of_its_clock(cast, trial):
    mailbox = make_test_mailbox(trial)
    sam = signed_in(cast.sam)

    shown = [
        sam.get(reverse("billing:detail", args=[trial.uuid])).context["month"],
        sam.get(reverse("billing:mailbox", args=[mailbox.uuid])).context["month"],
    ]

    assert shown == [OCTOBER.first_day] * 2
    for month, status in ((OCTOBER, 200), (NOVEMBER, 404)):
        path = reverse("billing:usage", args=[trial.uuid, month])
        assert sam.get(path).status_code == status


def test_plans_of_a_test_organisation_cost_what_they_do_in_the_month_of_its_clock(cast, trial):
    mailbox = make_test_mailbox(trial)

    page = signed_in(cast.sam).get(reverse("mailboxes:plans", args=[mailbox.uuid]))

    months = {
        option.this_month.period
        for _protocol, options in page.context["columns"]
        for option in options
        if option.this_month
    }
    assert months == {OCTOBER}


@pytest.fixture
def tess(trial):
    return signed_in(make_member("tess@example.test", trial, Membership.Role.OWNER))


def waiting(kind):
    return PendingChange.objects.waiting().filter(kind=kind).values_list("effective_at", flat=True)


def test_closing_by_a_page_begins_when_the_clock_has_come_there(trial, tess):
    mailbox = make_test_mailbox(trial)
    path = reverse("mailboxes:close", args=[mailbox.uuid])

    page = tess.get(path)
    tess.post(path, {"address": mailbox.address})

    begins = MADE + settings.COOLING_OFF
    assert page.context["closes_at"] == begins
    assert {month.period for month in page.context["months"]} == {OCTOBER}
    assert list(waiting("close")) == [begins]
    advance(trial, to=begins)
    mailbox.refresh_from_db()
    assert mailbox.state == Mailbox.State.CLOSING
    tess.post(reverse("mailboxes:reopen", args=[mailbox.uuid]))
    contract = Contract.objects.filter(mailbox=mailbox).latest("starts_at")
    assert contract.starts_at == begins


def test_closing_of_many_begins_at_the_clock_of_each(trial):
    mailbox = make_test_mailbox(trial)

    DEEDS["close_mailboxes"].do(actor=ACTOR, row=mailbox, what={}, reason="Asked for", at=REALLY)

    assert list(waiting("close")) == [MADE + settings.COOLING_OFF]


def test_what_else_waits_by_a_page_waits_by_the_clock(trial, tess, twin):
    mailbox = make_test_mailbox(trial)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    begins = MADE + settings.COOLING_OFF

    tess.post(reverse("mailboxes:set_tripwire", args=[mailbox.uuid]), {"state": "off"})
    tess.post(reverse("mailboxes:set_window", args=[mailbox.uuid]), {"window_days": 1})
    rule = {"folder": "\\Trash", "counted_from": "arrival", "days": 9}
    tess.post(reverse("mailboxes:set_rule", args=[mailbox.uuid]), rule)
    tess.post(reverse("mailboxes:empty_store", args=[mailbox.uuid]), {"address": mailbox.address})
    close_all = reverse("organisations:close", args=[trial.uuid])
    page = tess.get(close_all)
    tess.post(close_all, {"name": trial.name})

    assert page.context["closes_at"] == begins
    found = PendingChange.objects.waiting()
    assert set(found.values_list("effective_at", flat=True)) == {begins}
    kinds = {"tripwire", "window", "rule", "empty_store", "close_all"}
    assert set(found.values_list("kind", flat=True)) == kinds


def test_bill_of_a_test_is_overdue_on_its_page_by_the_clock(trial, tess):
    make_test_mailbox(trial)
    advance(trial, to=at(1))
    bill = Invoice.objects.get()
    path = reverse("billing:payment", args=[bill.uuid])

    shown = [tess.get(path).context["pay"].is_overdue]
    advance(trial, to=at(20))
    shown.append(tess.get(path).context["pay"].is_overdue)

    assert shown == [False, True]


def test_order_page_of_a_test_shows_the_prices_of_its_clock(trial, tess):
    make_test_mailbox(trial)
    pricing.succeed(
        actor=ACTOR,
        price_list=PriceList.objects.get(seller=None, audience="retail"),
        plan=Plan.objects.get(slug="imap"),
        starts_on=date(2999, 1, 1),
        monthly_price=Decimal("7.77"),
        at=MADE,
    )
    Clock.objects.create(organisation=trial, now=datetime(2999, 1, 2, tzinfo=UTC))

    page = tess.get(reverse("mailboxes:order"), {"domain": "trial.test"})

    assert page.context["plans"]["imap"]["price_text"] == "7.77 EUR"
