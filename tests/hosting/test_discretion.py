"""What logs and error reports leave out, with DEBUG on and off."""

from __future__ import annotations

import logging
import re
import sys

import pytest
from django.core.signing import dumps
from django.test import Client, RequestFactory
from django.urls import path
from django.views.debug import ExceptionReporter

from hosting import discretion, shown_once
from hosting.urls import urlpatterns as the_panels

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

# Turned round, because reports show the lines of this file.
CANARY = "2c19a3f7yranac"[::-1]


def kept(request, token):
    password = request.POST["password"]  # noqa: F841
    everything = dict(request.POST.items())  # noqa: F841
    raise ValueError("a failure")


def fail(message):
    raise RuntimeError(message)


urlpatterns = [path("account/fails/<str:token>", kept), *the_panels]
handler500 = "hosting.views.errors.server_error"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Not Found: /account/invitation/{CANARY}", "Not Found: /account/invitation/…"),
        (f"Not Found: /account/reset/MQ/{CANARY}/", "Not Found: /account/reset/…"),
        (f"at /account/sign-in?next=/&x={CANARY} HTTP", "at /account/sign-in?… HTTP"),
        (f"key rst_live_{CANARY} is", "key rst_… is"),
        (f"whsec_{CANARY}==", "whsec_…"),
        (f"sk_live_{CANARY}", "sk_…"),
        (f"Authorization: Bearer {CANARY}", "Authorization: Bearer …"),
        (f"basic {CANARY}==", "basic …"),
        (f"postgres://restante:{CANARY}@db:5432/x", "postgres://restante:…@db:5432/x"),
        (f"redis://:{CANARY}@redis:6379/0", "redis://:…@redis:6379/0"),
        (f"username=a&password={CANARY}&x=y", "username=a&password=…&x=y"),
        (f"?secret={CANARY} HTTP/1.1", "?secret=… HTTP/1.1"),
        # What is no secret stays as it is.
        ("Not Found: /mailboxes/7c9e6679-7425-40de-944b-e07fc1f90ae7/", None),
        ("http://127.0.0.1:8025/account/sign-in", None),
        ("A message of 5 parts to hello@alder.test", None),
        ("task hosting.run_import[4] basics", None),
    ],
)
def test_logs_leave_out_what_looks_like_a_secret(text, left):
    assert discretion.left_out(text) == (text if left is None else left)


def test_traceback_in_a_log_leaves_it_out_too():
    try:
        fail(f"postgres://restante:{CANARY}@db/x does not answer")
    except RuntimeError:
        record = logging.LogRecord("x", 40, __file__, 1, "failed", (), sys.exc_info())

    text = discretion.Formatter("{message}", style="{").format(record)

    assert "does not answer" in text
    assert CANARY not in text


@pytest.mark.urls("tests.hosting.test_discretion")
@pytest.mark.parametrize("is_debugging", [True, False])
def test_a_page_that_fails_shows_and_logs_nothing_of_what_was_typed(
    is_debugging, settings, capsys, caplog
):
    settings.DEBUG = is_debugging
    settings.STRIPE_SECRET_KEY = f"sk_{CANARY}"
    settings.DATABASE_URL = f"postgres://x:{CANARY}@x/x"
    settings.CACHES = {**settings.CACHES, "other": {"LOCATION": f"redis://:{CANARY}@x"}}
    settings.EMAIL_HOST_PASSWORD = settings.TLS_ASK_SECRET = CANARY
    client = Client(raise_request_exception=False)
    client.cookies[settings.SESSION_COOKIE_NAME] = CANARY

    response = client.post(
        f"/account/fails/{CANARY}",
        {"password": CANARY, "note": CANARY},
        headers={"authorization": f"Bearer {CANARY}", "referer": f"http://x/{CANARY}"},
    )

    assert response.status_code == 500
    text = response.content.decode()
    assert ("a failure" in text) is is_debugging, re.findall(
        r"<title>(.*?)</title>", text, re.DOTALL
    )
    # The address itself is the reader's own, and stands in its address bar.
    assert CANARY not in text.replace(f"/account/fails/{CANARY}", "").replace(
        f"token&#x27;: &#x27;{CANARY}", ""
    )
    console = logging.getLogger().handlers
    written = [handler.format(record) for handler in console for record in caplog.records]
    assert CANARY not in capsys.readouterr().err
    assert any("/account/fails/…" in line for line in written)


def test_report_shows_values_that_cannot_hold_a_secret():
    def work(number, words):
        raise ValueError("a failure")

    request = RequestFactory().post("/", {"words": CANARY})
    try:
        work(41, [CANARY])
    except ValueError:
        reporter = ExceptionReporter(request, *sys.exc_info())

    text = reporter.get_traceback_text() + reporter.get_traceback_html()

    frames = {
        name: value for frame in reporter.get_traceback_frames() for name, value in frame["vars"]
    }
    assert (frames["number"], frames["words"]) == (41, "<list of 1>")
    assert CANARY not in text.replace(repr(CANARY), "")


def test_a_secret_waits_sealed_and_is_shown_once():
    session = Client().session

    shown_once.keep(session, CANARY, of="key 1")
    session.save()

    assert CANARY not in dumps(dict(session.items()))
    assert CANARY not in str(dict(session.items()))
    assert shown_once.take(session, of="key 2") is None
    assert shown_once.take(session, of="key 1") == CANARY
    assert shown_once.take(session, of="key 1") is None


def test_what_nobody_looks_at_is_forgotten():
    session = Client().session
    for number in range(30):
        shown_once.keep(session, f"secret {number}", of=f"key {number}")

    found = [number for number in range(30) if shown_once.take(session, of=f"key {number}")]

    assert found == list(range(20, 30))


def test_what_was_sealed_under_a_key_that_is_gone_is_not_shown(settings):
    session = Client().session
    shown_once.keep(session, CANARY, of="key 1")
    settings.SECRET_KEY = "another"

    assert shown_once.take(session, of="key 1") is None
