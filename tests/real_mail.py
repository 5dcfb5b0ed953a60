"""A real Dovecot over the test database, started once and stopped at the end."""

from __future__ import annotations

import dataclasses
import imaplib
import poplib
import ssl
import subprocess
from contextlib import ExitStack, suppress
from typing import ClassVar

import psutil
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from accounts.access import system
from mailstore import credentials, provisioning
from mailstore.engine import config, engine, process, server_from_settings
from mailstore.engine.config import SQLiteFiles
from tests.factories import AT, make_cast, make_mailbox
from tests.patience import PATIENCE_SECONDS
from tests.servers import wait_for_port


class Dovecot:
    """The processes of a mail server, to stop, kill, hold and start again."""

    started: ClassVar = []

    def __init__(self, server):
        self.server = server
        self.held = []

    def start(self):
        process.prepare(self.server)
        # A write beyond a limit then fails like one to a full disk, instead of ending the process.
        master = subprocess.Popen(
            process.command(self.server), stderr=subprocess.DEVNULL, restore_signals=False
        )
        self.started.append(master)
        server = self.server
        for port in (server.imap_port, server.pop3_port, server.lmtp_port, server.doveadm_port):
            wait_for_port(port, master)

    def stop(self):
        process.stop(self.server)
        self.wait()

    def wait(self):
        while self.started:
            self.started.pop().wait(timeout=PATIENCE_SECONDS)

    @property
    def master(self):
        return psutil.Process(process.running_pid(self.server))

    def processes(self, name=""):
        """Those below the master whose title holds `name`."""
        children = self.master.children(recursive=True)
        return [child for child in children if f"/{name}" in _title(child)]

    def kill(self):
        """End everything at once, with no chance to tidy up."""
        everything = [self.master, *self.processes()]
        for one in everything:
            one.kill()
        psutil.wait_procs(everything[1:], timeout=15)
        self.wait()

    def hold(self, name):
        """Let processes stand still, as on a machine that is out of memory."""
        self.held = self.processes(name)
        for child in self.held:
            child.suspend()

    def resume(self):
        while self.held:
            self.held.pop().resume()


@pytest.fixture(scope="session")
def mail_server(django_db_setup, django_db_blocker):
    # How guesses are held back is tried in `test_guard`; elsewhere wrong passwords are free.
    server = dataclasses.replace(server_from_settings(), failure_delay_seconds=0, guard=None)
    if isinstance(server.database, SQLiteFiles):
        names = {alias: connections[alias].settings_dict["NAME"] for alias in connections}
        files = SQLiteFiles(panel=names["default"], reports=names["reports"])
        server = dataclasses.replace(server, database=files)
    else:
        with django_db_blocker.unblock():
            call_command("create_mail_role")
    config.install(server)
    dovecot = Dovecot(server)
    dovecot.start()
    yield server
    dovecot.stop()


@pytest.fixture
def dovecot(mail_server):
    """What a test does to the mail server ends with it: the next one finds it up."""
    dovecot = Dovecot(mail_server)
    yield dovecot
    dovecot.resume()
    if process.running_pid(mail_server) is None:
        dovecot.start()


@pytest.fixture
def live(mail_server, db):
    """The engine of the real Dovecot; what a test commits, Dovecot sees."""
    return engine()


@pytest.fixture
def cast(live):
    return make_cast()


def _title(process):
    """Nothing for one that ended and is not yet reaped."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


class Program:
    """A mailbox with a mail program's sign-in."""

    def __init__(self, mailbox, secret, server, live, at_end):
        self.at_end = at_end
        self.mailbox, self.secret, self.server, self.live = mailbox, secret, server, live
        self.address = mailbox.address

    def imap(self, secret=None):
        client = imaplib.IMAP4("127.0.0.1", self.server.imap_port, timeout=PATIENCE_SECONDS)
        self.at_end.callback(_shut, client.shutdown)
        client.login(self.address, secret or self.secret)
        return client

    def imaps(self):
        context = ssl.create_default_context(cafile=str(self.server.certificate))
        client = imaplib.IMAP4_SSL(
            "localhost", self.server.imaps_port, ssl_context=context, timeout=PATIENCE_SECONDS
        )
        self.at_end.callback(_shut, client.shutdown)
        client.login(self.address, self.secret)
        return client

    def pop(self, secret=None):
        client = poplib.POP3("127.0.0.1", self.server.pop3_port, timeout=PATIENCE_SECONDS)
        self.at_end.callback(_shut, client.close)
        client.user(self.address)
        client.pass_(secret or self.secret)
        return client

    def deliver(self, subject="Hello", size=100):
        message = f"Subject: {subject}\r\nMessage-ID: <{subject}@x.test>\r\n\r\n{'x' * size}\r\n"
        self.live.deliver(recipient=self.address, message=message.encode(), sender="a@x.test")


@pytest.fixture
def make_program(cast, live, mail_server):
    def make(protocol="imap", local_part="hello"):
        mailbox = make_mailbox(cast.domain, local_part, protocol, is_ready=False)
        provisioning.prepare(mailbox=mailbox, engine=live)
        mailbox.refresh_from_db()
        actor = system("tests")
        issued = credentials.issue(actor=actor, mailbox=mailbox, label="Program", at=AT)
        return Program(mailbox, issued.secret, mail_server, live, at_end)

    with ExitStack() as at_end:
        yield make


def _shut(close):
    # A connection that the server ended is closed as well as one that it did not.
    with suppress(OSError):
        close()


assert settings.MAIL_ENGINE == "mailstore.engine.doveadm.from_settings", (
    "Run these by `bin/test tests/live` or `bin/test tests/journeys`."
)
