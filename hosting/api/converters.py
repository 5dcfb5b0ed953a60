"""Typed ids in paths: of another kind, or malformed, they lead nowhere."""

from __future__ import annotations

from uuid import UUID

from django.urls import register_converter

from hosting import public_ids


class _Id:
    prefix = ""
    regex = ""

    def to_python(self, value: str) -> UUID:
        return public_ids.decode(self.prefix, value)

    def to_url(self, value: UUID) -> str:
        return public_ids.encode(self.prefix, value)


def register() -> None:
    """Let paths say `<mbx:mailbox>` and so on, for each kind of id."""
    for prefix in public_ids.KINDS:
        names = {"prefix": prefix, "regex": f"{prefix}_{public_ids.PATTERN}"}
        register_converter(type(f"{prefix.title()}Id", (_Id,), names), prefix)
