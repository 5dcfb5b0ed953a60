"""The change feed: everything that happened, in one order, to be read on from any place."""

from __future__ import annotations

from typing import Any, Literal, TypedDict
from uuid import UUID

from hosting import feed, public_ids
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.moments import Moment
from hosting.api.problems import not_found, wrong_parameter
from hosting.public_ids import NoSuchId

_HIGHEST_SEQ = 2**63 - 1


class EventDocument(TypedDict):
    """One fact. A webhook's body is the same. `data` names what it is about by id and state."""

    id: str
    type: str
    seq: int
    created_at: Moment
    organisation_id: str
    is_test: bool
    data: dict[str, Any]


class EventsDocument(TypedDict):
    """Some events. Read on with `after_seq` set to `last_seq`."""

    object: Literal["events"]
    items: list[EventDocument]
    last_seq: int
    has_more: bool


class Events(Endpoint):
    """All events."""

    @operation(
        name="list_events",
        scope="events:read",
        gives=EventsDocument,
        parameters={
            "after_seq": "Only what happened after this place; 0 for everything that is kept.",
            "limit": f"How many at most, up to {feed.MOST_AT_ONCE}.",
            "types": "Only these types, with commas between.",
        },
    )
    def get(self, call: Call) -> Answer:
        """Read what happened after a place in the feed.

        Nothing is ever missed: whoever goes on with `last_seq` is told of everything once, in
        order. Events are kept for 90 days at least.
        """
        page = feed.read(
            actor=call.actor,
            after_seq=call.whole("after_seq", default=0, lowest=0, highest=_HIGHEST_SEQ),
            limit=call.whole(
                "limit", default=feed.MOST_AT_ONCE, lowest=1, highest=feed.MOST_AT_ONCE
            ),
            types=_types(call.query.get("types")),
        )
        document = {
            "object": "events",
            "items": page.documents,
            "last_seq": page.last_seq,
            "has_more": page.has_more,
        }
        return Answer(document=document)


class OneEvent(Endpoint):
    """One event."""

    @operation(name="get_event", scope="events:read", gives=EventDocument)
    def get(self, call: Call, *, event: UUID) -> Answer:
        """Show one event by the id that a webhook named."""
        public_id = public_ids.encode("evt", event)
        try:
            return Answer(document=feed.find(actor=call.actor, public_id=public_id))
        except NoSuchId:
            raise not_found() from None


def _types(text: str | None) -> list[str]:
    if text is None:
        return []
    for name in text.split(","):
        if name not in feed.TYPES:
            raise wrong_parameter("types", "There is no event type of one of these names.")
    return text.split(",")
