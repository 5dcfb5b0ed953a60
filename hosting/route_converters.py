"""What stands in addresses beside numbers and ids, and how a page gets it."""

from __future__ import annotations

from hosting.periods import Period


class ScopeConverter:
    """What a rule can be set on, beside a mailbox."""

    regex = "organisation|domain"

    def to_python(self, value: str) -> str:
        """The word itself."""
        return value

    def to_url(self, value: str) -> str:
        """The word itself."""
        return value


class ColourConverter:
    """A colour without its sign, as `24479f`."""

    regex = "[0-9a-f]{6}"

    def to_python(self, value: str) -> str:
        """The colour itself."""
        return f"#{value}"

    def to_url(self, value: str) -> str:
        """Without its sign."""
        return value.removeprefix("#")


class MonthConverter:
    """A month, as `2026-10`."""

    regex = "[0-9]{4}-[0-9]{2}"

    def to_python(self, value: str) -> Period:
        """The month; `ValueError` for one that no calendar has."""
        return Period.parse(value)

    def to_url(self, value: Period) -> str:
        """The other way round."""
        return str(value)
