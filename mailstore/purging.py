"""Purging: what the rules let go is planned, removed in batches, and written down.

Two kinds follow each other: retention moves mail out of sight into the recoverable store, and
the end of the recovery window removes it from there for good. Both are one run for a mailbox:
its batches name every message, and the finished run is the receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from accounts import outbox
from accounts.access import Actor, Capability, system
from mailstore import due, holding, retention, working
from mailstore.engine import (
    Engine,
    EngineError,
    FolderState,
    RemovedSearch,
    StoredMessage,
)
from mailstore.models import Mailbox, PurgeBatch, PurgeRun, Removal, WorkState
from mailstore.working import Item, LeaseLost

# Who the events name for what a worker does.
WORKER = system("purge")
Clock = Callable[[], datetime]
# The log is read a moment after the removal, and longer after an outage.
_LOG_LAGS = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Messages of one folder that a run is to remove."""

    folder: str
    uidvalidity: int
    messages: Sequence[StoredMessage]
    in_store: bool = False


def plan_retention(*, mailbox: Mailbox, engine: Engine, at: datetime) -> PurgeRun | None:
    """A run for what the rules let go now, or None; then the mailbox knows its next moment."""
    layers = retention.layers_of(mailbox)
    outlooks = retention.outlook(mailbox=mailbox, engine=engine, until=at, layers=layers)
    parts = [
        Part(
            folder=found.folder,
            uidvalidity=found.state.uidvalidity,
            messages=[fate.message for fate in found.fates],
        )
        for found in outlooks
        if found.fates
    ]
    if not parts:
        due.note(mailbox, retention_due_at=retention.next_due(outlooks, at=at))
        return None
    return _plan(
        mailbox=mailbox,
        kind=PurgeRun.Kind.RETENTION,
        parts=parts,
        at=at,
        planned_by="retention",
        rules=retention.described(layers),
        policy_version=retention.version(layers),
    )


def plan_store(*, mailbox: Mailbox, engine: Engine, at: datetime) -> PurgeRun | None:
    """A run for what was removed longer ago than the mailbox's window, or None."""
    window = timedelta(days=mailbox.window_days)
    states = engine.folder_states(user=mailbox.address, removed=True)
    cutoff = at - window + timedelta(seconds=1)
    found = [
        _store_part(mailbox.address, state, engine=engine, saved_before=cutoff)
        for state in states
        if state.first_saved_at is not None and state.first_saved_at < cutoff
    ]
    parts = [part for part in found if part.messages]
    if not parts:
        due.note(mailbox, **due.store_moments(mailbox, states))
        return None
    return _plan(
        mailbox=mailbox,
        kind=PurgeRun.Kind.STORE,
        parts=parts,
        at=at,
        planned_by="recovery window",
        rules=[{"window_days": mailbox.window_days}],
    )


def plan_for_good(
    *, actor: Actor, mailbox: Mailbox, engine: Engine, search: RemovedSearch, at: datetime
) -> PurgeRun | None:
    """A run that destroys removed mail because its owner asked; None if nothing fits."""
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    holding.refuse_if_stopped(mailbox)
    found = engine.removed_index(user=mailbox.address, search=search)
    wanted: dict[str, list[int]] = {}
    for message in found:
        wanted.setdefault(message.folder, []).append(message.uid)
    parts = [
        _store_part(mailbox.address, state, engine=engine, uids=wanted[state.folder])
        for state in engine.folder_states(user=mailbox.address, removed=True)
        if state.folder in wanted
    ]
    if not parts:
        return None
    return _plan(
        mailbox=mailbox, kind=PurgeRun.Kind.ASKED, parts=parts, at=at, planned_by=actor.name
    )


def plan_closing(*, mailbox: Mailbox, engine: Engine, at: datetime) -> PurgeRun:
    """The receipt of a closed mailbox: everything that its home holds when it is erased."""
    user = mailbox.tombstone
    visible = [
        Part(
            folder=state.folder,
            uidvalidity=state.uidvalidity,
            messages=engine.messages(user=user, folder=state.folder),
        )
        for state in engine.folder_states(user=user)
        if state.messages
    ]
    removed = [
        _store_part(user, state, engine=engine)
        for state in engine.folder_states(user=user, removed=True)
        if state.messages
    ]
    parts = [*visible, *removed]
    run = _plan(
        mailbox=mailbox, kind=PurgeRun.Kind.CLOSING, parts=parts, at=at, planned_by="closing"
    )
    return run or PurgeRun.objects.open().get(mailbox=mailbox, kind=PurgeRun.Kind.CLOSING)


