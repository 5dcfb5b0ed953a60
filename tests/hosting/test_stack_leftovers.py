from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from hosting.stack import leftovers

# Says when it runs, so that its environment is certain to be readable.
SLEEPER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
_IGNORE = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
STUBBORN = [sys.executable, "-c", _IGNORE + SLEEPER[-1]]


@pytest.fixture
def start():
    started = []

    def _start(command, **environment):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | environment)
        started.append(process)
        process.stdout.readline()
        return process

    yield _start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_processes_of_an_earlier_start_are_ended(tmp_path, start):
    left = start(SLEEPER, **{leftovers.MARK: str(tmp_path)})

    assert leftovers.end_leftovers(state=tmp_path) == 1
    assert not psutil.pid_exists(left.pid)


def test_a_process_that_ignores_the_request_is_killed(tmp_path, start, monkeypatch):
    monkeypatch.setattr(leftovers, "_PATIENCE_SECONDS", 0.2)
    left = start(STUBBORN, **{leftovers.MARK: str(tmp_path)})

    assert leftovers.end_leftovers(state=tmp_path) == 1
    assert not psutil.pid_exists(left.pid)


def test_processes_of_another_state_folder_are_left_alone(tmp_path, start):
    other = start(SLEEPER, **{leftovers.MARK: str(tmp_path / "other")})
    command = start(SLEEPER, RESTANTE_STATE=str(tmp_path))

    assert leftovers.end_leftovers(state=tmp_path) == 0
    assert (other.poll(), command.poll()) == (None, None)
