"""Whose rows somebody may see: their own organisations', and those below."""

from __future__ import annotations

import pytest

from accounts import keyring, keys, visits
from accounts.access import Capability, system
from accounts.models import Membership, Organisation
from mailstore.models import Mailbox
from tests.factories import AT, make_mailbox, make_member

pytestmark = pytest.mark.django_db(databases="__all__")
STAFF = system("tests")


def key_of(organisation, **options):
    made = keyring.make(
        actor=STAFF, organisation=organisation, label="x", scopes=keys.SCOPES, at=AT, **options
    )
    return keyring.actor_with(made.api_key)


def names(actor):
    return set(Organisation.objects.visible_to(actor).values_list("name", flat=True))


def test_customer_sees_itself_alone(cast):
    assert names(cast.actor(cast.alice)) == {cast.customer.name}
    assert names(key_of(cast.customer)) == {cast.customer.name}


def test_reseller_sees_itself_and_its_customers(cast):
    below = {cast.reseller.name} | {each.name for each in cast.reseller.children.all()}

    assert names(cast.actor(cast.rita)) == below
    assert names(key_of(cast.reseller)) == below


def test_house_sees_everybody_of_its_mode(cast):
    test_one = Organisation.objects.create(
        kind="customer", name="Try", parent=cast.reseller, is_test=True, created_at=AT
    )

    assert names(key_of(cast.provider)) == set(
        Organisation.objects.exclude(pk=test_one.pk).values_list("name", flat=True)
    )
    assert names(key_of(cast.reseller, is_test=True)) == {"Try"}


def test_key_that_was_narrowed_to_a_customer_sees_no_more(cast):
    narrow = key_of(cast.reseller, only_for=[cast.customer])

    assert names(narrow) == {cast.customer.name}


def test_guest_of_a_customer_sees_that_customer_alone(cast):
    visit = visits.begin(
        actor=cast.actor(cast.rita), organisation=cast.customer, reason="Help", at=AT
    )

    assert names(visits.acting(cast.actor(cast.rita), visit)) == {cast.customer.name}


def test_roles_that_do_not_allow_it_open_nothing_below(cast):
    reader = make_member("rob@example.test", cast.reseller, Membership.Role.READ_ONLY)
    actor = cast.actor(reader)

    assert names(actor) == names(cast.actor(cast.rita))
    assert names(actor.only_with(Capability.MANAGE_KEYS)) == set()


@pytest.mark.parametrize("who", ["alice", "rita"])
def test_mailboxes_of_a_tree_are_found_without_looking_up_from_each(cast, who):
    """Joined upwards, a million rows were read for a customer's fifty."""
    mine = make_mailbox(cast.domain)
    make_mailbox(cast.other_domain)

    found = Mailbox.objects.visible_to(cast.actor(getattr(cast, who)))

    assert list(found) == [mine]
    assert "JOIN" not in str(found.query)
