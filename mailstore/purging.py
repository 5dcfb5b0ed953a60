"""Purging: what the rules let go is planned, removed in batches, and written down.

Two kinds follow each other: retention moves mail out of sight into the recoverable store, and
the end of the recovery window removes it from there for good. Both are one run for a mailbox:
its batches name every message, and the finished run is the receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts import outbox
from accounts.access import Actor, Capability, system
from mailstore import ending, holding, planning, working
from mailstore.engine import Engine, EngineError, FolderState, RemovedSearch
from mailstore.models import Mailbox, PurgeBatch, PurgeRun, WorkState
from mailstore.planning import Draft, Part
from mailstore.working import LeaseLost

_CLOSING = system("closing")
Clock = Callable[[], datetime]


class UnderWay(Exception):
    """Another removal for good of this mailbox's mail is not finished."""


def plan_retention(*, mailbox: Mailbox, engine: Engine, at: datetime) -> PurgeRun | None:
    """A run for what the rules let go now, or None; then the mailbox knows its next moment."""
    return planning.settle(planning.by_rules(mailbox=mailbox, engine=engine, at=at), at=at)


def plan_store(*, mailbox: Mailbox, engine: Engine, at: datetime) -> PurgeRun | None:
    """A run for what was removed longer ago than the mailbox's window, or None."""
    return planning.settle(planning.of_store(mailbox=mailbox, engine=engine, at=at), at=at)


def plan_for_good(
    *, actor: Actor, mailbox: Mailbox, engine: Engine, search: RemovedSearch, at: datetime
) -> PurgeRun | None:
    """A run that destroys removed mail because its owner asked; None if nothing fits.

    Raises `holding.Stopped`, and `UnderWay` while an earlier one is open.
    """
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
    return _plan_asked(actor, mailbox, parts, at=at)


