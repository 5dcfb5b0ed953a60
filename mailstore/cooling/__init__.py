"""Cooling-off: what makes mail less safe waits, is announced, and can be called off.

Raising safety is done at once by its own verb. Whatever lowers it becomes a row here, and the
same verb runs when its time has come. A thief who holds the owner's password for an hour can
ask for much and gets nothing.
"""

from __future__ import annotations

from mailstore.cooling.asking import (
    ReasonNeeded,
    ask_plan,
    ask_rule,
    ask_rule_removal,
    ask_thresholds,
    ask_to_close,
    ask_to_close_all,
    ask_to_destroy,
    ask_to_empty_store,
    ask_tripwire,
    ask_window,
    call_off,
    shorten,
    withdraw_plan,
)
from mailstore.cooling.changes import NotWaiting, organisation_of
from mailstore.cooling.making import make_due

__all__ = [
    "NotWaiting",
    "ReasonNeeded",
    "ask_plan",
    "ask_rule",
    "ask_rule_removal",
    "ask_thresholds",
    "ask_to_close",
    "ask_to_close_all",
    "ask_to_destroy",
    "ask_to_empty_store",
    "ask_tripwire",
    "ask_window",
    "call_off",
    "make_due",
    "organisation_of",
    "shorten",
    "withdraw_plan",
]
