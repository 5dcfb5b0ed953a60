"""Recovery: what was removed is listed, comes back one by one, or all since a moment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F

from accounts import outbox
from accounts.access import Actor, Capability
from mailstore import due, holding, purging, quotas, working
from mailstore.engine import (
    Engine,
    EngineError,
    EngineUnavailable,
    RemovedEntry,
    RemovedMessage,
    RemovedSearch,
    folder_names,
    uids_of,
)
from mailstore.models import (
    AppPassword,
    Mailbox,
    PurgeBatch,
    PurgeRun,
    Removal,
    RestoreBatch,
    RestoreRun,
)
from mailstore.purging import Clock
from mailstore.working import LeaseLost

logger = logging.getLogger(__name__)

# Dovecot writes whole seconds, and a worker notes a batch after the removal.
_SAME_MOMENT = timedelta(seconds=30)


class NotEnoughSpace(Exception):
    """What is to come back does not fit; the text says how much must go first."""


class NothingToRestore(Exception):
    """Nothing of what was asked for is in the recoverable store."""


class RestoreUnderWay(Exception):
    """Another restore of this mailbox is not finished."""


@dataclass(frozen=True, kw_only=True)
class Recoverable:
    """A removed message. It can be restored before `until`, or for now without end (None)."""

    message: RemovedMessage
    until: datetime | None
    how: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One page of what can be brought back, the last removed first; `total` counts all pages."""

    total: int
    rows: list[Recoverable]


def listing(
    *, mailbox: Mailbox, engine: Engine, search: RemovedSearch, most: int = 200, skip: int = 0
) -> Listing:
    """What can be brought back: `most` messages after the first `skip`.

    All that fits is only counted and sorted; what a person reads is asked for one page.
    """
    found = engine.removed_index(user=mailbox.address, search=search)
    found.sort(key=_last_removed_first)
    chosen = _by_folder((entry.folder, entry.uid) for entry in found[skip : skip + most])
    page = engine.removed_chosen(user=mailbox.address, chosen=chosen)
    page.sort(key=_last_removed_first)
    explain = _explainer(mailbox, page)
    until = _lasts(mailbox)
    return Listing(
        total=len(found),
        rows=[
            Recoverable(
                message=message,
                until=message.removed_at + until if until else None,
                how=explain(message),
            )
            for message in page
        ],
    )


def _last_removed_first(removed: RemovedEntry | RemovedMessage) -> tuple[float, int, str]:
    return -removed.removed_at.timestamp(), -removed.uid, removed.folder


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
    picked = engine.removed_chosen(user=mailbox.address, chosen=_by_folder(chosen))
    return _plan(actor=actor, mailbox=mailbox, picked=picked, moment=None, at=at)


def roll_back(
    *, actor: Actor, mailbox: Mailbox, engine: Engine, moment: datetime, at: datetime
) -> RestoreRun:
    """Bring back everything that was removed since a moment, each to its own folder."""
    since = RemovedSearch(since=moment)
    picked = engine.removed_mail(user=mailbox.address, search=since, headers=False)
    return _plan(actor=actor, mailbox=mailbox, picked=picked, moment=moment, at=at)


def run_open(*, engine: Engine, now: Clock, limit: int = 20) -> int:
    """Work off restores that are not finished; returns how many were finished."""
    waiting = RestoreRun.objects.filter(working.free(now()))
    finished = 0
    for run in waiting.order_by("id")[:limit]:
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
        return _finish(mine, engine=engine, at=now())
    except LeaseLost:
        return False
    except EngineError as error:
        working.give_back(mine, failure=str(error))
        raise


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
                mailbox=mailbox, moment=moment, planned_at=at, planned_by=actor.name
            )
            RestoreBatch.objects.bulk_create(
                RestoreBatch(run=run, position=position, folder=folder, items=list(items))
                for position, (folder, items) in enumerate(_batches(picked))
            )
            _record("mailbox.restore_planned", run=run, actor=actor, messages=len(picked), at=at)
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
    room = mailbox.quota_bytes - quotas.used(mailbox)
    if more > room:
        text = quotas.byte_text
        message = (
            f"{len(picked)} messages need {text(more)}, and {text(max(0, room))} are free. "
            f"Raise the limit or make room for {text(more - room)} first."
        )
        raise NotEnoughSpace(message)


