"""Keys for programs, as whoever found or stole one would try them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from accounts import keyring, keys
from accounts.access import Forbidden, system
from accounts.models import ApiKey, Event, Organisation
from tests.factories import AT

pytestmark = pytest.mark.django_db(databases="__all__")

DAY = timedelta(days=1)
HERE = "192.0.2.7"


@pytest.fixture
def make(cast):
    """Makes a key of Rita's reseller, by herself unless told otherwise."""

    def make(by=None, **options):
        asked = {"organisation": cast.reseller, "label": "Shop", "scopes": ["mailboxes:read"]}
        return keyring.make(actor=by or cast.actor(cast.rita), at=AT, **(asked | options))

    return make


@pytest.fixture
def made_by_key(make):
    """Makes a key by another key, which is asked for in the same words."""

    def made_by_key(own, **options):
        holder = keyring.actor_with(make(**own).api_key)
        return make(by=holder, **options)

    return made_by_key


@pytest.fixture
def test_customer(cast):
    return Organisation.objects.create(
        kind="customer", name="Trial", parent=cast.reseller, is_test=True
    )


def authenticate(made, *, address=HERE, at=AT):
    return keyring.authenticate(secret=made.secret, address=address, at=at)


def reached(api_key):
    actor = keyring.actor_with(api_key)
    return {each.name for each in Organisation.objects.visible_to(actor)}


def facts():
    return list(Event.objects.filter(subject_kind="api_key").values_list("kind", "actor_name"))


# Making ---------------------------------------------------------------------------------


def test_a_key_is_kept_as_a_digest_with_its_last_characters(make, cast):
    made = make(label="  Shop   one ", networks=["192.0.2.0/24"], expires_at=AT + DAY)

    api_key = ApiKey.objects.get()
    assert api_key == made.api_key
    assert api_key.digest == keys.digest(made.secret)
    assert api_key.hint == made.secret[-4:]
    assert str(api_key) == f"Shop one …{api_key.hint}"
    assert api_key.created_by == cast.rita
    assert made.secret not in str(Event.objects.filter(subject_kind="api_key").values())
    assert facts() == [("api_key.created", "rita@example.test")]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"label": ""}, "label"),
        ({"label": " \t\n "}, "label"),
        ({"label": "x" * 121}, "label"),
        ({"scopes": []}, "scopes"),
        ({"expires_at": AT}, "expires_at"),
        ({"expires_at": AT - DAY}, "expires_at"),
    ],
)
def test_what_makes_no_key_is_refused_by_its_field(make, options, field):
    with pytest.raises(keyring.BadKey) as refusal:
        make(**options)

    assert refusal.value.field == field
    assert not ApiKey.objects.exists()


def test_unknown_scopes_and_networks_make_no_key(make):
    with pytest.raises(keys.UnknownScope):
        make(scopes=["mailboxes:all"])
    with pytest.raises(keys.BadNetwork):
        make(networks=["192.0.2.1/24"])

    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("person", ["alice", "bob", "charlie", "sam"])
def test_nobody_makes_a_key_for_whom_they_do_not_own(make, cast, person):
    """Sam is staff and may do all but act as an owner."""
    with pytest.raises(Forbidden):
        make(by=cast.actor(getattr(cast, person)))


def test_the_owner_of_a_reseller_makes_keys_for_its_customers(make, cast):
    api_key = make(organisation=cast.customer).api_key

    assert reached(api_key) == {"Alder"}


def test_the_house_makes_keys_that_no_person_made(make):
    assert make(by=system("demo")).api_key.created_by is None


@pytest.mark.parametrize("foreign", ["other_customer", "provider"])
def test_a_key_is_not_narrowed_to_whom_it_would_not_reach(make, cast, foreign):
    with pytest.raises(keyring.BeyondOwnReach):
        make(only_for=[cast.customer, getattr(cast, foreign)])

    assert not ApiKey.objects.exists()


