"""However often a mailbox changes its plan, its contracts add up to what the meter saw."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hosting import billing, metering, ordering
from hosting.models import Contract, InvoiceLine, Plan
from hosting.periods import Period
from mailstore.models import Usage, UsageDay
from tests.factories import make_mailbox
from tests.hosting.test_metering import MIDNIGHT, clock, effective, integral

pytestmark = pytest.mark.django_db(databases="__all__")

START = MIDNIGHT + 777
SIZES = st.integers(0, 10**13)
# Seven days at most, so that all of it lies in one month; a clock may be set back a little.
STEPS = st.lists(st.tuples(st.integers(-5, 43_000), SIZES, st.booleans()), max_size=14)


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(first=5, steps=[(0, 7, True), (0, 9, True), (0, 1, True)])
@example(first=0, steps=[(0, 1, False), (1, 1, False), (-1, 0, False), (1, 0, False)])
@example(first=5, steps=[(86_400 - 778, 7, True), (2, 9, False), (-3, 1, True)])
@given(first=SIZES, steps=STEPS)
def test_byte_seconds_and_seconds_of_all_contracts_are_the_whole(mailbox, first, steps):
    contract = _begin(mailbox, first)
    plans = [Plan.objects.get(slug=slug) for slug in ("pop", "imap")]
    at = latest = START
    seen = [(START, first)]
    with clock() as now:
        for number, (lapse, size, is_change) in enumerate(steps):
            at += lapse
            latest = max(latest, at)
            now.set(at)
            Usage.objects.update(bytes=size)
            seen.append((at, size))
            if is_change:
                contract = ordering.change_contract(
                    contract, plan=plans[number % 2], at=metering.moment(at)
                )

    buyer = billing.buyer(mailbox.organisation)
    until = metering.moment(latest)
    lines = billing.charges(buyer, period=Period.of(until), until=until)

    whole = [line for line in lines if line.kind == InvoiceLine.Kind.MAILBOX]
    assert sum(line.seconds for line in whole) == latest - START
    assert sum(line.used_byte_seconds for line in whole) == integral(effective(seen), START, latest)


def _begin(mailbox, first):
    """One contract that has just begun, and a meter that has seen nothing before."""
    Contract.objects.all().delete()
    UsageDay.objects.all().delete()
    Usage.objects.all().delete()
    Usage.objects.create(username=mailbox.address, bytes=first, since=START)
    return Contract.objects.create(
        mailbox=mailbox, plan=Plan.objects.get(slug="imap"), starts_at=metering.moment(START)
    )
