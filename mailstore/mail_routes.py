"""Where the records of a domain lead its mail, and whether that is here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from django.conf import settings

from mailstore import addresses
from mailstore.models import DomainDns
from mailstore.resolver import Exchange, NoAnswer, Resolver

Finding = DomainDns.Finding
Answer = TypeVar("Answer")

# Nobody needs more, and each that is not ours by name costs two questions.
_MOST_HOSTS = 5
# Name servers of strangers may take their time with every answer, but not all of ours.
_LONGEST_LOOK_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class House:
    """The servers that take mail for this house: their names, and all of their addresses."""

    hosts: frozenset[str]
    addresses: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Route:
    """What the records of one domain say; `seen` is what its MX records are, for people.

    `is_cohosted` is whether its web site lies where its mail is taken; None if that is not known.
    """

    finding: str
    seen: str
    is_cohosted: bool | None


def hosts() -> list[str]:
    """The names to which MX records should lead.

    None, on a laptop: what is for tests alone is in no DNS. Then no domain is looked at.
    """
    names = (host.lower().rstrip(".") for host in settings.MX_HOSTS)
    return [name for name in names if not addresses.is_for_tests(name)]


def house(resolver: Resolver) -> House:
    """The house as the DNS knows it; raises `NoAnswer` where that has no address for it.

    Without, every domain that names its servers in its own way would seem to lead elsewhere.
    """
    names = frozenset(hosts())
    found = frozenset(each for name in names for each in resolver.addresses(name))
    if not found:
        message = f"No address was found for {', '.join(sorted(names))}."
        raise NoAnswer(message)
    return House(hosts=names, addresses=found)


def find(name: str, *, house: House, resolver: Resolver) -> Route:
    """Where mail for a canonical domain goes; raises `NoAnswer` if too little is known."""
    ask = _Patience()
    exchanges = ask(resolver.exchanges, name)
    found = [exchange for exchange in exchanges if exchange.host]
    if exchanges and not found:
        return _route(Finding.NULL_MX, exchanges)
    if not exchanges:
        # RFC 5321 section 5.1: without an MX record, mail goes to the addresses of the name.
        is_here = bool(ask(resolver.addresses, name) & house.addresses)
        return _route(Finding.HERE if is_here else Finding.NO_MX, (), is_cohosted=is_here)
    taking = _ours(found, house=house, resolver=resolver, ask=ask)
    if not taking:
        return _route(Finding.ELSEWHERE, exchanges)
    first = min(exchange.preference for exchange in taking)
    rivals = [each for each in found if each not in taking and each.preference <= first]
    finding = Finding.PARTLY if rivals else Finding.HERE
    is_cohosted = _web_site_is_here(name, house=house, resolver=resolver, ask=ask)
    return _route(finding, exchanges, is_cohosted=is_cohosted)


class _Patience:
    """Asks one question after another until a look has taken long enough."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _LONGEST_LOOK_SECONDS

    def __call__(self, question: Callable[[str], Answer], name: str) -> Answer:
        if time.monotonic() > self._until:
            message = f"{name}: its name servers answer too slowly"
            raise NoAnswer(message)
        return question(name)


def _ours(
    exchanges: Sequence[Exchange], *, house: House, resolver: Resolver, ask: _Patience
) -> list[Exchange]:
    """Those that lead here, by their names or else by their addresses.

    Raises `NoAnswer` where none does, and of some it is not known.
    """
    found = [exchange for exchange in exchanges if exchange.host in house.hosts]
    silence: NoAnswer | None = None
    others = [exchange for exchange in exchanges if exchange not in found]
    for exchange in others[:_MOST_HOSTS]:
        try:
            if ask(resolver.addresses, exchange.host) & house.addresses:
                found.append(exchange)
        except NoAnswer as error:
            silence = error
    if silence is not None and not found:
        raise silence
    return found


def _web_site_is_here(
    name: str, *, house: House, resolver: Resolver, ask: _Patience
) -> bool | None:
    """Whether the web site of the name lies where its mail is taken; None where nobody says."""
    try:
        return any(
            ask(resolver.addresses, host) & house.addresses for host in (name, f"www.{name}")
        )
    except NoAnswer:
        return None


def _route(
    finding: str, exchanges: Sequence[Exchange], *, is_cohosted: bool | None = False
) -> Route:
    return Route(finding=finding, seen=_shown(exchanges), is_cohosted=is_cohosted)


def _shown(exchanges: Sequence[Exchange]) -> str:
    """Strangers write these, so only plain letters are kept of them."""
    text = ", ".join(f"{preference} {host or '.'}" for preference, host in exchanges)
    plain = "".join(each if each.isascii() and each.isprintable() else "?" for each in text)
    most = DomainDns.SEEN_LETTERS
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
