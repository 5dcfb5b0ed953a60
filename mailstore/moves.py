"""Moves: messages that left a folder because a program had put them into another.

Dovecot keeps a copy of whatever a program expunges, even if it was copied or moved before. To have
it keep the last copy alone would let a thief expunge two of them from two sessions at the same
moment, each of which takes the other's for the last. So the store's copies that are one too many
are dropped afterwards: those of a message that is seen in a folder, and all but the first of one
that was expunged from several.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction

from mailstore import due, holding, thresholds, working
from mailstore.engine import (
    Engine,
    EngineError,
    EngineUnavailable,
    RemovedMessage,
    RemovedSearch,
    folder_names,
    uid_set,
    uids_of,
)
from mailstore.models import Mailbox, MessageCopy, Removal

logger = logging.getLogger(__name__)

# Some programs copy at once and expunge when they are closed.
_BELONG_TOGETHER = timedelta(days=1)
# The log may tell of a removal so long after the store got it.
_LOG_LAGS = timedelta(minutes=10)
_EVER = datetime(1970, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What is no removal, or no further one."""

    # These leave the store.
    second: list[RemovedMessage]
    # These are copies that were undone. They stay there, for somebody may want the place back.
    undone: list[RemovedMessage]
    # What the log shows as one folder, and is more.
    ambiguous: set[str]


@dataclass(frozen=True, kw_only=True)
class _Ways:
    """From where to where messages may have come, by copies and in folders with another name."""

    steps: frozenset[tuple[str, str]]
    origins: frozenset[str]
    ends: frozenset[str]
    # What lies in such a folder, or below it, came there by a name that the log tells nothing of.
    renamed: frozenset[str]

    @classmethod
    def of(cls, copies: Sequence[MessageCopy]) -> _Ways:
        """All that the log told."""
        return cls(
            steps=frozenset((copy.origin, copy.folder) for copy in copies),
            origins=frozenset(copy.origin for copy in copies),
            ends=frozenset(copy.folder for copy in copies),
            renamed=frozenset(copy.folder for copy in copies if copy.is_rename),
        )

    def lead_to(self, folder: str, *, origins: AbstractSet[str] | None = None) -> bool:
        """Whether something may have come there, from anywhere or from one of some folders."""
        if origins is None:
            return folder in self.ends or self._has_other_name(folder)
        if any((origin, folder) in self.steps for origin in origins):
            return True
        return not origins.isdisjoint(self.origins) and self._has_other_name(folder)

    def _has_other_name(self, folder: str) -> bool:
        parts = folder.split("/")
        return any("/".join(parts[:depth]) in self.renamed for depth in range(1, len(parts) + 1))


def settle(*, mailbox: Mailbox, engine: Engine) -> None:
    """Set off, from removals that the tripwire has not weighed, what was only moved or copied.

    It leaves the store as well. Raises `EngineError` where the mail server does not tell what was
    moved; where it does not drop it, second copies stay, which a roll-back leaves aside.
    """
    removals = list(Removal.objects.filter(mailbox=mailbox, is_weighed=False))
    copies = _copies_before(mailbox, removals)
    if not copies:
        return
    found = _find(mailbox, removals, copies, engine=engine)
    # In this order: whoever dies in between has told the tripwire of nothing that did not happen.
    _set_off(removals, found)
    try:
        _drop(mailbox, found.second, engine=engine)
    except EngineUnavailable:
        raise
    except EngineError:
        logger.exception("Second copies stay in the store of mailbox %s", mailbox.uuid)


def forget(*, at: datetime) -> int:
    """Forget copies to which no removal belongs any more; returns how many rows that was."""
    old = MessageCopy.objects.filter(made_at__lt=at - 2 * _BELONG_TOGETHER)
    return old.delete()[0]


def without_moved(
    mailbox: Mailbox,
    removed: Sequence[RemovedMessage],
    *,
    since: datetime,
    brought_back: AbstractSet[tuple[str, str]],
    engine: Engine,
) -> list[RemovedMessage]:
    """Of what was removed since a moment, each message once, and none that moved meanwhile.

    A message that came into another folder since then was not removed. One that lay there before
    is a copy of its own, as is one that was brought back there, which `brought_back` names by
    folder and guid.
    """
    moved = engine.arrived(user=mailbox.address, since=since)
    elsewhere = {guid for _folder, guid in brought_back}
    seen: set[tuple[str, str]] = set()
    once = []
    for message in removed:
        key = (message.folder, message.guid)
        is_back = message.guid in moved and (message.guid not in elsewhere or key in brought_back)
        if not is_back and key not in seen:
            seen.add(key)
            once.append(message)
    return once


def _copies_before(mailbox: Mailbox, removals: Sequence[Removal]) -> list[MessageCopy]:
    if not removals:
        return []
    first = min(removal.began_at for removal in removals) - _BELONG_TOGETHER
    return list(MessageCopy.objects.filter(mailbox=mailbox, made_at__gte=first))


def _find(
    mailbox: Mailbox,
    removals: Sequence[Removal],
    copies: Sequence[MessageCopy],
    *,
    engine: Engine,
) -> _Found:
    """Ask for all folders at once, for how many there are and how they are named, programs say."""
    kept = _kept(mailbox, removals, engine=engine)
    first = min(copy.made_at for copy in copies)
    ways = _Ways.of(copies)
    arrived = engine.arrived(user=mailbox.address, since=first)
    second = _second_copies(kept, ways, arrived=arrived)
    undone = _undone(mailbox, _without(kept, second), ways, engine=engine)
    return _Found(second=second, undone=undone, ambiguous=_ambiguous(kept))


