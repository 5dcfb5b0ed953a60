"""A Dovecot that asks a guard before it looks at a password, and the guard as it really runs."""

from __future__ import annotations

import dataclasses
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import psutil
import pytest
from django.conf import settings
from redis import Redis

from mailstore import guard
from mailstore.engine import config
from mailstore.engine.config import Guard
from tests.live.panel import ROOT, database, environment
from tests.patience import PATIENCE_SECONDS
from tests.real_mail import Dovecot
from tests.servers import free_port, wait_for_port

DELAY_SECONDS = 1
# Dovecot lets whoever waited half a minute for the guard try without it. On a busy machine a flood
# of guesses waits longer than that, and nothing could be said of how those are counted.
_PATIENT = "auth_policy_server_timeout_msecs = 600000\n"
# Likewise, a guard that does not hear from Redis in a twentieth of a second counts alone.
_PATIENT_WITH_REDIS = (
    f"?socket_timeout={PATIENCE_SECONDS}&socket_connect_timeout={PATIENCE_SECONDS}"
)


class GuardProcess:
    """Gunicorn on a port that stays the same through every start."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, workers: int = 1, **variables: str) -> None:
        command = [sys.executable, "-m", "gunicorn", "hosting.guard:application", "--preload"]
        options = ["--bind", f"127.0.0.1:{self.port}", "--workers", str(workers)]
        options += ["--worker-class", "gthread", "--threads", "64", "--keep-alive", "30"]
        options += ["--timeout", "10", "--graceful-timeout", "1"]
        options += ["--no-control-socket", "--log-level", "warning"]
        variables = environment(**database(), **variables)
        if variables.get("REDIS_URL"):
            variables["REDIS_URL"] += _PATIENT_WITH_REDIS
        self.process = subprocess.Popen([*command, *options], cwd=ROOT, env=variables)
        wait_for_port(self.port, self.process)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE_SECONDS)
            self.process = None

    def restart(self, **options: str | int) -> None:
        self.stop()
        self.start(**options)

    def kill(self) -> None:
        """Master and workers at once, with no chance to tidy up."""
        for each in self._all():
            each.kill()
        self.process.wait(timeout=PATIENCE_SECONDS)
        self.process = None

    def signal(self, number: signal.Signals) -> None:
        for each in self._all():
            each.send_signal(number)

    def _all(self) -> list[psutil.Process]:
        master = psutil.Process(self.process.pid)
        return [master, *master.children(recursive=True)]


class OwnDovecot(Dovecot):
    """Beside the one that all tests share."""

    def __init__(self, server: config.MailServer) -> None:
        super().__init__(server)
        self.started = []


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guarded:
    """The mail server and its guard."""

    server: config.MailServer
    guard: GuardProcess
    dovecot: OwnDovecot

    def pop(
        self, user: str | bytes, password: str | bytes, *, source: str = "127.0.0.1"
    ) -> tuple[bytes, float]:
        """The answer to one sign-in from a source address, and the seconds it took."""
        began = time.monotonic()
        host = "::1" if ":" in source else "127.0.0.1"
        with (
            socket.create_connection(
                (host, self.server.pop3_port), timeout=PATIENCE_SECONDS, source_address=(source, 0)
            ) as connection,
            connection.makefile("rb") as answers,
        ):
            answers.readline()
            connection.sendall(b"USER " + _octets(user) + b"\r\n")
            answer = answers.readline()
            if answer.startswith(b"+OK"):
                connection.sendall(b"PASS " + _octets(password) + b"\r\n")
                answer = answers.readline()
        return answer, time.monotonic() - began

    def log_since(self, begin: int) -> str:
        return self.server.log.read_bytes()[begin:].decode("utf-8", "replace")

    def configure(self, text: str) -> None:
        """Start Dovecot anew with this as its main file."""
        self.dovecot.stop()
        self.server.main_file.write_text(text)
        self.dovecot.start()


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _forget_turns() -> None:
    """In Redis; in memory a start of the guard does it."""
    if settings.REDIS_URL:
        with Redis.from_url(settings.REDIS_URL) as client:
            client.flushall()


@pytest.fixture(scope="module")
def guarded_pair(mail_server):
    """Both, up for all tests of a module."""
    asked, secret = GuardProcess(), settings.DOVEADM_API_KEY
    ports = ("imap", "imaps", "pop3", "pop3s", "lmtp", "doveadm")
    server = dataclasses.replace(
        mail_server,
        folder=mail_server.folder.with_name("guarded"),
        guard=Guard(
            # By name, as on a production machine.
            url=f"http://localhost:{asked.port}/",
            key=guard.key_from(secret),
            nonce=guard.nonce_from(secret),
        ),
        failure_delay_seconds=DELAY_SECONDS,
        **{f"{name}_port": free_port() for name in ports},
    )
    config.install(server)
    # Its log says of each password whether it was looked at; and guesses come from everywhere,
    # of which only one address needs no TLS.
    with server.main_file.open("a") as file:
        file.write(f"auth_verbose = yes\ndisable_plaintext_auth = no\n{_PATIENT}")
    dovecot = OwnDovecot(server)
    with ExitStack() as stack:
        asked.start()
        stack.callback(asked.stop)
        dovecot.start()
        stack.callback(dovecot.stop)
        yield Guarded(server=server, guard=asked, dovecot=dovecot)


@pytest.fixture
def guarded(guarded_pair, mail_server):
    """Both as at the start: nobody has tried anything."""
    guarded_pair.guard.restart()
    _forget_turns()
    return guarded_pair


@pytest.fixture
def impatient(guarded):
    """The same with a Dovecot that waits for the guard as long as the house lets it."""
    patient = guarded.server.main_file.read_text()
    guarded.configure(patient.replace(_PATIENT, ""))
    yield guarded
    guarded.configure(patient)
