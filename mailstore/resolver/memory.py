"""A domain name system in memory, for tests."""

from __future__ import annotations

from collections import defaultdict

from mailstore.resolver.base import Exchange, NoAnswer


class MemoryResolver:
    """Holds records by name and kind, and can be silent about some names or all."""

    def __init__(self) -> None:
        self.records: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self.is_silent = False
        self.silent_about: set[str] = set()

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

    def exchanges(self, name: str) -> tuple[Exchange, ...]:
        """Its MX records, aliases followed."""
        held = (record.split() for record in self._held(self.alias(name) or name, "MX"))
        return tuple(
            sorted(Exchange(int(preference), host.lower().rstrip(".")) for preference, host in held)
        )

    def _held(self, name: str, kind: str) -> list[str]:
        if self.is_silent or name in self.silent_about:
            message = f"{name}: no answer"
            raise NoAnswer(message)
        return self.records.get((name.lower(), kind), [])
