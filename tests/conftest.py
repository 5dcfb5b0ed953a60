"""Fixtures that every kind of test shares."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission

from accounts.models import User
from mailstore.engine import engine
from mailstore.engine.memory import MemoryEngine
from tests.factories import Cast, make_cast
from tests.staffing import verified


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


@pytest.fixture
def staff(cast):
    User.objects.filter(pk=cast.sam.pk).update(is_superuser=True)
    cast.sam.refresh_from_db()
    return verified(cast.sam)


@pytest.fixture
def clerk(cast):
    """Staff with every right, who is no superuser."""
    cast.sam.user_permissions.set(Permission.objects.all())
    return verified(cast.sam)
