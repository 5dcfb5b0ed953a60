"""What stands in the files: each kind by the writer that the panel's own pages have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

from django.conf import settings

from accounts.access import Actor
from hosting import activity, clocks, customer_lists, exporting, searching
from hosting.activity import Reader, files
from hosting.exports import bill_lines, wanting
from hosting.exports.wanting import JSON_LINES, Kind
from hosting.models import Export


def lines(export: Export, *, actor: Actor) -> Iterator[str]:
    """The file line by line, as whoever asked for it may see it; the first of CSV is its header.

    Load `organisation__parent` with the export. What is asked for is the state at the moment
    when it was asked, so far as it is told by moments.
    """
    return _WRITERS[export.kind](export, actor)


def _usage(export: Export, _actor: Actor) -> Iterator[str]:
    chosen = exporting.month(export.organisation, period=wanting.of(export).period())
    return exporting.lines(chosen, at=_asked_at(export))


def _invoice_lines(export: Export, actor: Actor) -> Iterator[str]:
    month = wanting.of(export).period()
    return bill_lines.lines(actor=actor, organisation=export.organisation, month=month)


def _customers(export: Export, actor: Actor) -> Iterator[str]:
    found = searching.found(actor, searching.Wanted()).filter(
        parent=export.organisation, is_test=export.created_by_key.is_test
    )
    return customer_lists.lines(found, sees_money=bool(wanting.of(export).with_amounts))


def _activity(export: Export, actor: Actor) -> Iterator[str]:
    wanted = wanting.of(export)
    until = wanted.day("until")
    asked = activity.Wanted(
        organisation=export.organisation.uuid,
        first=wanted.day("since"),
        last=until - timedelta(days=1) if until else None,
    )
    events = activity.found(actor, asked)
    write = files.json_lines if wanting.form_of(export) == JSON_LINES else files.csv_lines
    return write(events, reader=_reader(actor))


def _proof(export: Export, actor: Actor) -> Iterator[str]:
    return files.proof_lines(export.organisation, reader=_reader(actor))


def _reader(actor: Actor) -> Reader:
    return Reader(actor=actor, house_name=settings.HOUSE_NAME)


def _asked_at(export: Export) -> datetime:
    return clocks.moment_for(export.organisation, export.created_at)


_WRITERS: Mapping[str, Callable[[Export, Actor], Iterator[str]]] = {
    Kind.USAGE: _usage,
    Kind.INVOICE_LINES: _invoice_lines,
    Kind.CUSTOMERS: _customers,
    Kind.ACTIVITY: _activity,
    Kind.ACTIVITY_PROOF: _proof,
}
