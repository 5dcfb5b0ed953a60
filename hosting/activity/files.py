"""The activity as files: CSV to read, JSON lines for programs, and a proof to check.

A proof has every event of one organisation, each with the text that its link was made of. With
`examples/activity/verify_activity.py`, or any program that makes SHA-256, its owner sees that
nothing was changed, removed, inserted or reordered, and that an earlier file is its beginning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet

from accounts import chaining, checkpoints
from accounts.models import Event, Organisation, OwnChain
from accounts.staff import csv_line
from hosting.activity.telling import Line, Reader

_AT_ONCE = 1_000
COLUMNS = (
    "at",
    "organisation",
    "type",
    "what_happened",
    "who",
    "as",
    "reason_of_visit",
    "by",
    "address",
    "session",
    "changes",
    "place",
    "link",
)


def csv_lines(events: QuerySet[Event], *, reader: Reader) -> Iterator[str]:
    """A table with one line for each event."""
    yield csv_line(COLUMNS)
    for event in _all(events):
        told = reader.line(event)
        yield csv_line(
            [
                _moment(event.at),
                told.organisation,
                event.kind,
                told.text,
                told.who,
                told.capacity,
                told.reason,
                told.door,
                told.address,
                told.session,
                _changes(told),
                event.own_place or "",
                event.own_link,
            ]
        )


def json_lines(events: QuerySet[Event], *, reader: Reader) -> Iterator[str]:
    """One JSON document for each event."""
    for event in _all(events):
        yield json.dumps(_document(event, reader.line(event)), ensure_ascii=False) + "\n"


def proof_lines(organisation: Organisation, *, reader: Reader) -> Iterator[str]:
    """Every event of one organisation in its order, with what its links are made of."""
    own = OwnChain.objects.filter(organisation=organisation).first()
    end = own.place if own else 0
    yield _json({"object": "activity_proof", "organisation": str(organisation.uuid)})
    place = 0
    while place < end:
        rows = Event.objects.filter(organisation=organisation, own_place__gt=place)
        facts = list(
            rows.filter(own_place__lte=end)
            .order_by("own_place")
            .values(*chaining.FIELDS, *_PROVED)[:_AT_ONCE]
        )
        if not facts:
            break
        yield from (_json(_proof(fact, organisation, reader)) for fact in facts)
        place = facts[-1]["own_place"]
    sealed = checkpoints.last()
    yield _json(
        {
            "object": "head",
            "place": end,
            "link": own.link if own else "",
            "checkpoint": sealed
            and {"at": _moment(sealed.at), "link": sealed.link, "seal": sealed.seal},
        }
    )


_PROVED = ("own_place", "own_link", "address", "session", "salt", "organisation_id", "visit_id")


def _proof(fact: dict[str, Any], organisation: Organisation, reader: Reader) -> dict[str, Any]:
    shown = Event(organisation=organisation, standing=fact["standing"], visit_id=fact["visit_id"])
    said: dict[str, Any] = {
        "object": "event",
        "line": chaining.line(fact, place=fact["own_place"]),
        "link": fact["own_link"],
    }
    if fact["salt"] is not None and reader.sees_origin(shown):
        said["origin"] = {
            "address": fact["address"],
            "session": fact["session"],
            "salt": bytes(fact["salt"]).hex(),
        }
    return said


def _document(event: Event, told: Line) -> dict[str, Any]:
    return {
        "at": _moment(event.at),
        "organisation": told.organisation,
        "type": event.kind,
        "what_happened": told.text,
        "who": told.who,
        "as": told.capacity,
        "reason_of_visit": told.reason,
        "by": told.door,
        "address": told.address,
        "session": told.session,
        "changes": [
            {"what": detail.label, "old": detail.old, "new": detail.new} for detail in told.details
        ],
        "place": event.own_place,
        "link": event.own_link,
    }


def _all(events: QuerySet[Event]) -> Iterator[Event]:
    """All of them in pieces, without holding a cursor open in the database."""
    rows = list(events[:_AT_ONCE])
    while rows:
        yield from rows
        last = rows[-1]
        behind = Q(at__lt=last.at) | Q(at=last.at, seq__lt=last.seq)
        rows = list(events.filter(behind, at__lte=last.at)[:_AT_ONCE])


def _changes(told: Line) -> str:
    return "; ".join(
        f"{detail.label}: {detail.new}"
        if detail.old is None
        else f"{detail.label}: {detail.old} → {detail.new}"
        for detail in told.details
    )


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _json(said: dict[str, Any]) -> str:
    return json.dumps(said, sort_keys=True) + "\n"
