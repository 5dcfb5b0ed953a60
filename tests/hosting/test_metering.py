"""The meter against a model in plain Python that adds up a step function second by second."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hosting import billing, metering, ordering
from hosting.metering import DAY_SECONDS, Span
from hosting.models import Contract
from hosting.periods import Period
from mailstore import provisioning
from mailstore.models import Drift, Mailbox, Usage, UsageDay
from tests.factories import make_mailbox
from tests.hosting.billing_rows import ACTOR, switch
from tests.plans import rows_read

pytestmark = pytest.mark.django_db(databases="__all__")

MIDNIGHT = 20_780 * DAY_SECONDS
NAME = "hello@alder.test"
TEN_TERABYTES = 10**13


@contextmanager
def clock():
    """The clock that the database's meter looks at; set it by `clock.now`."""

    class Clock:
        now = MIDNIGHT

        def set(self, now):
            self.now = now
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT set_config('restante.now', %s, false)", [str(now)])

    connection = connections[Usage.objects.all().db]
    connection.ensure_connection()
    made = Clock()
    if connection.vendor == "sqlite":
        connection.connection.create_function("unixepoch", 0, lambda: made.now)
        yield made
        # SQLite does not give its own function back.
        connection.connection.create_function("unixepoch", 0, lambda: int(time.time()))
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION mailstore_unix_now() RETURNS bigint LANGUAGE sql AS "
            "$$ SELECT current_setting('restante.now')::bigint $$"
        )
    # The test's transaction takes the function back.
    yield made


def begin(at, size=0):
    UsageDay.objects.all().delete()
    Usage.objects.all().delete()
    Usage.objects.create(username=NAME, bytes=size, since=at)


def report(size, name=NAME):
    """What Dovecot 2.3 says, word for word but for the values."""
    messages = size // 1000
    with connections[Usage.objects.all().db].cursor() as cursor:
        cursor.execute(
            # Its values are numbers and a name of ours.
            f"INSERT INTO mailstore_usage (bytes,messages,username) VALUES ({size},{messages},"  # noqa: S608
            f"'{name}') ON CONFLICT (username) DO UPDATE SET bytes={size},messages={messages}"
        )


def integral(steps, start, end):
    """The exact integral of a step function; `steps` are (moment, size from then on)."""
    total = 0
    for (begins, size), (ends, _size) in zip(steps, [*steps[1:], (end, 0)], strict=True):
        total += size * max(0, min(ends, end) - max(begins, start))
    return total


def effective(steps):
    """The steps as the meter takes them: a clock that is set back stands still.

    How late it is the meter learns from reports that change something.
    """
    found = steps[:1]
    for at, size in steps[1:]:
        latest, last_size = found[-1]
        if size != last_size:
            found.append((max(latest, at), size))
    return found


SIZES = st.integers(0, TEN_TERABYTES)
LAPSES = st.integers(-5_000, 4 * DAY_SECONDS) | st.sampled_from(
    [0, 1, DAY_SECONDS, 40 * DAY_SECONDS]
)
STEPS = st.lists(st.tuples(LAPSES, SIZES), min_size=1, max_size=12)


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    offset=st.integers(0, DAY_SECONDS - 1),
    first=SIZES,
    lapses=STEPS,
    first_day=st.integers(-2, 40),
    days=st.integers(0, 60),
)
@example(
    offset=DAY_SECONDS - 1,
    first=TEN_TERABYTES,
    lapses=[(31 * DAY_SECONDS, 0)],
    first_day=0,
    days=32,
)
def test_days_add_up_to_the_integral_of_the_sizes(  # noqa: PLR0917
    counts, offset, first, lapses, first_day, days
):
    counts(examples=1, reports=len(lapses))
    with clock() as now:
        at = MIDNIGHT + offset
        now.set(at)
        begin(at, first)
        steps = [(at, first)]
        for lapse, size in lapses:
            at += lapse
            now.set(at)
            report(size)
            steps.append((at, size))
    day = MIDNIGHT // DAY_SECONDS + first_day

    found = metering.whole_days([NAME], day, day + days)

    expected = integral(effective(steps), day * DAY_SECONDS, (day + days) * DAY_SECONDS)
    assert found.get(NAME, 0) == expected
    assert sum(metering.by_day(NAME, day, day + days).values()) == expected
    spans = UsageDay.objects.order_by("day").values_list("day", "days")
    assert all(a + n <= b for (a, n), (b, _n) in itertools.pairwise(spans))


