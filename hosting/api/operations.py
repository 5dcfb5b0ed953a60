"""Long work, and what waits: how far it is, and where its result lies.

Each kind of work is a row of its own, and an operation is the same view of all of them. It has the
UUID of that row, so one names the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

from django.db.models import F, Q, QuerySet

from hosting import feed, public_ids
from hosting.api import cursors, pending_changes
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.listing import limit_of, mark_of
from hosting.api.moments import Moment, optional
from hosting.api.problems import not_found, wrong_parameter
from hosting.models import ClockAdvance, CustomerImport, Export, MailboxImport, UploadedList
from mailstore.models import PendingChange, RestoreRun, WorkState

OperationKind = Literal[
    "advance_test_clock",
    "restore_messages",
    "close_mailbox",
    "close_organisation",
    "destroy_messages",
    "empty_recoverable",
    "change_plan",
    "change_retention_rule",
    "change_tripwire",
    "switch_off_tripwire",
    "shorten_window",
    "open_mailboxes",
    "open_customers",
    "write_export",
]
OperationState = Literal["waiting", "running", "done", "cancelled", "failed"]
# So many problems are told here; the result has more.
_MOST_PROBLEMS = 100


class OperationDocument(TypedDict):
    """One piece of long work, or a change that waits for its day.

    `unit` says what is counted; `result_path` where to look then.
    """

    object: Literal["operation"]
    id: str
    kind: OperationKind
    state: OperationState
    organisation_id: str
    unit: Literal["days", "messages", "changes", "lines"]
    done_count: int
    total_count: int | None
    problems: list[str]
    asked_at: Moment
    finished_at: Moment | None
    result_path: str


class OperationsPageDocument(TypedDict):
    """One page of operations, the last asked for first."""

    items: list[OperationDocument]
    next_cursor: str | None


def of_advance(advance: ClockAdvance) -> OperationDocument:
    """A test clock on its way; load `organisation` with it."""
    organisation_id = public_ids.encode("org", advance.organisation.uuid)
    return {
        "object": "operation",
        "id": public_ids.encode("opn", advance.uuid),
        "kind": "advance_test_clock",
        "state": "done" if advance.state == ClockAdvance.State.DONE else "running",
        "organisation_id": organisation_id,
        "unit": "days",
        "done_count": advance.done_count,
        "total_count": advance.total_count,
        "problems": [str(each) for each in advance.problems],
        "asked_at": Moment(advance.asked_at),
        "finished_at": optional(advance.finished_at),
        "result_path": f"/api/v1/organisations/{organisation_id}/test-clock",
    }


def of_restore(run: RestoreRun) -> OperationDocument:
    """Messages on their way back; load the mailbox and its organisation with it."""
    return {
        "object": "operation",
        "id": public_ids.encode("opn", run.uuid),
        "kind": "restore_messages",
        "state": cast("OperationState", _RESTORES[run.state]),
        "organisation_id": public_ids.encode("org", run.mailbox.organisation.uuid),
        "unit": "messages",
        "done_count": run.messages,
        "total_count": run.planned_messages,
        "problems": [run.failure] if run.failure else [],
        "asked_at": Moment(run.planned_at),
        "finished_at": optional(run.finished_at),
        "result_path": f"/api/v1/restore-runs/{public_ids.encode('rst', run.uuid)}",
    }


def of_change(change: PendingChange) -> OperationDocument:
    """A change that waits, or what became of it; load `organisation` with it."""
    return {
        "object": "operation",
        "id": public_ids.encode("opn", change.uuid),
        "kind": cast("OperationKind", feed.OPERATIONS[change.kind]),
        "state": cast("OperationState", _CHANGES[change.state]),
        "organisation_id": public_ids.encode("org", change.organisation.uuid),
        "unit": "changes",
        "done_count": int(change.state == PendingChange.State.MADE),
        "total_count": 1,
        "problems": [change.failure] if change.failure else [],
        "asked_at": Moment(change.asked_at),
        "finished_at": optional(change.ended_at),
        "result_path": pending_changes.where(change),
    }


def of_import(listed: Any) -> OperationDocument:
    """A list that is worked off, once it was confirmed, as `imports.rows` gives it."""
    problems = listed.problems[:_MOST_PROBLEMS]
    return {
        "object": "operation",
        "id": public_ids.encode("opn", listed.uuid),
        "kind": cast("OperationKind", listed.operation_kind),
        "state": cast("OperationState", _IMPORTS[listed.state]),
        "organisation_id": public_ids.encode("org", listed.owner_uuid),
        "unit": "lines",
        "done_count": listed.done_count,
        "total_count": listed.row_count,
        "problems": [f"Line {each['line']}: {each['message']}" for each in problems],
        "asked_at": Moment(listed.confirmed_at),
        "finished_at": optional(listed.ended_at),
        "result_path": f"/api/v1/imports/{public_ids.encode('imp', listed.uuid)}",
    }


def of_export(export: Export) -> OperationDocument:
    """A file that is written; how many lines it will have is known at its end."""
    return {
        "object": "operation",
        "id": public_ids.encode("opn", export.uuid),
        "kind": "write_export",
        "state": cast("OperationState", _EXPORTS[export.state]),
        "organisation_id": public_ids.encode("org", export.organisation.uuid),
        "unit": "lines",
        "done_count": export.line_count,
        "total_count": export.line_count if export.sha256 else None,
        "problems": [export.problem] if export.problem else [],
        "asked_at": Moment(export.created_at),
        "finished_at": optional(export.ended_at),
        "result_path": f"/api/v1/exports/{public_ids.encode('exp', export.uuid)}",
    }


def _lists(lists: QuerySet[Any], owner: str) -> QuerySet[Any]:
    """Lists of one organisation each that were confirmed; what nobody began is no work."""
    confirmed = lists.filter(confirmed_at__isnull=False, **{f"{owner}__isnull": False})
    found: QuerySet[Any] = confirmed.annotate(owner_uuid=F(f"{owner}__uuid")).defer("content")
    return found


_ADVANCES: Mapping[str, str] = {"running": "running", "done": "done"}
_RESTORES: Mapping[str, str] = {
    WorkState.PLANNED: "running",
    WorkState.RUNNING: "running",
    WorkState.PAUSED: "running",
    WorkState.DONE: "done",
    WorkState.CANCELLED: "cancelled",
}
_IMPORTS: Mapping[str, str] = {
    UploadedList.State.RUNNING: "running",
    UploadedList.State.FINISHED: "done",
    UploadedList.State.CANCELLED: "cancelled",
}
_EXPORTS: Mapping[str, str] = {
    Export.State.RUNNING: "running",
    Export.State.READY: "done",
    Export.State.FORGOTTEN: "done",
    Export.State.FAILED: "failed",
    Export.State.CANCELLED: "cancelled",
}
_CHANGES: Mapping[str, str] = {PendingChange.State.WAITING.value: "waiting", **feed.ENDS}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One table of long work: who may read of it, its kinds and states, and when it was asked."""

    scope: str
    rows: Callable[[Call], QuerySet[Any]]
    document: Callable[[Any], OperationDocument]
    # From the kinds of operations to those of the rows; where there is one, no row has a kind.
    kinds: Mapping[str, str]
    states: Mapping[str, str]
    asked: str
    organisation: str = "organisation__uuid"

    def among(self, query: Mapping[str, str]) -> Q | None:
        """What the filters leave of this table, or None if that is nothing."""
        found = Q()
        if "kind" in query:
            if query["kind"] not in self.kinds:
                return None
            own = self.kinds[query["kind"]]
            found &= Q(kind=own) if own else Q()
        if "state" in query:
            found &= Q(
                state__in=[own for own, state in self.states.items() if state == query["state"]]
            )
        if "organisation_id" in query:
            found &= Q(**{self.organisation: _organisation(query["organisation_id"])})
        return found


