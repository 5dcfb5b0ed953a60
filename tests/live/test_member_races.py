"""Members against a real database, by many at the same moment."""

from __future__ import annotations

from contextlib import suppress

import pytest
from django.utils import timezone

from accounts import invitations, inviting, membership, people
from accounts.models import Event, Invitation, Membership, User
from tests.factories import AT, make_cast, make_member
from tests.live.test_key_races import all_at_once

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

AT_ONCE = 8
ROUNDS = 5


def owners(organisation):
    held = Membership.objects.filter(organisation=organisation, role__in=("owner", "operator"))
    return held.count()


def member_of(user, organisation):
    rows = Membership.objects.select_related("user", "organisation__parent")
    return rows.get(user=user, organisation=organisation)


def test_of_owners_who_all_leave_at_once_one_stays(counts):
    cast = make_cast()
    people_here = [cast.alice] + [
        make_member(f"o{number}@example.test", cast.customer, "owner")
        for number in range(AT_ONCE - 1)
    ]

    def leave(user):
        member, actor = member_of(user, cast.customer), cast.actor(user)

        def work():
            with suppress(membership.LastOwner):
                people.remove(actor=actor, member=member, at=AT)

        return work

    endings = all_at_once(*[leave(user) for user in people_here])

    counts(owners_leaving_at_once=AT_ONCE)
    assert set(endings) == {0}
    assert owners(cast.customer) == 1
    assert Event.objects.filter(kind="member.left").count() == AT_ONCE - 1


@pytest.mark.parametrize("level", ["customer", "provider"])
def test_two_who_put_each_other_out_at_once_do_not_both_go(counts, level):
    cast = make_cast()
    organisation = getattr(cast, level)
    first = {"customer": cast.alice, "provider": cast.sam}[level]
    role = {"customer": "owner", "provider": "operator"}[level]
    for number in range(ROUNDS):
        second = make_member(f"r{number}@example.test", organisation, role)
        acts = []
        for by, whom in ((first, second), (second, first)):
            member, actor = member_of(whom, organisation), cast.actor(by)

            def work(member=member, actor=actor):
                with suppress(membership.LastOwner, membership.NoSuchMember):
                    people.change_role(
                        actor=actor,
                        member=member,
                        role="support" if level == "provider" else "read_only",
                        at=AT,
                    )

            acts.append(work)
        assert set(all_at_once(*acts)) == {0}
        assert owners(organisation) == 1
        kept = Membership.objects.get(organisation=organisation, role=role).user
        Membership.objects.filter(organisation=organisation).exclude(user=kept).delete()
        first = User.objects.get(pk=kept.pk)
    counts(pairs_putting_each_other_out=ROUNDS)


def test_an_invitation_that_is_accepted_many_times_at_once_lets_in_once(counts):
    cast = make_cast()
    given = {"actor": cast.actor(cast.alice), "organisation": cast.customer, "role": "admin"}
    known = inviting.invite(email=cast.charlie.email, at=timezone.now(), **given)
    fresh = inviting.invite(email="dora@example.test", at=timezone.now(), **given)

    def join():
        with suppress(invitations.NotValid):
            inviting.join(invitation=known, user=cast.charlie, at=timezone.now())

    def choose(number):
        def work():
            with suppress(invitations.NotValid):
                inviting.join_with_password(
                    invitation=fresh,
                    name=f"Dora {number}",
                    password=f"four plain words {number}",
                    at=timezone.now(),
                )

        return work

    endings = all_at_once(*[join] * AT_ONCE, *[choose(number) for number in range(AT_ONCE)])

    counts(acceptances_at_once=2 * AT_ONCE)
    assert set(endings) == {0}
    assert Event.objects.filter(kind="member.joined").count() == 2
    dora = User.objects.get(email="dora@example.test")
    number = dora.name.rpartition(" ")[2]
    assert dora.check_password(f"four plain words {number}")


def test_an_address_that_many_ask_at_once_waits_once(counts):
    cast = make_cast()
    alice = cast.actor(cast.alice)

    def ask():
        inviting.invite(
            actor=alice,
            organisation=cast.customer,
            # Letters to others are counted in the tests beside this one.
            email="emma@example.test",
            role="admin",
            at=AT,
        )

    # More than ten letters an hour to one address are refused, wherever they are counted together.
    asked = 8
    endings = all_at_once(*[ask] * asked)

    counts(invitations_at_once=asked)
    assert set(endings) == {0}
    assert Invitation.objects.get().serial == asked
