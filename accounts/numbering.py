"""Places in the feed: one number a fact, without gaps, given once the fact is committed.

A transaction that commits late has low keys, so whoever reads on from the highest key he has
seen would miss them. A place is given behind all others and under the lock of one row: what is
read up to a place stays as it was read.
"""

from __future__ import annotations

from typing import cast

from django.db import connection, transaction

from accounts.models import Event, EventCounter

BATCH = 5_000


def number_all() -> int:
    """Give every committed fact its place; returns the last one. A reader calls it first."""
    while number(limit=BATCH) == BATCH:
        pass
    return counter().last_position


def number(*, limit: int) -> int:
    """Give places to the oldest facts that have none; returns to how many."""
    if not Event.objects.unnumbered().exists():
        return 0
    with transaction.atomic():
        row = EventCounter.objects.select_for_update().get(pk=counter().pk)
        # Each statement sees what was committed before it began, so after the lock this one
        # sees all that the holder of the lock before has numbered.
        count = _write(after=row.last_position, limit=limit)
        EventCounter.objects.filter(pk=row.pk).update(last_position=row.last_position + count)
    return count


def counter() -> EventCounter:
    """The one row; it is made by whoever comes first."""
    return EventCounter.objects.get_or_create(pk=1)[0]


def _write(*, after: int, limit: int) -> int:
    table = connection.ops.quote_name(Event._meta.db_table)  # noqa: SLF001  # Django's way
    statement = f"""
        UPDATE {table} SET position = placed.place FROM (
            SELECT seq, %s + row_number() OVER (ORDER BY seq) AS place
            FROM (SELECT seq FROM {table} WHERE position IS NULL ORDER BY seq LIMIT %s) AS waiting
        ) AS placed
        WHERE {table}.seq = placed.seq
    """  # noqa: S608  # The name of a table of ours is no input.
    with connection.cursor() as cursor:
        cursor.execute(statement, [after, limit])
        return cast("int", cursor.rowcount)
