"""Where a webhook may lead: a public address, whatever it is dressed up as.

A name is looked up anew before each connection, every address it has is judged, and the
connection goes to exactly the address that was judged.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit

import idna

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 500
_LONGEST_NAME = 253
_HTTPS_PORT, _HTTP_PORT, _LOWEST_FREE_PORT, _HIGHEST_PORT = 443, 80, 1024, 65535
# Anything else in an address is a trick, or a mistake that the receiver would read otherwise.
_URL_CHARACTERS = re.compile(r"[!#-;=?-\[\]_a-z~]+\Z")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
# What some libraries read as an IPv4 address: 2130706433, 0x7f.1, 0177.0.0.1.
_LOOKS_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_SCHEME_PORTS: Final = {"https": _HTTPS_PORT, "http": _HTTP_PORT}

# Beyond what the standard library knows not to be global. The numbers are of IANA's registries.
_DENIED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        # Metadata and platform services of clouds that lie on public numbers.
        *("168.63.129.16/32", "100.100.100.200/32"),
        # Everything but global unicast, then what is set aside within that.
        *("::/3", "4000::/2", "8000::/1"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
        *("5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
# Ports above the reserved ones at which no web server listens, but something that can be hurt.
_DENIED_PORTS = frozenset(
    {
        *(1080, 1433, 1521, 1719, 1720, 1723, 2049, 2375, 2376, 2379, 2380, 3128, 3306, 3389),
        *(3659, 4045, 4190, 5060, 5061, 5432, 5672, 5900, 5984, 6000, 6379, 6443, 6566, 6665),
        *(6666, 6667, 6668, 6669, 6697, 9042, 9092, 9200, 9300, 10080, 10250, 11211, 27017),
    }
)
# Of these, none leads to the outside, whatever a resolver says.
_INNER_NAMES = frozenset(
    {
        *("localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp"),
        *("private", "home.arpa", "test", "example", "invalid", "onion", "arpa", "alt"),
    }
)


class TargetRefused(Exception):
    """A webhook may not lead there; the text says why."""


class NameUnknown(TargetRefused):
    """The name leads nowhere now."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """An address as it was written, taken apart and found to be harmless in its form."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_encrypted(self) -> bool:
        """Whether the receiver shows a certificate."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _SCHEME_PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str, *, allows_private: bool) -> Target:
    """Take an address apart; raises `TargetRefused`. Nothing is looked up."""
    if not url or len(url) > LONGEST_URL or not _URL_CHARACTERS.match(url):
        message = (
            "Write the address of a web page, in plain letters, such as https://shop.example/."
        )
        raise TargetRefused(message)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        message = "This is no address of a web page."
        raise TargetRefused(message) from error
    scheme = _scheme(parts.scheme, allows_private=allows_private)
    if "@" in parts.netloc or "\\" in url or parts.fragment or "#" in url:
        message = "Leave out user names, passwords and everything behind a #."
        raise TargetRefused(message)
    if parts.netloc.endswith(":"):
        message = "Leave out the colon, or write a port behind it."
        raise TargetRefused(message)
    return Target(
        scheme=scheme,
        host=_host(parts.hostname or "", allows_private=allows_private),
        port=_port(_SCHEME_PORTS[scheme] if port is None else port, allows_private=allows_private),
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def check(url: str, *, allows_private: bool) -> Target:
    """The same, with the addresses that the name has now; for whoever enters it."""
    target = parse(url, allows_private=allows_private)
    judge(look_up(target), allows_private=allows_private)
    return target


def look_up(target: Target) -> list[Address]:
    """Every address of the target's host; raises `NameUnknown`. This may take its time."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"{target.host} cannot be found."
        raise NameUnknown(message) from error
    return list(dict.fromkeys(_addresses(found)))


