"""Letting somebody in by a letter: the link works once, for a while and for one address."""

from __future__ import annotations

import re

import pytest
from django.core import mail, signing
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import invitations, inviting, membership, notices, people
from accounts.access import Forbidden
from accounts.models import Event, Invitation, Membership, Notice, User
from hosting import reselling
from tests.factories import AT, PASSWORD, make_member
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def dora(cast):
    """Asked to own a new customer, and without an account yet."""
    reselling.open_customer(
        actor=cast.actor(cast.rita),
        reseller=cast.reseller,
        name="Hazel",
        owner_email="Dora@Example.test ",
        at=timezone.now(),
    )
    return Invitation.objects.get(email="dora@example.test")


def invite(cast, email="dora@example.test", role="read_only", by=None, **more):
    return inviting.invite(
        actor=cast.actor(by or cast.alice),
        organisation=cast.customer,
        email=email,
        role=role,
        at=timezone.now(),
        **more,
    )


def path_of(invitation):
    return reverse("accounts:invitation", args=[invitations.token_for(invitation)])


def answer(path, **changed):
    return Client().post(path, {"name": "Dora", "password": PASSWORD} | changed)


def roles_of(email):
    held = Membership.objects.filter(user__email=email)
    return sorted(held.values_list("organisation__name", "role"))


# The letter -----------------------------------------------------------------------------


def test_the_letter_leads_to_a_password_and_in(dora):
    notices.send_waiting(at=timezone.now())
    (letter,) = mail.outbox
    path = re.search(r"/account/invitation/\S+", letter.body).group()
    client = Client()

    entered = client.post(path, {"name": "Dora", "password": PASSWORD})

    assert letter.to == ["dora@example.test"]
    assert letter.subject == "Hazel: your mailboxes with Rowan"
    assert entered.headers["Location"] == "/overview/"
    assert client.get("/overview/").status_code == 200
    user = User.objects.get(email="dora@example.test")
    assert (user.name, user.check_password(PASSWORD)) == ("Dora", True)
    assert roles_of(user.email) == [("Hazel", "owner")]
    assert Event.objects.filter(kind="member.joined", organisation__name="Hazel").count() == 1


def test_the_link_is_stored_nowhere(dora):
    notices.send_waiting(at=timezone.now())

    stored = str(list(Notice.objects.values())) + str(list(Invitation.objects.values()))
    assert invitations.token_for(dora) not in stored
    assert "token" not in Notice.objects.get().context


def test_nobody_is_made_before_they_say_yes(dora):
    assert not User.objects.filter(email="dora@example.test").exists()
    assert not Membership.objects.filter(organisation=dora.organisation).exists()


def test_a_letter_about_an_invitation_that_is_gone_still_goes_out(dora):
    Invitation.objects.all().delete()

    assert notices.send_waiting(at=timezone.now()) == 1
    assert "/account/invitation/" not in mail.outbox[0].body


def test_letters_about_a_customer_go_to_who_was_asked_to_own_it(dora):
    told = notices.announce(
        organisations=[dora.organisation], name="spend_cap", context={}, at=AT, with_billing=True
    )

    assert told == 1
    assert Notice.objects.get(name="spend_cap").to == "dora@example.test"


def test_once_somebody_owns_it_no_letter_goes_to_who_was_asked(cast):
    invite(cast, role="owner")

    notices.announce(organisations=[cast.customer], name="spend_cap", context={}, at=AT)

    assert [each.to for each in Notice.objects.filter(name="spend_cap")] == [cast.alice.email]


# The link -------------------------------------------------------------------------------


def test_the_link_works_once(dora):
    path = path_of(dora)
    answer(path)

    again = answer(path, password="another four plain words")

    user = User.objects.get(email="dora@example.test")
    assert again.status_code == 404
    assert user.check_password(PASSWORD)
    assert Client().get(path).status_code == 404


def test_two_at_once_set_one_password(dora):
    given = {"invitation": dora, "at": timezone.now()}
    inviting.join_with_password(name="Dora", password=PASSWORD, **given)

    with pytest.raises(invitations.NotValid):
        inviting.join_with_password(name="Eve", password="another password", **given)

    assert User.objects.get(email="dora@example.test").check_password(PASSWORD)


