"""The demo's staff and reseller come in with a second factor that the terminal tells."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from hosting import demo
from hosting.stack import welcome
from tests.factories import AT, make_plans, make_policies

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


@pytest.fixture
def made(settings, tmp_path, twin):
    settings.SECRETS_FOLDER = tmp_path
    make_plans()
    make_policies()
    assert demo.load(at=timezone.now())
    return {entry.name: entry for entry in demo.sign_ins()}


def shown_codes():
    told = io.StringIO()
    call_command("show_demo_codes", stdout=told)
    return dict(line.split("  ") for line in told.getvalue().splitlines())


def test_staff_and_reseller_of_the_demo_sign_in_with_the_shown_code(made):
    codes = shown_codes()
    assert set(codes) == {"sam@restante.test", "rita@rowan.test"}

    for name, code in codes.items():
        browser = Client()
        browser.post("/account/sign-in", {"username": name, "password": made[name].secret})
        assert browser.get("/overview/").status_code == 302
        browser.post("/account/second-factor/", {"code": code})
        assert browser.get("/overview/").status_code == 200


def test_customer_of_the_demo_needs_none(made):
    browser, entry = Client(), made["alice@alder.test"]
    browser.post("/account/sign-in", {"username": entry.name, "password": entry.secret})

    assert browser.get("/overview/").status_code == 200
    assert entry.authenticator == ""


def test_the_launcher_says_how_to_come_in(made, capsys):
    welcome.show()

    said = capsys.readouterr().out
    assert "bin/manage show_demo_codes" in said
    assert made["rita@rowan.test"].authenticator in said


def test_sign_ins_of_an_older_demo_are_read_still(settings, tmp_path, capsys):
    settings.SECRETS_FOLDER = tmp_path
    old = [{"what": "Sam", "name": "sam@restante.test", "secret": "x"}]
    demo.sign_ins_path().write_text(json.dumps(old))

    welcome.show()

    assert "set up a second factor" in capsys.readouterr().out
    with pytest.raises(CommandError):
        call_command("show_demo_codes")
    assert demo.codes(at=AT) == {}
