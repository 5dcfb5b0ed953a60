from __future__ import annotations

import os
import signal
import sys

import pytest

from hosting.stack import leftovers
from hosting.stack.parts import Part
from hosting.stack.supervision import Supervisor
from tests.patience import eventually


def part(folder, name, code) -> Part:
    return Part(name=name, command=[sys.executable, "-c", code], log=folder / "log" / f"{name}.log")


@pytest.fixture
def supervisor(tmp_path):
    supervisor = Supervisor(state=tmp_path, code=tmp_path)
    yield supervisor
    supervisor.stop()
    leftovers.end_leftovers(state=tmp_path)


def running_pid(supervisor, name):
    state = supervisor.part_states().get(name)
    return state.pid if state and state.state in {"STARTING", "RUNNING"} else None


def test_a_part_that_dies_comes_back(tmp_path, supervisor):
    supervisor.start([part(tmp_path, "sleeper", "import time; time.sleep(60)")])
    eventually(lambda: running_pid(supervisor, "sleeper"))
    first = running_pid(supervisor, "sleeper")

    os.kill(first, signal.SIGKILL)

    eventually(lambda: running_pid(supervisor, "sleeper") not in {None, first})


def test_a_part_that_cannot_start_is_told_apart_and_its_words_are_kept(tmp_path, supervisor):
    supervisor.start([part(tmp_path, "broken", "raise SystemExit('100 %: no')")])

    eventually(lambda: getattr(supervisor.part_states().get("broken"), "state", "") == "BACKOFF")
    assert "100 %: no" in (tmp_path / "log" / "broken.log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_part_that_takes_its_time_to_fail_is_given_up_too(tmp_path, supervisor):
    code = "import time; time.sleep(1.5); raise SystemExit('no disk')"
    supervisor.start([part(tmp_path, "broken", code)])

    eventually(lambda: getattr(supervisor.part_states().get("broken"), "state", "") == "FATAL")


def test_stop_leaves_no_process_behind(tmp_path, supervisor):
    supervisor.start([part(tmp_path, "sleeper", "import time; time.sleep(60)")])
    eventually(lambda: running_pid(supervisor, "sleeper"))

    supervisor.stop()

    assert not supervisor.is_alive()
    assert leftovers.end_leftovers(state=tmp_path) == 0


def test_states_are_unknown_before_the_start(supervisor):
    assert supervisor.part_states() == {}
    assert not supervisor.is_alive()
