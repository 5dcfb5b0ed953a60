"""Changes in words: for those who can call them off, and for those below whose mail they reach."""

from __future__ import annotations

from mailstore import policy, rules
from mailstore.models import RetentionPolicy
from mailstore.thresholds import Thresholds


def of_rule(rule: policy.Rule, *, owner: str) -> str:
    """What holds once the rule does."""
    place = f"Mail in {_place(rule.folder)} of {owner}"
    days = "is kept for ever" if rule.days is None else f"goes after {_days(rule.days)}"
    bounds = " and ".join(
        f"at {name} {_days(count)}"
        for name, count in (("least", rule.floor_days), ("most", rule.ceiling_days))
        if count is not None
    )
    return f"{place} {days}; rules below say {bounds}." if bounds else f"{place} {days}."


def of_rule_removal(folder: str, *, owner: str) -> str:
    """What holds once a rule is gone."""
    return f"There is no rule of {owner} for {_place(folder)} any more."


def of_thresholds(limits: Thresholds, *, owner: str) -> str:
    """When the tripwire fires."""
    return (
        f"The tripwire of {owner} fires at {limits.messages} messages or {limits.percent} % "
        f"within {limits.minutes} minutes, and at no fewer than {limits.fewest}."
    )


def owner_below(target: rules.Target) -> str:
    """How a place is called to those below it, who may not know whom their seller buys from."""
    return str(target) if isinstance(target, RetentionPolicy) else "all mailboxes below us"


def _place(folder: str) -> str:
    return "every folder" if folder == policy.EVERY_FOLDER else folder.lstrip("\\")


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
