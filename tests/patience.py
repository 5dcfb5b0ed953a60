"""Waiting for what must come true, which ends the moment it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

# A quiet machine needs a hundredth of this, a slow and busy one may need much more of it. Who has
# waited so long has waited for what never comes.
PATIENCE_SECONDS = 120


def eventually(look: Callable[[], Found], *, seconds: float = PATIENCE_SECONDS) -> Found:
    """What `look` gives, once that is true; fails when it never is in so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "It did not come true in time."
        time.sleep(0.05)
    return found
