"""Spend caps: an organisation's own, and the one set above it; the lower one holds."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from accounts.access import Forbidden
from accounts.models import Event, Membership, Organisation
from hosting import capping, limits, ordering, spending
from hosting.models import Limits, Plan, Spending
from tests.factories import make_member
from tests.hosting.billing_rows import ACTOR, make_list, moment, sold

pytestmark = pytest.mark.django_db(databases="__all__")

NOW = moment(16)


@pytest.fixture(autouse=True)
def _prices(cast):
    make_list(cast.reseller, is_default=True, imap=("2.50", 5, "0.12"))


def set_own(cast, user, cap_minor, organisation=None):
    capping.set_own(
        actor=cast.actor(user),
        organisation=organisation or loaded(cast.customer),
        cap_minor=cap_minor,
        currency="EUR",
        at=NOW,
    )


def set_above(cast, user, cap_minor):
    capping.set_above(
        actor=cast.actor(user),
        organisation=loaded(cast.customer),
        cap_minor=cap_minor,
        currency="EUR",
        at=NOW,
    )


def loaded(organisation):
    return Organisation.objects.select_related("parent").get(pk=organisation.pk)


def cap_of(organisation):
    return Limits.objects.get(organisation=organisation).cap_minor


def test_owner_sets_and_removes_its_own_cap(cast):
    set_own(cast, cast.alice, 500)
    assert cap_of(cast.customer) == 500

    set_own(cast, cast.alice, None)

    assert cap_of(cast.customer) is None
    events = Event.objects.filter(kind="spend_cap.set").order_by("seq")
    assert [event.data for event in events] == [
        {"whose": "own", "cap_minor": {"old": None, "new": 500}},
        {"whose": "own", "cap_minor": {"old": 500, "new": None}},
    ]
    assert {event.actor_name for event in events} == {"alice@example.test"}


def test_own_cap_never_raises_the_one_set_above(cast):
    set_above(cast, cast.rita, 1000)

    with pytest.raises(capping.CapRefused, match=r"You may spend 10\.00 EUR a month"):
        set_own(cast, cast.alice, 1001)
    set_own(cast, cast.alice, 800)
    assert cap_of(cast.customer) == 800
    set_own(cast, cast.alice, None)

    assert cap_of(cast.customer) == 1000


def test_cap_that_is_lowered_above_holds_over_an_older_own_one(cast):
    set_own(cast, cast.alice, 800)

    set_above(cast, cast.rita, 300)

    assert cap_of(cast.customer) == 300


@pytest.mark.parametrize("cap_minor", [0, -1])
def test_own_cap_is_above_zero(cast, cap_minor):
    with pytest.raises(capping.CapRefused, match="above zero"):
        set_own(cast, cast.alice, cap_minor)
    with transaction.atomic(), pytest.raises(IntegrityError):
        Limits.objects.create(organisation=cast.reseller, own_cap_minor=cap_minor)


def test_cap_from_above_is_not_negative_and_may_be_nothing(cast):
    with pytest.raises(capping.CapRefused, match=r"below 0\.00 EUR"):
        set_above(cast, cast.rita, -1)

    set_above(cast, cast.sam, 0)

    assert cap_of(cast.customer) == 0


@pytest.mark.parametrize("person", ["bob", "charlie", "rita"])
def test_nobody_else_sets_an_own_cap(cast, person):
    with pytest.raises(Forbidden):
        set_own(cast, getattr(cast, person), 500)
    assert not Limits.objects.exists()


@pytest.mark.parametrize("role", [Membership.Role.BILLING, Membership.Role.ADMIN])
def test_role_that_is_not_owner_sets_none(cast, role):
    member = make_member("dora@example.test", cast.customer, role)

    with pytest.raises(Forbidden):
        set_own(cast, member, 500)


@pytest.mark.parametrize("person", ["alice", "bob", "charlie"])
def test_nobody_below_sets_the_cap_from_above(cast, person):
    with pytest.raises(Forbidden):
        set_above(cast, getattr(cast, person), 10**6)
    assert not Limits.objects.exists()


def test_owner_of_another_customer_of_the_same_reseller_sets_nothing(cast):
    kind = Organisation.Kind.CUSTOMER
    sibling = Organisation.objects.create(kind=kind, name="Hazel", parent=cast.reseller)
    hazel = make_member("hazel@example.test", sibling, Membership.Role.OWNER)

    for verb in (set_own, set_above):
        with pytest.raises(Forbidden):
            verb(cast, hazel, 500)


def test_own_cap_stops_an_order(cast):
    set_own(cast, cast.alice, 400)

    def order(name):
        return ordering.order(
            actor=ACTOR,
            domain=cast.domain,
            local_part=name,
            plan=Plan.objects.get(slug="imap"),
            at=NOW,
        )

    order("a")
    with pytest.raises(limits.LimitReached, match=r"Alder may spend 4\.00 EUR a month"):
        order("b")


def test_new_cap_is_told_of_anew(cast):
    sold(cast.domain, "a", since=moment(1))
    set_own(cast, cast.alice, 100)
    assert spending.watch(at=NOW) == 1
    assert Spending.objects.get().told_percent == 100

    set_own(cast, cast.alice, 200)

    assert Spending.objects.get().told_percent == 0
    assert spending.watch(at=NOW) == 1
    assert Spending.objects.get().told_percent == 50


@pytest.mark.parametrize(("cap_minor", "told"), [(200, 50), (1000, 0), (None, 0)])
def test_cap_that_changes_while_all_are_counted_is_the_one_that_is_told_of(
    cast, cap_minor, told, monkeypatch
):
    sold(cast.domain, "a", since=moment(1))
    set_own(cast, cast.alice, 100)
    real = spending.billing.charges

    def charges(*args, **kwargs):
        found = real(*args, **kwargs)
        set_own(cast, cast.alice, cap_minor)
        return found

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(spending.billing, "charges", charges)
        assert spending.watch(at=NOW) == int(told > 0)

    assert Spending.objects.get().told_percent == told
    told_of = Event.objects.filter(kind="spend_cap.reached").values_list(
        "data__cap_minor", flat=True
    )
    assert list(told_of) == ([cap_minor] if told else [])


def test_who_may_set_which(cast):
    customer = loaded(cast.customer)
    may = {
        name: (
            capping.may_set_own(cast.actor(getattr(cast, name)), customer),
            capping.may_set_above(cast.actor(getattr(cast, name)), customer),
        )
        for name in ("alice", "bob", "charlie", "rita", "sam")
    }

    assert may == {
        "alice": (True, False),
        "bob": (False, False),
        "charlie": (False, False),
        "rita": (False, True),
        "sam": (True, True),
    }