SOURCES = (
    Source(
        scope="organisations:read",
        rows=lambda call: ClockAdvance.objects.visible_to(call.actor).select_related(
            "organisation"
        ),
        document=of_advance,
        kinds={"advance_test_clock": ""},
        states=_ADVANCES,
        asked="asked_at",
    ),
    Source(
        scope="recovery:read",
        rows=lambda call: RestoreRun.objects.visible_to(call.actor).select_related(
            "mailbox__organisation"
        ),
        document=of_restore,
        kinds={"restore_messages": ""},
        states=_RESTORES,
        asked="planned_at",
        organisation="mailbox__organisation__uuid",
    ),
    Source(
        scope="mailboxes:read",
        rows=pending_changes.rows,
        document=of_change,
        kinds={name: kind for kind, name in feed.OPERATIONS.items()},
        states=_CHANGES,
        asked="asked_at",
    ),
    Source(
        scope="exports:read",
        rows=lambda call: _lists(MailboxImport.objects.visible_to(call.actor), "organisation"),
        document=of_import,
        kinds={MailboxImport.operation_kind: ""},
        states=_IMPORTS,
        asked="confirmed_at",
    ),
    Source(
        scope="exports:read",
        rows=lambda call: _lists(CustomerImport.objects.visible_to(call.actor), "seller"),
        document=of_import,
        kinds={CustomerImport.operation_kind: ""},
        states=_IMPORTS,
        asked="confirmed_at",
        organisation="seller__uuid",
    ),
    Source(
        scope="exports:read",
        rows=lambda call: Export.objects.visible_to(call.actor).select_related("organisation"),
        document=of_export,
        kinds={"write_export": ""},
        states=_EXPORTS,
        asked="created_at",
    ),
)
_SCOPES = tuple(dict.fromkeys(source.scope for source in SOURCES))
KINDS = tuple(kind for source in SOURCES for kind in source.kinds)
STATES = ("waiting", "running", "done", "cancelled", "failed")
_FILTERS = {
    "kind": f"Of one kind: {', '.join(KINDS)}.",
    "state": f"By state: {', '.join(STATES)}.",
    "organisation_id": "Of one organisation.",
}


