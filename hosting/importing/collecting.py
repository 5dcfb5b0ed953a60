"""Keeping Python's collector of reference cycles out of long loops that make none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Let the collector rest for one piece of work.

    It would look through the whole program several times for each piece, a tenth of all the
    time, and find nothing. It catches up between the pieces.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
