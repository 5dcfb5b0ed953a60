"""When the tripwire fires: what a policy says, and what one mailbox has for its own."""

from __future__ import annotations

from dataclasses import dataclass

from mailstore import retention
from mailstore.models import Mailbox, RetentionPolicy

# Below the first the tripwire would fire at work, above the second never.
_BOUNDS = {
    "messages": (1, 1_000_000),
    "percent": (1, 100),
    "minutes": (1, 24 * 60),
    "fewest": (1, 1_000),
}


class ThresholdsRefused(Exception):
    """Thresholds that make no sense; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """It fires at `messages`, or at `percent` of the mailbox, removed within `minutes`.

    Less than `fewest` are a person at work, whatever share of a mailbox or folder they are.
    """

    messages: int
    percent: int
    minutes: int
    fewest: int

    def is_weaker_than(self, other: Thresholds) -> bool:
        """Whether some removal would fire the other and not this."""
        is_higher = self.messages > other.messages or self.percent > other.percent
        return is_higher or self.fewest > other.fewest or self.minutes < other.minutes


def of(target: Mailbox | RetentionPolicy) -> Thresholds:
    """A policy's thresholds, or a mailbox's own, which its policy completes."""
    return completed(
        target,
        messages=target.trip_messages,
        percent=target.trip_percent,
        minutes=target.trip_minutes,
        fewest=target.trip_fewest,
    )


def completed(
    target: Mailbox | RetentionPolicy,
    *,
    messages: int | None,
    percent: int | None,
    minutes: int | None,
    fewest: int | None,
) -> Thresholds:
    """Thresholds as they would hold for a target; what is None comes from its policy.

    Raises `ThresholdsRefused` where one is out of bounds, or a policy itself leaves one out.
    """
    asked = {"messages": messages, "percent": percent, "minutes": minutes, "fewest": fewest}
    for name, value in asked.items():
        least, most = _BOUNDS[name]
        if value is not None and not least <= value <= most:
            message = f"The tripwire's {name} are a whole number from {least} to {most}."
            raise ThresholdsRefused(message)
    base = _defaults_of(target)
    if isinstance(target, RetentionPolicy) and None in asked.values():
        message = "A policy says all four: messages, percent, minutes and fewest."
        raise ThresholdsRefused(message)
    return Thresholds(
        messages=messages or base.messages,
        percent=percent or base.percent,
        minutes=minutes or base.minutes,
        fewest=fewest or base.fewest,
    )


def _defaults_of(target: Mailbox | RetentionPolicy) -> Thresholds:
    """What a policy says; of two that hold at once, what fires sooner."""
    if isinstance(target, RetentionPolicy):
        policies = [target]
    else:
        policies = [p for p in (retention.policy_of(target), target.former_policy) if p is not None]
    return Thresholds(
        messages=min(one.trip_messages for one in policies),
        percent=min(one.trip_percent for one in policies),
        minutes=max(one.trip_minutes for one in policies),
        fewest=min(one.trip_fewest for one in policies),
    )
