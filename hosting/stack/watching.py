"""What the launcher becomes when everything runs: it watches, and stops all at Ctrl-C.

It takes the launcher's place in the same process: number, lock and supervisord stay, and the
memory that checking, migrating and greeting took is given back. So nothing of the house is
imported here but its settings.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from django.conf import settings

from hosting.stack import leftovers
from hosting.stack.supervision import Supervisor
from hosting.stack.telling import NotStarted, last_lines, tell

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WATCH_SECONDS = 2


def end_at_signals() -> None:
    """From now on each signal to end is a `KeyboardInterrupt`."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in _ENDING:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def take_over(supervisor: Supervisor, *, lock: int) -> NoReturn:
    """Replace this process by the watch, which keeps the open file `lock`."""
    # A signal that comes before the watch can answer waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    os.set_inheritable(lock, True)  # noqa: FBT003 -- it takes no names
    command = [sys.executable, "-m", "hosting.stack.watching", str(supervisor.pid)]
    os.execv(sys.executable, command)  # noqa: S606 -- nothing of it comes from outside


@contextmanager
def everything_stopped(supervisor: Supervisor) -> Iterator[None]:
    """However this ends, no part is left running."""
    try:
        yield
    except KeyboardInterrupt:
        tell("\nStopping …")
        raise
    finally:
        supervisor.stop()
        leftovers.end_leftovers(state=supervisor.state)


def main(supervisor_pid: int) -> int:
    """Watch until told to stop; 1 when supervision ended by itself."""
    state = Path(settings.RESTANTE_STATE)
    supervisor = Supervisor(state=state, code=settings.BASE_DIR, pid=supervisor_pid)
    try:
        with everything_stopped(supervisor):
            end_at_signals()
            _watch(supervisor)
    except NotStarted as error:
        tell(f"restante: {error}")
        return 1
    except KeyboardInterrupt:
        tell("Stopped.")
    return 0


def _watch(supervisor: Supervisor) -> None:
    """Stay until interrupted, and tell of each part that supervision gave up on."""
    given_up: set[str] = set()
    while supervisor.is_alive():
        time.sleep(_WATCH_SECONDS)
        states = supervisor.part_states().values()
        fatal = {part.name for part in states if part.state == "FATAL"}
        for name in sorted(fatal - given_up):
            tell(f"The {name} keeps failing and stays down.\n{last_lines(name)}")
        given_up |= fatal
    message = f"The supervisor has ended; {supervisor.log} says why."
    raise NotStarted(message)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