def test_somebody_who_signs_in_joins_once(cast):
    invitation = invite(cast, cast.charlie.email)
    inviting.join(invitation=invitation, user=cast.charlie, at=timezone.now())

    with pytest.raises(invitations.NotValid):
        inviting.join(invitation=invitation, user=cast.charlie, at=timezone.now())

    assert Membership.objects.filter(user=cast.charlie).count() == 2


@pytest.mark.parametrize(
    "token",
    ["x", "1:2:3", "a" * 500, signing.dumps([], salt="accounts.invitations")]
    + [signing.dumps(bad, salt="accounts.invitations") for bad in (["x", 1], ["0" * 32, 1], -1)],
    # What is signed at this moment names no test the same twice.
    ids=["letter", "numbers", "long", "nothing", "no number", "nobody", "negative"],
)
def test_a_link_that_never_was_one_lets_nobody_in(dora, token):
    assert Client().get(f"/account/invitation/{token}").status_code == 404
    assert answer(f"/account/invitation/{token}").status_code == 404


@pytest.mark.parametrize(
    "token", ["..%2f", "../sign-up", "%2e%2e%2f%2e%2e%2foverview%2f", ".", "%00"]
)
def test_a_link_that_is_a_detour_is_no_path_at_all(dora, token):
    assert Client().get(f"/account/invitation/{token}").status_code == 400
    assert answer(f"/account/invitation/{token}").status_code == 400


def test_a_link_grows_old(dora):
    Invitation.objects.update(expires_at=timezone.now())

    assert Client().get(path_of(dora)).status_code == 404
    assert answer(path_of(dora)).status_code == 404
    assert not User.objects.filter(email="dora@example.test").exists()


def test_a_letter_sent_again_ends_the_link_before_it(cast, dora):
    before = path_of(dora)
    Invitation.objects.update(expires_at=timezone.now())

    inviting.send_again(actor=cast.actor(cast.rita), invitation=dora, at=timezone.now())

    assert Client().get(before).status_code == 404
    assert Client().get(path_of(dora)).status_code == 200
    assert Notice.objects.filter(name="invitation").count() == 1


def test_a_withdrawn_link_lets_nobody_in_and_its_letter_stays_here(cast, dora):
    inviting.withdraw(actor=cast.actor(cast.rita), invitation=dora, at=timezone.now())

    assert answer(path_of(dora)).status_code == 404
    assert not Notice.objects.exists()
    with pytest.raises(inviting.Refused):
        inviting.withdraw(actor=cast.actor(cast.rita), invitation=dora, at=timezone.now())
    with pytest.raises(inviting.Refused):
        inviting.send_again(actor=cast.actor(cast.rita), invitation=dora, at=timezone.now())


def test_nobody_comes_in_who_was_shut_out(cast, dora):
    answer(path_of(dora))
    user = User.objects.get(email="dora@example.test")
    sam, now = cast.actor(cast.sam), timezone.now()
    people.shut_out(actor=sam, user=user, leaves_unanswered=True, at=now)
    invitation = invite(cast)

    assert answer(path_of(invitation)).status_code == 200
    assert roles_of(user.email) == [("Hazel", "owner")]
    with pytest.raises(inviting.NotForYou):
        inviting.join(invitation=invitation, user=User.objects.get(pk=user.pk), at=timezone.now())


@pytest.mark.parametrize("password", ["short", "dora@example.test", "password1234"])
def test_a_weak_password_is_refused(dora, password):
    response = answer(path_of(dora), password=password)

    assert response.status_code == 200
    assert not User.objects.filter(email="dora@example.test").exists()
    assert Invitation.objects.open().filter(pk=dora.pk).exists()


def test_links_of_letters_from_before_go_on_working(cast, dora):
    """They named a user who was a member already and had no password."""
    guest = make_member("gus@example.test", cast.customer, Membership.Role.READ_ONLY)
    guest.set_unusable_password()
    guest.save()
    invite(cast, guest.email)
    token = signing.dumps(guest.pk, salt="accounts.invitations")

    answer(f"/account/invitation/{token}", name="Gus")

    guest.refresh_from_db()
    assert guest.check_password(PASSWORD)
    assert roles_of(guest.email) == [("Alder", "read_only")]