def conclude_closing(*, run: PurgeRun, at: datetime) -> None:
    """The home is gone: what the receipt names went with it. Once said, nothing changes."""
    items = [item for batch in run.batches.all() for item in batch.items]
    done = PurgeRun.objects.open().filter(pk=run.pk)
    if not done.update(
        state=WorkState.DONE,
        finished_at=at,
        messages=len(items),
        bytes=sum(int(size) for _uid, size, _digest in items),
    ):
        return
    run.batches.update(state=PurgeBatch.State.DONE, done_at=at)
    run.refresh_from_db()
    _record("purge.finished", run=run, actor=WORKER, at=at)


def work_off(*, run: PurgeRun, engine: Engine, now: Clock) -> bool:
    """Go on with a run until it is done; False if it is somebody else's or stopped.

    Killed anywhere, the next call goes on from the last batch and removes nothing twice.
    """
    mine = working.claim(run, at=now())
    if mine is None:
        return False
    try:
        for batch in mine.batches.exclude(state=PurgeBatch.State.DONE).order_by("position"):
            _do(mine, batch, engine=engine, now=now)
        return _finish(mine, engine=engine, at=now())
    except LeaseLost:
        return False
    except holding.Stopped as reason:
        working.give_back(mine, failure=str(reason))
        return False
    except EngineError as error:
        working.give_back(mine, failure=str(error))
        raise


def pause(*, actor: Actor, run: PurgeRun, at: datetime) -> None:
    """Stop before the next batch."""
    _must_manage(actor, run)
    working.move(
        run, sources=(WorkState.PLANNED, WorkState.RUNNING), target=WorkState.PAUSED, at=at
    )


def resume(*, actor: Actor, run: PurgeRun, at: datetime) -> None:
    """Let a paused run go on where it stopped."""
    _must_manage(actor, run)
    working.move(run, sources=(WorkState.PAUSED,), target=WorkState.RUNNING, at=at)


@transaction.atomic
def cancel(*, actor: Actor, run: PurgeRun, at: datetime) -> None:
    """Give up a run of which nothing has been removed yet."""
    _must_manage(actor, run)
    holding.lock(run.mailbox)
    if run.batches.exclude(state=PurgeBatch.State.PLANNED).exists():
        message = "Part of this has been removed already. Pause it instead."
        raise working.WrongWorkState(message)
    working.move(
        run, sources=(WorkState.PLANNED, WorkState.PAUSED), target=WorkState.CANCELLED, at=at
    )
    _record("purge.cancelled", run=run, actor=actor, at=at)


def _do(run: PurgeRun, batch: PurgeBatch, *, engine: Engine, now: Clock) -> None:
    """One batch: write down what is there, then remove exactly that.

    Between the two a worker may die. Then `doing` says what it was about to remove, and what
    is still there is removed now.
    """
    user = run.mailbox.address
    uids = working.uids_in(batch.items)
    found = engine.present(user=user, folder=batch.folder, uids=uids, removed=batch.in_store)
    # A folder that was made anew meanwhile counts its messages anew: its uids mean other mail.
    there = found.guids if found.uidvalidity == batch.uidvalidity else {}
    was_begun = batch.state == PurgeBatch.State.DOING
    _write_down(run, batch, there, now=now)
    remove = engine.remove_for_good if batch.in_store else engine.remove
    with transaction.atomic():
        working.keep(run, at=now())
        holding.refuse_if_stopped(holding.lock(run.mailbox))
        if there:
            if was_begun and not batch.in_store:
                _drop_second_copies(user, batch, there.values(), engine=engine)
            remove(user=user, folder=batch.folder, uids=sorted(there))
        _count(run, batch, at=now())


def _drop_second_copies(
    user: str, batch: PurgeBatch, guids: Iterable[str], *, engine: Engine
) -> None:
    """A mail server that died in the middle left some messages in both places.

    They are all in their folder still, so the store's copies go, and each moves once.
    """
    moving = set(guids)
    stored = engine.messages(user=user, folder=batch.folder, removed=True)
    twice = [message.uid for message in stored if message.guid in moving]
    engine.remove_for_good(user=user, folder=batch.folder, uids=twice)


