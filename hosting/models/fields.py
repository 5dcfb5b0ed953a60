"""Kinds of columns."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    Field = models.Field[int, int]
else:
    Field = models.Field


class WholeNumberField(Field):
    """A whole number of up to 39 digits.

    A month of ten terabytes is beyond 64 bits, and SQLite would round it.
    """

    description = "Whole number (up to 39 digits)"

    def db_type(self, connection: Any) -> str:
        """Text on SQLite, which has no exact number of that size."""
        return "numeric(39, 0)" if connection.vendor == "postgresql" else "text"

    def from_db_value(
        self, value: Decimal | str | None, _expression: Any, _connection: Any
    ) -> int | None:
        """What the database gives, as a number."""
        return None if value is None else int(value)

    def to_python(self, value: Any) -> int | None:
        """What a form or a fixture gives, as a number."""
        return None if value is None else int(value)

    def get_prep_value(self, value: Any) -> str | None:
        """What the database takes; PostgreSQL reads a number from it."""
        return None if value is None else str(int(value))