def _undone(
    mailbox: Mailbox,
    left: Iterable[RemovedMessage],
    ways: _Ways,
    *,
    engine: Engine,
) -> list[RemovedMessage]:
    """Copies that were expunged while the message lies where it was copied from.

    To know, the mail server names all that lies in the mailbox, so few are not worth the question:
    no alarm rises for them.
    """
    copies = [one for one in left if ways.lead_to(_shown(one))]
    if len(copies) < thresholds.of(mailbox).fewest:
        return []
    lying = engine.arrived(user=mailbox.address, since=_EVER)
    return [one for one in copies if one.guid in lying]


def _kept(mailbox: Mailbox, removals: Sequence[Removal], *, engine: Engine) -> list[RemovedMessage]:
    """What the store has of these removals."""
    places = {(removal.folder, uid) for removal in removals for uid in uids_of(removal.uids)}
    since = min(removal.began_at for removal in removals) - _LOG_LAGS
    found = engine.removed_mail(
        user=mailbox.address, search=RemovedSearch(since=since), headers=False
    )
    return [one for one in found if (_shown(one), one.uid) in places]


def _shown(message: RemovedMessage) -> str:
    """What the log calls the folder that the message was in."""
    return folder_names.shown(message.folder)


def _second_copies(
    kept: Sequence[RemovedMessage], ways: _Ways, *, arrived: Container[str]
) -> list[RemovedMessage]:
    """Those of a message that went on to a folder, or is kept from where it came from."""
    second = []
    by_guid: dict[str, list[RemovedMessage]] = defaultdict(list)
    for one in kept:
        if one.guid in arrived and _shown(one) in ways.origins:
            second.append(one)
        else:
            by_guid[one.guid].append(one)
    for same in by_guid.values():
        names = {_shown(one) for one in same}
        led_to = {name for name in names if ways.lead_to(name, origins=names - {name})}
        # The first is from where it lay before it went anywhere.
        same.sort(key=lambda one: (_shown(one) in led_to, one.removed_at, one.uid))
        second += [one for one in same[1:] if _shown(one) in led_to]
    return second


def _without(
    kept: Iterable[RemovedMessage], some: Iterable[RemovedMessage]
) -> list[RemovedMessage]:
    places = {(one.folder, one.uid) for one in some}
    return [one for one in kept if (one.folder, one.uid) not in places]


def _ambiguous(kept: Iterable[RemovedMessage]) -> set[str]:
    folders: dict[str, set[str]] = defaultdict(set)
    for one in kept:
        folders[_shown(one)].add(one.folder)
    return {shown for shown, same in folders.items() if len(same) > 1}


def _set_off(removals: Iterable[Removal], found: _Found) -> None:
    waiting: dict[tuple[str, int], list[RemovedMessage]] = defaultdict(list)
    for one in [*found.second, *found.undone]:
        waiting[_shown(one), one.uid].append(one)
    undone = {(_shown(one), one.uid) for one in found.undone}
    for removal in removals:
        taken = {
            uid: waiting[removal.folder, uid].pop()
            for uid in uids_of(removal.uids)
            if waiting.get((removal.folder, uid))
        }
        # A row goes on telling who removed what is still in the store, or may be.
        is_sure = removal.folder not in found.ambiguous
        gone = {uid for uid in taken if is_sure and (removal.folder, uid) not in undone}
        if taken:
            _take_off(removal.pk, taken.values(), gone=gone)


@transaction.atomic
def _take_off(key: int, taken: Iterable[RemovedMessage], *, gone: Container[int]) -> None:
    """Take messages off a row as it is now, and some of their uids; an empty one goes.

    The log may have added to it. Nothing else is locked, so nobody waits for both.
    """
    removal = Removal.objects.select_for_update().filter(pk=key).first()
    if removal is None:
        return
    sizes = [one.bytes for one in taken]
    left = [uid for uid in uids_of(removal.uids) if uid not in gone]
    if not left:
        removal.delete()
        return
    removal.uids = uid_set(left)
    removal.messages = max(0, removal.messages - len(sizes))
    removal.bytes = max(0, removal.bytes - sum(sizes))
    removal.save(update_fields=["uids", "messages", "bytes"])


def _drop(mailbox: Mailbox, second: Iterable[RemovedMessage], *, engine: Engine) -> None:
    """Take them out of the store, a batch at a time; under a hold they stay, as everything does."""
    uids: dict[str, list[int]] = defaultdict(list)
    for one in second:
        uids[one.folder].append(one.uid)
    for folder, of_folder in uids.items():
        for start in range(0, len(of_folder), working.BATCH_MESSAGES):
            batch = of_folder[start : start + working.BATCH_MESSAGES]
            if not _drop_batch(mailbox, folder, batch, engine=engine):
                return


@transaction.atomic
def _drop_batch(mailbox: Mailbox, folder: str, uids: Sequence[int], *, engine: Engine) -> bool:
    """Whether more may be dropped: neither under a hold, nor where the address was given up."""
    row = holding.lock(mailbox)
    try:
        holding.refuse_if_held(row)
    except holding.Stopped:
        return False
    if row.state == Mailbox.State.CLOSED:
        return False
    engine.remove_for_good(user=row.address, folder=folder, uids=uids)
    states = engine.folder_states(user=row.address, removed=True)
    due.note(row, **due.store_moments(row, states))
    return True
