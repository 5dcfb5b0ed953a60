"""When a mailbox is due next: the earliest moment at which a rule or its window reaches anything.

The sweep looks at these moments only, so its cost follows what is due. Whoever changes a rule
takes the moment away; a look from before that must not bring it back.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Least

from mailstore import policy, retention
from mailstore.engine import Engine, FolderState
from mailstore.models import OPEN_STATES, Mailbox
from mailstore.models.mailboxes import MailboxQuerySet

# With nothing to remove, a mailbox is looked at again after this long.
_FAR = timedelta(days=policy.LONGEST_DAYS)
# What one look finds out together.
_BY_RULES = ("retention_due_at",)
_OF_STORE = ("store_due_at", "store_bytes", "store_messages")


def next_moments(mailbox: Mailbox, *, engine: Engine, at: datetime) -> dict[str, Any]:
    """When the rules and the recovery window reach something next, and the store's size."""
    removed = engine.folder_states(user=mailbox.address, removed=True)
    return {
        **next_retention(mailbox, engine=engine, at=at),
        **store_moments(mailbox, removed),
    }


def next_retention(
    mailbox: Mailbox,
    *,
    engine: Engine,
    at: datetime,
    layers: Sequence[policy.Layer] | None = None,
) -> dict[str, Any]:
    """When the rules reach something next; `layers` are the mailbox's own, if they are known."""
    rules = retention.layers_of(mailbox) if layers is None else layers
    outlooks = retention.outlook(mailbox=mailbox, engine=engine, until=at, layers=rules)
    return retention_moments(mailbox, rules, outlooks, at=at)


def retention_moments(
    mailbox: Mailbox,
    layers: Sequence[policy.Layer],
    outlooks: Iterable[retention.FolderOutlook],
    *,
    at: datetime,
) -> dict[str, Any]:
    """The same, once the mailbox was looked into: in its folders, and in any made from now on."""
    found = list(outlooks)
    moments = [outlook.next_at for outlook in found if outlook.next_at is not None]
    to_come = _age_in_new_folders(mailbox, layers, known={o.folder for o in found})
    moments += [at + to_come] if to_come is not None else []
    return {"retention_due_at": min(moments, default=at + _FAR)}


def _age_in_new_folders(
    mailbox: Mailbox, layers: Sequence[policy.Layer], *, known: Container[str]
) -> timedelta | None:
    """How old mail gets at least in folders that are not there yet; None for any age.

    A POP mailbox has its inbox only, which is always there.
    """
    if not mailbox.is_imap:
        return None
    named = {rule.folder for layer in layers for rule in layer.rules}
    special = {name for name, use in policy.SPECIAL_USES.items() if use in named}
    names = {name for name in named | special if not name.startswith("\\")}
    # One without a name stands for all that no rule names.
    probes = {"" if name == policy.EVERY_FOLDER else name for name in names if name not in known}
    decisions = [retention.decide(mailbox, probe, layers) for probe in probes]
    ages = [
        decision.age
        for decision in decisions
        if decision.age is not None and decision.counted_from is policy.CountedFrom.ARRIVAL
    ]
    return min(ages, default=None)


def store_moments(mailbox: Mailbox, states: Sequence[FolderState]) -> dict[str, Any]:
    oldest = min((s.first_saved_at for s in states if s.first_saved_at), default=None)
    return {
        "store_due_at": oldest and oldest + timedelta(days=mailbox.window_days),
        "store_bytes": sum(state.bytes for state in states),
        "store_messages": sum(state.messages for state in states),
    }


def stored_moments(mailbox: Mailbox, *, messages: int, size: int, at: datetime) -> dict[str, Any]:
    """The same, without asking the mail server, once messages of `size` bytes went there."""
    moment = at + timedelta(days=mailbox.window_days)
    # SQLite takes the least of nothing and something to be nothing.
    return {
        "store_due_at": Least(Coalesce("store_due_at", moment), moment),
        "store_bytes": F("store_bytes") + size,
        "store_messages": F("store_messages") + messages,
    }


def waiting(condition: Q) -> MailboxQuerySet:
    """Mailboxes at which the sweep may look: neither closing nor frozen, and not being purged.

    Holds are looked at when something is about to be removed.
    """
    standing = Mailbox.objects.standing().exclude(state=Mailbox.State.CLOSING)
    quiet = standing.filter(condition, frozen_at__isnull=True)
    return quiet.exclude(purge_runs__state__in=OPEN_STATES)


def begin_look(mailboxes: Sequence[Mailbox], *, at: datetime) -> None:
    """Before rules are read: give a moment to those without, so that taking it away shows."""
    unknown = [mailbox for mailbox in mailboxes if mailbox.retention_due_at is None]
    if not unknown:
        return
    rows = Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in unknown], retention_due_at=None)
    with transaction.atomic():
        rows.lock().update(retention_due_at=at)
    for mailbox in unknown:
        mailbox.retention_due_at = at


def ask_for_look(keys: Collection[int]) -> None:
    """Take the moments by rules away, so that the next sweep looks into these mailboxes.

    Call it in a transaction. A look that began before puts no moment back.
    """
    if keys:
        Mailbox.objects.filter(pk__in=keys).lock().update(retention_due_at=None)


def note(mailbox: Mailbox, **moments: Any) -> None:
    """Remember when the mailbox must be looked at again. For who has its row locked."""
    Mailbox.objects.filter(pk=mailbox.pk).update(**moments)


def note_unless_changed(mailbox: Mailbox, **moments: Any) -> None:
    """The same after a look without a lock: what has changed since `mailbox` was read stays.

    Then it is looked at again. Mail that came into the store meanwhile shows by its size, even
    if older mail was due before it.
    """
    rows = Mailbox.objects.filter(pk=mailbox.pk)
    for names in (_BY_RULES, _OF_STORE):
        new = {name: moments[name] for name in names if name in moments}
        read = {name: getattr(mailbox, name) for name in names}
        # Without a moment somebody asks for a look, which only one that began after that is.
        is_asked = names is _BY_RULES and mailbox.retention_due_at is None
        if not is_asked and any(read[name] != new[name] for name in new):
            rows.filter(**read).update(**new)