@transaction.atomic
def _write_down(run: PurgeRun, batch: PurgeBatch, there: Container[int], *, now: Clock) -> None:
    working.keep(run, at=now())
    holding.refuse_if_stopped(holding.lock(run.mailbox))
    if batch.state == PurgeBatch.State.PLANNED:
        batch.items = [item for item in batch.items if int(item[0]) in there]
        batch.state = PurgeBatch.State.DOING
        batch.save(update_fields=["items", "state"])


def _count(run: PurgeRun, batch: PurgeBatch, *, at: datetime) -> None:
    batch.state = PurgeBatch.State.DONE
    batch.done_at = at
    batch.save(update_fields=["state", "done_at"])
    PurgeRun.objects.filter(pk=run.pk).update(
        messages=F("messages") + len(batch.items),
        bytes=F("bytes") + sum(int(size) for _uid, size, _digest in batch.items),
    )


def _finish(run: PurgeRun, *, engine: Engine, at: datetime) -> bool:
    """Ask the mail server when the mailbox is due next, then close the run."""
    mailbox = run.mailbox
    fills_store = run.kind == PurgeRun.Kind.RETENTION
    moments = due.next_retention if fills_store else due.next_moments
    following = moments(mailbox, engine=engine, at=at)
    with transaction.atomic():
        if not working.finish(run, at=at):
            return False
        run.refresh_from_db()
        due.note(mailbox, **following)
        if fills_store:
            due.note_stored(mailbox, size=run.bytes, at=run.planned_at)
        else:
            _forget_removals(mailbox, store_due_at=following["store_due_at"], at=at)
        _record("purge.finished", run=run, actor=WORKER, at=at)
    return True


def _forget_removals(mailbox: Mailbox, *, store_due_at: datetime | None, at: datetime) -> None:
    """Who removed what is told as long as it can be brought back; the receipts stay."""
    oldest = store_due_at - timedelta(days=mailbox.window_days) if store_due_at else at
    told = Removal.objects.filter(mailbox=mailbox, is_weighed=True)
    told.filter(ended_at__lt=oldest - _LOG_LAGS).delete()


def _plan(
    *,
    mailbox: Mailbox,
    kind: PurgeRun.Kind,
    parts: Sequence[Part],
    at: datetime,
    planned_by: str,
    rules: list[dict[str, object]] | None = None,
    policy_version: str = "",
) -> PurgeRun | None:
    """The run with its batches, or None if one of its kind is open already."""
    try:
        with transaction.atomic():
            run = PurgeRun.objects.create(
                mailbox=mailbox,
                kind=kind,
                planned_at=at,
                planned_by=planned_by,
                rules=rules or [],
                policy_version=policy_version,
            )
            PurgeBatch.objects.bulk_create(
                PurgeBatch(
                    run=run,
                    position=position,
                    folder=part.folder,
                    in_store=part.in_store,
                    uidvalidity=part.uidvalidity,
                    items=list(items),
                )
                for position, (part, items) in enumerate(_batches(parts))
            )
            if kind is not PurgeRun.Kind.CLOSING:
                outbox.nudge("mailstore.run_purge", run_id=run.pk)
    except IntegrityError:
        return None
    return run


def _batches(parts: Sequence[Part]) -> list[tuple[Part, Sequence[Item]]]:
    return [
        (part, items)
        for part in parts
        for items in working.parts([working.item_of(message) for message in part.messages])
    ]


def _store_part(user: str, state: FolderState, *, engine: Engine, **narrowed: Any) -> Part:
    """Messages of one folder of the recoverable store."""
    return Part(
        folder=state.folder,
        uidvalidity=state.uidvalidity,
        messages=engine.messages(user=user, folder=state.folder, removed=True, **narrowed),
        in_store=True,
    )


def _must_manage(actor: Actor, run: PurgeRun) -> None:
    actor.must(Capability.MANAGE_MAIL, lineage=run.mailbox.organisation.lineage)


def _record(kind: str, *, run: PurgeRun, actor: Actor, at: datetime) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=run.mailbox.organisation,
        subject=run.subject,
        data={
            "kind": run.kind,
            "messages": run.messages,
            "bytes": run.bytes,
            "policy_version": run.policy_version,
        },
    )
