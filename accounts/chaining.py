"""The chain of events: each link is a digest of the one before and of what happened.

Whoever changes, removes, inserts or reorders a line breaks every link behind it. There is one
chain of the house, and one of each organisation, which its people can check by themselves: it
says nothing about anybody else, not even how much happens there.

The text of an event, `line`, is JSON with its names in order, without spaces, all ASCII. Then

    own link = SHA-256(own link before, new line, text, new line)
    link     = SHA-256(link before, new line, own link, new line)

in hexadecimal; before the first stand 64 zeros. Links follow the places in the feed a moment
later, so that nobody who reads or numbers waits for a digest. What an earlier release recorded
is chained in the same way, from the first place on, a batch at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import connection, transaction

from accounts import outbox, seals
from accounts.models import BEGINNING, ChainHead, Event, OwnChain

BATCH = 2_000
FORM = 1
# What goes into the text of an event, and what is needed to find its place.
FIELDS = (
    "seq",
    "kind",
    "at",
    "organisation__uuid",
    "actor_kind",
    "actor_id",
    "actor_name",
    "door",
    "standing",
    "role",
    "commitment",
    "visit__uuid",
    "subject_kind",
    "subject_id",
    "subject_name",
    "data",
)
AND_PLACE = (*FIELDS, "position", "organisation_id")


class Link(NamedTuple):
    """One event's place in both chains, as it is written to its row."""

    seq: int
    link: str
    own_place: int
    own_link: str
    belongs_to: str


def line(fact: Mapping[str, Any], *, place: int) -> str:
    """The text of an event, of which the links are made; `fact` has the values of `FIELDS`."""
    visit = fact["visit__uuid"]
    said = {
        "form": FORM,
        "place": place,
        "id": str(fact["seq"]),
        "type": fact["kind"],
        "at": _moment(fact["at"]),
        "organisation": str(fact["organisation__uuid"]),
        "actor": {
            "kind": fact["actor_kind"],
            "id": fact["actor_id"],
            "name": fact["actor_name"],
            "standing": fact["standing"],
            "role": fact["role"],
        },
        "visit": None if visit is None else str(visit),
        "door": fact["door"],
        "origin": fact["commitment"],
        "subject": {
            "kind": fact["subject_kind"],
            "id": fact["subject_id"],
            "name": fact["subject_name"],
        },
        "data": fact["data"],
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def next_link(before: str, text: str) -> str:
    """The link behind another one."""
    return hashlib.sha256(f"{before}\n{text}\n".encode("ascii")).hexdigest()


def chain_all(*, may_go_on: Callable[[], bool] = lambda: True) -> int:
    """Chain all that has a place in the feed; returns how many were chained.

    Each batch is a transaction of its own, so it can stop after any and be killed in any.
    """
    count = 0
    while may_go_on():
        chained = chain(limit=BATCH)
        count += chained
        if chained < BATCH:
            break
    return count


def chain(*, limit: int) -> int:
    """Chain the next events in the order of the feed; returns how many there were."""
    if not _waiting(head().position).exists():
        return 0
    with transaction.atomic():
        last = ChainHead.objects.select_for_update().get(pk=1)
        # Places are given in order and by batches that are committed whole, so what is seen
        # after the lock has no gaps.
        facts = list(_waiting(last.position).values(*AND_PLACE)[:limit])
        if facts:
            _extend(last, facts)
    return len(facts)


def head() -> ChainHead:
    """The one row; it is made by whoever comes first."""
    beginning = {"seal": seals.seal(0, BEGINNING)}
    return ChainHead.objects.get_or_create(pk=1, defaults=beginning)[0]


def reached(known: ChainHead, position: int) -> int:
    """Up to which place the chain goes, looked up anew only where a place lies beyond."""
    return known.position if position <= known.position else head().position


def _waiting(position: int) -> Any:
    return Event.objects.filter(position__gt=position).order_by("position")


def _extend(last: ChainHead, facts: Sequence[Mapping[str, Any]]) -> None:
    own = _own_chains({fact["organisation_id"] for fact in facts})
    link, links = last.link, []
    for fact in facts:
        mine = own[fact["organisation_id"]]
        mine.place += 1
        mine.link = next_link(mine.link, line(fact, place=mine.place))
        link = next_link(link, mine.link)
        thing = outbox.thing_of(fact["subject_kind"], fact["subject_id"], fact["data"])
        links.append(Link(fact["seq"], link, mine.place, mine.link, thing))
    _WRITERS[connection.vendor](links)
    OwnChain.objects.bulk_create(
        own.values(),
        update_conflicts=True,
        unique_fields=["organisation"],
        update_fields=["place", "link"],
        batch_size=300,
    )
    position = facts[-1]["position"]
    sealed = seals.seal(position, link)
    ChainHead.objects.filter(pk=last.pk).update(position=position, link=link, seal=sealed)


def _own_chains(organisations: set[int]) -> dict[int, OwnChain]:
    known = OwnChain.objects.in_bulk(organisations)
    return {
        key: known.get(key) or OwnChain(organisation_id=key, place=0, link=BEGINNING)
        for key in organisations
    }


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _write_on_postgresql(links: Sequence[Link]) -> None:
    statement = f"""
        UPDATE {_table()} AS event
        SET link = made.link, own_place = made.own_place, own_link = made.own_link,
            belongs_to = made.belongs_to
        FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[])
            AS made(seq, link, own_place, own_link, belongs_to)
        WHERE event.seq = made.seq
    """  # noqa: S608  # The name of a table of ours is no input.
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(column) for column in zip(*links, strict=True)])


def _write_on_sqlite(links: Sequence[Link]) -> None:
    statement = f"""
        UPDATE {_table()} SET link = %s, own_place = %s, own_link = %s, belongs_to = %s
        WHERE seq = %s
    """  # noqa: S608  # The name of a table of ours is no input.
    with connection.cursor() as cursor:
        cursor.executemany(statement, [(*made[1:], made.seq) for made in links])


def _table() -> str:
    return connection.ops.quote_name(Event._meta.db_table)  # noqa: SLF001  # Django's way


_WRITERS: Mapping[str, Callable[[Sequence[Link]], None]] = {
    "postgresql": _write_on_postgresql,
    "sqlite": _write_on_sqlite,
}