# Somebody who has an account ------------------------------------------------------------


def test_whoever_has_an_account_signs_in_to_accept(cast):
    path = path_of(invite(cast, cast.charlie.email, "admin"))
    page = Client().get(path)

    posted = answer(path)

    assert page.status_code == posted.status_code == 200
    assert f"/account/sign-in?next={path.replace('/', '%2F').replace(':', '%3A')}" in (
        page.content.decode()
    )
    assert not cast.charlie.check_password("x")
    assert roles_of(cast.charlie.email) == [("Juniper", "owner")]


def test_accepting_while_signed_in_adds_the_role(cast):
    client, path = signed_in(cast.charlie), path_of(invite(cast, cast.charlie.email, "admin"))

    looked = client.get(path)
    before = roles_of(cast.charlie.email)
    joined = client.post(path)

    assert looked.status_code == 200
    assert before == [("Juniper", "owner")]
    assert joined.status_code == 302
    assert roles_of(cast.charlie.email) == [("Alder", "admin"), ("Juniper", "owner")]


def test_somebody_elses_link_does_nothing_for_who_is_signed_in(cast):
    path = path_of(invite(cast))
    client = signed_in(cast.charlie)

    assert client.get(path).status_code == 403
    assert client.post(path, {"name": "x", "password": PASSWORD}).status_code == 403
    assert roles_of(cast.charlie.email) == [("Juniper", "owner")]
    assert Invitation.objects.open().count() == 1


def test_the_answer_does_not_tell_whether_anybody_has_the_address(cast):
    known, unknown = invite(cast, cast.charlie.email), invite(cast, "nobody@example.test")

    letters = Notice.objects.filter(name="invitation")
    contexts = [
        {key: value for key, value in each.context.items() if key != "invitation"}
        for each in letters
    ]
    assert contexts[0] == contexts[1]
    assert (known.role, known.serial) == (unknown.role, unknown.serial)


def test_a_member_is_not_invited_again(cast):
    with pytest.raises(inviting.Refused, match="belongs to Alder already"):
        invite(cast, " BOB@Example.test ")

    assert not Invitation.objects.exists()


def test_who_came_in_by_another_way_keeps_what_they_were_given(cast):
    invitation = invite(cast, cast.charlie.email, "owner")
    membership.add_member(
        actor=cast.actor(cast.alice),
        organisation=cast.customer,
        user=cast.charlie,
        role="read_only",
        at=AT,
    )

    inviting.join(invitation=invitation, user=cast.charlie, at=timezone.now())

    assert ("Alder", "read_only") in roles_of(cast.charlie.email)
    assert not Invitation.objects.open().exists()


def test_invited_guests_may_come_in_at_the_resellers_own_host(cast):
    assert membership.actor_within(cast.charlie, seller_id=cast.reseller.pk) is None

    invite(cast, cast.charlie.email)

    guest = membership.actor_within(cast.charlie, seller_id=cast.reseller.pk)
    assert guest is not None
    assert dict(guest.roles) == {}


# Who invites ----------------------------------------------------------------------------


def test_asking_again_changes_role_and_link_of_the_one_invitation(cast):
    first = invite(cast)
    before = path_of(first)

    invite(cast, "DORA@example.test", "admin")

    invitation = Invitation.objects.get()
    assert (invitation.role, invitation.serial) == ("admin", 2)
    assert Client().get(before).status_code == 404
    assert Notice.objects.filter(name="invitation").count() == 1


def test_an_admin_does_not_change_what_an_owner_offered(cast):
    adam = make_member("adam@example.test", cast.customer, Membership.Role.ADMIN)
    invite(cast, role="owner")

    with pytest.raises(Forbidden):
        invite(cast, role="read_only", by=adam)

    assert Invitation.objects.get().role == "owner"


