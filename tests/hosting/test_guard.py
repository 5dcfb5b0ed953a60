"""The guard as a WSGI application: what it answers to whom."""

from __future__ import annotations

import io
import json

import pytest
from django.conf import settings
from django.db import OperationalError

from accounts.access import system
from hosting import guard
from mailstore import credentials
from mailstore.engine import config, server_from_settings
from mailstore.guard import key_from, lookups
from tests.factories import AT, make_mailbox

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])
QUESTION = {
    "login": "hello@alder.test",
    "fingerprint": "f",
    "digest": "d",
    "remote": "192.0.2.1",
    "protocol": "imap",
    "session": "s",
    "tls": False,
}


@pytest.fixture(autouse=True)
def _thinks_here(monkeypatch):
    """In the test's own thread, whose database is in memory, and without a second one."""
    monkeypatch.setattr(
        guard, "_think", lambda about, attempt: about(attempt, guard.time.monotonic())
    )
    monkeypatch.setattr(guard, "close_old_connections", lambda: None)
    monkeypatch.setattr(guard._writer, "begin", lambda: None)


def ask(question, command="allow", *, key=None, method="POST", path="/"):
    body = question if isinstance(question, bytes) else json.dumps(question).encode()
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": f"command={command}",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "HTTP_X_RESTANTE_GUARD": key_from(settings.DOVEADM_API_KEY) if key is None else key,
    }
    said = []
    [answer] = guard.application(environ, lambda status, _headers: said.append(status))
    return int(said[0].split()[0]), json.loads(answer)


def test_a_mailbox_without_a_password_is_refused_and_with_one_let_on(cast):
    mailbox = make_mailbox(cast.domain)
    assert ask(QUESTION) == (200, {"status": -1})

    credentials.set_mailbox_password(
        actor=system("tests"), mailbox=mailbox, password="long enough", at=AT
    )

    assert ask(QUESTION) == (200, {"status": 0})
    assert ask(QUESTION | {"success": True, "policy_reject": False}, "report")[0] == 200
    assert ask(QUESTION | {"success": False, "policy_reject": True}, "report")[0] == 200
    assert ask(QUESTION | {"login": "", "success": False}, "report")[0] == 200


@pytest.mark.parametrize("key", ["", "x", "\xe9"])
def test_nobody_but_dovecot_is_answered(cast, key):
    assert ask(QUESTION, key=key) == (401, {})


@pytest.mark.parametrize(
    ("question", "command", "status"),
    [
        (b"", "allow", 400),
        (b"{", "allow", 400),
        (b"\xff\xfe", "allow", 400),
        (b"[]", "allow", 400),
        (b"{}", "allow", 400),
        (QUESTION, "", 400),
        (QUESTION, "drop", 400),
        (b"x" * 70_000, "allow", 413),
    ],
)
def test_what_is_no_question_is_no_answer(cast, question, command, status):
    assert ask(question, command) == (status, {})


def test_octets_that_are_no_text_are_looked_up_as_such(cast):
    body = json.dumps(QUESTION).encode().replace(b"hello", b"h\xffllo")

    assert ask(body) == (200, {"status": -1})


def test_its_health_is_anybodys(cast):
    assert ask(b"", method="GET", path="/healthz", key="") == (200, {"is_well": True})


@pytest.mark.parametrize("command", ["allow", "report"])
def test_while_the_database_is_away_dovecot_decides_alone(cast, monkeypatch, command):
    def away(attempt):
        raise OperationalError

    monkeypatch.setattr(lookups, "facts_of", away)

    assert ask(QUESTION, command) == (200, {"status": 0})


def test_dovecot_is_told_whom_to_ask_and_that_mail_goes_on_without():
    rendered = config.render(server_from_settings())["dovecot.conf"]

    key = key_from(settings.DOVEADM_API_KEY)
    assert f"auth_policy_server_api_header = X-Restante-Guard:{key}\n" in rendered
    assert f"auth_policy_server_url = http://127.0.0.1:{settings.GUARD_PORT}/\n" in rendered
    assert "auth_policy_reject_on_fail = no\n" in rendered
    assert "auth_failure_delay = 2 secs\n" in rendered
    assert settings.DOVEADM_API_KEY not in rendered.replace(
        f"doveadm_api_key = {settings.DOVEADM_API_KEY}", ""
    )
