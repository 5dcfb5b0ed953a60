"""Purge runs: what is to be removed, what was, and the receipt of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, cast
from uuid import UUID

from hosting import public_ids
from hosting.api import expanding, mailboxes
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.filters import by_choice, by_id
from hosting.api.listing import Listing
from hosting.api.loading import Things
from hosting.api.moments import Moment, optional
from hosting.api.restore_runs import ProgressDocument, WorkStateName
from mailstore import holding, purging, receipts
from mailstore.models import PurgeRun, WorkState
from mailstore.models.purging import PurgeRunQuerySet
from mailstore.receipts import FolderReceipt

KindName = Literal["retention", "store", "asked", "closing"]
# It changes by itself, so it is no part of the version.
VOLATILE = ("progress",)


class PurgeRunDocument(TypedDict):
    """One removal from one mailbox.

    `retention` moves mail into the recoverable store; `store`, `asked` and `closing` remove it
    for good: after its window, because its owner asked, or with the mailbox.
    """

    object: Literal["purge_run"]
    id: str
    mailbox_id: str
    kind: KindName
    state: WorkStateName
    policy_version: str | None
    planned_by: str
    planned_at: Moment
    finished_at: Moment | None
    progress: ProgressDocument


class PlannedFolderDocument(TypedDict):
    """What is to go from one folder, or from its part of the recoverable store."""

    folder: str
    is_in_store: bool
    message_count: int
    bytes: int


class PurgePlanDocument(PurgeRunDocument):
    """The same with its plan, folder by folder, and the rules as they were."""

    plan: list[PlannedFolderDocument]
    rules: list[dict[str, str | int | None]]


class FolderReceiptDocument(PlannedFolderDocument):
    """What went from one folder.

    `uids` are written as in RFC 3501. `digest` is SHA-256 over a line for each message: its uid,
    its size and a digest of its Message-ID.
    """

    uidvalidity: int
    uids: str
    digest: str


class ReceiptDocument(TypedDict):
    """What a run removed; while it runs, what it removed so far."""

    object: Literal["receipt"]
    purge_run_id: str
    state: WorkStateName
    message_count: int
    bytes: int
    finished_at: Moment | None
    folders: list[FolderReceiptDocument]


def documents(runs: Sequence[PurgeRun]) -> list[PurgeRunDocument]:
    """Runs whose mailbox was loaded with them."""
    return [_document(run) for run in runs]


def _document(run: PurgeRun) -> PurgeRunDocument:
    return {
        "object": "purge_run",
        "id": public_ids.encode("prg", run.uuid),
        "mailbox_id": public_ids.encode("mbx", run.mailbox.uuid),
        "kind": cast("KindName", run.kind),
        "state": cast("WorkStateName", run.state),
        "policy_version": run.policy_version or None,
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


def _plan(run: PurgeRun) -> list[PlannedFolderDocument]:
    found: dict[tuple[str, bool], PlannedFolderDocument] = {}
    for batch in run.batches.order_by("position"):
        empty: PlannedFolderDocument = {
            "folder": batch.folder,
            "is_in_store": batch.in_store,
            "message_count": 0,
            "bytes": 0,
        }
        folder = found.setdefault((batch.folder, batch.in_store), empty)
        folder["message_count"] += len(batch.items)
        folder["bytes"] += sum(int(size) for _uid, size, _digest in batch.items)
    return list(found.values())


def _folder_receipt(found: FolderReceipt) -> FolderReceiptDocument:
    return {
        "folder": found.folder,
        "is_in_store": found.in_store,
        "message_count": found.messages,
        "bytes": found.bytes,
        "uidvalidity": found.uidvalidity,
        "uids": found.uids,
        "digest": found.digest,
    }


PURGE_RUNS: Listing[PurgeRun] = Listing(
    shown=documents,
    document=PurgeRunDocument,
    expand=expanding.of(mailbox=mailboxes.EXPANSION),
    filters={
        "organisation_id": by_id("org", "mailbox__organisation__uuid", "Of one organisation."),
        "domain_id": by_id("dom", "mailbox__domain__uuid", "Of one domain."),
        "mailbox_id": by_id("mbx", "mailbox__uuid", "Of one mailbox."),
        "kind": by_choice("kind", PurgeRun.Kind.values, "By kind."),
        "state": by_choice("state", WorkState.values, "By state."),
    },
)


def _rows(call: Call) -> PurgeRunQuerySet:
    return PurgeRun.objects.visible_to(call.actor).select_related("mailbox__organisation__parent")


PURGE_RUN: Things[PurgeRun] = Things(
    rows=_rows,
    lives_in=lambda run: run.mailbox.organisation,
    locks=PurgeRun.objects.select_for_update(),
    document=lambda _call, run: _document(run),
    volatile=VOLATILE,
)


class PurgeRuns(Endpoint):
    """All purge runs."""

    @operation(name="list_purge_runs", scope="purge:read", lists=PURGE_RUNS)
    def get(self, call: Call) -> Answer:
        """List purge runs, also those of mailboxes that are closed."""
        return PURGE_RUNS.page(call, _rows(call))


class OnePurgeRun(Endpoint):
    """One purge run."""

    @operation(name="get_purge_run", scope="purge:read", gives=PurgePlanDocument)
    def get(self, call: Call, *, run: UUID) -> Answer:
        """Show a purge run with its plan and the rules it was made by."""
        found = PURGE_RUN.load(call, run)
        document = _document(found)
        whole = {**document, "plan": _plan(found), "rules": found.rules}
        return Answer(document=whole, etag=PURGE_RUN.version_of(document))


class Receipt(Endpoint):
    """Exactly what a run removed."""

    @operation(name="get_purge_receipt", scope="purge:read", gives=ReceiptDocument)
    def get(self, call: Call, *, run: UUID) -> Answer:
        """Show the receipt of a purge run, which never changes once it is done."""
        found = PURGE_RUN.load(call, run)
        document: ReceiptDocument = {
            "object": "receipt",
            "purge_run_id": public_ids.encode("prg", found.uuid),
            "state": cast("WorkStateName", found.state),
            "message_count": found.messages,
            "bytes": found.bytes,
            "finished_at": optional(found.finished_at),
            "folders": [_folder_receipt(each) for each in receipts.of(found)],
        }
        return Answer(document=document)


class Cancelling(Endpoint):
    """The end of a run before it began."""

    @operation(
        name="cancel_purge_run",
        scope="purge:cancel",
        gives=PurgeRunDocument,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, run: UUID) -> Answer:
        """Cancel a purge run of which nothing has been removed yet.

        What the rules remove is planned anew soon: change the rule, or place a hold, first.
        """
        # The verb locks the mailbox, as does the work, which locks the run after it.
        found = PURGE_RUN.locked(call, run, first=lambda each: holding.lock(each.mailbox))
        purging.cancel(actor=call.actor, run=found, at=call.at)
        return PURGE_RUN.answer(call, PURGE_RUN.load(call, run))
