"""Fixtures that every kind of test shares."""

from __future__ import annotations

import pytest

from mailstore.engine import engine
from mailstore.engine.memory import MemoryEngine
from tests.factories import Cast, make_cast


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def twin() -> MemoryEngine:
    """The in-memory mail server, empty and up."""
    twin = engine()
    assert isinstance(twin, MemoryEngine)
    twin.accounts.clear()
    twin.is_down = False
    twin.on_change = lambda _moment: None
    return twin
