"""A lost second factor: nobody comes in sooner, and everybody hears of it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import lost_links, membership, notices, sealing
from accounts.access import Forbidden, system
from accounts.models import (
    Authenticator,
    Event,
    FactorLoss,
    Membership,
    Notice,
    Organisation,
    RecoveryCode,
)
from accounts.second_factor import authenticators, losing, recovery_codes
from tests.factories import AT, PASSWORD, make_member
from tests.staffing import SECRET, by_password_alone, signed_in, verified

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

LOST = "/account/second-factor/lost"
DAY = timedelta(days=1)


@pytest.fixture
def alice(cast):
    authenticators.give(cast.alice, secret=SECRET)
    return cast.alice


@pytest.fixture
def loss(cast, alice):
    return losing.ask(token=lost_links.asking_token(alice), address="192.0.2.7", at=AT)


def letters(what=None):
    found = Notice.objects.filter(name="second_factor_loss").order_by("to")
    return [each.to for each in found if what in {None, each.context["what"]}]


def link_in(message):
    return re.search(r"https?://[^/]+(/account/second-factor/\S+)", message.body)[1]


def everybody(cast):
    return sorted([cast.alice.email, cast.rita.email])


# Asking ---------------------------------------------------------------------------------


def test_asking_takes_the_password_and_a_letter_and_then_waits(cast, alice):
    browser = by_password_alone(alice)
    browser.post(LOST, {"password": PASSWORD})
    notices.send_waiting(at=timezone.now())
    path = link_in(mail.outbox[0])
    mail.outbox.clear()

    Client().get(path)
    assert not FactorLoss.objects.exists()
    Client().post(path)

    waiting = FactorLoss.objects.get()
    assert waiting.due_at - waiting.asked_at == 3 * DAY
    assert letters("asked") == everybody(cast)
    assert Authenticator.objects.exists()
    assert browser.get("/overview/").status_code == 302
    assert Client().post(path).status_code == 404


def test_a_wrong_password_writes_no_letter(alice):
    answer = by_password_alone(alice).post(LOST, {"password": "wrong"})

    assert answer.context["form"].errors["password"]
    assert not Notice.objects.exists()


def test_letters_are_not_sent_without_end(alice):
    browser = by_password_alone(alice)
    answers = [browser.post(LOST, {"password": PASSWORD}).status_code for _ in range(5)]

    assert answers == [200, 200, 200, 429, 429]
    assert Notice.objects.count() == 3


def test_a_stranger_learns_nothing(cast, alice):
    """Whoever has no password is led to the sign-in, and a link of one's own making is none."""
    nobody = Client().post(LOST, {"password": PASSWORD})
    made_up = Client().post(f"{LOST}/made-up")
    other = Client().post(f"{LOST}/{lost_links.calling_off_token('x', to='x')}")

    assert nobody.headers["Location"].startswith("/account/sign-in")
    assert (made_up.status_code, other.status_code) == (404, 404)


def test_a_link_is_too_old_after_a_day(alice, monkeypatch):
    token = lost_links.asking_token(alice)
    real = lost_links.signing.time.time
    monkeypatch.setattr("django.core.signing.time.time", lambda: real() + 86_500)

    with pytest.raises(lost_links.NotValid):
        lost_links.asker(token)


def test_a_link_to_a_former_address_begins_nothing(alice):
    former, token = alice.email, lost_links.asking_token(alice)
    alice.email = "another@example.test"
    alice.save(update_fields=["email"])

    with pytest.raises(lost_links.NotValid):
        lost_links.asker(token)
    assert lost_links.of_letter({"asking": alice.pk}, to=former) is None


def test_who_has_none_has_nothing_to_lose(cast):
    answer = signed_in(cast.bob).post(LOST, {"password": PASSWORD})

    assert answer.headers["Location"] == "/account/second-factor/enrol"
    with pytest.raises(losing.NothingToLose):
        losing.send_link(user=cast.bob, at=AT)


def test_a_second_asking_changes_nothing(cast, alice, loss):
    with pytest.raises(losing.WaitsAlready):
        losing.ask(token=lost_links.asking_token(alice), address="", at=AT + DAY)

    loss.refresh_from_db()
    assert loss.due_at == AT + 3 * DAY


def test_asking_is_noted_in_each_organisation(cast, loss):
    fact = Event.objects.get(kind="second_factor.lost")

    assert (fact.organisation, fact.subject_name) == (cast.customer, cast.alice.email)


# Telling --------------------------------------------------------------------------------


