"""The close of a month, beside one SQL aggregate over the same rows and writing the same bills.

Half of the mailboxes are POP, half IMAP, at a price each; every fiftieth changed its plan
within the month; customers have 10 to 190 mailboxes. Each mailbox has few rows of use: the
fewer there are, the less the aggregate has to do beside us, so this is the harder case.
"""

from __future__ import annotations

import os
import resource
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from statistics import median
from typing import Any, NamedTuple, Never

import psutil
from django.db import connection, connections, transaction

from accounts import guarding
from accounts.access import system
from accounts.models import Event
from bench import house, many
from bench.many import MAILBOXES_A_CUSTOMER, MONTH
from bench.report import Row
from hosting import invoicing, pricing, repricing
from hosting.metering import DAY_SECONDS
from hosting.models import (
    Invoice,
    InvoiceCounter,
    InvoiceLine,
    InvoiceTax,
    Plan,
    PriceList,
)

# How many mailboxes, and how often the close and its reference are run, turn by turn.
SIZES: Mapping[int, int] = {10_000: 5, 100_000: 3, 1_000_000: 1}
MOST_TIMES_THE_AGGREGATE = 4
FLAT = 1.2
MOST_MIB = 300
CLOSED_AT = MONTH.ends_at + timedelta(hours=2)
# Seconds, processor seconds, and MiB.
_ANSWER = struct.Struct("ddd")
# What a close writes, in the order in which it can be written.
_WRITTEN = tuple(model._meta.db_table for model in (Invoice, InvoiceTax, InvoiceLine, Event))
_NUMBERS = {
    "start": MONTH.start,
    "end": MONTH.end,
    "first": MONTH.start // DAY_SECONDS,
    "last": MONTH.end // DAY_SECONDS,
}
_AGGREGATE = """
CREATE TEMPORARY TABLE bench_sums ON COMMIT DROP AS
SELECT m.organisation_id, c.mailbox_id, c.plan_id,
    sum(least(coalesce(extract(epoch FROM c.ends_at), {end}), {end})
        - greatest(extract(epoch FROM c.starts_at), {start})) AS seconds,
    sum(used.byte_seconds) AS byte_seconds, sum(u.bytes) AS bytes
FROM hosting_contract c
JOIN mailstore_mailbox m ON m.id = c.mailbox_id
JOIN mailstore_usage u ON u.username = m.address
JOIN (
    SELECT username, sum(byte_seconds::numeric * days) AS byte_seconds
    FROM mailstore_usageday WHERE day >= {first} AND day < {last} GROUP BY username
) used ON used.username = m.address
WHERE c.starts_at < to_timestamp({end})
    AND (c.ends_at IS NULL OR c.ends_at > to_timestamp({start}))
GROUP BY m.organisation_id, c.mailbox_id, c.plan_id
""".format(**_NUMBERS)


