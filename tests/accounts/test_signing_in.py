"""Guessing passwords: slow for strangers, and no way to shut an owner out."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlencode, urljoin, urlsplit

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import signing_in
from accounts.models import KnownAddress, User
from tests.factories import AT, PASSWORD
from tests.servers import free_port

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

HOME = "192.0.2.7"
PATH = "/account/sign-in"


def guess(cast, *, address, at=AT):
    signing_in.begin(email=cast.alice.email, address=address, at=at)


def sign_in(cast, *, address, at=AT):
    tried = signing_in.begin(email=cast.alice.email, address=address, at=at)
    signing_in.passed(tried, user=cast.alice, at=at)


def addresses(number):
    return [f"198.51.100.{each}" for each in range(number)]


def got_through(tries):
    """At which second each guess got through, of pairs of a second and an address."""
    through = []
    for second, address, email in tries:
        with suppress(signing_in.TooManyTries):
            signing_in.begin(email=email, address=address, at=AT + timedelta(seconds=second))
            through.append(second)
    return through


def most_in_an_hour(seconds):
    """The most of them in any hour, wherever it begins."""
    return max(sum(start <= each < start + 3600 for each in seconds) for start in seconds)


def test_ten_guesses_in_any_hour_get_through_from_however_many_addresses(cast, counts):
    through = got_through(
        (second, f"198.51.{second % 100}.{second % 250}", cast.alice.email)
        for second in range(0, 4 * 3600, 15)
    )
    counts(guesses=960, guesses_let_through=len(through))

    assert most_in_an_hour(through) <= 10
    assert len(through) == 5 + 19


def test_ten_guesses_in_any_hour_get_through_where_the_owner_was_before(cast, counts):
    sign_in(cast, address=HOME)

    through = got_through((second, HOME, cast.alice.email) for second in range(0, 3 * 3600, 30))
    counts(guesses=360, guesses_let_through=len(through))

    assert most_in_an_hour(through) <= 10
    assert len(through) == 5 + 14


@pytest.mark.parametrize("email", ["alice@example.test", "nobody@example.test"])
def test_ten_thousand_guesses_from_ten_thousand_addresses_come_to_ten_an_hour(email, cast, counts):
    through = got_through(
        (number, f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", email)
        for number in range(10_000)
    )
    counts(guesses=10_000, guesses_let_through=len(through))

    assert most_in_an_hour(through) <= 10
    # They take 10,000 seconds, in which thirteen turns come back.
    assert len(through) == 5 + 13


def test_after_an_hour_there_are_five_more_at_once(cast):
    for address in addresses(5):
        guess(cast, address=address)

    with pytest.raises(signing_in.TooManyTries, match="Wait 12 minutes") as refusal:
        guess(cast, address=HOME)
    later = AT + timedelta(hours=1)
    for address in addresses(5):
        guess(cast, address=address, at=later)

    assert refusal.value.retry_after_seconds == 720
    with pytest.raises(signing_in.TooManyTries):
        guess(cast, address=HOME, at=later)


def test_an_account_that_does_not_exist_is_guessed_just_as_slowly(cast):
    for address in addresses(5):
        signing_in.begin(email="nobody@example.test", address=address, at=AT)

    with pytest.raises(signing_in.TooManyTries, match="Wait 12 minutes"):
        signing_in.begin(email="nobody@example.test", address=HOME, at=AT)


def test_the_owner_gets_in_from_where_they_were_before_while_others_guess(cast):
    sign_in(cast, address=HOME)
    for address in addresses(200):
        with suppress(signing_in.TooManyTries):
            guess(cast, address=address)
    with pytest.raises(signing_in.TooManyTries):
        guess(cast, address="203.0.113.1")

    for _ in range(50):
        sign_in(cast, address=HOME)


def test_guessing_from_where_the_owner_was_before_is_slow_too(cast):
    sign_in(cast, address=HOME)

    for _ in range(5):
        guess(cast, address=HOME)

    with pytest.raises(signing_in.TooManyTries):
        guess(cast, address=HOME)


def test_the_right_password_gives_back_its_turn_only(cast):
    for address in addresses(4):
        guess(cast, address=address)

    for number in range(5):
        sign_in(cast, address=f"203.0.113.{number}")
    guess(cast, address=addresses(1)[0])

    with pytest.raises(signing_in.TooManyTries):
        guess(cast, address=addresses(1)[0])


def test_one_address_does_not_try_all_accounts(cast):
    for number in range(60):
        signing_in.begin(email=f"{number}@example.test", address=HOME, at=AT)

    with pytest.raises(signing_in.TooManyTries):
        signing_in.begin(email="another@example.test", address=HOME, at=AT)
    guess(cast, address=addresses(1)[0])


def test_the_networks_of_ipv6_count_as_one_address(cast):
    sign_in(cast, address="2001:db8:1:2::7")

    assert KnownAddress.objects.get().holder == "2001:db8:1:2::/64"


def test_the_last_twenty_addresses_are_remembered_and_nobody_else_s_forgotten(cast):
    KnownAddress.objects.create(user=cast.bob, holder=HOME, last_at=AT - timedelta(days=900))
    for number, address in enumerate(addresses(25)):
        sign_in(cast, address=address, at=AT + timedelta(hours=number))

    sign_in(cast, address=addresses(25)[-1], at=AT + timedelta(days=2))

    known = KnownAddress.objects.filter(user=cast.alice).order_by("last_at")
    assert [each.holder for each in known] == addresses(25)[5:]
    assert known.last().last_at == AT + timedelta(days=2)
    assert str(KnownAddress.objects.get(user=cast.bob)) == "bob@example.test · 192.0.2.7"


def test_known_address_of_one_person_is_nobody_else_s(cast):
    sign_in(cast, address=HOME)
    for address in addresses(5):
        signing_in.begin(email=cast.bob.email, address=address, at=AT)

    with pytest.raises(signing_in.TooManyTries):
        signing_in.begin(email=cast.bob.email, address=HOME, at=AT)


# The page -------------------------------------------------------------------------------


def try_page(cast, *, password="wrong", address=HOME, email=None):
    asked = {"username": email or cast.alice.email, "password": password}
    return Client(REMOTE_ADDR=address).post(PATH, asked)


def test_the_page_says_how_long_to_wait_and_looks_at_no_password(cast):
    for address in addresses(5):
        assert try_page(cast, address=address).status_code == 200

    response = try_page(cast, password=PASSWORD)

    assert response.status_code == 429
    assert 660 < int(response.headers["Retry-After"]) <= 720
    assert "Too many tries. Wait 12 minutes" in response.content.decode()
    assert "alice@example.test" in response.content.decode()


def test_however_the_address_is_written_it_is_one_account(cast):
    for number, address in enumerate(addresses(5)):
        email = cast.alice.email.upper() if number % 2 else f" {cast.alice.email} "
        try_page(cast, address=address, email=email)

    assert try_page(cast).status_code == 429


def test_whoever_signs_in_is_known_there(cast):
    response = try_page(cast, password=PASSWORD)

    assert response.headers["Location"] == "/overview/"
    assert KnownAddress.objects.get().user == cast.alice


@pytest.mark.parametrize("asked", [{}, {"username": "x" * 5000}, {"username": "\x00"}])
def test_a_form_of_nonsense_is_a_try_like_any_other(cast, asked):
    assert Client().post(PATH, asked).status_code == 200


def test_nobody_signs_in_while_tries_cannot_be_counted(cast, settings):
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

    response = try_page(cast, password=PASSWORD)

    assert response.status_code == 503
    assert "Nobody can sign in just now." in response.content.decode()
    assert response.headers["Retry-After"] == "1"


def test_hundreds_of_guesses_at_the_page_get_five_passwords_looked_at(cast, hashed, counts):
    statuses = Counter(
        try_page(cast, address=f"198.51.{number // 250}.{number % 250}").status_code
        for number in range(400)
    )
    counts(guesses_at_the_page=400)

    assert statuses == {200: 5, 429: 395}
    assert len(hashed) == 5


def test_owner_gets_in_from_home_while_hundreds_guess_elsewhere(cast):
    try_page(cast, password=PASSWORD)
    for number in range(100):
        try_page(cast, address=f"198.51.100.{number}")

    assert try_page(cast, password=PASSWORD).status_code == 302
    assert try_page(cast, password=PASSWORD, address="203.0.113.1").status_code == 429


# One answer and one work for everybody ---------------------------------------------------


@pytest.fixture
def hashed(monkeypatch):
    """Every hash that is made, whether to keep it or to compare."""
    made = []
    encode = MD5PasswordHasher.encode

    def noted(self, password, salt):
        made.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", noted)
    return made


def test_answer_and_work_are_the_same_for_whoever_does_not_get_in(cast, hashed):
    """Known, unknown, shut out, invited; with the right password of who was shut out as well."""
    User.objects.create_user("gone@example.test", PASSWORD, is_active=False)
    User.objects.create_user("guest@example.test")
    hashed.clear()
    answers, works = set(), set()
    for number, (email, password) in enumerate(
        [
            (cast.alice.email, "wrong"),
            ("nobody@example.test", "wrong"),
            ("gone@example.test", "wrong"),
            ("gone@example.test", PASSWORD),
            ("guest@example.test", "wrong"),
        ]
    ):
        with CaptureQueriesContext(connection) as queries:
            response = try_page(
                cast, email=email, password=password, address=f"198.51.100.{number}"
            )
        page = re.sub(r'value="[^"]*"', "", response.content.decode())
        answers.add((response.status_code, page, *sorted(response.cookies)))
        tables = tuple(re.findall(r"FROM \"(\w+)\"", str([each["sql"] for each in queries])))
        works.add((len(hashed), tables))
        hashed.clear()

    assert len(answers) == 1
    assert len(works) == 1
    assert works.pop()[0] == 1


# Where it leads afterwards ---------------------------------------------------------------

ELSEWHERE = [
    "https://evil.test/",
    "//evil.test/",
    "///evil.test/",
    "////evil.test",
    "/\\evil.test/",
    "\\\\evil.test",
    "/\t/evil.test",
    "\t//evil.test",
    " //evil.test",
    "\x00//evil.test",
    "https:evil.test",
    "http:///evil.test",
    "https://testserver@evil.test/",
    "https://evil.test\\@testserver/",
    "https://testserver.evil.test/",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "ftp://testserver/",
    "//testserver:8443/",
    "\u2028//evil.test",
    "http://[::1]/",
    "http://evil.test:80:80/",
    "%2f%2fevil.test",
    "evil.test",
]


@pytest.mark.parametrize("target", ELSEWHERE)
@pytest.mark.parametrize("method", ["get", "post"])
def test_next_leads_to_no_other_host(target, method, cast):
    asked = {"username": cast.alice.email, "password": PASSWORD}
    query, form = (target, asked) if method == "get" else ("", {**asked, "next": target})
    path = f"{PATH}?{urlencode({'next': query})}" if query and "\x00" not in query else PATH

    response = Client().post(path, form)

    led_to = urlsplit(urljoin("http://testserver/account/sign-in", response.headers["Location"]))
    assert response.status_code == 302
    assert (led_to.scheme, led_to.netloc) == ("http", "testserver")


@pytest.mark.parametrize("target", ["/domains/", "/keys/?page=2", "http://testserver/domains/"])
def test_next_leads_back_to_where_somebody_was(target, cast):
    asked = {"username": cast.alice.email, "password": PASSWORD, "next": target}

    assert Client().post(PATH, asked).headers["Location"] == target
