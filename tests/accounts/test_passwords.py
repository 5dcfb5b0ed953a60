"""Changing a password, and a new one for who has forgotten it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import invitations, inviting, links, notices, passwords, tasks
from accounts.models import (
    AddressChange,
    Authenticator,
    Event,
    KnownAddress,
    KnownBrowser,
    Notice,
    OpenSession,
    ResetRequest,
    User,
)
from accounts.second_factor import authenticators
from tests.factories import AT, PASSWORD
from tests.hosting.brand_rows import HOST, make_brand, make_host
from tests.servers import free_port
from tests.staffing import SECRET, stale, verified

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

SIGN_IN = "/account/sign-in"
FORGOTTEN, NEW = "/account/password/forgotten", "/account/password/new"
CHANGE = "/account/security/password"
OTHER = "some other plain words"
HOME = "192.0.2.7"


def signed_in(user, password=PASSWORD):
    client = Client(REMOTE_ADDR=HOME)
    client.post(SIGN_IN, {"username": user.email, "password": password})
    return client


def is_in(client):
    return client.get("/overview/").status_code == 200


def knows(user, password):
    user.refresh_from_db()
    return user.check_password(password)


def ask(email, address=HOME, **headers):
    return Client(REMOTE_ADDR=address).post(FORGOTTEN, {"email": email}, **headers)


def letters(name):
    """Those of a kind that a worker sends now, with what was asked for before."""
    tasks.answer_reset_requests()
    mail.outbox.clear()
    notices.send_waiting(at=timezone.now())
    known = set(Notice.objects.filter(name=name).values_list("to", flat=True))
    subject = {"password_reset": "A new password", "password_changed": "was changed"}[name]
    return [each for each in mail.outbox if each.to[0] in known and subject in each.subject]


def link_of(letter):
    return re.search(r"https?://\S+/account/password/new\?token=\S+", letter.body).group()


def path_of(user):
    user.refresh_from_db()
    return f"{NEW}?token={links.to_reset(user)}"


def choose(path, password=OTHER, client=None):
    return (client or Client(REMOTE_ADDR=HOME)).post(path, {"password": password})


def content_of(response):
    return re.sub(rb'name="csrfmiddlewaretoken" value="[^"]*"', b"", response.content)


# Asking for a link ----------------------------------------------------------------------


def test_letter_leads_to_a_new_password_and_everybody_else_is_out(cast):
    thief = signed_in(cast.alice)
    ask(" Alice@Example.TEST ")
    (letter,) = letters("password_reset")
    path = (
        link_of(letter).partition("testserver")[2]
        or "/account" + link_of(letter).partition("/account")[2]
    )
    client = Client(REMOTE_ADDR=HOME)

    shown = client.get(path)
    done = choose(path, client=client)

    assert letter.to == ["alice@example.test"]
    assert shown.status_code == 200
    assert done.headers["Location"] == SIGN_IN
    assert not is_in(thief)
    assert not is_in(client)
    assert knows(cast.alice, OTHER)
    assert is_in(signed_in(cast.alice, OTHER))
    assert Event.objects.get(kind="user.password_changed").data == {
        "by": "link",
        "sessions": 1,
    }
    assert [each.to for each in letters("password_changed")] == [["alice@example.test"]]


EMAILS = ["alice@example.test", "nobody@example.test", "gone@example.test", "dora@example.test"]


@pytest.fixture
def people(cast):
    User.objects.create_user("gone@example.test", PASSWORD, is_active=False)
    User.objects.create_user("dora@example.test")


def test_answer_and_work_are_the_same_whoever_has_the_address(people):
    told, done = set(), set()
    for number, email in enumerate(EMAILS):
        with CaptureQueriesContext(connection) as queries:
            response = ask(email, address=f"198.51.100.{number}")
        told.add((response.status_code, content_of(response).replace(email.encode(), b"")))
        done.add(tuple(re.sub(r"'[^']*'", "?", each["sql"]) for each in queries))

    assert len(told) == len(done) == 1
    assert ResetRequest.objects.count() == 4


def test_letters_go_to_those_alone_who_can_sign_in(people):
    for number, email in enumerate(EMAILS):
        ask(email, address=f"198.51.100.{number}")

    sent = letters("password_reset")

    assert sorted(each.to[0] for each in sent) == ["alice@example.test", "dora@example.test"]
    assert not ResetRequest.objects.exists()


def test_two_workers_write_one_letter(cast):
    passwords.ask_reset(email=cast.alice.email, address=HOME, at=AT)
    row = ResetRequest.objects.get()

    assert passwords.answer_requests(at=AT) == 1
    row.save(force_insert=True)
    ResetRequest.objects.all().delete()

    assert passwords.answer_requests(at=AT) == 0
    assert Notice.objects.filter(name="password_reset").count() == 1


def test_letters_are_three_an_hour_for_an_address_known_or_not(cast):
    found = []
    for email in (cast.alice.email, "nobody@example.test"):
        answers = [ask(email, address=f"198.51.100.{number}") for number in range(5)]
        found.append([(each.status_code, content_of(each)) for each in answers])

    alice, nobody = found
    assert [status for status, _content in alice] == [200, 200, 200, 429, 429]
    assert [status for status, _content in nobody] == [200, 200, 200, 429, 429]
    assert b"Several letters were asked for." in alice[-1][1]
    assert alice[-1][1].replace(b"alice@", b"nobody@") == nobody[-1][1]


def test_one_place_asks_for_twenty_letters_an_hour(cast):
    statuses = [ask(f"{number}@example.test").status_code for number in range(25)]

    assert statuses == [200] * 20 + [429] * 5


def test_no_letter_is_asked_for_while_nobody_counts(cast, settings):
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

    response = ask(cast.alice.email)

    assert response.status_code == 503
    assert not ResetRequest.objects.exists()


@pytest.mark.parametrize("email", ["", "x", "a" * 300 + "@example.test", "a\0@example.test"])
def test_what_is_no_address_is_refused_kindly(email, cast):
    assert ask(email).status_code == 200
    assert not ResetRequest.objects.exists()


def test_letter_goes_to_the_address_that_is_stored_and_not_to_a_twin_of_it(cast):
    User.objects.create_user("kim@example.test", PASSWORD)
    ask("\N{KELVIN SIGN}im@example.test")

    assert [each.to for each in letters("password_reset")] == [["kim@example.test"]]


def test_letter_that_waited_has_no_link_for_an_address_that_was_given_up(cast):
    passwords.send_link(user=cast.alice, at=AT)
    User.objects.filter(pk=cast.alice.pk).update(email="alice@new.test")

    (letter,) = letters("password_reset")

    assert letter.to == ["alice@example.test"]
    assert "token=" not in letter.body + letter.alternatives[0].content


# Where the link leads -------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_X_FORWARDED_HOST": "evil.test"},
        {"HTTP_X_HOST": "evil.test"},
        {"HTTP_FORWARDED": "host=evil.test"},
        {"HTTP_REFERER": "https://evil.test/"},
        {"HTTP_ORIGIN": "https://evil.test"},
        {"SERVER_NAME": "evil.test", "HTTP_HOST": "testserver"},
        {"HTTP_HOST": "testserver:8443"},
    ],
)
def test_no_header_says_where_the_link_leads(headers, cast, settings):
    settings.PANEL_URL = "https://panel.house.test"
    settings.USE_X_FORWARDED_HOST = False
    ask(cast.charlie.email, **headers)

    (letter,) = letters("password_reset")

    assert link_of(letter).startswith("https://panel.house.test/account/password/new?token=")
    html = letter.alternatives[0].content
    assert "evil.test" not in letter.body + html + letter.subject
    assert "8443" not in letter.body + html


def test_unknown_host_is_asked_in_vain(cast):
    response = ask(cast.alice.email, HTTP_HOST="evil.test")

    assert response.status_code == 400
    assert not ResetRequest.objects.exists()


def test_link_leads_to_the_proved_host_of_the_reseller_and_nowhere_else(cast, settings):
    settings.PANEL_URL = "https://panel.house.test"
    make_brand(cast.reseller)
    make_host(cast.reseller)
    ask(cast.alice.email)
    ask(cast.charlie.email)

    found = {each.to[0]: link_of(each) for each in letters("password_reset")}

    assert HOST in found["alice@example.test"].partition("/account")[0]
    assert found["charlie@example.test"].startswith("https://panel.house.test/")


# The link -------------------------------------------------------------------------------


def test_link_works_once(cast):
    path = path_of(cast.alice)
    choose(path)

    again = choose(path, "yet another password here")

    assert again.status_code == 404
    assert Client().get(path).status_code == 404
    assert knows(cast.alice, OTHER)


def test_two_who_come_by_one_link_at_once_set_one_password(cast, monkeypatch):
    token = links.to_reset(cast.alice)
    before = links.resets(token)
    passwords.reset(token=token, password=OTHER, address=HOME, at=AT)
    monkeypatch.setattr(links, "resets", lambda _token: before)

    with pytest.raises(links.NotValid):
        passwords.reset(token=token, password="a thief's words", address=HOME, at=AT)

    assert knows(cast.alice, OTHER)


def test_link_dies_with_the_password(cast):
    path = path_of(cast.alice)
    passwords.change(user=cast.alice, password=OTHER, kept_session=None, at=AT)

    assert choose(path, "words of a thief here").status_code == 404
    assert knows(cast.alice, OTHER)


def test_link_dies_with_the_address(cast):
    path = path_of(cast.alice)
    User.objects.filter(pk=cast.alice.pk).update(email="alice@new.test")

    assert Client().get(path).status_code == 404


def test_link_dies_after_an_hour(cast, monkeypatch):
    path = path_of(cast.alice)
    now = links._reset_tokens._now()
    monkeypatch.setattr(links._reset_tokens, "_now", lambda: now + timedelta(minutes=59))
    in_time = Client().get(path).status_code
    monkeypatch.setattr(links._reset_tokens, "_now", lambda: now + timedelta(minutes=61))

    assert (in_time, Client().get(path).status_code) == (200, 404)


def test_link_lets_nobody_in_who_was_shut_out(cast):
    path = path_of(cast.alice)
    User.objects.filter(pk=cast.alice.pk).update(is_active=False)

    assert choose(path).status_code == 404


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "1",
        "1-",
        "-",
        "1-x-y",
        "²-x",
        "9" * 40 + "-x",
        "-1-x",
        "../1",
        "a" * 5000,
    ],
)
def test_link_that_never_was_one_is_dead(token, cast):
    assert Client().get(NEW, {"token": token}).status_code == 404


def test_link_of_one_person_opens_no_other_account(cast):
    _pk, _dash, proof = links.to_reset(cast.charlie).partition("-")

    assert Client().get(NEW, {"token": f"{cast.alice.pk}-{proof}"}).status_code == 404


def test_links_for_one_thing_are_none_for_another(cast):
    User.objects.update(email_verified_at=None)
    cast.alice.refresh_from_db()
    invitation = inviting.invite(
        actor=cast.actor(cast.charlie),
        organisation=cast.other_customer,
        email=cast.alice.email,
        role="admin",
        at=timezone.now(),
    )
    confirm, reset = links.to_confirm(cast.alice), links.to_reset(cast.alice)
    invite = invitations.token_for(invitation)

    statuses = [
        Client().get(path, {"token": token}).status_code
        for path in ("/account/address/confirm", "/account/address/take-back", NEW)
        for token in (confirm, invite)
    ]

    others = [
        Client().get("/account/confirm", {"token": invite}).status_code,
        *(Client().get(f"/account/invitation/{each}").status_code for each in (confirm, reset)),
    ]

    assert statuses + others == [404] * 9
    assert Client().get("/account/confirm", {"token": confirm}).status_code == 200
    assert Client().get(f"/account/invitation/{invite}").status_code == 200
    assert Client().get(NEW, {"token": reset}).status_code == 200


def test_looking_changes_nothing(cast):
    client, path = Client(), path_of(cast.alice)
    for _ in range(3):
        client.get(path)
        client.head(path)

    assert knows(cast.alice, PASSWORD)
    assert choose(path).status_code == 302


@pytest.mark.parametrize("status", ["alive", "dead"])
def test_link_tells_its_token_to_nobody(status, cast):
    path = path_of(cast.alice) if status == "alive" else f"{NEW}?token=x"

    response = Client().get(path)

    # "no-referrer" would have browsers send "Origin: null", which the check of forms refuses.
    assert response.headers["Referrer-Policy"] == "strict-origin"
    assert "no-store" in response.headers["Cache-Control"]
    assert "http://" not in response.content.decode().replace("http://www.w3.org", "")


def test_token_stands_in_no_row(cast):
    ask(cast.alice.email)
    (letter,) = letters("password_reset")
    token = link_of(letter).partition("token=")[2]

    rows = [str(each.context) + each.failure for each in Notice.objects.all()]
    subject, text = notices.written(Notice.objects.get(name="password_reset"))

    assert token not in "".join(rows)
    assert token not in subject + text
    assert "token=…" in text


# After a reset --------------------------------------------------------------------------


def test_reset_leaves_the_second_factor_as_it_is(cast):
    device = authenticators.give(cast.sam, secret=SECRET)
    client = Client(REMOTE_ADDR=HOME)

    choose(path_of(cast.sam), client=client)
    client.post(SIGN_IN, {"username": cast.sam.email, "password": OTHER})
    staff_page = client.get("/staff/")

    assert Authenticator.objects.get() == device
    assert staff_page.headers["Location"].startswith("/account/second-factor")


def test_reset_forgets_where_others_were_at_home(cast):
    signed_in(cast.alice)
    KnownAddress.objects.create(user=cast.alice, holder="203.0.113.66", last_at=AT)
    KnownAddress.objects.create(user=cast.bob, holder="203.0.113.66", last_at=AT)

    choose(path_of(cast.alice), client=Client(REMOTE_ADDR="198.51.100.4"))

    known = KnownAddress.objects.filter(user=cast.alice)
    assert [each.holder for each in known] == ["198.51.100.4"]
    assert not KnownBrowser.objects.filter(user=cast.alice).exists()
    assert KnownAddress.objects.filter(user=cast.bob).count() == 1


def test_reset_confirms_the_address_that_the_link_came_to(cast):
    User.objects.filter(pk=cast.alice.pk).update(email_verified_at=None)

    choose(path_of(cast.alice))

    cast.alice.refresh_from_db()
    assert cast.alice.email_verified_at is not None


def test_reset_calls_off_a_change_of_address_that_waits(cast):
    change = AddressChange.objects.create(
        user=cast.alice,
        old_email=cast.alice.email,
        old_was_verified=True,
        new_email="thief@evil.test",
        asked_at=AT,
    )

    choose(path_of(cast.alice))

    change.refresh_from_db()
    assert change.state == "called_off"


@pytest.mark.parametrize("password", ["short", "alice@example.test", "password1234", "x" * 1001])
def test_weak_password_is_refused_and_the_link_stays_alive(password, cast):
    path = path_of(cast.alice)

    response = choose(path, password)

    assert response.status_code == 200
    assert knows(cast.alice, PASSWORD)
    assert choose(path).status_code == 302


def test_every_organisation_of_the_person_keeps_the_fact(cast):
    cast.alice.memberships.create(organisation=cast.other_customer, role="read_only")
    loner = User.objects.create_user("loner@example.test", PASSWORD)

    for user in (cast.alice, loner):
        passwords.change(user=user, password=OTHER, kept_session=None, at=AT)

    facts = Event.objects.filter(kind="user.password_changed").order_by("seq")
    assert [(each.subject_name, each.organisation.name) for each in facts] == [
        ("alice@example.test", "Alder"),
        ("alice@example.test", "Juniper"),
        ("loner@example.test", "Restante"),
    ]


# Changing it ----------------------------------------------------------------------------


def change(client, present=PASSWORD, password=OTHER):
    return client.post(CHANGE, {"change-present": present, "change-password": password})


def test_new_password_ends_every_other_session_and_gives_this_one_a_new_key(cast):
    mine, thief = signed_in(cast.alice), signed_in(cast.alice)
    key = mine.session.session_key

    response = change(mine)

    assert response.status_code == 302
    assert is_in(mine)
    assert mine.session.session_key != key
    assert not is_in(thief)
    assert OpenSession.objects.filter(user=cast.alice).count() == 1
    assert knows(cast.alice, OTHER)
    assert [each.to for each in letters("password_changed")] == [["alice@example.test"]]


def news_of_sign_ins(user):
    return Notice.objects.filter(name="new_sign_in", to=user.email).count()


def came_in(client, user, password):
    client.post(SIGN_IN, {"username": user.email, "password": password})
    return client


@pytest.mark.parametrize("by_staff", [False, True], ids=["owner", "staff"])
def test_new_password_makes_the_thief_a_stranger_where_it_was_at_home(by_staff, cast, staff):
    mine, thief = signed_in(cast.alice), Client(REMOTE_ADDR="203.0.113.66")
    came_in(thief, cast.alice, PASSWORD)
    told_before = news_of_sign_ins(cast.alice)

    if by_staff:
        path = f"/staff/accounts/user/{cast.alice.pk}/password/"
        staff.post(path, {"password1": OTHER, "password2": OTHER})
    else:
        change(mine)

    homes = set(KnownAddress.objects.filter(user=cast.alice).values_list("holder", flat=True))
    assert homes == (set() if by_staff else {HOME})
    came_in(thief, cast.alice, OTHER)
    assert is_in(thief)
    assert news_of_sign_ins(cast.alice) == told_before + 1


def test_whoever_changes_the_password_is_asked_nothing_where_they_did_it(cast):
    mine = signed_in(cast.alice)
    told_before = news_of_sign_ins(cast.alice)
    change(mine)
    mine.post("/account/sign-out")

    came_in(mine, cast.alice, OTHER)

    assert is_in(mine)
    assert news_of_sign_ins(cast.alice) == told_before


def test_a_factor_that_was_proved_before_the_change_stays_proved_at_this_place(cast):
    mine = verified(cast.alice, Client(REMOTE_ADDR=HOME))

    change(mine)

    assert KnownAddress.objects.get(user=cast.alice).proved_at is not None


def test_cookie_that_was_stolen_from_this_browser_dies_as_well(cast, settings):
    mine, thief, name = signed_in(cast.alice), Client(), settings.SESSION_COOKIE_NAME
    thief.cookies[name] = mine.cookies[name].value

    change(mine)

    assert is_in(mine)
    assert not is_in(thief)


def test_password_that_staff_set_ends_all_sessions(cast, staff):
    mine = signed_in(cast.alice)

    staff.post(
        f"/staff/accounts/user/{cast.alice.pk}/password/", {"password1": OTHER, "password2": OTHER}
    )

    assert knows(cast.alice, OTHER)
    assert not OpenSession.objects.filter(user=cast.alice).exists()
    assert not is_in(mine)


def test_present_password_is_asked_for_and_its_tries_count(cast):
    mine = signed_in(cast.alice)

    statuses = [change(mine, present="wrong").status_code for _ in range(12)]

    assert statuses == [200] * 5 + [429] * 7
    assert change(mine).status_code == 429
    assert knows(cast.alice, PASSWORD)


def test_wrong_present_password_says_so(cast):
    page = change(signed_in(cast.alice), present="wrong").content.decode()

    assert "This is not the password that you sign in with." in page
    assert knows(cast.alice, PASSWORD)


@pytest.mark.parametrize(
    ("words", "status"), [(100, 200), (20_000, 200), (100_000, 413)], ids=["long", "form", "mb"]
)
def test_megabyte_is_refused_before_a_hash_is_made(words, status, cast, monkeypatch):
    """By the rules of passwords where a form could be so long, and unread beyond that."""
    made = []
    encode, verify = MD5PasswordHasher.encode, MD5PasswordHasher.verify
    monkeypatch.setattr(
        MD5PasswordHasher, "encode", lambda *given: made.append(given) or encode(*given)
    )
    monkeypatch.setattr(
        MD5PasswordHasher, "verify", lambda *given: made.append(given) or verify(*given)
    )
    mine = Client()
    mine.force_login(cast.alice)
    huge = "long words " * words

    answers = [
        change(mine, present=huge),
        change(mine, password=huge),
        choose(path_of(cast.alice), huge),
        Client().post(SIGN_IN, {"username": cast.alice.email, "password": huge}),
        Client().post(SIGN_IN, {"username": "nobody@example.test", "password": huge}),
    ]

    assert [each.status_code for each in answers] == [status] * 5
    assert made == []
    assert hashers.get_hasher().algorithm == "md5"


def test_who_has_a_second_factor_proves_it_before_the_password_changes(cast):
    mine = verified(cast.alice)
    led_away = change(stale(mine))
    before = knows(cast.alice, PASSWORD)

    done = change(verified(cast.alice, mine))

    assert led_away.headers["Location"].startswith("/account/second-factor/")
    assert before
    assert done.headers["Location"] == "/account/security"
    assert knows(cast.alice, OTHER)


def test_links_work_in_a_browser_that_still_lacks_its_second_factor(cast):
    authenticators.give(cast.alice, secret=SECRET)
    half_in = signed_in(cast.alice)

    pages = [
        half_in.get("/account/security"),
        half_in.get(FORGOTTEN),
        choose(path_of(cast.alice), client=half_in),
        half_in.get("/account/security"),
    ]

    assert [each.status_code for each in pages] == [302, 200, 302, 302]
    assert pages[0].headers["Location"].startswith("/account/second-factor/")
    assert pages[2].headers["Location"] == SIGN_IN
    assert pages[3].headers["Location"].startswith(SIGN_IN)
