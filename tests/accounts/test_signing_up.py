"""Opening an account by oneself: a letter to whoever asked, and an account for who reads it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail, signing
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import links, membership, notices, rate_limits, signing_up, tasks
from accounts.models import Event, Membership, Notice, Organisation, SignUpRequest, User
from hosting import schedule
from tests.factories import AT, PASSWORD, make_member
from tests.newcomers import OPEN, SIGN_UP, asked, form, letters, path_in, signed_up

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

EMAIL = "dora@example.test"
HOME = "192.0.2.7"


def ask(email=EMAIL, address=HOME):
    return Client(REMOTE_ADDR=address).post(SIGN_UP, {"email": email})


def path_for(email=EMAIL, seller_id=None):
    return f"{OPEN}?token={links.to_sign_up(links.SignUp(email=email, seller_id=seller_id))}"


def text_of(response):
    return response.content.decode()


# The letter -----------------------------------------------------------------------------


def test_letter_leads_to_an_account_with_a_confirmed_address(cast):
    client = Client(REMOTE_ADDR=HOME)
    told = client.post(SIGN_UP, {"email": "  Dora@EXAMPLE.test "})
    (letter,) = letters()
    shown = client.get(path_in(letter))
    done = client.post(path_in(letter), form(email="other@example.test"))

    assert "We have written to you at" in text_of(told)
    assert letter.to == [EMAIL]
    assert EMAIL in text_of(shown)
    assert 'type="email"' not in text_of(shown)
    assert done.headers["Location"] == "/overview/"
    dora = User.objects.get(email=EMAIL)
    assert dora.email_verified_at is not None
    assert dora.check_password(PASSWORD)
    assert not User.objects.filter(email="other@example.test").exists()
    assert Organisation.objects.get(name="Hazel").parent == cast.provider
    assert Event.objects.get(kind="organisation.created").actor_name == EMAIL
    assert client.get("/overview/").status_code == 200


@pytest.mark.parametrize("kind", ["owner", "guest", "shut out", "staff"])
def test_whoever_has_an_account_is_told_so_and_gets_no_link(kind, cast):
    User.objects.create_user("guest@example.test")
    gone = make_member("gone@example.test", cast.customer, Membership.Role.ADMIN)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    email = {
        "owner": "alice@example.test",
        "guest": "guest@example.test",
        "shut out": "gone@example.test",
        "staff": "sam@example.test",
    }[kind]

    ask(email.upper())
    (letter,) = letters()

    assert letter.to == [email]
    assert "You have one already" in letter.body
    assert "/account/sign-in" in letter.body
    assert "/account/password/forgotten" in letter.body
    assert OPEN not in letter.body + letter.alternatives[0].content
    assert cast.customer.name not in letter.body


def test_page_looks_up_nobody(cast):
    """Whatever it would look up, it could tell."""
    with CaptureQueriesContext(connection) as queries:
        ask("alice@example.test")

    assert [each["sql"] for each in queries if "accounts_user" in each["sql"]] == []
    assert SignUpRequest.objects.get().email == "alice@example.test"


def test_two_workers_write_one_letter(cast, monkeypatch):
    ask()
    row = SignUpRequest.objects.get()

    assert signing_up.answer_requests(at=AT) == 1
    row.save(force_insert=True)
    monkeypatch.setattr(SignUpRequest.objects, "filter", lambda **_given: User.objects.none())
    assert signing_up.answer_requests(at=AT) == 0

    assert Notice.objects.filter(name="sign_up").count() == 1


def test_a_worker_looks_for_them_all_the_time():
    entry = schedule.SCHEDULE["answer-sign-up-requests"]

    assert entry["task"] == tasks.answer_sign_up_requests.name


def test_letter_that_waited_has_no_link_once_there_is_an_account(cast):
    ask()
    signing_up.answer_requests(at=timezone.now())
    User.objects.create_user(EMAIL, PASSWORD)

    notices.send_waiting(at=timezone.now())

    (letter,) = mail.outbox
    assert OPEN not in letter.body + letter.alternatives[0].content
    assert "/account/password/forgotten" in letter.body


def test_neither_row_nor_what_staff_see_has_the_link(cast):
    ask()
    letters()
    notice = Notice.objects.get(name="sign_up")

    assert notice.context == {"signs_up": None}
    subject, text = notices.written(notice)
    assert subject
    assert f"{OPEN}?token=…" in text


# How often ------------------------------------------------------------------------------


def test_an_address_gets_three_letters_an_hour(cast):
    found = [ask(address=f"198.51.100.{number}").status_code for number in range(4)]

    assert found == [200] * 3 + [429]
    assert SignUpRequest.objects.count() == 3


def test_twenty_letters_an_hour_are_asked_for_from_one_place(cast):
    answers = [ask(f"dora{number}@example.test") for number in range(21)]

    assert [each.status_code for each in answers] == [200] * 20 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert "Wait" in text_of(answers[-1])


def test_twenty_accounts_an_hour_are_opened_from_one_place(cast):
    paths = [path_for(f"dora{number}@example.test") for number in range(22)]

    answers = [Client(REMOTE_ADDR=HOME).post(path, form()) for path in paths]
    elsewhere = Client(REMOTE_ADDR="198.51.100.7").post(paths[-1], form())

    assert [each.status_code for each in answers] == [302] * 20 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert "Many accounts were opened from here." in text_of(answers[-1])
    assert 'value="Hazel"' in text_of(answers[-1])
    assert elsewhere.status_code == 302
    assert User.objects.filter(email__startswith="dora").count() == 21


def test_whoever_has_a_link_gets_in_while_nobody_can_count(cast, monkeypatch):
    """They were counted when they asked for it; asking has to wait."""

    class AwayBackend:
        def take(self, buckets, *, now):
            raise rate_limits.Away("away")

    monkeypatch.setattr(rate_limits, "backend", AwayBackend)

    assert ask().status_code == 503
    assert Client().post(path_for(), form()).status_code == 302


# The link -------------------------------------------------------------------------------


def test_looking_opens_nothing(cast):
    path = asked(Client(), EMAIL)

    for method in ("get", "head"):
        assert getattr(Client(), method)(path).status_code == 200

    assert not User.objects.filter(email=EMAIL).exists()


def test_link_works_once_and_so_do_its_sisters(cast):
    client = Client()
    first, second = asked(client, EMAIL), asked(client, EMAIL)

    assert client.post(first, form()).status_code == 302
    for path in (first, second):
        for answer in (Client().get(path), Client().post(path, form(name="Eve"))):
            assert answer.status_code == 404
            assert "This link does not work" in text_of(answer)
    assert User.objects.get(email=EMAIL).name == "Dora"


def test_two_at_once_open_one_account(cast):
    newcomer = links.SignUp(email=EMAIL, seller_id=None)
    typed = {"password": PASSWORD, "name": "Dora", "organisation_name": "Hazel"}
    signing_up.open_account(newcomer=newcomer, **typed, address=HOME, at=AT)

    with pytest.raises(links.NotValid):
        signing_up.open_account(newcomer=newcomer, **typed, address=HOME, at=AT)

    assert Organisation.objects.filter(name="Hazel").count() == 1


def test_link_is_too_old_after_four_days(cast, monkeypatch):
    path = path_for()
    real = signing.time.time
    later = timedelta(days=4, seconds=5).total_seconds()
    monkeypatch.setattr(signing.time, "time", lambda: real() + later)

    assert Client().post(path, form()).status_code == 404
    assert not User.objects.filter(email=EMAIL).exists()


def test_links_of_other_letters_open_no_account(cast):
    User.objects.filter(pk=cast.alice.pk).update(email_verified_at=None)
    token = links.to_sign_up(links.SignUp(email=EMAIL, seller_id=None))
    forged = signing.dumps([EMAIL, None], salt="accounts.links.confirms")

    for other in (links.to_confirm(cast.alice), forged, token[:-2], token + "A", "", "a:b:c"):
        assert Client().post(f"{OPEN}?token={other}", form()).status_code == 404
    assert Client().post(f"/account/confirm?token={token}").status_code == 404


def test_link_of_a_seller_that_is_gone_opens_nothing(cast):
    assert Client().post(path_for(seller_id=10**6), form()).status_code == 404


def test_refusal_of_the_house_stands_on_both_pages(cast):
    cast.provider.__class__.objects.filter(pk=cast.reseller.pk).update(state="closed")

    answer = Client().post(path_for(seller_id=cast.reseller.pk), form())

    assert "No new accounts can be opened here at the moment." in text_of(answer)
    assert not User.objects.filter(email=EMAIL).exists()
    with pytest.raises(membership.SellerStopped):
        signing_up.ask(email=EMAIL, seller_id=cast.reseller.pk, address=HOME, at=AT)


def test_whoever_sits_there_as_somebody_else_is_the_new_person_then(cast):
    client = Client()
    client.force_login(cast.alice)

    signed_up(client)

    assert client.session["_auth_user_id"] == str(User.objects.get(email=EMAIL).pk)
    assert Membership.objects.filter(user=cast.alice).count() == 1
