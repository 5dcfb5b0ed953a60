"""How work in batches is taken, kept and given back: a lease, and a fence behind it.

The row is the queue. Whoever turns its lease works; each turn raises the fence, and a worker
whose fence is no longer the row's stops before its next step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db.models import F, Q, QuerySet

from mailstore.engine import StoredMessage
from mailstore.models import PurgeRun, RestoreRun, WorkState

LEASE = timedelta(minutes=2)
# One call to the mail server, one pair of transactions: small enough that a hold or a pause
# waits for a moment only.
BATCH_MESSAGES = 10_000

Item = tuple[int, int, str]
WorkRow = TypeVar("WorkRow", PurgeRun, RestoreRun)


class LeaseLost(Exception):
    """Somebody else works on this now, or it was paused; stop without a trace."""


class WrongWorkState(Exception):
    """The work is not in a state from which this can be done."""


def free(at: datetime) -> Q:
    """Work to be taken: nobody has a lease on it that could still be good.

    One that ends later than any can was given before the clock was set back. Should its worker
    live, the fence stops it.
    """
    is_free = Q(lease_until__isnull=True) | Q(lease_until__lt=at) | Q(lease_until__gt=at + LEASE)
    return is_free & Q(state__in=(WorkState.PLANNED, WorkState.RUNNING))


def claim(work: WorkRow, *, at: datetime) -> WorkRow | None:
    """The row with a fresh lease, or None if it is not there to be taken."""
    model = type(work)
    rows = model._default_manager.filter(free(at), pk=work.pk)  # noqa: SLF001  # It is public.
    taken = rows.update(
        state=WorkState.RUNNING,
        lease_until=at + LEASE,
        fence=F("fence") + 1,
        attempts=F("attempts") + 1,
    )
    if not taken:
        return None
    whole = model._default_manager.select_related("mailbox__organisation__parent")  # noqa: SLF001
    return whole.get(pk=work.pk)


def keep(work: PurgeRun | RestoreRun, *, at: datetime) -> None:
    """Prolong the lease, which locks the row; raise `LeaseLost` if it is not ours any more."""
    if not _mine(work).update(lease_until=at + LEASE):
        raise LeaseLost


def give_back(work: PurgeRun | RestoreRun, *, failure: str) -> None:
    """Let somebody else go on later; what was done stays done."""
    _mine(work).update(lease_until=None, failure=failure[:300])


def finish(work: PurgeRun | RestoreRun, *, at: datetime) -> bool:
    """Close the work; from here on its row never changes. False if it is not ours any more."""
    done = _mine(work).update(state=WorkState.DONE, lease_until=None, finished_at=at, failure="")
    return bool(done)


def move(
    work: PurgeRun | RestoreRun, *, sources: Sequence[WorkState], target: WorkState, at: datetime
) -> None:
    """Pause, resume or cancel; raise `WrongWorkState` if the work has moved on."""
    rows = type(work)._default_manager.filter(pk=work.pk, state__in=sources)  # noqa: SLF001
    ended = at if target is WorkState.CANCELLED else None
    # The worker that is at it finds the fence raised, and stops before its next batch.
    if not rows.update(state=target, lease_until=None, fence=F("fence") + 1, finished_at=ended):
        message = "This has moved on meanwhile, so that cannot be done now."
        raise WrongWorkState(message)
    work.refresh_from_db()


def item_of(message: StoredMessage) -> Item:
    """What a batch remembers of a message."""
    digest = hashlib.sha256(message.message_id.encode("utf-8", "surrogateescape")).hexdigest()
    return message.uid, message.bytes, digest[:16]


def uids_in(items: Iterable[Sequence[object]]) -> list[int]:
    """The uids of a batch's items."""
    return [int(str(item[0])) for item in items]


def parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Items in parts of a batch's size, in the order of their uids."""
    ordered = sorted(items)
    for start in range(0, len(ordered), BATCH_MESSAGES):
        yield ordered[start : start + BATCH_MESSAGES]


def _mine(work: PurgeRun | RestoreRun) -> QuerySet[Any]:
    return type(work)._default_manager.filter(  # noqa: SLF001
        pk=work.pk, fence=work.fence, state=WorkState.RUNNING
    )