def _do(run: RestoreRun, batch: RestoreBatch, *, engine: Engine, now: Clock) -> None:
    """One batch. A worker that died in the middle left some messages in both places."""
    user = run.mailbox.address
    uids = working.uids_in(batch.items)
    found = engine.present(user=user, folder=batch.folder, uids=uids, removed=True)
    guids = {str(guid) for _uid, _bytes, guid in batch.items}
    there = {uid: guid for uid, guid in found.guids.items() if guid in guids}
    if batch.state == RestoreBatch.State.DOING:
        there = _without_those_back(user, batch, there, engine=engine)
    with transaction.atomic():
        working.keep(run, at=now())
        RestoreBatch.objects.filter(pk=batch.pk).update(state=RestoreBatch.State.DOING)
    with transaction.atomic():
        working.keep(run, at=now())
        holding.lock(run.mailbox)
        if there:
            engine.restore(
                user=user,
                folder=batch.folder,
                uids=sorted(there),
                # A POP program is to fetch it again; until then no rule counts from a download.
                as_unfetched=not run.mailbox.is_imap,
            )
        _count(run, batch, at=now())


def _without_those_back(
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


def _count(run: RestoreRun, batch: RestoreBatch, *, at: datetime) -> None:
    batch.state = RestoreBatch.State.DONE
    batch.done_at = at
    batch.save(update_fields=["state", "done_at"])
    RestoreRun.objects.filter(pk=run.pk).update(
        messages=F("messages") + len(batch.items),
        bytes=F("bytes") + sum(int(size) for _uid, size, _guid in batch.items),
    )


def _finish(run: RestoreRun, *, engine: Engine, at: datetime) -> bool:
    engine.recalculate_usage(user=run.mailbox.address)
    following = due.next_moments(run.mailbox, engine=engine, at=at)
    with transaction.atomic():
        if not working.finish(run, at=at):
            return False
        run.refresh_from_db()
        due.note(run.mailbox, **following)
        _record(
            "mailbox.mail_restored",
            run=run,
            actor=purging.WORKER,
            messages=run.messages,
            at=at,
        )
    return True


def _lasts(mailbox: Mailbox) -> timedelta | None:
    """How long removed mail of this mailbox lasts; None while something stops its end."""
    try:
        holding.refuse_if_stopped(mailbox)
    except holding.Stopped:
        return None
    return timedelta(days=mailbox.window_days)


def _explainer(mailbox: Mailbox, page: Sequence[RemovedMessage]) -> Callable[[RemovedMessage], str]:
    """Says how these messages went, from what the log told and what the purges wrote down."""
    removals = _removals(mailbox, page)
    passwords = AppPassword.objects.filter(mailbox=mailbox)
    devices = {password.uuid.hex: password.label for password in passwords}
    purged = _purged(mailbox, page)

    def explain(message: RemovedMessage) -> str:
        removal = removals.get((folder_names.shown(message.folder), message.uid))
        if removal is not None:
            device = devices.get(removal.device, "the mailbox password")
            return f"by a mail program ({removal.service.upper()}, {device}, {removal.address})"
        moments = purged.get(message.folder, [])
        if any(abs(moment - message.removed_at) <= _SAME_MOMENT for moment in moments):
            return "by the retention rules"
        return "by a mail program"

    return explain


def _removals(mailbox: Mailbox, page: Sequence[RemovedMessage]) -> dict[tuple[str, int], Removal]:
    """What the log told of each message of the page."""
    if not page:
        return {}
    wanted = {(folder_names.shown(message.folder), message.uid) for message in page}
    moments = [message.removed_at for message in page]
    near = Removal.objects.filter(
        mailbox=mailbox,
        folder__in={folder for folder, _uid in wanted},
        ended_at__gte=min(moments) - _SAME_MOMENT,
        began_at__lte=max(moments) + _SAME_MOMENT,
    )
    return {
        (removal.folder, uid): removal
        for removal in near
        for uid in uids_of(removal.uids)
        if (removal.folder, uid) in wanted
    }


def _purged(mailbox: Mailbox, page: Sequence[RemovedMessage]) -> dict[str, list[datetime]]:
    """When purges removed something from the folders of the page, about when it went."""
    if not page:
        return {}
    moments = [message.removed_at for message in page]
    batches = PurgeBatch.objects.filter(
        run__mailbox=mailbox,
        run__kind=PurgeRun.Kind.RETENTION,
        folder__in={message.folder for message in page},
        done_at__range=(min(moments) - _SAME_MOMENT, max(moments) + _SAME_MOMENT),
    )
    done: dict[str, list[datetime]] = {}
    for folder, done_at in batches.values_list("folder", "done_at"):
        if done_at is not None:
            done.setdefault(folder, []).append(done_at)
    return done


def _record(kind: str, *, run: RestoreRun, actor: Actor, messages: int, at: datetime) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=run.mailbox.organisation,
        subject=run.mailbox.subject,
        data={
            "restore": str(run.uuid),
            "messages": messages,
            "moment": run.moment.isoformat() if run.moment else None,
        },
    )
