"""How a restore ends: with all that was planned, or with what had come back when its address went.

What came back is counted from the mail server: a worker that died in the middle of a batch wrote
nothing of it down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts import outbox
from accounts.access import Actor
from mailstore import ending, holding, working
from mailstore.engine import Engine
from mailstore.models import Mailbox, RestoreBatch, RestoreRun, WorkState

_GIVEN_UP = "The mailbox was closed before all had come back."


def give_up_rest(*, mailbox: Mailbox, at: datetime) -> None:
    """End restores with what has come back. Call it with the mailbox's row locked.

    Their address leads to another home from now on. One whose worker died in the middle of a
    batch ends when the home is erased, where `end_all_begun` looks what had come back.
    """
    for run in RestoreRun.objects.open().filter(mailbox=mailbox):
        working.halt(run)
        run.batches.filter(state=RestoreBatch.State.PLANNED).delete()
        if not run.batches.filter(state=RestoreBatch.State.DOING).exists():
            _cut_short(run, at=at)


def end_all_begun(*, mailbox: Mailbox, engine: Engine, at: datetime) -> None:
    """End what was in the middle of a batch when the mailbox's address was given up.

    Raises `holding.Stopped` under a hold, and `EngineError`.
    """
    runs = RestoreRun.objects.open().filter(mailbox=mailbox)
    if not runs.exists():
        return
    with transaction.atomic():
        holding.refuse_if_held(holding.lock(mailbox))
        for run in runs:
            for batch in run.batches.filter(state=RestoreBatch.State.DOING):
                _settle_begun(run, batch, user=mailbox.tombstone, engine=engine, at=at)
            _cut_short(run, at=at)


def still_stored(user: str, batch: RestoreBatch, *, engine: Engine) -> dict[int, str]:
    """What of a batch is in the recoverable store: the guid of each message by its uid there."""
    uids = working.uids_in(batch.items)
    found = engine.present(user=user, folder=batch.folder, uids=uids, removed=True)
    guids = {str(guid) for _uid, _bytes, guid in batch.items}
    return {uid: guid for uid, guid in found.guids.items() if guid in guids}


def without_those_back(
    user: str, batch: RestoreBatch, there: Mapping[int, str], *, engine: Engine
) -> dict[int, str]:
    """Drop the store's second copy of what is back in its folder already.

    A mail server that found the copy by repairing its index does not know the flags any more.
    """
    found = engine.messages(user=user, folder=batch.folder)
    back = {message.guid: message.uid for message in found}
    twins = {uid: back[guid] for uid, guid in there.items() if guid in back}
    if twins:
        engine.copy_flags(user=user, folder=batch.folder, twins=twins)
        engine.remove_for_good(user=user, folder=batch.folder, uids=sorted(twins))
    return {uid: guid for uid, guid in there.items() if uid not in twins}


def brought_back(mailbox: Mailbox, *, since: datetime) -> set[tuple[str, str]]:
    """What came back since a moment, by folder and guid."""
    done = RestoreBatch.objects.filter(run__mailbox=mailbox, done_at__gte=since)
    return {(batch.folder, str(guid)) for batch in done for _uid, _size, guid in batch.items}


def narrow(batch: RestoreBatch, is_left: Callable[[int], bool]) -> None:
    """Leave only some of a batch's items; where all of them are left, none is written again."""
    left = [item for item in batch.items if is_left(int(item[0]))]
    if len(left) < len(batch.items):
        batch.items = left
        batch.save(update_fields=["items"])


def settle(run: RestoreRun, batch: RestoreBatch, *, at: datetime) -> None:
    """Close a batch whose items have come back, and count them; the run's row is not written."""
    batch.state, batch.done_at = RestoreBatch.State.DONE, at
    batch.save(update_fields=["state", "done_at"])
    run.messages += len(batch.items)
    run.bytes += sum(int(size) for _uid, size, _guid in batch.items)


def record(run: RestoreRun, *, state: WorkState, at: datetime) -> None:
    """The events about a run that has ended: what came back, if anything did, and that it ended."""
    if state is WorkState.DONE:
        worker, count = ending.WORKER, run.messages
        outbox.record(**fact("mailbox.mail_restored", run=run, actor=worker, messages=count, at=at))
    outbox.record(
        kind="operation.finished",
        at=at,
        actor=ending.WORKER,
        organisation=run.mailbox.organisation,
        subject=run.subject,
        data={"kind": "restore_messages", "state": state.value},
    )


def fact(
    kind: str, *, run: RestoreRun, actor: Actor, messages: int, at: datetime
) -> dict[str, Any]:
    """What the event about a restore says."""
    return {
        "kind": kind,
        "at": at,
        "actor": actor,
        "organisation": run.mailbox.organisation,
        "subject": run.mailbox.subject,
        "data": {
            "restore": str(run.uuid),
            "messages": messages,
            "moment": run.moment.isoformat() if run.moment else None,
        },
    }


def _settle_begun(
    run: RestoreRun, batch: RestoreBatch, *, user: str, engine: Engine, at: datetime
) -> None:
    """Of a batch that a worker died over, what has left the store counts as back."""
    there = still_stored(user, batch, engine=engine)
    if there:
        there = without_those_back(user, batch, there, engine=engine)
    narrow(batch, lambda uid: uid not in there)
    if batch.items:
        settle(run, batch, at=at)


def _cut_short(run: RestoreRun, *, at: datetime) -> None:
    """Close the run with what has come back."""
    run.batches.exclude(state=RestoreBatch.State.DONE).delete()
    state = WorkState.DONE if run.batches.exists() else WorkState.CANCELLED
    working.cut_short(run, state=state, reason=_GIVEN_UP, at=at)
    record(run, state=state, at=at)
