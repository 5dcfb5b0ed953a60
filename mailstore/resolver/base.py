"""The questions that are asked about names."""

from __future__ import annotations

from typing import Protocol


class NoAnswer(Exception):
    """Nobody answered in time, or with an error: what the name holds is not known.

    A name that does not exist is an answer: it holds nothing.
    """


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
