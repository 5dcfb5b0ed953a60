"""The ports this machine opens, and whether they are free."""

from __future__ import annotations

import contextlib
import errno
import socket
from itertools import chain
from typing import NamedTuple

import psutil
from django.conf import settings


class PortUnavailable(Exception):
    """A port cannot be opened; the message says which, and what to do."""


class Port(NamedTuple):
    """A port that a part of the program listens on."""

    purpose: str
    host: str
    setting: str
    number: int


def from_settings() -> list[Port]:
    """Every port that a start on this machine opens."""
    return [
        Port("the panel", settings.PANEL_HOST, "PANEL_PORT", settings.PANEL_PORT),
        *chain.from_iterable(map(_mail_ports, settings.MAIL_ADDRESSES)),
        Port("delivery by LMTP", settings.LMTP_HOST, "LMTP_PORT", settings.LMTP_PORT),
        Port("the guard of sign-ins", settings.GUARD_HOST, "GUARD_PORT", settings.GUARD_PORT),
        Port("Dovecot's control", settings.DOVEADM_HOST, "DOVEADM_PORT", settings.DOVEADM_PORT),
    ]


def _mail_ports(address: str) -> list[Port]:
    return [
        Port("IMAP", address, "IMAP_PORT", settings.IMAP_PORT),
        Port("IMAP over TLS", address, "IMAPS_PORT", settings.IMAPS_PORT),
        Port("POP3", address, "POP3_PORT", settings.POP3_PORT),
        Port("POP3 over TLS", address, "POP3S_PORT", settings.POP3S_PORT),
    ]


def require_free(ports: list[Port]) -> None:
    """Refuse with one sentence when any of `ports` cannot be opened.

    All are held open together, so that two parts given the same port are found as well.
    """
    with contextlib.ExitStack() as held:
        for port in ports:
            held.enter_context(_opened(port))


def _opened(port: Port) -> socket.socket:
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # Connections of an earlier start that are still fading away are no obstacle.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((port.host, port.number))
        listener.listen(1)
    except OSError as error:
        listener.close()
        raise PortUnavailable(_sentence(port, error)) from error
    return listener


def _sentence(port: Port, error: OSError) -> str:
    subject = f"Port {port.number} on {port.host} (for {port.purpose})"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{subject} is held by {_holder(port.number)}; stop that, "
            f"or choose another port, for example {port.setting}={port.number + 1} bin/run."
        )
    if error.errno == errno.EACCES:
        return f"{subject} is kept for root; choose one above 1023 with {port.setting}."
    return f"{subject} cannot be opened: {error.strerror or error}. Check {port.setting}."


def _holder(number: int) -> str:
    """Who listens there, as far as this user may know."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (number,):
                name = psutil.Process(connection.pid).name() if connection.pid else ""
                return f"{name} (process {connection.pid})" if name else "another program"
    except psutil.Error:
        pass
    return "another program"