def test_everybody_is_told_every_day(cast, loss):
    assert letters() == everybody(cast)
    counts = [losing.remind(at=AT + hours) for hours in map(hours_, (1, 24, 25, 48, 71, 100))]

    assert counts == [0, 1, 0, 1, 0, 0]
    assert letters("reminder") == sorted(everybody(cast) * 2)


def hours_(number):
    return timedelta(hours=number)


def test_all_owners_and_the_seller_s_are_told_and_nobody_else(cast, alice):
    Membership.objects.filter(user=cast.bob).update(role="owner")
    Membership.objects.create(user=alice, organisation=cast.other_customer, role="read_only")
    for role in ("admin", "billing", "read_only"):
        make_member(f"{role}@example.test", cast.customer, role)
        make_member(f"sells-{role}@example.test", cast.reseller, role)
    for role in ("support", "staff_billing"):
        make_member(f"{role}@example.test", cast.provider, role)

    losing.ask(token=lost_links.asking_token(alice), address="", at=AT)

    # The house sells to Juniper, and operators are to it what owners are elsewhere.
    told = [cast.alice, cast.bob, cast.charlie, cast.rita, cast.sam]
    assert letters() == sorted(each.email for each in told)


def test_letter_says_who_when_and_from_where_and_carries_a_link(cast, loss):
    notices.send_waiting(at=timezone.now())
    [letter] = [each for each in mail.outbox if each.to == [cast.rita.email]]

    assert letter.subject == "The second factor of alice@example.test will be removed"
    assert "192.0.2.7" in letter.body
    assert "2026-11-05 09:30 UTC" in letter.body
    assert link_in(letter).startswith("/account/second-factor/found/")


# Calling off ----------------------------------------------------------------------------


def test_anybody_who_was_written_to_calls_it_off(cast, loss):
    notices.send_waiting(at=timezone.now())
    [letter] = [each for each in mail.outbox if each.to == [cast.rita.email]]
    path = link_in(letter)

    Client().get(path)
    loss.refresh_from_db()
    assert loss.state == "waiting"
    Client().post(path)

    loss.refresh_from_db()
    assert (loss.state, loss.ended_by) == ("called_off", cast.rita.email)
    assert letters("called_off") == everybody(cast)
    assert Client().post(path).status_code == 404
    assert losing.finish_due(at=AT + 10 * DAY) == 0
    assert Authenticator.objects.exists()


def test_signing_in_with_the_lost_device_calls_it_off(cast, loss):
    code = authenticators.code_at(SECRET, at=timezone.now())

    by_password_alone(cast.alice).post("/account/second-factor/", {"code": code})

    loss.refresh_from_db()
    assert loss.state == "called_off"


def test_a_code_on_paper_calls_it_off_too(cast, loss):
    _codes, told = recovery_codes.make(cast.alice, at=AT)

    by_password_alone(cast.alice).post("/account/second-factor/", {"code": told[0]})

    loss.refresh_from_db()
    assert loss.state == "called_off"


def test_the_password_alone_calls_nothing_off(cast, loss):
    Client().post("/account/sign-in", {"username": cast.alice.email, "password": PASSWORD})

    loss.refresh_from_db()
    assert loss.state == "waiting"


# The end of the wait --------------------------------------------------------------------


def test_after_the_wait_all_factors_go_and_all_sessions_end(cast, loss):
    recovery_codes.make(cast.alice, at=AT)
    inside, half = verified(cast.alice), by_password_alone(cast.alice)
    charlie = signed_in(cast.charlie)
    losing.finish_due(at=AT + 3 * DAY - timedelta(seconds=1))
    assert Authenticator.objects.exists()

    assert losing.finish_due(at=AT + 3 * DAY) == 1

    assert not Authenticator.objects.filter(user=cast.alice).exists()
    assert not RecoveryCode.objects.exists()
    for browser in (inside, half):
        assert browser.get("/overview/").headers["Location"].startswith("/account/sign-in")
    assert charlie.get("/overview/").status_code == 200
    assert letters("done") == everybody(cast)
    assert losing.finish_due(at=AT + 4 * DAY) == 0


def test_next_sign_in_asks_for_a_new_device_whatever_the_organisation_asks(cast, loss):
    losing.finish_due(at=AT + 3 * DAY)
    browser = Client()
    browser.post("/account/sign-in", {"username": cast.alice.email, "password": PASSWORD})

    page = browser.get("/overview/", follow=True)
    assert page.request["PATH_INFO"] == "/account/second-factor/enrol"
    device = Authenticator.objects.get(user=cast.alice)
    secret = sealing.open_sealed(device.sealed_secret)
    code = authenticators.code_at(secret, at=timezone.now())
    browser.post("/account/second-factor/enrol", {"code": code, "name": "New phone"})

    assert browser.get("/overview/").status_code == 200
    loss.refresh_from_db()
    assert loss.state == "replaced"


