"""Rows of figures, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure beside its reference. `aim` is a ratio; a `ceiling` is met from below."""

    bench: str
    name: str
    value: float
    unit: str
    reference: float | None = None
    aim: float | None = None
    is_ceiling: bool = False

    @property
    def ratio(self) -> float | None:
        """How ours stands to the reference."""
        return self.value / self.reference if self.reference else None

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached; None where there is none."""
        if self.aim is None or self.ratio is None:
            return None
        return self.ratio <= self.aim if self.is_ceiling else self.ratio >= self.aim

    def as_data(self) -> dict[str, Any]:
        """The row as it stands in the JSON file."""
        data = asdict(self)
        del data["is_ceiling"]
        return {**data, "ratio": self.ratio, "met": self.met}


def table(rows: Sequence[Row]) -> str:
    """The rows in aligned columns."""
    head = ("bench", "figure", "value", "unit", "reference", "ratio", "aim", "met")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as a JSON list."""
    path.write_text(json.dumps([row.as_data() for row in rows], indent=1) + "\n", encoding="utf-8")


def _cells(row: Row) -> tuple[str, ...]:
    sign = "≤" if row.is_ceiling else "≥"
    return (
        row.bench,
        row.name,
        _number(row.value),
        row.unit,
        _number(row.reference),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.aim is None else f"{sign} {row.aim:g}",
        {True: "yes", False: "no", None: ""}[row.met],
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
