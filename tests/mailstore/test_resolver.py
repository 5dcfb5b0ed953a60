"""The resolver: its twin, and the real client before a name server on a port of this machine."""

from __future__ import annotations

import dns.rcode
import pytest

from mailstore.resolver import NoAnswer, resolver
from mailstore.resolver.dns_client import from_settings
from mailstore.resolver.memory import MemoryResolver
from tests.mailstore.name_server import NameServer
from tests.mailstore.resolver_contract import ResolverContract


class Twin:
    def __init__(self):
        self.resolver = MemoryResolver()

    def hold(self, name, kind, value):
        self.resolver.records[name, kind].append(value)

    def fall_silent(self):
        self.resolver.is_silent = True


@pytest.fixture
def server():
    server = NameServer()
    yield server
    server.end()


class TestMemory(ResolverContract):
    @pytest.fixture
    def system(self):
        return Twin()


class TestDns(ResolverContract):
    @pytest.fixture
    def system(self, server):
        return server

    @pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
    def test_error_is_no_answer(self, server, code):
        server.hold("rowan.test", "TXT", "one")
        server.code = code

        with pytest.raises(NoAnswer):
            server.resolver.texts("rowan.test")

    @pytest.mark.parametrize("name", ["a..test", f"{'a' * 64}.test", f"{'abc.' * 70}test"])
    def test_name_that_cannot_be_asked_is_no_answer(self, server, name):
        with pytest.raises(NoAnswer):
            server.resolver.texts(name)

    def test_bytes_beyond_ascii_do_no_harm(self, server):
        server.hold("rowan.test", "TXT", "\\255")

        assert server.resolver.texts("rowan.test") == ("\N{REPLACEMENT CHARACTER}",)

    def test_search_domains_of_the_machine_are_not_tried(self, server):
        server.hold("panel.rowan.test.rowan.test", "TXT", "one")

        assert server.resolver.texts("panel.rowan.test") == ()


def test_tests_ask_the_twin():
    assert isinstance(resolver(), MemoryResolver)


def test_servers_come_from_the_settings(settings, server):
    settings.DNS_SERVERS = ["192.0.2.53"]

    assert from_settings()._servers == ["192.0.2.53"]
