"""Mailboxes of which the mail server does not say what is due: seen, and in nobody's way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import Setback
from mailstore import health, sweeping
from mailstore.engine import EngineRefused, EngineUnavailable
from mailstore.models import Mailbox, PurgeRun
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def refusing(twin, monkeypatch):
    """The addresses that the mail server says no to, whoever asks."""
    bad = set()
    alone, together = twin.folder_states, twin.folder_states_each

    def states(*, user, removed=False):
        if user in bad:
            raise EngineRefused(f"The home of {user} cannot be read.")
        return alone(user=user, removed=removed)

    def states_each(*, users, removed=False):
        good = [user for user in users if user not in bad]
        return together(users=good, removed=removed)

    monkeypatch.setattr(twin, "folder_states", states)
    monkeypatch.setattr(twin, "folder_states_each", states_each)
    return bad


def due(cast, twin, name):
    mailbox = make_mailbox(cast.domain, name)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    twin.accounts[mailbox.address].folders["Junk"].append(b"x", at=NOW - 40 * DAY)
    Mailbox.objects.filter(pk=mailbox.pk).update(retention_due_at=NOW - DAY)
    return mailbox


def test_refusal_is_written_down_with_its_reason_until_it_is_over(cast, twin, refusing):
    mailbox = due(cast, twin, "broken")
    refusing.add(mailbox.address)

    assert sweeping.plan_due(engine=twin, at=NOW) == 0
    [setback] = health.refused()
    assert (setback.name, setback.work) == (mailbox.address, health.BY_RULES)
    assert "cannot be read" in setback.failure
    assert health.report(at=NOW).refused == 1

    refusing.clear()
    assert sweeping.plan_due(engine=twin, at=NOW) == 0  # It waits for its next try.
    assert sweeping.plan_due(engine=twin, at=NOW + timedelta(minutes=2)) == 1
    assert PurgeRun.objects.get().mailbox == mailbox
    assert not Setback.objects.exists()


def test_those_that_refuse_hold_up_nobody(cast, twin, refusing):
    refusing.update(due(cast, twin, f"broken{number}").address for number in range(3))
    good = due(cast, twin, "good")
    Mailbox.objects.filter(pk=good.pk).update(retention_due_at=NOW)

    turns = [
        sweeping.plan_due(engine=twin, at=NOW + timedelta(seconds=second), limit=3)
        for second in (0, 30)
    ]

    assert turns == [0, 1]
    assert PurgeRun.objects.get().mailbox == good
    assert health.report(at=NOW).refused == 3


def test_dead_server_is_nobodys_setback(cast, twin):
    due(cast, twin, "hello")
    twin.is_down = True

    with pytest.raises(EngineUnavailable):
        sweeping.plan_due(engine=twin, at=NOW)
    assert not Setback.objects.exists()
