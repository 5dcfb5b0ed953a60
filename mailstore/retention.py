"""When mail goes: the rules that hold for a mailbox, and what they mean for each message."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from mailstore import policy
from mailstore.engine import Engine, FolderState, StoredMessage, uid_set, uids_of
from mailstore.models import (
    Mailbox,
    ProtocolSwitch,
    RetentionPolicy,
    RetentionRule,
    Retrieval,
)

# With nothing to remove, a mailbox is looked at again after this long.
_FAR = timedelta(days=policy.LONGEST_DAYS)
# How sentences name the layers that have no name of their own.
PLAN = "the plan"
MAILBOX = "the mailbox"


@dataclass(frozen=True, kw_only=True)
class Fate:
    """When one message goes."""

    message: StoredMessage
    goes_at: datetime


@dataclass(frozen=True, kw_only=True)
class FolderOutlook:
    """What a rule means for one folder until some moment.

    `next_at` is the earliest moment at which anything can go, None for never. Mail that
    arrives later goes later, so nothing needs to be looked at before it.
    """

    state: FolderState
    decision: policy.Decision
    fates: tuple[Fate, ...]
    next_at: datetime | None

    @property
    def folder(self) -> str:
        """The folder's name."""
        return self.state.folder

    @property
    def bytes(self) -> int:
        """The size of what goes."""
        return sum(fate.message.bytes for fate in self.fates)


