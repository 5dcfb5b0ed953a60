from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from hosting import billing, clocks, metering, ordering, usage
from hosting.models import Contract
from mailstore.models import Mailbox, Usage
from tests.factories import make_mailbox
from tests.hosting.billing_rows import (
    CLOSED_AT,
    GIGABYTE,
    OCTOBER,
    counted_queries,
    moment,
    sold,
    switch,
    used,
    worked_example,
)
from tests.hosting.simulated import (
    MADE,
    REALLY,
    advance,
    keeps,
    make_test_customer,
    make_test_mailbox,
)

pytestmark = pytest.mark.django_db(databases="__all__")
DAY = 86_400
FIRST, LAST = date(2026, 10, 1), date(2026, 11, 1)


def of(mailbox, grain="day", since=FIRST, until=LAST, at=CLOSED_AT):
    return usage.of_mailbox(mailbox, grain=grain, since=since, until=until, at=at)


def test_month_of_a_mailbox_is_what_its_bill_says(cast):
    mailbox = worked_example(cast.domain)
    [line] = billing.charges(billing.buyer(cast.customer), period=OCTOBER, only=mailbox.pk)[:1]

    [month] = of(mailbox, "month")

    assert month.byte_seconds == line.used_byte_seconds == 60_393_600_000_000_000
    assert (month.starts_at, month.ends_at) == (OCTOBER.starts_at, OCTOBER.ends_at)
    assert month.mean_bytes == 60_393_600_000_000_000 // OCTOBER.seconds
    assert month.most_bytes == 42 * GIGABYTE


def test_days_of_a_mailbox_add_up_to_its_month(cast):
    mailbox = worked_example(cast.domain)

    days = of(mailbox)

    assert [day.mean_bytes // GIGABYTE for day in days] == [18] * 10 + [42] * 10 + [9] * 11
    assert sum(day.byte_seconds for day in days) == of(mailbox, "month")[0].byte_seconds
    assert {day.messages_count for day in days} == {None}


def test_day_that_is_not_over_is_told_until_now(cast):
    mailbox = sold(cast.domain, "c")
    begin = moment(20)
    Usage.objects.create(username=mailbox.address, bytes=100, messages=7)
    Usage.objects.filter(username=mailbox.address).update(since=metering.seconds(begin))

    days = of(mailbox, since=date(2026, 10, 19), at=moment(21, 6))

    assert [(day.byte_seconds, day.mean_bytes) for day in days] == [
        (0, 0),
        (100 * DAY, 100),
        (100 * DAY // 4, 100),
    ]
    assert [day.messages_count for day in days] == [None, None, 7]
    assert days[-1].ends_at == moment(21, 6)


def test_change_of_plan_within_a_day_counts_no_second_twice(cast):
    mailbox = sold(cast.domain, "c")
    Usage.objects.create(username=mailbox.address, bytes=10)
    Usage.objects.filter(username=mailbox.address).update(since=metering.seconds(moment(1)))
    switch(mailbox, "pop", moment(20, 12))
    assert Contract.objects.filter(mailbox=mailbox).count() == 2

    days = of(mailbox, since=date(2026, 10, 19), until=date(2026, 10, 22), at=moment(25))

    assert [day.byte_seconds for day in days] == [10 * DAY] * 3


def test_time_before_and_after_the_contract_brings_nothing(cast):
    mailbox = sold(cast.domain, "c", since=moment(10), until=moment(20))
    used(mailbox, (moment(1), GIGABYTE))

    days = of(mailbox)

    assert [day.mean_bytes for day in days] == [0] * 9 + [GIGABYTE] * 10 + [0] * 12


def test_time_to_come_has_no_use(cast):
    mailbox = sold(cast.domain, "c")

    assert of(mailbox, since=date(2027, 1, 1), until=date(2027, 1, 5)) == []


def test_mailbox_without_a_contract_in_that_time_has_used_nothing(cast):
    mailbox = sold(cast.domain, "c", since=moment(1, month=11))

    assert [month.byte_seconds for month in of(mailbox, "month")] == [0]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"grain": "hour"}, "kept by day"),
        ({"grain": "month", "until": date(2026, 10, 15)}, "first day of a month"),
        ({"grain": "month", "since": date(2026, 9, 15)}, "first day of a month"),
        ({"until": FIRST}, "one day or more"),
        ({"until": date(2026, 9, 1)}, "one day or more"),
        ({"since": date(2024, 1, 1)}, "at most 400"),
    ],
)
def test_use_that_cannot_be_told_is_refused(cast, asked, says):
    mailbox = make_mailbox(cast.domain)

    with pytest.raises(usage.UsageRefused, match=says):
        of(mailbox, **asked)


