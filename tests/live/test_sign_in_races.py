"""Links and sessions against a real database, used by many at the same moment."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import UpdateError
from django.utils import timezone

from accounts import address_changes, confirming, links, new_browsers, passwords, sessions
from accounts.models import (
    AddressChange,
    Event,
    KnownBrowser,
    Notice,
    OpenSession,
    ResetRequest,
    User,
)
from accounts.session_store import SessionStore
from tests.factories import AT, make_cast
from tests.live.faults import in_a_process

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

AT_ONCE = 8
HOME = "192.0.2.7"


def all_at_once(*works):
    """Each in a process of its own; gives how they ended."""
    pids = [in_a_process(work) for work in works]
    return {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids}


def facts(kind):
    return Event.objects.filter(kind=kind).count()


def test_link_that_many_use_at_once_sets_one_password(counts):
    alice = make_cast().alice
    token = links.to_reset(alice)

    def use(number):
        with suppress(links.NotValid):
            passwords.reset(
                token=token, password=f"plain words number {number}", address=HOME, at=AT
            )

    endings = all_at_once(*[lambda n=number: use(n) for number in range(AT_ONCE)])

    counts(resets_at_once=AT_ONCE)
    alice.refresh_from_db()
    right = [n for n in range(AT_ONCE) if alice.check_password(f"plain words number {n}")]
    assert endings == {0}
    assert len(right) == 1
    assert facts("user.password_changed") == 1
    assert Notice.objects.filter(name="password_changed").count() == 1


def test_address_that_is_confirmed_and_taken_back_at_once_ends_at_one_of_both(counts):
    alice = make_cast().alice
    change = address_changes.ask(user=alice, email="alice@new.test", at=timezone.now())
    yes, no = links.to_change(change), links.to_take_back(change)

    def confirm():
        with suppress(links.NotValid):
            address_changes.confirm(token=yes, at=timezone.now())

    def take_back():
        with suppress(links.NotValid):
            address_changes.take_back(token=no, at=timezone.now())

    endings = all_at_once(*[confirm, take_back] * (AT_ONCE // 2))

    counts(answers_at_once=AT_ONCE)
    change.refresh_from_db()
    assert endings == {0}
    # Whoever takes it back comes last or alone: before the change, or after it.
    assert change.state == AddressChange.State.TAKEN_BACK
    assert User.objects.get(pk=alice.pk).email == "alice@example.test"
    assert facts("user.address_change_taken_back") == 1
    assert facts("user.address_changed") <= 1


def test_two_people_who_want_one_address_at_once_do_not_both_get_it(counts):
    cast = make_cast()
    tokens = [
        links.to_change(address_changes.ask(user=user, email="shared@new.test", at=timezone.now()))
        for user in (cast.alice, cast.bob, cast.charlie, cast.rita)
    ]

    def confirm(token):
        with suppress(address_changes.Refused):
            address_changes.confirm(token=token, at=timezone.now())

    endings = all_at_once(*[lambda t=token: confirm(t) for token in tokens])

    counts(wishes_for_one_address=len(tokens))
    assert endings == {0}
    assert User.objects.filter(email="shared@new.test").count() == 1
    assert AddressChange.objects.filter(state="made").count() == 1


def test_many_who_confirm_and_answer_at_once_do_it_once(counts):
    alice = make_cast().alice
    User.objects.filter(pk=alice.pk).update(email_verified_at=None)
    token = links.to_confirm(alice)
    for _ in range(20):
        ResetRequest.objects.create(email=alice.email, asked_at=AT)

    def confirm():
        with suppress(links.NotValid):
            confirming.confirm(token=token, at=AT)

    endings = all_at_once(*[confirm, lambda: passwords.answer_requests(at=AT)] * (AT_ONCE // 2))

    counts(confirmations_at_once=AT_ONCE // 2, letters_asked_for=20)
    assert endings == {0}
    assert facts("user.address_confirmed") == 1
    assert Notice.objects.filter(name="password_reset").count() == 20
    assert not ResetRequest.objects.exists()


def test_session_that_is_ended_while_pages_write_to_it_stays_ended(counts):
    alice = make_cast().alice
    store = SessionStore()
    store[SESSION_KEY] = str(alice.pk)
    store.create()
    store.save()
    key = store.session_key

    def write():
        mine = SessionStore(key)
        for number in range(20):
            mine["page"] = number
            try:
                mine.save()
            except UpdateError:
                return
            row = OpenSession.objects.filter(pk=key).first()
            if row is not None:
                sessions.note_use(row, address=HOME, user_agent="x", at=timezone.now())

    endings = all_at_once(*[write] * (AT_ONCE - 1), lambda: sessions.drop_all(alice))

    counts(writers_of_one_session=AT_ONCE - 1)
    assert endings == {0}
    assert not OpenSession.objects.filter(pk=key).exists()


def test_browser_that_arrives_many_times_at_once_is_known_once(counts):
    alice = make_cast().alice
    arrival = new_browsers.Arrival(
        token="a" * 43, user_agent="", address=HOME, is_known_address=True
    )

    endings = all_at_once(
        *[lambda: new_browsers.note(user=alice, arrival=arrival, at=AT)] * AT_ONCE
    )

    counts(arrivals_at_once=AT_ONCE)
    assert endings == {0}
    assert KnownBrowser.objects.count() == 1
