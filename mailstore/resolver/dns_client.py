"""Asks the name servers of this machine, or those of the settings, by DNS."""

from __future__ import annotations

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from django.conf import settings
from dns.rdata import Rdata
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

from mailstore.resolver.base import Exchange, NoAnswer

# Two name servers can be tried within this.
_PATIENCE_SECONDS = 5.0
_PORT = 53


class DnsClient:
    """A stub resolver: it asks one of its servers and believes the answer."""

    def __init__(
        self, *, servers: list[str] | None = None, port: int = _PORT, patience: float | None = None
    ) -> None:
        """Without `servers`, the ones that this machine uses."""
        self._servers = servers or []
        self._port = port
        self._patience = _PATIENCE_SECONDS if patience is None else patience

    def texts(self, name: str) -> tuple[str, ...]:
        """The TXT records of a name, each joined into one text."""
        return tuple(
            b"".join(record.strings).decode("ascii", "replace")
            for record in self._records(name, dns.rdatatype.TXT)
            if isinstance(record, TXT)
        )

    def alias(self, name: str) -> str:
        """What a CNAME record makes it another name for."""
        for record in self._records(name, dns.rdatatype.CNAME):
            if isinstance(record, CNAME):
                return record.target.to_text(omit_final_dot=True).lower()
        return ""

    def addresses(self, name: str) -> frozenset[str]:
        """Its IPv4 and IPv6 addresses."""
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        return frozenset(record.to_text() for kind in kinds for record in self._records(name, kind))

    def exchanges(self, name: str) -> tuple[Exchange, ...]:
        """Its MX records, aliases followed."""
        found = (
            Exchange(record.preference, _host(record.exchange))
            for record in self._records(name, dns.rdatatype.MX)
            if isinstance(record, MX)
        )
        return tuple(sorted(found))

    def _records(self, name: str, kind: dns.rdatatype.RdataType) -> list[Rdata]:
        try:
            asked = dns.resolver.Resolver(configure=not self._servers)
            if self._servers:
                asked.nameservers = list(self._servers)
                asked.port = self._port
            # The name is whole, so that no search domain of this machine is tried after it.
            absolute = dns.name.from_text(name)
            return list(asked.resolve(absolute, kind, lifetime=self._patience, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            message = f"{name}: {error}"
            raise NoAnswer(message) from error


def _host(name: dns.name.Name) -> str:
    """The name in lower case; empty for the root, which stands for none (RFC 7505)."""
    return "" if name == dns.name.root else name.to_text(omit_final_dot=True).lower()


def from_settings() -> DnsClient:
    """The client of this installation."""
    return DnsClient(servers=settings.DNS_SERVERS)
