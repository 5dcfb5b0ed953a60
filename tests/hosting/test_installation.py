from __future__ import annotations

import io
import shutil

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Event, Membership, Organisation, User
from hosting import doctor

PASSWORD = "eleven atlases on a shelf"


def create_provider(monkeypatch, email="Sam@restante.test", password=PASSWORD):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    output = io.StringIO()
    call_command("create_provider", "Restante", email, stdout=output)
    return output.getvalue()


def test_create_provider_makes_the_house_and_its_first_person(db, monkeypatch):
    said = create_provider(monkeypatch)

    assert said == "Restante is set up, and sam@restante.test can sign in.\n"
    user = User.objects.get()
    provider = Organisation.objects.get()
    assert (user.is_staff, user.is_superuser, user.check_password(PASSWORD)) == (True, True, True)
    assert (provider.name, provider.kind) == ("Restante", Organisation.Kind.PROVIDER)
    assert Membership.objects.get().role == Membership.Role.OPERATOR
    assert [event.kind for event in Event.objects.all()] == ["organisation.created"]


@pytest.mark.parametrize(
    ("email", "password", "sentence"),
    [("sam", PASSWORD, "valid email address"), ("sam@restante.test", "short", "too short")],
)
def test_create_provider_refuses_what_could_not_sign_in(db, monkeypatch, email, password, sentence):
    with pytest.raises(CommandError, match=sentence):
        create_provider(monkeypatch, email=email, password=password)

    assert not Organisation.objects.exists()


def test_create_provider_sets_up_one_house_only(db, monkeypatch):
    create_provider(monkeypatch)

    with pytest.raises(CommandError, match="set up already"):
        create_provider(monkeypatch, email="rita@rowan.test")

    assert User.objects.count() == 1


def test_create_provider_asks_at_a_terminal(db, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: PASSWORD)

    call_command("create_provider", "Restante", "sam@restante.test", stdout=io.StringIO())

    assert User.objects.get().check_password(PASSWORD)


def test_doctor_runs_one_check_alone(db, twin):
    assert [finding.name for finding in doctor.examine(only=["views"])] == ["views"]
    output = io.StringIO()

    call_command("doctor", only=["views"], stdout=output)

    assert output.getvalue() == "ok    views: 3 views answer\n"


@pytest.mark.django_db(databases=["default", "reports"], transaction=True)
def test_prepare_installation_says_why_it_cannot(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: None)

    with pytest.raises(CommandError, match=r"Dovecot is not installed on this machine\."):
        call_command("prepare_installation")
