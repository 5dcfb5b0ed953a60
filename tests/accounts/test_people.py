"""Members: who gives and takes roles, who hears of it, and who cannot go."""

from __future__ import annotations

import pytest
from django.utils import timezone

from accounts import inviting, keyring, membership, people, tasks
from accounts.access import MEMBER_ROLES, STAFF_ROLES, Forbidden
from accounts.models import (
    ApiKey,
    Event,
    Invitation,
    Membership,
    Notice,
    Organisation,
    User,
)
from tests.factories import AT, make_member
from tests.hosting.api.caller import make_key

pytestmark = pytest.mark.django_db(databases="__all__")


def member_of(user):
    return Membership.objects.select_related("user", "organisation__parent").get(user=user)


def change(cast, by, user, role):
    actor = cast.actor(by)
    return people.change_role(actor=actor, member=member_of(user), role=role, at=AT)


def remove(cast, by, user, **more):
    return people.remove(actor=cast.actor(by), member=member_of(user), at=AT, **more)


def role_of(user):
    held = Membership.objects.filter(user=user).first()
    return held.role if held else None


def news():
    written = Notice.objects.filter(name="member_news").order_by("pk")
    return [(each.to, each.context["what"], each.context["is_you"]) for each in written]


def facts(kind):
    return [
        (each.subject_name, each.actor_name, each.data)
        for each in Event.objects.filter(kind=kind).order_by("seq")
    ]


# Roles ----------------------------------------------------------------------------------


def test_a_change_of_role_is_a_fact_with_old_and_new(cast):
    change(cast, cast.alice, cast.bob, "admin")

    assert role_of(cast.bob) == "admin"
    assert facts("member.role_changed") == [
        (cast.bob.email, cast.alice.email, {"role": {"old": "read_only", "new": "admin"}})
    ]
    assert news() == [(cast.alice.email, "role", False), (cast.bob.email, "role", True)]


def test_the_same_role_again_changes_nothing(cast):
    change(cast, cast.alice, cast.bob, "read_only")

    assert (facts("member.role_changed"), news()) == ([], [])


def test_a_role_that_opens_nothing_to_others_is_not_written_about(cast):
    change(cast, cast.alice, cast.bob, "billing")

    assert news() == []


@pytest.mark.parametrize("held", MEMBER_ROLES)
@pytest.mark.parametrize("given", MEMBER_ROLES)
@pytest.mark.parametrize("by", MEMBER_ROLES)
def test_nobody_gives_or_takes_more_than_they_may_themselves(cast, by, held, given):
    who = make_member("who@example.test", cast.customer, by)
    whom = make_member("whom@example.test", cast.customer, held)
    reach = {"owner": set(MEMBER_ROLES), "admin": {"admin", "read_only"}}.get(by, set())

    if {held, given} <= reach:
        assert change(cast, who, whom, given).role == given
    else:
        with pytest.raises(Forbidden):
            change(cast, who, whom, given)
        assert role_of(whom) == held
    if role_of(whom) in reach:
        remove(cast, who, whom)
        assert role_of(whom) is None
    else:
        with pytest.raises(Forbidden):
            remove(cast, who, whom)


def test_nobody_makes_themselves_more(cast):
    adam = make_member("adam@example.test", cast.customer, "admin")

    with pytest.raises(Forbidden):
        change(cast, adam, adam, "owner")

    assert role_of(adam) == "admin"


def test_strangers_and_those_below_have_no_say(cast):
    for by, whom in ((cast.charlie, cast.bob), (cast.alice, cast.rita), (cast.rita, cast.sam)):
        with pytest.raises(Forbidden):
            remove(cast, by, whom)


def test_an_api_key_appoints_no_staff(cast):
    key = keyring.actor_with(make_key(cast.reseller).api_key)

    with pytest.raises(Forbidden):
        membership.add_member(
            actor=key, organisation=cast.provider, user=cast.bob, role="operator", at=AT
        )


# The last owner -------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["admin", "billing", "read_only"])
def test_the_last_owner_keeps_the_role(cast, role):
    for by in (cast.alice, cast.rita, cast.sam):
        with pytest.raises(membership.LastOwner, match="last owner"):
            change(cast, by, cast.alice, role)

    assert role_of(cast.alice) == "owner"


def test_the_last_owner_neither_leaves_nor_is_removed(cast):
    for by in (cast.alice, cast.rita, cast.sam):
        with pytest.raises(membership.LastOwner):
            remove(cast, by, cast.alice)

    assert role_of(cast.alice) == "owner"


def test_one_of_two_owners_goes_and_the_other_then_stays(cast):
    amy = make_member("amy@example.test", cast.customer, "owner")

    remove(cast, cast.alice, cast.alice)

    with pytest.raises(membership.LastOwner):
        remove(cast, amy, amy)
    assert facts("member.left") == [(cast.alice.email, cast.alice.email, {"role": "owner"})]
    assert news() == [(amy.email, "left", False), (cast.alice.email, "left", True)]