@settings(max_examples=80, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    first=SIZES,
    lapses=st.lists(
        st.tuples(st.integers(0, 2 * DAY_SECONDS), SIZES, st.booleans()), min_size=1, max_size=14
    ),
)
def test_contracts_that_follow_each_other_share_the_meter_to_the_byte_second(counts, first, lapses):
    counts(examples=1, reports=len(lapses))
    cuts = []
    with clock() as now:
        at = MIDNIGHT + 777
        now.set(at)
        begin(at, first)
        steps = [(at, first)]
        cuts.append((at, metering.marks([NAME], at=at)[NAME]))
        for lapse, size, is_cut in lapses:
            at += lapse
            now.set(at)
            if is_cut:
                cuts.append((at, metering.marks([NAME], at=at)[NAME]))
            report(size)
            steps.append((at, size))
        end = at + 3 * DAY_SECONDS + 5
        now.set(end)
        cuts.append((end, metering.marks([NAME], at=end)[NAME]))
    spans = [
        Span(username=NAME, start=a, end=b, start_mark=mark, end_mark=end_mark)
        for (a, mark), (b, end_mark) in itertools.pairwise(cuts)
    ]

    found = metering.byte_seconds(spans)

    assert found == [integral(steps, span.start, span.end) for span in spans]


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    first=SIZES,
    steps=st.lists(
        st.tuples(
            st.integers(0, 20 * DAY_SECONDS),
            st.one_of(SIZES, st.sampled_from(["switch", "close", "reopen"])),
        ),
        max_size=12,
    ),
    late=st.integers(0, 3 * DAY_SECONDS),
)
@example(first=TEN_TERABYTES, steps=[(40 * DAY_SECONDS, "switch")], late=0)
def test_bills_of_all_months_add_up_to_what_was_used(counts, cast, first, steps, late):
    """Deliveries, deletions, changes of plan and closings, at any time of any day."""
    counts(examples=1, steps=len(steps))
    story = Story(make_mailbox(cast.other_domain, f"m{next(SERIAL)}"), first)
    for lapse, step in steps:
        story.go_on(lapse)
        story.do(step, late=late)
    story.go_on(40 * DAY_SECONDS)

    months = Period.of(START).until(Period.of(metering.moment(story.at)).previous)
    lines = [line for month in months for line in billed(story.mailbox, month)]

    end = Period.of(metering.moment(story.at)).start
    assert sum(line.used_byte_seconds for line in lines) == story.expected(end)
    assert sum(line.seconds for line in lines) == story.sold(end)
    assert all(line.used_byte_seconds >= 0 and line.net_minor >= 0 for line in lines)
    rows = UsageDay.objects.filter(username=story.mailbox.address).order_by("day")
    spans = rows.values_list("day", "days")
    assert all(a + n <= b for (a, n), (b, _n) in itertools.pairwise(spans))


START = datetime(2027, 12, 30, 21, 15, 7, tzinfo=UTC)
SERIAL = itertools.count()


def billed(mailbox, month):
    lines = billing.charges(billing.buyer(mailbox.organisation), period=month)
    return [line for line in lines if line.mailbox_id == mailbox.pk and line.kind == "mailbox"]


