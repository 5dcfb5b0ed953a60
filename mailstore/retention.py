"""When mail goes: the rules that hold for a mailbox, and what they mean for each message."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from mailstore import policy, retrievals
from mailstore.engine import (
    Engine,
    FolderState,
    MessageSearch,
    StoredMessage,
    looking,
)
from mailstore.models import (
    Mailbox,
    RetentionPolicy,
    RetentionRule,
)

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


# Which layer: `policy`, `organisation`, `domain` or `mailbox`, and the key of its row; or a plan
# that is on trial.
LayerKey = tuple[str, int]
_PLAN: LayerKey = ("plan", 0)
_NO_PLAN = policy.Layer(name=PLAN, rules=())


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A layer as it would be, to stand where one is or where none is yet."""

    key: LayerKey
    layer: policy.Layer


def layers_of(mailbox: Mailbox, *, trial: Trial | None = None) -> list[policy.Layer]:
    """Everything that speaks of a mailbox, from the general to the particular. One query."""
    return layers_of_each([mailbox], trial=trial)[mailbox.pk]


def layers_of_each(
    mailboxes: Sequence[Mailbox], *, trial: Trial | None = None
) -> dict[int, list[policy.Layer]]:
    """The same for many, by their keys, and in one query still."""
    speaking = RetentionRule.objects.filter(_speaks_of(mailboxes))
    rows: dict[LayerKey, list[RetentionRule]] = {}
    plans: dict[str, int] = {}
    for rule in speaking.select_related("organisation", "domain", "policy"):
        rows.setdefault(_layer_key(rule), []).append(rule)
        if rule.policy is not None:
            plans[rule.policy.slug] = rule.policy.pk
    found = {key: layer(of_layer) for key, of_layer in rows.items()}
    if trial is not None:
        found[trial.key] = trial.layer
    return {mailbox.pk: _weighed(mailbox, found, plans) for mailbox in mailboxes}


def policy_of(mailbox: Mailbox) -> RetentionPolicy:
    """The policy that came with what was bought."""
    return mailbox.retention_policy or RetentionPolicy.objects.get(slug=mailbox.protocol)


def under_plan(mailbox: Mailbox, *, plan: RetentionPolicy, protocol: str) -> Mailbox:
    """The mailbox as it would be under another policy alone; not to be saved."""
    moved = copy.copy(mailbox)
    moved.retention_policy, moved.former_policy, moved.protocol = plan, None, protocol
    return moved


def version(mailbox: Mailbox, layers: Sequence[policy.Layer]) -> str:
    """A digest of what the rules say of a mailbox; receipts name the rules by it."""
    rules = {"rules": described(layers), "only_fetched": _spares_unfetched(mailbox)}
    text = json.dumps(rules, sort_keys=True)
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
    only: Mapping[str, Sequence[int]] | None = None,
) -> list[FolderOutlook]:
    """What goes from each folder until a moment. A purge asks with `until` now, a preview later.

    `layers` are those of the mailbox unless others are to be tried out. `forgets` has nothing
    count as fetched so far. `only` narrows to messages by folder and uid.
    """
    chosen = layers_of(mailbox) if layers is None else layers
    marked = [] if forgets or not _needs_marks(mailbox, chosen) else [mailbox]
    marks = retrievals.noted_each(marked).get(mailbox.pk, {})
    case = _Case(mailbox=mailbox, layers=chosen, marks=marks, until=until, only=only)
    return case.outlooks(looking.look(engine=engine, user=mailbox.address, choose=case.choose))


def outlook_each(
    *,
    mailboxes: Sequence[Mailbox],
    engine: Engine,
    until: datetime,
    layers: Mapping[int, Sequence[policy.Layer]],
) -> Iterator[dict[int, list[FolderOutlook]]]:
    """The same for many, by their keys, some at a time; those it cannot tell are left out."""
    needing = [mailbox for mailbox in mailboxes if _needs_marks(mailbox, layers[mailbox.pk])]
    marks = retrievals.noted_each(needing)
    cases = {
        mailbox.address: _Case(
            mailbox=mailbox,
            layers=layers[mailbox.pk],
            marks=marks.get(mailbox.pk, {}),
            until=until,
        )
        for mailbox in mailboxes
    }
    choices = {user: case.choose for user, case in cases.items()}
    for looked in looking.look_each(engine=engine, choices=choices):
        yield {cases[user].mailbox.pk: cases[user].outlooks(of) for user, of in looked.items()}


def decide(mailbox: Mailbox, folder: str, layers: Sequence[policy.Layer]) -> policy.Decision:
    """What layers say of a folder of this mailbox."""
    spares = folder == "INBOX" and _spares_unfetched(mailbox)
    return policy.decide(folder=folder, layers=layers, only_fetched=spares)


def _spares_unfetched(mailbox: Mailbox) -> bool:
    """What nobody fetched from a POP mailbox exists nowhere else.

    Until a change of plan has cooled off the same is held of any: it may have been one.
    """
    return not mailbox.is_imap or mailbox.former_policy_id is not None


