"""Fixtures that every kind of test shares."""

from __future__ import annotations

from collections import Counter, defaultdict

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


@pytest.fixture
def counts(request):
    """Adds to what the summary says of a test."""
    counted: dict[str, int] = {}
    # It travels with the result, also from another process.
    request.node.user_properties.append(("counts", counted))

    def count(**numbers):
        for name, number in numbers.items():
            counted[name] = counted.get(name, 0) + number

    return count


def pytest_terminal_summary(terminalreporter):
    """Say how much was tried, killed and compared, since a dot does not."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed"):
        for result in terminalreporter.getreports(outcome):
            name = result.nodeid.rpartition("::")[2].partition("[")[0].removeprefix("test_")
            for what, numbers in result.user_properties:
                if what == "counts":
                    found[name].update(numbers)
    if found:
        terminalreporter.section("how much was tried")
    for name, numbers in sorted(found.items()):
        text = ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in numbers.items())
        terminalreporter.write_line(f"{name.replace('_', ' ')}: {text}")