def plan_chosen_for_good(
    *,
    actor: Actor,
    mailbox: Mailbox,
    engine: Engine,
    chosen: Mapping[str, Mapping[int, str]],
    at: datetime,
) -> PurgeRun | None:
    """The same for single messages: by folder, their uids in the store with their guids.

    What has another guid by now is other mail, and stays.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    holding.refuse_if_stopped(mailbox)
    parts = []
    for state in engine.folder_states(user=mailbox.address, removed=True):
        guids = chosen.get(state.folder, {})
        if guids:
            part = _store_part(mailbox.address, state, engine=engine, uids=sorted(guids))
            same = [one for one in part.messages if guids.get(one.uid) == one.guid]
            parts += [replace(part, messages=same)] if same else []
    return _plan_asked(actor, mailbox, parts, at=at)


def _plan_asked(
    actor: Actor, mailbox: Mailbox, parts: Sequence[Part], *, at: datetime
) -> PurgeRun | None:
    if not parts:
        return None
    draft = Draft(mailbox=mailbox, kind=PurgeRun.Kind.ASKED, parts=parts, actor=actor)
    run = planning.store(draft, at=at)
    if run is None:
        message = f"Removed mail of {mailbox} is being destroyed already. That ends first."
        raise UnderWay(message)
    return run


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
    draft = Draft(
        mailbox=mailbox,
        kind=PurgeRun.Kind.CLOSING,
        parts=[*visible, *removed],
        actor=_CLOSING,
    )
    run = planning.store(draft, at=at)
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
    ending.record("purge.finished", run=run, at=at)


def work_off(*, run: PurgeRun, engine: Engine, now: Clock) -> bool:
    """Go on with a run until it is done; False if it is somebody else's or stopped.

    Killed anywhere, the next call goes on from the last batch and removes nothing twice. Where
    other rules hold by now, the run ends with what it has removed, and is planned anew.
    """
    mine = working.claim(run, at=now())
    if mine is None:
        return False
    try:
        _go_on(mine, engine=engine, now=now)
    except LeaseLost:
        return False
    except holding.Stopped as reason:
        _give_back(mine, "purge.held_back", failure=str(reason), at=now())
        return False
    except EngineError as error:
        _give_back(mine, "purge.failed", failure=str(error), at=now())
        raise
    return True


def _go_on(run: PurgeRun, *, engine: Engine, now: Clock) -> None:
    left = list(run.batches.exclude(state=PurgeBatch.State.DONE).order_by("position"))
    for batch in left:
        was_begun = batch.state == PurgeBatch.State.DOING
        try:
            _do(run, batch, is_last=batch is left[-1], engine=engine, now=now)
        except ending.Outdated:
            ending.end_outdated(run, was_begun=was_begun, engine=engine, at=now())
            return
    if not left:
        with transaction.atomic():
            ending.finish(run, _locked(run, at=now()), engine=engine, at=now())


@transaction.atomic
def _give_back(run: PurgeRun, kind: str, *, failure: str, at: datetime) -> None:
    """Let somebody else go on later. What stops it again for the same reason is no news."""
    if working.give_back(run, failure=failure) and run.failure != failure[:300]:
        # What was counted in a transaction that came to nothing counts no more.
        run.refresh_from_db(fields=("messages", "bytes"))
        ending.record(kind, run=run, at=at)


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
    """Give up a run of which nothing has been removed yet.

    A run of the rules is planned anew by the next sweep, unless the rules or a hold say
    otherwise by then.
    """
    _must_manage(actor, run)
    if run.kind == PurgeRun.Kind.CLOSING:
        message = "This is the receipt of a closed mailbox, which is being erased."
        raise working.WrongWorkState(message)
    holding.lock(run.mailbox)
    if run.batches.exclude(state=PurgeBatch.State.PLANNED).exists():
        message = "Part of this has been removed already. Pause it instead."
        raise working.WrongWorkState(message)
    working.move(
        run, sources=(WorkState.PLANNED, WorkState.PAUSED), target=WorkState.CANCELLED, at=at
    )
    outbox.record(**planning.fact("purge.cancelled", run=run, actor=actor, at=at))


def _do(run: PurgeRun, batch: PurgeBatch, *, is_last: bool, engine: Engine, now: Clock) -> None:
    """One batch: write down what is there, then remove exactly that. The last one ends the run.

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
        mailbox = _locked(run, at=now())
        holding.refuse_if_stopped(mailbox)
        layers = ending.refuse_if_outdated(run, mailbox)
        if there:
            if was_begun and not batch.in_store:
                ending.drop_second_copies(user, batch, there.values(), engine=engine)
            remove(user=user, folder=batch.folder, uids=sorted(there))
        _count(run, batch, at=now())
        if is_last:
            ending.finish(run, mailbox, layers=layers, engine=engine, at=now())
        else:
            working.note_count(run)


def _locked(run: PurgeRun, *, at: datetime) -> Mailbox:
    """The run's mailbox, locked until the transaction ends; raise `LeaseLost` if it is not ours."""
    mailbox = holding.lock(run.mailbox)
    working.keep(run, at=at)
    return mailbox


@transaction.atomic
def _write_down(run: PurgeRun, batch: PurgeBatch, there: Container[int], *, now: Clock) -> None:
    holding.refuse_if_stopped(_locked(run, at=now()))
    if batch.state == PurgeBatch.State.PLANNED:
        left = [item for item in batch.items if int(item[0]) in there]
        # Mostly all are there, and a list of thousands need not be written again.
        changed = {"items"} if len(left) < len(batch.items) else set()
        batch.items, batch.state = left, PurgeBatch.State.DOING
        batch.save(update_fields={"state", *changed})


def _count(run: PurgeRun, batch: PurgeBatch, *, at: datetime) -> None:
    batch.state = PurgeBatch.State.DONE
    batch.done_at = at
    batch.save(update_fields=["state", "done_at"])
    run.messages += len(batch.items)
    run.bytes += sum(int(size) for _uid, size, _digest in batch.items)


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
