"""The database itself refuses to remove a hold, and to change or remove what is a receipt.

A hold is released once, and nothing else of it changes. A purge that has ended, and each batch
of it that was removed, stay as they are for good.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from accounts.triggers import Guard, Refusal, changed

_HOLDS, _RUNS, _BATCHES = "mailstore_hold", "mailstore_purgerun", "mailstore_purgebatch"
_AS_PLACED = (
    "uuid",
    "organisation_id",
    "domain_id",
    "mailbox_id",
    "matter",
    "reason",
    "placed_by_id",
    "placed_by_key_id",
    "placed_at",
)
_ENDED = "OLD.state IN ('done', 'cancelled')"
_REMOVED = "OLD.state = 'done'"


def _refuse_holds(differs: str) -> Iterator[Refusal]:
    is_settled = f"OLD.released_at IS NOT NULL OR {changed(_AS_PLACED, differs)}"
    yield Refusal(name="mailstore_hold_stays", table=_HOLDS, on="UPDATE", when=is_settled)
    yield Refusal(name="mailstore_hold_is_kept", table=_HOLDS, on="DELETE")


def _refuse_receipts(_differs: str) -> Iterator[Refusal]:
    yield Refusal(name="mailstore_receipt_stays", table=_RUNS, on="UPDATE", when=_ENDED)
    yield Refusal(name="mailstore_receipt_is_kept", table=_RUNS, on="DELETE", when=_ENDED)
    yield Refusal(name="mailstore_removal_stays", table=_BATCHES, on="UPDATE", when=_REMOVED)
    yield Refusal(name="mailstore_removal_is_kept", table=_BATCHES, on="DELETE", when=_REMOVED)


GUARDS = (
    Guard(
        name="mailstore_hold_once",
        sentence="A hold is released once: nothing else of it is changed, nor is it removed.",
        refusals=_refuse_holds,
    ),
    Guard(
        name="mailstore_receipt_once",
        sentence="The receipt of a purge is written once: nothing of it is changed or removed.",
        refusals=_refuse_receipts,
    ),
)


def hold(*, using: str = DEFAULT_DB_ALIAS, **_signal: Any) -> None:
    """Make the triggers anew; Django calls it after it has migrated."""
    for guard in GUARDS:
        guard.hold(using=using)
