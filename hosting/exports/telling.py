"""What programs are told of the end of an export."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts import outbox
from accounts.access import Actor
from hosting import clocks
from hosting.exports import wanting
from hosting.models import Export


def of_file(export: Export, *, actor: Actor, at: datetime) -> None:
    """The file can be fetched; call it in the transaction that says so.

    `at` is what time it really is; it is told by the clock of the organisation.
    """
    data = {"kind": export.kind, "lines": export.line_count, "bytes": export.size_bytes}
    _record("export.ready", export, actor=actor, data=data, at=at)
    of_end(export, actor=actor, state="done", at=at)


def of_end(export: Export, *, actor: Actor, state: str, at: datetime) -> None:
    """Nobody works on it any more: `done`, `failed` or `cancelled`."""
    data = {"kind": "write_export", "state": state}
    _record("operation.finished", export, actor=actor, data=data, at=at)


def _record(kind: str, export: Export, *, actor: Actor, data: dict[str, Any], at: datetime) -> None:
    outbox.record(
        kind=kind,
        at=clocks.moment_for(export.organisation, at),
        actor=actor,
        organisation=export.organisation,
        subject=("export", str(export.uuid), wanting.file_name(export)),
        data={**data, "is_test": export.created_by_key.is_test},
    )
