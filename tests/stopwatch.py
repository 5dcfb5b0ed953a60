"""How long work takes, apart from what the machine and the other tests have to do with it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def seconds_of_work() -> Iterator[Callable[[], float]]:
    """The processor's seconds that the block took, to be asked for behind it.

    Waiting for a busy machine is none of them. Nor is a walk through all objects of the process:
    thousands of tests have left theirs, and whichever test is running then would pay for it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    ended: list[float] = []
    begun = time.process_time()
    try:
        yield lambda: ended[0]
    finally:
        ended.append(time.process_time() - begun)
        if was_enabled:
            gc.enable()
