"""The pages of people: who is seen, invited, changed, removed, and what a second factor is for."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import inviting, outbox
from accounts.access import Forbidden
from accounts.models import FactorLoss, Invitation, Membership, Notice, User
from accounts.second_factor import devices, losing
from hosting.activity import asking
from tests.corpus import HOSTILE_LOCAL_PARTS
from tests.factories import make_member
from tests.hosting.api.caller import make_key
from tests.staffing import said, signed_in, stale, verified

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def page(organisation, name="detail", *more):
    return reverse(f"people:{name}", args=[organisation.uuid, *more])


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def member_of(user):
    return Membership.objects.get(user=user)


def invited(cast, email="dora@example.test", role="read_only"):
    return inviting.invite(
        actor=cast.actor(cast.alice),
        organisation=cast.customer,
        email=email,
        role=role,
        at=timezone.now(),
    )


# Seeing ---------------------------------------------------------------------------------


def test_a_member_of_one_organisation_comes_to_its_people(cast):
    assert signed_in(cast.bob).get("/people/").headers["Location"] == page(cast.customer)
    assert signed_in(cast.sam).get("/people/").headers["Location"] == page(cast.provider)


def test_a_member_of_several_chooses(cast):
    Membership.objects.create(user=cast.alice, organisation=cast.other_customer, role="read_only")

    answer = signed_in(cast.alice).get("/people/")

    assert page(cast.customer) in answer.content.decode()
    assert page(cast.other_customer) in answer.content.decode()
    assert page(cast.reseller) not in answer.content.decode()


def test_a_member_of_nothing_is_told_so(cast):
    nobody = User.objects.create_user("nobody@example.test", "x")

    assert "You belong to no organisation" in text_of(signed_in(nobody).get("/people/"))


def test_managers_see_when_and_how_people_sign_in(cast):
    verified(cast.bob)
    invited(cast)

    for user in (cast.alice, cast.rita, cast.sam):
        seen = text_of(signed_in(user).get(page(cast.customer)))
        assert "Second factor" in seen
        assert "dora@example.test" in seen
        assert "invited by alice@example.test" in seen
    assert text_of(signed_in(cast.alice).get(page(cast.customer))).count(" Yes ") == 1


def test_others_see_names_and_roles_alone(cast):
    invited(cast)
    answer = signed_in(cast.bob).get(page(cast.customer))
    seen = text_of(answer)

    assert "alice@example.test" in seen
    assert "Second factor" not in seen
    assert "dora@example.test" not in seen
    assert "Invite" not in seen
    assert "Leave Alder" in seen


def test_people_of_a_stranger_are_as_absent(cast):
    charlie = signed_in(cast.charlie)
    member, invitation = member_of(cast.bob), invited(cast)
    elsewhere = page(cast.other_customer, "change_role", member.uuid)

    assert charlie.get(page(cast.customer)).status_code == 404
    assert charlie.get(page(cast.provider)).status_code == 404
    assert signed_in(cast.alice).get(page(cast.reseller)).status_code == 404
    # The names of things of others do not open them through one's own organisation.
    assert charlie.get(elsewhere).status_code == 404
    assert charlie.post(elsewhere, {"role": "owner"}).status_code == 404
    for name in ("withdraw", "send_again"):
        path = page(cast.other_customer, name, invitation.uuid)
        assert charlie.post(path).status_code == 404
        assert charlie.post(page(cast.other_customer, name, uuid4())).status_code == 404
    path = page(cast.other_customer, "remove", member.uuid)
    assert charlie.post(path).status_code == 404
    assert member_of(cast.bob).role == "read_only"


@pytest.mark.parametrize("count", [1, 3, 60])
def test_the_list_costs_the_same_however_many_there_are(cast, count, django_assert_num_queries):
    for number in range(count):
        make_member(f"p{number:03}@example.test", cast.customer, "read_only")
    client = signed_in(cast.alice)
    client.get(page(cast.customer))

    with django_assert_num_queries(11):
        client.get(page(cast.customer))


def test_pages_and_searches_go_on_where_the_last_one_ended(cast):
    for number in range(60):
        make_member(f"p{number:03}@example.test", cast.customer, "read_only")
    client, seen, path = signed_in(cast.alice), [], page(cast.customer)
    while path:
        answer = client.get(path)
        seen += [row["email"] for row in answer.context["rows"]]
        following = answer.context["next_url"]
        path = page(cast.customer) + following if following else ""

    assert len(seen) == len(set(seen)) == 62
    assert seen == sorted(seen)
    found = client.get(page(cast.customer) + "?q=P01").context["rows"]
    assert [row["email"] for row in found] == [f"p01{n}@example.test" for n in range(10)]
    assert "Nobody matches" in text_of(client.get(page(cast.customer) + "?q=zzz"))
    owners = client.get(page(cast.customer) + "?role=owner").context["rows"]
    assert [row["email"] for row in owners] == [cast.alice.email]


_HOSTILE = [
    *HOSTILE_LOCAL_PARTS,
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\u202egnp.exe",
    "{{ 7|add:7 }}{% debug %}",
    "a" * 120,
]


def test_hostile_names_are_shown_as_text(cast, counts):
    alice = signed_in(cast.alice)
    member = member_of(cast.bob).uuid
    paths = (
        page(cast.customer),
        page(cast.customer, "change_role", member),
        page(cast.customer, "remove", member),
    )
    for text in _HOSTILE:
        name = text.replace("\0", "")[:120]
        User.objects.filter(pk__in=[cast.bob.pk, cast.alice.pk]).update(name=name)
        for path in paths:
            answer = alice.get(path)
            body = answer.content.decode()
            assert answer.status_code == 200
            assert "<script>alert" not in body
            assert "<img src=x" not in body
    counts(hostile_names=len(_HOSTILE))


# Inviting -------------------------------------------------------------------------------


def test_somebody_is_invited_written_to_again_and_withdrawn(cast):
    alice = signed_in(cast.alice)

    answer = alice.post(
        page(cast.customer, "invite"), {"email": "Dora@example.test", "role": "admin"}, follow=True
    )
    invitation = Invitation.objects.get()
    again = alice.post(page(cast.customer, "send_again", invitation.uuid), follow=True)
    gone = alice.post(page(cast.customer, "withdraw", invitation.uuid), follow=True)
    late = alice.post(page(cast.customer, "withdraw", invitation.uuid))

    assert said(answer) == ["We write to dora@example.test."]
    assert "Invited, and not here yet" in text_of(answer)
    assert said(again) == ["We write to dora@example.test again. Earlier links stop working."]
    assert said(gone) == ["Withdrawn. The link sent to dora@example.test works no more."]
    assert "Invited" not in text_of(gone)
    assert late.status_code == 404


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"email": "x", "role": "admin"}, "This is no e-mail address."),
        ({"email": "", "role": "admin"}, "This field is required."),
        ({"email": "bob@example.test", "role": "admin"}, "belongs to Alder already"),
        ({"email": "dora@example.test", "role": "operator"}, "Select a valid choice."),
        ({"email": "dora@example.test"}, "This field is required."),
        ({"email": "\u212aate@example.test", "role": "admin"}, "Only plain letters work here."),
    ],
)
def test_what_cannot_be_is_said_beside_the_field(cast, fields, problem):
    answer = signed_in(cast.alice).post(page(cast.customer, "invite"), fields)

    assert answer.status_code == 422
    assert problem in text_of(answer)
    assert not Invitation.objects.exists()


def test_an_owner_is_made_with_a_fresh_second_factor_only(cast):
    asked = {"email": "dora@example.test", "role": "owner"}
    alice = stale(verified(cast.alice))

    led = alice.post(page(cast.customer, "invite"), asked)
    others = alice.post(page(cast.customer, "invite"), asked | {"role": "admin"})

    assert led.headers["Location"].startswith(reverse("accounts:second_factor"))
    assert others.headers["Location"] == page(cast.customer)
    assert Invitation.objects.get().role == "admin"

    verified(cast.alice).post(page(cast.customer, "invite"), asked)

    assert Invitation.objects.get().role == "owner"


def test_an_admin_is_not_offered_what_only_owners_give(cast):
    adam = signed_in(make_member("adam@example.test", cast.customer, "admin"))
    invitation = invited(cast, role="owner")

    offered = adam.get(page(cast.customer, "invite")).context["form"].fields["role"].choices
    forged = adam.post(page(cast.customer, "invite"), {"email": "a@b.test", "role": "owner"})

    assert [value for value, _label in offered] == ["admin", "read_only"]
    assert forged.status_code == 422
    for name in ("send_again", "withdraw"):
        assert adam.post(page(cast.customer, name, invitation.uuid)).status_code == 403
    assert Invitation.objects.open().get().serial == 1


def test_the_customers_page_leads_to_the_second_factor_and_back_to_the_invitation(cast):
    path = reverse("customers:invite", args=[cast.customer.uuid])

    led = stale(signed_in(cast.rita)).post(path, {"email": "dora@example.test"})
    done = signed_in(cast.rita).post(path, {"email": "dora@example.test"}, follow=True)

    assert led.headers["Location"].startswith(reverse("accounts:second_factor"))
    assert said(done) == ["A letter is on its way to dora@example.test."]


def test_a_resellers_admin_is_refused_where_owners_are_invited(cast):
    rob = signed_in(make_member("rob@example.test", cast.reseller, "admin"))

    answer = rob.post(
        reverse("customers:invite", args=[cast.customer.uuid]), {"email": "rob@example.test"}
    )

    assert answer.status_code == 403
    assert not Invitation.objects.exists()
    assert "Invite an owner" not in text_of(
        rob.get(reverse("customers:detail", args=[cast.customer.uuid]))
    )


# Changing and removing ------------------------------------------------------------------


def test_a_role_is_changed(cast):
    path = page(cast.customer, "change_role", member_of(cast.bob).uuid)
    answer = signed_in(cast.alice).post(path, {"role": "billing"}, follow=True)

    assert said(answer) == ["bob@example.test has the role Billing now."]
    assert member_of(cast.bob).role == "billing"


def test_whoever_has_no_second_factor_makes_owners_with_the_password(cast):
    amy = make_member("amy@example.test", cast.customer, "owner")
    alice = stale(signed_in(cast.alice))
    for path, fields in (
        (page(cast.customer, "change_role", member_of(cast.bob).uuid), {"role": "owner"}),
        (page(cast.customer, "change_role", member_of(amy).uuid), {"role": "admin"}),
        (page(cast.customer, "remove", member_of(amy).uuid), {}),
    ):
        answer = alice.post(path, fields)
        assert answer.headers["Location"].startswith(reverse("accounts:password_again")), path

    assert (member_of(cast.bob).role, member_of(amy).role) == ("read_only", "owner")


def test_the_last_owner_is_told_why_not(cast):
    alice = signed_in(cast.alice)
    path = page(cast.customer, "change_role", member_of(cast.alice).uuid)

    changed = alice.post(path, {"role": "admin"})
    left = alice.post(page(cast.customer, "leave"))
    removed = signed_in(cast.rita).post(page(cast.customer, "remove", member_of(cast.alice).uuid))

    for answer in (changed, left, removed):
        assert answer.status_code == 422
        assert "is the last owner" in text_of(answer)
    assert "you cannot leave yet" in text_of(alice.get(page(cast.customer, "leave")))
    assert member_of(cast.alice).role == "owner"


def test_somebody_is_removed_with_their_keys(cast):
    amy = make_member("amy@example.test", cast.customer, "admin")
    api_key = make_key(cast.customer).api_key
    type(api_key).objects.update(created_by=amy)
    alice, path = signed_in(cast.alice), page(cast.customer, "remove", member_of(amy).uuid)

    asked = text_of(alice.get(path))
    answer = alice.post(path, {"with_keys": "on"}, follow=True)

    assert "API keys that they made" in asked
    assert said(answer) == ["amy@example.test was removed."]
    api_key.refresh_from_db()
    assert api_key.revoked_at is not None
    assert alice.get(path).status_code == 404


def test_a_lost_second_factor_is_replaced_after_a_wait_that_everybody_hears_of(cast):
    verified(cast.bob)
    alice = signed_in(cast.alice)
    path = reverse("organisations:lost_factor", args=[cast.customer.uuid])
    link = f"{path}?member={member_of(cast.bob).uuid}"

    shown = alice.get(page(cast.customer))
    filled = alice.get(link).context["form"]["email"].initial
    strange = alice.get(f"{path}?member={member_of(cast.charlie).uuid}").context["form"]["email"]
    nonsense = alice.get(f"{path}?member=%27").context["form"]["email"]
    unsaid = alice.post(link, {"email": filled, "reason": " "})
    begun = alice.post(link, {"email": filled, "reason": "His phone is in the lake."}, follow=True)
    again = alice.post(link, {"email": filled, "reason": "x"})

    assert link in shown.content.decode()
    assert "Lost second factor" in text_of(shown)
    assert (filled, strange.initial, nonsense.initial) == (cast.bob.email, "", "")
    assert [unsaid.status_code, again.status_code] == [422, 422]
    assert "Everybody is told." in said(begun)[0]
    assert FactorLoss.objects.get().state == "waiting"
    assert devices.has_any(cast.bob)
    told = Notice.objects.filter(name="second_factor_loss").values_list("to", flat=True)
    assert {cast.bob.email, cast.alice.email} <= set(told)


def test_an_admin_does_not_say_that_an_owner_lost_it(cast):
    verified(cast.alice)
    adam = signed_in(make_member("adam@example.test", cast.customer, "admin"))
    path = reverse("organisations:lost_factor", args=[cast.customer.uuid])

    assert adam.post(path, {"email": cast.alice.email, "reason": "x"}).status_code == 403
    assert not FactorLoss.objects.exists()
    with pytest.raises(Forbidden):
        losing.ask_for(
            actor=cast.actor(User.objects.get(email="adam@example.test")),
            user=cast.alice,
            organisation=cast.customer,
            reason="x",
            at=timezone.now(),
        )


def test_somebody_leaves_by_themselves(cast):
    bob = signed_in(cast.bob)

    answer = bob.post(page(cast.customer, "leave"), follow=True)

    assert said(answer) == ["You left Alder."]
    assert bob.get(page(cast.customer)).status_code == 404
    told = Notice.objects.filter(name="member_news").values_list("to", flat=True)
    assert sorted(told) == [cast.alice.email, cast.bob.email]


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        ("admin", (False, True)),
        ("billing", (True, False)),
        ("read_only", (False, True)),
        ("owner", (True, True)),
        ("support", (False, True)),
        ("staff_billing", (True, False)),
        ("operator", (True, True)),
    ],
)
def test_activity_shows_money_and_mail_by_role(cast, role, sees):
    given = {"at": timezone.now(), "actor": cast.actor(cast.alice), "organisation": cast.customer}
    for kind in ("spend_cap.set", "app_password.revoked"):
        subject = (kind.partition(".")[0], "1", "planted")
        outbox.record(kind=kind, subject=subject, **given)
    level = cast.provider if role in {"support", "staff_billing", "operator"} else cast.customer
    actor = cast.actor(make_member("rose@example.test", level, role))

    found = asking.found(actor, asking.Wanted(organisation=cast.customer.uuid))

    kinds = set(found.values_list("kind", flat=True))
    assert ("spend_cap.set" in kinds, "app_password.revoked" in kinds) == sees


def test_staff_are_seen_by_staff_and_appointed_by_operators(cast):
    tess = make_member("tess@example.test", cast.provider, "support")
    support, operator = signed_in(tess), signed_in(cast.sam)

    assert "Invite" not in text_of(support.get(page(cast.provider)))
    assert support.get(page(cast.provider, "invite")).status_code == 403
    offered = operator.get(page(cast.provider, "invite")).context["form"].fields["role"].choices
    assert [value for value, _label in offered] == ["operator", "support", "staff_billing"]
    assert signed_in(cast.rita).get(page(cast.provider)).status_code == 404