@pytest.mark.parametrize("changes", [{"is_active": False}, {"password": "!x"}])
def test_an_owner_who_cannot_come_in_answers_for_nothing(cast, changes):
    amy = make_member("amy@example.test", cast.customer, "owner")
    User.objects.filter(pk=amy.pk).update(**changes)

    with pytest.raises(membership.LastOwner):
        remove(cast, cast.alice, cast.alice)


def test_somebody_who_has_gone_meanwhile_is_not_removed_twice(cast):
    member = member_of(cast.bob)
    people.remove(actor=cast.actor(cast.alice), member=member, at=AT)

    for again in (people.remove, people.change_role):
        more = {"role": "admin"} if again is people.change_role else {}
        with pytest.raises(membership.NoSuchMember):
            again(actor=cast.actor(cast.alice), member=member, at=AT, **more)


# Going ----------------------------------------------------------------------------------


def test_whoever_is_removed_holds_nothing_at_once(cast, client):
    client.force_login(cast.bob)
    before = client.get(f"/people/{cast.customer.uuid}/").status_code

    remove(cast, cast.alice, cast.bob)

    assert before == 200
    assert client.get(f"/people/{cast.customer.uuid}/").status_code == 404
    assert not membership.actor_for(cast.bob).roles
    assert facts("member.removed") == [(cast.bob.email, cast.alice.email, {"role": "read_only"})]


def test_keys_of_who_goes_stay_unless_they_are_to_go_too(cast):
    amy = make_member("amy@example.test", cast.customer, "owner")
    for label in ("Shop", "Watch"):
        keyring.make(
            actor=cast.actor(amy),
            organisation=cast.customer,
            label=label,
            scopes=["mailboxes:read"],
            at=AT,
        )
    other = make_key(cast.customer).api_key

    adam = make_member("adam@example.test", cast.customer, "admin")
    change(cast, cast.alice, amy, "admin")
    with pytest.raises(Forbidden):
        remove(cast, adam, amy, with_keys=True)
    assert ApiKey.objects.filter(revoked_at=None).count() == 3
    remove(cast, cast.alice, amy, with_keys=True)

    assert list(ApiKey.objects.filter(revoked_at=None)) == [other]


def test_who_is_shut_out_loses_sessions_roles_keys_and_offers_at_once(cast, client):
    client.force_login(cast.alice)
    made = keyring.make(
        actor=cast.actor(cast.alice),
        organisation=cast.customer,
        label="Shop",
        scopes=["mailboxes:read"],
        at=AT,
    )
    inviting.invite(
        actor=cast.actor(cast.alice),
        organisation=cast.customer,
        email="again@example.test",
        role="owner",
        at=AT,
    )
    assert client.get("/overview/").status_code == 200

    people.shut_out(actor=cast.actor(cast.sam), user=cast.alice, leaves_unanswered=True, at=AT)

    assert client.get("/overview/").status_code == 302
    cast.alice.refresh_from_db()
    assert not membership.actor_for(cast.alice).roles
    with pytest.raises(keyring.KeyRevoked):
        keyring.authenticate(secret=made.secret, address="192.0.2.1", at=timezone.now())
    assert not Invitation.objects.open().exists()
    assert [name for name, _by, _data in facts("user.shut_out")] == [cast.alice.email]

    people.let_in_again(actor=cast.actor(cast.sam), user=cast.alice, at=AT)

    cast.alice.refresh_from_db()
    assert membership.actor_for(cast.alice).roles == {cast.customer.pk: "owner"}


def test_the_last_owner_is_shut_out_only_if_that_is_meant(cast):
    sam = cast.actor(cast.sam)

    with pytest.raises(membership.LastOwner, match="alone answers for Alder"):
        people.shut_out(actor=sam, user=cast.alice, at=AT)

    cast.alice.refresh_from_db()
    assert cast.alice.is_active
    amy = make_member("amy@example.test", cast.customer, "owner")
    people.shut_out(actor=sam, user=cast.alice, at=AT)
    assert not Organisation.objects.exclude(unanswered_since=None).exists()
    people.shut_out(actor=sam, user=amy, leaves_unanswered=True, at=AT)
    left = Organisation.objects.exclude(unanswered_since=None).get()
    assert (left, left.unanswered_since) == (cast.customer, AT)
    told = facts("organisation.unanswered")
    assert told == [("Alder", cast.sam.email, {"last_owner": amy.email})]


