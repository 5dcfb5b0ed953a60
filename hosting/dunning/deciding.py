"""What is to be done in one run today: pure, so that it can be foreseen as well as done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import takewhile

from hosting.steps import Step, Steps, following


class Move(StrEnum):
    """One thing to do."""

    ANNOUNCE = "announce"
    TAKE = "take"
    BACK = "back"
    END = "end"


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a run stands.

    `written_on` is the day of its last letter, `told_on` the one on which that reached an
    address outside of the house.
    """

    day: int | None
    next_day: int | None
    next_on: date | None
    written_on: date | None
    told_on: date | None
    is_paused: bool


@dataclass(frozen=True, kw_only=True)
class Owed:
    """What a decision needs to know of a debt."""

    due_on: date
    is_small: bool


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The move, the step in force after it, and the one that comes next, with its day."""

    move: Move
    day: int | None
    next_step: Step | None
    next_on: date | None


_NOTHING_LEFT = Decision(move=Move.END, day=None, next_step=None, next_on=None)


def decide(position: Position, owed: Owed | None, *, steps: Steps, today: date) -> Decision | None:
    """The one thing to do today, or None. Called again after each, until it is None."""
    if owed is None:
        return _NOTHING_LEFT
    allowed = list(takewhile(_only_asks, steps)) if owed.is_small else steps
    reached = _reached(allowed, elapsed=(today - owed.due_on).days, day=position.day)
    if reached != position.day:
        return _moved(Move.BACK, reached, allowed, owed=owed, today=today)
    step = following(allowed, position.day)
    if position.is_paused or step is None:
        return None
    if step.action.stops:
        return _stop(step, position, allowed, owed=owed, today=today)
    return _mail(step, position, allowed, owed=owed, today=today)


def _only_asks(step: Step) -> bool:
    return not step.action.stops


def _reached(allowed: Steps, *, elapsed: int, day: int | None) -> int | None:
    """The last step, among those that were taken, that the debt of now has come to."""
    if day is None:
        return None
    # A step that was taken and is no step any more counts like the one before it.
    taken = [step.day for step in allowed if step.day <= min(day, elapsed)]
    return max(taken, default=None)


def _stop(
    step: Step, position: Position, allowed: Steps, *, owed: Owed, today: date
) -> Decision | None:
    """What takes something away comes on its day, and only so long after it was announced."""
    if position.next_day != step.day or position.next_on is None:
        return _moved(Move.ANNOUNCE, position.day, allowed, owed=owed, today=today)
    if position.told_on is None:
        return None
    if today < max(position.next_on, _earliest(step, owed, told_on=position.told_on)):
        return None
    return _moved(Move.TAKE, step.day, allowed, owed=owed, today=today)


def _mail(
    step: Step, position: Position, allowed: Steps, *, owed: Owed, today: date
) -> Decision | None:
    """A mere letter comes on its day, and not on the heels of the one before it."""
    earliest = owed.due_on + timedelta(days=step.day)
    if position.written_on is not None:
        earliest = _earliest(step, owed, told_on=position.written_on)
    if today < earliest:
        return None
    return _moved(Move.TAKE, step.day, allowed, owed=owed, today=today)


def _moved(move: Move, day: int | None, allowed: Steps, *, owed: Owed, today: date) -> Decision:
    step = following(allowed, day)
    next_on = _earliest(step, owed, told_on=today) if step else None
    return Decision(move=move, day=day, next_step=step, next_on=next_on)


def _earliest(step: Step, owed: Owed, *, told_on: date) -> date:
    counted = owed.due_on + timedelta(days=step.day)
    return max(counted, told_on + timedelta(days=step.notice_days))
