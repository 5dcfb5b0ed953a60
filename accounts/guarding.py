"""The database itself refuses to change or remove an event, or a checkpoint of them.

What is allowed: a place in the feed once, links once, and to forget from where somebody came.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from accounts.triggers import Guard, Refusal, changed

EVENTS, CHECKPOINTS = "accounts_event", "accounts_checkpoint"
# Never written again.
_SETTLED = (
    "seq",
    "kind",
    "at",
    "organisation_id",
    "actor_kind",
    "actor_id",
    "actor_name",
    "door",
    "standing",
    "role",
    "commitment",
    "visit_id",
    "subject_kind",
    "subject_id",
    "subject_name",
    "data",
)
_LINKS = ("link", "own_place", "own_link", "belongs_to")
_ORIGIN = ("address", "session", "salt")


def _refusals(differs: str) -> Iterator[Refusal]:
    is_kept = "(NEW.address <> '' OR NEW.session <> '' OR NEW.salt IS NOT NULL)"
    refused = (
        changed(_SETTLED, differs),
        f"OLD.position IS NOT NULL AND {changed(('position',), differs)}",
        f"OLD.link <> '' AND {changed(_LINKS, differs)}",
        f"{changed(_ORIGIN, differs)} AND {is_kept}",
    )
    when = " OR ".join(f"({each})" for each in refused)
    yield Refusal(name="accounts_event_stays", table=EVENTS, on="UPDATE", when=when)
    yield Refusal(name="accounts_event_is_kept", table=EVENTS, on="DELETE")
    yield Refusal(name="accounts_checkpoint_stays", table=CHECKPOINTS, on="UPDATE")
    yield Refusal(name="accounts_checkpoint_is_kept", table=CHECKPOINTS, on="DELETE")


GUARD = Guard(
    name="accounts_written_once",
    sentence="Events and their checkpoints are written once: nothing of them is changed or "
    "removed.",
    refusals=_refusals,
)


def hold(*, using: str = DEFAULT_DB_ALIAS, **_signal: Any) -> None:
    """Make the triggers anew; Django calls it after it has migrated."""
    GUARD.hold(using=using)
