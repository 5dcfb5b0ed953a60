"""Addresses as places: from which part of the internet somebody comes, and what that is.

Nobody is asked for it. A home or an office changes its address now and then, mostly within what
its provider has, so a place is a large part: a /16 of IPv4, a /32 of IPv6.
"""

from __future__ import annotations

from enum import StrEnum, auto
from ipaddress import ip_address, ip_network

_PLACE_BITS = {4: 16, 6: 32}
_SHARED = ip_network("100.64.0.0/10")


class Kind(StrEnum):
    """What can be told from an address alone."""

    SAME_MACHINE = auto()
    PRIVATE = auto()
    # Many customers of one provider share it (RFC 6598).
    SHARED = auto()
    PUBLIC = auto()


def place_of(address: str) -> str:
    """The part of the internet that an address lies in, such as `203.0.0.0/16`."""
    found = ip_address(address)
    return str(ip_network(f"{address}/{_PLACE_BITS[found.version]}", strict=False))


def kind_of(address: str) -> Kind:
    """What kind of address it is."""
    found = ip_address(address)
    if found.is_loopback:
        return Kind.SAME_MACHINE
    if found.version == _SHARED.version and found in _SHARED:
        return Kind.SHARED
    return Kind.PRIVATE if found.is_private or found.is_link_local else Kind.PUBLIC
