"""Purging half of full mailboxes, with receipts, beside removing as many files."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils import timezone

from accounts.access import system
from bench import homes, house
from bench.report import Row
from mailstore import planning, purging, rules, sweeping
from mailstore.engine import engine
from mailstore.models import Mailbox, PurgeRun
from mailstore.policy import CountedFrom, Rule

MAILBOXES = 50
MESSAGES = 2_000
DUE = MAILBOXES * MESSAGES // 2
DAYS = 30
AIM_OF_FIND = 0.9
AIM_OF_TWO = 1.7
ROUNDS = 3


def measure() -> list[Row]:
    cast = house.cast()
    rule = Rule(folder="INBOX", counted_from=CountedFrom.ARRIVAL, days=DAYS)
    rules.set_rule(actor=system("bench"), target=cast.customer, rule=rule, at=timezone.now())
    with house.dovecot() as server:
        template = homes.mailboxes(cast.domain, "template", 1)[0]
        names = [f"{name}{turn}-" for turn in range(ROUNDS) for name in ("one", "two", "expunge")]
        sets = [homes.mailboxes(cast.domain, name, MAILBOXES) for name in names]
        middle = homes.fill(server, template, messages=MESSAGES)
    for some in sets:
        homes.copy(template, some)
    with house.dovecot() as server:
        turns = [
            _turn(server, sets[3 * turn : 3 * turn + 3], middle=middle) for turn in range(ROUNDS)
        ]
    one, two, emptied, expunged, found = (median(rates) for rates in zip(*turns, strict=True))
    return [
        _row("one worker, beside find -delete", one, found, aim=AIM_OF_FIND),
        _row("one worker, beside doveadm expunge", one, expunged),
        _row("two workers, beside one", two, one, aim=AIM_OF_TWO),
        _row("the store emptied for good, beside find -delete", emptied, found),
    ]


def _turn(server: Any, sets: Sequence[Sequence[Mailbox]], *, middle: datetime) -> Sequence[float]:
    """Messages or files a second, each way once."""
    at = middle + timedelta(days=DAYS, seconds=1)
    ways = (
        lambda: _purged(sets[0], at=at, workers=1),
        lambda: _purged(sets[1], at=at, workers=2),
        lambda: _emptied(sets[0], at=at),
        lambda: _expunged(server, sets[2], before=middle),
        _found,
    )
    return [DUE / _settled(way) for way in ways]


def _settled(way: Callable[[], float]) -> float:
    """What was written before has reached the disk, so nobody pays for another's writing."""
    os.sync()
    return way()


def _row(name: str, value: float, reference: float, *, aim: float | None = None) -> Row:
    return Row(bench="purge", name=name, value=value, unit="/s", reference=reference, aim=aim)


def _purged(mailboxes: Sequence[Mailbox], *, at: datetime, workers: int) -> float:
    """Plan and carry out what is due: the seconds it took."""
    keys = [mailbox.pk for mailbox in mailboxes]
    seconds = _together([keys[n::workers] for n in range(workers)], at=at)
    runs = PurgeRun.objects.filter(mailbox__in=keys, state="done", kind="retention")
    _must_be(DUE, sum(run.messages for run in runs))
    return seconds


def _together(parts: Sequence[Sequence[int]], *, at: datetime) -> float:
    """Each part in a process of its own, as workers are; begun together."""
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(len(parts) + 1)
    connections.close_all()
    processes = [context.Process(target=_work, args=(part, at, gate)) for part in parts]
    for process in processes:
        process.start()
    gate.wait()
    begin = time.perf_counter()
    for process in processes:
        process.join()
    return time.perf_counter() - begin


def _work(keys: Sequence[int], at: datetime, gate: Any) -> None:
    mailboxes = list(Mailbox.objects.filter(pk__in=keys).select_related("organisation", "domain"))
    gate.wait()
    for drafts in planning.by_rules_each(mailboxes=mailboxes, engine=engine(), at=at):
        planning.settle_each(drafts, at=at)
        keys = [draft.mailbox.pk for draft in drafts]
        for run in PurgeRun.objects.open().filter(mailbox__in=keys).order_by("pk"):
            purging.work_off(run=run, engine=engine(), now=timezone.now)


def _emptied(mailboxes: Sequence[Mailbox], *, at: datetime) -> float:
    begin = time.perf_counter()
    later = timezone.now() + timedelta(days=mailboxes[0].window_days, minutes=1)
    Mailbox.objects.filter(pk__in=[m.pk for m in mailboxes]).update(store_due_at=at)
    for drafts in planning.of_store_each(mailboxes=mailboxes, engine=engine(), at=later):
        planning.settle_each(drafts, at=later)
    sweeping.run_open(engine=engine(), now=timezone.now, limit=len(mailboxes))
    runs = PurgeRun.objects.filter(mailbox__in=mailboxes, state="done", kind="store")
    _must_be(DUE, sum(run.messages for run in runs))
    return time.perf_counter() - begin


def _expunged(server: Any, mailboxes: Sequence[Mailbox], *, before: datetime) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".users") as users:
        users.write("".join(f"{mailbox.address}\n" for mailbox in mailboxes))
        users.flush()
        moment = str(int(before.timestamp()) + 1)
        arguments = ("expunge", "-F", users.name, "mailbox", "INBOX", "savedbefore", moment)
        return homes.doveadm(server, *arguments)


def _found() -> float:
    with homes.files(
        Path(settings.RESTANTE_STATE) / "files", count=DUE, size=homes.MESSAGE_BYTES
    ) as folder:
        # A file that was never written to disk costs nothing to remove, and mail always was.
        os.sync()
        begin = time.perf_counter()
        subprocess.run(["taskset", "-c", "0", "find", folder, "-type", "f", "-delete"], check=True)
        return time.perf_counter() - begin


def _must_be(expected: int, found: int) -> None:
    if found != expected:
        message = f"{found} messages were removed, not {expected}."
        raise RuntimeError(message)