@pytest.mark.parametrize(
    ("role", "givable"),
    [
        ("owner", {"owner", "admin", "billing", "read_only"}),
        ("admin", {"admin", "read_only"}),
        ("billing", set()),
        ("read_only", set()),
    ],
)
@pytest.mark.parametrize("level", ["customer", "reseller"])
def test_nobody_invites_to_more_than_they_may_themselves(cast, role, givable, level):
    """A reseller's admin makes no owners of its customers either."""
    who = make_member("who@example.test", getattr(cast, level), role)
    able = set()
    for each in ("owner", "admin", "billing", "read_only"):
        try:
            invite(cast, f"{each}@example.test", each, by=who)
        except Forbidden:
            continue
        able.add(each)

    assert able == givable


def test_a_resellers_admin_invites_no_owner_by_the_customers_page_either(cast):
    rob = make_member("rob@example.test", cast.reseller, Membership.Role.ADMIN)

    with pytest.raises(Forbidden):
        reselling.invite_owner(
            actor=cast.actor(rob), customer=cast.customer, email=rob.email, at=timezone.now()
        )

    assert not Invitation.objects.exists()


@pytest.mark.parametrize("role", ["operator", "support", "staff_billing", "king", ""])
def test_roles_of_staff_are_given_at_the_house_alone(cast, role):
    with pytest.raises(membership.Refused):
        invite(cast, role=role)


def test_offers_of_who_goes_go_with_them(cast):
    adam = make_member("adam@example.test", cast.customer, Membership.Role.ADMIN)
    invite(cast, by=adam)
    kept = invite(cast, "else@example.test")
    member = Membership.objects.get(user=adam)

    people.remove(actor=cast.actor(cast.alice), member=member, at=timezone.now())

    assert list(Invitation.objects.open()) == [kept]


def test_offers_that_a_demoted_member_could_not_make_go_too(cast):
    amy = make_member("amy@example.test", cast.customer, Membership.Role.OWNER)
    invite(cast, "x@example.test", "owner", by=amy)
    kept = invite(cast, "y@example.test", "read_only", by=amy)

    people.change_role(
        actor=cast.actor(cast.alice),
        member=Membership.objects.get(user=amy),
        role="admin",
        at=timezone.now(),
    )

    assert list(Invitation.objects.open()) == [kept]


def test_nobody_joins_what_is_closed(cast):
    cast.customer.state = "closed"

    with pytest.raises(inviting.Refused, match="closed"):
        invite(cast)


def test_no_more_than_so_many_wait(cast, monkeypatch):
    monkeypatch.setattr(inviting, "MOST_OPEN", 2)
    invite(cast, "a@example.test")
    invite(cast, "b@example.test")

    with pytest.raises(inviting.Refused, match="wait already"):
        invite(cast, "c@example.test")
    invite(cast, "a@example.test")


def test_nobody_is_written_to_over_and_over(cast):
    """Whether by asking again, by writing again, or from several organisations."""
    invitation, alice = invite(cast), cast.actor(cast.alice)
    for _number in range(9):
        inviting.send_again(actor=alice, invitation=invitation, at=timezone.now())

    with pytest.raises(inviting.Refused, match="Many letters"):
        inviting.send_again(actor=alice, invitation=invitation, at=timezone.now())
    with pytest.raises(inviting.Refused, match="Many letters"):
        inviting.invite(
            actor=cast.actor(cast.charlie),
            organisation=cast.other_customer,
            email=invitation.email,
            role="admin",
            at=timezone.now(),
        )

    assert Invitation.objects.get().serial == 10
    invite(cast, "else@example.test")


# Addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a@b@c.test",
        "\u212aate@example.test",  # the sign of Kelvin, which becomes a plain k
        "a\u017f@example.test",
        "stra\u00dfe@example.test",
        "d\u0131ra@example.test",
        "dora@ex\u0430mple.test",
        "dora@example.test\nBcc: x@example.test",
        "dora\0@example.test",
        '"<script>"@example.test',
        "=cmd|'/c'!A1@",
        "a" * 250 + "@example.test",
        "dora@example.test, eve@example.test",
    ],
)
def test_what_is_no_plain_address_is_refused(cast, text):
    try:
        invitation = invite(cast, text)
    except inviting.Refused:
        assert not Invitation.objects.exists()
    else:
        assert text == '"<script>"@example.test'
        assert invitation.email == text


def test_capitals_and_blanks_are_one_address(cast):
    assert invite(cast, "  DoRa@EXAMPLE.test ").email == "dora@example.test"
