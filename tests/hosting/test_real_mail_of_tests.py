"""Mail of a test organisation is real: what is decided about it goes by the real time.

How long a wish waits goes by the test clock, which stands far from it here.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership
from hosting import bulk, clocks, test_clock
from hosting.models import TestClock as Clock
from hosting.models.plans import GIGABYTE
from mailstore import provisioning, quotas, rules
from mailstore.engine import engine
from mailstore.models import Mailbox, PendingChange, PurgeRun
from tests.factories import make_mailbox, make_member
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.api.test_mailboxes import path_of
from tests.hosting.simulated import ACTOR, keeps, make_test_customer, make_test_mailbox
from tests.staffing import act, said, signed_in

pytestmark = pytest.mark.django_db(databases="__all__")
BEHIND, AHEAD = timedelta(days=-60), timedelta(days=60)


@pytest.fixture(params=[BEHIND, AHEAD], ids=["behind", "ahead"])
def trial(cast, request):
    """A test organisation whose clock is behind the real time, or ahead of it."""
    trial = make_test_customer(cast.provider, made=timezone.now() - timedelta(days=90))
    Clock.objects.create(organisation=trial, now=timezone.now() + request.param)
    return trial


@pytest.fixture
def tess(trial):
    return signed_in(make_member("tess@example.test", trial, Membership.Role.OWNER))


@pytest.fixture
def program(trial):
    return Caller(make_key(trial, is_test=True).secret)


@pytest.fixture
def mailbox(trial, twin):
    mailbox = make_test_mailbox(trial)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


def remove(twin, mailbox, subject):
    box = twin.accounts[mailbox.address].folders["INBOX"]
    kept = box.append(f"Subject: {subject}\r\n\r\nx\r\n".encode())
    twin.remove(user=mailbox.address, folder="INBOX", uids=[kept.uid])
    return twin.accounts[mailbox.address].store["INBOX"].kept[-1]


def is_now(moment):
    return moment is not None and abs(moment - timezone.now()) < timedelta(minutes=5)


def until_made(trial):
    """The clock goes on for as long as a wish cools off."""
    advanced(trial, seconds=int(settings.COOLING_OFF.total_seconds()))


def advanced(trial, *, seconds):
    asked = test_clock.advance(actor=ACTOR, organisation=trial, seconds=seconds, at=timezone.now())
    assert test_clock.run(advance_id=asked.pk, engine=engine(), now=timezone.now)


# Removed mail that is destroyed -------------------------------------------------------------


def by_page(tess, _program, mailbox):
    path = reverse("mailboxes:empty_store", args=[mailbox.uuid])
    assert tess.post(path, {"address": mailbox.address}).status_code == 302


def by_api(_tess, program, mailbox):
    path = f"{path_of(mailbox)}/recoverable/empty"
    answer = program.post(path, {"address": mailbox.address}, if_match="*")
    assert answer.status_code == 202, answer.content


@pytest.mark.parametrize("door", [by_page, by_api])
def test_what_was_removed_until_it_was_asked_for_is_destroyed(  # noqa: PLR0917
    door, trial, tess, program, mailbox, twin
):
    old = remove(twin, mailbox, "old")
    object.__setattr__(old, "saved_at", timezone.now() - timedelta(minutes=1))
    begins = clocks.now_for(trial) + settings.COOLING_OFF

    door(tess, program, mailbox)

    new = remove(twin, mailbox, "new")
    object.__setattr__(new, "saved_at", timezone.now() + timedelta(minutes=1))
    assert PendingChange.objects.get().effective_at == begins
    until_made(trial)
    assert PendingChange.objects.get().state == PendingChange.State.MADE
    run = PurgeRun.objects.get()
    assert [item[0] for batch in run.batches.all() for item in batch.items] == [old.uid]
    assert abs(run.planned_at - timezone.now()) < timedelta(minutes=5)


# Limits -------------------------------------------------------------------------------------


def lowered_by_page(tess, _program, mailbox):
    path = reverse("mailboxes:change_quota", args=[mailbox.uuid])
    assert tess.post(path, {"gigabytes": "1"}).status_code == 302


def lowered_by_api(_tess, program, mailbox):
    answer = program.patch(path_of(mailbox), {"quota_bytes": GIGABYTE})
    assert answer.status_code == 200, answer.content


@pytest.mark.parametrize("door", [lowered_by_page, lowered_by_api])
def test_mailbox_above_a_lower_limit_is_full_from_now_on(door, tess, program, mailbox):
    keeps(mailbox, 2 * GIGABYTE)

    door(tess, program, mailbox)

    mailbox.refresh_from_db()
    assert is_now(mailbox.full_since)
    assert quotas.end_grace(grace=timedelta(days=7), at=timezone.now()) == 0
    assert quotas.end_grace(grace=timedelta(days=7), at=timezone.now() + timedelta(days=8)) == 1


# Rules --------------------------------------------------------------------------------------

RULE = {"folder": "INBOX", "counted_from": "arrival", "days": 40}


def ruled_by_page(tess, _program, mailbox):
    path = reverse("mailboxes:set_rule", args=[mailbox.uuid])
    return "This would remove all" in tess.post(path, RULE).content.decode()


def ruled_by_api(_tess, program, mailbox):
    target = {"mailbox_id": path_of(mailbox).rpartition("/")[2]}
    answer = program.post("/retention-policies", {**target, "rule": RULE})
    return "This would remove all" in answer.content.decode()


@pytest.mark.parametrize("door", [ruled_by_page, ruled_by_api])
@pytest.mark.parametrize(("age", "is_refused"), [(50, True), (5, False)])
def test_rule_is_weighed_by_how_old_mail_really_is(  # noqa: PLR0917
    age, is_refused, door, tess, program, mailbox, twin
):
    box = twin.accounts[mailbox.address].folders["INBOX"]
    box.append(b"Subject: Kept\r\n\r\nx\r\n", at=timezone.now() - timedelta(days=age))

    assert door(tess, program, mailbox) == is_refused
    assert PendingChange.objects.exists() is not is_refused


def test_rule_that_cooled_off_is_weighed_by_how_old_mail_really_is(trial, tess, mailbox, twin):
    box = twin.accounts[mailbox.address].folders["INBOX"]
    kept = box.append(b"Subject: Kept\r\n\r\nx\r\n", at=timezone.now())
    assert not ruled_by_page(tess, None, mailbox)
    object.__setattr__(kept, "saved_at", timezone.now() - timedelta(days=50))

    until_made(trial)

    assert PendingChange.objects.get().state == PendingChange.State.FAILED
    assert rules.own_rules(mailbox) == []


def test_what_a_rule_would_do_is_counted_from_the_real_time(program, mailbox, twin):
    box = twin.accounts[mailbox.address].folders["INBOX"]
    kept = box.append(b"Subject: Kept\r\n\r\nx\r\n", at=timezone.now())
    target = {"mailbox_id": path_of(mailbox).rpartition("/")[2]}
    tried = {**target, "rule": RULE}

    going = [
        program.post("/retention-policies/preview", {**tried, "horizon_days": days}).json()["going"]
        for days in (39, 41)
    ]
    fate = program.get(f"{path_of(mailbox)}/retention/message?folder=INBOX&uid={kept.uid}")

    assert [each["message_count"] for each in going] == [0, 1]
    assert fate.status_code == 200


# Sessions -----------------------------------------------------------------------------------


def suspended_by_page(tess, _program, mailbox):
    tess.post(reverse("mailboxes:suspend", args=[mailbox.uuid]))


def suspended_by_api(_tess, program, mailbox):
    assert program.post(f"{path_of(mailbox)}/suspend").status_code == 200


def password_by_page(tess, _program, mailbox):
    password = {"password": "four plain words here"}
    tess.post(reverse("mailboxes:set_password", args=[mailbox.uuid]), password)


def ended_by_api(_tess, program, mailbox):
    assert program.post(f"{path_of(mailbox)}/end-sessions").status_code == 200


def revoked_by_api(_tess, program, mailbox):
    path = f"{path_of(mailbox)}/app-passwords"
    made = program.post(path, {"label": "Phone"}).json()
    assert program.delete(f"{path}/{made['id']}", if_match="*").status_code == 200


def switched_by_api(_tess, program, mailbox):
    answer = program.post(f"{path_of(mailbox)}/change-plan", {"plan": "pop"}, if_match="*")
    assert answer.status_code == 200, answer.content


def closed_after_its_wait(tess, _program, mailbox):
    path = reverse("mailboxes:close", args=[mailbox.uuid])
    tess.post(path, {"address": mailbox.address})
    until_made(mailbox.organisation)


def closed_with_all(tess, _program, mailbox):
    path = reverse("organisations:close", args=[mailbox.organisation.uuid])
    tess.post(path, {"name": mailbox.organisation.name})
    until_made(mailbox.organisation)


SESSIONS_ENDED_BY = [
    suspended_by_page,
    suspended_by_api,
    password_by_page,
    ended_by_api,
    revoked_by_api,
    switched_by_api,
    closed_after_its_wait,
    closed_with_all,
]


@pytest.mark.parametrize("door", SESSIONS_ENDED_BY)
def test_sessions_end_for_latecomers_too(door, tess, program, mailbox, twin):
    door(tess, program, mailbox)

    mailbox.refresh_from_db()
    assert is_now(mailbox.sessions_end_asked_at)
    asked_at = mailbox.sessions_end_asked_at
    provisioning.end_sessions(mailbox=mailbox, engine=twin, at=asked_at + timedelta(seconds=1))
    mailbox.refresh_from_db()
    assert mailbox.sessions_end_asked_at == asked_at


# What staff do ------------------------------------------------------------------------------


def test_change_that_staff_let_through_is_due_at_the_clock_of_the_test(trial, tess, mailbox, staff):
    tess.post(reverse("mailboxes:close", args=[mailbox.uuid]), {"address": mailbox.address})
    change = PendingChange.objects.get()
    path = reverse("admin:mailstore_pendingchange_changelist")

    answer = act(staff, "shorten", change, path=path, reason="Asked for", confirmed="1")

    assert said(answer) == ["Changes that take effect now: 1."]
    change.refresh_from_db()
    assert change.effective_at == clocks.now_for(trial)
    advanced(trial, seconds=1)
    mailbox.refresh_from_db()
    assert mailbox.state == Mailbox.State.CLOSING


def test_change_that_staff_call_off_ends_at_the_clock_of_the_test(trial, tess, mailbox, staff):
    tess.post(reverse("mailboxes:close", args=[mailbox.uuid]), {"address": mailbox.address})
    change = PendingChange.objects.get()
    path = reverse("admin:mailstore_pendingchange_changelist")

    act(staff, "call_off", change, path=path, confirmed="1")

    change.refresh_from_db()
    assert change.ended_at == clocks.now_for(trial)


def test_closing_of_many_is_foreseen_for_the_clock_of_each(cast, trial, mailbox):
    live = make_mailbox(cast.domain)
    at = timezone.now()
    deed = bulk.DEEDS["close_mailboxes"]
    chosen = [(each.pk, each.address) for each in (mailbox, live)]
    asked = bulk.draft(actor=cast.actor(cast.sam), deed=deed, chosen=chosen, at=at)

    foreseen = deed.foresee(asked, at)

    begins = [moment + settings.COOLING_OFF for moment in (clocks.now_for(trial), at)]
    assert [line.note for line in foreseen.lines] == [
        f"It is closed on {begins[0]:%Y-%m-%d %H:%M} UTC by the clock of its test organisation.",
        "It is closed after the wait.",
    ]
    assert f"On {begins[1]:%Y-%m-%d %H:%M} UTC" in foreseen.sentences[0]
    assert "by their own clocks" in foreseen.sentences[1]
