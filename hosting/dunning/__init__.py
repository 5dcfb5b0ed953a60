"""When money does not come: letters, then steps that are announced, reversible, and never early."""

from hosting.dunning.debts import Debt, today
from hosting.dunning.deciding import Decision, Move
from hosting.dunning.steering import NotPossible, extend, pause, resume
from hosting.dunning.sweeping import Foreseen, follow, foresee, sweep, work_off

__all__ = [
    "Debt",
    "Decision",
    "Foreseen",
    "Move",
    "NotPossible",
    "extend",
    "follow",
    "foresee",
    "pause",
    "resume",
    "sweep",
    "today",
    "work_off",
]
