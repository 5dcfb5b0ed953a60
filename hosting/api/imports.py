"""Imports: lists as CSV that open many mailboxes or customers, looked at before they are begun."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

from django.db.models import CharField, F, Q, QuerySet, Value
from django.utils import timezone
from rest_framework import serializers

from hosting import customer_lists, importing, piecework, public_ids, quoting
from hosting.api import cost_previews, operations, targets, turns, versions
from hosting.api.contract import Answer, Call, Match, operation
from hosting.api.cost_previews import TotalDocument
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, PublicId, Text
from hosting.api.filters import by_choice, by_id
from hosting.api.listing import Listing
from hosting.api.merging import Merged
from hosting.api.moments import Moment, optional
from hosting.api.problems import Fault, Problem, invalid, not_found
from hosting.api.texts import ListJsonParser
from hosting.importing import runs
from hosting.models import CustomerImport, MailboxImport, UploadedList

Import = MailboxImport | CustomerImport
KindName = Literal["mailboxes", "customers"]
StateName = Literal["checked", "running", "finished", "cancelled"]
# So many of a list's problems are told; all of them are counted.
MOST_PROBLEMS = 1_000
_NAME_LENGTH = 120
# What changes while the list is worked off, which is no reason to refuse a change.
_VOLATILE = ("done_count", "opened_count", "problem_count", "problems")


class ImportDocument(TypedDict):
    """One list. Until it is confirmed, problems are those that were found when it came in.

    From then on they are those of the lines that were left out, and it is an operation.
    `created_by_key_id` is null where a person brought the list in.
    """

    object: Literal["import"]
    id: str
    operation_id: str | None
    kind: KindName
    organisation_id: str
    name: str
    state: StateName
    row_count: int
    done_count: int
    opened_count: int
    problem_count: int
    created_by_key_id: str | None
    created_at: Moment
    confirmed_at: Moment | None
    finished_at: Moment | None


class ImportProblemDocument(TypedDict):
    """Why a line is left out. Line 1 names the columns; `column` is empty for a whole line."""

    line: int
    column: str
    code: str
    message: str


class ImportInDetailDocument(ImportDocument):
    """The same with its first 1,000 problems.

    `totals` says by currency what the mailboxes that can be opened would cost together while they
    are empty, as of when the list came in; opening customers costs nothing. It is null where a
    person brought the list in, and without the scope `invoices:read`.
    """

    problems: list[ImportProblemDocument]
    totals: list[TotalDocument] | None


class ImportBody(Body):
    """A list and what its lines are.

    Of mailboxes the columns are address and plan, and if you like label and quota_bytes. Of
    customers they are name, and if you like external_ref, owner_email, domain, mailboxes, domains
    and stored_bytes. The first line names them.
    """

    kind = serializers.ChoiceField(choices=["mailboxes", "customers"])
    organisation_id = PublicId("org", required=False)
    name = Text(max_length=_NAME_LENGTH, required=False)
    csv = Text(trim_whitespace=False)


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What one kind of list is about: its rows, the scopes it takes, and its verbs."""

    rows: Callable[[Call], QuerySet[Any]]
    locks: Callable[[], QuerySet[Any]]
    reads: str
    writes: str
    take_in: Callable[..., Any]
    judge: Callable[[Call, Any], Sequence[piecework.Problem]]
    confirm: Callable[..., None]
    cancel: Callable[..., None]


def _of_mailboxes(call: Call) -> QuerySet[MailboxImport]:
    found = MailboxImport.objects.visible_to(call.actor).filter(organisation__isnull=False)
    return found.annotate(owner_uuid=F("organisation__uuid"), **_kind("mailboxes"))


def _of_customers(call: Call) -> QuerySet[CustomerImport]:
    found = CustomerImport.objects.visible_to(call.actor)
    return found.annotate(owner_uuid=F("seller__uuid"), **_kind("customers"))


def _kind(name: KindName) -> dict[str, Any]:
    return {"kind": Value(name, output_field=CharField())}


