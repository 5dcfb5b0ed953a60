"""What a panel that is reached from outside is set to, by its address alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SHOWN = (
    "SESSION_COOKIE_NAME",
    "SESSION_COOKIE_SECURE",
    "SESSION_COOKIE_HTTPONLY",
    "SESSION_COOKIE_SAMESITE",
    "CSRF_COOKIE_NAME",
    "CSRF_COOKIE_SECURE",
    "CSRF_COOKIE_HTTPONLY",
    "CSRF_COOKIE_SAMESITE",
    "SECURE_HSTS_SECONDS",
    "SECURE_SSL_REDIRECT",
    "DEBUG",
    "SILENCED_SYSTEM_CHECKS",
)


def run(state, *words, **given):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = {**kept, "RESTANTE_STATE": str(state), **given}
    environment["DJANGO_SETTINGS_MODULE"] = "hosting.settings"
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def shown(state, **given):
    script = (
        "import json;from django.conf import settings;"
        f"print(json.dumps([getattr(settings, name) for name in {_SHOWN!r}]))"
    )
    return dict(zip(_SHOWN, json.loads(run(state, "-c", script, **given).stdout), strict=True))


PUBLIC = {
    "PANEL_URL": "https://panel.house.test",
    "ALLOWED_HOSTS": "panel.house.test",
    "SECURITY_CONTACT": "mailto:security@house.test",
}


def test_nothing_is_left_to_say_before_a_public_panel_starts(tmp_path):
    found = run(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "INFO", **PUBLIC)

    assert (found.returncode, found.stdout) == (
        0,
        "System check identified no issues (0 silenced).\n",
    ), found.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"DEBUG": "yes"}, "DEBUG"),
        ({"ALLOW_PRIVATE_WEBHOOKS": "yes"}, "ALLOW_PRIVATE_WEBHOOKS"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY"),
        ({"SECURITY_CONTACT": "nobody"}, "SECURITY_CONTACT"),
    ],
)
def test_a_mistake_keeps_a_public_panel_from_starting(given, words, tmp_path):
    found = run(
        tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING", **{**PUBLIC, **given}
    )

    assert found.returncode == 1
    assert words in found.stderr


def test_cookies_of_a_public_panel_belong_to_its_host_alone(tmp_path):
    assert shown(tmp_path, **PUBLIC) == {
        "SESSION_COOKIE_NAME": "__Host-session",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "CSRF_COOKIE_NAME": "__Host-csrf",
        "CSRF_COOKIE_SECURE": True,
        "CSRF_COOKIE_HTTPONLY": True,
        "CSRF_COOKIE_SAMESITE": "Lax",
        "SECURE_HSTS_SECONDS": 31_536_000,
        "SECURE_SSL_REDIRECT": True,
        "DEBUG": False,
        "SILENCED_SYSTEM_CHECKS": [],
    }


def test_a_laptop_without_tls_can_be_signed_in_to(tmp_path):
    found = shown(tmp_path)

    assert (found["SESSION_COOKIE_NAME"], found["CSRF_COOKIE_NAME"]) == ("session", "csrf")
    assert not found["SESSION_COOKIE_SECURE"]
    assert not found["SECURE_SSL_REDIRECT"]
