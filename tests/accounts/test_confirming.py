"""Confirming an e-mail address: by a letter, once, and by nobody who only looks."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import confirming, invitations, inviting, links, notices
from accounts.access import system
from accounts.models import Event, Notice, User
from hosting import ordering, public_ids
from hosting.models import Plan
from tests.factories import AT, PASSWORD
from tests.hosting.api.caller import Caller, make_key
from tests.newcomers import signed_up

pytestmark = pytest.mark.django_db(databases="__all__")

CONFIRM, AGAIN = "/account/confirm", "/account/confirm/send"
BANNER = "Please confirm"


@pytest.fixture
def unconfirmed(cast):
    """Alice, while nobody has confirmed her address."""
    User.objects.filter(pk=cast.alice.pk).update(email_verified_at=None)
    cast.alice.refresh_from_db()
    return cast.alice


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


def path_of(user):
    return f"{CONFIRM}?token={links.to_confirm(user)}"


def is_confirmed(user):
    user.refresh_from_db()
    return user.email_verified_at is not None


def order(cast, actor, local_part="news"):
    return ordering.order(
        actor=actor,
        domain=cast.domain,
        local_part=local_part,
        plan=Plan.objects.get(slug="pop"),
        at=timezone.now(),
    )


def test_letter_has_a_link_that_confirms(unconfirmed):
    client = client_of(unconfirmed)
    before = client.get("/overview/").content.decode()
    client.post(AGAIN)
    notices.send_waiting(at=timezone.now())
    (letter,) = mail.outbox
    path = re.search(r"/account/confirm\?token=\S+", letter.body).group()

    shown = Client().get(path)
    done = Client().post(path)

    assert letter.to == ["alice@example.test"]
    assert BANNER in before
    assert shown.status_code == 200
    assert done.status_code == 302
    assert is_confirmed(unconfirmed)
    assert BANNER not in client.get("/overview/").content.decode()
    assert Event.objects.filter(kind="user.address_confirmed").exists()


def test_who_signs_up_has_confirmed_by_that(cast):
    client = Client()
    signed_up(client)
    mail.outbox.clear()
    notices.send_waiting(at=timezone.now())

    assert is_confirmed(User.objects.get(email="dora@example.test"))
    assert BANNER not in client.get("/overview/").content.decode()
    assert mail.outbox == []


def test_programs_that_follow_links_confirm_nothing(unconfirmed):
    for method in ("get", "head"):
        getattr(Client(), method)(path_of(unconfirmed))

    assert not is_confirmed(unconfirmed)


def test_link_works_once(unconfirmed):
    path = path_of(unconfirmed)

    statuses = [Client().post(path).status_code for _ in range(2)]

    assert statuses == [302, 404]
    assert Event.objects.filter(kind="user.address_confirmed").count() == 1


def test_two_at_once_confirm_once(unconfirmed, monkeypatch):
    token = links.to_confirm(unconfirmed)
    confirming.confirm(token=token, at=AT)
    monkeypatch.setattr(links, "confirms", lambda _token: unconfirmed)

    confirming.confirm(token=token, at=AT + timedelta(hours=1))

    unconfirmed.refresh_from_db()
    assert unconfirmed.email_verified_at == AT
    assert Event.objects.filter(kind="user.address_confirmed").count() == 1


def test_link_is_for_the_address_that_it_was_sent_to(unconfirmed):
    path = path_of(unconfirmed)
    User.objects.filter(pk=unconfirmed.pk).update(email="other@example.test")

    assert Client().post(path).status_code == 404
    assert not is_confirmed(unconfirmed)


def test_link_grows_old(unconfirmed, monkeypatch):
    path = path_of(unconfirmed)
    monkeypatch.setattr(links, "VALID_FOR", timedelta(seconds=-1))

    assert Client().get(path).status_code == 404


@pytest.mark.parametrize("token", ["", "x", "1:2:3", "a" * 5000, "..%2f", "é"])
def test_link_that_never_was_one_is_dead(token, unconfirmed):
    assert Client().post(f"{CONFIRM}?token={token}").status_code == 404


def test_letter_is_sent_again_three_times_an_hour(unconfirmed):
    client = client_of(unconfirmed)

    pages = [client.post(AGAIN, follow=True).content.decode() for _ in range(5)]

    sent = ["is on its way" in page for page in pages]
    assert sent == [True] * 3 + [False] * 2
    assert "was sent several times already" in pages[-1]
    assert Notice.objects.filter(name="confirm_address").count() == 3


def test_nothing_is_sent_to_who_has_confirmed(cast):
    client_of(cast.alice).post(AGAIN)

    assert not Notice.objects.filter(name="confirm_address").exists()


def test_letter_that_comes_too_late_says_that_there_is_nothing_to_do(unconfirmed):
    confirming.ask(user=unconfirmed, at=AT)
    User.objects.update(email_verified_at=AT)
    notices.send_waiting(at=timezone.now())

    (letter,) = mail.outbox
    assert "There is nothing to do" in letter.body
    assert "token" not in letter.body


def invite(cast, email):
    return inviting.invite(
        actor=cast.actor(cast.charlie),
        organisation=cast.other_customer,
        email=email,
        role="admin",
        at=timezone.now(),
    )


def link_of(invitation):
    return f"/account/invitation/{invitations.token_for(invitation)}"


def test_invitation_that_was_accepted_confirms(cast):
    path = link_of(invite(cast, "guest@example.test"))

    Client().get(path)
    before = User.objects.filter(email="guest@example.test").exists()
    Client().post(path, {"name": "Guest", "password": PASSWORD})

    assert not before
    assert is_confirmed(User.objects.get(email="guest@example.test"))


def test_invitation_that_somebody_with_an_account_accepts_confirms(cast, unconfirmed):
    path, client = link_of(invite(cast, unconfirmed.email)), client_of(unconfirmed)

    client.get(path)
    before = is_confirmed(unconfirmed)
    client.post(path)

    assert not before
    assert is_confirmed(unconfirmed)
    assert cast.actor(unconfirmed).roles[cast.other_customer.pk] == "admin"


def test_invitation_that_is_too_late_confirms_nothing(cast, unconfirmed):
    invitation = invite(cast, unconfirmed.email)
    path, client = link_of(invitation), client_of(unconfirmed)
    inviting.withdraw(actor=cast.actor(cast.charlie), invitation=invitation, at=AT)

    assert client.post(path).status_code == 404
    assert not is_confirmed(unconfirmed)


def test_who_signed_up_with_an_address_that_is_not_theirs_joins_nothing_without_the_letter(cast):
    """Being invited gives no role to whoever took the address first."""
    squatter = User.objects.create_user("dora@example.test", PASSWORD, name="Eve")
    client = client_of(squatter)

    invitation = invite(cast, "Dora@example.test")
    inviting.send_again(actor=cast.actor(cast.charlie), invitation=invitation, at=timezone.now())
    shown = client.get("/overview/").content.decode()
    tried = [
        client.post(f"/account/invitation/{name}").status_code
        for name in (invitation.uuid, invitation.uuid.hex, invitation.pk)
    ]

    assert tried == [404] * 3
    assert cast.other_customer.name not in shown
    assert "/account/invitation/" not in shown
    assert dict(cast.actor(squatter).roles) == {}
    assert not is_confirmed(squatter)
    assert client.get(f"/people/{cast.other_customer.uuid}/").status_code == 404


def test_nobody_takes_an_account_whose_address_is_not_confirmed_by_an_invitation(cast):
    """Whoever knows its password signs in, even with the letter at hand."""
    User.objects.create_user("dora@example.test", PASSWORD, name="Eve")
    path = link_of(invite(cast, "dora@example.test"))

    answer = Client().post(path, {"name": "Dora", "password": "some other plain words"})

    squatter = User.objects.get(email="dora@example.test")
    assert "/account/sign-in" in answer.content.decode()
    assert squatter.check_password(PASSWORD)
    assert dict(cast.actor(squatter).roles) == {}


def test_address_that_staff_type_is_unconfirmed(cast, staff):
    page = f"/staff/accounts/user/{cast.alice.pk}/change/"
    form = staff.get(page).context["adminform"].form.initial
    asked = {name: "" if form[name] is None else form[name] for name in ("email", "name")}
    inline = {
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    }

    staff.post(page, {**asked, **inline, "is_active": "on"})
    still = is_confirmed(cast.alice)
    staff.post(page, {**asked, **inline, "is_active": "on", "email": "alice@new.test"})

    assert still
    assert not is_confirmed(cast.alice)
    assert cast.alice.email == "alice@new.test"


# Ordering -------------------------------------------------------------------------------


def test_ordering_waits_for_nothing_unless_it_is_set(cast, unconfirmed):
    assert order(cast, cast.actor(unconfirmed)).address == "news@alder.test"


def test_ordering_waits_for_the_confirmation_where_it_is_set(cast, unconfirmed, settings):
    settings.VERIFIED_TO_ORDER = True

    with pytest.raises(confirming.NotConfirmed, match="Confirm your e-mail address first"):
        order(cast, cast.actor(unconfirmed))
    page = client_of(unconfirmed).post(
        "/mailboxes/order",
        {"domain": "alder.test", "local_part": "news", "protocol": "pop", "label": ""},
    )
    confirming.confirm(token=links.to_confirm(unconfirmed), at=AT)

    assert page.status_code == 422
    assert "Confirm your e-mail address first" in page.content.decode()
    assert order(cast, cast.actor(unconfirmed))


def test_the_house_itself_waits_for_nobody(cast, unconfirmed, settings):
    settings.VERIFIED_TO_ORDER = True

    assert order(cast, system("imports"))


def test_keys_order_for_owners_who_have_confirmed(cast, unconfirmed, twin, settings):
    settings.VERIFIED_TO_ORDER = True
    caller = Caller(make_key(cast.customer).secret)
    wanted = {
        "domain_id": public_ids.encode("dom", cast.domain.uuid),
        "local_part": "news",
        "plan": "pop",
    }

    refused = caller.post("/mailboxes", wanted)
    User.objects.update(email_verified_at=AT)
    taken = caller.post("/mailboxes", wanted)

    assert refused.status_code == 403
    assert "Confirm your e-mail address first" in refused.json()["detail"]
    assert taken.status_code == 201
