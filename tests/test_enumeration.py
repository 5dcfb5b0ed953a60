"""Nobody learns who or what there is: the known and the unknown get one answer, after one work.

Work is counted rather than timed: statements, and passwords that were hashed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import uuid4

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core import signing
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import address_changes, invitations, inviting, links
from accounts.models import Invitation, Membership, Notice, SignUpRequest, User
from hosting import panel_hosts, public_ids
from tests.factories import PASSWORD, make_domain, make_mailbox, make_member
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.brand_rows import HOST, make_brand, make_host
from tests.test_access import client_of

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

_NEW_IN_EACH = re.compile(
    rb'name="csrfmiddlewaretoken" value="[^"]*"|req_[0-9a-f]{32}|[\w.+-]+@(?:example|nowhere)\.test'
    rb"|Wait \d+ minutes"
)
_HEADERS = ("Content-Type", "Location", "Vary", "Cache-Control", "WWW-Authenticate")


class CountedHasher(MD5PasswordHasher):
    """As in all tests, and counts its work."""

    work = 0

    def encode(self, password, salt):
        type(self).work += 1
        return super().encode(password, salt)


@pytest.fixture(autouse=True)
def _counted(settings):
    settings.PASSWORD_HASHERS = ["tests.test_enumeration.CountedHasher"]


@dataclass(frozen=True)
class Answer:
    """What somebody outside sees, and what it took to make it."""

    status: int
    headers: tuple
    cookies: tuple
    body: bytes
    statements: int
    hashed: int


def answer_to(ask):
    CountedHasher.work = 0
    with (
        CaptureQueriesContext(connections["default"]) as own,
        CaptureQueriesContext(connections["reports"]) as reported,
    ):
        response = ask()
    return Answer(
        status=response.status_code,
        # How long to wait goes down while somebody asks.
        headers=(
            *(response.headers.get(name) for name in _HEADERS),
            "Retry-After" in response.headers,
        ),
        cookies=tuple(sorted(response.cookies)),
        body=_NEW_IN_EACH.sub(b"", response.content),
        statements=len(own) + len(reported),
        hashed=CountedHasher.work,
    )


def same(counts, *asks):
    """Each way of asking gets the same; returns it."""
    answers = [answer_to(ask) for ask in asks]
    counts(pairs=len(answers) - 1)
    for answer in answers[1:]:
        assert answer == answers[0]
    return answers[0]


# Signing in -----------------------------------------------------------------------------


def sign_in(email, password="not the password", **headers):
    form = {"username": email, "password": password}
    return lambda: Client(headers=headers).post(reverse("accounts:sign_in"), form)


@pytest.fixture
def people(cast):
    """Of every kind: owners, staff, somebody invited, somebody shut out, and nobody at all."""
    User.objects.create_user("guest@example.test")
    gone = make_member("gone@example.test", cast.customer, Membership.Role.ADMIN)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    User.objects.create_user("alone@example.test", PASSWORD)
    return [
        *("alice@example.test", "ALICE@example.test", "sam@example.test", "rita@example.test"),
        *("guest@example.test", "gone@example.test", "alone@example.test"),
        *("nobody@nowhere.test", "x@nowhere.test", "not an address", "' OR 1=1 --"),
    ]


def test_a_wrong_password_is_answered_alike_for_everybody(people, counts):
    found = same(counts, *[sign_in(email) for email in people if "@" in email])

    assert (found.status, found.hashed) == (200, 1)


def test_whoever_is_shut_out_is_answered_as_with_a_wrong_password(people, counts):
    same(
        counts,
        sign_in("nobody@nowhere.test"),
        sign_in("gone@example.test", PASSWORD),
        sign_in("guest@example.test", PASSWORD),
    )


def test_the_host_of_a_reseller_tells_nobody_of_others(people, cast, settings, counts):
    settings.ALLOWED_HOSTS = ["testserver"]
    make_brand(cast.reseller)
    make_host(cast.reseller)
    panel_hosts.holder(HOST)

    found = same(
        counts,
        sign_in("nobody@nowhere.test", host=HOST),
        sign_in("alice@example.test", host=HOST),
        sign_in("charlie@example.test", host=HOST),
    )
    right = answer_to(sign_in("charlie@example.test", PASSWORD, host=HOST))

    assert found.hashed == right.hashed == 1
    assert (right.status, right.body) == (found.status, found.body)


def test_many_tries_are_held_back_alike(people, counts):
    known, unknown = sign_in("alice@example.test"), sign_in("nobody@nowhere.test")
    for _ in range(5):
        known()
        unknown()

    found = same(counts, known, unknown)

    assert (found.status, found.hashed) == (429, 0)


# Signing up -----------------------------------------------------------------------------


def sign_up(email, number, **headers):
    client = Client(REMOTE_ADDR=f"198.51.100.{number}", headers=headers)
    return lambda: client.post(reverse("accounts:sign_up"), {"email": email})


def test_an_address_is_taken_down_alike_whoever_has_it(people, cast, counts):
    made(cast.bob, "bob@nowhere.test")
    emails = [*(email for email in people if "@" in email), "bob@example.test", "bob@nowhere.test"]

    found = same(counts, *[sign_up(email, number) for number, email in enumerate(emails)])

    assert (found.status, found.hashed) == (200, 0)
    assert b"We have written to you at" in found.body
    assert SignUpRequest.objects.count() == len(emails)


def test_the_host_of_a_reseller_takes_addresses_down_alike(people, cast, settings, counts):
    settings.ALLOWED_HOSTS = ["testserver"]
    make_brand(cast.reseller)
    make_host(cast.reseller)
    panel_hosts.holder(HOST)
    emails = ("nobody@nowhere.test", "alice@example.test", "charlie@example.test")

    found = same(counts, *[sign_up(each, number, host=HOST) for number, each in enumerate(emails)])

    assert found.status == 200


def test_who_asks_too_often_is_held_back_alike(people, counts):
    known, unknown = sign_up("alice@example.test", 1), sign_up("nobody@nowhere.test", 2)
    for _ in range(3):
        known()
        unknown()

    found = same(counts, known, unknown)

    assert found.status == 429


def test_the_link_to_an_account_says_nothing_once_the_address_is_somebody_s(cast, counts):
    def open_link(token):
        return lambda: Client().get(reverse("accounts:open_account"), {"token": token})

    def token_for(email):
        return links.to_sign_up(links.SignUp(email=email, seller_id=None))

    made(cast.bob, "bob@nowhere.test")
    assert open_link(token_for("nobody@nowhere.test"))().status_code == 200
    found = {
        answer_to(open_link(token)).body
        for token in ("x", "", token_for(cast.alice.email), token_for("bob@example.test"))
    }

    counts(pairs=3)
    assert len(found) == 1


def made(person, email):
    """A person who moved to another address, and may come back."""
    change = address_changes.ask(user=person, email=email, at=timezone.now())
    address_changes.confirm(token=links.to_change(change), at=timezone.now())


# Links of letters -----------------------------------------------------------------------


def test_every_link_that_lets_nobody_in_is_answered_alike(cast, counts):
    def token_of(name):
        invitation = inviting.invite(
            actor=cast.actor(cast.alice),
            organisation=cast.customer,
            email=f"{name}@example.test",
            role="read_only",
            at=timezone.now(),
        )
        return invitation, invitations.token_for(invitation)

    guest, token = token_of("guest")
    no_such = invitations.token_for(Invitation(uuid=uuid4(), serial=1))
    other_use = signing.dumps([guest.uuid.hex, 1], salt="something else")
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    accepted, used = token_of("used")
    inviting.join_with_password(
        invitation=accepted, name="Used", password=PASSWORD, at=timezone.now()
    )
    taken_back, withdrawn = token_of("withdrawn")
    inviting.withdraw(actor=cast.actor(cast.alice), invitation=taken_back, at=timezone.now())
    late, too_old = token_of("late")
    Invitation.objects.filter(pk=late.pk).update(expires_at=timezone.now())
    again, replaced = token_of("again")
    inviting.send_again(actor=cast.actor(cast.alice), invitation=again, at=timezone.now())
    # Letters of earlier versions named a person.
    of_person, of_nobody = (
        signing.dumps(pk, salt="accounts.invitations") for pk in (cast.alice.pk, 10**6)
    )
    good_no_more = [no_such, used, withdrawn, too_old, replaced, of_person, of_nobody]

    def open_link(text):
        return lambda: Client().get(reverse("accounts:invitation", args=[text]))

    assert Client().get(reverse("accounts:invitation", args=[token])).status_code == 200
    same(counts, *map(open_link, good_no_more))
    same(counts, open_link(other_use), open_link(forged), open_link("x"), open_link("a:b:c"))
    bodies = {answer_to(open_link(each)).body for each in (*good_no_more, forged, "x")}
    assert len(bodies) == 1


# A seller lets somebody in --------------------------------------------------------------


def test_a_seller_does_not_learn_who_has_an_account(cast, counts):
    rita = client_of(cast.rita)
    path = reverse("customers:invite", args=[cast.customer.uuid])
    rita.post(path, {"email": "first@nowhere.test"})

    def invite(email):
        return lambda: rita.post(path, {"email": email})

    known, unknown = invite("charlie@example.test"), invite("dora@nowhere.test")
    answers = [answer_to(known), answer_to(unknown)]

    counts(pairs=1)
    assert answers[0].status == answers[1].status == 302
    assert answers[0].headers == answers[1].headers
    assert Notice.objects.filter(name="invitation").count() == 3


# Things by their ids ---------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_an_id_of_a_strangers_is_answered_as_one_of_nothing(method, cast, counts):
    alice = Caller(make_key(cast.customer).secret)
    # Its use is noted once a minute.
    alice.get("/plans")
    theirs = make_mailbox(cast.other_domain, "theirs")
    kinds = {
        "/mailboxes/": ("mbx", theirs.uuid),
        "/domains/": ("dom", cast.other_domain.uuid),
        "/organisations/": ("org", cast.other_customer.uuid),
    }
    for path, (prefix, uuid) in kinds.items():

        def ask(which, path=path, prefix=prefix):
            where = path + public_ids.encode(prefix, which)
            arguments = [{}] if method == "patch" else []
            return lambda: getattr(alice, method)(where, *arguments)

        found = same(counts, ask(uuid), ask(uuid4()))
        assert found.status in {404, 405, 428}


def test_a_strangers_id_in_a_body_is_answered_as_one_of_nothing(cast, counts):
    alice = Caller(make_key(cast.customer).secret)
    # Its use is noted once a minute.
    alice.get("/plans")

    def order(domain_id):
        body = {"domain_id": domain_id, "local_part": "x", "plan": "pop"}
        return lambda: alice.post("/mailboxes", body)

    found = same(
        counts,
        order(public_ids.encode("dom", cast.other_domain.uuid)),
        order(public_ids.encode("dom", uuid4())),
    )
    assert found.status == 422


def test_keys_that_open_nothing_are_answered_alike(cast, counts):
    """Also one that differs from a good one in its last character alone."""
    known = make_key(cast.customer).secret
    nearly = known[:-1] + ("a" if known[-1] != "a" else "b")

    def ask(secret):
        return lambda: Caller(secret).get("/plans")

    found = same(counts, ask(nearly), ask(f"rst_live_{'x' * (len(known) - 9)}"))
    assert found.status == 401


def test_a_domain_of_a_strangers_is_told_as_one_that_cannot_be_had(cast, counts):
    """That a domain is in use here shows in its DNS anyway; whose it is shows nowhere."""
    make_domain("birch.test", cast.other_customer)
    alice = client_of(cast.alice)

    def add(name):
        return lambda: alice.post(reverse("domains:add"), {"name": name})

    by_stranger, other = answer_to(add("birch.test")), answer_to(add("juniper.test"))

    assert by_stranger.body.replace(b"birch", b"x") == other.body.replace(b"juniper", b"x")
    for page in (by_stranger, other):
        assert b"Juniper" not in page.body.replace(b"juniper", b"")


def test_addresses_of_certificates_say_nothing_to_strangers(cast, settings, counts):
    settings.TLS_ASK_SECRET = "known to the proxy alone"
    make_host(cast.reseller)

    def ask(name):
        return lambda: Client().get(
            reverse("tls:allowed"),
            {"domain": name, "secret": "a guess"},
            headers={"x-forwarded-for": "198.51.100.1"},
        )

    found = same(counts, ask(HOST), ask("nobodys.example"))
    assert found.status == 404