def test_a_live_key_is_not_narrowed_to_test_organisations(make, test_customer):
    with pytest.raises(keyring.BeyondOwnReach):
        make(only_for=[test_customer])

    assert make(only_for=[test_customer], is_test=True).api_key.is_narrow


# What a key may pass on -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        ({}, {"scopes": ["mailboxes:read", "mailboxes:write"]}),
        ({}, {"is_test": True}),
        ({"is_test": True}, {"is_test": False}),
        ({"networks": ["192.0.2.0/24"]}, {"networks": []}),
        ({"networks": ["192.0.2.0/24"]}, {"networks": ["192.0.0.0/16"]}),
        ({"networks": ["192.0.2.0/24"]}, {"networks": ["192.0.2.7", "2001:db8::/32"]}),
        ({"expires_at": AT + DAY}, {"expires_at": None}),
        ({"expires_at": AT + DAY}, {"expires_at": AT + 2 * DAY}),
    ],
)
def test_a_key_makes_none_that_may_do_more(made_by_key, own, asked):
    with pytest.raises(keyring.BeyondOwnReach):
        made_by_key(own, **asked)

    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        ({}, {}),
        ({"scopes": ["mailboxes:read", "usage:read"]}, {"scopes": ["usage:read"]}),
        ({"networks": ["192.0.2.0/24"]}, {"networks": ["192.0.2.7"]}),
        ({}, {"networks": ["192.0.2.7"]}),
        ({"expires_at": AT + 2 * DAY}, {"expires_at": AT + DAY}),
        ({}, {"expires_at": AT + DAY}),
        ({"is_test": True}, {"is_test": True}),
    ],
)
def test_a_key_makes_those_that_may_do_no_more(made_by_key, own, asked):
    made_by_key(own, **asked)

    assert ApiKey.objects.count() == 2
    assert facts()[1][1].startswith("Shop …")


def test_a_narrow_key_makes_keys_for_the_same_organisations_only(made_by_key, cast):
    sibling = Organisation.objects.create(kind="customer", name="Ash", parent=cast.reseller)
    own = {"only_for": [cast.customer]}

    for asked in ({}, {"only_for": [sibling]}, {"only_for": [cast.customer, sibling]}):
        with pytest.raises((keyring.BeyondOwnReach, Forbidden)):
            made_by_key(own, organisation=cast.reseller, **asked)
    with pytest.raises(keyring.BeyondOwnReach):
        made_by_key(own, organisation=cast.customer)
    made = made_by_key(own, organisation=cast.customer, only_for=[cast.customer])

    assert reached(made.api_key) == {"Alder"}


def test_a_key_that_was_revoked_meanwhile_makes_none(make, cast):
    own = make().api_key
    holder = keyring.actor_with(own)
    keyring.revoke(actor=cast.actor(cast.rita), api_key=own, at=AT)

    with pytest.raises(keyring.BeyondOwnReach):
        make(by=holder)


# Who is let in --------------------------------------------------------------------------


def test_a_good_key_opens_and_notes_its_use_once_a_minute(make):
    made = make()

    authenticate(made)
    authenticate(made, address="192.0.2.8", at=AT + timedelta(seconds=59))
    noted = ApiKey.objects.get()
    authenticate(made, address="192.0.2.9", at=AT + timedelta(seconds=60))

    assert (noted.last_used_at, noted.last_used_from) == (AT, HERE)
    assert ApiKey.objects.get().last_used_from == "192.0.2.9"


@pytest.mark.parametrize(
    ("address", "noted"),
    [("", None), ("unix:", None), ("::ffff:192.0.2.7", HERE), ("fe80::1%eth0", "fe80::1")],
)
def test_from_where_a_key_was_used_is_noted_as_a_plain_address(make, address, noted):
    authenticate(make(), address=address)

    assert ApiKey.objects.get().last_used_from == noted


