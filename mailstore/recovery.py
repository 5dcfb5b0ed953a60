"""Recovery: what was removed is listed, comes back one by one, or all since a moment."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from accounts import outbox
from accounts.access import Actor, Capability
from mailstore import due, holding, moves, origins, quotas, restore_ends, working
from mailstore.engine import (
    Engine,
    EngineError,
    EngineUnavailable,
    RemovedEntry,
    RemovedMessage,
    RemovedSearch,
)
from mailstore.models import Mailbox, RestoreBatch, RestoreRun, WorkState
from mailstore.origins import Origin
from mailstore.purging import Clock
from mailstore.working import LeaseLost

logger = logging.getLogger(__name__)


class NotEnoughSpace(Exception):
    """What is to come back does not fit; the text says how much must go first.

    `limit`, `current` and `requested` are bytes; `requested` comes on top of `current`.
    """

    def __init__(self, message: str, *, limit: int, current: int, requested: int) -> None:
        super().__init__(message)
        self.limit = limit
        self.current = current
        self.requested = requested


class NothingToRestore(Exception):
    """Nothing of what was asked for is in the recoverable store."""


class RestoreUnderWay(Exception):
    """Another restore of this mailbox is not finished."""


@dataclass(frozen=True, kw_only=True)
class Recoverable:
    """A removed message. It can be restored before `until`, or for now without end (None)."""

    message: RemovedMessage
    until: datetime | None
    origin: Origin


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One page of what can be brought back, the last removed first; `total` counts all pages.

    `last` is where the page ends, or None where none follows.
    """

    total: int
    rows: list[Recoverable]
    last: RemovedEntry | None


def listing(
    *,
    mailbox: Mailbox,
    engine: Engine,
    search: RemovedSearch,
    most: int = 200,
    skip: int = 0,
    after: RemovedEntry | None = None,
) -> Listing:
    """What can be brought back: `most` messages after the first `skip`, or after an entry.

    All that fits is only counted and sorted; what a person reads is asked for one page.
    """
    found = engine.removed_index(user=mailbox.address, search=search)
    found.sort(key=_last_removed_first)
    if after is not None:
        skip = bisect_right(found, _last_removed_first(after), key=_last_removed_first)
    entries = found[skip : skip + most]
    chosen = _by_folder((entry.folder, entry.uid) for entry in entries)
    page = engine.removed_chosen(user=mailbox.address, chosen=chosen)
    page.sort(key=_last_removed_first)
    origin_of = origins.of(mailbox, page)
    until = _lasts(mailbox)
    return Listing(
        total=len(found),
        rows=[
            Recoverable(
                message=message,
                until=message.removed_at + until if until else None,
                origin=origin_of(message),
            )
            for message in page
        ],
        last=entries[-1] if len(found) > skip + most else None,
    )


def _last_removed_first(removed: RemovedEntry | RemovedMessage) -> tuple[float, int, str]:
    return -removed.removed_at.timestamp(), -removed.uid, removed.folder


def find(
    *, mailbox: Mailbox, engine: Engine, chosen: Iterable[tuple[str, int]]
) -> list[RemovedMessage]:
    """Of messages named by their folder and their uid in the store, those that are there."""
    return engine.removed_chosen(user=mailbox.address, chosen=_by_folder(chosen))


