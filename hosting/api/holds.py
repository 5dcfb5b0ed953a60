"""Holds: a stop on all removal, placed by one key and released by another person's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict
from uuid import UUID

from django.db.models import Q

from accounts.models import ApiKey, Organisation
from hosting import public_ids
from hosting.api import domains, expanding, mailboxes, organisations, targets
from hosting.api.contract import Answer, Call, Match, operation
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, Text
from hosting.api.filters import by_id
from hosting.api.listing import Filter, Listing
from hosting.api.loading import Things
from hosting.api.moments import Moment, optional
from hosting.api.targets import TargetBody, TargetIds
from mailstore import holding
from mailstore.models import Hold
from mailstore.models.holds import HoldQuerySet


class HolderDocument(TypedDict):
    """Who placed or released a hold: a program, or staff of the house, who are not named."""

    kind: Literal["api_key", "staff"]
    api_key_id: str | None


class HoldDocument(TargetIds):
    """A stop on all removal below one thing. Staff's reasons are not told."""

    object: Literal["hold"]
    id: str
    state: Literal["standing", "released"]
    matter: str
    reason: str | None
    placed_by: HolderDocument
    placed_at: Moment
    released_by: HolderDocument | None
    released_at: Moment | None
    release_reason: str | None


class HoldBody(TargetBody):
    """What is held, how the matter is called, and why."""

    matter = Text(max_length=120)
    reason = Text(max_length=2000)


class ReleaseBody(Body):
    """Why the hold ends."""

    reason = Text(max_length=2000)


def documents(holds: Sequence[Hold]) -> list[HoldDocument]:
    """Holds that `_rows` gave."""
    return [_document(hold) for hold in holds]


def _document(hold: Hold) -> HoldDocument:
    ids = targets.ids_of(organisation=hold.organisation, domain=hold.domain, mailbox=hold.mailbox)
    is_released = hold.released_at is not None
    tells_release = is_released and hold.released_by_key is not None
    return {
        **ids,
        "object": "hold",
        "id": public_ids.encode("hld", hold.uuid),
        "state": "released" if is_released else "standing",
        "matter": hold.matter,
        "reason": hold.reason if hold.placed_by_key else None,
        "placed_by": _holder(hold.placed_by_key),
        "placed_at": Moment(hold.placed_at),
        "released_by": _holder(hold.released_by_key) if is_released else None,
        "released_at": optional(hold.released_at),
        "release_reason": hold.release_reason if tells_release else None,
    }


def _holder(api_key: ApiKey | None) -> HolderDocument:
    if api_key is None:
        return {"kind": "staff", "api_key_id": None}
    return {"kind": "api_key", "api_key_id": public_ids.encode("key", api_key.uuid)}


HOLDS: Listing[Hold] = Listing(
    shown=documents,
    document=HoldDocument,
    expand=expanding.of(
        organisation=organisations.EXPANSION,
        domain=domains.EXPANSION,
        mailbox=mailboxes.EXPANSION,
    ),
    filters={
        "organisation_id": by_id("org", "organisation__uuid", "On one organisation."),
        "domain_id": by_id("dom", "domain__uuid", "On one domain."),
        "mailbox_id": by_id("mbx", "mailbox__uuid", "On one mailbox."),
        "state": Filter(
            meaning="Those that stand, or those that were released.",
            condition=lambda text: Q(released_at__isnull=text == "standing"),
            choices=("standing", "released"),
        ),
    },
)


def _rows(call: Call) -> HoldQuerySet:
    return Hold.objects.visible_to(call.actor).select_related(
        "organisation__parent",
        "domain__organisation__parent",
        "mailbox__organisation__parent",
        "placed_by_key__organisation__parent",
        "released_by_key",
    )


def _owner(hold: Hold) -> Organisation:
    return targets.owner_of(hold.organisation or hold.domain or hold.mailbox)


HOLD: Things[Hold] = Things(
    rows=_rows,
    lives_in=_owner,
    locks=Hold.objects.select_for_update(),
    document=lambda _call, hold: _document(hold),
)


class Holds(Endpoint):
    """All holds."""

    @operation(name="list_holds", scope="holds:read", lists=HOLDS)
    def get(self, call: Call) -> Answer:
        """List holds, released ones as well: none is ever deleted."""
        return HOLDS.page(call, _rows(call))

    @operation(
        name="place_hold", scope="holds:write", takes=HoldBody, gives=HoldDocument, status=201
    )
    def post(self, call: Call) -> Answer:
        """Stop all removal from a mailbox, a domain, or an organisation with all below it."""
        hold = holding.place(
            actor=call.actor,
            by=call.api_key,
            scope=targets.named(call),
            matter=call.asked["matter"],
            reason=call.asked["reason"],
            at=call.at,
        )
        return HOLD.created(call, hold, below="holds")


class OneHold(Endpoint):
    """One hold."""

    @operation(name="get_hold", scope="holds:read", gives=HoldDocument)
    def get(self, call: Call, *, hold: UUID) -> Answer:
        """Show a hold."""
        return HOLD.answer(call, HOLD.load(call, hold))


class Release(Endpoint):
    """The end of a hold."""

    @operation(
        name="release_hold",
        scope="holds:write",
        takes=ReleaseBody,
        gives=HoldDocument,
        match=Match.REQUIRED,
        problems=("forbidden", "wrong-state"),
    )
    def post(self, call: Call, *, hold: UUID) -> Answer:
        """Let removal go on. It takes a key that another person made."""
        found = HOLD.locked(call, hold)
        holding.release(
            actor=call.actor,
            by=call.api_key,
            hold=found,
            reason=call.asked["reason"],
            at=call.at,
        )
        return HOLD.answer(call, HOLD.load(call, hold))
