"""Another address to sign in with: the new one says yes, and the former one can say no."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts import address_changes, holding_back, links, notices
from accounts.access import Forbidden
from accounts.models import (
    AddressChange,
    Event,
    KnownAddress,
    Membership,
    Notice,
    OpenSession,
    Organisation,
    User,
)
from tests import newcomers
from tests.factories import AT, PASSWORD
from tests.hosting.test_admin import people_fields
from tests.newcomers import OPEN, SIGN_UP, form
from tests.staffing import stale, verified

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

SIGN_IN, ASK, KEEP = (
    "/account/sign-in",
    "/account/security/address",
    "/account/security/address/keep",
)
CONFIRM, TAKE_BACK = "/account/address/confirm", "/account/address/take-back"
OLD, NEW = "alice@example.test", "alice@new.test"


def signed_in(user):
    client = Client()
    client.post(SIGN_IN, {"username": user.email, "password": PASSWORD})
    return client


def is_in(client):
    return client.get("/overview/").status_code == 200


def ask(client, email=NEW, password=PASSWORD):
    return client.post(ASK, {"address-email": email, "address-password": password})


def letters():
    """What a worker sends now, by address."""
    mail.outbox.clear()
    notices.send_waiting(at=timezone.now())
    return {each.to[0]: each for each in mail.outbox}


def path_of(letter):
    found = re.search(r"/account/address/\S+\?token=\S+", letter.body)
    return found.group() if found else None


def asked(user, email=NEW, at=None):
    return address_changes.ask(user=user, email=email, at=at or timezone.now())


def made(user, email=NEW, at=None):
    at = at or timezone.now()
    change = asked(user, email, at)
    address_changes.confirm(token=links.to_change(change), at=at)
    change.refresh_from_db()
    user.refresh_from_db()
    return change


def email_of(user):
    return User.objects.get(pk=user.pk).email


# Asking and confirming ------------------------------------------------------------------


def test_new_address_confirms_and_is_signed_in_with(cast):
    client = signed_in(cast.alice)
    letters()
    page = ask(client, " Alice@NEW.test ")
    sent = letters()
    before = email_of(cast.alice)

    shown = Client().get(path_of(sent[NEW]))
    done = Client().post(path_of(sent[NEW]))

    assert page.status_code == 302
    assert set(sent) == {OLD, NEW}
    assert before == OLD
    assert shown.status_code == 200
    assert done.status_code == 302
    assert email_of(cast.alice) == NEW
    assert is_in(client)
    cast.alice.refresh_from_db()
    assert is_in(signed_in(cast.alice))
    fact = Event.objects.get(kind="user.address_changed")
    assert fact.data == {"email": {"old": OLD, "new": NEW}}
    assert "was changed" in letters()[OLD].subject


def set_by_staff(staff, user, email=NEW, **more):
    path = f"/staff/accounts/user/{user.pk}/change/"
    return staff.post(path, {**people_fields(user), "email": email, **more}, follow=True)


def test_address_that_staff_change_is_told_to_the_former_one_which_takes_it_back(cast, staff):
    Organisation.objects.create(kind="customer", name="Also hers", parent=cast.provider)
    also = Organisation.objects.get(name="Also hers")
    Membership.objects.create(user=cast.alice, organisation=also, role="owner")
    client = signed_in(cast.alice)

    set_by_staff(staff, cast.alice, "  Alice@New.test ")

    sent = letters()
    cast.alice.refresh_from_db()
    assert (cast.alice.email, cast.alice.email_verified_at) == (NEW, None)
    assert not is_in(client)
    assert not KnownAddress.objects.filter(user=cast.alice).exists()
    assert "Staff of" in sent[OLD].body
    assert "/account/confirm?token=" in sent[NEW].body
    told = Event.objects.filter(kind="user.address_set")
    assert {each.organisation for each in told} == {cast.customer, also}
    assert {each.actor_name for each in told} == {cast.sam.email}
    assert told[0].data["email"] == {"old": OLD, "new": NEW}
    assert not Event.objects.filter(kind="user.updated").exists()

    back = Client().post(path_of(sent[OLD]))

    assert back.status_code in {200, 302}
    assert email_of(cast.alice) == OLD


def test_former_address_that_somebody_else_reads_takes_nothing_back(cast, staff):
    set_by_staff(staff, cast.alice, is_former_lost="on")

    letter = letters()[OLD]

    assert path_of(letter) is None
    assert "cannot take the change back" in letter.body
    assert Event.objects.get(kind="user.address_set").data["former_is_lost"] is True


def test_staff_give_nobody_an_address_that_is_somebody_elses(cast, staff):
    client = signed_in(cast.alice)

    taken = set_by_staff(staff, cast.alice, cast.bob.email.upper())
    made(cast.bob, "bob@new.test")
    former = set_by_staff(staff, cast.alice, "bob@example.test")

    for answer in (taken, former):
        assert answer.context["adminform"].form.errors["email"]
    assert email_of(cast.alice) == OLD
    assert is_in(client)


def test_a_change_that_waited_is_called_off_when_staff_change_the_address(cast, staff):
    change = asked(cast.alice, "third@new.test")

    set_by_staff(staff, cast.alice)

    change.refresh_from_db()
    assert change.state == AddressChange.State.CALLED_OFF
    with pytest.raises(links.NotValid):
        address_changes.confirm(token=links.to_change(change), at=timezone.now())


def test_the_address_that_holds_already_is_no_change(cast):
    sam = cast.actor(cast.sam)
    with pytest.raises(address_changes.Refused):
        address_changes.set_by_staff(
            actor=sam, user=cast.bob, email=" BOB@example.test", is_former_lost=False, at=AT
        )


@pytest.mark.parametrize("person", ["alice", "rita"])
def test_nobody_but_an_operator_sets_an_address(person, cast):
    with pytest.raises(Forbidden):
        address_changes.set_by_staff(
            actor=cast.actor(getattr(cast, person)),
            user=cast.bob,
            email=NEW,
            is_former_lost=False,
            at=timezone.now(),
        )


def test_another_name_alone_is_told_in_every_organisation(cast, staff):
    also = Organisation.objects.create(kind="customer", name="Also hers", parent=cast.provider)
    Membership.objects.create(user=cast.alice, organisation=also, role="owner")

    set_by_staff(staff, cast.alice, OLD, name="Alicia")

    told = Event.objects.filter(kind="user.updated")
    assert {each.organisation for each in told} == {cast.customer, also}
    assert told[0].data == {"name": {"old": "Alice", "new": "Alicia"}}
    assert Notice.objects.count() == 0


def test_password_is_asked_for_and_its_tries_count(cast):
    client = signed_in(cast.alice)

    statuses = [ask(client, password="wrong").status_code for _ in range(6)]

    assert statuses == [200] * 5 + [429]
    assert not AddressChange.objects.exists()


def test_who_has_a_second_factor_proves_it_before_the_address_changes(cast):
    client = verified(cast.alice)

    led_away = ask(stale(client))
    none_yet = AddressChange.objects.exists()
    ask(verified(cast.alice, client))

    assert led_away.headers["Location"].startswith("/account/second-factor/")
    assert not none_yet
    assert AddressChange.objects.get().new_email == NEW


def test_looking_changes_nothing(cast):
    change = asked(cast.alice)

    for path, token in (
        (CONFIRM, links.to_change(change)),
        (TAKE_BACK, links.to_take_back(change)),
    ):
        for method in ("get", "head"):
            assert getattr(Client(), method)(f"{path}?token={token}").status_code == 200

    assert email_of(cast.alice) == OLD
    change.refresh_from_db()
    assert change.state == "asked"


@pytest.mark.parametrize("email", ["", "x", OLD, "Alice@Example.test", "a" * 250 + "@new.test"])
def test_what_is_no_other_address_is_refused(email, cast):
    response = ask(signed_in(cast.alice), email)

    assert response.status_code == 200
    assert not AddressChange.objects.exists()


def test_link_works_once_and_not_after_another_wish(cast):
    first = asked(cast.alice, "first@new.test")
    second = asked(cast.alice, "second@new.test")
    path = f"{CONFIRM}?token={links.to_change(second)}"

    statuses = [
        Client().post(f"{CONFIRM}?token={links.to_change(first)}").status_code,
        Client().post(path).status_code,
        Client().post(path).status_code,
    ]

    assert statuses == [404, 302, 404]
    assert email_of(cast.alice) == "second@new.test"


def test_one_change_waits_for_each_person(cast):
    change = asked(cast.alice)
    another = AddressChange(
        user=cast.alice, old_email=OLD, old_was_verified=True, new_email="x@y.test", asked_at=AT
    )

    with pytest.raises(IntegrityError), transaction.atomic():
        another.save()
    assert str(change) == f"{OLD} → {NEW}"


def test_person_calls_it_off(cast):
    client, change = signed_in(cast.alice), asked(cast.alice)
    listed = client.get("/account/security").content.decode()

    client.post(KEEP)
    client.post(KEEP)

    assert NEW in listed
    assert NEW not in client.get("/account/security").content.decode()
    assert Client().get(f"{CONFIRM}?token={links.to_change(change)}").status_code == 404
    assert Event.objects.filter(kind="user.address_change_called_off").count() == 1


def test_nobody_else_calls_it_off(cast):
    change = asked(cast.alice)

    signed_in(cast.bob).post(KEEP)

    change.refresh_from_db()
    assert change.state == "asked"


def test_five_wishes_a_day(cast):
    for number in range(5):
        asked(cast.alice, f"{number}@new.test")

    with pytest.raises(holding_back.TooOften):
        asked(cast.alice)


def test_letters_that_leave_too_late_have_no_link(cast):
    asked(cast.alice)
    address_changes.call_off(user=cast.alice, at=AT)

    sent = letters()

    assert path_of(sent[NEW]) is None
    assert "called off" in sent[NEW].body


# Addresses of others --------------------------------------------------------------------


def test_page_says_nothing_of_an_address_that_is_somebody_s(cast):
    client, told, nobody = signed_in(cast.alice), [], "nobody@example.test"
    for email in (cast.charlie.email, nobody):
        ask(client, email)
        page = client.get("/account/security").content.decode()
        told.append(re.sub(r'value="[^"]*"', "", page).replace(email, "…"))
    AddressChange.objects.filter(new_email=cast.charlie.email).update(state="asked", user=cast.bob)
    sent = letters()

    assert told[0] == told[1]
    assert path_of(sent[cast.charlie.email]) is None
    assert "There is one with it" in sent[cast.charlie.email].body
    assert path_of(sent[nobody])


def test_address_that_somebody_took_meanwhile_is_not_taken_away(cast):
    change = asked(cast.alice)
    User.objects.create_user(NEW, PASSWORD)

    response = Client().post(f"{CONFIRM}?token={links.to_change(change)}")

    assert response.status_code == 404
    assert "Somebody else signs in with this address" in response.content.decode()
    assert email_of(cast.alice) == OLD
    change.refresh_from_db()
    assert change.state == "asked"


def test_the_database_has_the_last_word_on_who_has_an_address(cast, monkeypatch):
    change = asked(cast.alice)
    User.objects.create_user(NEW, PASSWORD)
    monkeypatch.setattr(address_changes, "is_taken", lambda *_given, **_named: False)

    with pytest.raises(address_changes.Refused):
        address_changes.confirm(token=links.to_change(change), at=timezone.now())

    assert email_of(cast.alice) == OLD


def test_former_address_is_nobody_else_s_while_it_can_come_back(cast):
    change = made(cast.alice)
    path = f"{OPEN}?token={links.to_sign_up(links.SignUp(email=OLD, seller_id=None))}"

    during = Client().post(path, form())
    AddressChange.objects.filter(pk=change.pk).update(made_at=timezone.now() - timedelta(days=8))
    after = Client().post(path, form())

    assert (during.status_code, after.status_code) == (404, 302)


def test_who_signs_up_with_a_former_address_is_told_nothing_of_it(cast):
    made(cast.alice)
    notices.send_waiting(at=timezone.now())

    Client().post(SIGN_UP, {"email": OLD})
    (letter,) = newcomers.letters()

    assert letter.to == [OLD]
    assert OPEN not in letter.body
    assert NEW not in letter.body


# Taking it back -------------------------------------------------------------------------


def test_former_address_takes_back_what_a_thief_did(cast):
    thief = signed_in(cast.alice)
    ask(thief, "thief@evil.test")
    sent = letters()
    Client().post(path_of(sent["thief@evil.test"]))
    told = letters()[OLD]
    assert email_of(cast.alice) == "thief@evil.test"

    shown = Client().get(path_of(told))
    done = Client().post(path_of(told))

    cast.alice.refresh_from_db()
    assert shown.status_code == done.status_code == 200
    assert cast.alice.email == OLD
    assert not is_in(thief)
    assert not cast.alice.check_password(PASSWORD)
    assert cast.alice.has_usable_password()
    assert not OpenSession.objects.filter(user=cast.alice).exists()
    assert "/account/password/new?token=" in letters()[OLD].body
    assert Event.objects.filter(kind="user.address_change_taken_back").count() == 1


def test_link_to_take_back_works_before_the_change_too(cast):
    change = asked(cast.alice, "thief@evil.test")

    Client().post(f"{TAKE_BACK}?token={links.to_take_back(change)}")

    assert Client().post(f"{CONFIRM}?token={links.to_change(change)}").status_code == 404
    cast.alice.refresh_from_db()
    assert cast.alice.email == OLD
    assert not cast.alice.check_password(PASSWORD)


def test_it_works_once_and_for_seven_days(cast):
    change = made(cast.alice)
    token = links.to_take_back(change)
    AddressChange.objects.update(made_at=timezone.now() - timedelta(days=7, minutes=1))
    late = Client().post(f"{TAKE_BACK}?token={token}").status_code
    AddressChange.objects.update(made_at=timezone.now() - timedelta(days=6, hours=23))

    statuses = [Client().post(f"{TAKE_BACK}?token={token}").status_code for _ in range(2)]

    assert late == 404
    assert statuses == [200, 404]


def test_a_chain_of_changes_comes_back_to_where_it_began(cast):
    first = made(cast.alice, "one@evil.test")
    second = made(cast.alice, "two@evil.test")

    address_changes.take_back(token=links.to_take_back(first), at=timezone.now())

    assert email_of(cast.alice) == OLD
    with pytest.raises(links.NotValid):
        address_changes.take_back(token=links.to_take_back(second), at=timezone.now())
    assert email_of(cast.alice) == OLD


def test_thief_does_not_bar_the_way_back_by_another_account(cast):
    change = made(cast.alice, "thief@evil.test")
    asked(cast.charlie, OLD)
    with pytest.raises(address_changes.Refused):
        address_changes.confirm(
            token=links.to_change(AddressChange.objects.get(user=cast.charlie)), at=timezone.now()
        )

    address_changes.take_back(token=links.to_take_back(change), at=timezone.now())

    assert email_of(cast.alice) == OLD


def test_address_that_others_have_by_now_stays_theirs_and_the_page_says_so(cast):
    change = made(cast.alice)
    User.objects.create_user(OLD, PASSWORD)

    response = Client().post(f"{TAKE_BACK}?token={links.to_take_back(change)}")

    assert response.status_code == 404
    assert "Somebody else signs in" in response.content.decode()
    assert email_of(cast.alice) == NEW


def test_address_that_was_never_confirmed_takes_nothing_back(cast):
    User.objects.filter(pk=cast.alice.pk).update(email_verified_at=None)
    asked(cast.alice)

    sent = letters()

    assert path_of(sent[OLD]) is None
    assert "never confirmed" in " ".join(sent[OLD].body.split())
    assert path_of(sent[NEW]).startswith(CONFIRM)


def test_new_address_is_confirmed_by_the_link_that_changes_it(cast):
    User.objects.filter(pk=cast.alice.pk).update(email_verified_at=None)
    cast.alice.refresh_from_db()

    made(cast.alice)

    assert cast.alice.email_verified_at is not None


@pytest.mark.parametrize("path", [CONFIRM, TAKE_BACK])
@pytest.mark.parametrize("token", ["", "x", "1:2:3", "a" * 5000, "%00", "é"])
def test_link_that_never_was_one_is_dead(path, token, cast):
    response = Client().post(f"{path}?token={token}")

    assert response.status_code in {400, 404}


def test_who_was_shut_out_comes_back_by_no_link(cast):
    change = made(cast.alice)
    User.objects.filter(pk=cast.alice.pk).update(is_active=False)

    assert Client().post(f"{TAKE_BACK}?token={links.to_take_back(change)}").status_code == 404
