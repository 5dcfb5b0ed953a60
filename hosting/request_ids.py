"""The id of the request that is being answered: in its answer, and in every line of the log."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

NONE = "-"
_current: ContextVar[str] = ContextVar("request_id", default=NONE)


@contextmanager
def given() -> Iterator[str]:
    """A new id, which all that is logged meanwhile bears."""
    request_id = f"req_{uuid.uuid4().hex}"
    token = _current.set(request_id)
    try:
        yield request_id
    finally:
        _current.reset(token)


class RequestIds(logging.Filter):
    """Puts the id of the request into each log record; `-` where there is none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record, with `request_id`."""
        # Django logs refusals once the request is over, and sends it along.
        request = getattr(record, "request", None)
        current = _current.get()
        record.request_id = getattr(request, "request_id", NONE) if current == NONE else current
        return True
