from __future__ import annotations

import pytest

from accounts.access import Forbidden
from accounts.models import Event
from mailstore import domains
from mailstore.addresses import InvalidAddress
from mailstore.models import Domain
from tests.corpus import HOSTILE_DOMAINS
from tests.factories import AT

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def add(cast, name, user="alice"):
    actor = cast.actor(getattr(cast, user))
    return domains.add(actor=actor, organisation=cast.customer, name=name, at=AT)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("books.test", "confirmed"),
        ("localhost", "confirmed"),
        ("books.example", "waiting"),
        ("test.example", "waiting"),
    ],
)
def test_domain_of_the_real_world_waits_for_confirmation(cast, name, state):
    assert add(cast, name).state == state


def test_domain_of_another_cannot_be_taken(cast):
    with pytest.raises(domains.DomainTaken):
        add(cast, "JUNIPER.test")

    assert Domain.objects.get(name="juniper.test").organisation == cast.other_customer


@pytest.mark.parametrize("name", HOSTILE_DOMAINS)
def test_hostile_names_are_refused(cast, name):
    with pytest.raises(InvalidAddress):
        add(cast, name)


@pytest.mark.parametrize("user", ["bob", "charlie"])
def test_adding_needs_a_role_that_allows_it(cast, user):
    with pytest.raises(Forbidden):
        add(cast, "new.test", user)


def test_only_staff_confirm_and_twice_does_no_harm(cast):
    domain = add(cast, "books.example")

    with pytest.raises(Forbidden):
        domains.confirm(actor=cast.actor(cast.alice), domain=domain, at=AT)
    for _ in range(2):
        domains.confirm(actor=cast.actor(cast.sam), domain=domain, at=AT)

    domain.refresh_from_db()
    assert domain.state == "confirmed"
    assert Event.objects.filter(kind="domain.verified").count() == 1