def judge(addresses: Iterable[Address], *, allows_private: bool) -> Address:
    """The address to connect to; raises `TargetRefused` if any of them is not public.

    A name with one public and one inner address is refused: it is made to be asked twice.
    """
    found = list(addresses)
    if not found:
        message = "The name has no address."
        raise NameUnknown(message)
    if not allows_private:
        for address in found:
            if not is_public(address):
                message = "This leads to an address that is not public."
                raise TargetRefused(message)
    # What most receivers have comes first, whatever the order of the answer.
    return min(found, key=lambda address: address.version)


def is_public(address: Address) -> bool:
    """Whether it, and whatever it wraps, is an address of the public network."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            # How a network without IPv4 says where it leads; the gateway takes it out again.
            return is_public(_low(address))
        if address.scope_id or _wraps(address):
            return False
    return address.is_global and not any(
        address in network for network in _DENIED if network.version == address.version
    )


def _wraps(address: IPv6Address) -> bool:
    """Whether it carries an IPv4 address to which some gateway might lead.

    Nobody has a reason to be called by such an address, and gateways differ in what they do.
    """
    high, middle = int(address) >> 32, int(address) >> 32 & 0xFFFFFFFF
    is_mapped = high in (0, 0xFFFF, 0xFFFF << 16)  # compatible, mapped, translated
    is_isatap = middle & 0xFDFFFFFF == 0x5EFE  # noqa: PLR2004  # RFC 5214
    return is_mapped or is_isatap or any(address in network for network in _WRAPPING)


def _low(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


_NAT64 = IPv6Network("64:ff9b::/96")
# NAT64 of a network's own choice, Teredo, 6to4.
_WRAPPING = tuple(map(IPv6Network, ("64:ff9b:1::/48", "2001::/32", "2002::/16")))


def _scheme(scheme: str, *, allows_private: bool) -> str:
    if scheme == "https" or (scheme == "http" and allows_private):
        return scheme
    message = "The address begins with https://."
    raise TargetRefused(message)


def _port(port: int, *, allows_private: bool) -> int:
    is_usual = port == _HTTPS_PORT or _LOWEST_FREE_PORT <= port <= _HIGHEST_PORT
    if (is_usual and port not in _DENIED_PORTS) or (allows_private and port):
        return port
    message = f"Port {port} is none of a web server: take 443, or one above 1023."
    raise TargetRefused(message)


def _host(host: str, *, allows_private: bool) -> str:
    if "%" in host:
        message = "Leave out signs such as % before the path."
        raise TargetRefused(message)
    literal = _literal(host)
    if literal is not None:
        judge([literal], allows_private=allows_private)
        return str(literal)
    name = _name(host)
    labels = name.split(".")
    inner = {".".join(labels[start:]) for start in range(len(labels))} & _INNER_NAMES
    if (inner or len(labels) == 1) and not allows_private:
        message = f"{name} is a name that has a meaning inside of a network only."
        raise TargetRefused(message)
    return name


def _literal(host: str) -> Address | None:
    """The address that stands there in figures, in the one spelling that has one meaning."""
    if _LOOKS_NUMERIC.match(host.rstrip(".").rpartition(".")[2]) or ":" in host:
        try:
            return ip_address(host)
        except ValueError as error:
            message = f"{host} is no IP address as it is usually written."
            raise TargetRefused(message) from error
    return None


def _name(host: str) -> str:
    name = host.lower()
    labels = name.split(".")
    if not name or len(name) > _LONGEST_NAME or not all(_LABEL.match(each) for each in labels):
        message = "This is no name of a computer on the internet."
        raise TargetRefused(message)
    try:
        for label in labels:
            if label.startswith("xn--"):
                idna.decode(label)
    except idna.IDNAError as error:
        message = f"{name} is no name that could be registered."
        raise TargetRefused(message) from error
    return name


def _addresses(found: Iterable[Any]) -> Iterator[Address]:
    for _family, _type, _protocol, _name, place in found:
        yield ip_address(str(place[0]))