def _by_folder(chosen: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    by_folder: dict[str, set[int]] = {}
    for folder, uid in chosen:
        by_folder.setdefault(folder, set()).add(uid)
    return by_folder


def restore(
    *,
    actor: Actor,
    mailbox: Mailbox,
    engine: Engine,
    chosen: Iterable[tuple[str, int]],
    at: datetime,
) -> RestoreRun:
    """Bring chosen messages back, each named by its folder and its uid in the store."""
    picked = find(mailbox=mailbox, engine=engine, chosen=chosen)
    return _plan(actor=actor, mailbox=mailbox, picked=picked, moment=None, at=at)


def roll_back(
    *, actor: Actor, mailbox: Mailbox, engine: Engine, moment: datetime, at: datetime
) -> RestoreRun:
    """Bring back everything that was removed since a moment, each to its own folder."""
    since = RemovedSearch(since=moment)
    removed = engine.removed_mail(user=mailbox.address, search=since, headers=False)
    brought_back = restore_ends.brought_back(mailbox, since=moment)
    picked = moves.without_moved(
        mailbox, removed, since=moment, brought_back=brought_back, engine=engine
    )
    return _plan(actor=actor, mailbox=mailbox, picked=picked, moment=moment, at=at)


def run_open(*, engine: Engine, now: Clock, limit: int = 20) -> int:
    """Work off restores that are not finished; returns how many were finished."""
    waiting = RestoreRun.objects.filter(working.free(now()))
    waiting = waiting.exclude(mailbox__state=Mailbox.State.CLOSED)
    finished = 0
    # What was tried less often goes first: those that the mail server refuses hold up nobody.
    for run in waiting.order_by("attempts", "id")[:limit]:
        try:
            finished += work_off(run=run, engine=engine, now=now)
        except EngineUnavailable as error:
            logger.warning("The mail server cannot be reached: %s", error)
            break
        except EngineError:
            logger.exception("The mail server refused to go on with restore %s", run.uuid)
    return finished


def work_off(*, run: RestoreRun, engine: Engine, now: Clock) -> bool:
    """Go on with a restore until it is done; False if it is somebody else's.

    Killed anywhere, the next call goes on, and no message comes back twice.
    """
    mine = working.claim(run, at=now())
    if mine is None:
        return False
    try:
        for batch in mine.batches.exclude(state=RestoreBatch.State.DONE).order_by("position"):
            _do(mine, batch, engine=engine, now=now)
        _finish(mine, engine=engine, at=now())
    except LeaseLost:
        return False
    except EngineError as error:
        working.give_back(mine, failure=str(error))
        raise
    return True


def _plan(
    *,
    actor: Actor,
    mailbox: Mailbox,
    picked: Sequence[RemovedMessage],
    moment: datetime | None,
    at: datetime,
) -> RestoreRun:
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    if not picked:
        message = "There is nothing to bring back."
        raise NothingToRestore(message)
    _refuse_if_too_much(mailbox, picked)
    try:
        with transaction.atomic():
            run = RestoreRun.objects.create(
                mailbox=mailbox,
                moment=moment,
                planned_at=at,
                planned_by=actor.name,
                planned_messages=len(picked),
                planned_bytes=sum(message.bytes for message in picked),
            )
            RestoreBatch.objects.bulk_create(
                RestoreBatch(run=run, position=position, folder=folder, items=list(items))
                for position, (folder, items) in enumerate(_batches(picked))
            )
            outbox.record(
                **restore_ends.fact(
                    "mailbox.restore_planned", run=run, actor=actor, messages=len(picked), at=at
                )
            )
            outbox.nudge("mailstore.run_restore", run_id=run.pk)
    except IntegrityError as error:
        message = "Another restore of this mailbox is under way. Wait until it is done."
        raise RestoreUnderWay(message) from error
    return run


def _batches(picked: Sequence[RemovedMessage]) -> list[tuple[str, Sequence[working.Item]]]:
    by_folder: dict[str, list[working.Item]] = {}
    for message in picked:
        by_folder.setdefault(message.folder, []).append((message.uid, message.bytes, message.guid))
    return [(f, items) for f, all_items in by_folder.items() for items in working.parts(all_items)]


def _refuse_if_too_much(mailbox: Mailbox, picked: Sequence[RemovedMessage]) -> None:
    more = sum(message.bytes for message in picked)
    used = quotas.used(mailbox)
    room = mailbox.quota_bytes - used
    if more > room:
        text = quotas.byte_text
        message = (
            f"{len(picked)} messages need {text(more)}, and {text(max(0, room))} are free. "
            f"Raise the limit or make room for {text(more - room)} first."
        )
        raise NotEnoughSpace(message, limit=mailbox.quota_bytes, current=used, requested=more)


def _do(run: RestoreRun, batch: RestoreBatch, *, engine: Engine, now: Clock) -> None:
    """One batch. A worker that died in the middle left some messages in both places."""
    user = run.mailbox.address
    there = restore_ends.still_stored(user, batch, engine=engine)
    was_begun = batch.state == RestoreBatch.State.DOING
    with transaction.atomic():
        _locked(run, at=now())
        if not was_begun:
            batch.state = RestoreBatch.State.DOING
            batch.save(update_fields=["state"])
            # What has gone meanwhile does not come back, and is not counted.
            restore_ends.narrow(batch, lambda uid: uid in there)
    with transaction.atomic():
        _locked(run, at=now())
        if was_begun:
            there = restore_ends.without_those_back(user, batch, there, engine=engine)
        if there:
            engine.restore(
                user=user,
                folder=batch.folder,
                uids=sorted(there),
                # A POP program is to fetch it again; until then no rule counts from a download.
                as_unfetched=not run.mailbox.is_imap,
            )
        _count(run, batch, at=now())


def _locked(run: RestoreRun, *, at: datetime) -> Mailbox:
    """The run's mailbox, locked until the transaction ends; raise `LeaseLost` if it is not ours."""
    mailbox = holding.lock(run.mailbox)
    working.keep(run, at=at)
    return mailbox


def _count(run: RestoreRun, batch: RestoreBatch, *, at: datetime) -> None:
    restore_ends.settle(run, batch, at=at)
    working.note_count(run)


@transaction.atomic
def _finish(run: RestoreRun, *, engine: Engine, at: datetime) -> None:
    mailbox = _locked(run, at=at)
    engine.recalculate_usage(user=mailbox.address)
    following = due.next_moments(mailbox, engine=engine, at=at)
    if not working.finish(run, at=at):
        raise LeaseLost
    due.note(mailbox, **following)
    restore_ends.record(run, state=WorkState.DONE, at=at)


def _lasts(mailbox: Mailbox) -> timedelta | None:
    """How long removed mail of this mailbox lasts; None while something stops its end."""
    try:
        holding.refuse_if_stopped(mailbox)
    except holding.Stopped:
        return None
    return timedelta(days=mailbox.window_days)
