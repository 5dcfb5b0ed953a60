from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from hosting.stack import leftovers
from tests.patience import PATIENCE_SECONDS, eventually

SLEEPER = "import time; time.sleep(60)"
# A launcher at its end: it has started one part, perhaps been told to end, and becomes the watch.
LAUNCHER = """
import os, signal, sys
from pathlib import Path
from django.conf import settings
from hosting.stack import watching
from hosting.stack.parts import Part
from hosting.stack.supervision import Supervisor
state = Path(settings.RESTANTE_STATE)
supervisor = Supervisor(state=state, code=settings.BASE_DIR)
command = [sys.executable, "-c", sys.argv[1]]
supervisor.start([Part(name="part", command=command, log=state / "log" / "part.log")])
lock = (state / "lock").open("w")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
for number in map(int, sys.argv[2:]):
    os.kill(os.getpid(), number)
print(supervisor.pid, flush=True)
watching.take_over(supervisor, lock=lock.fileno())
"""


@pytest.fixture
def launch(tmp_path):
    """Starts a watch over one part; gives its process and the number of supervisord's.

    What it says is kept in a file: two readers of one pipe lose some.
    """
    settings = {"RESTANTE_STATE": str(tmp_path), "DJANGO_SETTINGS_MODULE": "hosting.settings"}
    started = []

    def _launch(part, *signals):
        with (tmp_path / "said").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, part, *map(str, signals)],
                env=os.environ | settings,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        started.append(process)
        return process, int(process.stdout.readline())

    yield _launch
    for process in started:
        process.kill()
        process.communicate()
    leftovers.end_leftovers(state=tmp_path)


def test_a_signal_from_before_the_watch_could_answer_ends_everything(tmp_path, launch):
    watch, _supervisor = launch(SLEEPER, signal.SIGINT.value)

    assert watch.wait(timeout=PATIENCE_SECONDS) == 0
    assert (tmp_path / "said").read_text() == "\nStopping …\nStopped.\n"
    assert leftovers.end_leftovers(state=tmp_path) == 0


def test_a_supervisor_that_dies_ends_the_watch_with_a_word(tmp_path, launch):
    watch, supervisor = launch(SLEEPER)
    os.kill(supervisor, signal.SIGKILL)

    assert watch.wait(timeout=PATIENCE_SECONDS) == 1
    log = tmp_path / "log" / "supervisord.log"
    said = (tmp_path / "said").read_text()
    assert said == f"restante: The supervisor has ended; {log} says why.\n"


@pytest.mark.slow
def test_a_part_that_keeps_failing_is_told_of_once(tmp_path, launch):
    watch, _supervisor = launch("raise SystemExit('no disk')")
    eventually(lambda: "no disk" in (tmp_path / "said").read_text())
    time.sleep(3)
    watch.send_signal(signal.SIGINT)

    assert watch.wait(timeout=PATIENCE_SECONDS) == 0
    first, *more = (tmp_path / "said").read_text().splitlines()
    assert first == "The part keeps failing and stays down."
    assert more[:2] == [f"The last lines of {tmp_path}/log/part.log:", "no disk"]
    assert first not in more
