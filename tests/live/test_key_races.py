"""Keys against a real database, by many at the same moment."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta

import pytest

from accounts import keyring
from accounts.models import ApiKey, Event
from tests.factories import AT, make_cast
from tests.hosting.api.caller import make_key
from tests.live.faults import in_a_process

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

AT_ONCE = 12


def all_at_once(*works):
    """Each in a process of its own; gives how they ended."""
    pids = [in_a_process(work) for work in works]
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def kinds():
    return sorted(Event.objects.filter(subject_kind="api_key").values_list("kind", flat=True))


def test_a_key_that_many_rotate_at_once_gets_one_successor(counts):
    cast = make_cast()
    api_key = make_key(cast.reseller).api_key
    rita = cast.actor(cast.rita)

    def rotate():
        with suppress(keyring.KeyGone):
            keyring.rotate(actor=rita, api_key=api_key, overlap=timedelta(days=1), at=AT)

    endings = all_at_once(*[rotate] * AT_ONCE)

    counts(rotations_at_once=AT_ONCE)
    assert set(endings) == {0}
    assert ApiKey.objects.count() == 2
    assert kinds() == ["api_key.created", "api_key.created", "api_key.rotated"]


def test_a_key_that_many_revoke_at_once_is_revoked_once(counts):
    cast = make_cast()
    api_key = make_key(cast.reseller).api_key
    rita = cast.actor(cast.rita)

    endings = all_at_once(*[lambda: keyring.revoke(actor=rita, api_key=api_key, at=AT)] * AT_ONCE)

    counts(revocations_at_once=AT_ONCE)
    assert set(endings) == {0}
    assert kinds() == ["api_key.created", "api_key.revoked"]


def test_no_key_that_a_thief_makes_outlives_the_one_that_leaked(counts):
    """The thief makes key after key while the owner revokes what there is."""
    cast = make_cast()
    leaked = make_key(cast.reseller).api_key
    thief, rita = keyring.actor_with(leaked), cast.actor(cast.rita)

    def steal():
        holder = thief
        with suppress(keyring.BeyondOwnReach):
            for number in range(20):
                made = keyring.make(
                    actor=holder,
                    organisation=cast.reseller,
                    label=f"Back door {number}",
                    scopes=["mailboxes:read"],
                    at=AT,
                )
                # Each key makes the next one.
                holder = keyring.actor_with(made.api_key)

    def revoke():
        keyring.revoke(actor=rita, api_key=leaked, with_made=True, at=AT)

    endings = all_at_once(*[steal] * 4, revoke, *[steal] * 4)

    counts(keys_made_by_thieves=ApiKey.objects.count() - 1)
    assert set(endings) == {0}
    assert list(ApiKey.objects.working(at=AT)) == []
