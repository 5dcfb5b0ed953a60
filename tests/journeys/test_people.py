"""An owner alone, a team of twelve, and a company of two hundred: seen, invited, changed, left."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from accounts import invitations, inviting
from accounts.models import Invitation, Membership, User
from accounts.second_factor import authenticators
from tests.factories import PASSWORD
from tests.staffing import SECRET

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

_NAMES = (
    "Ada Lang",
    "Benedikta Hohenwarter-Oberstolzenberger",
    "Cem Yıldız",
    "Dörte Süß",
    "Élise de la Fontaine",
    "",
)
_ROLES = ("admin", "billing", "read_only", "read_only")


def crowd(organisation, count):
    """So many more members: most with a second factor, some who were never here."""
    now, password = timezone.now(), make_password(None)
    for number in range(count):
        name = _NAMES[number % len(_NAMES)]
        part = "a.very.long.local.part.that.somebody.really.has" if number % 5 == 1 else "member"
        user = User.objects.create(
            email=f"{part}.{number:03}@subsidiary.alder.test",
            name=name,
            password=password.replace("!", "x"),
            last_login=None if number % 4 == 3 else now - timedelta(days=number),
        )
        Membership.objects.create(
            user=user, organisation=organisation, role=_ROLES[number % len(_ROLES)]
        )
        if number % 3:
            authenticators.give(user, secret=SECRET)


def test_an_owner_alone_invites_a_second_owner(page, cast, sign_in, look):
    Membership.objects.filter(user=cast.bob).delete()
    sign_in(cast.alice)
    page.get_by_role("link", name="People").click()
    expect(page.get_by_text("1 person belongs to Alder.")).to_be_visible()
    look("people-1")
    page.get_by_role("link", name="Leave Alder").click()
    expect(page.get_by_text("you cannot leave yet")).to_be_visible()
    look("people-last-owner")

    page.goto(reverse("people:invite", args=[cast.customer.uuid]))
    look("people-invite")
    page.get_by_label("E-mail address").fill("dora@example.test")
    page.get_by_label("Owner").check()
    page.get_by_role("button", name="Send the letter").click()
    expect(page.get_by_text("We write to dora@example.test.")).to_be_visible()


def test_a_team_is_kept_in_order(page, cast, sign_in, look):
    crowd(cast.customer, 10)
    asked = {"actor": cast.actor(cast.alice), "organisation": cast.customer, "role": "admin"}
    inviting.invite(email="emil@example.test", at=timezone.now() - timedelta(days=20), **asked)
    inviting.invite(email="dora@example.test", at=timezone.now(), **asked)
    sign_in(cast.alice)
    page.goto(reverse("people:detail", args=[cast.customer.uuid]))
    expect(page.get_by_text("12 people belong to Alder.")).to_be_visible()
    look("people-12")

    page.get_by_role("button", name="Send again emil@example.test").click()
    expect(page.get_by_text("We write to emil@example.test again.")).to_be_visible()
    page.get_by_role("button", name="Withdraw dora@example.test").click()
    expect(page.get_by_text("works no more")).to_be_visible()
    page.get_by_role("link", name="Change role bob@example.test").click()
    look("people-role")
    page.get_by_label("Billing").check()
    page.get_by_role("button", name="Change the role").click()
    expect(page.get_by_text("bob@example.test has the role Billing now.")).to_be_visible()
    page.get_by_role("link", name="Remove bob@example.test").click()
    look("people-remove")
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("bob@example.test was removed.")).to_be_visible()

    assert not Membership.objects.filter(user=cast.bob).exists()
    assert Invitation.objects.open().get().email == "emil@example.test"


def test_two_hundred_are_searched_and_turned_over(page, cast, sign_in, look):
    crowd(cast.customer, 198)
    sign_in(cast.alice)
    page.goto(reverse("people:detail", args=[cast.customer.uuid]))
    expect(page.get_by_text("200 people belong to Alder.")).to_be_visible()
    look("people-200")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_label("Search").fill("member.123")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    look("people-search")


def test_somebody_with_an_account_signs_in_and_joins(page, cast, look):
    invitation = inviting.invite(
        actor=cast.actor(cast.alice),
        organisation=cast.customer,
        email=cast.charlie.email,
        role="admin",
        at=timezone.now(),
    )
    page.goto(reverse("accounts:invitation", args=[invitations.token_for(invitation)]))
    look("invitation-known")
    page.locator("main").get_by_role("link", name="Sign in").click()
    page.get_by_label("E-mail address").fill(cast.charlie.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("Your role: Admin.")).to_be_visible()
    look("invitation-join")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_text("You belong to Alder now.")).to_be_visible()


def test_a_reader_sees_names_and_leaves(page, cast, sign_in, look):
    sign_in(cast.bob)
    page.get_by_role("link", name="People").click()
    expect(page.get_by_text("2 people belong to Alder.")).to_be_visible()
    look("people-reader")
    page.get_by_role("link", name="Leave Alder").click()
    look("people-leave")
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_text("You left Alder.")).to_be_visible()
