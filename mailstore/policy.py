"""Which rule applies to a folder, and why. Pure: rules and folders come in as plain values.

Layers speak from the general to the particular: plan, organisations from the top of the
tree, domain, mailbox. The last one that has a rule for the folder decides, within the
bounds that layers before it set. In one layer a rule that names the folder goes before one
for its special use, and that before one for all folders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

EVERY_FOLDER = "*"
INBOX_USE = "\\Inbox"
# Dovecot gives these names their special use (RFC 6154); the configuration says so.
SPECIAL_USES = {
    "INBOX": INBOX_USE,
    "Sent": "\\Sent",
    "Drafts": "\\Drafts",
    "Junk": "\\Junk",
    "Trash": "\\Trash",
    "Archive": "\\Archive",
}
_PASSING_USES = frozenset({"\\Junk", "\\Trash"})

LONGEST_DAYS = 3650
# Nobody sets less than this by age alone: mail that was never looked at needs a month.
_LEAST_DAYS = 30
_LEAST_DAYS_WHERE_PASSING = 1


class CountedFrom(StrEnum):
    """The moment from which a message's days are counted."""

    ARRIVAL = "arrival"
    DOWNLOAD = "download"


class RuleRefused(Exception):
    """A rule that the house or a layer above does not allow; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """After how many days mail goes, or None for never; and bounds for the layers below."""

    folder: str
    counted_from: CountedFrom
    days: int | None
    floor_days: int | None = None
    ceiling_days: int | None = None


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Rules that one authority set; `name` stands in sentences: `the plan`, `Alder Books`."""

    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What holds for a folder. `sentence` says it to a person, with the reason."""

    folder: str
    days: int | None
    counted_from: CountedFrom
    sentence: str

    @property
    def age(self) -> timedelta | None:
        """How old mail gets here."""
        return None if self.days is None else timedelta(days=self.days)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The least and the most days, and who asks for each."""

    floor_days: int = 0
    floor_by: str = ""
    ceiling_days: int | None = None
    ceiling_by: str = ""

    def narrowed(self, rule: Rule, *, by: str) -> Bounds:
        """These bounds and those that a rule adds."""
        floor_days, floor_by = self.floor_days, self.floor_by
        ceiling_days, ceiling_by = self.ceiling_days, self.ceiling_by
        if rule.floor_days is not None and rule.floor_days > floor_days:
            floor_days, floor_by = rule.floor_days, by
        if rule.ceiling_days is not None and (
            ceiling_days is None or rule.ceiling_days < ceiling_days
        ):
            ceiling_days, ceiling_by = rule.ceiling_days, by
        return Bounds(
            floor_days=floor_days,
            floor_by=floor_by,
            ceiling_days=ceiling_days,
            ceiling_by=ceiling_by,
        )

    def are_less_safe_than(self, other: Bounds) -> bool:
        """Whether mail below can go sooner within these than within the others."""
        if self.floor_days < other.floor_days:
            return True
        mine, theirs = self.ceiling_days, other.ceiling_days
        return mine is not None and (theirs is None or mine < theirs)

    def clamp(self, days: int | None) -> tuple[int | None, str]:
        """The days within the bounds, and who moved them or nobody. Safety goes first."""
        if days is not None and days < self.floor_days:
            return self.floor_days, self.floor_by
        if self.ceiling_days is not None and (days is None or days > self.ceiling_days):
            return max(self.ceiling_days, self.floor_days), self.ceiling_by
        return days, ""


def decide(*, folder: str, layers: Sequence[Layer], only_fetched: bool = False) -> Decision:
    """The one rule that applies to a folder.

    With `only_fetched`, days count from the download whatever the rule says: what nobody has
    fetched from a POP mailbox exists nowhere else.
    """
    decision = Decision(
        folder=folder,
        days=None,
        counted_from=CountedFrom.ARRIVAL,
        sentence=f"Nothing is removed from {folder}: no rule speaks of it.",
    )
    bounds = Bounds()
    for layer in layers:
        rule = _best(folder, layer.rules)
        if rule is None:
            continue
        if only_fetched:
            rule = replace(rule, counted_from=CountedFrom.DOWNLOAD)
        days, moved_by = bounds.clamp(rule.days)
        decision = Decision(
            folder=folder,
            days=days,
            counted_from=rule.counted_from,
            sentence=_sentence(folder, rule, days=days, layer=layer, moved_by=moved_by),
        )
        bounds = bounds.narrowed(rule, by=layer.name)
    return decision


def own_bounds(*, folder: str, layer: Layer) -> Bounds:
    """What one layer asks of those below it for a folder."""
    rule = _best(folder, layer.rules)
    return Bounds() if rule is None else Bounds().narrowed(rule, by=layer.name)


def safer(one: Layer, other: Layer) -> Layer:
    """A layer by which nothing goes sooner than by either of two; it is called like the second.

    A folder of which only one of them speaks is kept: by the other nothing is removed from it.
    """
    targets = dict.fromkeys(rule.folder for rule in (*one.rules, *other.rules))
    rules = tuple(
        _later(target, _best(target, one.rules), _best(target, other.rules)) for target in targets
    )
    return Layer(name=other.name, rules=rules)


