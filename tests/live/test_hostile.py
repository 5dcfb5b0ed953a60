"""Hostile names at every door of a real Dovecot: never a login, never a file out of place."""

from __future__ import annotations

import base64
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.conf import settings

from tests.corpus import HOSTILE_DOMAINS, HOSTILE_LOCAL_PARTS
from tests.factories import make_mailbox
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

DOMAIN = "alder.test"
# Mailboxes that a careless comparison would take for a hostile name's.
TWINS = ("strasse", "kelvin", "istanbul", "secure", "cafe", "a", "rf")
NAMES = [
    *(f"{local_part}@{DOMAIN}" for local_part in HOSTILE_LOCAL_PARTS if local_part != "a+b"),
    *(f"hello@{domain}" for domain in HOSTILE_DOMAINS),
    "hello@alder\u3002test",
    "hello@\u0430lder.test",
    "../../../../tmp/restante-hostile",
    "/etc/passwd",
    "hello",
    "hello@alder.test' OR '1'='1",
    "' UNION SELECT username, digest, 'y', 'x', NULL, NULL FROM dovecot_app_password --",
    "hello@alder.test'; DROP TABLE mailstore_usage; --",
    "hello@alder.test\\",
    "hello%40alder.test",
    "%{home}@alder.test",
    "%{sha256:password}",
    "*@alder.test",
    "%",
    "hello@alder.test*hello@alder.test",
    "x" * 8000 + "@alder.test",
    "@",
    "-c",
    "\udcff\udcfe@alder.test",
]


def octets(name):
    return name.encode("utf-8", "surrogateescape")


class Wire:
    """One connection, and the answer to one line at a time."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self.file = self.socket.makefile("rb")
        self.greeting = self.file.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def ask(self, line):
        """The first answer to a line; nothing if the server hung up on it."""
        with suppress(ConnectionError):
            self.socket.sendall(line + b"\r\n")
            return self.file.readline()
        return b""


def try_lmtp(server, name, secret):
    with Wire(server.lmtp_port) as wire:
        answer = wire.ask(b"LHLO x.test")
        while answer.startswith(b"250-"):
            answer = wire.file.readline()
        assert wire.ask(b"MAIL FROM:<a@x.test>").startswith(b"250")
        return wire.ask(b"RCPT TO:<" + octets(name) + b">")


def try_pop_user(server, name, secret):
    with Wire(server.pop3_port) as wire:
        answer = wire.ask(b"USER " + octets(name))
        return wire.ask(b"PASS " + secret.encode()) if answer.startswith(b"+OK") else answer


def try_pop_plain(server, name, secret):
    with Wire(server.pop3_port) as wire:
        return wire.ask(b"AUTH PLAIN " + _plain(name, secret))


def try_imap_literal(server, name, secret):
    with Wire(server.imap_port) as wire:
        assert wire.ask(b"a LOGIN {%d}" % len(octets(name))).startswith(b"+")
        return _tagged(wire, octets(name) + b' "' + secret.encode() + b'"')


def try_imap_quoted(server, name, secret):
    quoted = octets(name).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    with Wire(server.imap_port) as wire:
        return _tagged(wire, b'a LOGIN "' + quoted + b'" "' + secret.encode() + b'"')


def try_imap_plain(server, name, secret):
    with Wire(server.imap_port) as wire:
        return _tagged(wire, b"a AUTHENTICATE PLAIN " + _plain(name, secret))


DOORS = {
    door.__name__.removeprefix("try_"): (door, protocol, accepted)
    for door, protocol, accepted in (
        (try_lmtp, "imap", b"250"),
        (try_pop_user, "pop", b"+OK"),
        (try_pop_plain, "pop", b"+OK"),
        (try_imap_literal, "imap", b"a OK"),
        (try_imap_quoted, "imap", b"a OK"),
        (try_imap_plain, "imap", b"a OK"),
    )
}


def _plain(name, secret):
    return base64.b64encode(b"\0" + octets(name) + b"\0" + secret.encode())


def _tagged(wire, line):
    answer = wire.ask(line)
    while answer.startswith(b"* ") and not answer.startswith(b"* BYE"):
        answer = wire.file.readline()
    return answer


def everything_on_disk():
    """Every file of the installation, but for what a database makes and takes away itself."""
    found = (str(path) for path in settings.RESTANTE_STATE.rglob("*"))
    return {path for path in found if not path.endswith(("-wal", "-shm", "-journal"))}


@pytest.mark.parametrize("door", DOORS)
def test_no_hostile_name_gets_in_or_leaves_a_file(make_program, cast, door):
    attempt, protocol, accepted = DOORS[door]
    program = make_program(protocol)
    for name in TWINS:
        make_mailbox(cast.domain, name, protocol)
    assert attempt(program.server, program.address, program.secret).startswith(accepted)
    program.pop() if protocol == "pop" else program.imap()
    before = everything_on_disk()
    begin = program.server.log.stat().st_size

    # Dovecot gives out refusals twice a second, so they are waited for together.
    with ThreadPoolExecutor(max_workers=40) as pool:
        found = pool.map(lambda name: attempt(program.server, name, program.secret), NAMES)
        answers = dict(zip(NAMES, found, strict=True))

    assert {n: a for n, a in answers.items() if a.startswith((accepted, b"451"))} == {}
    assert everything_on_disk() == before
    assert attempt(program.server, program.address, program.secret).startswith(accepted)
    log = program.server.log.read_bytes()[begin:]
    broken = rb"Panic|Fatal|killed with signal|[Qq]uery failed|syntax error|unrecognized token"
    assert [line for line in log.splitlines() if re.search(broken, line)] == []


@pytest.mark.parametrize("door", ["pop_user", "imap_literal"])
def test_a_null_byte_ends_a_name_and_opens_nothing_else(make_program, door):
    """Dovecot reads such a name up to the null byte: as that mailbox, with its own secret."""
    attempt, protocol, accepted = DOORS[door]
    program, other = make_program(protocol, "hello"), make_program(protocol, "other")

    own = attempt(program.server, f"{program.address}\0.evil", program.secret)
    foreign = attempt(program.server, f"{other.address}\0{program.address}", program.secret)

    assert own.startswith(accepted)
    assert not foreign.startswith(accepted)
