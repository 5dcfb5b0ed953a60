"""What was sent is what arrives, byte for byte, by IMAP and by POP."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

BODIES = {
    "empty": b"",
    "one line": b"x\r\n",
    "dots": b".\r\n..\r\n.x\r\n",
    "8-bit": "Zoë ☕ на\r\n".encode() + bytes(range(0x80, 0x100)) + b"\r\n",
    "bare line feeds": b"one\ntwo\r\nthree\n\r\n",
    "bare carriage returns": b"one\rtwo\r\n",
    "long line": b"x" * 5000 + b"\r\n",
    "null bytes": b"a\0b\0\0c\r\n",
    "many lines": b"x\r\n" * 20_000,
    "thirty megabytes": (b"0123456789" * 7 + b"\r\n") * 420_000,
}


def on_the_wire(body, protocol):
    """Line ends become CRLF; IMAP has no null bytes (RFC 3501 section 9), so one is 0x80."""
    lines = re.sub(rb"(?<!\r)\n", b"\r\n", body)
    return lines.replace(b"\0", b"\x80") if protocol == "imap" else lines


def body_by_imap(program):
    client = program.imaps()
    client.select("INBOX")
    return client.fetch("1", "(BODY.PEEK[TEXT])")[1][0][1]


def body_by_pop(program):
    client = program.pop()
    lines = client.retr(1)[1]
    return b"".join(line + b"\r\n" for line in lines[lines.index(b"") + 1 :])


@pytest.mark.parametrize("protocol", ["imap", "pop"])
@pytest.mark.parametrize("name", BODIES)
def test_message_arrives_byte_for_byte(make_program, monkeypatch, protocol, name):
    monkeypatch.setattr("poplib._MAXLINE", 100_000)
    program = make_program(protocol)
    message = b"Subject: Bytes\r\n\r\n" + BODIES[name]
    program.live.deliver(recipient=program.address, message=message, sender="a@x.test")

    read = body_by_imap if protocol == "imap" else body_by_pop

    assert read(program) == on_the_wire(BODIES[name], protocol)


def test_message_of_nothing_at_all_arrives(make_program):
    program = make_program("pop")
    program.live.deliver(recipient=program.address, message=b"", sender="a@x.test")

    assert program.pop().stat()[0] == 1
    assert body_by_pop(program) == b""