# For somebody else ----------------------------------------------------------------------


def page(organisation, more=""):
    return f"/organisations/{organisation.uuid}/second-factor/lost{more}"


def test_an_owner_asks_for_a_member(cast):
    authenticators.give(cast.bob, secret=SECRET)
    form = {"email": cast.bob.email, "reason": "His phone fell into the sea."}

    signed_in(cast.alice).post(page(cast.customer), form)

    waiting = FactorLoss.objects.get()
    assert (waiting.user, waiting.asked_by) == (cast.bob, cast.alice.email)
    assert waiting.due_at - waiting.asked_at == 3 * DAY
    assert "fell into the sea" in str(list(Notice.objects.values_list("context", flat=True)))
    assert cast.bob.email in letters()


@pytest.mark.parametrize(
    "form",
    [
        {"email": "charlie@example.test", "reason": "x"},
        {"email": "nobody@example.test", "reason": "x"},
        {"email": "bob@example.test", "reason": "   "},
        {"email": "alice@example.test", "reason": "x"},
    ],
)
def test_an_owner_asks_for_members_with_a_device_only(form, cast):
    """A stranger's address and one that nobody has are answered alike."""
    authenticators.give(cast.charlie, secret=SECRET)
    authenticators.give(cast.bob, secret=SECRET)

    answer = signed_in(cast.alice).post(page(cast.customer), form)

    assert answer.status_code == 422
    assert not FactorLoss.objects.exists()


def test_owner_calls_it_off_for_a_member_and_nobody_elsewhere_does(cast, loss):
    path = page(cast.customer, f"/{loss.uuid}/call-off")
    other = page(cast.other_customer, f"/{loss.uuid}/call-off")

    assert signed_in(cast.charlie).post(path).status_code == 404
    assert signed_in(cast.charlie).post(other).status_code == 404
    assert by_password_alone(cast.alice).post(path).status_code == 302
    loss.refresh_from_db()
    assert loss.state == "waiting"
    signed_in(cast.rita).post(path)
    loss.refresh_from_db()
    assert loss.state == "called_off"


def test_read_only_asks_for_nobody(cast, alice):
    with pytest.raises(Forbidden):
        losing.ask_for(
            actor=membership.actor_for(cast.bob),
            user=alice,
            organisation=cast.customer,
            reason="x",
            at=AT,
        )


# Staff ----------------------------------------------------------------------------------


def test_staff_make_the_wait_shorter_but_never_less_than_a_day(cast, loss):
    sam = membership.actor_for(cast.sam)
    at = AT + hours_(2)
    for due_at in (AT, at, AT + hours_(23)):
        with pytest.raises(losing.TooShort):
            losing.hasten(actor=sam, loss=loss, due_at=due_at, reason="Met her", at=at)
    with pytest.raises(losing.NeedsReason):
        losing.hasten(actor=sam, loss=loss, due_at=AT + DAY, reason=" ", at=at)
    rita = membership.actor_for(cast.rita)
    with pytest.raises(Forbidden):
        losing.hasten(actor=rita, loss=loss, due_at=AT + DAY, reason="x", at=at)

    losing.hasten(actor=sam, loss=loss, due_at=AT + DAY, reason="Met her", at=at)

    loss.refresh_from_db()
    assert loss.due_at == AT + DAY
    assert letters("hastened") == everybody(cast)
    fact = Event.objects.get(kind="second_factor.loss_hastened")
    assert (fact.actor_name, fact.data["reason"]) == (cast.sam.email, "Met her")


def test_staff_cannot_make_it_longer_or_touch_what_is_over(cast, loss):
    sam = membership.actor_for(cast.sam)
    with pytest.raises(losing.Over):
        losing.hasten(actor=sam, loss=loss, due_at=AT + 9 * DAY, reason="x", at=AT)
    losing.call_off(loss=loss, actor=system("tests"), at=AT)

    with pytest.raises(losing.Over):
        losing.hasten(actor=sam, loss=loss, due_at=AT + DAY, reason="x", at=AT)
    with pytest.raises(losing.Over):
        losing.call_off(loss=loss, actor=sam, at=AT)


def test_whoever_belongs_nowhere_is_told_alone_and_the_house_keeps_the_fact(cast, alice):
    Membership.objects.filter(user=alice).delete()

    losing.ask(token=lost_links.asking_token(alice), address="", at=AT)
    losing.finish_due(at=AT + 3 * DAY)

    assert set(letters()) == {alice.email}
    assert Event.objects.get(kind="second_factor.lost").organisation == cast.provider
    assert Organisation.objects.count() == 4
