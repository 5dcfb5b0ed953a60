"""Changes of what was bought: what the page says before, and what the bill says after."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.access import Forbidden
from accounts.models import Event
from hosting import billing, changing, invoicing, limits, ordering, pricing, selling
from hosting.metering import DAY_SECONDS
from hosting.models import BillingProfile, Contract, InvoiceLine, Limits, Plan, PlanChange
from mailstore import cooling, holding, provisioning, switching
from mailstore.models import Mailbox, PendingChange, Usage
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
)

pytestmark = pytest.mark.django_db(databases="__all__")

NOW = moment(12, 10)
WAIT = timedelta(hours=72)


def plan(slug):
    return Plan.objects.get(slug=slug)


def big_imap(**changed):
    """A plan above the others, with its price on every list that has one for IMAP."""
    fields = {
        "slug": "imap-plus",
        "name": "IMAP Plus",
        "protocol": "imap",
        "position": 3,
        "quota_bytes": 50 * GIGABYTE,
        "ceiling_bytes": 500 * GIGABYTE,
        "window_days": 60,
    } | changed
    made = Plan.objects.create(**fields)
    for price in plan("imap").prices.all():
        price.pk, price.plan, price.monthly_price = None, made, price.monthly_price * 3
        price.save(force_insert=True)
    return made


def stored(mailbox, size, *, since=OCTOBER.starts_at, day_byte_seconds=0):
    """The mailbox holds so much since a moment, whose day had brought something until then."""
    Usage.objects.filter(username=mailbox.address).delete()
    Usage.objects.create(
        username=mailbox.address,
        bytes=size,
        since=int(since.timestamp()),
        day_byte_seconds=day_byte_seconds,
    )


def change(mailbox, slug, *, at=NOW, actor=ACTOR, **more):
    return changing.change(actor=actor, mailbox=mailbox, plan=plan(slug), wait=WAIT, at=at, **more)


def october(mailbox):
    """What the bill of October says of a mailbox now."""
    lines = billing.charges(billing.buyer(mailbox.organisation), period=OCTOBER)
    return sum(line.net_minor for line in lines if line.mailbox_id in {mailbox.pk, None})


@pytest.fixture
def mailbox(cast):
    mailbox = sold(cast.domain, "hello")
    stored(mailbox, 700_000_000)
    return mailbox


# Money ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "size"),
    [
        ("imap", "pop", 700_000_000),
        ("imap", "imap-plus", 9 * GIGABYTE),
        ("pop", "imap", GIGABYTE),
        ("imap-plus", "imap", 42 * GIGABYTE),
    ],
)
@pytest.mark.parametrize("second", [0, 1, 36_001, 1_692_000, 2_678_399])
def test_what_was_shown_is_what_is_billed(cast, before, after, size, second):
    big_imap()
    mailbox = sold(cast.domain, "hello", before)
    stored(mailbox, size)
    at = moment(1) + timedelta(seconds=second)

    proposal = changing.propose(mailbox=mailbox, plan=plan(after), at=at)
    assert proposal.this_month.before_minor == october(mailbox)
    change(mailbox, after, at=at)

    assert october(mailbox) == proposal.this_month.after_minor
    november = billing.charges(billing.buyer(mailbox.organisation), period=OCTOBER.next)
    assert sum(line.net_minor for line in november) == proposal.full_month.after_minor


def test_what_was_shown_is_what_the_invoice_says(cast, mailbox):
    make_profile(cast.provider)
    make_profile(cast.reseller)
    make_profile(cast.customer)
    proposal = changing.propose(mailbox=mailbox, plan=plan("pop"), at=NOW)
    change(mailbox, "pop")

    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)

    lines = InvoiceLine.objects.filter(invoice__customer=cast.customer)
    assert sum(line.net_minor for line in lines) == proposal.this_month.after_minor
    # 986,400 of 2,678,400 seconds at 2.50, the other 1,692,000 at 1.00.
    assert sorted(line.net_minor for line in lines) == [63, 92]


def test_shared_space_is_foreseen_over_all_that_share_it(cast):
    make_profile(cast.customer, pools_storage=True)
    big_imap()
    mailbox, other = sold(cast.domain, "a"), sold(cast.domain, "b")
    stored(mailbox, 9 * GIGABYTE)
    stored(other, 8 * GIGABYTE)

    proposal = changing.propose(mailbox=mailbox, plan=plan("imap-plus"), at=NOW)
    change(mailbox, "imap-plus")

    assert october(mailbox) == proposal.this_month.after_minor
    assert {line.mailbox_id for line in proposal.this_month.after} == {mailbox.pk, None}
    assert BillingProfile.objects.count() == 1


def test_contracts_follow_each_other_and_share_the_meter(mailbox):
    change(mailbox, "pop")

    first, second = Contract.objects.filter(mailbox=mailbox).order_by("pk")
    assert first.ends_at == second.starts_at == NOW
    assert first.end_mark == second.start_mark == 36_000 * 700_000_000
    assert second.ends_at is None


def test_changes_within_one_second_lose_and_double_nothing(mailbox):
    change(mailbox, "pop")
    later = NOW + timedelta(seconds=1)
    stored(mailbox, 800_000_000, since=later, day_byte_seconds=36_001 * 700_000_000)
    changing.take_back(
        actor=ACTOR, mailbox=mailbox, wait=WAIT, at=NOW + timedelta(milliseconds=500)
    )

    contracts = list(Contract.objects.filter(mailbox=mailbox).order_by("pk"))
    assert [c.plan.slug for c in contracts] == ["imap", "pop", "imap"]
    marks = [(c.start_mark, c.end_mark) for c in contracts]
    assert marks[0][1] == marks[1][0] == marks[1][1] == marks[2][0]
    lines = billing.charges(billing.buyer(mailbox.organisation), period=OCTOBER)
    assert [line.net_minor for line in lines] == [250]


def test_clock_that_was_set_back_ends_no_contract_before_it_began(mailbox):
    Contract.objects.update(starts_at=NOW, start_mark=5)
    before = NOW - timedelta(days=40)

    change(mailbox, "pop", at=before)

    first, second = Contract.objects.order_by("pk")
    assert (first.ends_at, first.end_mark) == (NOW, 5)
    assert (second.starts_at, second.start_mark) == (NOW, 5)
    assert second.plan.slug == "pop"


def test_mark_of_a_day_that_closed_meanwhile_has_all_of_it(mailbox):
    Usage.objects.all().delete()
    used(mailbox, (moment(1), 1000), until=moment(13))

    change(mailbox, "pop", at=moment(13) - timedelta(seconds=1))

    ended = Contract.objects.exclude(ends_at=None).get()
    assert ended.end_mark == 1000 * DAY_SECONDS


def test_closing_costs_this_month_to_the_second_and_nothing_after(mailbox):
    closes_at = NOW + WAIT

    [this_month] = changing.cost_of_closing(mailbox=mailbox, closes_at=closes_at, at=NOW)
    ordering.end_contract(mailbox, at=closes_at)

    assert october(mailbox) == this_month.after_minor < this_month.before_minor
    november = billing.charges(billing.buyer(mailbox.organisation), period=OCTOBER.next)
    assert november == []


def test_closing_over_the_end_of_a_month_names_both(mailbox):
    closes_at = moment(2, month=11)

    months = changing.cost_of_closing(mailbox=mailbox, closes_at=closes_at, at=moment(31))

    assert [str(month.period) for month in months] == ["2026-10", "2026-11"]
    assert [month.after_minor for month in months] == [250, 8]


# What is refused ------------------------------------------------------------------------


def test_change_below_use_says_how_many_bytes_must_go(mailbox):
    stored(mailbox, GIGABYTE + 1)

    for verb in (
        lambda: changing.propose(mailbox=mailbox, plan=plan("pop"), at=NOW),
        lambda: change(mailbox, "pop"),
    ):
        with pytest.raises(switching.BelowUse, match=r"1 GB.*Remove 1 B first") as refused:
            verb()
        assert refused.value.excess_bytes == 1
    assert Contract.objects.get().ends_at is None
    stored(mailbox, GIGABYTE)
    change(mailbox, "pop")


def test_plan_that_is_not_sold_is_refused(mailbox):
    Plan.objects.filter(slug="pop").update(is_on_sale=False)

    for verb in (
        lambda: changing.propose(mailbox=mailbox, plan=plan("pop"), at=NOW),
        lambda: change(mailbox, "pop"),
    ):
        with pytest.raises(selling.NotOnSale, match="POP is not on sale any more"):
            verb()


def test_same_plan_is_refused(mailbox):
    with pytest.raises(changing.SamePlan, match="on the plan IMAP already"):
        change(mailbox, "imap")


def test_plan_without_a_price_on_the_buyers_list_is_refused(cast, mailbox):
    big_imap()
    francs = make_list(currency="CHF", imap=("3.00", 5, "0.2"), pop=("2.00", 0, "0"))
    make_profile(cast.customer, price_list=francs)

    with pytest.raises(pricing.NoPrice, match="IMAP Plus has no price"):
        change(mailbox, "imap-plus")
    assert (
        changing.propose(mailbox=mailbox, plan=plan("pop"), at=NOW).full_month.after_text
        == "2.00 CHF"
    )


@pytest.mark.parametrize("state", ["closing", "closed"])
def test_mailbox_that_closes_is_refused(mailbox, state):
    Mailbox.objects.filter(pk=mailbox.pk).update(state=state)

    with pytest.raises(provisioning.WrongState, match="is closing"):
        change(mailbox, "pop")


def test_mailbox_without_a_contract_is_refused(mailbox):
    ordering.end_contract(mailbox, at=NOW)

    with pytest.raises(provisioning.WrongState, match="on no plan"):
        change(mailbox, "pop")


def test_frozen_mailbox_is_refused_and_a_held_one_is_not(cast, mailbox):
    Mailbox.objects.filter(pk=mailbox.pk).update(frozen_at=NOW)
    with pytest.raises(holding.Stopped, match="frozen since"):
        change(mailbox, "pop")

    Mailbox.objects.filter(pk=mailbox.pk).update(frozen_at=None)
    holding.place(
        actor=cast.actor(cast.sam), by=cast.sam, scope=mailbox, matter="M", reason="R", at=NOW
    )
    change(mailbox, "pop")


@pytest.mark.parametrize("person", ["bob", "charlie"])
def test_only_whoever_manages_the_mailbox_changes_its_plan(cast, mailbox, person):
    with pytest.raises(Forbidden):
        change(mailbox, "pop", actor=cast.actor(getattr(cast, person)))

    assert Contract.objects.get().plan.slug == "imap"
    assert not PlanChange.objects.exists()


# Limits ---------------------------------------------------------------------------------


def test_spend_cap_counts_the_difference_of_the_plans(cast, mailbox):
    big_imap()
    Limits.objects.create(organisation=cast.customer, spend_cap_minor=749)
    with pytest.raises(limits.LimitReached, match=r"may spend 7\.49 EUR"):
        change(mailbox, "imap-plus")
    assert Contract.objects.get().plan.slug == "imap"

    Limits.objects.update(spend_cap_minor=750)
    change(mailbox, "imap-plus")


def test_full_space_of_a_parent_stops_what_can_keep_more_only(cast, mailbox):
    big_imap()
    Limits.objects.create(organisation=cast.reseller, stored_bytes=700_000_000)

    with pytest.raises(limits.LimitReached, match="may keep 700 MB of mail"):
        change(mailbox, "imap-plus")
    change(mailbox, "pop")


# What the mailbox gets, and going back --------------------------------------------------


def test_limit_stays_where_the_plan_allows_it(cast, mailbox):
    big_imap()
    ordering.change_limit(actor=ACTOR, mailbox=mailbox, quota_bytes=40 * GIGABYTE, at=NOW)
    limit = lambda: Mailbox.objects.get(pk=mailbox.pk).quota_bytes // GIGABYTE  # noqa: E731

    change(mailbox, "imap-plus")
    assert limit() == 50
    change(mailbox, "imap")
    assert limit() == 50
    change(mailbox, "pop")
    assert limit() == 1
    change(mailbox, "imap")
    assert limit() == 10


def test_change_is_taken_back_within_its_time(mailbox):
    ordering.change_limit(actor=ACTOR, mailbox=mailbox, quota_bytes=40 * GIGABYTE, at=NOW)
    cooling.ask_window(actor=ACTOR, mailbox=mailbox, window_days=90, wait=WAIT, at=NOW, now=NOW)
    change(mailbox, "pop")
    Plan.objects.filter(slug="imap").update(is_on_sale=False)

    changing.take_back(
        actor=ACTOR, mailbox=mailbox, wait=WAIT, at=NOW + WAIT - timedelta(seconds=1)
    )

    mailbox.refresh_from_db()
    assert (mailbox.protocol, mailbox.quota_bytes, mailbox.window_days) == (
        "imap",
        40 * GIGABYTE,
        90,
    )
    assert mailbox.former_policy is None
    assert not PendingChange.objects.waiting().exists()
    with pytest.raises(changing.NothingToTakeBack):
        changing.take_back(actor=ACTOR, mailbox=mailbox, wait=WAIT, at=NOW + WAIT)


def test_change_is_not_taken_back_after_its_time(mailbox):
    change(mailbox, "pop")

    with pytest.raises(changing.NothingToTakeBack, match="no change that could be taken back"):
        changing.take_back(actor=ACTOR, mailbox=mailbox, wait=WAIT, at=NOW + WAIT)


def test_taking_back_is_held_to_the_limits(cast, mailbox):
    change(mailbox, "pop")
    Limits.objects.create(organisation=cast.customer, spend_cap_minor=200)

    with pytest.raises(limits.LimitReached):
        changing.take_back(actor=ACTOR, mailbox=mailbox, wait=WAIT, at=NOW)
    assert PlanChange.objects.get().undone_at is None


def test_window_that_somebody_chose_stays(mailbox):
    cooling.ask_window(actor=ACTOR, mailbox=mailbox, window_days=90, wait=WAIT, at=NOW, now=NOW)

    change(mailbox, "pop")

    mailbox.refresh_from_db()
    assert mailbox.window_days == 90


def test_window_on_its_way_does_not_count_as_chosen(mailbox):
    change(mailbox, "pop")
    big_imap(slug="pop-2", name="POP 2", protocol="pop", quota_bytes=GIGABYTE, window_days=14)

    change(mailbox, "pop-2")

    [waiting] = PendingChange.objects.waiting()
    assert waiting.what == {"window_days": 14, "instead_of": 30}


def test_history_says_what_was_changed(mailbox):
    change(mailbox, "pop")

    assert str(PlanChange.objects.get()) == "hello@alder.test: IMAP → POP"
    kinds = Event.objects.filter(subject_id=str(mailbox.uuid)).values_list("kind", flat=True)
    assert {"mailbox.plan_changed", "mailbox.protocol_switched", "mailbox.updated"} <= set(kinds)
