"""App passwords only, for an organisation: new mailboxes, and all that there are."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.access import Forbidden
from accounts.models import Event
from mailstore import credentials, provisioning, sign_in_policy
from mailstore.models import Device, Mailbox
from tests.factories import AT, make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])
LATER = AT + timedelta(days=40)


def set_default(cast, *, is_on, name="alice"):
    actor = cast.actor(getattr(cast, name))
    return sign_in_policy.set_default(
        actor=actor, organisation=cast.customer, is_on=is_on, at=LATER
    )


def require(cast, *, expected, name="alice"):
    actor = cast.actor(getattr(cast, name))
    return sign_in_policy.require_everywhere(
        actor=actor, organisation=cast.customer, expected=expected, at=LATER
    )


def opened_by_password(cast, domain, local_part, *, days_ago=1, protocols=("imap",)):
    """A mailbox that programs open by its mailbox password, and did so many days ago."""
    mailbox = make_mailbox(domain, local_part)
    credentials.set_mailbox_password(
        actor=cast.actor(cast.sam), mailbox=mailbox, password="long enough", at=AT
    )
    for protocol in protocols:
        seen(mailbox, protocol=protocol, days_ago=days_ago)
    return mailbox


def seen(mailbox, *, credential="-", protocol="imap", days_ago=1):
    last_at = LATER - timedelta(days=days_ago)
    Device.objects.create(
        mailbox=mailbox,
        credential=credential,
        protocol=protocol,
        first_at=AT,
        last_at=last_at,
        last_address="203.0.113.7",
    )


def ended(mailbox):
    return Mailbox.objects.get(pk=mailbox.pk).sessions_end_asked_at


def test_new_mailboxes_take_it_and_those_that_are_there_do_not(cast):
    before = make_mailbox(cast.domain, "before")
    assert set_default(cast, is_on=True)
    cast.domain.refresh_from_db()

    after = make_mailbox(cast.domain, "after")

    before.refresh_from_db()
    assert (before.app_passwords_only, after.app_passwords_only) == (False, True)
    with pytest.raises(credentials.AppPasswordsOnly):
        credentials.set_mailbox_password(
            actor=cast.actor(cast.alice), mailbox=after, password="long enough", at=AT
        )


def test_it_is_recorded_once_with_old_and_new(cast):
    assert [set_default(cast, is_on=is_on) for is_on in (True, True, False)] == [True, False, True]

    kind = "organisation.sign_in_default_changed"
    told = Event.objects.filter(kind=kind).order_by("seq").values_list("actor_name", "data")
    assert list(told) == [
        ("alice@example.test", {"app_passwords_only": {"old": False, "new": True}}),
        ("alice@example.test", {"app_passwords_only": {"old": True, "new": False}}),
    ]


@pytest.mark.parametrize("name", ["bob", "charlie"])
def test_who_manages_no_mail_here_decides_nothing(cast, name):
    with pytest.raises(Forbidden):
        set_default(cast, is_on=True, name=name)
    with pytest.raises(Forbidden):
        require(cast, expected=0, name=name)


def test_a_reseller_decides_for_a_customer(cast):
    assert set_default(cast, is_on=True, name="rita")


def test_foreseen_are_mailboxes_that_a_program_opens_by_the_mailbox_password(cast):
    """One of two programs, one that came by an app password, long ago, or no more at all."""
    both = opened_by_password(cast, cast.domain, "both", protocols=("imap", "pop"))
    opened_by_password(cast, cast.domain, "long-ago", days_ago=31)
    seen(make_mailbox(cast.domain, "phone"), credential="a" * 32)
    seen(make_mailbox(cast.domain, "removed-since"))
    done = opened_by_password(cast, cast.domain, "done")
    Mailbox.objects.filter(pk=done.pk).update(app_passwords_only=True)
    opened_by_password(cast, cast.other_domain, "stranger")

    found = sign_in_policy.foresee(cast.customer, at=LATER)

    assert (found.mailbox_count, found.stopped_count) == (4, 1)
    assert [(each.mailbox, each.last_at) for each in found.stopped] == [
        (both, LATER - timedelta(days=1))
    ]


def test_foreseen_are_named_up_to_a_number(cast):
    for number in range(22):
        opened_by_password(cast, cast.domain, f"box{number:02}")

    found = sign_in_policy.foresee(cast.customer, at=LATER)

    assert (found.stopped_count, len(found.stopped)) == (22, 20)
    assert found.stopped[0].mailbox.local_part == "box00"


def test_all_at_once_changes_each_and_tells_it(cast):
    stopped = opened_by_password(cast, cast.domain, "stopped")
    plain = make_mailbox(cast.domain, "plain")
    stranger = opened_by_password(cast, cast.other_domain, "stranger")

    assert require(cast, expected=1) == 2
    assert require(cast, expected=0) == 0

    for mailbox in (stopped, plain, stranger):
        mailbox.refresh_from_db()
    assert [m.app_passwords_only for m in (stopped, plain, stranger)] == [True, True, False]
    assert stopped.password_hash
    assert [ended(m) == LATER for m in (stopped, plain, stranger)] == [True, False, False]
    told = Event.objects.filter(at=LATER).order_by("seq")
    change = {"app_passwords_only": {"old": False, "new": True}}
    assert list(told.values_list("kind", "subject_name", "data")) == [
        ("mailbox.app_passwords_only", stopped.address, change),
        ("mailbox.app_passwords_only", plain.address, change),
        ("organisation.app_passwords_required", "Alder", {"mailboxes": 2, "stopped": 1}),
    ]


def test_all_at_once_takes_the_same_few_statements(cast, django_assert_num_queries):
    for number in range(5):
        opened_by_password(cast, cast.domain, f"box{number}")

    with django_assert_num_queries(15):
        require(cast, expected=5)


def test_nothing_is_done_if_more_would_stop_than_somebody_was_told(cast):
    opened_by_password(cast, cast.domain, "known")
    opened_by_password(cast, cast.domain, "since")

    with pytest.raises(sign_in_policy.MoreWouldStop):
        require(cast, expected=1)

    assert not Mailbox.objects.filter(app_passwords_only=True).exists()


def test_closing_mailboxes_change_as_well_and_closed_ones_do_not(cast):
    gone, going = make_mailbox(cast.domain, "gone"), make_mailbox(cast.domain, "going")
    for mailbox in (gone, going):
        provisioning.close(
            actor=cast.actor(cast.alice), mailbox=mailbox, grace=timedelta(days=1), at=AT
        )
    Mailbox.objects.filter(pk=gone.pk).update(state=Mailbox.State.CLOSED)

    assert require(cast, expected=0) == 1

    going.refresh_from_db()
    assert going.app_passwords_only
