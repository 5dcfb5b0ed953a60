"""The steps of dunning, as data: what happens on which day after a bill was due.

A step that stops something comes at least `notice_days` after the letter that announced it, so
a late worker makes the course longer and never skips a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType


class Action(StrEnum):
    """What a step does, from the mildest to the last; receiving stops after everything else."""

    MAIL = "mail"
    LIMIT = "limit"
    READ_ONLY = "read-only"
    PUT_OFF = "put-off"
    CLOSE = "close"

    @property
    def stops(self) -> bool:
        """Whether it takes anything away, which is announced first."""
        return self is not Action.MAIL


# The switches of `accounts.models.Switches` that are not open, by step. What a reseller owes
# reaches its customers one step later than itself: receiving last, and closing never.
SWITCHES: Mapping[Action, Mapping[str, str]] = MappingProxyType(
    {
        Action.MAIL: {},
        Action.LIMIT: {"sending": "limited"},
        Action.READ_ONLY: {
            "sending": "limited",
            "sign_in": "read_only",
            "sending_below": "limited",
        },
        Action.PUT_OFF: {
            "sending": "shut",
            "sign_in": "read_only",
            "receiving": "put_off",
            "sending_below": "limited",
            "sign_in_below": "read_only",
        },
        Action.CLOSE: {
            "sending": "shut",
            "sign_in": "read_only",
            "receiving": "put_off",
            "sending_below": "limited",
            "sign_in_below": "read_only",
            "receiving_below": "put_off",
        },
    }
)


class StepsRefused(ValueError):
    """These are no steps that could be taken one after another."""


@dataclass(frozen=True, order=True)
class Step:
    """One step. `notice_days` is the least time between the letter before it and itself."""

    day: int
    action: Action
    notice_days: int


Steps = Sequence[Step]


def parse(text: str) -> tuple[Step, ...]:
    """Read `0 mail 0, 3 mail 3, 14 limit 7, …`; raise `StepsRefused` for what makes no sense."""
    steps = tuple(_parse_one(part) for part in text.split(","))
    for earlier, later in pairwise(steps):
        if later.day <= earlier.day:
            message = f"Day {later.day} does not come after day {earlier.day}."
            raise StepsRefused(message)
    stops = [step for step in steps if step.action.stops]
    if [step.action for step in stops] != list(Action)[1 : len(stops) + 1]:
        message = "Stops come in this order, none left out: limit, read-only, put-off, close."
        raise StepsRefused(message)
    if steps[0].action.stops or any(not step.notice_days for step in stops):
        message = "The first step is a mail, and each stop needs at least one day of notice."
        raise StepsRefused(message)
    return steps


def _parse_one(text: str) -> Step:
    parts = text.split()
    try:
        day, action, notice_days = parts
        step = Step(int(day), Action(action), int(notice_days))
    except ValueError as error:
        message = f"“{text.strip()}” is no step; write for example “14 limit 7”."
        raise StepsRefused(message) from error
    if step.day < 0 or step.notice_days < 0:
        message = f"“{text.strip()}” has days below zero."
        raise StepsRefused(message)
    return step


def following(steps: Steps, day: int | None) -> Step | None:
    """The first step after that of `day`; None stands for before the first one."""
    return next((step for step in steps if day is None or step.day > day), None)


def last_stop(steps: Steps, day: int | None) -> Action:
    """What is in force once the step of `day` was taken: the last stop until then."""
    taken = [step.action for step in steps if day is not None and step.day <= day]
    return next((action for action in reversed(taken) if action.stops), Action.MAIL)
