"""What nobody's browser sends: detours in paths, odd methods, other hosts, broken lengths.

The requests are given to the whole application, as a web server hands them over.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from urllib.parse import unquote_to_bytes, urljoin, urlsplit
from wsgiref.util import setup_testing_defaults

import pytest
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.test import Client
from django.urls import reverse, set_script_prefix

from accounts.models import User
from hosting import request_limits
from tests.factories import PASSWORD
from tests.staffing import verified
from tests.test_access import ACCESS, PROGRAMS, STAFF, get_resolver, routes

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

PLANTED = "planted-in-the-staff-pages@example.test"
LIST = "/staff/accounts/user/"


application = cache(get_wsgi_application)


def ask(path, *, method="GET", cookies=None, body=b"", **environ):
    """Status, headers and body of what the application answers to a raw path."""
    raw, _, query = path.partition("?")
    given = {}
    setup_testing_defaults(given)
    given |= {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote_to_bytes(raw).decode("latin-1"),
        "SCRIPT_NAME": "",
        "QUERY_STRING": query,
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.input": BytesIO(body),
        **environ,
    }
    if cookies is not None:
        given["HTTP_COOKIE"] = "; ".join(f"{each.key}={each.value}" for each in cookies.values())
    answer = {}

    def start_response(status, headers, _error=None):
        answer["status"], answer["headers"] = int(status.split()[0]), headers

    parts = application()(given, start_response)
    content = b"".join(parts)
    parts.close()
    # It stays with the thread, and other tests of this process speak of addresses too.
    set_script_prefix("/")
    return answer["status"], answer["headers"], content


# Paths ----------------------------------------------------------------------------------

DETOURS = [
    "//staff/accounts/user/",
    "///staff/accounts/user/",
    "/staff//accounts/user/",
    "/staff/accounts/user//",
    "/./staff/accounts/user/",
    "/staff/./accounts/user/",
    "/staff/../staff/accounts/user/",
    "/overview/../staff/accounts/user/",
    "/%2e%2e/staff/accounts/user/",
    "/overview/%2e%2e/staff/accounts/user/",
    "/overview/..%2fstaff/accounts/user/",
    "/static/../staff/accounts/user/",
    "/static/%2e%2e/staff/accounts/user/",
    "/api/../staff/accounts/user/",
    "/api/v1/../../staff/accounts/user/",
    "/brand/../staff/accounts/user/",
    "/.well-known/../staff/accounts/user/",
    "/%2fstaff/accounts/user/",
    "/staff%2faccounts%2fuser/",
    "/%73taff/accounts/user/",
    "/%2573taff/accounts/user/",
    "/STAFF/accounts/user/",
    "/Staff/accounts/user/",
    "/staff./accounts/user/",
    "/staff%20/accounts/user/",
    "/%20staff/accounts/user/",
    "/staff;x=1/accounts/user/",
    "/staff/accounts/user/;x",
    "/staff\\accounts\\user\\",
    "/staff%5caccounts%5cuser%5c",
    "/\\staff/accounts/user/",
    "/staff%00/accounts/user/",
    "/%00staff/accounts/user/",
    "/staff%0a/accounts/user/",
    "/staff%0d%0aSet-Cookie:%20a=b/accounts/user/",
    "/%ef%bd%93taff/accounts/user/",
    "/st%c3%a1ff/accounts/user/",
    "/staff%ff/accounts/user/",
    "/%c0%afstaff/accounts/user/",
    "/%e2%80%8bstaff/accounts/user/",
    "staff/accounts/user/",
    "/staff/accounts/user",
    "/staff",
    "/staff/r/1/1/",
    "/staff/login/?next=/staff/accounts/user/",
    "/staff/accounts/user/#x",
    "/staff/accounts/user/?_popup=1",
    "/staff/autocomplete/?term=p&app_label=accounts&model_name=membership&field_name=user",
    "*",
    "",
    "/",
    "//",
    "/.",
    "/..",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "get", "Get", "PROPFIND"]


@pytest.fixture
def planted(cast):
    User.objects.create_user(PLANTED)
    User.objects.filter(pk=cast.sam.pk).update(is_superuser=True)
    cast.sam.refresh_from_db()
    return cast.sam


def test_the_list_is_there_for_whoever_may_see_it(planted):
    status, _headers, content = ask(LIST, cookies=verified(planted).cookies)

    assert status == 200
    assert PLANTED.encode() in content


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("who", ["nobody", "staff without a code", "customer with a code"])
def test_no_detour_leads_around_the_second_factor(who, method, planted, cast, counts):
    client = Client()
    if who == "staff without a code":
        client.force_login(planted)
    elif who == "customer with a code":
        client = verified(cast.alice)

    for path in [LIST, *DETOURS]:
        for more in ({}, {"HTTP_X_ORIGINAL_URL": LIST, "HTTP_X_REWRITE_URL": LIST}):
            status, headers, content = ask(path, method=method, cookies=client.cookies, **more)
            assert PLANTED.encode() not in content, path
            assert status < 500, path
            assert all("\n" not in value for _name, value in headers), path
            assert "Set-Cookie: a=b" not in str(headers), path
    counts(requests=2 * len(DETOURS) + 2)


@pytest.mark.parametrize("script", ["/staff", "/x", "/staff/accounts", "//evil.test"])
def test_a_path_below_which_the_panel_seems_to_lie_opens_nothing(script, planted):
    client = Client()
    client.force_login(planted)
    for path in (LIST, "/accounts/user/", "/user/", "/../staff/accounts/user/"):
        _status, _headers, content = ask(path, cookies=client.cookies, SCRIPT_NAME=script)
        assert PLANTED.encode() not in content, path


@pytest.mark.parametrize(
    ("path", "is_plain"),
    [
        ("/", True),
        ("/overview/", True),
        ("/static/css/base.css", True),
        ("/.well-known/security.txt", True),
        ("/account/invitation/MQ:1vN:x_-y", True),
        ("/caf\u00e9", True),
        ("//", False),
        ("/a//b", False),
        ("/a/", True),
        ("/a//", False),
        ("/a/./b", False),
        ("/a/..", False),
        ("/..", False),
        ("/a\\b", False),
        ("/a\x00", False),
        ("/a\r\nb", False),
        ("/a\u2028b", False),
    ],
)
def test_a_path_has_one_spelling(path, is_plain):
    assert request_limits.is_plain(path) is is_plain
    if not is_plain:
        # PEP 3333: bytes, one for each character.
        status, _headers, _content = ask("/", PATH_INFO=path.encode().decode("latin-1"))
        assert status == 400


# Methods --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["TRACE", "TRACK", "CONNECT", "PROPFIND", "MOVE", "DEBUG", "", "G\0T", "PATCH"]
)
@pytest.mark.parametrize("path", ["/", "/account/sign-in", "/staff/", "/nowhere"])
def test_pages_know_few_methods(method, path):
    status, headers, content = ask(path, method=method)

    assert status == 405
    assert dict(headers)["Allow"] == "GET, HEAD, POST, OPTIONS"
    assert b"localhost" not in content


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND"])
def test_programs_are_told_so_in_their_words(method):
    status, headers, content = ask("/api/v1/plans", method=method)

    assert status == 405
    assert dict(headers)["Content-Type"] == "application/problem+json"
    assert b'"method-not-allowed"' in content


# Hosts ----------------------------------------------------------------------------------

HOSTS = [
    "evil.test",
    "localhost.evil.test",
    "evil.test:8025",
    "evil.test#localhost",
    "evil.test/localhost",
    "localhost@evil.test",
    "localhost:8025@evil.test",
    "localhost:abc",
    "localhost:80:80",
    "localhost,evil.test",
    "localhost evil.test",
    "local_host",
    "xn--a",
    "loc\u00e4lhost",
    "localhost\r\nX-Evil: 1",
    "[::1",
    "[::1]evil.test",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0",
    "",
    ".",
    ".localhost",
    "a" * 300,
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_nobodys_is_refused_without_an_echo(host):
    for path, kind in (
        ("/account/sign-in", "text/html; charset=utf-8"),
        ("/api/v1/plans", "application/problem+json"),
        ("/staff/", "text/html; charset=utf-8"),
    ):
        status, headers, content = ask(path, HTTP_HOST=host)
        assert status == 400
        assert dict(headers)["Content-Type"] == kind
        if "evil" in host:
            assert b"evil" not in content
        assert "Set-Cookie" not in dict(headers)
        assert "Location" not in dict(headers)


@pytest.mark.parametrize(
    "more",
    [
        {"HTTP_X_FORWARDED_HOST": "evil.test"},
        {"HTTP_X_HOST": "evil.test"},
        {"HTTP_X_FORWARDED_SERVER": "evil.test"},
        {"HTTP_FORWARDED": "host=evil.test;proto=https"},
        {"HTTP_X_FORWARDED_PROTO": "https"},
        {"HTTP_X_FORWARDED_PORT": "666"},
        {"HTTP_X_FORWARDED_PREFIX": "//evil.test"},
        {"HTTP_X_HTTP_METHOD_OVERRIDE": "DELETE"},
        {"HTTP_X_ORIGINAL_URL": "/staff/"},
        {"SERVER_NAME": "evil.test"},
    ],
)
def test_nothing_beside_the_host_says_where_the_panel_is(more):
    status, headers, content = ask("/overview/", **more)

    assert status == 302
    assert dict(headers)["Location"] == "/account/sign-in?next=/overview/"
    assert b"evil" not in content


# Where somebody is led ------------------------------------------------------------------

ELSEWHERE = [
    "//evil.test",
    "///evil.test",
    "////evil.test/",
    "https://evil.test/",
    "HTTPS://evil.test/",
    "http://localhost@evil.test/",
    "http:evil.test",
    "https:/evil.test",
    "http:///evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "/\t/evil.test",
    "\t//evil.test",
    " //evil.test",
    "/%09/evil.test",
    "//evil%E3%80%82test",
    "javascript:alert(1)",
    "data:text/html,x",
    "//localhost:666@evil.test/",
    "/overview/\r\nSet-Cookie: a=b",
    "\x00//evil.test",
    "http://localhost:666/",
]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_nobody_is_led_elsewhere_after_signing_in(target, cast):
    client = Client(headers={"host": "localhost"})
    response = client.post(
        f"{reverse('accounts:sign_in')}",
        {"username": "alice@example.test", "password": PASSWORD, "next": target},
        query_params={"next": target.replace("\0", "")},
    )

    assert response.status_code == 302
    location = response.headers["Location"]
    # What a browser makes of it: backslashes are slashes, tabs and line ends are nothing.
    seen = location.replace("\\", "/").translate({9: None, 10: None, 13: None}).strip()
    where = urlsplit(urljoin("http://localhost/account/sign-in", seen))
    assert (where.scheme, where.netloc) == ("http", "localhost")
    assert "Set-Cookie: a=b" not in str(response.headers)


# Sizes ----------------------------------------------------------------------------------


def test_every_route_has_a_limit_and_uploads_have_room():
    names = set(routes(get_resolver().url_patterns))
    named = {name for name in names if not name.startswith((STAFF, PROGRAMS))} | names
    larger = {name for name in named if request_limits.most_bytes(name) > 256 * 1024}

    assert {name for name in larger if not name.startswith(PROGRAMS)} == {
        "billing:set_logo",
        "look:try_out",
        "customers:import",
        "admin:hosting_mailboximport_add",
        "admin:hosting_bankimport_add",
    }
    assert set(ACCESS) <= named


@pytest.mark.parametrize(
    ("path", "bytes_", "status"),
    [
        ("/account/sign-in", 256 * 1024, 403),
        ("/account/sign-in", 256 * 1024 + 1, 413),
        ("/account/sign-up", 10**12, 413),
        ("/payments/stripe/webhook", 256 * 1024 + 1, 413),
        ("/api/v1/mailboxes", 1024 * 1024 + 1, 413),
        ("/api/v1/mailboxes", 10**12, 413),
    ],
)
def test_a_body_that_is_too_large_is_refused_unread(path, bytes_, status):
    class Unread(BytesIO):
        def read(self, *_size):
            assert status != 413, "It was read."
            return super().read(*_size)

    found, headers, content = ask(
        path,
        method="POST",
        CONTENT_LENGTH=str(bytes_),
        CONTENT_TYPE="application/x-www-form-urlencoded",
        **{"wsgi.input": Unread(b"")},
    )

    assert found == status
    if path.startswith("/api/"):
        assert dict(headers)["Content-Type"] == "application/problem+json"
        assert b'"body-too-large"' in content


def test_a_form_with_too_many_fields_is_refused():
    few, many = (
        dict.fromkeys([f"a{number}" for number in range(size)], "1") for size in (900, 1001)
    )

    assert Client().post("/account/sign-in", few).status_code == 200
    assert Client().post("/account/sign-in", many).status_code == 400


@pytest.mark.parametrize(
    ("more", "page", "program"),
    [
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 411, (400, b'"bad-request"')),
        ({"HTTP_CONTENT_ENCODING": "gzip"}, 415, (415, b'"unsupported-media-type"')),
        ({"HTTP_CONTENT_ENCODING": "br, gzip"}, 415, (415, b'"unsupported-media-type"')),
    ],
)
def test_a_body_is_sent_as_it_is_and_with_its_length(more, page, program):
    assert ask("/account/sign-in", method="POST", **more)[0] == page
    status, _headers, content = ask("/api/v1/mailboxes", method="POST", **more)
    assert (status, program[1] in content) == (program[0], True)


def test_a_program_that_forgets_tls_is_told_instead_of_led_on(settings):
    settings.SECURE_SSL_REDIRECT = True
    application.cache_clear()

    status, headers, content = ask("/api/v1/plans")
    page_status, _headers, _content = ask("/")
    application.cache_clear()

    assert status == 403
    assert "Location" not in dict(headers)
    assert b"came unencrypted" in content
    assert page_status == 301


@pytest.mark.parametrize("query", ["format=xml", "format=json", "format=", "format=../x"])
def test_answers_are_json_whatever_the_query_says(query):
    status, headers, _content = ask(f"/api/v1/plans?{query}")

    assert status == 401
    assert dict(headers)["Content-Type"] == "application/problem+json"


def test_the_form_of_a_body_is_counted_in_memory_too():
    assert settings.DATA_UPLOAD_MAX_MEMORY_SIZE >= 1024 * 1024
    assert settings.DATA_UPLOAD_MAX_NUMBER_FIELDS == 1000
