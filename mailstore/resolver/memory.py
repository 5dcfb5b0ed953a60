"""A domain name system in memory, for tests."""

from __future__ import annotations

from collections import defaultdict

from mailstore.resolver.base import NoAnswer


class MemoryResolver:
    """Holds records by name and kind, and can be silent."""

    def __init__(self) -> None:
        self.records: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self.is_silent = False

    def texts(self, name: str) -> tuple[str, ...]:
        """The TXT records of a name."""
        return tuple(self._held(name, "TXT"))

    def alias(self, name: str) -> str:
        """What a CNAME record makes it another name for."""
        return next(iter(self._held(name, "CNAME")), "").lower()

    def addresses(self, name: str) -> frozenset[str]:
        """Its addresses, aliases followed."""
        alias = self.alias(name)
        if alias:
            return self.addresses(alias)
        return frozenset(self._held(name, "A") + self._held(name, "AAAA"))

    def _held(self, name: str, kind: str) -> list[str]:
        if self.is_silent:
            message = f"{name}: no answer"
            raise NoAnswer(message)
        return self.records.get((name.lower(), kind), [])
