"""What POP programs removed without ever having fetched it, which is not what POP is for.

A message that was fetched in one session and removed in a later one is marked as seen. One that
was fetched and removed in the same session is not, nor is one that was fetched by TOP, as fetchmail
does it; there the log tells how much was sent to the session.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from mailstore.engine import Engine, StoredMessage, uids_of
from mailstore.models import Mailbox, Removal


def count(mailbox: Mailbox, by_pop: Sequence[Removal], *, engine: Engine) -> int:
    """How many messages POP sessions removed and had not fetched. Raises `EngineError`.

    What came back from the store meanwhile is not removed any more.
    """
    by_folder: dict[str, list[Removal]] = defaultdict(list)
    for removal in by_pop:
        by_folder[removal.folder].append(removal)
    return sum(
        _count_of(rows, _untouched(mailbox, folder, rows, engine=engine))
        for folder, rows in by_folder.items()
    )


def _untouched(
    mailbox: Mailbox, folder: str, rows: Iterable[Removal], *, engine: Engine
) -> list[StoredMessage]:
    """Those without a mark of a session before; one that broke off has left one, too."""
    uids = [uid for row in rows for uid in uids_of(row.uids)]
    return engine.messages(
        user=mailbox.address, folder=folder, removed=True, untouched=True, uids=uids
    )


def _count_of(rows: Sequence[Removal], untouched: Sequence[StoredMessage]) -> int:
    by_session = {row.session: row for row in rows}
    session_of = {uid: row.session for row in rows for uid in uids_of(row.uids)}
    sizes: dict[str, list[int]] = defaultdict(list)
    for message in untouched:
        sizes[session_of[message.uid]].append(message.bytes)
    return sum(len(of) - _taken(of, by=by_session[session]) for session, of in sizes.items())


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
