"""Restores: messages on their way back, and how far that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, cast
from uuid import UUID

from django.db.models import QuerySet

from hosting import public_ids
from hosting.api import expanding, mailboxes
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.filters import by_choice, by_id
from hosting.api.listing import Listing
from hosting.api.moments import Moment, optional
from hosting.api.problems import not_found
from mailstore.models import RestoreRun, WorkState

WorkStateName = Literal["planned", "running", "paused", "done", "cancelled"]


class ProgressDocument(TypedDict):
    """How much is done of what was planned; null where that was not counted yet."""

    done_message_count: int
    done_bytes: int
    planned_message_count: int | None
    planned_bytes: int | None


class RestoreRunDocument(TypedDict):
    """One restore: of chosen messages, or of all that was removed since `rolled_back_to`."""

    object: Literal["restore_run"]
    id: str
    operation_id: str
    mailbox_id: str
    state: WorkStateName
    rolled_back_to: Moment | None
    planned_by: str
    planned_at: Moment
    finished_at: Moment | None
    progress: ProgressDocument


def documents(runs: Sequence[RestoreRun]) -> list[RestoreRunDocument]:
    """Restores whose mailbox was loaded with them."""
    return [document(run) for run in runs]


def document(run: RestoreRun) -> RestoreRunDocument:
    """One restore."""
    return {
        "object": "restore_run",
        "id": public_ids.encode("rst", run.uuid),
        "operation_id": public_ids.encode("opn", run.uuid),
        "mailbox_id": public_ids.encode("mbx", run.mailbox.uuid),
        "state": cast("WorkStateName", run.state),
        "rolled_back_to": optional(run.moment),
        "planned_by": run.planned_by,
        "planned_at": Moment(run.planned_at),
        "finished_at": optional(run.finished_at),
        "progress": {
            "done_message_count": run.messages,
            "done_bytes": run.bytes,
            "planned_message_count": run.planned_messages,
            "planned_bytes": run.planned_bytes,
        },
    }


def accepted(run: RestoreRun) -> Answer:
    """202 with the run, which shows its own progress; so does the operation that it names."""
    where = f"/api/v1/restore-runs/{public_ids.encode('rst', run.uuid)}"
    return Answer(document=document(run), status=202, location=where)


RESTORE_RUNS: Listing[RestoreRun] = Listing(
    shown=documents,
    document=RestoreRunDocument,
    expand=expanding.of(mailbox=mailboxes.EXPANSION),
    filters={
        "mailbox_id": by_id("mbx", "mailbox__uuid", "Of one mailbox."),
        "state": by_choice("state", WorkState.values, "By state."),
    },
)


def _rows(call: Call) -> QuerySet[RestoreRun]:
    return RestoreRun.objects.visible_to(call.actor).select_related("mailbox")


class RestoreRuns(Endpoint):
    """All restores."""

    @operation(name="list_restore_runs", scope="recovery:read", lists=RESTORE_RUNS)
    def get(self, call: Call) -> Answer:
        """List restores."""
        return RESTORE_RUNS.page(call, _rows(call))


class OneRestoreRun(Endpoint):
    """One restore."""

    @operation(name="get_restore_run", scope="recovery:read", gives=RestoreRunDocument)
    def get(self, call: Call, *, run: UUID) -> Answer:
        """Show a restore and how far it is."""
        found = _rows(call).filter(uuid=run).first()
        if found is None:
            raise not_found()
        return Answer(document=document(found))
