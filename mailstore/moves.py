"""Moves: messages that left a folder because a program had put them into another.

Dovecot keeps a copy of whatever a program expunges, even if it was copied or moved before. To have
it keep the last copy alone would let a thief expunge two of them from two sessions at the same
moment, each of which takes the other's for the last. So the store's copy is dropped afterwards,
once the message itself is seen in a folder: whoever removes it there leaves another in the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from mailstore import holding
from mailstore.engine import (
    Engine,
    RemovedMessage,
    StoredMessage,
    folder_names,
    uid_set,
    uids_of,
)
from mailstore.models import Mailbox, MessageCopy, Removal

# Some programs copy at once and expunge when they are closed.
_BELONG_TOGETHER = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """A message of the store, and what the log calls the folder that it was in."""

    shown: str
    folder: str
    message: StoredMessage


def settle(*, mailbox: Mailbox, engine: Engine) -> int:
    """Of removals that the tripwire has not weighed, drop what was moved; returns how many.

    It leaves the store, and the rows that tell of removals. Raises `EngineError`.
    """
    removals = list(Removal.objects.filter(mailbox=mailbox, is_weighed=False))
    copies = _copies_before(mailbox, removals)
    if not copies:
        return 0
    lying = _lying(mailbox, copies, engine=engine)
    second = _second_copies(
        _kept(mailbox, removals, engine=engine),
        lying=lying,
        copied_to={copy.folder for copy in copies},
    )
    if second:
        _drop(mailbox, second, engine=engine)
        _set_off(removals, second)
    return len(second)


def forget(*, at: datetime) -> int:
    """Forget copies to which no removal belongs any more; returns how many rows that was."""
    old = MessageCopy.objects.filter(made_at__lt=at - 2 * _BELONG_TOGETHER)
    return old.delete()[0]


def without_moved(
    mailbox: Mailbox, removed: Sequence[RemovedMessage], *, since: datetime, engine: Engine
) -> list[RemovedMessage]:
    """Of what was removed since a moment, each message once, and none that moved meanwhile.

    A message that came into another folder since then was not removed. One that lay there before
    is a copy of its own.
    """
    moved = engine.arrived(user=mailbox.address, since=since)
    seen: set[tuple[str, str]] = set()
    once = []
    for message in removed:
        key = (message.folder, message.guid)
        if message.guid not in moved and key not in seen:
            seen.add(key)
            once.append(message)
    return once


def _copies_before(mailbox: Mailbox, removals: Sequence[Removal]) -> list[MessageCopy]:
    if not removals:
        return []
    first = min(removal.began_at for removal in removals) - _BELONG_TOGETHER
    return list(MessageCopy.objects.filter(mailbox=mailbox, made_at__gte=first))


def _lying(mailbox: Mailbox, copies: Iterable[MessageCopy], *, engine: Engine) -> set[str]:
    """The guids of what was copied and is still where it was copied to."""
    uids: dict[str, set[int]] = {}
    for copy in copies:
        uids.setdefault(copy.folder, set()).update(uids_of(copy.uids))
    user = mailbox.address
    return {
        guid
        for folder in _folders(mailbox, uids, removed=False, engine=engine)
        for guid in engine.present(
            user=user, folder=folder, uids=sorted(uids[folder_names.shown(folder)])
        ).guids.values()
    }


def _kept(mailbox: Mailbox, removals: Iterable[Removal], *, engine: Engine) -> list[_Kept]:
    """What the store has of these removals."""
    uids: dict[str, set[int]] = {}
    for removal in removals:
        uids.setdefault(removal.folder, set()).update(uids_of(removal.uids))
    user = mailbox.address
    return [
        _Kept(shown=folder_names.shown(folder), folder=folder, message=message)
        for folder in _folders(mailbox, uids, removed=True, engine=engine)
        for message in engine.messages(
            user=user, folder=folder, removed=True, uids=sorted(uids[folder_names.shown(folder)])
        )
    ]


def _folders(mailbox: Mailbox, shown: Iterable[str], *, removed: bool, engine: Engine) -> list[str]:
    """The folders that the log shows by these names, which may be more than one for a name."""
    names = set(shown)
    if all(map(folder_names.is_whole, names)):
        return sorted(names)
    states = engine.folder_states(user=mailbox.address, removed=removed)
    return [state.folder for state in states if folder_names.shown(state.folder) in names]


def _second_copies(kept: Iterable[_Kept], *, lying: set[str], copied_to: set[str]) -> list[_Kept]:
    """Those of a message that lies in a folder, or that the store has from an earlier folder."""
    second = []
    by_guid: dict[str, list[_Kept]] = {}
    for one in kept:
        if one.message.guid in lying:
            second.append(one)
        else:
            by_guid.setdefault(one.message.guid, []).append(one)
    for same in by_guid.values():
        # The first is from where it lay before it went anywhere.
        same.sort(key=lambda one: (one.shown in copied_to, one.message.saved_at, one.message.uid))
        second += [one for one in same[1:] if one.shown in copied_to]
    return second


@transaction.atomic
def _drop(mailbox: Mailbox, second: Iterable[_Kept], *, engine: Engine) -> None:
    """Take them out of the store; under a hold they stay, as everything does."""
    try:
        holding.refuse_if_held(holding.lock(mailbox))
    except holding.Stopped:
        return
    uids: dict[str, list[int]] = {}
    for one in second:
        uids.setdefault(one.folder, []).append(one.message.uid)
    for folder, of_folder in uids.items():
        engine.remove_for_good(user=mailbox.address, folder=folder, uids=of_folder)


def _set_off(removals: Iterable[Removal], second: Iterable[_Kept]) -> None:
    moved = {(one.shown, one.message.uid): one.message.bytes for one in second}
    for removal in removals:
        gone = {
            uid: moved[removal.folder, uid]
            for uid in uids_of(removal.uids)
            if (removal.folder, uid) in moved
        }
        if gone:
            _take_off(removal.pk, gone)


@transaction.atomic
def _take_off(key: int, gone: dict[int, int]) -> None:
    """Take messages, with their bytes by uid, off a row as it is now; an empty one goes.

    The log may have added to it. Nothing else is locked, so nobody waits for both.
    """
    removal = Removal.objects.select_for_update().filter(pk=key).first()
    if removal is None:
        return
    left = [uid for uid in uids_of(removal.uids) if uid not in gone]
    if not left:
        removal.delete()
        return
    removal.uids, removal.messages = uid_set(left), len(left)
    removal.bytes = max(0, removal.bytes - sum(gone.values()))
    removal.save(update_fields=["uids", "messages", "bytes"])
