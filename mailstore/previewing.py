"""What rules remove, counted over one mailbox or many: by the code that also purges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mailstore import holding, planning, policy, retention, rules
from mailstore.engine import Engine, StoredMessage
from mailstore.models import Mailbox, RetentionPolicy
from mailstore.retention import FolderOutlook

# How far a preview looks ahead unless somebody says otherwise, and at most.
HORIZON_DAYS, LONGEST_HORIZON_DAYS = 60, 400
# So many mailboxes are asked while a person waits.
MOST_ASKED = 200
_TOGETHER = 50


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

    def take(self, found: FolderOutlook, *, is_stopped: bool) -> None:
        """Count one mailbox's folder in; what is held or frozen stays."""
        self.sentences.add(found.decision.sentence)
        self.messages += found.state.messages
        for fate in () if is_stopped else found.fates:
            self._take(fate.message, goes_at=fate.goes_at)

    def take_stored(self, messages: Sequence[StoredMessage], *, kept: int, at: datetime) -> None:
        """Count what goes for good at a moment, of `kept` messages of the recoverable store."""
        self.messages += kept
        for message in messages:
            self._take(message, goes_at=at)

    def _take(self, message: StoredMessage, *, goes_at: datetime) -> None:
        self.going += 1
        self.going_bytes += message.bytes
        self.oldest = min(self.oldest or message.saved_at, message.saved_at)
        self.newest = max(self.newest or message.saved_at, message.saved_at)
        day = goes_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.days[day] = self.days.get(day, 0) + 1

    @property
    def sentence(self) -> str:
        """The one reason, or nothing where mailboxes differ."""
        return next(iter(self.sentences)) if len(self.sentences) == 1 else ""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What goes until a moment. `looked_at` of `mailboxes` were counted.

    Of these, `stopped` are held or frozen, so nothing goes from them whatever the rules say.
    """

    mailboxes: int
    looked_at: int
    folders: Sequence[FolderPreview]
    # How much goes from each mailbox, by its key.
    bytes_of: Mapping[int, int]
    stopped: int = 0

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
    trial: retention.Trial | None = None,
    most: int | None = None,
) -> Preview:
    """Count what goes from the mailboxes under a target, as `rules.trial` has it if given.

    `most` bounds how many mailboxes are asked; None asks all of them. Raises `EngineError`.
    """
    folders: dict[str, FolderPreview] = {}
    bytes_of: dict[int, int] = {}
    looked_at = stopped = 0
    for mailbox, is_stopped, outlooks in outlooks_under(
        target, trial=trial, engine=engine, until=until, most=most
    ):
        looked_at += 1
        stopped += is_stopped
        for found in outlooks:
            name = found.folder
            folders.setdefault(name, FolderPreview(folder=name)).take(found, is_stopped=is_stopped)
        bytes_of[mailbox.pk] = 0 if is_stopped else sum(found.bytes for found in outlooks)
    is_whole = most is None or looked_at < most
    return Preview(
        mailboxes=looked_at if is_whole else rules.mailboxes_under(target).count(),
        looked_at=looked_at,
        folders=_in_order(folders.values()),
        bytes_of=bytes_of,
        stopped=stopped,
    )


def outlooks_under(
    target: rules.Target,
    *,
    trial: retention.Trial | None,
    engine: Engine,
    until: datetime,
    most: int | None,
) -> Iterator[tuple[Mailbox, bool, list[FolderOutlook]]]:
    """Each mailbox below, whether it is held or frozen, and what the rules let go.

    Fifty are asked in a request; who cannot be told of together is asked alone.
    """
    under = rules.mailboxes_under(target).select_related("organisation__parent", "domain")
    keys = list(under.order_by("pk").values_list("pk", flat=True)[:most])
    for start in range(0, len(keys), _TOGETHER):
        some = list(under.filter(pk__in=keys[start : start + _TOGETHER]).order_by("pk"))
        held = set(holding.held().filter(pk__in=[each.pk for each in some]).values_list("pk"))
        layers = retention.layers_of_each(some, trial=trial)
        told: dict[int, list[FolderOutlook]] = {}
        for found in retention.outlook_each(
            mailboxes=some, engine=engine, until=until, layers=layers
        ):
            told |= found
        for mailbox in some:
            outlooks = told.get(mailbox.pk)
            if outlooks is None:
                outlooks = retention.outlook(
                    mailbox=mailbox, engine=engine, until=until, layers=layers[mailbox.pk]
                )
            yield mailbox, (mailbox.pk,) in held or mailbox.frozen_at is not None, outlooks


def of_window(*, mailbox: Mailbox, window_days: int, engine: Engine, at: datetime) -> Preview:
    """Count what would go for good from the recoverable store by another window at a moment.

    Raises `EngineError`.
    """
    looked = planning.older_than(mailbox, window_days=window_days, engine=engine, at=at)
    is_stopped = mailbox.frozen_at is not None or holding.held().filter(pk=mailbox.pk).exists()
    folders = [FolderPreview(folder=state.folder) for state, _messages in looked]
    for folder, (state, messages) in zip(folders, looked, strict=True):
        folder.take_stored(() if is_stopped else messages, kept=state.messages, at=at)
    return Preview(
        mailboxes=1,
        looked_at=1,
        folders=_in_order(folders),
        bytes_of={mailbox.pk: sum(folder.going_bytes for folder in folders)},
        stopped=int(is_stopped),
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
    return of_outlooks(mailbox, outlooks, is_stopped=False)


def of_outlooks(
    mailbox: Mailbox, outlooks: Iterable[FolderOutlook], *, is_stopped: bool
) -> Preview:
    """What goes from one mailbox that was looked at already."""
    folders: dict[str, FolderPreview] = {}
    for found in outlooks:
        name = found.folder
        folders.setdefault(name, FolderPreview(folder=name)).take(found, is_stopped=is_stopped)
    return Preview(
        mailboxes=1,
        looked_at=1,
        folders=_in_order(folders.values()),
        bytes_of={mailbox.pk: sum(folder.going_bytes for folder in folders.values())},
        stopped=int(is_stopped),
    )


def _in_order(folders: Iterable[FolderPreview]) -> list[FolderPreview]:
    order = list(policy.SPECIAL_USES)
    return sorted(
        folders,
        key=lambda f: (order.index(f.folder) if f.folder in order else len(order), f.folder),
    )
