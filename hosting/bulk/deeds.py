"""What a deed is: what it does to one row, and what it would do to many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from django.db.models import QuerySet

from accounts.access import Actor
from hosting.models import BulkRequest

# So many rows are shown one by one; the sums are of all of them.
MOST_SHOWN = 200


class Do(Protocol):
    """The deed itself, for one row, inside the caller's transaction."""

    def __call__(
        self, *, actor: Actor, row: Any, what: dict[str, Any], reason: str, at: datetime
    ) -> object:
        """Raises one of the deed's refusals."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row as it would be: what it is called, how it stands, and what follows for it."""

    name: str
    state: str
    note: str
    is_done: bool = True


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What would happen: to how many rows, of whom, and what it means for mail and for money."""

    will: int
    wont: int
    # Each a phrase and a number.
    groups: Sequence[tuple[str, int]]
    owners: Sequence[tuple[str, int]]
    owner_count: int
    sentences: Sequence[str]
    lines: Sequence[Line] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class Deed:
    """One thing that staff do to many rows.

    `rows` loads what the verb asks for; `permission` is Django's name of the right that everybody
    who asks or confirms must have. A grave deed needs a fresh second factor whatever its size.
    """

    name: str
    label: Any
    rows: Callable[[], QuerySet[Any]]
    permission: str
    explanation: Any
    do: Do
    refusals: tuple[type[Exception], ...]
    foresee: Callable[[BulkRequest, datetime], Foreseen]
    is_grave: bool = False
    needs_plan: bool = False

    @property
    def sight(self) -> str:
        """Django's name of the right to look at what it changes."""
        app, _dot, codename = self.permission.partition(".")
        return f"{app}.view_{codename.partition('_')[2]}"