@pytest.mark.parametrize("how", ["let in", "made an owner", "chose a password"])
def test_whoever_answers_again_takes_an_organisation_off_the_list(cast, how):
    sam = cast.actor(cast.sam)
    people.shut_out(actor=sam, user=cast.alice, leaves_unanswered=True, at=AT)
    guest = User.objects.create_user("guest@example.test")
    if how == "chose a password":
        people.appoint(actor=sam, organisation=cast.customer, user=guest, role="owner", at=AT)
    before = people.see_who_answers()

    if how == "let in":
        people.let_in_again(actor=sam, user=cast.alice, at=AT)
    elif how == "made an owner":
        people.change_role(actor=sam, member=member_of(cast.bob), role="owner", at=AT)
    else:
        guest.set_password("five plain words are fine")
        guest.save()

    assert (before, tasks.see_who_answers()) == (0, 1)
    assert not Organisation.objects.exclude(unanswered_since=None).exists()


@pytest.mark.parametrize("by", ["alice", "rita"])
def test_only_operators_shut_people_out(cast, by):
    with pytest.raises(Forbidden):
        people.shut_out(actor=cast.actor(getattr(cast, by)), user=cast.bob, at=AT)
    with pytest.raises(Forbidden):
        people.let_in_again(actor=cast.actor(getattr(cast, by)), user=cast.bob, at=AT)


# Staff ----------------------------------------------------------------------------------


def test_the_role_at_the_house_is_what_django_goes_by(cast):
    seen = []
    for role in (*STAFF_ROLES, "operator"):
        people.appoint(
            actor=cast.actor(cast.sam), organisation=cast.provider, user=cast.bob, role=role, at=AT
        )
        bob = User.objects.get(pk=cast.bob.pk)
        seen.append((membership.actor_for(bob).staff_role, bob.is_staff, bob.is_superuser))
    member = Membership.objects.get(user=cast.bob, organisation=cast.provider)
    people.remove(actor=cast.actor(cast.sam), member=member, at=AT)
    bob = User.objects.get(pk=cast.bob.pk)

    assert seen == [
        ("operator", True, True),
        ("support", True, False),
        ("staff_billing", True, False),
        ("operator", True, True),
    ]
    assert (bob.is_staff, bob.is_superuser) == (False, False)
    assert not membership.actor_for(bob).is_staff


@pytest.mark.parametrize("role", ["support", "staff_billing"])
def test_only_operators_appoint_and_remove_staff(cast, role):
    clerk = make_member("clerk@example.test", cast.provider, role)
    for given in STAFF_ROLES:
        with pytest.raises(Forbidden):
            inviting.invite(
                actor=cast.actor(clerk),
                organisation=cast.provider,
                email="pal@example.test",
                role=given,
                at=AT,
            )
        with pytest.raises(Forbidden):
            change(cast, clerk, cast.sam, given)
    with pytest.raises(Forbidden):
        change(cast, clerk, clerk, "operator")
    with pytest.raises(Forbidden):
        remove(cast, clerk, cast.sam)
    remove(cast, clerk, clerk)
    assert not User.objects.get(pk=clerk.pk).is_staff


def test_the_last_operator_cannot_go(cast):
    for act in (
        lambda: remove(cast, cast.sam, cast.sam),
        lambda: change(cast, cast.sam, cast.sam, "support"),
        lambda: people.shut_out(actor=cast.actor(cast.sam), user=cast.sam, at=AT),
    ):
        with pytest.raises(membership.LastOwner, match="last operator"):
            act()

    assert User.objects.get(pk=cast.sam.pk).is_superuser


def test_staff_are_invited_like_everybody(cast):
    invitation = inviting.invite(
        actor=cast.actor(cast.sam),
        organisation=cast.provider,
        email=cast.charlie.email,
        role="support",
        at=timezone.now(),
    )

    inviting.join(invitation=invitation, user=cast.charlie, at=timezone.now())

    charlie = User.objects.get(pk=cast.charlie.pk)
    actor = membership.actor_for(charlie)
    assert (actor.is_staff, actor.staff_role) == (True, "support")
    assert actor.roles == {cast.provider.pk: "support", cast.other_customer.pk: "owner"}
    assert (cast.sam.email, "role", False) in news()


def test_what_support_gives_to_customers_shows_no_money(cast):
    tess = make_member("tess@example.test", cast.provider, "support")
    actor = cast.actor(tess)

    given = [role for role in MEMBER_ROLES if membership.may_appoint(actor, cast.customer, role)]

    assert given == ["admin", "read_only"]


def test_staff_flags_without_a_role_allow_nothing(cast):
    User.objects.filter(pk=cast.bob.pk).update(is_staff=True)
    actor = membership.actor_for(User.objects.get(pk=cast.bob.pk))

    assert (actor.is_staff, actor.staff_role) == (True, "")
    assert not actor.allowed(lineage=cast.other_customer.lineage)


def test_a_role_at_the_house_without_the_flag_allows_nothing(cast):
    User.objects.filter(pk=cast.sam.pk).update(is_staff=False)
    actor = membership.actor_for(User.objects.get(pk=cast.sam.pk))

    assert not actor.allowed(lineage=cast.customer.lineage)