class Operations(Endpoint):
    """All long work."""

    @operation(
        name="list_operations",
        one_of=_SCOPES,
        gives=OperationsPageDocument,
        parameters={
            "limit": "How many a page has, 1 to 200.",
            "cursor": "Where the page begins: `next_cursor` of the one before.",
            **_FILTERS,
        },
        problems=("invalid-cursor",),
    )
    def get(self, call: Call) -> Answer:
        """List long work and what waits, the last asked for first.

        Test clocks need `organisations:read`, restores `recovery:read`, changes that wait
        `mailboxes:read`, imports and exports `exports:read`; what the key may not read is left out.
        """
        _must_be_known(call.query, "kind", KINDS)
        _must_be_known(call.query, "state", STATES)
        limit, mark = limit_of(call), mark_of({**call.query, "of": "operations"}, ("of", *_FILTERS))
        after = None if (text := call.query.get("cursor")) is None else _place(text, mark=mark)
        found = [
            (getattr(row, source.asked), row.uuid, source, row)
            for source in SOURCES
            if source.scope in (call.actor.scopes or ())
            for row in _first(call, source, after=after, most=limit + 1)
        ]
        found.sort(key=lambda each: each[:2], reverse=True)
        last = found[limit - 1] if len(found) > limit else None
        page: OperationsPageDocument = {
            "items": [source.document(row) for _at, _uuid, source, row in found[:limit]],
            "next_cursor": None
            if last is None
            else cursors.seal([last[0], last[1].hex], mark=mark),
        }
        return Answer(document=page)


def _must_be_known(query: Mapping[str, str], name: str, known: Sequence[str]) -> None:
    if name in query and query[name] not in known:
        raise wrong_parameter(name, f"One of: {', '.join(known)}.")


def _organisation(text: str) -> UUID:
    try:
        return public_ids.decode("org", text)
    except public_ids.NoSuchId as error:
        raise wrong_parameter("organisation_id", str(error)) from error


def _place(text: str, *, mark: str) -> tuple[datetime, UUID]:
    at, uuid = cursors.unseal(text, mark=mark)
    return at, UUID(uuid)


def _first(
    call: Call, source: Source, *, after: tuple[datetime, UUID] | None, most: int
) -> Iterator[Any]:
    """The newest rows of one table, or those that come after a place of the page before."""
    condition = source.among(call.query)
    if condition is None:
        return
    if after is not None:
        at, uuid = after
        condition &= Q(**{f"{source.asked}__lt": at}) | Q(**{source.asked: at}, uuid__lt=uuid)
    rows = source.rows(call).filter(condition)
    yield from rows.order_by(f"-{source.asked}", "-uuid")[:most]


class OneOperation(Endpoint):
    """One piece of long work."""

    @operation(name="get_operation", one_of=_SCOPES, gives=OperationDocument)
    def get(self, call: Call, *, operation: UUID) -> Answer:
        """Show how far long work is.

        It needs the scope by which its result is read: `organisations:read` for a test clock,
        `recovery:read` for a restore, `mailboxes:read` for a change that waits, `exports:read` for
        an import or an export.
        """
        for source in SOURCES:
            found = source.rows(call).filter(uuid=operation).first()
            if found is not None:
                call.must_have(source.scope)
                return Answer(document=source.document(found))
        raise not_found()