def test_one_look_up_opens_a_key(make, django_assert_num_queries):
    made = make()
    authenticate(made)

    with django_assert_num_queries(1):
        actor = keyring.actor_with(authenticate(made))

    assert actor.scopes == frozenset({"mailboxes:read"})


def test_a_stranger_s_secret_opens_nothing(make, django_assert_num_queries):
    make()
    other = keyring.Made(api_key=ApiKey(), secret=keys.new_secret(is_test=False))

    with django_assert_num_queries(1), pytest.raises(keyring.UnknownKey):
        authenticate(other)


def test_what_is_no_key_asks_no_table(make, django_assert_num_queries):
    made = make()

    with django_assert_num_queries(0), pytest.raises(keyring.UnknownKey):
        keyring.authenticate(secret=made.secret[:-1], address=HERE, at=AT)


def test_the_stored_digest_opens_nothing(make):
    api_key = make().api_key

    with pytest.raises(keyring.UnknownKey):
        keyring.authenticate(secret=api_key.digest, address=HERE, at=AT)


def test_a_key_opens_until_the_moment_it_expires(make):
    made = make(expires_at=AT + DAY)

    assert authenticate(made, at=AT + DAY - timedelta(microseconds=1))
    with pytest.raises(keyring.KeyExpired):
        authenticate(made, at=AT + DAY)


def test_a_revoked_key_opens_nothing_also_when_it_has_expired(make, cast):
    made = make(expires_at=AT + DAY)
    keyring.revoke(actor=cast.actor(cast.rita), api_key=made.api_key, at=AT)

    with pytest.raises(keyring.KeyRevoked):
        authenticate(made, at=AT + 2 * DAY)


def test_a_key_of_a_closed_organisation_opens_nothing(make, cast):
    made = make()
    Organisation.objects.filter(pk=cast.reseller.pk).update(state="closed")

    with pytest.raises(keyring.OrganisationClosed):
        authenticate(made)


@pytest.mark.parametrize(
    ("address", "opens"),
    [(HERE, True), ("::ffff:192.0.2.7", True), ("192.0.3.7", False), ("", False), ("::1", False)],
)
def test_a_key_opens_from_its_networks_only(make, address, opens):
    made = make(networks=["192.0.2.0/24"])

    if opens:
        assert authenticate(made, address=address)
    else:
        with pytest.raises(keyring.WrongNetwork):
            authenticate(made, address=address)
        assert ApiKey.objects.get().last_used_at is None


# Whom a key reaches ---------------------------------------------------------------------


def test_a_key_reaches_live_organisations_or_those_for_testing(make, test_customer):
    assert reached(make().api_key) == {"Rowan", "Alder"}
    assert reached(make(is_test=True).api_key) == {"Trial"}


def test_a_narrow_key_reaches_whom_it_was_made_for(make, cast):
    api_key = make(only_for=[cast.customer]).api_key

    assert reached(api_key) == {"Alder"}
    assert keyring.actor_with(api_key).roles == {cast.customer.pk: "owner"}


def test_a_narrow_key_reaches_nothing_once_its_organisations_are_gone(make, cast):
    gone = Organisation.objects.create(kind="customer", name="Gone", parent=cast.reseller)
    api_key = make(only_for=[gone]).api_key
    gone.delete()

    assert reached(api_key) == set()
    assert keyring.actor_with(api_key).roles == {}


def test_a_narrow_key_does_not_follow_a_customer_to_another_seller(make, cast):
    made = make(only_for=[cast.customer])
    Organisation.objects.filter(pk=cast.customer.pk).update(parent=cast.provider)

    assert reached(authenticate(made)) == set()


def test_a_narrow_key_does_not_follow_a_customer_into_test_mode(make, cast):
    api_key = make(only_for=[cast.customer]).api_key
    Organisation.objects.filter(pk=cast.customer.pk).update(is_test=True)

    assert reached(api_key) == set()


