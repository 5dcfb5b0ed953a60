"""Money against a real database: everybody at once, and killed anywhere."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.models import Sum

from hosting import billing, changing, invoicing, limits, ordering, papers, storing
from hosting.invoicing import closing, corrections
from hosting.models import (
    Contract,
    Invoice,
    InvoiceCounter,
    InvoiceLine,
    Limits,
    Plan,
    PlanChange,
    Price,
    PriceList,
)
from mailstore.models import Mailbox, Usage
from tests.factories import make_cast, make_domain
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    GIGABYTE,
    OCTOBER,
    make_profile,
    moment,
    sold,
    used,
)
from tests.live.faults import Place, in_a_process, kill_at, killed

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

AT_ONCE = 50
CUSTOMERS = 120


def all_ended(pids):
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


@pytest.mark.parametrize("on_reseller", [False, True])
def test_orders_at_once_make_exactly_the_allowed_number(on_reseller, counts):
    cast = make_cast()
    other = make_domain("second.test", cast.customer)
    allowed = 7
    owner = cast.reseller if on_reseller else cast.customer
    Limits.objects.create(organisation=owner, mailboxes=allowed)
    imap = Plan.objects.get(slug="imap")

    def order(number):
        with suppress(limits.LimitReached):
            ordering.order(
                actor=ACTOR,
                domain=(cast.domain, other)[number % 2],
                local_part=f"m{number}",
                plan=imap,
                at=moment(16),
            )

    pids = [in_a_process(lambda number=number: order(number)) for number in range(AT_ONCE)]

    assert all_ended(pids) == [0] * AT_ONCE
    assert Mailbox.objects.count() == Contract.objects.count() == allowed
    counts(orders=AT_ONCE, opened=allowed)


def change(mailbox, plan):
    with suppress(limits.LimitReached):
        changing.change(
            actor=ACTOR, mailbox=mailbox, plan=plan, wait=timedelta(hours=72), at=moment(16)
        )


def plan_at(monthly_price, *, slug, ceiling):
    """A plan of the house with a price for everybody."""
    plan = Plan.objects.create(
        slug=slug,
        name=slug.title(),
        protocol="imap",
        quota_bytes=GIGABYTE,
        ceiling_bytes=ceiling,
        window_days=30,
    )
    for price_list in PriceList.objects.all():
        Price.objects.create(
            price_list=price_list,
            plan=plan,
            starts_on=moment(1).date(),
            monthly_price=Decimal(monthly_price),
        )
    return plan


@pytest.mark.parametrize("on_reseller", [False, True])
def test_changes_at_once_stay_within_the_spend_cap(on_reseller, counts):
    cast = make_cast()
    small = plan_at("1.00", slug="small", ceiling=GIGABYTE)
    large = plan_at("4.00", slug="large", ceiling=9 * GIGABYTE)
    orders = [
        ordering.order(
            actor=ACTOR, domain=cast.domain, local_part=f"m{n}", plan=small, at=moment(2)
        )
        for n in range(AT_ONCE)
    ]
    allowed = 9
    owner = cast.reseller if on_reseller else cast.customer
    # All of them at 1.00, and nine at 3.00 more: the tenth is a cent too much.
    cap_minor = 100 * AT_ONCE + 300 * allowed + 299
    Limits.objects.create(organisation=owner, spend_cap_minor=cap_minor)

    pids = [in_a_process(lambda mailbox=m: change(mailbox, large)) for m in orders]

    assert all_ended(pids) == [0] * AT_ONCE
    running = Contract.objects.filter(ends_at=None)
    assert running.filter(plan=large).count() == PlanChange.objects.count() == allowed
    assert running.count() == AT_ONCE
    counts(changes=AT_ONCE, made=allowed)


def test_orders_and_changes_at_once_stay_within_the_spend_cap(counts):
    cast = make_cast()
    small = plan_at("1.00", slug="small", ceiling=GIGABYTE)
    large = plan_at("3.00", slug="large", ceiling=9 * GIGABYTE)
    old = [
        ordering.order(
            actor=ACTOR, domain=cast.domain, local_part=f"m{n}", plan=small, at=moment(2)
        )
        for n in range(AT_ONCE // 2)
    ]
    Limits.objects.create(organisation=cast.customer, spend_cap_minor=100 * len(old) + 1300)

    def order(number):
        with suppress(limits.LimitReached):
            ordering.order(
                actor=ACTOR,
                domain=cast.domain,
                local_part=f"n{number}",
                plan=large,
                at=moment(16),
            )

    pids = [in_a_process(lambda mailbox=m: change(mailbox, large)) for m in old]
    pids += [in_a_process(lambda number=n: order(number)) for n in range(AT_ONCE // 2)]

    assert all_ended(pids) == [0] * AT_ONCE
    opened = Mailbox.objects.count() - len(old)
    changed = PlanChange.objects.count()
    # What is left is too little for one more change, which is the cheaper of the two.
    assert 1300 - 200 < 300 * opened + 200 * changed <= 1300
    counts(at_once=AT_ONCE, opened=opened, changed=changed)


@pytest.mark.parametrize(("stored", "allowed"), [(GIGABYTE, 0), (GIGABYTE - 1, AT_ONCE)])
def test_space_by_use_lets_all_in_until_it_is_full(stored, allowed, counts):
    cast = make_cast()
    small = plan_at("1.00", slug="small", ceiling=GIGABYTE)
    large = plan_at("4.00", slug="large", ceiling=9 * GIGABYTE)
    mailboxes = [
        ordering.order(
            actor=ACTOR, domain=cast.domain, local_part=f"m{n}", plan=small, at=moment(2)
        )
        for n in range(AT_ONCE)
    ]
    Usage.objects.create(username=mailboxes[0].address, bytes=stored)
    Limits.objects.create(organisation=cast.reseller, stored_bytes=GIGABYTE)

    pids = [in_a_process(lambda mailbox=m: change(mailbox, large)) for m in mailboxes]

    assert all_ended(pids) == [0] * AT_ONCE
    assert PlanChange.objects.count() == allowed
    counts(changes=AT_ONCE, made=allowed)


@pytest.fixture
def month():
    """Many customers of the house and of a reseller, with what they used in October."""
    cast = make_cast()
    make_profile(cast.provider)
    make_profile(cast.reseller)
    parents = (cast.provider, cast.reseller)
    for number in range(CUSTOMERS):
        owner = type(cast.customer).objects.create(
            kind="customer", name=f"C{number}", parent=parents[number % 2]
        )
        mailbox = sold(make_domain(f"c{number}.test", owner), "a")
        used(mailbox, (moment(1), number * GIGABYTE))
    return cast


def close():
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)


def assert_each_was_billed_once(cast):
    """One bill each, no gap in any seller's numbers, and every bill adds up."""
    # The reseller has a bill of its own for what its customers used.
    assert Invoice.objects.count() == CUSTOMERS + 1
    for seller in (None, cast.reseller):
        counter = InvoiceCounter.objects.get(seller=seller)
        numbers = Invoice.objects.filter(seller=seller).values_list("number", flat=True)
        assert sorted(int(number.rpartition("-")[2]) for number in numbers) == list(
            range(1, counter.next_number)
        )
    nets = dict(InvoiceLine.objects.values_list("invoice").annotate(Sum("net_minor")).order_by())
    assert nets == dict(Invoice.objects.values_list("pk", "net_minor"))
    assert [n for invoice in Invoice.objects.all() for n in invoicing.verify(invoice)] == []


