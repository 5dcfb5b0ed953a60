"""People through the API: seen, invited, changed and removed by a key, and no owner made by one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import invitations, notices
from accounts.models import Event, Invitation, Membership
from accounts.second_factor import authenticators
from hosting import models, public_ids
from tests.factories import make_member
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.simulated import make_test_customer
from tests.staffing import SECRET

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def base(organisation):
    return f"/organisations/{public_ids.encode('org', organisation.uuid)}"


def member_path(user):
    member = Membership.objects.select_related("organisation").get(user=user)
    return f"{base(member.organisation)}/members/{public_ids.encode('mem', member.uuid)}"


def test_members_are_listed_with_role_and_second_factor(cast, rita):
    authenticators.give(cast.bob, secret=SECRET)

    listed = rita.get(f"{base(cast.customer)}/members").json()["items"]
    owners = rita.get(f"{base(cast.customer)}/members?role=owner").json()["items"]

    assert [(each["email"], each["role"], each["has_second_factor"]) for each in listed] == [
        (cast.alice.email, "owner", False),
        (cast.bob.email, "read_only", True),
    ]
    assert [each["email"] for each in owners] == [cast.alice.email]
    assert rita.get(member_path(cast.bob)).json() == listed[1]


def test_somebody_is_invited_shown_and_withdrawn(cast, rita):
    path = f"{base(cast.customer)}/invitations"

    made = rita.post(path, {"email": "Dora@example.test", "role": "admin"})
    where = made.headers["Location"].removeprefix("/api/v1")
    listed = rita.get(path).json()["items"]
    notices.send_waiting(at=timezone.now())
    gone = rita.delete(where, if_match=made.headers["ETag"])

    assert made.status_code == 201
    assert (made.json()["email"], made.json()["role"]) == ("dora@example.test", "admin")
    assert listed == [made.json()]
    assert [letter.to for letter in mail.outbox] == [["dora@example.test"]]
    assert gone.status_code == 200
    assert rita.get(where).status_code == 404
    assert rita.get(path).json()["items"] == []
    assert not Invitation.objects.open().exists()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "dora@example.test", "role": "owner"}, "/role"),
        ({"email": "dora@example.test", "role": "operator"}, "/role"),
        ({"email": "nobody", "role": "admin"}, "/email"),
        ({"email": "\u212aate@example.test", "role": "admin"}, "/email"),
        ({"email": "bob@example.test", "role": "admin"}, "/email"),
        ({"role": "admin"}, "/email"),
        ({"email": "dora@example.test"}, "/role"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(cast, rita, body, pointer):
    answer = rita.post(f"{base(cast.customer)}/invitations", body)

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
    assert not Invitation.objects.exists()


def test_a_role_is_changed_and_a_member_removed(cast, rita):
    path = member_path(cast.bob)

    read = rita.get(path)
    changed = rita.patch(path, {"role": "billing"}, if_match=read.headers["ETag"])
    stale = rita.delete(path, if_match=read.headers["ETag"])
    removed = rita.delete(path, if_match=changed.headers["ETag"])

    assert stale.status_code == 412
    assert (changed.status_code, changed.json()["role"]) == (200, "billing")
    assert removed.status_code == 200
    assert rita.get(path).status_code == 404
    assert not Membership.objects.filter(user=cast.bob).exists()


def test_no_key_makes_unmakes_or_removes_an_owner(cast, rita):
    make_member("amy@example.test", cast.customer, "owner")

    made = rita.patch(member_path(cast.bob), {"role": "owner"})
    unmade = rita.patch(member_path(cast.alice), {"role": "admin"})
    removed = rita.delete(member_path(cast.alice), if_match="*")

    assert made.status_code == 422
    assert [unmade.status_code, removed.status_code] == [403, 403]
    assert Membership.objects.get(user=cast.alice).role == "owner"


def test_members_of_another_organisation_are_not_found_through_ones_own(cast):
    charlie = Caller(make_key(cast.other_customer).secret)
    member = member_path(cast.bob).rpartition("/")[2]

    answer = charlie.patch(f"{base(cast.other_customer)}/members/{member}", {"role": "admin"})

    assert answer.status_code == 404
    assert Membership.objects.get(user=cast.bob).role == "read_only"


@pytest.mark.parametrize("years", [-2, 30])
def test_an_invitation_of_a_test_organisation_lives_by_the_real_time(cast, years):
    """However far its clock is behind or ahead, people have two weeks to read the letter."""
    trial = make_test_customer(cast.reseller)
    there = trial.created_at + timedelta(days=365 * years)
    models.TestClock.objects.create(organisation=trial, now=there)
    program = Caller(make_key(cast.reseller, is_test=True).secret)
    before = timezone.now()

    asked = {"email": "dora@example.test", "role": "admin"}
    made = program.post(f"{base(trial)}/invitations", asked)

    invitation = Invitation.objects.get()
    assert made.status_code == 201
    assert before <= invitation.invited_at <= timezone.now()
    assert invitation.expires_at == invitation.invited_at + invitations.VALID_FOR
    assert Event.objects.get(kind="member.invited", organisation=trial).at == there
    token = invitations.token_for(invitation)
    late = invitation.expires_at
    assert invitations.found(token, at=late - timedelta(seconds=1)) == invitation
    with pytest.raises(invitations.NotValid):
        invitations.found(token, at=late)
    models.TestClock.objects.update(now=there + timedelta(days=1000))
    assert Client().get(reverse("accounts:invitation", args=[token])).status_code == 200
