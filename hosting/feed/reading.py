"""The change feed: everything that happened in an actor's tree, in one order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from accounts import numbering
from accounts.access import Actor
from accounts.models import Event
from hosting import public_ids
from hosting.feed.catalogue import RECORDED_KINDS
from hosting.feed.documents import document, names

MOST_AT_ONCE = 200


@dataclass(frozen=True, kw_only=True)
class FeedPage:
    """Some documents, and where to read on; all before `last_seq` has been told."""

    documents: list[dict[str, Any]]
    last_seq: int
    has_more: bool


def read(
    *,
    actor: Actor,
    after_seq: int = 0,
    limit: int = MOST_AT_ONCE,
    types: Collection[str] = (),
) -> FeedPage:
    """What happened after a place in the feed; `types` narrows it down.

    What is committed when this is called is in it, however late its transaction was.
    """
    end = numbering.number_all()
    found = _visible(actor).after(after_seq).filter(position__lte=end)
    rows = list(found.select_related("organisation")[: limit + 1])
    shown, has_more = rows[:limit], len(rows) > limit
    named = names()
    told = [each for each in (document(row, names=named) for row in shown) if each is not None]
    return FeedPage(
        documents=[each for each in told if not types or each["type"] in types],
        last_seq=(shown[-1].position or 0) if has_more else max(end, after_seq),
        has_more=has_more,
    )


def find(*, actor: Actor, public_id: str) -> dict[str, Any]:
    """One event by its public id; raises `NoSuchId` for a stranger's like for an absent one."""
    named = names()
    numbering.number_all()
    rows = _visible(actor).filter(pk=named.decode(public_id)).select_related("organisation")
    row = rows.first()
    told = document(row, names=named) if row else None
    if told is None:
        message = "No event has this id."
        raise public_ids.NoSuchId(message)
    return told


def _visible(actor: Actor) -> Any:
    return Event.objects.visible_to(actor).filter(kind__in=RECORDED_KINDS)
