"""The nightly recount: drift is found, put right and written down; mail on its way is no drift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailstore import recounting, tasks
from mailstore.engine import EngineUnavailable
from mailstore.models import Drift, Mailbox, Recount, Suspicion, Usage
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases="__all__")

NIGHT = datetime(2026, 11, 10, 0, 1, tzinfo=UTC)
SOON = recounting.PATIENCE
LETTER = b"Subject: x\r\n\r\nx\r\n"


@pytest.fixture
def mailbox(cast, twin):
    return opened(cast, twin, "hello")


def opened(cast, twin, name):
    """A mailbox with one message, that was reported rightly a while ago."""
    mailbox = make_mailbox(cast.domain, name)
    twin.know(mailbox.address)
    twin.deliver(recipient=mailbox.address, message=LETTER, sender="a@x.test")
    report(mailbox, twin)
    Usage.objects.filter(username=mailbox.address).update(since=seconds(NIGHT) - 50_000)
    return mailbox


def report(mailbox, twin):
    """What Dovecot writes at a change."""
    [size] = twin.sizes(users=[mailbox.address]).values()
    figures = {"bytes": size.bytes, "messages": size.messages}
    Usage.objects.update_or_create(username=mailbox.address, defaults=figures)


def lost(mailbox, twin):
    """Mail comes, and nothing is reported of it."""
    twin.deliver(recipient=mailbox.address, message=LETTER, sender="a@x.test")


def seconds(at):
    return int(at.timestamp())


def recount(twin, at=NIGHT, chunk=5_000):
    return recounting.recount(engine=twin, at=at, due_at=NIGHT, chunk=chunk)


def whole_recount(twin, at):
    while not recount(twin, at):
        pass


def noted(mailbox):
    return Usage.objects.filter(username=mailbox.address).values_list("bytes", "messages").get()


def test_drift_is_put_right_from_now_on_and_written_down(mailbox, twin):
    lost(mailbox, twin)

    recount(twin)
    assert noted(mailbox) == (len(LETTER), 1)
    recount(twin, NIGHT + SOON)

    assert noted(mailbox) == (2 * len(LETTER), 2)
    drift = Drift.objects.get()
    usage = Usage.objects.get(username=mailbox.address)
    assert (drift.username, drift.noted_bytes, drift.true_bytes) == (mailbox.address, 17, 34)
    assert (drift.since, drift.until) == (seconds(NIGHT) - 50_000, usage.since)
    assert drift.waived_bytes == 0
    assert not Suspicion.objects.exists()


def test_what_was_noted_rightly_is_left_alone(mailbox, twin):
    before = Usage.objects.values().get()

    whole_recount(twin, NIGHT)

    assert Usage.objects.values().get() == before
    assert not Drift.objects.exists()
    assert Recount.objects.get().looked_at == 1


def test_report_that_was_on_its_way_is_no_drift(mailbox, twin):
    lost(mailbox, twin)
    recount(twin)

    report(mailbox, twin)
    recount(twin, NIGHT + SOON)

    assert not Drift.objects.exists()
    assert not Suspicion.objects.exists()


def test_mail_that_comes_between_the_looks_is_given_time(mailbox, twin):
    lost(mailbox, twin)
    recount(twin)
    lost(mailbox, twin)

    recount(twin, NIGHT + SOON)
    assert not Drift.objects.exists()
    recount(twin, NIGHT + 2 * SOON)

    assert Drift.objects.get().true_bytes == 3 * len(LETTER)


def test_report_at_the_very_moment_of_writing_is_not_overwritten(mailbox, twin, monkeypatch):
    lost(mailbox, twin)
    recount(twin)
    suspicion = Suspicion.objects.get()
    lost(mailbox, twin)
    report(mailbox, twin)

    assert recounting._put_right(suspicion) is False

    assert noted(mailbox) == (3 * len(LETTER), 3)
    assert not Drift.objects.exists()


def test_suspicion_waits_while_the_mail_server_does_not_know(mailbox, twin):
    lost(mailbox, twin)
    recount(twin)
    account = twin.accounts.pop(mailbox.address)

    recount(twin, NIGHT + SOON)
    assert Suspicion.objects.get().seen_at == NIGHT + SOON
    twin.accounts[mailbox.address] = account
    recount(twin, NIGHT + 2 * SOON)

    assert Drift.objects.count() == 1


def test_suspicion_of_an_address_that_was_given_up_is_dropped(mailbox, twin):
    lost(mailbox, twin)
    recount(twin)
    twin.accounts.clear()
    Mailbox.objects.update(state=Mailbox.State.CLOSED)

    recount(twin, NIGHT + SOON)

    assert not Suspicion.objects.exists()
    assert not Drift.objects.exists()


def test_mailbox_of_which_nothing_was_ever_reported_gets_a_report(mailbox, twin):
    Usage.objects.all().delete()

    recount(twin)
    recount(twin, NIGHT + SOON)

    assert noted(mailbox) == (len(LETTER), 1)
    drift = Drift.objects.get()
    assert (drift.noted_bytes, drift.since) == (0, drift.until)


def test_first_report_that_comes_before_the_recount_writes_stands(mailbox, twin):
    Usage.objects.all().delete()
    recount(twin)
    suspicion = Suspicion.objects.get()
    Usage.objects.create(username=mailbox.address, bytes=5, messages=1)

    assert recounting._put_right(suspicion) is False
    recount(twin, NIGHT + SOON)

    assert noted(mailbox) == (5, 1)
    assert not Drift.objects.exists()


def test_mailbox_without_a_report_that_gets_mail_is_given_time(mailbox, twin):
    Usage.objects.all().delete()
    recount(twin)
    lost(mailbox, twin)

    recount(twin, NIGHT + SOON)

    assert Suspicion.objects.get().true_bytes == 2 * len(LETTER)
    assert not Usage.objects.exists()


def test_report_that_vanished_is_not_put_right(mailbox, twin):
    lost(mailbox, twin)
    recount(twin)
    Usage.objects.all().delete()
    lost(mailbox, twin)

    recount(twin, NIGHT + SOON)

    assert not Drift.objects.exists()
    assert not Usage.objects.exists()


def test_number_of_messages_alone_is_put_right_without_drift(mailbox, twin):
    Usage.objects.update(messages=7)

    recount(twin)
    recount(twin, NIGHT + SOON)

    assert noted(mailbox) == (len(LETTER), 1)
    assert not Drift.objects.exists()


def test_gap_begins_when_all_was_last_known_to_be_right(mailbox, twin):
    Usage.objects.update(since=seconds(NIGHT) - 90 * 86_400)
    whole_recount(twin, NIGHT - timedelta(days=1))
    lost(mailbox, twin)

    for at in (NIGHT, NIGHT + SOON):
        recount(twin, at)

    assert Drift.objects.get().since == seconds(NIGHT - timedelta(days=1))


def test_recount_without_all_answers_vouches_for_nothing(cast, mailbox, twin):
    silent = opened(cast, twin, "silent")
    account = twin.accounts.pop(silent.address)
    whole_recount(twin, NIGHT - timedelta(days=1))
    twin.accounts[silent.address] = account
    lost(silent, twin)

    for at in (NIGHT, NIGHT + SOON):
        recount(twin, at)

    assert Recount.objects.order_by("pk").first().unanswered == 1
    assert Drift.objects.get().since == seconds(NIGHT) - 50_000


def test_recount_that_was_killed_goes_on_where_it_was(cast, mailbox, twin):
    others = [opened(cast, twin, f"m{number}") for number in range(4)]
    lost(others[3], twin)
    assert recount(twin, chunk=2) is False
    twin.is_down = True
    with pytest.raises(EngineUnavailable):
        recount(twin, chunk=2)
    twin.is_down = False

    while not recount(twin, NIGHT + SOON, chunk=2):
        pass
    recount(twin, NIGHT + 2 * SOON)

    assert Recount.objects.get().looked_at == 5
    assert Drift.objects.get().username == others[3].address


def test_recount_begins_anew_each_night_only(mailbox, twin):
    whole_recount(twin, NIGHT)
    assert recount(twin, NIGHT + timedelta(hours=5)) is True
    assert Recount.objects.count() == 1
    next_night = NIGHT + timedelta(days=1)

    recounting.recount(engine=twin, at=next_night, due_at=next_night)

    assert Recount.objects.count() == 2


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2026, 11, 10, 4, tzinfo=UTC), datetime(2026, 11, 10, 3, tzinfo=UTC)),
        (datetime(2026, 11, 10, 2, tzinfo=UTC), datetime(2026, 11, 9, 3, tzinfo=UTC)),
        (datetime(2028, 3, 1, 1, tzinfo=UTC), datetime(2028, 2, 29, 3, tzinfo=UTC)),
    ],
)
def test_recount_is_due_at_its_hour(now, due):
    assert recounting.due_at(now=now, hour=3) == due


def test_task_recounts(mailbox, twin):
    lost(mailbox, twin)

    assert [tasks.recount() for _ in range(3)] == [False, True, True]

    assert Suspicion.objects.count() == 1
