"""What an upgrade makes of staff and guests from before there were roles of staff."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.core import signing
from django.test import Client

from accounts import membership
from accounts.models import Invitation, Membership, User
from tests.factories import PASSWORD, make_member

pytestmark = pytest.mark.django_db(databases="__all__")
MIGRATION = import_module("accounts.migrations.0018_staff_become_operators")


def upgrade():
    MIGRATION.appoint_operators(apps, None)
    MIGRATION.ask_guests(apps, None)


def test_all_staff_become_operators_whatever_they_were(cast):
    Membership.objects.filter(user=cast.sam).update(role="billing")
    User.objects.filter(pk=cast.sam.pk).update(is_superuser=False)
    tess = User.objects.create_user("tess@example.test", PASSWORD, is_staff=True)

    upgrade()

    for user in (cast.sam, tess):
        after = User.objects.get(pk=user.pk)
        actor = membership.actor_for(after)
        assert (after.is_staff, after.is_superuser, actor.staff_role) == (True, True, "operator")
        assert actor.roles == {cast.provider.pk: "operator"}
    assert Membership.objects.get(user=cast.alice).role == "owner"
    assert not User.objects.get(pk=cast.alice.pk).is_superuser


def test_staff_of_a_house_that_was_never_founded_become_operators_too(db):
    user = User.objects.create_user("root@example.test", PASSWORD, is_staff=True)

    upgrade()

    assert membership.actor_for(User.objects.get(pk=user.pk)).staff_role == "operator"


def test_a_guest_of_before_comes_in_by_the_letter_of_before(cast):
    guest = make_member("gus@example.test", cast.customer, "owner")
    guest.set_unusable_password()
    guest.save()

    upgrade()
    path = f"/account/invitation/{signing.dumps(guest.pk, salt='accounts.invitations')}"
    answer = Client().post(path, {"name": "Gus", "password": PASSWORD})

    assert answer.status_code == 302
    guest.refresh_from_db()
    assert guest.check_password(PASSWORD)
    assert list(Membership.objects.filter(user=guest).values_list("role")) == [("owner",)]
    assert not Invitation.objects.open().exists()