def test_a_key_knows_keys_of_its_own_mode_below_itself(make, cast, test_customer):
    live, test = make().api_key, make(is_test=True).api_key
    below = make(organisation=cast.customer).api_key
    below_test = make(organisation=test_customer, is_test=True).api_key

    by_live = ApiKey.objects.visible_to(keyring.actor_with(live))
    by_test = ApiKey.objects.visible_to(keyring.actor_with(test))
    by_alice = ApiKey.objects.visible_to(cast.actor(cast.alice))
    by_charlie = ApiKey.objects.visible_to(cast.actor(cast.charlie))

    assert set(by_live) == {live, below}
    assert set(by_test) == {test, below_test}
    assert set(by_alice) == {below}
    assert set(by_charlie) == set()


# Replacing ------------------------------------------------------------------------------


def rotate(made, cast, *, overlap=DAY, at=AT, by=None):
    actor = by or cast.actor(cast.rita)
    return keyring.rotate(actor=actor, api_key=made.api_key, overlap=overlap, at=at)


def test_a_rotated_key_goes_on_until_the_overlap_is_over(make, cast):
    old = make(networks=["192.0.2.0/24"], only_for=[cast.customer], expires_at=AT + 9 * DAY)

    new = rotate(old, cast)

    assert authenticate(old, at=AT + DAY - timedelta(seconds=1))
    with pytest.raises(keyring.KeyExpired):
        authenticate(old, at=AT + DAY)
    api_key = authenticate(new, at=AT + DAY)
    assert api_key.networks == ["192.0.2.0/24"]
    assert api_key.expires_at == AT + 9 * DAY
    assert reached(api_key) == {"Alder"}
    assert ApiKey.objects.get(pk=old.api_key.pk).successor == api_key
    assert [kind for kind, _ in facts()] == [
        "api_key.created",
        "api_key.created",
        "api_key.rotated",
    ]


def test_rotation_without_overlap_ends_the_old_key_at_once(make, cast):
    old = make()

    rotate(old, cast, overlap=timedelta(0))

    with pytest.raises(keyring.KeyExpired):
        authenticate(old)


def test_rotation_does_not_make_a_key_live_longer(make, cast):
    old = make(expires_at=AT + timedelta(hours=1))

    rotate(old, cast, overlap=30 * DAY)

    assert set(ApiKey.objects.values_list("expires_at", flat=True)) == {AT + timedelta(hours=1)}


@pytest.mark.parametrize("overlap", [-DAY, 30 * DAY + timedelta(seconds=1)])
def test_the_overlap_has_its_bounds(make, cast, overlap):
    with pytest.raises(keyring.BadKey) as refusal:
        rotate(make(), cast, overlap=overlap)

    assert refusal.value.field == "overlap_seconds"


def test_a_key_is_rotated_once(make, cast):
    """Whoever comes second, at the same moment or later, is refused."""
    old = make()
    rotate(old, cast)

    with pytest.raises(keyring.KeyGone):
        rotate(old, cast)

    assert ApiKey.objects.count() == 2


def test_a_key_that_does_not_work_is_not_rotated(make, cast):
    expired, revoked = make(expires_at=AT + DAY), make()
    keyring.revoke(actor=cast.actor(cast.rita), api_key=revoked.api_key, at=AT)

    for made in (expired, revoked):
        with pytest.raises(keyring.KeyGone):
            rotate(made, cast, at=AT + DAY)


def test_a_customer_that_left_is_not_passed_on(make, cast):
    sibling = Organisation.objects.create(kind="customer", name="Ash", parent=cast.reseller)
    old = make(only_for=[cast.customer, sibling])
    Organisation.objects.filter(pk=cast.customer.pk).update(parent=cast.provider)

    new = rotate(old, cast)

    assert list(new.api_key.narrowed_to.all()) == [sibling]


