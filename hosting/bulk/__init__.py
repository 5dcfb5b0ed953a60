"""One deed for many rows: frozen, foreseen, above a size confirmed by two, done exactly once.

Staff choose rows, and see what would happen to whom before anybody says yes. A worker does the
rows one after another, each in a transaction of its own with the note that it is done.
"""

from hosting.bulk.asking import (
    MOST_ROWS,
    NotFresh,
    Refused,
    ask,
    call_off,
    confirm,
    draft,
    forget_expired,
    may,
    may_see,
    needs_second,
    put,
    threshold,
)
from hosting.bulk.deeds import Deed, Foreseen, Line
from hosting.bulk.list_of_deeds import DEEDS
from hosting.bulk.working import resume, run

__all__ = [
    "DEEDS",
    "MOST_ROWS",
    "Deed",
    "Foreseen",
    "Line",
    "NotFresh",
    "Refused",
    "ask",
    "call_off",
    "confirm",
    "draft",
    "forget_expired",
    "may",
    "may_see",
    "needs_second",
    "put",
    "resume",
    "run",
    "threshold",
]
