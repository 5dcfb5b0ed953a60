"""One of many for whom a sweep fails holds up nobody else: it waits, and staff see it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db.models import F, QuerySet

from accounts import spans
from accounts.models import Organisation, Setback

logger = logging.getLogger(__name__)

_FIRST_WAIT = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=1)


@contextmanager
def apart(
    *,
    work: str,
    row_id: int,
    name: str,
    organisation: Organisation,
    at: datetime,
    but: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """What fails in here is written down and goes no further; it undoes its own half of work.

    `but` is what no row is to blame for, and the caller hears of. A database that is away still
    fails the sweep: nothing can be written down then.
    """
    try:
        yield
    except but:
        raise
    except Exception as failure:
        logger.exception("The work of %s fails for %s", work, name)
        what = f"{type(failure).__name__}: {failure}"[:300]
        row = _row(work=work, row_id=row_id, name=name, organisation=organisation, at=at)
        Setback.objects.filter(pk=row.pk).update(
            failure=what,
            failed_at=at,
            tries=F("tries") + 1,
            next_try_at=at + _wait_after(row.tries),
        )


def _row(*, work: str, row_id: int, name: str, organisation: Organisation, at: datetime) -> Setback:
    first = {"name": name, "organisation": organisation, "failed_first_at": at}
    first |= {"failed_at": at, "next_try_at": at}
    return Setback.objects.get_or_create(work=work, row_id=row_id, defaults=first)[0]


def waiting(*, work: str, at: datetime) -> QuerySet[Setback, int]:
    """The keys of rows that a sweep leaves out now."""
    waits = spans.lasts("next_try_at", at=at, longest=_LONGEST_WAIT)
    rows = Setback.objects.filter(waits, work=work)
    return rows.values_list("row_id", flat=True)


def forget(*, work: str, at: datetime) -> None:
    """Call it after a sweep that left out none but these: what did not fail again is over."""
    Setback.objects.filter(work=work).exclude(row_id__in=waiting(work=work, at=at)).delete()


def try_now(*, setback: Setback, at: datetime) -> None:
    """Let the next sweep take it up, rather than wait."""
    Setback.objects.filter(pk=setback.pk).update(next_try_at=at)


def _wait_after(tries: int) -> timedelta:
    # Beyond so many tries the power has long passed the longest wait.
    return min(_FIRST_WAIT * (1 << min(tries, 10)), _LONGEST_WAIT)