def test_a_narrow_key_whose_customers_all_left_stays_narrow(make, cast):
    old = make(only_for=[cast.customer])
    Organisation.objects.filter(pk=cast.customer.pk).update(parent=cast.provider)

    new = rotate(old, cast)

    assert new.api_key.is_narrow
    assert reached(new.api_key) == set()


def test_a_key_rotates_itself_and_none_that_may_do_more(make, cast):
    own = make(scopes=["mailboxes:read", "keys:write"], networks=["192.0.2.0/24"])
    holder = keyring.actor_with(own.api_key)
    wider = make()

    new = rotate(own, cast, by=holder)
    with pytest.raises(keyring.BeyondOwnReach):
        rotate(wider, cast, by=holder)

    assert new.api_key.created_by is None
    assert new.api_key.scopes == own.api_key.scopes


@pytest.mark.parametrize("person", ["alice", "charlie", "sam"])
def test_only_an_owner_rotates(make, cast, person):
    with pytest.raises(Forbidden):
        rotate(make(), cast, by=cast.actor(getattr(cast, person)))


# Revoking -------------------------------------------------------------------------------


def test_revoking_twice_is_told_once(make, cast):
    api_key = make().api_key
    actor = cast.actor(cast.rita)

    counts = [
        keyring.revoke(actor=actor, api_key=api_key, at=AT + number * DAY) for number in range(2)
    ]

    assert counts == [1, 0]
    assert ApiKey.objects.get().revoked_at == AT
    assert facts()[1:] == [("api_key.revoked", "rita@example.test")]


@pytest.mark.parametrize(("person", "may"), [("alice", False), ("charlie", False), ("sam", True)])
def test_staff_and_owners_revoke(make, cast, person, may):
    api_key = make().api_key
    actor = cast.actor(getattr(cast, person))

    if may:
        assert keyring.revoke(actor=actor, api_key=api_key, at=AT) == 1
    else:
        with pytest.raises(Forbidden):
            keyring.revoke(actor=actor, api_key=api_key, at=AT)


def test_a_key_for_testing_has_no_say_over_live_ones(make, cast):
    live, test = make().api_key, make(is_test=True).api_key

    for own, other in ((live, test), (test, live)):
        holder = keyring.actor_with(own)
        with pytest.raises(Forbidden):
            keyring.revoke(actor=holder, api_key=other, at=AT)
        with pytest.raises(Forbidden):
            keyring.rotate(actor=holder, api_key=other, overlap=DAY, at=AT)


def test_what_was_made_with_a_leaked_key_ends_with_it(make, cast):
    """A thief makes a key with the key, and another with that one."""
    leaked, other = make().api_key, make().api_key
    child = make(by=keyring.actor_with(leaked), organisation=cast.customer).api_key
    grandchild = make(by=keyring.actor_with(child), organisation=cast.customer).api_key

    count = keyring.revoke(actor=cast.actor(cast.rita), api_key=leaked, with_made=True, at=AT)

    assert count == 3
    assert set(ApiKey.objects.exclude(revoked_at=None)) == {leaked, child, grandchild}
    assert list(ApiKey.objects.working(at=AT)) == [other]


def test_what_was_made_with_a_key_outlives_it_unless_asked(make, cast):
    own = make().api_key
    child = make(by=keyring.actor_with(own)).api_key

    keyring.revoke(actor=cast.actor(cast.rita), api_key=own, at=AT)

    assert list(ApiKey.objects.working(at=AT)) == [child]
    assert list(keyring.made_with(own)) == [child]


def test_everything_a_key_did_is_listed_and_nothing_else(make, cast):
    own, other = make().api_key, make().api_key
    make(by=keyring.actor_with(own))
    make(by=keyring.actor_with(other))
    # A person whose id looks like the key's is somebody else.
    person = replace(cast.actor(cast.rita), id=str(own.uuid))
    keyring.revoke(actor=person, api_key=other, at=AT)

    assert [event.kind for event in own.deeds()] == ["api_key.created"]