def _mailboxes_judged(call: Call, listed: MailboxImport) -> Sequence[piecework.Problem]:
    """What is wrong; what the rest would cost is kept with the list."""
    checked = runs.preview(listed=listed, actor=call.actor)
    sold = [(row.domain.organisation, row.plan) for row in checked.rows]
    listed.totals = [asdict(total) for total in quoting.totals(sold, at=timezone.now())]
    listed.save(update_fields=["totals"])
    return checked.problems


_KINDS: Mapping[str, _Kind] = {
    "mailboxes": _Kind(
        rows=_of_mailboxes,
        locks=MailboxImport.objects.select_for_update,
        reads="mailboxes:read",
        writes="mailboxes:write",
        take_in=lambda *, owner, **more: runs.take_in(organisation=owner, **more),
        judge=_mailboxes_judged,
        confirm=runs.confirm,
        cancel=runs.cancel,
    ),
    "customers": _Kind(
        rows=_of_customers,
        locks=CustomerImport.objects.select_for_update,
        reads="organisations:read",
        writes="organisations:write",
        take_in=lambda *, owner, **more: customer_lists.take_in(seller=owner, **more),
        judge=lambda _call, listed: customer_lists.preview(listed).problems,
        confirm=customer_lists.confirm,
        cancel=customer_lists.cancel,
    ),
}


def documents(found: Sequence[Any]) -> list[ImportDocument]:
    """Lists that `_rows` gave."""
    return [_document(each) for each in found]


def _document(listed: Any) -> ImportDocument:
    key = listed.created_by_key
    return {
        "object": "import",
        "id": public_ids.encode("imp", listed.uuid),
        "operation_id": public_ids.encode("opn", listed.uuid) if listed.confirmed_at else None,
        "kind": cast("KindName", listed.kind),
        "organisation_id": public_ids.encode("org", listed.owner_uuid),
        "name": listed.file_name,
        "state": cast("StateName", listed.state),
        "row_count": listed.row_count,
        "done_count": listed.done_count,
        "opened_count": listed.opened_count,
        "problem_count": listed.problem_count,
        "created_by_key_id": public_ids.encode("key", key.uuid) if key else None,
        "created_at": Moment(listed.created_at),
        "confirmed_at": optional(listed.confirmed_at),
        "finished_at": optional(listed.ended_at),
    }


def _in_detail(call: Call, listed: Any) -> ImportInDetailDocument:
    problems = [piecework.Problem(**each) for each in listed.problems[:MOST_PROBLEMS]]
    told: list[ImportProblemDocument] = [
        {"line": each.line, "column": each.column, "code": each.code, "message": each.message}
        for each in problems
    ]
    totals = listed.totals if isinstance(listed, MailboxImport) else []
    shown = totals if cost_previews.are_for(call) else None
    return {**_document(listed), "problems": told, "totals": shown}


def _answer(call: Call, listed: Any, *, location: str | None = None) -> Answer:
    document = _in_detail(call, listed)
    return Answer(document=document, etag=_version(listed), location=location)


def _version(listed: Any) -> str:
    return versions.etag(_document(listed), without=_VOLATILE)


IMPORTS: Listing[UploadedList] = Listing(
    shown=documents,
    document=ImportDocument,
    sorts={"created": ("created_at", "uuid")},
    filters={
        "organisation_id": by_id("org", "owner_uuid", "For one organisation."),
        "kind": by_choice("kind", _KINDS, "By kind."),
        "state": by_choice("state", UploadedList.State.values, "By state."),
    },
)


def _rows(call: Call) -> Merged:
    """Lists of all kinds, without their text and their problems."""
    return Merged(
        *(
            kind.rows(call).select_related("created_by_key").defer("content", "problems")
            for kind in _KINDS.values()
        )
    )


def _load(call: Call, uuid: UUID) -> Any:
    for kind in _KINDS.values():
        rows = kind.rows(call).select_related("created_by_key", "created_by")
        found = rows.defer("content").filter(Q(uuid=uuid)).first()
        if found is not None:
            return found
    raise not_found()


def _locked(call: Call, uuid: UUID) -> Any:
    """The same for a change by a key that may do what the list does."""
    kind = _KINDS[_load(call, uuid).kind]
    kind.locks().filter(uuid=uuid).first()
    found = _load(call, uuid)
    call.must_match(_version(found))
    call.must_have(kind.writes)
    return found


