"""Fixtures that every kind of test shares."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime

import hypothesis
import pytest
from django.db.backends.base.operations import BaseDatabaseOperations
from django.utils import timezone

from accounts import guarding, outbox, rate_limits, triggers
from accounts.rate_limits.in_process import InProcess
from mailstore import settled
from mailstore.engine import engine
from mailstore.engine.memory import MemoryEngine
from tests.factories import Cast, make_cast
from tests.staffing import verified

# The same examples in every run, and no run fails because the machine is slow. Who looks for new
# examples asks for `--hypothesis-profile=default`.
hypothesis.settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("steady")

_emptied = BaseDatabaseOperations.execute_sql_flush


def _empty_although_guarded(operations, sql_list):
    """Tests that really commit are cleaned up after, whatever guards events, holds and receipts."""
    connection = operations.connection
    if connection.vendor != "sqlite":
        guards = (guarding.GUARD, *settled.GUARDS) if sql_list else ()
        let_go = [sql for guard in guards for sql in guard.let_go(connection.vendor)]
        return _emptied(operations, [*let_go, *sql_list])
    connection.ensure_connection()
    triggers.tell(connection=connection, holds=False)
    try:
        return _emptied(operations, sql_list)
    finally:
        triggers.tell(connection=connection)


BaseDatabaseOperations.execute_sql_flush = _empty_although_guarded


@pytest.fixture(autouse=True)
def _own_checkpoints(settings, tmp_path) -> None:
    """The list outside the database tells of the events of one test alone."""
    settings.CHECKPOINT_FILE = str(tmp_path / "checkpoints")


@pytest.fixture(autouse=True)
def _own_exports(settings, tmp_path) -> None:
    """The files that one test had written."""
    settings.EXPORT_FOLDER = str(tmp_path / "exports")


@pytest.fixture(autouse=True)
def _all_turns() -> None:
    """Nobody has used up what another test of this process left."""
    outbox._broker.left_alone_until = 0.0
    limiter = rate_limits.backend()
    if isinstance(limiter, InProcess):
        limiter.clear()


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def twin(settings) -> MemoryEngine:
    """The in-memory mail server, empty and up, also where the tests beside have a real one."""
    settings.MAIL_ENGINE = "mailstore.engine.memory.MemoryEngine"
    twin = engine()
    assert isinstance(twin, MemoryEngine)
    twin.accounts.clear()
    twin.is_down = False
    twin.on_change = lambda _moment: None
    return twin


@pytest.fixture
def still_clock(monkeypatch) -> datetime:
    """The moment at which the clock stands, so that no turn comes back and no code grows old."""
    moment = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: moment)
    return moment


@pytest.fixture
def staff(cast):
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
