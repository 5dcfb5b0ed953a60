"""The questions that are asked about names."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class NoAnswer(Exception):
    """Nobody answered in time, or with an error: what the name holds is not known.

    A name that does not exist is an answer: it holds nothing.
    """


class Exchange(NamedTuple):
    """One MX record. A lower preference is tried first; no host says that no mail is taken."""

    preference: int
    host: str


class Resolver(Protocol):
    """Looks names up. Each question raises `NoAnswer` when nothing is known."""

    def texts(self, name: str) -> tuple[str, ...]:
        """The TXT records of a name, each joined into one text."""
        ...

    def alias(self, name: str) -> str:
        """What a CNAME record makes it another name for, in lower case; empty for none."""
        ...

    def addresses(self, name: str) -> frozenset[str]:
        """Its IPv4 and IPv6 addresses, aliases followed."""
        ...

    def exchanges(self, name: str) -> tuple[Exchange, ...]:
        """Its MX records, those that are tried first before others, hosts in lower case."""
        ...
