"""Dunning against a real database: everybody at once, and killed at every place."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta

import pytest

from accounts import outbox
from accounts.models import Notice, Organisation
from hosting import changing, dunning, ledger
from hosting.dunning import sweeping, telling
from hosting.models import Dunning, DunningStep, Plan
from mailstore import provisioning, standing
from mailstore.models import Restriction
from tests.factories import make_cast, make_mailbox
from tests.hosting.billing_rows import ACTOR
from tests.hosting.dunning_rows import bill, noon, post
from tests.hosting.ledger_rows import paid
from tests.live.faults import Place, die, in_a_process, killed

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

WORKERS = 8
DEBTORS = 12
TURNS = 40
WAIT = timedelta(hours=72)
PLACES = [
    Place(name="before the lock", owner=sweeping, function="lock_customer", is_before=True),
    Place(name="after the lock", owner=sweeping, function="lock_customer", call=2),
    Place(name="before the row", owner=sweeping, function="_write_down", is_before=True),
    Place(name="after the row", owner=sweeping, function="_write_down", call=3),
    Place(name="before the switches", owner=standing, function="impose", is_before=True),
    Place(name="after the switches", owner=standing, function="impose", call=2),
    Place(name="after the letter", owner=telling, function="write"),
    Place(name="before the event", owner=outbox, function="record", is_before=True, call=4),
    Place(name="after a customer", owner=sweeping, function="work_off", call=5),
]


@pytest.fixture
def debtors():
    cast = make_cast()
    made = [
        Organisation.objects.create(kind="customer", name=f"D{n}", parent=cast.provider)
        for n in range(DEBTORS)
    ]
    for number, debtor in enumerate(made):
        debtor.memberships.create(user=cast.charlie, role="owner")
        bill(debtor, 1000 + number)
    return made


def ended(works):
    pids = [in_a_process(work) for work in works]
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def assert_each_once(day):
    """One step, one letter and one state for every debtor, whatever happened to the workers."""
    steps = DunningStep.objects.filter(kind="take", day=day)
    assert Counter(steps.values_list("dunning__customer", flat=True)) == dict.fromkeys(
        Organisation.objects.filter(name__startswith="D").values_list("pk", flat=True), 1
    )
    letters = Counter(Notice.objects.values_list("about", flat=True))
    assert set(letters.values()) == {1}
    assert len(letters) == DunningStep.objects.count()
    for run in Dunning.objects.select_related("customer"):
        assert run.letters == run.version == run.steps.count()


@pytest.mark.parametrize("day", [0, 3, 14])
def test_eight_at_once_take_each_step_once(debtors, day, counts):
    for earlier in range(day):
        dunning.sweep(at=noon(earlier))
        post(noon(earlier))

    codes = ended([lambda: dunning.sweep(at=noon(day))] * WORKERS)

    assert codes == [0] * WORKERS
    assert_each_once(day)
    counts(sweeps_at_once=WORKERS, debtors=DEBTORS)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_killed_anywhere_each_step_and_letter_comes_once(debtors, place, counts):
    for earlier in range(14):
        dunning.sweep(at=noon(earlier))
        post(noon(earlier))

    with place.reached(die):
        pid = in_a_process(lambda: dunning.sweep(at=noon(14)))
        was_killed = killed(pid)
    dunning.sweep(at=noon(14))

    assert was_killed
    assert_each_once(14)
    assert set(Organisation.objects.filter(name__startswith="D").values_list("sending")) == {
        ("limited",)
    }
    counts(kills=1)


def test_paying_while_eight_sweep_leaves_nobody_stopped(debtors, counts):
    for day in range(21):
        dunning.sweep(at=noon(day))
        post(noon(day))

    def pay(debtor):
        paid(5000, customer=debtor)
        ledger.settle(customer=debtor, at=noon(21))
        dunning.work_off(debtor, at=noon(21))

    works = [lambda debtor=debtor: pay(debtor) for debtor in debtors]
    codes = ended([*works, *[lambda: dunning.sweep(at=noon(21))] * WORKERS])

    assert codes == [0] * (DEBTORS + WORKERS)
    assert not Restriction.objects.standing().exists()
    assert not Dunning.objects.open().exists()
    assert {o.state for o in Organisation.objects.all()} == {"active"}
    counts(payments=DEBTORS, sweeps_at_once=WORKERS)


def test_staff_and_sweeps_at_once_agree(debtors):
    for day in range(14):
        dunning.sweep(at=noon(day))
        post(noon(day))
    runs = list(Dunning.objects.select_related("customer__parent"))

    def pause(run):
        dunning.pause(actor=ACTOR, run=run, reason="Disputed", at=noon(14))

    codes = ended(
        [
            *[lambda run=run: pause(run) for run in runs],
            *[lambda: dunning.sweep(at=noon(14))] * WORKERS,
        ]
    )
    dunning.sweep(at=noon(14))

    assert codes == [0] * (DEBTORS + WORKERS)
    for run in Dunning.objects.select_related("customer"):
        assert run.paused_at == noon(14)
        assert (run.day == 14) == (run.customer.sending == "limited")


def test_stopping_an_organisation_and_work_on_its_mailboxes_never_wait_for_each_other():
    cast = make_cast()
    mailboxes = [make_mailbox(cast.other_domain, f"m{number}") for number in range(4)]

    def stop_and_free():
        for number in range(TURNS):
            standing.impose(
                actor=ACTOR,
                organisation=cast.other_customer,
                cause=Restriction.Cause.DEBT,
                state=Restriction.State.PAST_DUE,
                stops={"sign_in": ("read_only", "shut")[number % 2]},
                reason="Not paid.",
                at=noon(0),
            )

    def suspend_and_resume():
        for number in range(TURNS):
            mailbox = mailboxes[number % len(mailboxes)]
            provisioning.suspend(actor=ACTOR, mailbox=mailbox, at=noon(0))
            provisioning.resume(actor=ACTOR, mailbox=mailbox, at=noon(0))

    def change_plans():
        for number in range(TURNS):
            mailbox = mailboxes[number % len(mailboxes)]
            plan = changing.running(mailbox).plan
            other = Plan.objects.on_sale().exclude(pk=plan.pk).first()
            changing.change(actor=ACTOR, mailbox=mailbox, plan=other, wait=WAIT, at=noon(number))

    assert ended([stop_and_free, suspend_and_resume, change_plans]) == [0, 0, 0]