# When each message was first seen to be fetched: by its uid, for each UIDVALIDITY of the inbox.
Marks = dict[int, dict[int, datetime]]
# Which layer: `plan`, `organisation`, `domain` or `mailbox`, and the key of its row.
LayerKey = tuple[str, int]
_PLAN: LayerKey = ("plan", 0)
_FORMER: LayerKey = ("former", 0)
_NO_PLAN = policy.Layer(name=PLAN, rules=())


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A layer as it would be, to stand where one is or where none is yet."""

    key: LayerKey
    layer: policy.Layer


def layers_of(mailbox: Mailbox, *, trial: Trial | None = None) -> list[policy.Layer]:
    """Everything that speaks of a mailbox, from the general to the particular. One query."""
    lineage = mailbox.organisation.lineage[::-1]
    rules = RetentionRule.objects.filter(
        _plan_rules(mailbox)
        | Q(organisation__in=lineage)
        | Q(domain=mailbox.domain_id)
        | Q(mailbox=mailbox),
    ).select_related("organisation", "domain")
    rows: dict[LayerKey, list[RetentionRule]] = {}
    for rule in rules:
        rows.setdefault(_layer_key(rule, mailbox), []).append(rule)
    found = {key: layer(of_layer) for key, of_layer in rows.items()}
    if trial is not None:
        found[trial.key] = trial.layer
    if mailbox.former_policy_id is not None:
        former = found.pop(_FORMER, _NO_PLAN)
        found[_PLAN] = policy.safer(former, found.get(_PLAN, _NO_PLAN))
    order = [
        _PLAN,
        *(("organisation", pk) for pk in lineage),
        ("domain", mailbox.domain_id),
        ("mailbox", mailbox.pk),
    ]
    return [found[key] for key in order if key in found]


def policy_of(mailbox: Mailbox) -> RetentionPolicy:
    """The policy that came with what was bought."""
    return mailbox.retention_policy or RetentionPolicy.objects.get(slug=mailbox.protocol)


def under_plan(mailbox: Mailbox, *, plan: RetentionPolicy, protocol: str) -> Mailbox:
    """The mailbox as it would be under another policy alone; not to be saved."""
    moved = copy.copy(mailbox)
    moved.retention_policy, moved.former_policy, moved.protocol = plan, None, protocol
    return moved


def version(layers: Sequence[policy.Layer]) -> str:
    """A digest of what the rules say; receipts name the rules by it."""
    text = json.dumps(described(layers), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def described(layers: Sequence[policy.Layer]) -> list[dict[str, Any]]:
    """The rules as JSON values, in the order in which they are weighed."""
    return [
        {
            "layer": layer.name,
            "folder": rule.folder,
            "counted_from": rule.counted_from.value,
            "days": rule.days,
            "floor_days": rule.floor_days,
            "ceiling_days": rule.ceiling_days,
        }
        for layer in layers
        for rule in sorted(layer.rules, key=lambda rule: rule.folder)
    ]


def outlook(
    *,
    mailbox: Mailbox,
    engine: Engine,
    until: datetime,
    layers: Sequence[policy.Layer] | None = None,
    forgets: bool = False,
) -> list[FolderOutlook]:
    """What goes from each folder until a moment. A purge asks with `until` now, a preview later.

    `layers` are those of the mailbox unless others are to be tried out. `forgets` has nothing
    count as fetched so far.
    """
    chosen = layers_of(mailbox) if layers is None else layers
    spares = _spares_unfetched(mailbox) or _counts_downloads(chosen)
    marks = _retrieved_at(mailbox) if spares and not forgets else {}
    return [
        _folder_outlook(
            mailbox,
            engine,
            state=state,
            until=until,
            marks=marks,
            decision=decide(mailbox, state.folder, chosen),
        )
        for state in engine.folder_states(user=mailbox.address)
    ]


def next_due(outlooks: Iterable[FolderOutlook], *, at: datetime) -> datetime:
    """When the mailbox must be looked at again."""
    return min((o.next_at for o in outlooks if o.next_at is not None), default=at + _FAR)


def explain(
    *, mailbox: Mailbox, engine: Engine, folder: str, uid: int, at: datetime
) -> tuple[datetime | None, str]:
    """When one message goes, or None for never, and the reason in a sentence."""
    decision = decide(mailbox, folder, layers_of(mailbox))
    if decision.age is None:
        return None, decision.sentence
    for found in outlook(mailbox=mailbox, engine=engine, until=at + _FAR * 2):
        for fate in found.fates if found.folder == folder else ():
            if fate.message.uid == uid:
                return fate.goes_at, f"Goes on {fate.goes_at:%-d %B %Y}. {decision.sentence}"
    return None, "No program has fetched this message yet, so it stays whatever its age."


def note_retrieved(*, mailbox: Mailbox, engine: Engine, at: datetime) -> int:
    """Remember which messages of the inbox were fetched by now; returns how many are new.

    Only where seen means fetched: in a POP mailbox, once a switch to it is through. In an IMAP
    mailbox a person has read what is seen, and no program may have a copy.
    """
    before = _switches(mailbox)
    if not _is_seen_fetched(mailbox):
        return 0
    validity = _inbox_validity(mailbox, engine)
    found = engine.messages(user=mailbox.address, folder="INBOX", retrieved=True)
    with transaction.atomic():
        # One worker at a time, or both would note the same messages.
        locked = Mailbox.objects.select_for_update().get(pk=mailbox.pk)
        if not _is_seen_fetched(locked) or _switches(mailbox) != before:
            return 0
        known = _retrieved_at(mailbox).get(validity, {})
        new = [message.uid for message in found if message.uid not in known]
        if new:
            Retrieval.objects.create(
                mailbox=mailbox, uidvalidity=validity, uids=uid_set(new), at=at
            )
            Mailbox.objects.filter(pk=mailbox.pk).update(retention_due_at=None)
    return len(new)


def forget_retrieved(mailbox: Mailbox) -> None:
    """From here on nothing counts as fetched until a program fetches it."""
    Retrieval.objects.filter(mailbox=mailbox).delete()


def fetched(*, mailbox: Mailbox, engine: Engine) -> frozenset[int]:
    """The uids of the inbox that were noted as fetched."""
    validity = _inbox_validity(mailbox, engine)
    return frozenset(_retrieved_at(mailbox).get(validity, {}))


def _inbox_validity(mailbox: Mailbox, engine: Engine) -> int:
    states = engine.folder_states(user=mailbox.address)
    return next((s.uidvalidity for s in states if s.folder == "INBOX"), 0)


def _is_seen_fetched(mailbox: Mailbox) -> bool:
    fresh = Mailbox.objects.filter(pk=mailbox.pk, protocol=Mailbox.Protocol.POP)
    return fresh.exists() and not ProtocolSwitch.objects.open().filter(mailbox=mailbox).exists()


def _switches(mailbox: Mailbox) -> int:
    return ProtocolSwitch.objects.filter(mailbox=mailbox).count()


def decide(mailbox: Mailbox, folder: str, layers: Sequence[policy.Layer]) -> policy.Decision:
    """What layers say of a folder of this mailbox."""
    spares = folder == "INBOX" and _spares_unfetched(mailbox)
    return policy.decide(folder=folder, layers=layers, only_fetched=spares)


def _spares_unfetched(mailbox: Mailbox) -> bool:
    """What nobody fetched from a POP mailbox exists nowhere else.

    Until a change of plan has cooled off the same is held of any: it may have been one.
    """
    return not mailbox.is_imap or mailbox.former_policy_id is not None


def _folder_outlook(
    mailbox: Mailbox,
    engine: Engine,
    *,
    state: FolderState,
    decision: policy.Decision,
    until: datetime,
    marks: Marks,
) -> FolderOutlook:
    if decision.age is None:
        return FolderOutlook(state=state, decision=decision, fates=(), next_at=None)
    if decision.counted_from is policy.CountedFrom.DOWNLOAD:
        fates = _fetched_fates(mailbox, engine, state=state, age=decision.age, marks=marks)
        next_at = min((fate.goes_at for fate in fates), default=None)
    else:
        oldest = state.first_saved_at
        next_at = (until if oldest is None else oldest) + decision.age
        is_due = oldest is not None and next_at <= until
        fates = _aged_fates(mailbox, engine, state, decision.age, until) if is_due else []
    going = tuple(fate for fate in fates if fate.goes_at <= until)
    return FolderOutlook(state=state, decision=decision, fates=going, next_at=next_at)


def _aged_fates(
    mailbox: Mailbox, engine: Engine, state: FolderState, age: timedelta, until: datetime
) -> list[Fate]:
    # Dovecot knows whole seconds, and leaves out those of the moment itself.
    before = until - age + timedelta(seconds=1)
    found = engine.messages(user=mailbox.address, folder=state.folder, saved_before=before)
    return [Fate(message=message, goes_at=message.saved_at + age) for message in found]


def _fetched_fates(
    mailbox: Mailbox,
    engine: Engine,
    *,
    state: FolderState,
    age: timedelta,
    marks: Marks,
) -> list[Fate]:
    # In a folder that was made anew, the same uids mean other mail.
    noted = marks.get(state.uidvalidity)
    if not noted or not state.messages:
        return []
    found = engine.messages(user=mailbox.address, folder=state.folder, retrieved=True)
    return [
        Fate(message=message, goes_at=noted[message.uid] + age)
        for message in found
        if message.uid in noted
    ]


def _retrieved_at(mailbox: Mailbox) -> Marks:
    marks: Marks = {}
    for noted in Retrieval.objects.filter(mailbox=mailbox).order_by("-at"):
        of_folder = marks.setdefault(noted.uidvalidity, {})
        of_folder.update(dict.fromkeys(uids_of(noted.uids), noted.at))
    return marks


def _counts_downloads(layers: Sequence[policy.Layer]) -> bool:
    return any(
        rule.counted_from is policy.CountedFrom.DOWNLOAD for layer in layers for rule in layer.rules
    )


def _plan_rules(mailbox: Mailbox) -> Q:
    named = [pk for pk in (mailbox.retention_policy_id, mailbox.former_policy_id) if pk is not None]
    chosen = Q(policy__in=named)
    return chosen if mailbox.retention_policy_id else chosen | Q(policy__slug=mailbox.protocol)


def _layer_key(rule: RetentionRule, mailbox: Mailbox) -> LayerKey:
    if rule.organisation_id is not None:
        return "organisation", rule.organisation_id
    if rule.domain_id is not None:
        return "domain", rule.domain_id
    if rule.mailbox_id is not None:
        return "mailbox", rule.mailbox_id
    return _FORMER if rule.policy_id == mailbox.former_policy_id else _PLAN


def layer(rows: list[RetentionRule]) -> policy.Layer:
    first = rows[0]
    owner = first.organisation or first.domain
    name = str(owner) if owner else (MAILBOX if first.mailbox_id else PLAN)
    return policy.Layer(name=name, rules=tuple(row.as_rule for row in rows))
