"""Second factors against a real database, by many at the same moment."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta

import pytest

from accounts import lost_links, membership, sealing
from accounts.models import Authenticator, Event, FactorLoss, RecoveryCode, RecoveryCodes, User
from accounts.second_factor import authenticators, devices, losing, recovery_codes
from tests.factories import AT, make_cast
from tests.live.faults import in_a_process
from tests.staffing import SECRET

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

AT_ONCE = 8
WON = 7


def won_by(*works):
    """Each in a process of its own; gives how many of them said that they were let through."""

    def run(work):
        def inside():
            if work():
                os._exit(WON)

        return inside

    pids = [in_a_process(run(work)) for work in works]
    endings = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert set(endings) <= {0, WON}
    return endings.count(WON)


def test_one_code_that_many_show_at_once_lets_one_of_them_in(counts):
    alice = make_cast().alice
    device = authenticators.give(alice, secret=SECRET)
    code = authenticators.code_at(SECRET, at=AT)

    winners = won_by(*[lambda: authenticators.spend(device, code=code, at=AT)] * AT_ONCE)

    counts(shown_at_once=AT_ONCE)
    assert winners == 1


def test_one_code_on_paper_lets_one_of_many_in(counts):
    alice = make_cast().alice
    _codes, told = recovery_codes.make(alice, at=AT)

    winners = won_by(*[lambda: recovery_codes.spend(alice, code=told[0], at=AT)] * AT_ONCE)

    counts(shown_at_once=AT_ONCE)
    assert winners == 1
    assert RecoveryCode.objects.filter(used_at__isnull=True).count() == 9


def test_many_sets_made_at_once_leave_one_whole_set(counts):
    alice = make_cast().alice

    won_by(*[lambda: recovery_codes.make(alice, at=AT)] * AT_ONCE)

    counts(made_at_once=AT_ONCE)
    assert RecoveryCodes.objects.count() == 1
    assert RecoveryCode.objects.count() == 10


def test_one_enrolment_that_is_sent_many_times_adds_one_device(counts):
    alice = make_cast().alice
    device = authenticators.to_enrol(alice)
    code = authenticators.code_at(_secret_of(device), at=AT)
    actor = membership.actor_for(alice)

    winners = won_by(
        *[
            lambda: devices.confirm(
                actor=actor, user=alice, device=device, name="Phone", code=code, at=AT
            )
        ]
        * AT_ONCE
    )

    counts(sent_at_once=AT_ONCE)
    assert winners == 1
    assert Event.objects.filter(kind="second_factor.added").count() == 1


def _secret_of(device):
    return sealing.open_sealed(device.sealed_secret)


def test_the_last_device_of_whoever_must_have_one_stays_however_many_remove_them(counts):
    rita = make_cast().rita
    for _ in range(4):
        authenticators.give(rita, secret=SECRET)
    actor = membership.actor_for(rita)

    def remove(pk):
        def work():
            with suppress(devices.LastDevice):
                return devices.remove(actor=actor, user=rita, kind="app", pk=pk, at=AT)

        return work

    keys = list(Authenticator.objects.values_list("pk", flat=True))
    winners = won_by(*map(remove, keys))

    counts(removed_at_once=4)
    assert winners == 3
    assert Authenticator.objects.count() == 1


def test_a_wait_begins_once_and_is_carried_out_or_called_off_but_not_both(counts):
    alice = make_cast().alice
    authenticators.give(alice, secret=SECRET)
    token = lost_links.asking_token(alice)

    def ask():
        with suppress(losing.WaitsAlready, lost_links.NotValid):
            return losing.ask(token=token, address="", at=AT)

    begun = won_by(*[ask] * AT_ONCE)
    loss = FactorLoss.objects.get()
    due = AT + timedelta(days=3)

    def call_off():
        with suppress(losing.Over):
            return losing.call_off(loss=loss, actor=membership.actor_for(alice), at=due)

    ended = won_by(*[call_off, lambda: losing.finish_due(at=due)] * (AT_ONCE // 2))

    counts(asked_at_once=AT_ONCE, ended_at_once=AT_ONCE)
    assert (begun, ended) == (1, 1)
    loss.refresh_from_db()
    assert Authenticator.objects.exists() is (loss.state == "called_off")
    assert User.objects.filter(pk=alice.pk).exists()
