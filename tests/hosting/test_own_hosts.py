"""The panel at a reseller's own host name: who is let in, who is somebody, and who is nobody."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from accounts import membership, visits
from accounts.models import Membership, Organisation, User
from hosting import panel_hosts
from hosting.backends import PanelBackend
from hosting.views import actor_of
from mailstore.models import Restriction
from tests import newcomers
from tests.factories import AT, PASSWORD, make_mailbox, make_member
from tests.hosting.billing_rows import make_list, make_logo
from tests.hosting.brand_rows import HOST, make_brand, make_host
from tests.newcomers import form, letters, signed_up
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

SIGN_IN = "/account/sign-in"
WRONG = "Please enter a correct"


@pytest.fixture(autouse=True)
def own(cast, settings):
    settings.PANEL_URL = "https://panel.house.test"
    settings.ALLOWED_HOSTS = ["panel.house.test", "testserver"]
    settings.HOUSE_NAME = "Provider Secret Name"
    make_brand(cast.reseller)
    yield make_host(cast.reseller)
    panel_hosts.forget()


@pytest.fixture
def sorrel(cast):
    """Another reseller with a brand, a host, an owner and a customer."""
    sorrel = Organisation.objects.create(kind="reseller", name="Sorrel", parent=cast.provider)
    below = Organisation.objects.create(kind="customer", name="Tansy", parent=sorrel)
    make_brand(sorrel, product_name="Sorrel Mail")
    make_host(sorrel, "panel.sorrel.test")
    make_member("olive@example.test", sorrel, Membership.Role.OWNER)
    make_member("tina@example.test", below, Membership.Role.OWNER)
    return sorrel


def at(host=HOST, **options):
    return Client(headers={"host": host}, **options)


def comes_in(email, host=HOST, password=PASSWORD):
    client = at(host)
    response = client.post(SIGN_IN, {"username": email, "password": password})
    return client, response


def text_of(response):
    return re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"', "", response.content.decode())


# Which names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        HOST,
        "PANEL.Rowan.TEST",
        f"{HOST}.",
        f"{HOST}:443",
        f"{HOST}:8025",
        f"{HOST}.:443",
    ],
)
def test_proved_name_is_answered_however_it_is_written(host):
    response = at(host).get(SIGN_IN)

    assert response.status_code == 200
    assert "Rowan Post" in text_of(response)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        f"x.{HOST}",
        f"x{HOST}",
        f".{HOST}",
        f"{HOST}..",
        f"{HOST}.evil.test",
        f"{HOST}:",
        f"{HOST}:80:80",
        f"{HOST}:x",
        f"{HOST}/",
        f"{HOST}#",
        f"{HOST}@evil.test",
        f"evil.test@{HOST}",
        f"{HOST},evil.test",
        f"{HOST} evil.test",
        f" {HOST}",
        f"{HOST}\t",
        f"https://{HOST}",
        "rowan.test",
        "*",
        "[::1]",
        "[::1]:8025",
        "[fe80::1%25eth0]",
        "::1",
        "127.0.0.1",
        "192.0.2.7",
        "0x7f.1",
        "localhost",
        f"{HOST}\N{FULLWIDTH FULL STOP}",
        "p\N{CYRILLIC SMALL LETTER A}nel.rowan.test",
        "_panel-proof.panel.rowan.test",
        "panel..rowan.test",
        "%70anel.rowan.test",
    ],
)
def test_every_other_name_is_refused_as_django_refuses_it(host, caplog):
    response = at(host).get("/")

    assert response.status_code == 400
    assert "Provider Secret Name" not in text_of(response)
    assert [record.name for record in caplog.records] == ["django.security.DisallowedHost"]


def test_missing_name_is_refused():
    response = Client(SERVER_NAME=HOST, SERVER_PORT="80").get("/")

    # What the server calls itself is nothing that anybody asked for.
    assert response.status_code == 400


@pytest.mark.parametrize("header", ["x-forwarded-host", "x-host", "forwarded", "x-original-host"])
def test_names_beside_the_host_count_for_nothing(header):
    from_outside = Client(headers={"host": "evil.test", header: HOST}).get("/")
    to_outside = Client(headers={"host": HOST, header: "evil.test"}).get("/overview/")

    assert from_outside.status_code == 400
    assert "evil" not in to_outside.headers["Location"]


def test_whole_address_in_the_request_line_changes_nothing():
    """Gunicorn takes the path from it, and what is left is judged by the Host header."""
    assert at("evil.test").get(f"http://{HOST}/").status_code == 400
    assert at(HOST).get("http://evil.test/").wsgi_request.get_host() == HOST


def test_waiting_and_lost_names_are_refused(cast, own):
    for fields in (
        {"state": "waiting", "verified_at": None},
        {"state": "waiting", "verified_at": None, "problem": "no_proof"},
    ):
        type(own).objects.update(**fields)
        panel_hosts.forget()

        assert at().get("/").status_code == 400


@pytest.mark.parametrize(("state", "status"), [("closed", 400), ("suspended", 200)])
def test_closed_reseller_loses_it_and_a_suspended_one_does_not(cast, state, status):
    Organisation.objects.filter(pk=cast.reseller.pk).update(state=state)
    panel_hosts.forget()

    assert at().get(SIGN_IN).status_code == status


def test_house_is_as_it_was():
    response = Client(headers={"host": "panel.house.test"}).get("/")

    assert "Provider Secret Name" in text_of(response)
    assert "Rowan Post" not in text_of(response)


# TLS, cookies, forms --------------------------------------------------------------------


@pytest.fixture
def public(settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_HSTS_SECONDS = 1000
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = settings.SECURE_HSTS_PRELOAD = True
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.CSRF_TRUSTED_ORIGINS = ["https://panel.house.test"]


def test_plain_http_is_led_to_tls_at_the_same_name(public):
    response = at().get(SIGN_IN)

    assert response.status_code == 301
    assert response.headers["Location"] == f"https://{HOST}{SIGN_IN}"


def test_tls_is_promised_for_the_resellers_name_alone(public):
    secure = {"x-forwarded-proto": "https"}
    own = Client(headers={"host": HOST, **secure}).get(SIGN_IN)
    house = Client(headers={"host": "panel.house.test", **secure}).get(SIGN_IN)

    assert own.headers["Strict-Transport-Security"] == "max-age=1000"
    assert "includeSubDomains; preload" in house.headers["Strict-Transport-Security"]


def test_cookies_are_the_hosts_own(public):
    client = Client(headers={"host": HOST, "x-forwarded-proto": "https"})

    client.get(SIGN_IN)
    client.post(SIGN_IN, {"username": "alice@example.test", "password": PASSWORD})

    assert set(client.cookies) == {
        "browser",
        settings.CSRF_COOKIE_NAME,
        settings.SESSION_COOKIE_NAME,
    }
    for cookie in client.cookies.values():
        assert cookie["secure"]
        assert cookie["domain"] == ""


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (f"https://{HOST}", 302),
        ("https://evil.test", 403),
        ("https://panel.sorrel.test", 403),
        (f"http://{HOST}", 403),
        ("null", 403),
    ],
)
def test_forms_come_from_the_same_name(public, origin, status, sorrel):
    client = Client(headers={"host": HOST, "x-forwarded-proto": "https"}, enforce_csrf_checks=True)
    client.get(SIGN_IN)
    form = {
        "username": "alice@example.test",
        "password": PASSWORD,
        "csrfmiddlewaretoken": client.cookies[settings.CSRF_COOKIE_NAME].value,
    }

    response = client.post(SIGN_IN, form, headers={"origin": origin})

    assert response.status_code == status
    if status == 403:
        assert "Provider Secret Name" not in text_of(response)
        assert "Rowan Post" in text_of(response)


# Who is somebody there ------------------------------------------------------------------


@pytest.mark.parametrize("person", ["alice", "bob", "rita"])
def test_people_of_the_tree_sign_in(cast, person):
    _client, response = comes_in(getattr(cast, person).email)

    assert response.headers["Location"] == "/overview/"


@pytest.mark.parametrize("email", ["charlie@example.test", "sam@example.test", "tina@example.test"])
def test_people_of_other_trees_are_answered_as_with_a_wrong_password(sorrel, email):
    _client, right = comes_in(email)
    _client, wrong = comes_in(email, password="something else entirely")

    assert right.status_code == 200
    assert WRONG in text_of(right)
    assert text_of(right) == text_of(wrong)


def test_right_password_of_a_stranger_costs_the_same_work(cast, monkeypatch):
    checked = []
    original = User.check_password
    monkeypatch.setattr(
        User, "check_password", lambda self, raw: checked.append(raw) or original(self, raw)
    )

    comes_in(cast.charlie.email)

    assert checked == [PASSWORD]


def test_everybody_signs_in_at_the_house(cast):
    for person in (cast.alice, cast.rita, cast.charlie, cast.sam):
        _client, response = comes_in(person.email, host="panel.house.test")

        assert response.status_code == 302


@pytest.mark.parametrize("person", ["charlie", "sam"])
def test_session_of_a_stranger_is_none_there(cast, person):
    client = at()
    signed_in(getattr(cast, person), client)

    response = client.get("/overview/")

    assert response.headers["Location"].startswith(SIGN_IN)


def test_whoever_leaves_the_tree_is_out_with_the_next_page(cast):
    client, _response = comes_in(cast.alice.email)
    Membership.objects.filter(user=cast.alice).delete()

    assert client.get("/overview/").headers["Location"].startswith(SIGN_IN)


def test_somebody_of_two_trees_sees_one_of_them(cast):
    Membership.objects.create(user=cast.alice, organisation=cast.other_customer, role="owner")
    mine = make_mailbox(cast.domain, "mine")
    elsewhere = make_mailbox(cast.other_domain, "elsewhere")
    Restriction.objects.create(
        organisation=cast.other_customer, cause="staff", reason="Debts there.", imposed_at=AT
    )
    Organisation.objects.filter(pk=cast.other_customer.pk).update(state="suspended")
    client, _response = comes_in(cast.alice.email)

    overview = text_of(client.get("/overview/"))

    assert mine.address in overview
    assert elsewhere.address not in overview
    assert "Juniper" not in overview
    assert client.get(reverse("mailboxes:detail", args=[elsewhere.uuid])).status_code == 404


@pytest.mark.parametrize("path", ["/staff/", "/staff/login/", "/staff/accounts/user/"])
def test_there_are_no_staff_pages(cast, path):
    client = at()
    signed_in(cast.sam, client)

    response = client.get(path)

    assert response.status_code == 404
    assert "Provider Secret Name" not in text_of(response)


def test_backend_without_a_request_is_djangos(cast):
    given = {"username": cast.charlie.email, "password": PASSWORD}
    request = RequestFactory().get("/")

    for asked in (None, request):
        found = PanelBackend().authenticate(asked, **given)
        assert found == ModelBackend().authenticate(asked, **given) == cast.charlie


# Signing up -----------------------------------------------------------------------------

NEW = form(name="Nina", organisation_name="Nettle", email="nina@example.test")
HOUSE = "panel.house.test"


def test_new_customer_is_the_resellers(cast):
    response = signed_up(at(), **NEW)

    assert response.headers["Location"] == "/overview/"
    assert Organisation.objects.get(name="Nettle").parent == cast.reseller


def test_letters_about_signing_up_are_in_the_resellers_name(cast):
    at().post("/account/sign-up", {"email": NEW["email"]})
    at().post("/account/sign-up", {"email": cast.charlie.email})

    for letter in letters():
        assert "Rowan Post" in letter.body
        assert f"://{HOST}" in letter.body
        for part in (
            letter.body,
            letter.from_email,
            letter.subject,
            letter.alternatives[0].content,
        ):
            assert "Provider Secret Name" not in part
            assert HOUSE not in part


def test_new_customer_at_the_house_is_the_houses(cast):
    signed_up(at(HOUSE), **NEW)

    assert Organisation.objects.get(name="Nettle").parent == cast.provider


def test_link_opens_nothing_at_the_host_of_another_reseller(cast, sorrel):
    for client in (at(), at(HOUSE)):
        path = newcomers.asked(client, NEW["email"])
        other = at("panel.sorrel.test")

        assert other.get(path).status_code == 404
        assert other.post(path, NEW).status_code == 404
        assert not User.objects.filter(email=NEW["email"]).exists()


def test_link_goes_on_at_the_house_when_the_resellers_host_is_gone(cast, own):
    path = newcomers.asked(at(), NEW["email"])
    own.delete()
    panel_hosts.forget()

    assert at(HOUSE).post(path, NEW).headers["Location"] == "/overview/"
    assert Organisation.objects.get(name="Nettle").parent == cast.reseller


def test_suspended_reseller_takes_nobody(cast):
    path = newcomers.asked(at(), NEW["email"])
    Organisation.objects.filter(pk=cast.reseller.pk).update(state="suspended")

    for response in (
        at().post("/account/sign-up", {"email": NEW["email"]}),
        at().post("/account/sign-up", {"email": cast.charlie.email}),
        at().post(path, NEW),
    ):
        assert "No new accounts can be opened here at the moment." in text_of(response)
    assert letters() == []
    assert not Organisation.objects.filter(name="Nettle").exists()
    assert not User.objects.filter(email=NEW["email"]).exists()


# What is shown --------------------------------------------------------------------------


def test_first_page_shows_the_resellers_prices(cast):
    make_list(cast.reseller, is_default=True, pop=("7.77", 0, "0"), imap=("8.88", 0, "0"))

    own = text_of(at().get("/"))
    house = text_of(Client(headers={"host": "panel.house.test"}).get("/"))

    assert "7.77" in own
    assert "7.77" not in house


def test_first_page_of_a_reseller_without_prices_shows_those_of_the_house():
    own = at().get("/")
    house = Client(headers={"host": "panel.house.test"}).get("/")

    assert own.context["pop"]["price_text"] == house.context["pop"]["price_text"]


@pytest.mark.parametrize("path", ["/", SIGN_IN, "/account/sign-up", "/nowhere", "/estimate"])
def test_no_page_before_signing_in_names_the_house(path):
    text = text_of(at().get(path))

    assert "Provider Secret Name" not in text
    assert path == "/estimate" or "Rowan Post" in text


def test_bad_form_is_answered_in_the_resellers_name(settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 3

    response = at().post(SIGN_IN, {f"f{number}": "1" for number in range(9)})

    assert response.status_code == 400
    assert "Rowan Post" in text_of(response)


def test_nothing_of_another_reseller_is_served(cast, sorrel):
    brand = sorrel.brand
    brand.logo = make_logo(sorrel)
    brand.save()
    path = reverse("brand:logo", args=[brand.uuid, brand.logo.pk])

    assert at("panel.sorrel.test").get(path).status_code == 200
    assert at("panel.house.test").get(path).status_code == 200
    assert at(HOST).get(path).status_code == 404


# What a TLS proxy asks ------------------------------------------------------------------

ASK = "/tls/allowed"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (HOST, 200),
        ("PANEL.ROWAN.TEST.", 200),
        ("panel.house.test", 200),
        ("evil.test", 404),
        ("", 404),
        (f"x.{HOST}", 404),
    ],
)
def test_proxy_on_this_machine_hears_which_names_are_proved(name, status):
    assert Client().get(ASK, {"domain": name}).status_code == status


@pytest.mark.parametrize(
    ("about", "status"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, 200),
        ({"REMOTE_ADDR": "127.8.8.8"}, 200),
        ({"REMOTE_ADDR": "::1"}, 200),
        ({"REMOTE_ADDR": "203.0.113.9"}, 404),
        ({"REMOTE_ADDR": "172.18.0.1"}, 404),
        ({"REMOTE_ADDR": ""}, 404),
        # Somebody outside, let through by the proxy on this machine.
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9"}, 404),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=203.0.113.9"}, 404),
    ],
)
def test_strangers_hear_nothing(about, status):
    assert Client(**about).get(ASK, {"domain": HOST}).status_code == status


@pytest.mark.parametrize(
    ("set_to", "given", "status"),
    [("s3cret", "s3cret", 200), ("s3cret", "s3cre", 404), ("s3cret", "", 404), ("", "", 404)],
)
def test_proxy_elsewhere_knows_a_secret(settings, set_to, given, status):
    settings.TLS_ASK_SECRET = set_to
    asked = {"domain": HOST, "secret": given}

    assert Client(REMOTE_ADDR="203.0.113.9").get(ASK, asked).status_code == status


def test_proxy_asks_without_tls(public):
    assert Client().get(ASK, {"domain": HOST}).status_code == 200


def test_guest_of_a_customer_is_a_guest_there_too(cast):
    """Whoever acts in a customer has a guest's rights there, and none of its own."""
    client = signed_in(cast.rita, at())
    visit = visits.begin(
        actor=membership.actor_within(cast.rita, seller_id=cast.reseller.pk),
        organisation=cast.customer,
        reason="Help",
        at=timezone.now(),
    )
    session = client.session
    session[visits.SESSION_KEY] = str(visit.uuid)
    session.save()

    response = client.get("/overview/")

    actor = actor_of(response.wsgi_request)
    assert actor.visit_id == visit.pk
    assert dict(actor.roles) == {cast.customer.pk: "visitor"}
