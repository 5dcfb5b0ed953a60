"""Fetching a message as a mail program does, by POP or by IMAP."""

from __future__ import annotations

import imaplib
import poplib
import ssl

from django.conf import settings

_PATIENCE_SECONDS = 15


class NotFetched(Exception):
    """The mail server did not give the message out; the text says why."""


def by_pop(address: str, secret: str) -> list[bytes]:
    """The lines of the first message; raises `NotFetched`."""
    try:
        client = poplib.POP3(settings.MAIL_LISTEN, settings.POP3_PORT, timeout=_PATIENCE_SECONDS)
        client.stls(_tls())
        client.user(address)
        client.pass_(secret)
        lines = client.retr(1)[1]
        client.quit()
    except (OSError, poplib.error_proto) as error:
        message = f"POP3 did not give the message out: {error}."
        raise NotFetched(message) from error
    return lines


def by_imap(address: str, secret: str) -> list[bytes]:
    """The first message in pieces; raises `NotFetched`."""
    try:
        with imaplib.IMAP4(
            settings.MAIL_LISTEN,
            settings.IMAP_PORT,
            timeout=_PATIENCE_SECONDS,
        ) as client:
            client.starttls(_tls())
            client.login(address, secret)
            client.select("INBOX", readonly=True)
            _status, parts = client.fetch("1", "(BODY.PEEK[])")
    except (OSError, imaplib.IMAP4.error) as error:
        message = f"IMAP did not give the message out: {error}."
        raise NotFetched(message) from error
    return [piece for part in parts if isinstance(part, tuple) for piece in part]


def _tls() -> ssl.SSLContext:
    """TLS as a mail program would use, but for the name: the doctor comes by another one."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