class Taken(NamedTuple):
    """Seconds by the clock, and of processors."""

    seconds: float
    processor: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one size took: seconds, and the most memory of a process that closed it.

    Of both there are the seconds that went by, and those that processors worked for it, which
    others on the machine make no longer. `preview` is what it takes to say whom a new price
    would touch.
    """

    ours: Taken
    reference: Taken
    mib: float
    preview: float


def measure() -> list[Row]:
    model = many.template()
    found: dict[int, Figures] = {}
    standing = 0
    for size, rounds in SIZES.items():
        many.multiply(model, first=standing, end=size)
        standing = size
        found[size] = _figures(size, rounds)
    return [row for size in SIZES for row in _rows(size, found)]


def _rows(size: int, found: Mapping[int, Figures]) -> list[Row]:
    here, smallest = found[size], min(SIZES)
    name = f"{size:,} mailboxes"
    rows = [
        _row(name, here.ours.seconds, "s", here.reference.seconds, MOST_TIMES_THE_AGGREGATE),
        _row(
            f"{name}, processor time",
            here.ours.processor,
            "s",
            here.reference.processor,
            MOST_TIMES_THE_AGGREGATE,
        ),
        _row(f"{name}, peak memory", here.mib, "MiB", MOST_MIB, 1),
        Row(bench="close", name=f"{name}, preview of a price", value=here.preview, unit="s"),
    ]
    if size == smallest:
        return rows
    beside = f"beside {smallest:,}"
    each, first = (
        [seconds / count * 10**6 for seconds in found[count].ours] for count in (size, smallest)
    )
    return [
        *rows,
        _row(f"{name}, each, {beside}", each[0], "µs", first[0], FLAT),
        _row(f"{name}, each, processor time, {beside}", each[1], "µs", first[1], FLAT),
    ]


def _row(name: str, value: float, unit: str, reference: float, most: float) -> Row:
    return Row(
        bench="close",
        name=name,
        value=value,
        unit=unit,
        reference=reference,
        aim=most,
        is_ceiling=True,
    )


# Ours and the reference -----------------------------------------------------------------


def _figures(size: int, rounds: int) -> Figures:
    ours, reference, mib = [], [], []
    for _round in range(rounds):
        _clear()
        taken, peak = _in_a_process(_close)
        ours.append(taken)
        mib.append(peak)
        if Invoice.objects.count() != size // MAILBOXES_A_CUSTOMER:
            message = "Some bills are missing."
            raise RuntimeError(message)
        _keep()
        _clear()
        reference.append(_taken(_aggregated))
    preview = house.middle(_preview, rounds=rounds)
    return Figures(
        ours=Taken(*(median(each) for each in zip(*ours, strict=True))),
        reference=Taken(*(median(each) for each in zip(*reference, strict=True))),
        mib=max(mib),
        preview=preview,
    )


def _preview() -> float:
    """The seconds until staff see whom a new price of the IMAP plan touches."""
    begin = time.perf_counter()
    price = pricing.draft(
        price_list=PriceList.objects.get(seller=None, audience="retail"),
        plan=Plan.objects.get(slug="imap"),
        starts_on=CLOSED_AT.date() + timedelta(days=100),
        monthly_price=Decimal(3),
        storage_price=Decimal("0.2"),
        at=CLOSED_AT,
    )
    outlook = repricing.foresee(price)
    if not outlook.customers:
        message = "The price touches nobody."
        raise RuntimeError(message)
    return time.perf_counter() - begin


def _close() -> None:
    invoicing.close_month(actor=system("bench"), period=MONTH, at=CLOSED_AT)


def _taken(work: Callable[[], Any]) -> Taken:
    """What it takes, in this process and in the database's that serves it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    both = psutil.Process(), psutil.Process(pid)

    def worked() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in both)

    begin, before = time.perf_counter(), worked()
    work()
    return Taken(time.perf_counter() - begin, worked() - before)


def _in_a_process(work: Callable[[], Any]) -> tuple[Taken, float]:
    """What it takes in a process of its own, and that one's peak of memory in MiB."""
    connections.close_all()
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        _work(work, writes)
    os.close(writes)
    os.waitpid(pid, 0)
    answer = os.read(reads, _ANSWER.size)
    os.close(reads)
    if len(answer) != _ANSWER.size:
        message = "The close died."
        raise RuntimeError(message)
    seconds, processor, peak = _ANSWER.unpack(answer)
    return Taken(seconds, processor), peak


def _work(work: Callable[[], Any], writes: int) -> Never:
    try:
        taken = _taken(work)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        os.write(writes, _ANSWER.pack(*taken, peak))
    finally:
        # The parent's bench must not go on in here.
        os._exit(0)


def _keep() -> None:
    """The rows that were written, so that the reference writes the same."""
    with connection.cursor() as cursor:
        for table in _WRITTEN:
            cursor.execute(f"DROP TABLE IF EXISTS kept_{table}")
            cursor.execute(f"CREATE UNLOGGED TABLE kept_{table} AS SELECT * FROM {table}")


def _clear() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in guarding.GUARD.let_go(connection.vendor):
            cursor.execute(statement)
        cursor.execute(f"TRUNCATE {', '.join(_WRITTEN)} CASCADE")
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
    InvoiceCounter.objects.update(next_number=1)


def _aggregated() -> None:
    """The aggregate, and writing the same rows, all in one transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_AGGREGATE)
        for table in _WRITTEN:
            cursor.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")
