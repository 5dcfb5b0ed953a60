"""Plans of purges: what is to go is found, and stored as runs whose batches name each message."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from accounts import outbox
from accounts.access import Actor, system
from mailstore import due, policy, retention, working
from mailstore.engine import Engine, FolderState, MessageSearch, StoredMessage, looking
from mailstore.models import Mailbox, PurgeBatch, PurgeRun
from mailstore.working import Item

_RETENTION, _WINDOW = system("retention"), system("recovery window")
# So many runs are one task: a task for each would cost more than planning it did, and a single
# one for all would keep one worker busy and leave the others idle.
_RUNS_A_TASK = 10


@dataclass(frozen=True, kw_only=True)
class Part:
    """Messages of one folder that a run is to remove."""

    folder: str
    uidvalidity: int
    messages: Sequence[StoredMessage]
    in_store: bool = False


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A run that is not stored yet. If nothing is to go, `moments` say when to look again."""

    mailbox: Mailbox
    kind: PurgeRun.Kind
    parts: Sequence[Part]
    actor: Actor
    rules: Sequence[Mapping[str, Any]] = ()
    policy_version: str = ""
    moments: Mapping[str, Any] = field(default_factory=dict)


def by_rules(*, mailbox: Mailbox, engine: Engine, at: datetime) -> Draft:
    """What the rules let go now."""
    due.begin_look([mailbox], at=at)
    layers = retention.layers_of(mailbox)
    outlooks = retention.outlook(mailbox=mailbox, engine=engine, until=at, layers=layers)
    return _by_rules(mailbox, layers, outlooks, at=at)


def by_rules_each(
    *, mailboxes: Sequence[Mailbox], engine: Engine, at: datetime
) -> Iterator[list[Draft]]:
    """The same for many, some at a time; those that the mail server cannot tell are left out."""
    due.begin_look(mailboxes, at=at)
    layers = retention.layers_of_each(mailboxes)
    by_key = {mailbox.pk: mailbox for mailbox in mailboxes}
    for outlooks in retention.outlook_each(
        mailboxes=mailboxes, engine=engine, until=at, layers=layers
    ):
        yield [_by_rules(by_key[pk], layers[pk], of, at=at) for pk, of in outlooks.items()]


def of_store(*, mailbox: Mailbox, engine: Engine, at: datetime) -> Draft:
    """What was removed longer ago than the mailbox's window."""
    looked = older_than(mailbox, window_days=mailbox.window_days, engine=engine, at=at)
    return _of_store(mailbox, looked)


def older_than(
    mailbox: Mailbox, *, window_days: int, engine: Engine, at: datetime
) -> looking.Looked:
    """Each folder of the store, with what a window of so many days lets go of it for good."""
    choose = _choose_old(mailbox, window_days=window_days, at=at)
    return looking.look(engine=engine, user=mailbox.address, choose=choose, removed=True)


def of_store_each(
    *, mailboxes: Sequence[Mailbox], engine: Engine, at: datetime
) -> Iterator[list[Draft]]:
    """The same for many, some at a time; those that the mail server cannot tell are left out."""
    by_user = {mailbox.address: mailbox for mailbox in mailboxes}
    choices = {
        user: _choose_old(mailbox, window_days=mailbox.window_days, at=at)
        for user, mailbox in by_user.items()
    }
    for found in looking.look_each(engine=engine, choices=choices, removed=True):
        yield [_of_store(by_user[user], looked) for user, looked in found.items()]


def window_rules(mailbox: Mailbox) -> list[dict[str, int]]:
    """By what a run of the store is planned, as JSON values."""
    return [{"window_days": mailbox.window_days}]


def settle(draft: Draft, *, at: datetime) -> PurgeRun | None:
    """Store the run; or, if nothing is to go, remember when to look again."""
    if draft.parts:
        return store(draft, at=at)
    due.note_unless_changed(draft.mailbox, **draft.moments)
    return None


def settle_each(drafts: Sequence[Draft], *, at: datetime) -> None:
    """The same for many, in two transactions."""
    # All that locks several mailboxes does so in the order of their keys.
    ordered = sorted(drafts, key=lambda draft: draft.mailbox.pk)
    with transaction.atomic():
        for draft in ordered:
            if not draft.parts:
                due.note_unless_changed(draft.mailbox, **draft.moments)
    full = [draft for draft in ordered if draft.parts]
    try:
        _store_together(full, at=at)
    except IntegrityError:
        # One of them has a run already, which must not hold up the others.
        for draft in full:
            store(draft, at=at)


