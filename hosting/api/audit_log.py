"""Who did what, as the organisation's own people see it. It is never pruned."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, TypedDict, cast

from django.db.models import Q, QuerySet

from accounts.access import Actor, ActorKind
from accounts.models import Event, Visit
from hosting import feed, public_ids
from hosting.activity import Reader
from hosting.api import audit_ids
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.filters import by_choice, by_id, by_moment
from hosting.api.listing import Filter, Listing
from hosting.api.moments import Moment
from hosting.feed import Names


class AuditActorDocument(TypedDict):
    """Who did it. `standing` says how it stands to the organisation, `role` by which role.

    The house itself, of kind `system`, has no id.
    """

    kind: Literal["user", "system", "api_key"]
    id: str | None
    name: str
    standing: Literal["own", "above", "visit", "staff", "house"] | None
    role: str | None


class AuditVisitDocument(TypedDict):
    """Whoever did it was a guest from above, and gave a reason."""

    person: str
    seller: str
    reason: str


class AuditChainDocument(TypedDict):
    """Where it stands in the chain of its organisation. Null until a moment later."""

    place: int
    link: str


class AuditSubjectDocument(TypedDict):
    """What it was done to. A plan, its rules and a host have the id that they are named by."""

    kind: str
    id: str
    name: str


class AuditEntryDocument(TypedDict):
    """One fact. `data` has old and new values, and never a secret.

    `address` is told to the organisation's own keys alone, of its own people and keys.
    """

    object: Literal["audit_entry"]
    id: str
    type: str
    at: Moment
    organisation_id: str
    actor: AuditActorDocument
    subject: AuditSubjectDocument
    data: dict[str, Any]
    door: Literal["panel", "staff", "api", "command", "worker"] | None
    address: str | None
    visit: AuditVisitDocument | None
    chain: AuditChainDocument | None


def documents(events: Sequence[Event], *, actor: Actor) -> list[AuditEntryDocument]:
    """Events that were loaded with their organisation and visit, as this actor may read them."""
    reader, names = Reader(actor=actor, house_name=""), feed.names()
    return [
        _document(event, names=names, sees_origin=reader.sees_origin(event)) for event in events
    ]


def _document(event: Event, *, names: Names, sees_origin: bool) -> AuditEntryDocument:
    return {
        "object": "audit_entry",
        "id": names.encode(event.seq),
        "type": event.kind,
        "at": Moment(event.at),
        "organisation_id": public_ids.encode("org", event.organisation.uuid),
        "actor": {
            "kind": cast('Literal["user", "system", "api_key"]', event.actor_kind),
            "id": audit_ids.actor_id(event, names=names),
            "name": event.actor_name,
            "standing": cast("Any", event.standing or None),
            "role": event.role or None,
        },
        "subject": {
            "kind": event.subject_kind,
            "id": audit_ids.subject_id(event, names=names),
            "name": event.subject_name,
        },
        "data": audit_ids.facts(event.data),
        "door": cast("Any", event.door or None),
        "address": (event.address or None) if sees_origin else None,
        "visit": _visit(event.visit),
        "chain": _chain(event),
    }


def _visit(visit: Visit | None) -> AuditVisitDocument | None:
    if visit is None:
        return None
    return {"person": visit.person, "seller": visit.seller, "reason": visit.reason}


def _chain(event: Event) -> AuditChainDocument | None:
    if event.own_place is None:
        return None
    return {"place": event.own_place, "link": event.own_link}


_NOBODY = Actor(kind=ActorKind.API_KEY, id="", name="")
AUDIT_LOG: Listing[Event] = Listing(
    shown=partial(documents, actor=_NOBODY),
    document=AuditEntryDocument,
    sorts={"created": ("seq",)},
    filters={
        "organisation_id": by_id("org", "organisation__uuid", "About one organisation."),
        "type": Filter(meaning="Of one type.", condition=lambda text: Q(kind=text)),
        "actor_kind": by_choice("actor_kind", ActorKind, "By people, keys or the house."),
        "actor_id": Filter(
            meaning="By one person or key: the `id` of an `actor`.",
            condition=lambda text: audit_ids.by_actor(text, names=feed.names()),
            form={"pattern": audit_ids.ACTOR_PATTERN},
        ),
        "subject_id": Filter(
            meaning="About one thing: the `id` of a `subject`.",
            condition=lambda text: audit_ids.by_subject(text, names=feed.names()),
        ),
        "from": by_moment("at__gte", "From this moment on."),
        "until": by_moment("at__lt", "Before this moment."),
    },
)


class AuditLog(Endpoint):
    """Everything that was done."""

    @operation(name="list_audit_log", scope="audit:read", lists=AUDIT_LOG)
    def get(self, call: Call) -> Answer:
        """List what was done to the organisations of the key, and by whom."""
        shown = partial(documents, actor=call.actor)
        return AUDIT_LOG.page(call, _rows(call), shown=shown)


def _rows(call: Call) -> QuerySet[Event]:
    return Event.objects.visible_to(call.actor).select_related("organisation", "visit")
