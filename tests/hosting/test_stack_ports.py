from __future__ import annotations

import os
import socket

import pytest

from hosting.stack import ports
from tests.servers import free_port


@pytest.fixture
def listener():
    with socket.socket() as taken:
        # Not one of the kernel's own, which anybody may be given as soon as it is free.
        taken.bind(("127.0.0.1", free_port()))
        taken.listen(1)
        yield taken


def port(number: int, setting: str = "IMAP_PORT") -> ports.Port:
    return ports.Port("IMAP", "127.0.0.1", setting, number)


def test_every_port_of_the_settings_is_looked_at():
    found = [entry.setting for entry in ports.from_settings()]

    assert found == [
        "PANEL_PORT",
        "IMAP_PORT",
        "IMAPS_PORT",
        "POP3_PORT",
        "POP3S_PORT",
        "LMTP_PORT",
        "GUARD_PORT",
        "DOVEADM_PORT",
    ]


def test_free_ports_are_left_free(listener):
    number = listener.getsockname()[1]
    listener.close()

    ports.require_free([port(number)])
    ports.require_free([port(number)])


def test_a_taken_port_is_named_with_its_holder_and_its_setting(listener):
    number = listener.getsockname()[1]

    with pytest.raises(ports.PortUnavailable) as refusal:
        ports.require_free([port(number)])

    text = str(refusal.value)
    assert text.startswith(f"Port {number} on 127.0.0.1 (for IMAP) is held by ")
    assert f"(process {os.getpid()})" in text
    assert text.endswith(f"for example IMAP_PORT={number + 1} bin/run.")


def test_one_port_given_to_two_parts_is_refused(listener):
    number = listener.getsockname()[1]
    listener.close()

    with pytest.raises(ports.PortUnavailable, match=f"POP3_PORT={number + 1}"):
        ports.require_free([port(number), port(number, "POP3_PORT")])


def test_an_address_of_another_machine_is_refused():
    elsewhere = ports.Port("the panel", "192.0.2.1", "PANEL_PORT", 8025)

    with pytest.raises(ports.PortUnavailable, match=r"cannot be opened: .*Check PANEL_PORT"):
        ports.require_free([elsewhere])
