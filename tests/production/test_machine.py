"""The images and services of a production machine, run as far as they run without Docker."""

from __future__ import annotations

import imaplib
import json
import re
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from tests.patience import PATIENCE_SECONDS
from tests.production.images import ROOT
from tests.production.machine import ADDRESSES, COMPOSE, OPERATOR

CONFIGURATION = "/var/lib/restante/dovecot/conf/dovecot.conf"
BUILT = sorted(name for name, service in COMPOSE["services"].items() if "build" in service)


def test_the_mail_image_has_debians_dovecot_and_none_of_the_program(machine):
    mail = machine["mail"]

    assert re.match(r"2\.3\.", mail.run("dovecot", "--version").stdout)
    assert not (mail.root / "opt/venv").exists()
    assert not (mail.root / "opt/restante/hosting").exists()


def test_the_panel_image_has_no_mail_server(machine):
    assert not (machine["web"].root / "usr/sbin/dovecot").exists()


def test_nothing_but_what_runs_is_in_the_images(machine):
    found = {path.name for path in (machine["web"].root / "opt/restante").iterdir()}

    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert found == {line[1:] for line in lines if line.startswith("!")}


@pytest.mark.parametrize("name", BUILT)
def test_a_service_runs_without_rights_and_cannot_change_itself(machine, name):
    script = "id -u; grep -E '^(CapPrm|NoNewPrivs)' /proc/self/status; touch /opt/restante/x"
    answer = machine[name].run("bash", "-c", script)

    assert answer.stdout.split() == ["10025", "CapPrm:", "0" * 16, "NoNewPrivs:", "1"]
    assert "Read-only file system" in answer.stderr


def test_the_panel_is_served_with_a_checked_configuration(machine):
    command = ("gunicorn", "--check-config", "--config", "deploy/gunicorn.conf.py")

    answer = machine["web"].run(*command, "hosting.wsgi:application")

    assert answer.returncode == 0, answer.stderr


def test_the_settings_are_safe(machine):
    check = ("python3", "manage.py", "check", "--deploy", "--fail-level", "WARNING")

    answer = machine["web"].run(*check)

    assert answer.returncode == 0, answer.stderr


def test_the_mail_server_reads_the_rendered_configuration_and_cannot_change_it(machine):
    mail = machine["mail"]

    assert mail.run("doveconf", "-c", CONFIGURATION, "-n").returncode == 0
    assert "Read-only file system" in mail.run("touch", CONFIGURATION).stderr


def test_the_mail_server_knows_no_secret_of_the_panel(machine):
    mail = machine["mail"]
    words = mail.run("grep", "-rh", "", str(Path(CONFIGURATION).parent)).stdout
    held = machine["web"].folder / "secrets"

    known = {path.name for path in held.iterdir() if (text := path.read_text()) and text in words}
    assert known == {"doveadm_api_key", "dovecot_database_password"}
    assert not (mail.root / "run/secrets").exists()


def test_doctor_finds_everything_well(machine):
    created = machine["web"].run(
        *("python3", "manage.py", "create_provider", "Restante", "sam@restante.test"),
        said="eleven atlases on a shelf\n",
    )
    assert created.returncode == 0, created.stderr

    answer = machine["web"].run("python3", "manage.py", "doctor", "--json")

    checks = json.loads(answer.stdout)["checks"]
    assert [check for check in checks if not check["is_well"]] == []
    assert answer.returncode == 0


@pytest.mark.parametrize(("scheme", "status"), [("http", 301), ("https", 200)])
def test_pages_are_given_out_over_tls_only(machine, scheme, status):
    headers = {"Host": OPERATOR["ALLOWED_HOSTS"], "X-Forwarded-Proto": scheme}

    answers = [
        httpx.get(f"http://127.0.0.1:8025{path}", headers=headers, timeout=PATIENCE_SECONDS)
        for path in ("/", "/static/css/tokens.css")
    ]

    assert [answer.status_code for answer in answers] == [status, status]


def test_mail_programs_meet_the_certificate_made_for_the_name(machine):
    certificate = machine["mail"].folder / "tls/mail.pem"
    context = ssl.create_default_context(cafile=str(certificate))

    with (
        socket.create_connection(("127.0.0.1", 993), timeout=PATIENCE_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=OPERATOR["MAIL_HOST"]) as connection,
    ):
        assert connection.recv(100).startswith(b"* OK")


def test_a_password_is_not_taken_before_tls(machine):
    with imaplib.IMAP4(ADDRESSES["mail-inner"], 143, timeout=PATIENCE_SECONDS) as client:
        assert "LOGINDISABLED" in client.capabilities


@pytest.mark.parametrize("port", [24, 8080])
def test_lmtp_and_the_admin_api_are_on_the_inner_network_only(machine, port):
    socket.create_connection((ADDRESSES["mail-inner"], port), timeout=PATIENCE_SECONDS).close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)


def test_the_log_is_turned_over(machine):
    mail = machine["mail"]
    log = Path(CONFIGURATION).parents[1] / "log/dovecot.log"
    rules = (mail.root / "opt/restante/deploy/logrotate.conf").read_text(encoding="utf-8")
    assert str(log) in rules

    turned = mail.run(
        *("logrotate", "--force", "--state", f"{log.parent}/.logrotate"),
        "/opt/restante/deploy/logrotate.conf",
    )
    mail.ask_health()

    assert turned.returncode == 0, turned.stderr
    names = {path.name for path in (mail.folder / "mail-log").iterdir()}
    assert names == {"dovecot.log", "dovecot.log.1", ".logrotate"}
    assert machine["worker"].run("test", "-r", str(log)).returncode == 0


def test_a_second_setup_changes_nothing_that_is_there(machine):
    setup, certificate = machine["setup"], machine["mail"].folder / "tls/mail.pem"
    before = certificate.read_bytes()

    setup.start()

    assert setup.finish() == 0, setup.said
    assert certificate.read_bytes() == before
    assert machine["mail"].ask_health().returncode == 0


def test_secrets_are_read_by_one_user_each(machine):
    secrets = machine["web"].folder / "secrets"

    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in secrets.iterdir()}
    assert modes == dict.fromkeys(COMPOSE["secrets"], "0o400")
    assert secrets.stat().st_mode & 0o777 == 0o700