def check(rule: Rule, *, above: Sequence[Layer]) -> None:
    """Raise `RuleRefused` unless the rule may stand below these layers."""
    _check_values(rule)
    least = least_days(rule)
    if rule.days is not None and rule.days < least:
        message = f"Mail here stays at least {_days(least)}; {_days(rule.days)} would be too few."
        raise RuleRefused(message)
    bounds = Bounds()
    for layer in above:
        for upper in _overlapping(rule.folder, layer.rules):
            bounds = bounds.narrowed(upper, by=layer.name)
    if rule.days is not None and rule.days < bounds.floor_days:
        message = f"{bounds.floor_by} asks for at least {_days(bounds.floor_days)} here."
        raise RuleRefused(message.capitalize() if message.startswith("the ") else message)
    ceiling = bounds.ceiling_days
    if ceiling is not None and (rule.days is None or rule.days > ceiling):
        message = f"{bounds.ceiling_by} allows at most {_days(ceiling)} here."
        raise RuleRefused(message.capitalize() if message.startswith("the ") else message)


def least_days(rule: Rule) -> int:
    """The house's own floor: passing folders and fetched copies may go after a day."""
    if (
        rule.folder in _PASSING_USES
        or is_passing(rule.folder)
        or rule.counted_from is CountedFrom.DOWNLOAD
    ):
        return _LEAST_DAYS_WHERE_PASSING
    return _LEAST_DAYS


def special_use(folder: str) -> str:
    """The special use of a folder's name, or nothing."""
    return SPECIAL_USES.get(folder, "")


def is_passing(folder: str) -> bool:
    """Whether mail in a folder of this name is on its way out."""
    return special_use(folder) in _PASSING_USES


def _check_values(rule: Rule) -> None:
    if not rule.folder or len(rule.folder) > 255 or not rule.folder.isprintable():  # noqa: PLR2004
        message = "A folder's name has 1 to 255 printable characters."
        raise RuleRefused(message)
    if rule.folder.startswith("\\") and rule.folder not in SPECIAL_USES.values():
        message = f"{rule.folder} is no special use. Known: {', '.join(SPECIAL_USES.values())}."
        raise RuleRefused(message)
    for days in (rule.days, rule.floor_days, rule.ceiling_days):
        if days is not None and not 1 <= days <= LONGEST_DAYS:
            message = f"Days are a whole number from 1 to {LONGEST_DAYS}, not {days}."
            raise RuleRefused(message)
    _check_own_bounds(rule)
    if rule.counted_from is CountedFrom.DOWNLOAD and rule.folder not in {INBOX_USE, "INBOX"}:
        message = "Only the inbox counts from when a program fetched a message."
        raise RuleRefused(message)


def _check_own_bounds(rule: Rule) -> None:
    """What a rule asks of those below it holds for itself as well."""
    if rule.floor_days and rule.ceiling_days and rule.floor_days > rule.ceiling_days:
        message = "The least number of days cannot be above the highest."
        raise RuleRefused(message)
    if rule.floor_days and rule.days is not None and rule.days < rule.floor_days:
        message = f"{_days(rule.days)} would be below the rule's own least of {rule.floor_days}."
        raise RuleRefused(message)
    if rule.ceiling_days and (rule.days is None or rule.days > rule.ceiling_days):
        asked = "To keep mail for ever" if rule.days is None else _days(rule.days)
        message = f"{asked} would be above the rule's own most of {_days(rule.ceiling_days)}."
        raise RuleRefused(message)


def _overlapping(folder: str, rules: Iterable[Rule]) -> list[Rule]:
    """Rules that speak of some folder that `folder` speaks of too."""
    mine = {folder, special_use(folder)} - {""}
    return [
        rule
        for rule in rules
        if EVERY_FOLDER in {folder, rule.folder}
        or rule.folder in mine
        or special_use(rule.folder) in mine
    ]


def _best(folder: str, rules: Iterable[Rule]) -> Rule | None:
    by_target = {rule.folder: rule for rule in rules}
    for target in (folder, special_use(folder), EVERY_FOLDER):
        if target and target in by_target:
            return by_target[target]
    return None


def _later(target: str, one: Rule | None, other: Rule | None) -> Rule:
    """For one target of two layers: later of the two, and with the bounds that allow more."""
    rules = [rule for rule in (one, other) if rule is not None]
    days = [rule.days for rule in rules if rule.days is not None]
    ceilings = [rule.ceiling_days for rule in rules if rule.ceiling_days is not None]
    floors = [rule.floor_days for rule in rules if rule.floor_days is not None]
    is_by_download = any(rule.counted_from is CountedFrom.DOWNLOAD for rule in rules)
    # What was never fetched stays, whatever its age, so counting from there is later.
    return Rule(
        folder=target,
        counted_from=CountedFrom.DOWNLOAD if is_by_download else CountedFrom.ARRIVAL,
        days=max(days) if len(days) == len((one, other)) else None,
        floor_days=max(floors, default=None),
        ceiling_days=max(ceilings) if len(ceilings) == len((one, other)) else None,
    )


def _sentence(folder: str, rule: Rule, *, days: int | None, layer: Layer, moved_by: str) -> str:
    if days is None:
        return f"Nothing is removed from {folder}: {layer.name} keeps it."
    since = (
        "a program fetched it"
        if rule.counted_from is CountedFrom.DOWNLOAD
        else f"it arrived in {folder}"
    )
    why = f"{layer.name} says so"
    if moved_by:
        asked = "for ever" if rule.days is None else _days(rule.days)
        why = f"{layer.name} says {asked}, within the bounds of {moved_by}"
    return f"Mail in {folder} goes {_days(days)} after {since}: {why}."


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