class Story:
    """A mailbox over months that have a leap day and a new year in them, beside a plain model."""

    def __init__(self, mailbox, first):
        self.mailbox, self.at = mailbox, metering.seconds(START)
        self.plans = itertools.cycle(["pop", "imap"])
        self.sizes = [(self.at, first)]
        self.contracts = [[self.at, None]]
        with clock() as now:
            now.set(self.at)
            Usage.objects.filter(username=mailbox.address).delete()
            Usage.objects.create(username=mailbox.address, bytes=first, since=self.at)
        Contract.objects.filter(mailbox=mailbox).update(starts_at=START, start_mark=0)
        mark = metering.marks([mailbox.address], at=self.at)[mailbox.address]
        Contract.objects.filter(mailbox=mailbox).update(start_mark=mark)

    def go_on(self, lapse):
        self.at += lapse

    def do(self, step, *, late):
        with clock() as now:
            now.set(self.at)
            if step == "switch":
                self.switch()
            elif step == "close":
                self.close(now, late)
            elif step == "reopen":
                self.reopen()
            else:
                report(step, self.mailbox.address)
                self.sizes.append((self.at, step))

    def switch(self):
        if self.contracts[-1][1] is None:
            switch(self.mailbox, next(self.plans), metering.moment(self.at))
            self.contracts[-1][1] = self.at
            self.contracts.append([self.at, None])

    def close(self, now, late):
        """The contract is ended by the sweep a while later, and a report comes in between."""
        if self.contracts[-1][1] is not None:
            return
        at = metering.moment(self.at)
        provisioning.close(actor=ACTOR, mailbox=self.mailbox, grace=timedelta(9), at=at)
        self.contracts[-1][1] = self.at
        self.at += late
        now.set(self.at)
        report(1234, self.mailbox.address)
        self.sizes.append((self.at, 1234))
        assert ordering.end_contracts() == 1

    def reopen(self):
        if self.contracts[-1][1] is not None:
            at = metering.moment(self.at)
            ordering.reopen(actor=ACTOR, mailbox=self.mailbox, at=at)
            Mailbox.objects.filter(pk=self.mailbox.pk).update(state="active")
            self.contracts.append([self.at, None])

    def expected(self, end):
        return sum(
            integral(self.sizes, begin, min(end, until if until is not None else end))
            for begin, until in self.contracts
            if begin < end
        )

    def sold(self, end):
        return sum(
            max(0, min(end, until if until is not None else end) - begin)
            for begin, until in self.contracts
        )


def test_one_row_a_day_at_most_and_one_for_all_days_that_are_alike():
    with clock() as now:
        now.set(MIDNIGHT)
        begin(MIDNIGHT, 7)
        for lapse, size in ((10, 8), (20, 9), (30 * DAY_SECONDS, 1)):
            now.set(MIDNIGHT + lapse)
            report(size)

    rows = list(UsageDay.objects.order_by("day").values_list("days", "byte_seconds"))
    assert rows == [(1, 10 * 7 + 10 * 8 + (DAY_SECONDS - 20) * 9), (29, 9 * DAY_SECONDS)]


def test_each_day_of_a_gap_is_charged_at_its_lower_end():
    day = MIDNIGHT // DAY_SECONDS
    begin(MIDNIGHT, 10)
    Drift.objects.create(
        username=NAME,
        since=MIDNIGHT + DAY_SECONDS - 100,
        until=MIDNIGHT + DAY_SECONDS + 200,
        noted_bytes=10,
        true_bytes=7,
    )

    days = metering.by_day(NAME, day, day + 3)

    whole = 10 * DAY_SECONDS
    assert list(days.values()) == [whole - 300, whole - 600, whole]
    assert metering.whole_days([NAME], day, day + 3) == {NAME: 3 * whole - 900}


def test_address_that_was_never_reported_used_nothing():
    span = Span(username="nobody@alder.test", start=0, end=MIDNIGHT)

    assert metering.byte_seconds([span]) == [0]
    assert metering.marks(["nobody@alder.test"], at=MIDNIGHT) == {}


def test_new_report_begins_to_count_when_it_is_made():
    with clock() as now:
        now.set(MIDNIGHT + 100)
        Usage.objects.create(username=NAME, bytes=5)

    assert Usage.objects.get(username=NAME).since == MIDNIGHT + 100


def test_the_days_of_others_are_not_read(db):
    """A close asks for ten thousand addresses of a million, a hundred times."""
    names = [f"box{number}@example.test" for number in range(60)]
    Usage.objects.bulk_create(Usage(username=name, bytes=1, since=0) for name in names)
    UsageDay.objects.bulk_create(
        UsageDay(username=name, day=day, byte_seconds=1) for name in names for day in range(3)
    )
    reports = connections[Usage.objects.all().db]
    asked = []

    def remember(execute, sql, params, many, context):
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with reports.execute_wrapper(remember):
        metering.byte_seconds([Span(username=names[7], start=0, end=3 * DAY_SECONDS)])

    query, params = next(each for each in asked if "usageday" in each[0])
    if reports.vendor == "sqlite":
        with reports.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query}", params)
            plan = [line for *_numbers, line in cursor.fetchall()]
        assert [line for line in plan if line.startswith("SCAN d")] == []
    else:
        # Without these ways it would rather gather the days of all.
        without = ["seqscan", "nestloop"]
        assert rows_read(query, params, tables="mailstore_usageday", without=without) == 3