def test_month_closed_eight_times_at_once_has_one_bill_each(month, counts):
    pids = [in_a_process(close) for _ in range(8)]

    assert all_ended(pids) == [0] * 8
    assert_each_was_billed_once(month)
    counts(bills=Invoice.objects.count(), closes_at_once=8)


def print_what_is_there():
    """Each paper that can be had while the close is killed around it."""
    related = ("customer", "corrects", "logo")
    for bill in Invoice.objects.select_related(*related).order_by("-pk")[:2]:
        assert papers.pdf(bill, papers.paper(bill)).startswith(b"%PDF-")


# The third piece, with two whole ones before it; each write has a place on either side.
PLACES = [
    Place(
        name="before the lines are computed",
        owner=billing,
        function="charges_of",
        is_before=True,
        call=3,
    ),
    Place(name="after the lines are computed", owner=billing, function="charges_of", call=3),
    Place(name="after corrections", owner=corrections, function="late", call=3),
    Place(
        name="before the counter is locked",
        owner=closing,
        function="lock_counter",
        is_before=True,
        call=3,
    ),
    Place(name="with the counter locked", owner=closing, function="lock_counter", call=3),
    Place(name="with numbers taken", owner=storing, function="number", call=3),
    # A piece stores its invoices, their taxes, what stands open of them, and its events.
    Place(name="with the invoices written", owner=storing, function="store", call=9),
    Place(name="with their taxes written", owner=storing, function="store", call=10),
    Place(name="with the lines written", owner=storing, function="store_values", call=3),
    Place(name="with what stands open written", owner=storing, function="store", call=11),
    Place(name="with the events written", owner=storing, function="store", call=12),
    Place(name="before the commit", owner=closing, function="write", call=3),
    Place(name="after the commit", owner=closing, function="_write", call=3),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_close_that_is_killed_at_a_named_place_goes_on(month, monkeypatch, place, counts):
    monkeypatch.setattr(closing, "CHUNK", 20)
    kill_at(place, close)
    assert Invoice.objects.count() < CUSTOMERS + 1

    pids = [in_a_process(close) for _ in range(2)]

    assert all_ended(pids) == [0, 0]
    assert_each_was_billed_once(month)
    counts(kills=1)


def test_close_that_is_killed_anywhere_leaves_no_gap(month, monkeypatch, counts):
    # Many small pieces have many places to be killed at.
    monkeypatch.setattr(closing, "CHUNK", 5)
    chance = random.Random(4)
    kills = printed = 0
    for turn in range(200):
        pids = [in_a_process(close) for _ in range(2)]
        # Longer by and by, or a busy machine would never come to the end.
        time.sleep(chance.uniform(0.02, 0.2) * (1 + turn / 20))
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended = [killed(pid) for pid in pids]
        kills += sum(ended)
        if printed < 5:
            print_what_is_there()
            printed += 1
        if not any(ended):
            break

    assert kills > 1
    assert_each_was_billed_once(month)
    counts(kills=kills, turns_with_a_pdf=printed)
