"""What an API key looks like, what it can be allowed, and from where it may be used. Pure."""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

_ALPHABET = string.digits + string.ascii_letters
# 40 characters out of 62 are 238 bits, so a plain digest is as good as a slow one.
_RANDOM_LENGTH = 40
# A checksum tells a mistyped key, and a secret scanner's find, from noise without a look-up.
_CHECKSUM_LENGTH = 6
# The prefixes let secret scanners find keys that were published by mistake.
LIVE_PREFIX = "rst_live_"
TEST_PREFIX = "rst_test_"
HINT_LENGTH = 4
MOST_NETWORKS = 50

SCOPES = (
    "organisations:read",
    "organisations:write",
    "people:read",
    "people:write",
    "domains:read",
    "domains:write",
    "mailboxes:read",
    "mailboxes:write",
    "mailboxes:delete",
    "passwords:write",
    "retention:read",
    "retention:write",
    "recovery:read",
    "recovery:write",
    "purge:read",
    "purge:cancel",
    "holds:read",
    "holds:write",
    "usage:read",
    "invoices:read",
    "exports:read",
    "exports:write",
    "events:read",
    "webhooks:write",
    "keys:write",
    "audit:read",
)
# Whoever may place holds may stop all removal, so nobody gets this by ticking "everything".
NEVER_BY_DEFAULT = frozenset({"holds:read", "holds:write"})

Network = IPv4Network | IPv6Network
_MAPPED = IPv6Network("::ffff:0:0/96")
# Whoever has one IPv6 address commonly has its whole network.
_ONE_HOLDER_PREFIX = 64
_LONGEST_QUOTE = 60


class UnknownScope(Exception):
    """There is no scope of this name."""


class BadNetwork(Exception):
    """This is no address and no network from which somebody could come."""


def new_secret(*, is_test: bool) -> str:
    """A secret that nobody has seen, with its prefix and its checksum."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return f"{TEST_PREFIX if is_test else LIVE_PREFIX}{random}{_checksum(random)}"


def is_well_formed(secret: str) -> bool:
    """Whether it can be a key at all; if not, no table needs to be asked."""
    for prefix in (LIVE_PREFIX, TEST_PREFIX):
        if secret.startswith(prefix):
            body = secret.removeprefix(prefix)
            random, checksum = body[:_RANDOM_LENGTH], body[_RANDOM_LENGTH:]
            return secret.isascii() and checksum == _checksum(random)
    return False


def _checksum(random: str) -> str:
    number = zlib.crc32(random.encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def digest(secret: str) -> str:
    """What is stored and compared: SHA-256 in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def canonical_scopes(names: Iterable[str]) -> list[str]:
    """The scopes in the order of the table, each once; raises `UnknownScope`."""
    asked = set(names)
    for name in sorted(asked.difference(SCOPES)):
        message = f"There is no scope {name[:_LONGEST_QUOTE]!r}."
        raise UnknownScope(message)
    return [scope for scope in SCOPES if scope in asked]


def canonical_networks(texts: Iterable[str]) -> list[str]:
    """Addresses and networks in CIDR form, each once; raises `BadNetwork`."""
    found = list(dict.fromkeys(str(_network(text)) for text in texts))
    if len(found) > MOST_NETWORKS:
        message = f"There can be {MOST_NETWORKS} networks at most."
        raise BadNetwork(message)
    return found


def _network(text: str) -> Network:
    try:
        network = ip_network(text.strip(), strict=True)
    except ValueError as error:
        quoted = repr(text[:_LONGEST_QUOTE])
        message = f"{quoted} is no IP address and no network such as 192.0.2.0/24."
        raise BadNetwork(message) from error
    if isinstance(network, IPv4Network):
        return network
    if network.network_address.scope_id is not None:
        message = "An address with a zone means something on one machine only."
        raise BadNetwork(message)
    # Callers are compared as IPv4 wherever they can be, and so are networks.
    return _as_ipv4(network) if network.subnet_of(_MAPPED) else network


def _as_ipv4(network: IPv6Network) -> IPv4Network:
    first = IPv4Address(network.network_address.packed[-4:])
    return IPv4Network((first, network.prefixlen - _MAPPED.prefixlen))


def plain_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address without a zone, as IPv4 where it is one in IPv6 dress; None for other texts."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def holder_of(text: str) -> str:
    """Whose address it is, as far as that shows: the address itself, or its IPv6 network."""
    address = plain_address(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, _ONE_HOLDER_PREFIX), strict=False))
    return str(address)


def is_inside(address: str, networks: Iterable[str]) -> bool:
    """Whether an address lies in one of the networks; what is no address lies in none."""
    plain = plain_address(address)
    return plain is not None and any(plain in ip_network(network) for network in networks)


def covers(networks: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether each wanted network lies in one of `networks`."""
    outer = [ip_network(network) for network in networks]
    return all(any(_lies_in(ip_network(text), each) for each in outer) for text in wanted)


def _lies_in(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network):
        return inner.subnet_of(outer)
    return False
