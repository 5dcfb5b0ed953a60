"""Exports: what there is, as a file that is written in the background and fetched for a week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

from django.http import FileResponse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer

from hosting import exports, public_ids
from hosting.api import operations, targets, turns, versions
from hosting.api.contract import Answer, Call, Match, operation
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, Flag, PublicId, Text
from hosting.api.filters import by_choice, by_id
from hosting.api.listing import Listing
from hosting.api.moments import Moment, optional
from hosting.api.problems import not_found
from hosting.models import Export
from hosting.models.exports import ExportQuerySet

KindName = Literal["usage", "invoice_lines", "customers", "activity", "activity_proof"]
StateName = Literal["running", "ready", "failed", "cancelled", "forgotten"]
_VALUE_LENGTH = 10
# What changes while the file is written, which is no reason to refuse its removal.
_VOLATILE = ("line_count", "problem")


class ExportDocument(TypedDict):
    """One file. `content_path` is where it can be fetched, so long as it is `ready`.

    `forgotten` files were kept for seven days, or removed before. What was not asked for is null.
    """

    object: Literal["export"]
    id: str
    operation_id: str
    kind: KindName
    organisation_id: str
    month: str | None
    since: str | None
    until: str | None
    format: Literal["csv", "jsonl"]
    with_amounts: bool
    state: StateName
    file_name: str
    line_count: int
    size_bytes: int | None
    sha256: str | None
    problem: str | None
    content_path: str | None
    created_by_key_id: str
    created_at: Moment
    finished_at: Moment | None
    expires_at: Moment | None


class ExportBody(Body):
    """What is to be written. Usage and invoice lines take a month, activity takes days.

    `since` is the first day and `until` the day after the last. `with_amounts` puts beside
    customers what they pay and cost.
    """

    kind = serializers.ChoiceField(choices=Export.Kind.values)
    organisation_id = PublicId("org", required=False)
    month = Text(max_length=_VALUE_LENGTH, required=False)
    since = Text(max_length=_VALUE_LENGTH, required=False)
    until = Text(max_length=_VALUE_LENGTH, required=False)
    format = serializers.ChoiceField(choices=["csv", "jsonl"], required=False)
    with_amounts = Flag(required=False)


class _AsItIs(BaseRenderer):
    """Lets a caller ask for whatever type the file has."""

    media_type = "*/*"
    format = "file"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Nothing: a file is sent from the disk."""
        return b""


def documents(found: Sequence[Export]) -> list[ExportDocument]:
    """Exports that `_rows` gave."""
    return [_document(each) for each in found]


def _document(export: Export) -> ExportDocument:
    wanted = exports.Wanted(**export.wanted)
    is_ready = export.state == Export.State.READY
    public_id = public_ids.encode("exp", export.uuid)
    return {
        "object": "export",
        "id": public_id,
        "operation_id": public_ids.encode("opn", export.uuid),
        "kind": cast("KindName", export.kind),
        "organisation_id": public_ids.encode("org", export.organisation.uuid),
        "month": wanted.month,
        "since": wanted.since,
        "until": wanted.until,
        "format": cast('Literal["csv", "jsonl"]', exports.form_of(export)),
        "with_amounts": bool(wanted.with_amounts),
        "state": cast("StateName", export.state),
        "file_name": exports.file_name(export),
        "line_count": export.line_count,
        "size_bytes": export.size_bytes,
        "sha256": export.sha256 or None,
        "problem": export.problem or None,
        "content_path": f"/api/v1/exports/{public_id}/content" if is_ready else None,
        "created_by_key_id": public_ids.encode("key", export.created_by_key.uuid),
        "created_at": Moment(export.created_at),
        "finished_at": optional(export.ended_at),
        "expires_at": optional(export.expires_at),
    }


def _answer(export: Export) -> Answer:
    return Answer(document=_document(export), etag=_version(export))


def _version(export: Export) -> str:
    return versions.etag(_document(export), without=_VOLATILE)


