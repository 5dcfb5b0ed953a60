"""Sign-ins by app password, beside the same Dovecot with a static password file."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable
from typing import Any

from django.conf import settings

from accounts.access import system
from bench import house
from bench.report import Row
from mailstore import credentials, provisioning
from mailstore.engine import engine
from tests.factories import AT, make_mailbox

ACCOUNTS = 40
SIGN_INS = 240
AIM = 0.8


def measure() -> list[Row]:
    cast = house.cast()
    rows = []
    with house.dovecot() as ours:
        accounts = {p: _accounts(cast, p) for p in ("imap", "pop")}
        with house.dovecot(_static(accounts)) as reference:
            for protocol, sign_in in (("imap", _imap), ("pop", _pop)):
                port = "imap_port" if protocol == "imap" else "pop3_port"
                value, beside = house.alternated(
                    _round(sign_in, getattr(ours, port), accounts[protocol]),
                    _round(sign_in, getattr(reference, port), accounts[protocol]),
                )
                rows.append(
                    Row(
                        bench="signin",
                        name=f"{protocol.upper()} sign-ins",
                        value=value,
                        unit="/s",
                        reference=beside,
                        aim=AIM,
                    ),
                )
    return rows


def _accounts(cast: Any, protocol: str) -> list[tuple[str, str, str]]:
    """Address, secret and home of mailboxes that are ready."""
    made = []
    for number in range(ACCOUNTS):
        mailbox = make_mailbox(cast.domain, f"{protocol}{number}", protocol, is_ready=False)
        provisioning.prepare(mailbox=mailbox, engine=engine())
        issued = credentials.issue(actor=system("bench"), mailbox=mailbox, label="Bench", at=AT)
        home = settings.MAIL_ROOT / mailbox.uuid.hex[:2] / mailbox.uuid.hex
        made.append((mailbox.address, issued.secret, str(home)))
    return made


def _static(accounts: dict[str, list[tuple[str, str, str]]]) -> Callable[[Any], None]:
    def change(server: Any) -> None:
        passwords = server.conf / "passwords"
        lines = (
            f"{address}:{{PLAIN}}{secret}::::::\n"
            for made in accounts.values()
            for address, secret, _home in made
        )
        passwords.write_text("".join(lines))
        homes = server.conf / "homes"
        homes.write_text(
            "".join(
                f"{address}:::::{home}::userdb_quota_rule=*:bytes=1000000000 userdb_device=-\n"
                for made in accounts.values()
                for address, _secret, home in made
            ),
        )
        (server.conf / "auth.conf").write_text(
            f"passdb {{\n  driver = passwd-file\n  args = username_format=%u {passwords}\n}}\n"
            f"userdb {{\n  driver = passwd-file\n  args = username_format=%u {homes}\n}}\n",
        )

    return change


def _round(
    sign_in: Callable[[int, str, str], None], port: int, accounts: list[tuple[str, str, str]]
) -> Callable[[], float]:
    def work(number: int) -> None:
        address, secret, _home = accounts[number % len(accounts)]
        sign_in(port, address, secret)

    return lambda: house.rate(work, count=SIGN_INS)


def _imap(port: int, address: str, secret: str) -> None:
    _talk(port, f"a AUTHENTICATE PLAIN {_plain(address, secret)}", b"a OK", "b LOGOUT")


def _pop(port: int, address: str, secret: str) -> None:
    _talk(port, f"AUTH PLAIN {_plain(address, secret)}", b"+OK", "QUIT")


def _talk(port: int, sign_in: str, welcome: bytes, leave: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        answers = connection.makefile("rb")
        answers.readline()
        connection.sendall(f"{sign_in}\r\n".encode())
        answer = answers.readline()
        while answer.startswith(b"* "):
            answer = answers.readline()
        if not answer.startswith(welcome):
            message = answer.decode("utf-8", "replace")
            raise ValueError(message)
        connection.sendall(f"{leave}\r\n".encode())
        answers.read()


def _plain(address: str, secret: str) -> str:
    return base64.b64encode(f"\0{address}\0{secret}".encode()).decode("ascii")
