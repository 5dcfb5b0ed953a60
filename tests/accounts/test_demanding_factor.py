"""Who must have a second factor, from when on, and who says so."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import membership
from accounts.access import MEMBER_ROLES, STAFF_ROLES, Forbidden
from accounts.models import Event, FactorDemand, Membership, Notice
from accounts.second_factor import authenticators, demanding
from tests.factories import AT, PASSWORD, make_member
from tests.staffing import SECRET, by_password_alone, signed_in, stale

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

OWN, BELOW = FactorDemand.Reach.OWN, FactorDemand.Reach.BELOW
DAY = timedelta(days=1)


def demand(cast, *, by=None, organisation=None, reach=OWN, days=14, at=AT):
    return demanding.demand(
        actor=membership.actor_for(by or cast.alice),
        organisation=organisation or cast.customer,
        reach=reach,
        grace_days=days,
        at=at,
    )


def page(organisation, more=""):
    return f"/organisations/{organisation.uuid}/second-factor{more}"


@pytest.mark.parametrize(
    ("person", "must"),
    [("sam", True), ("rita", True), ("alice", False), ("bob", False), ("charlie", False)],
)
def test_staff_and_sellers_always_need_one(person, must, cast):
    assert demanding.standing(getattr(cast, person), at=AT).must is must


@pytest.mark.parametrize(
    ("seller", "role"),
    [
        *(("reseller", role) for role in MEMBER_ROLES),
        *(("provider", role) for role in STAFF_ROLES),
    ],
)
def test_every_role_at_a_seller_needs_one(seller, role, cast):
    rob = make_member("rob@example.test", getattr(cast, seller), role)

    assert demanding.standing(rob, at=AT).must_enrol_now


def test_a_demand_holds_from_its_day_for_everybody_there_and_nobody_else(cast):
    demand(cast)

    for person in (cast.alice, cast.bob):
        before = demanding.standing(person, at=AT + 13 * DAY)
        after = demanding.standing(person, at=AT + 14 * DAY)
        assert (before.must, before.must_enrol_now) == (True, False)
        assert (before.due_at, before.demanded_by) == (AT + 14 * DAY, "Alder")
        assert after.must_enrol_now
    assert not demanding.standing(cast.charlie, at=AT + 99 * DAY).must


def test_a_seller_demands_it_of_its_own_customers_only(cast):
    demand(cast, by=cast.rita, organisation=cast.reseller, reach=BELOW, days=0)

    assert demanding.standing(cast.alice, at=AT).must_enrol_now
    assert not demanding.standing(cast.charlie, at=AT).must


def test_the_earliest_of_several_days_holds(cast):
    demand(cast, by=cast.rita, organisation=cast.reseller, reach=BELOW, days=30)
    demand(cast, days=3)

    found = demanding.standing(cast.bob, at=AT)

    assert (found.due_at, found.demanded_by) == (AT + 3 * DAY, "Alder")


def test_another_day_takes_the_place_of_the_first(cast):
    demand(cast, days=3)
    demand(cast, days=30)

    assert FactorDemand.objects.get().due_at == AT + 30 * DAY


def test_a_new_member_has_no_grace_of_its_own(cast):
    demand(cast, days=1)
    eve = make_member("eve@example.test", cast.customer, "read_only")

    assert demanding.standing(eve, at=AT + 2 * DAY).must_enrol_now


@pytest.mark.parametrize("days", [-1, 91, 10**9])
def test_grace_has_bounds(days, cast):
    with pytest.raises(demanding.BadGrace):
        demand(cast, days=days)


def test_a_customer_has_nobody_below(cast):
    with pytest.raises(demanding.NobodyBelow):
        demand(cast, reach=BELOW)


@pytest.mark.parametrize("person", ["bob", "charlie"])
def test_only_owners_demand(person, cast):
    with pytest.raises(Forbidden):
        demand(cast, by=getattr(cast, person))
    eve = make_member("eve@example.test", cast.customer, "admin")
    with pytest.raises(Forbidden):
        demand(cast, by=eve)


def test_owners_are_told_and_it_is_noted(cast):
    demand(cast)
    actor = membership.actor_for(cast.alice)
    assert demanding.withdraw(actor=actor, organisation=cast.customer, reach=OWN, at=AT)
    assert not demanding.withdraw(actor=actor, organisation=cast.customer, reach=OWN, at=AT)

    kinds = Event.objects.filter(kind__startswith="second_factor").values_list("kind", flat=True)
    assert list(kinds.order_by("seq")) == ["second_factor.demanded", "second_factor.demand_ended"]
    assert [each.context["is_over"] for each in Notice.objects.order_by("pk")] == [False, True]
    assert not demanding.standing(cast.bob, at=AT + 99 * DAY).must


def test_what_stood_before_is_kept_where_a_demand_changes(cast):
    actor = membership.actor_for(cast.alice)
    for days in (14, 3):
        demanding.demand(actor=actor, organisation=cast.customer, reach=OWN, grace_days=days, at=AT)
    demanding.withdraw(actor=actor, organisation=cast.customer, reach=OWN, at=AT)

    facts = Event.objects.filter(kind__startswith="second_factor.demand").order_by("seq")
    first, second = ((AT + days * DAY).isoformat() for days in (14, 3))
    assert [each.data["due_at"] for each in facts] == [
        {"old": None, "new": first},
        {"old": first, "new": second},
        {"old": second, "new": None},
    ]


# On the pages ---------------------------------------------------------------------------


def test_owner_turns_it_on_and_a_banner_says_so_until_it_holds(cast):
    alice = signed_in(cast.alice)
    alice.post(page(cast.customer, "/own/demand"), {"grace_days": "7"})
    bob = signed_in(cast.bob)

    shown = bob.get("/overview/").content.decode()
    FactorDemand.objects.update(made_at=AT - DAY, due_at=timezone.now())
    held = bob.get("/overview/", follow=True)

    assert "Alder asks everybody for a second factor." in shown
    assert "/account/second-factor/enrol" in shown
    assert held.request["PATH_INFO"].startswith("/account/second-factor/")
    assert "Alder asks everybody for a second factor." in held.content.decode()


def test_who_has_one_sees_no_banner(cast):
    demand(cast, at=timezone.now())
    authenticators.give(cast.bob, secret=SECRET)

    assert "asks everybody" not in signed_in(cast.bob).get("/overview/").content.decode()


def test_page_says_who_has_none_yet(cast):
    authenticators.give(cast.bob, secret=SECRET)

    shown = signed_in(cast.alice).get(page(cast.customer)).content.decode()

    assert cast.alice.email in shown
    assert cast.bob.email not in shown


@pytest.mark.parametrize("days", ["", "-1", "91", "x", "1.5", "9" * 40])
def test_page_refuses_what_is_no_number_of_days(days, cast):
    answer = signed_in(cast.alice).post(page(cast.customer, "/own/demand"), {"grace_days": days})

    assert answer.status_code == 422
    assert not FactorDemand.objects.exists()


@pytest.mark.parametrize("reach", ["below", "all"])
def test_page_knows_no_other_reach(reach, cast):
    alice = signed_in(cast.alice)

    answer = alice.post(page(cast.customer, f"/{reach}/demand"), {"grace_days": "1"})

    assert answer.status_code == 404
    assert not FactorDemand.objects.exists()


def test_what_an_owner_typed_survives_the_question_who_sits_there(cast):
    alice = stale(signed_in(cast.alice))
    asked = alice.post(page(cast.customer, "/own/demand"), {"grace_days": "5"})

    shown = alice.post(asked.headers["Location"], {"password": PASSWORD}, follow=True)
    kept = shown.context["kept"]
    alice.post(kept.path, dict(kept.fields))

    assert FactorDemand.objects.get().due_at - FactorDemand.objects.get().made_at == 5 * DAY


def test_leaving_the_organisation_ends_what_it_demands(cast):
    demand(cast, days=0)
    Membership.objects.filter(user=cast.bob).update(organisation=cast.other_customer)

    assert by_password_alone(cast.bob).get("/overview/").status_code == 200