EXPORTS: Listing[Export] = Listing(
    shown=documents,
    document=ExportDocument,
    filters={
        "organisation_id": by_id("org", "organisation__uuid", "Of one organisation."),
        "kind": by_choice("kind", Export.Kind.values, "By kind."),
        "state": by_choice("state", Export.State.values, "By state."),
    },
)


def _rows(call: Call) -> ExportQuerySet:
    visible = Export.objects.visible_to(call.actor)
    return visible.select_related("organisation__parent", "created_by_key")


def _load(call: Call, uuid: UUID) -> Export:
    found = _rows(call).filter(uuid=uuid).first()
    if found is None:
        raise not_found()
    return found


def _must_have_scopes(call: Call, kind: str, wanted: exports.Wanted) -> None:
    for scope in exports.scopes_for(kind, wanted):
        call.must_have(scope)


class Exports(Endpoint):
    """All exports."""

    @operation(name="list_exports", scope="exports:read", lists=EXPORTS)
    def get(self, call: Call) -> Answer:
        """List exports that keys of your organisation asked for.

        Nobody else sees them: a file holds what whoever asked for it may see.
        """
        return EXPORTS.page(call, _rows(call))

    @operation(
        name="create_export",
        scope="exports:write",
        takes=ExportBody,
        gives=operations.OperationDocument,
        status=202,
        problems=("limit-reached",),
    )
    def post(self, call: Call) -> Answer:
        """Have a file written; `export.ready` tells when it can be fetched.

        By default it is about the organisation of the key. Each kind needs a scope of its own:
        usage `usage:read` and `invoices:read`, invoice lines `invoices:read`, customers
        `organisations:read` (with amounts `invoices:read` as well), activity and its proof
        `audit:read`. Mail itself is not exported here: every mail program fetches it by IMAP
        or POP3. An organisation asks for at most 240 files an hour, and keeps
        at most 100 at a time.
        """
        asked = dict(call.asked)
        kind, _named = asked.pop("kind"), asked.pop("organisation_id", None)
        wanted = exports.Wanted(**asked)
        _must_have_scopes(call, kind, wanted)
        turns.take(call, turns.FILES)
        export = exports.ask(
            actor=call.actor,
            by=call.api_key,
            organisation=targets.organisation_or_own(call),
            kind=kind,
            wanted=wanted,
            at=timezone.now(),
        )
        document = operations.of_export(export)
        return Answer(document=document, location=f"/api/v1/operations/{document['id']}")


class OneExport(Endpoint):
    """One export."""

    @operation(name="get_export", scope="exports:read", gives=ExportDocument)
    def get(self, call: Call, *, export: UUID) -> Answer:
        """Show an export and how far it is."""
        return _answer(_load(call, export))

    @operation(
        name="discard_export",
        scope="exports:write",
        gives=ExportDocument,
        match=Match.REQUIRED,
        problems=("wrong-state",),
    )
    def delete(self, call: Call, *, export: UUID) -> Answer:
        """Remove the file before its time, or stop writing it. It can be asked for again."""
        Export.objects.select_for_update().filter(uuid=export).first()
        found = _load(call, export)
        call.must_match(_version(found))
        exports.discard(actor=call.actor, export=found, at=timezone.now())
        return _answer(_load(call, export))


class ExportContent(Endpoint):
    """The file of an export."""

    renderer_classes = (_AsItIs,)

    @operation(
        name="get_export_content",
        scope="exports:read",
        media_types=("text/csv", "application/jsonl"),
        problems=("wrong-state",),
    )
    def get(self, call: Call, *, export: UUID) -> Answer:
        """Fetch the file, as often as you like while it is there.

        Needs the same scopes as asking for it. Compare its SHA-256 with `sha256` of the export.
        """
        found = _load(call, export)
        _must_have_scopes(call, found.kind, exports.Wanted(**found.wanted))
        content = FileResponse(
            exports.opened(found),
            as_attachment=True,
            filename=exports.file_name(found),
            content_type=exports.media_type(found),
        )
        return Answer(document=None, content=content)
