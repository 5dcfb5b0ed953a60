"""How work in batches is taken, kept and given back: a lease, and a fence behind it.

The row is the queue. Whoever turns its lease works; each turn raises the fence, and a worker
whose fence is no longer the row's stops before its next step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from accounts import spans
from mailstore.engine import StoredMessage
from mailstore.models import OPEN_STATES, Mailbox, PurgeRun, RestoreRun, WorkState

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

    Should a worker live whose lease counts no more, the fence stops it.
    """
    is_free = ~spans.lasts("lease_until", at=at, longest=LEASE)
    return is_free & Q(state__in=(WorkState.PLANNED, WorkState.RUNNING))


def claim(work: WorkRow, *, at: datetime) -> WorkRow | None:
    """The row with a fresh lease, or None if it is not there to be taken."""
    model = type(work)
    # What the address of a closed mailbox leads to is another one.
    is_closed = Mailbox.objects.filter(pk=OuterRef("mailbox"), state=Mailbox.State.CLOSED)
    rows = model._default_manager.filter(  # noqa: SLF001  # It is public.
        free(at), ~Exists(is_closed), pk=work.pk
    )
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


def give_back(work: PurgeRun | RestoreRun, *, failure: str) -> bool:
    """Let somebody else go on later; what was done stays done. False if it is not ours."""
    return bool(_mine(work).update(lease_until=None, failure=failure[:300]))


def note_count(work: PurgeRun | RestoreRun) -> None:
    """Write down how much was done so far, in the transaction in which `keep` had the lease.

    What was removed is counted also if the work was taken away from it just then.
    """
    rows = type(work)._default_manager.filter(pk=work.pk)  # noqa: SLF001  # Django's way
    rows.update(messages=work.messages, bytes=work.bytes)


def finish(work: PurgeRun | RestoreRun, *, at: datetime) -> bool:
    """Close the work; from here on its row never changes. False if it is not ours any more."""
    done = _mine(work).update(
        state=WorkState.DONE,
        lease_until=None,
        finished_at=at,
        failure="",
        messages=work.messages,
        bytes=work.bytes,
    )
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


def halt(work: PurgeRun | RestoreRun) -> None:
    """Take the work from whoever is at it, who stops before the next batch."""
    rows = type(work)._default_manager.filter(pk=work.pk, state__in=OPEN_STATES)  # noqa: SLF001
    rows.update(lease_until=None, fence=F("fence") + 1)
    # What was counted just before counts.
    work.refresh_from_db(fields=["messages", "bytes", "fence"])


def cut_short(work: PurgeRun | RestoreRun, *, state: WorkState, reason: str, at: datetime) -> None:
    """Close open work before all of it is done; from here on its row never changes."""
    rows = type(work)._default_manager.filter(pk=work.pk, state__in=OPEN_STATES)  # noqa: SLF001
    rows.update(
        state=state,
        lease_until=None,
        fence=F("fence") + 1,
        finished_at=at,
        failure=reason[:300],
        messages=work.messages,
        bytes=work.bytes,
    )
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