def test_organisation_is_the_sum_of_its_mailboxes_alone(cast, monkeypatch):
    monkeypatch.setattr(usage, "PIECE", 2)
    for number in range(5):
        used(sold(cast.domain, f"m{number}"), (moment(1), GIGABYTE))
    used(sold(cast.other_domain, "foreign"), (moment(1), 50 * GIGABYTE))

    [month] = usage.of_organisation(
        cast.customer, grain="month", since=FIRST, until=LAST, at=CLOSED_AT
    )

    assert month.byte_seconds == 5 * GIGABYTE * OCTOBER.seconds
    assert (month.mean_bytes, month.most_bytes) == (5 * GIGABYTE, 5 * GIGABYTE)


def test_messages_of_now_leave_out_addresses_that_were_given_up(cast):
    old, new = sold(cast.domain, "a"), sold(cast.domain, "b")
    for mailbox in (old, new):
        Usage.objects.create(username=mailbox.address, bytes=1, messages=4)
    Mailbox.objects.filter(pk=old.pk).update(state="closed")
    asked = {"grain": "month", "since": FIRST, "until": LAST, "at": moment(31)}

    [whole] = usage.of_organisation(cast.customer, **asked)
    each = usage.by_mailbox(cast.customer, **asked)

    assert whole.messages_count == 4
    assert [use.buckets[0].messages_count for use in each] == [0, 4]


def test_pages_of_mailboxes_follow_each_other_in_as_many_statements(cast):
    boxes = [sold(cast.domain, f"m{number}") for number in range(7)]
    for mailbox in boxes:
        used(mailbox, (moment(1), GIGABYTE))
    asked = {"grain": "day", "since": FIRST, "until": LAST, "at": CLOSED_AT}

    with counted_queries() as few:
        first = usage.by_mailbox(cast.customer, limit=1, **asked)
        of_one = few()
        rest = usage.by_mailbox(cast.customer, after=first[0].mailbox.pk, limit=50, **asked)
        of_six = few() - of_one

    assert [use.mailbox.pk for use in [*first, *rest]] == [mailbox.pk for mailbox in boxes]
    assert of_one == of_six == 6
    assert {bucket.mean_bytes for use in rest for bucket in use.buckets} == {GIGABYTE}


def test_use_of_a_test_organisation_goes_by_its_clock(cast):
    trial = make_test_customer(cast.provider)
    mailbox = make_test_mailbox(trial)
    keeps(mailbox, GIGABYTE)
    advance(trial, seconds=DAY + DAY // 2)
    keeps(mailbox, 2 * GIGABYTE)
    advance(trial, seconds=DAY)

    days = of(mailbox, since=MADE.date(), at=REALLY)

    assert [day.byte_seconds for day in days] == [
        GIGABYTE * DAY,
        GIGABYTE * DAY * 3 // 2,
        2 * GIGABYTE * DAY // 2,
    ]
    assert days[-1].ends_at == clocks.now_for(trial)


def test_contract_that_ends_after_the_asked_time_counts_until_there(cast):
    mailbox = sold(cast.domain, "c")
    used(mailbox, (moment(1), GIGABYTE))
    ordering.end_contract(mailbox, at=datetime(2026, 10, 20, 12, tzinfo=UTC))

    days = of(mailbox, since=date(2026, 10, 18), until=date(2026, 10, 20), at=CLOSED_AT)

    assert [day.byte_seconds for day in days] == [GIGABYTE * DAY] * 2
    assert days[-1].ends_at - days[0].starts_at == timedelta(days=2)
