"""What rules remove, counted over one mailbox or many: by the code that also purges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mailstore import policy, retention, rules
from mailstore.engine import Engine
from mailstore.models import Mailbox, RetentionPolicy
from mailstore.retention import Fate, FolderOutlook

# A rule that leaves nothing of so many mailboxes is refused without asking the others.
_MOST_ASKED = 500


@dataclass(kw_only=True)
class FolderPreview:
    """One folder's name in all mailboxes that were looked at. Sizes are bytes."""

    folder: str
    # Why, as long as all mailboxes give the same reason.
    sentences: set[str] = field(default_factory=set)
    messages: int = 0
    going: int = 0
    going_bytes: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    # The day on which a batch goes, and how many messages it has.
    days: dict[datetime, int] = field(default_factory=dict)

    def take(self, found: FolderOutlook) -> None:
        """Count one mailbox's folder in."""
        self.sentences.add(found.decision.sentence)
        self.messages += found.state.messages
        self.going += len(found.fates)
        self.going_bytes += found.bytes
        for fate in found.fates:
            self._take(fate)

    def _take(self, fate: Fate) -> None:
        saved_at = fate.message.saved_at
        self.oldest = min(self.oldest or saved_at, saved_at)
        self.newest = max(self.newest or saved_at, saved_at)
        day = fate.goes_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.days[day] = self.days.get(day, 0) + 1

    @property
    def sentence(self) -> str:
        """The one reason, or nothing where mailboxes differ."""
        return next(iter(self.sentences)) if len(self.sentences) == 1 else ""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What goes until a moment. `looked_at` of `mailboxes` were counted."""

    mailboxes: int
    looked_at: int
    folders: Sequence[FolderPreview]
    # How much goes from each mailbox, by its key.
    bytes_of: Mapping[int, int]

    @property
    def going(self) -> int:
        """Messages that go, in all folders."""
        return sum(folder.going for folder in self.folders)

    @property
    def going_bytes(self) -> int:
        """Their size."""
        return sum(folder.going_bytes for folder in self.folders)


def preview(
    *,
    target: rules.Target,
    engine: Engine,
    until: datetime,
    rule: policy.Rule | None = None,
    most: int | None = None,
) -> Preview:
    """Count what goes from the mailboxes under a target, with a rule on trial if there is one.

    `most` bounds how many mailboxes are asked; None asks all of them. Raises `EngineError`.
    """
    under = rules.mailboxes_under(target)
    trial = None if rule is None else rules.trial(target=target, rule=rule)
    chosen = under.select_related("organisation__parent", "domain").order_by("pk")[:most]
    folders: dict[str, FolderPreview] = {}
    bytes_of: dict[int, int] = {}
    looked_at = 0
    for mailbox in chosen.iterator():
        looked_at += 1
        layers = retention.layers_of(mailbox, trial=trial)
        for found in retention.outlook(mailbox=mailbox, engine=engine, until=until, layers=layers):
            name = found.folder
            folders.setdefault(name, FolderPreview(folder=name)).take(found)
            bytes_of[mailbox.pk] = bytes_of.get(mailbox.pk, 0) + found.bytes
    return Preview(
        mailboxes=looked_at if most is None or looked_at < most else under.count(),
        looked_at=looked_at,
        folders=_in_order(folders.values()),
        bytes_of=bytes_of,
    )


def under_plan(
    *,
    mailbox: Mailbox,
    plan: RetentionPolicy,
    protocol: str,
    engine: Engine,
    until: datetime,
    forgets: bool,
) -> Preview:
    """Count what would go from one mailbox under another plan, and nothing else.

    `forgets` has nothing count as fetched so far. Raises `EngineError`.
    """
    moved = retention.under_plan(mailbox, plan=plan, protocol=protocol)
    outlooks = retention.outlook(mailbox=moved, engine=engine, until=until, forgets=forgets)
    folders: dict[str, FolderPreview] = {}
    for found in outlooks:
        folders.setdefault(found.folder, FolderPreview(folder=found.folder)).take(found)
    return Preview(
        mailboxes=1,
        looked_at=1,
        folders=_in_order(folders.values()),
        bytes_of={mailbox.pk: sum(found.bytes for found in outlooks)},
    )


def check_rule(*, target: rules.Target, rule: policy.Rule, engine: Engine, at: datetime) -> None:
    """Raise `policy.RuleRefused` unless this rule can be set here.

    Beyond what `rules.check_bounds` says, a mailbox must have the folder, and no rule may take
    away all that there is: mailboxes are asked until one of them keeps something, 500 at most.
    """
    rules.check_bounds(target=target, rule=rule)
    trial = rules.trial(target=target, rule=rule)
    going = 0
    under = rules.mailboxes_under(target).select_related("organisation__parent", "domain")
    for mailbox in under.order_by("pk")[:_MOST_ASKED].iterator():
        layers = retention.layers_of(mailbox, trial=trial)
        outlooks = retention.outlook(mailbox=mailbox, engine=engine, until=at, layers=layers)
        if isinstance(target, Mailbox):
            _must_know(rule.folder, mailbox, outlooks)
        stored = sum(found.state.messages for found in outlooks)
        going += sum(len(found.fates) for found in outlooks)
        if stored > sum(len(found.fates) for found in outlooks):
            return
    if going:
        message = (
            f"This would remove all {going} messages of {target} at once. "
            "Choose more days, or remove the messages yourself."
        )
        raise rules.WouldRemoveEverything(message)


def _must_know(folder: str, mailbox: Mailbox, outlooks: Iterable[FolderOutlook]) -> None:
    names = sorted(found.folder for found in outlooks)
    uses = policy.SPECIAL_USES
    if folder not in {policy.EVERY_FOLDER, *names, *uses, *uses.values()}:
        message = f"{mailbox} has no folder {folder}. It has {', '.join(names) or 'none yet'}."
        raise policy.RuleRefused(message)


def _in_order(folders: Iterable[FolderPreview]) -> list[FolderPreview]:
    order = list(policy.SPECIAL_USES)
    return sorted(
        folders,
        key=lambda f: (order.index(f.folder) if f.folder in order else len(order), f.folder),
    )
