"""What POP programs removed without ever having fetched it, which is not what POP is for.

A message that was fetched in one session and removed in a later one is marked as seen. One that
was fetched and removed in the same session is not, nor is one that was fetched by TOP, as fetchmail
does it; there the log tells how much was sent to the session.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from django.db.models import Sum

from mailstore import retrievals
from mailstore.engine import Engine, StoredMessage, uids_of
from mailstore.models import CutOffSession, Mailbox, Removal


def count(mailbox: Mailbox, by_pop: Sequence[Removal], *, engine: Engine) -> int:
    """How many messages POP sessions removed and had not fetched. Raises `EngineError`.

    What came back from the store meanwhile is not removed any more.
    """
    by_folder: dict[str, list[Removal]] = defaultdict(list)
    for removal in by_pop:
        by_folder[removal.folder].append(removal)
    left = [
        size
        for folder, rows in by_folder.items()
        for size in _left_of(rows, _unmarked(mailbox, folder, rows, engine=engine))
    ]
    return len(left) - _in_sessions_cut_off(mailbox, left, by_pop) if left else 0


def _in_sessions_cut_off(
    mailbox: Mailbox, sizes: Sequence[int], removals: Sequence[Removal]
) -> int:
    """How many may have been fetched in sessions before that broke off, and so have no mark."""
    since = min(removal.began_at for removal in removals) - retrievals.REMOVED_WITHIN
    sums = CutOffSession.objects.filter(mailbox=mailbox, ended_at__gte=since).aggregate(
        messages=Sum("fetched_messages", default=0), room=Sum("fetched_bytes", default=0)
    )
    return _most(sizes, messages=sums["messages"], room=sums["room"])


def _unmarked(
    mailbox: Mailbox, folder: str, rows: Iterable[Removal], *, engine: Engine
) -> list[StoredMessage]:
    uids = [uid for row in rows for uid in uids_of(row.uids)]
    kept = engine.messages(user=mailbox.address, folder=folder, removed=True, uids=uids)
    seen = engine.messages(
        user=mailbox.address, folder=folder, removed=True, retrieved=True, uids=uids
    )
    marked = {message.uid for message in seen}
    return [message for message in kept if message.uid not in marked]


def _left_of(rows: Sequence[Removal], unmarked: Sequence[StoredMessage]) -> list[int]:
    """The sizes of those that their own session cannot have fetched."""
    by_session = {row.session: row for row in rows}
    session_of = {uid: row.session for row in rows for uid in uids_of(row.uids)}
    sizes: dict[str, list[int]] = defaultdict(list)
    for message in unmarked:
        sizes[session_of[message.uid]].append(message.bytes)
    return [
        size
        for session, of in sizes.items()
        for size in sorted(of)[_taken(of, by=by_session[session]) :]
    ]


def _taken(sizes: Sequence[int], *, by: Removal) -> int:
    """How many messages of these sizes a session may have fetched; the log tells sums only.

    RETR fetches whole messages. TOP may have fetched first lines alone, so it counts where it
    fetched all that is left.
    """
    taken = _most(sizes, messages=by.fetched_messages or 0, room=by.fetched_bytes or 0)
    left = sorted(sizes)[taken:]
    by_top = len(left) <= (by.glanced_messages or 0) and sum(left) <= (by.glanced_bytes or 0)
    return len(sizes) if by_top else taken


def _most(sizes: Sequence[int], *, messages: int, room: int) -> int:
    """How many of these sizes so many messages of so many bytes can be, at most."""
    return sum(total <= room for total in accumulate(sorted(sizes)[:messages]))