@dataclass(frozen=True, kw_only=True)
class _Case:
    """All that decides over a mailbox's mail until a moment, but for the mail itself."""

    mailbox: Mailbox
    layers: Sequence[policy.Layer]
    marks: retrievals.Marks
    until: datetime
    only: Mapping[str, Sequence[int]] | None = None

    def choose(self, state: FolderState) -> MessageSearch | None:
        """Which messages of a folder may go; None if none can."""
        decision = self._decision(state)
        uids = None if self.only is None else self.only.get(state.folder, ())
        search = MessageSearch(user=self.mailbox.address, folder=state.folder, uids=uids)
        if decision.age is None or uids == ():
            return None
        if decision.counted_from is policy.CountedFrom.DOWNLOAD:
            is_noted = bool(self._noted(state) and state.messages)
            return replace(search, retrieved=True) if is_noted else None
        oldest = state.first_saved_at
        if oldest is None or oldest + decision.age > self.until:
            return None
        # Dovecot knows whole seconds, and leaves out those of the moment itself.
        return replace(search, saved_before=self.until - decision.age + timedelta(seconds=1))

    def outlooks(self, looked: looking.Looked) -> list[FolderOutlook]:
        """What goes, once the messages are known."""
        return [self._outlook(state, found) for state, found in looked]

    def _outlook(self, state: FolderState, found: Sequence[StoredMessage]) -> FolderOutlook:
        decision = self._decision(state)
        if decision.age is None:
            return FolderOutlook(state=state, decision=decision, fates=(), next_at=None)
        if decision.counted_from is policy.CountedFrom.DOWNLOAD:
            fates = _fetched_fates(found, decision.age, self._noted(state))
            next_at = min((fate.goes_at for fate in fates), default=None)
        else:
            fates = [Fate(message=one, goes_at=one.saved_at + decision.age) for one in found]
            next_at = (state.first_saved_at or self.until) + decision.age
        going = tuple(fate for fate in fates if fate.goes_at <= self.until)
        return FolderOutlook(state=state, decision=decision, fates=going, next_at=next_at)

    def _decision(self, state: FolderState) -> policy.Decision:
        return decide(self.mailbox, state.folder, self.layers)

    def _noted(self, state: FolderState) -> Mapping[int, datetime]:
        # In a folder that was made anew, the same uids mean other mail.
        return self.marks.get(state.uidvalidity, {})


def _fetched_fates(
    found: Iterable[StoredMessage], age: timedelta, noted: Mapping[int, datetime]
) -> list[Fate]:
    return [Fate(message=one, goes_at=noted[one.uid] + age) for one in found if one.uid in noted]


def _needs_marks(mailbox: Mailbox, layers: Sequence[policy.Layer]) -> bool:
    return _spares_unfetched(mailbox) or _counts_downloads(layers)


def _counts_downloads(layers: Sequence[policy.Layer]) -> bool:
    return any(
        rule.counted_from is policy.CountedFrom.DOWNLOAD for layer in layers for rule in layer.rules
    )


def _speaks_of(mailboxes: Sequence[Mailbox]) -> Q:
    """Rules of any layer of these mailboxes."""
    named = {pk for m in mailboxes for pk in (m.retention_policy_id, m.former_policy_id) if pk}
    by_protocol = {m.protocol for m in mailboxes if m.retention_policy_id is None}
    return (
        Q(policy__in=named)
        | Q(policy__slug__in=by_protocol)
        | Q(organisation__in={pk for m in mailboxes for pk in m.organisation.lineage})
        | Q(domain__in={m.domain_id for m in mailboxes})
        | Q(mailbox__in=[m.pk for m in mailboxes])
    )


def _layer_key(rule: RetentionRule) -> LayerKey:
    if rule.organisation_id is not None:
        return "organisation", rule.organisation_id
    if rule.domain_id is not None:
        return "domain", rule.domain_id
    if rule.mailbox_id is not None:
        return "mailbox", rule.mailbox_id
    return "policy", rule.policy_id or 0


def _weighed(
    mailbox: Mailbox, found: Mapping[LayerKey, policy.Layer], plans: Mapping[str, int]
) -> list[policy.Layer]:
    """The layers of one mailbox; `plans` has the keys of the policies by their short names."""
    plan_id = mailbox.retention_policy_id or plans.get(mailbox.protocol, 0)
    plan = found.get(_PLAN) or found.get(("policy", plan_id))
    if mailbox.former_policy_id is not None:
        former = found.get(("policy", mailbox.former_policy_id), _NO_PLAN)
        plan = policy.safer(former, plan or _NO_PLAN)
    order = [
        *(("organisation", pk) for pk in mailbox.organisation.lineage[::-1]),
        ("domain", mailbox.domain_id),
        ("mailbox", mailbox.pk),
    ]
    below = [found[key] for key in order if key in found]
    return below if plan is None else [plan, *below]


def layer(rows: list[RetentionRule]) -> policy.Layer:
    first = rows[0]
    owner = first.organisation or first.domain
    name = str(owner) if owner else (MAILBOX if first.mailbox_id else PLAN)
    return policy.Layer(name=name, rules=tuple(row.as_rule for row in rows))