def _name(call: Call) -> str:
    name: str = call.asked.get("name", f"{call.asked['kind']}.csv")
    if not name.isprintable():
        raise invalid("/name", "This has characters that cannot be shown.")
    return name


def _taken_in(call: Call, kind: _Kind) -> Any:
    """The list as a row; raises a problem that points at the text where it cannot be read."""
    try:
        return kind.take_in(
            actor=call.actor,
            by=call.api_key,
            owner=targets.organisation_or_own(call),
            file_name=_name(call),
            text=call.asked["csv"].removeprefix("\ufeff"),
            at=timezone.now(),
        )
    except importing.UnreadableList as refusal:
        problem = refusal.problem
        message = f"Line {problem.line}: {problem.message}"
        fault = Fault(pointer="/csv", code=problem.code, message=message)
        raise Problem(code="validation-failed", detail=message, faults=[fault]) from refusal


class Imports(Endpoint):
    """All imports."""

    parser_classes = (ListJsonParser,)

    @operation(name="list_imports", scope="exports:read", lists=IMPORTS)
    def get(self, call: Call) -> Answer:
        """List imports, also those that people brought in."""
        return IMPORTS.page(call, cast("QuerySet[UploadedList]", _rows(call)))

    @operation(
        name="create_import",
        scope="exports:write",
        takes=ImportBody,
        gives=ImportInDetailDocument,
        status=201,
        problems=("limit-reached",),
    )
    def post(self, call: Call) -> Answer:
        """Bring a list in and see what would come of it; nothing is opened before you confirm it.

        `csv` is the text of the list. Lines that cannot be used are named in `problems` and would
        be left out. Mailboxes are opened in domains of the organisation and of its customers;
        customers are opened below it. By default it is the organisation of the key. Also needs
        `mailboxes:write` or `organisations:write`, by kind.

        The keys of an organisation bring in 120 lists an hour at most, and 100 of a kind may wait.
        A list that nobody confirms is cancelled after 30 days. When a list ends, its text is
        forgotten; what became of its lines stays.
        """
        kind = _KINDS[call.asked["kind"]]
        call.must_have(kind.writes)
        turns.take(call, turns.LISTS)
        listed = _load(call, _taken_in(call, kind).uuid)
        piecework.keep_verdict(listed, kind.judge(call, listed))
        where = f"/api/v1/imports/{public_ids.encode('imp', listed.uuid)}"
        return _answer(call, listed, location=where)


class OneImport(Endpoint):
    """One import."""

    @operation(name="get_import", scope="exports:read", gives=ImportInDetailDocument)
    def get(self, call: Call, *, listed: UUID) -> Answer:
        """Show an import, how far it is and what could not be used.

        Also needs `mailboxes:read` or `organisations:read`, by kind.
        """
        found = _load(call, listed)
        call.must_have(_KINDS[found.kind].reads)
        return _answer(call, found)


class Confirmation(Endpoint):
    """The word to begin."""

    @operation(
        name="confirm_import",
        scope="exports:write",
        gives=operations.OperationDocument,
        status=202,
        match=Match.REQUIRED,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, listed: UUID) -> Answer:
        """Open all that can be opened, line by line, each once. It costs what orders cost.

        The work is done in the name of the key that brought the list in, so only that key, or
        one that replaced it, can confirm it; once that key is revoked, what is left of the list
        is cancelled. Also needs `mailboxes:write` or `organisations:write`, by kind.
        """
        found = _locked(call, listed)
        kind = _KINDS[found.kind]
        kind.confirm(actor=call.actor, listed=found, at=timezone.now())
        document = operations.of_import(_load(call, listed))
        return Answer(document=document, location=f"/api/v1/operations/{document['id']}")


class Cancellation(Endpoint):
    """The end of an import before its last line."""

    @operation(
        name="cancel_import",
        scope="exports:write",
        gives=ImportInDetailDocument,
        match=Match.OPTIONAL,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, listed: UUID) -> Answer:
        """Leave the list, or what is left of it. What was opened stays open.

        Also needs `mailboxes:write` or `organisations:write`, by kind.
        """
        found = _locked(call, listed)
        _KINDS[found.kind].cancel(actor=call.actor, listed=found, at=timezone.now())
        return _answer(call, _load(call, listed))
