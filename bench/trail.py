"""Events numbered and chained, beside numbering alone; the look through all; a page of many."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts import chaining, membership, numbering, outbox, verifying
from accounts.access import system
from accounts.models import Event
from bench import house
from bench.report import Row
from hosting import activity
from hosting.activity import Reader, Wanted

EVENTS = int(os.environ.get("BENCH_EVENTS", "1000000"))
_AT_ONCE = 10_000
# Every second event is about the organisation whose page is read.
_PAGE_AMONG = EVENTS // 20
_FLAT = 1.5


def measure() -> list[Row]:
    cast = house.cast()
    _record(cast, _PAGE_AMONG)
    numbering.number_all()
    chaining.chain_all()
    early = _page(cast)
    _record(cast, EVENTS - _PAGE_AMONG)
    numbered = _rate(numbering.number_all)
    chained = _rate(chaining.chain_all)
    both = 1 / (1 / numbered + 1 / chained)
    began = time.perf_counter()
    findings = verifying.verify()
    looked = findings.position / (time.perf_counter() - began)
    if findings.fault_count:
        message = f"{findings.fault_count} faults were found where there is none."
        raise RuntimeError(message)
    return [
        Row(
            bench="trail",
            name=f"{EVENTS:,} events numbered and chained, beside numbered alone",
            value=both,
            unit="/s",
            reference=numbered,
        ),
        Row(bench="trail", name="events looked through", value=looked, unit="/s"),
        Row(
            bench="trail",
            name=f"a page of the activity among {EVENTS:,}, beside {_PAGE_AMONG:,}",
            value=_page(cast) * 1_000,
            unit="ms",
            reference=early * 1_000,
            aim=_FLAT,
            is_ceiling=True,
        ),
    ]


def _record(cast: Any, count: int) -> None:
    actor, now = system("bench"), timezone.now()
    whose = (cast.customer, cast.provider)
    for start in range(0, count, _AT_ONCE):
        outbox.record_all(
            [
                outbox.event(
                    kind="mailbox.updated",
                    at=now - timedelta(seconds=count - number),
                    actor=actor,
                    organisation=whose[number % len(whose)],
                    subject=("mailbox", f"{number % 500:032x}", "hello@example.test"),
                    data={"quota_bytes": {"old": number, "new": number + 1}},
                )
                for number in range(start, min(start + _AT_ONCE, count))
            ]
        )


def _rate(work: Callable[[], int]) -> float:
    """Events a second, of those that wait for this step."""
    waiting = Event.objects.filter(link="").count()
    began = time.perf_counter()
    work()
    return waiting / (time.perf_counter() - began)


def _page(cast: Any) -> float:
    """The newest page as its owner reads it: the median of several, in seconds."""
    owner = membership.owners_of(cast.customer)[0]
    reader = Reader(actor=membership.actor_for(owner), house_name="")

    def once() -> float:
        began = time.perf_counter()
        rows, _last = activity.page(activity.found(reader.actor, Wanted()), after="")
        _lines = [reader.line(event) for event in rows]
        return time.perf_counter() - began

    return house.middle(once)