def store(draft: Draft, *, at: datetime) -> PurgeRun | None:
    """The run with its batches, or None if one of its kind is open already."""
    try:
        return _store_together([draft], at=at)[0]
    except IntegrityError:
        return None


def fact(kind: str, *, run: PurgeRun, actor: Actor, at: datetime) -> dict[str, Any]:
    """What an event says of a run."""
    return {
        "kind": kind,
        "at": at,
        "actor": actor,
        "organisation": run.mailbox.organisation,
        "subject": run.subject,
        "data": {
            "kind": run.kind,
            "mailbox": str(run.mailbox.uuid),
            "messages": run.messages,
            "bytes": run.bytes,
            "policy_version": run.policy_version,
        },
    }


@transaction.atomic
def _store_together(drafts: Sequence[Draft], *, at: datetime) -> list[PurgeRun]:
    runs = PurgeRun.objects.bulk_create(
        PurgeRun(
            mailbox=draft.mailbox,
            kind=draft.kind,
            planned_at=at,
            planned_by=draft.actor.name,
            planned_messages=sum(len(part.messages) for part in draft.parts),
            planned_bytes=sum(message.bytes for part in draft.parts for message in part.messages),
            rules=list(draft.rules),
            policy_version=draft.policy_version,
        )
        for draft in drafts
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
        for run, draft in zip(runs, drafts, strict=True)
        for position, (part, items) in enumerate(_batches(draft.parts))
    )
    outbox.record_all(
        [
            outbox.event(**fact("purge.planned", run=run, actor=draft.actor, at=at))
            for run, draft in zip(runs, drafts, strict=True)
        ]
    )
    # The erasure of a home works its own plan off.
    keys = [run.pk for run in runs if run.kind != PurgeRun.Kind.CLOSING]
    for start in range(0, len(keys), _RUNS_A_TASK):
        outbox.nudge("mailstore.run_purges", run_ids=keys[start : start + _RUNS_A_TASK])
    return runs


def _batches(parts: Sequence[Part]) -> list[tuple[Part, Sequence[Item]]]:
    return [
        (part, items)
        for part in parts
        for items in working.parts([working.item_of(message) for message in part.messages])
    ]


def _by_rules(
    mailbox: Mailbox,
    layers: Sequence[policy.Layer],
    outlooks: Sequence[retention.FolderOutlook],
    *,
    at: datetime,
) -> Draft:
    return Draft(
        mailbox=mailbox,
        kind=PurgeRun.Kind.RETENTION,
        parts=[
            Part(
                folder=found.folder,
                uidvalidity=found.state.uidvalidity,
                messages=[fate.message for fate in found.fates],
            )
            for found in outlooks
            if found.fates
        ],
        actor=_RETENTION,
        rules=retention.described(layers),
        policy_version=retention.version(mailbox, layers),
        moments=due.retention_moments(mailbox, layers, outlooks, at=at),
    )


def _of_store(mailbox: Mailbox, looked: looking.Looked) -> Draft:
    return Draft(
        mailbox=mailbox,
        kind=PurgeRun.Kind.STORE,
        parts=[
            Part(
                folder=state.folder,
                uidvalidity=state.uidvalidity,
                messages=messages,
                in_store=True,
            )
            for state, messages in looked
            if messages
        ],
        actor=_WINDOW,
        rules=window_rules(mailbox),
        moments=due.store_moments(mailbox, [state for state, _messages in looked]),
    )


def _choose_old(
    mailbox: Mailbox, *, window_days: int, at: datetime
) -> Callable[[FolderState], MessageSearch | None]:
    """What lies in the store since before a window."""
    cutoff = at - timedelta(days=window_days) + timedelta(seconds=1)

    def choose(state: FolderState) -> MessageSearch | None:
        if state.first_saved_at is None or state.first_saved_at >= cutoff:
            return None
        return MessageSearch(
            user=mailbox.address, folder=state.folder, removed=True, saved_before=cutoff
        )

    return choose
