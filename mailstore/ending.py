"""How a purge ends: with all that was planned, or before, with what it has removed until then.

It ends before when the rules or the window by which it was planned hold no more, when the
mailbox goes over to the other protocol, and when its address is given up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from accounts import outbox
from accounts.access import system
from mailstore import due, holding, planning, policy, retention, working
from mailstore.engine import Engine
from mailstore.models import Mailbox, PurgeBatch, PurgeRun, Removal, WorkState

# Who the events name for what a worker does.
WORKER = system("purge")
# The log is read a moment after the removal, and longer after an outage.
_LOG_LAGS = timedelta(days=1)
_OUTDATED = "Other rules hold since this was planned."
_GIVEN_UP = "What was planned was given up before all of it was removed."
# What a run removes of a mailbox that goes on; its last one is the receipt of its closing.
_OF_LIVING = (PurgeRun.Kind.RETENTION, PurgeRun.Kind.STORE, PurgeRun.Kind.ASKED)


class Outdated(Exception):
    """The rules or the window by which the run was planned hold no more."""


def refuse_if_outdated(run: PurgeRun, mailbox: Mailbox) -> Sequence[policy.Layer] | None:
    """Raise `Outdated` unless the run would be planned by the same rules now.

    Call it with the mailbox's row locked: whoever sets a rule or the window waits for it.
    Returns the rules, if the run is one by rules.
    """
    if run.kind == PurgeRun.Kind.RETENTION:
        layers = retention.layers_of(mailbox)
        if retention.version(mailbox, layers) != run.policy_version:
            raise Outdated
        return layers
    if run.kind == PurgeRun.Kind.STORE and run.rules != planning.window_rules(mailbox):
        raise Outdated
    return None


def finish(
    run: PurgeRun,
    mailbox: Mailbox,
    *,
    layers: Sequence[policy.Layer] | None = None,
    engine: Engine,
    at: datetime,
) -> None:
    """Ask the mail server when the mailbox is due next, then close the run.

    Call it with the mailbox's row locked, so that nobody changes the rules meanwhile.
    """
    if run.kind == PurgeRun.Kind.RETENTION:
        following = due.next_retention(mailbox, layers=layers, engine=engine, at=at)
        following |= due.stored_moments(
            mailbox, messages=run.messages, size=run.bytes, at=run.planned_at
        )
    else:
        following = due.next_moments(mailbox, engine=engine, at=at)
        _forget_removals(mailbox, store_due_at=following["store_due_at"], at=at)
    if not working.finish(run, at=at):
        raise working.LeaseLost
    due.note(mailbox, **following)
    record("purge.finished", run=run, at=at)


def end_outdated(run: PurgeRun, *, was_begun: bool, engine: Engine, at: datetime) -> None:
    """End a run that its worker found to be outdated; the next sweep plans anew.

    `was_begun` says that an earlier worker may have died in the middle of the batch it was at.
    """
    with transaction.atomic():
        mailbox = holding.lock(run.mailbox)
        working.keep(run, at=at)
        holding.refuse_if_stopped(mailbox)
        if was_begun:
            _settle_begun(run, user=mailbox.address, engine=engine, at=at)
        _cut_short(run, mailbox, reason=_OUTDATED, at=at)


def give_up_rest(
    *, mailbox: Mailbox, kinds: Iterable[PurgeRun.Kind] = _OF_LIVING, at: datetime
) -> None:
    """What nobody has begun to remove stays. Call it with the mailbox's row locked.

    A run that is in the middle of a batch ends with that, and its receipt says so.
    """
    for run in PurgeRun.objects.open().filter(mailbox=mailbox, kind__in=tuple(kinds)):
        # Its worker stops before the next batch.
        working.halt(run)
        run.batches.filter(state=PurgeBatch.State.PLANNED).delete()
        if not run.batches.filter(state=PurgeBatch.State.DOING).exists():
            _cut_short(run, mailbox, reason=_GIVEN_UP, at=at)


def end_all_begun(*, mailbox: Mailbox, engine: Engine, at: datetime) -> None:
    """End what was in the middle of a batch when the mailbox's address was given up."""
    runs = PurgeRun.objects.open().filter(mailbox=mailbox, kind__in=_OF_LIVING)
    if not runs.exists():
        return
    with transaction.atomic():
        locked = holding.lock(mailbox)
        holding.refuse_if_held(locked)
        for run in runs:
            _settle_begun(run, user=mailbox.tombstone, engine=engine, at=at)
            _cut_short(run, locked, reason=_GIVEN_UP, at=at)


def drop_second_copies(
    user: str, batch: PurgeBatch, guids: Iterable[str], *, engine: Engine
) -> None:
    """A mail server that died in the middle left some messages in both places.

    They are all in their folder still, so the store's copies go, and each moves once.
    """
    moving = set(guids)
    stored = engine.messages(user=user, folder=batch.folder, removed=True)
    twice = [message.uid for message in stored if message.guid in moving]
    engine.remove_for_good(user=user, folder=batch.folder, uids=twice)


def record(kind: str, *, run: PurgeRun, at: datetime) -> None:
    """The event about what a worker did."""
    outbox.record(**planning.fact(kind, run=run, actor=WORKER, at=at))


def _settle_begun(run: PurgeRun, *, user: str, engine: Engine, at: datetime) -> None:
    """Of a batch that a worker died over, what is gone counts as removed; the rest stays."""
    for batch in run.batches.filter(state=PurgeBatch.State.DOING):
        uids = working.uids_in(batch.items)
        found = engine.present(user=user, folder=batch.folder, uids=uids, removed=batch.in_store)
        there = found.guids if found.uidvalidity == batch.uidvalidity else {}
        if there and not batch.in_store:
            drop_second_copies(user, batch, there.values(), engine=engine)
        batch.items = [item for item in batch.items if int(item[0]) not in there]
        if batch.items:
            batch.state, batch.done_at = PurgeBatch.State.DONE, at
            batch.save(update_fields=["items", "state", "done_at"])
            run.messages += len(batch.items)
            run.bytes += sum(int(size) for _uid, size, _digest in batch.items)


def _cut_short(run: PurgeRun, mailbox: Mailbox, *, reason: str, at: datetime) -> None:
    """Close the run with what it has removed, and have the mailbox looked at again."""
    run.batches.exclude(state=PurgeBatch.State.DONE).delete()
    is_receipt = run.batches.exists()
    working.cut_short(
        run, state=WorkState.DONE if is_receipt else WorkState.CANCELLED, reason=reason, at=at
    )
    if run.kind != PurgeRun.Kind.RETENTION:
        due.note(mailbox, store_due_at=at)
    elif run.messages:
        came = due.stored_moments(mailbox, messages=run.messages, size=run.bytes, at=run.planned_at)
        due.note(mailbox, retention_due_at=None, **came)
    else:
        due.note(mailbox, retention_due_at=None)
    record("purge.finished" if is_receipt else "purge.cancelled", run=run, at=at)


def _forget_removals(mailbox: Mailbox, *, store_due_at: datetime | None, at: datetime) -> None:
    """Who removed what is told as long as it can be brought back; the receipts stay."""
    oldest = store_due_at - timedelta(days=mailbox.window_days) if store_due_at else at
    told = Removal.objects.filter(mailbox=mailbox, is_weighed=True)
    told.filter(ended_at__lt=oldest - _LOG_LAGS).delete()
