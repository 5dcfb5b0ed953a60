"""Tables that stand on staff pages below or instead of fields, as finished values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet
from django.urls import reverse

# More than these are a list of their own, with its search and its pages.
MOST_ROWS = 100


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line; with an address, its first cell leads there."""

    cells: Sequence[object]
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A heading with a note, columns and rows; `empty` is said where there are none."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    empty: str
    has_more: bool = False
    note: str = ""


def url_of(row: Model) -> str:
    """The staff page of a row."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"  # noqa: SLF001  # It is public.
    return reverse(name, args=(row.pk,))


def first(rows: QuerySet[Any], *, most: int = MOST_ROWS) -> tuple[list[Any], bool]:
    """The first rows, and whether there are more: without counting them."""
    found = list(rows[: most + 1])
    return found[:most], len(found) > most
