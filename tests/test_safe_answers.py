"""Every answer carries the same headers, and no page holds what they forbid."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import Client
from django.urls import path, reverse

from hosting import safe_answers
from hosting.urls import urlpatterns as the_panels
from tests.factories import PASSWORD
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.test_admin import STAFF_PATHS, full_house
from tests.markup import faults
from tests.staffing import verified
from tests.test_access import ACCESS, FORMS, address

__all__ = ["address", "full_house"]

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

HEADERS = dict(safe_answers.HEADERS)


# Their addresses hold a token, of which not even the panel's own pages need to hear.
OF_LETTERS = {
    reverse(f"accounts:{name}")
    for name in (
        "confirm_address",
        "confirm_new_address",
        "take_back_address",
        "reset_password",
        "open_account",
    )
}


def check(response):
    """What a browser is told, and what it would run or load; returns whether it was a page."""
    where = f"{response.status_code} {response.request['PATH_INFO']}"
    headers = response.headers
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy, where
    assert "default-src 'none'" in policy, where
    assert "*" not in policy, where
    assert "http" not in policy.replace("https://checkout.stripe.com", ""), where
    is_of_letter = response.request["PATH_INFO"] in OF_LETTERS
    own = {"Referrer-Policy": "strict-origin"} if is_of_letter else {}
    for name, value in (HEADERS | own).items():
        assert headers[name] == value, (where, name)
    is_page = headers.get("Content-Type", "").startswith("text/html")
    if is_page and response.status_code == 200 and "Cookie" in headers.get("Vary", ""):
        assert "no-store" in headers["Cache-Control"] or "private" in headers["Cache-Control"], (
            where
        )
    if not is_page or response.streaming:
        return False
    assert faults(response.content.decode()) == [], where
    return True


def test_the_checks_of_pages_find_what_they_look_for():
    bad = [
        '<p style="color:red">',
        "<style>p{}</style>",
        "<script>alert(1)</script>",
        '<script src="https://evil.test/x.js"></script>',
        '<script src="//evil.test/x.js"></script>',
        '<img src="http://evil.test/x.png">',
        '<img src=x onerror="alert(1)">',
        '<a href=" javascript:alert(1)">',
        '<link rel="stylesheet" href="https://evil.test/">',
        '<form action="https://evil.test/">',
        '<iframe src="/"></iframe>',
        '<base href="/">',
        '<div hx-get="https://evil.test/">',
        '<div hx-on:click="alert(1)">',
        '<object data="/x"></object>',
        '<svg><use href="//evil.test/x.svg#a"></svg>',
    ]

    assert [text for text in bad if not faults(text)] == []
    good = '<a href="https://help.test/">x</a><script src="/static/a.js"></script><svg><path d="M">'
    assert faults(good + '<img src="data:image/svg+xml;base64,x"><form action="?a=b">') == []


@pytest.mark.parametrize("person", ["nobody", "alice", "bob", "charlie", "rita", "sam"])
def test_every_route_answers_with_the_headers(person, cast, address, counts):
    client = Client() if person == "nobody" else verified(getattr(cast, person))
    pages = 0

    for name in ACCESS:
        for method in ("get", "post"):
            if name == "accounts:sign_out":
                continue
            where = address(name)
            response = getattr(client, method)(where, FORMS.get(name, {}))
            pages += check(response)
            response.close()

    counts(routes=2 * len(ACCESS), pages=pages)


def test_every_staff_page_answers_with_the_headers(staff, full_house, counts):
    pages, staff.raise_request_exception = 0, False
    for where in STAFF_PATHS:
        if where == "/staff/logout/":
            continue
        response = staff.get(where, follow=True)
        pages += check(response)
        response.close()
    counts(pages=pages)
    assert pages > 60


def fails(_request):
    raise ValueError("canary")


def is_away(_request):
    raise OperationalError("canceling statement due to statement timeout: canary")


def is_suspicious(_request):
    raise SuspiciousOperation("canary")


urlpatterns = [
    path("fails", fails),
    path("is-away", is_away),
    path("is-suspicious", is_suspicious),
    path("api/v1/fails", fails),
    path("api/v1/is-away", is_away),
    *the_panels,
]
handler400 = "hosting.views.errors.bad_request"
handler500 = "hosting.views.errors.server_error"


@pytest.mark.urls("tests.test_safe_answers")
@pytest.mark.parametrize(
    ("where", "status", "words"),
    [
        ("/nowhere", 404, b"Nothing here"),
        ("/fails", 500, b"Our mistake"),
        ("/is-away", 503, b"Too busy just now"),
        ("/is-suspicious", 400, b"made no sense"),
        ("/static/nothing.css", 404, b"Nothing here"),
        ("/?q=%00", 400, b"made no sense"),
        ("/api/v1/nowhere", 404, b'"not-found"'),
        ("/api/v1/plans", 401, b'"unauthenticated"'),
        ("/api/v1/fails", 500, b'"internal-error"'),
        ("/api/v1/is-away", 503, b'"backend-unavailable"'),
    ],
)
def test_a_mishap_answers_with_the_headers_and_says_nothing_else(where, status, words):
    response = Client(raise_request_exception=False).get(where)

    assert response.status_code == status
    assert words in response.content
    assert b"canary" not in response.content
    check(response)
    if status == 503:
        assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "where", ["/", "/account/sign-in", "/api/v1/plans", "/static/css/base.css"]
)
def test_whoever_calls_a_host_that_is_nobodys_gets_the_headers(where):
    response = Client(headers={"host": "evil.test"}).get(where)

    assert response.status_code == 400
    assert b"evil.test" not in response.content
    assert b"Restante" not in response.content
    is_program = where.startswith("/api/")
    expected = "application/problem+json" if is_program else "text/html; charset=utf-8"
    assert response.headers["Content-Type"] == expected
    check(response)


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("/static/css/base.css", "text/css"),
        ("/static/django_htmx/htmx-2.min.js", "text/javascript"),
        ("/static/img/mark.svg", "image/svg+xml"),
        ("/healthz", "application/json"),
        ("/api/openapi.yaml", "application/yaml"),
    ],
)
def test_files_answer_with_the_headers(where, kind):
    response = Client().get(where)

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith(kind)
    check(response)
    response.close()


def test_programs_are_answered_with_the_headers(cast):
    caller = Caller(make_key(cast.reseller).secret)

    for where in ("/plans", "/mailboxes", "/organisations", "/nothing", "/plans?format=xml"):
        check(caller.get(where))
    check(caller.post("/mailboxes", {}))


def test_a_form_without_its_token_and_one_too_large_answer_with_the_headers(cast):
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.alice)
    listed = SimpleUploadedFile("x.csv", b"x" * 300_000)

    stale = client.post("/domains/add", {"name": "x.test"})
    large = client.post("/domains/add", {"name": listed})

    assert (stale.status_code, large.status_code) == (403, 413)
    assert check(stale)
    assert check(large)


def test_what_one_person_sees_is_kept_by_no_browser(cast):
    client = Client()
    client.force_login(cast.alice)

    page, file = client.get("/overview/"), client.get("/static/css/base.css")
    file.close()

    assert page.headers["Cache-Control"] == "private, no-store"
    # Nor by the script that would keep pages for the way back, sign-outs or not.
    assert '"historyCacheSize": 0' in page.content.decode()
    assert "no-store" not in file.headers["Cache-Control"]


def test_a_form_leads_to_the_panel_and_to_where_people_pay(settings):
    def targets():
        policy = Client().get("/").headers["Content-Security-Policy"]
        return policy.split("form-action ")[1].split(";")[0]

    settings.PAYMENT_ORIGIN = ""
    without = targets()
    settings.PAYMENT_ORIGIN = "https://checkout.stripe.com"

    assert (without, targets()) == ("'self'", "'self' https://checkout.stripe.com")


def test_cookies_say_to_whom_they_go(cast):
    client = Client()
    client.get("/account/sign-in")
    client.post("/account/sign-in", {"username": cast.alice.email, "password": PASSWORD})

    for name in (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME):
        cookie = client.cookies[name]
        assert (cookie["httponly"], cookie["path"], cookie["domain"]) == (True, "/", "")
        assert cookie["samesite"] == "Lax"
