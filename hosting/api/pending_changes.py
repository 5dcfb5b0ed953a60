"""Changes that make mail less safe and wait until everybody had time to call them off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, cast
from uuid import UUID

from hosting import public_ids
from hosting.api import domains, expanding, mailboxes, organisations, targets
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.filters import by_choice, by_id
from hosting.api.listing import Listing
from hosting.api.loading import Things
from hosting.api.moments import Moment, optional
from mailstore import cooling
from mailstore.models import PendingChange
from mailstore.models.cooling import PendingChangeQuerySet

KindName = Literal[
    "rule",
    "window",
    "empty_store",
    "destroy",
    "close",
    "tripwire",
    "thresholds",
    "plan",
    "close_all",
]
StateName = Literal["waiting", "made", "called_off", "failed"]


class PendingChangeDocument(targets.TargetIds):
    """One change on its way, what it is about, and when it takes effect unless called off."""

    object: Literal["pending_change"]
    id: str
    operation_id: str
    kind: KindName
    sentence: str
    state: StateName
    asked_by: str
    asked_at: Moment
    effective_at: Moment
    ended_by: str | None
    ended_at: Moment | None


class Outcome(TypedDict):
    """What became of a request: it holds already, or this change waits."""

    object: Literal["outcome"]
    holds_now: bool
    pending_change: PendingChangeDocument | None


def documents(found: Sequence[PendingChange]) -> list[PendingChangeDocument]:
    """Changes that `rows` gave."""
    return [document(change) for change in found]


def document(change: PendingChange) -> PendingChangeDocument:
    """One change, with what it is about."""
    ids = targets.ids_of(
        organisation=change.organisation, domain=change.domain, mailbox=change.mailbox
    )
    return {
        **ids,
        "object": "pending_change",
        "id": public_ids.encode("chg", change.uuid),
        "operation_id": public_ids.encode("opn", change.uuid),
        "kind": cast("KindName", change.kind),
        "sentence": change.sentence,
        "state": cast("StateName", change.state),
        "asked_by": change.asked_by,
        "asked_at": Moment(change.asked_at),
        "effective_at": Moment(change.effective_at),
        "ended_by": change.ended_by or None,
        "ended_at": optional(change.ended_at),
    }


def outcome(change: PendingChange | None) -> Answer:
    """Done at once is 200; what waits is 202 and leads to the change."""
    if change is None:
        return Answer(document={"object": "outcome", "holds_now": True, "pending_change": None})
    shown = document(change)
    return Answer(
        document={"object": "outcome", "holds_now": False, "pending_change": shown},
        status=202,
        location=where(change),
    )


def accepted(change: PendingChange) -> Answer:
    """202 for what always waits, with the change itself."""
    return Answer(document=document(change), status=202, location=where(change))


def where(change: PendingChange) -> str:
    """Where a change is shown."""
    return f"/api/v1/pending-changes/{public_ids.encode('chg', change.uuid)}"


PENDING_CHANGES: Listing[PendingChange] = Listing(
    shown=documents,
    document=PendingChangeDocument,
    expand=expanding.of(
        organisation=organisations.EXPANSION,
        domain=domains.EXPANSION,
        mailbox=mailboxes.EXPANSION,
    ),
    sorts={"created": ("pk",), "effective": ("effective_at", "pk")},
    filters={
        "organisation_id": by_id("org", "organisation__uuid", "Of one organisation."),
        "domain_id": by_id("dom", "domain__uuid", "About one domain."),
        "mailbox_id": by_id("mbx", "mailbox__uuid", "About one mailbox."),
        "state": by_choice("state", PendingChange.State.values, "By state."),
        "kind": by_choice("kind", PendingChange.Kind.values, "By kind."),
    },
)


def rows(call: Call) -> PendingChangeQuerySet:
    """The changes that the caller may know of. Those of plans concern everybody, so none."""
    visible = PendingChange.objects.visible_to(call.actor).filter(policy=None)
    return visible.select_related("organisation__parent", "domain", "mailbox")


PENDING_CHANGE: Things[PendingChange] = Things(
    rows=rows,
    lives_in=lambda change: change.organisation,
    locks=PendingChange.objects.select_for_update(),
    document=lambda _call, change: document(change),
)
load = PENDING_CHANGE.load


class PendingChanges(Endpoint):
    """All changes on their way, and what became of earlier ones."""

    @operation(
        name="list_pending_changes",
        scope="mailboxes:read",
        lists=PENDING_CHANGES,
    )
    def get(self, call: Call) -> Answer:
        """List changes that wait, and what became of earlier ones."""
        return PENDING_CHANGES.page(call, rows(call))


class PendingChangesOfMailbox(Endpoint):
    """Those of one mailbox."""

    @operation(
        name="list_pending_changes_of_mailbox",
        scope="mailboxes:read",
        lists=PENDING_CHANGES,
    )
    def get(self, call: Call, *, mailbox: UUID) -> Answer:
        """List the changes of one mailbox."""
        return PENDING_CHANGES.page(call, rows(call).filter(mailbox=mailboxes.load(call, mailbox)))


class OnePendingChange(Endpoint):
    """One change."""

    @operation(name="get_pending_change", scope="mailboxes:read", gives=PendingChangeDocument)
    def get(self, call: Call, *, change: UUID) -> Answer:
        """Show a change."""
        return PENDING_CHANGE.answer(call, load(call, change))


class CallingOff(Endpoint):
    """The end of a change before it is made."""

    @operation(
        name="call_off_pending_change",
        scope="mailboxes:write",
        gives=PendingChangeDocument,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, change: UUID) -> Answer:
        """Call a change off: everything stays as it is."""
        found = PENDING_CHANGE.locked(call, change)
        cooling.call_off(actor=call.actor, change=found, at=call.at)
        return PENDING_CHANGE.answer(call, found)
