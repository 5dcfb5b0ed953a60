"""Import of a list of mailboxes with app passwords, beside COPY of the rows it makes."""

from __future__ import annotations

import io
import time
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.access import system
from accounts.models import Event
from bench import house
from bench.report import Row
from hosting import importing
from hosting.models import Contract
from mailstore.models import AppPassword, Mailbox

MAILBOXES = 10_000
AIM_PER_SECOND = 3_000
_MODELS = (Mailbox, AppPassword, Contract, Event)


def measure() -> list[Row]:
    house.cast()
    opened = _imported("warm", 500)
    per_batch = [_statements(f"q{count}", count) for count in (500, 1000, 5000)]
    begin = time.perf_counter()
    opened = _imported("box", MAILBOXES)
    ours = opened / (time.perf_counter() - begin)
    copied = _copy_again() if connection.vendor == "postgresql" else None
    aim = 1.0 if connection.vendor == "postgresql" else None
    rows = [
        _row("mailboxes with app passwords", ours, "/s", AIM_PER_SECOND, aim=aim),
        _row("statements per 500 at 5,000, beside 500", per_batch[2], "", per_batch[0]),
        _row("statements per 500 at 1,000, beside 500", per_batch[1], "", per_batch[0]),
    ]
    if copied:
        rows.append(_row("beside COPY of the same rows", ours, "/s", copied))
    return rows


def _row(name: str, value: float, unit: str, reference: float, *, aim: float | None = None) -> Row:
    is_count = not unit
    return Row(
        bench="provisioning",
        name=name,
        value=value,
        unit=unit or "statements",
        reference=reference,
        aim=1.0 if is_count else aim,
        is_ceiling=is_count,
    )


def _imported(name: str, count: int) -> int:
    """Everything that the command does: read, check line by line, open, keep the secrets."""
    lines = (f"{name}{number}@alder.test,imap,Box {number},,Phone\n" for number in range(count))
    content = "address,plan,label,quota_bytes,app_password\n" + "".join(lines)
    actor = system("bench")
    text = importing.decode(content.encode())
    checked = importing.check(text=text, actor=actor)
    if checked.problems:
        raise ValueError(checked.problems[0])
    kept: list[Any] = []
    applied = importing.apply(rows=checked.rows, actor=actor, at=timezone.now(), keep=kept.extend)
    return sum(piece.opened_count for piece in applied)


def _statements(name: str, count: int) -> float:
    with CaptureQueriesContext(connection) as captured:
        _imported(name, count)
    return len(captured) / (count / 500)


def _copy_again() -> float:
    """Copy the rows of these mailboxes out, remove them, and time their way back in."""
    tables = [model._meta.db_table for model in _MODELS]
    kept: dict[str, bytes] = {}
    with connection.cursor() as cursor:
        for table in tables:
            out = io.BytesIO()
            with cursor.cursor.copy(f'COPY "{table}" TO STDOUT') as copy:
                for block in copy:
                    out.write(block)
            kept[table] = out.getvalue()
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
    count = kept["mailstore_mailbox"].count(b"\n")
    begin = time.perf_counter()
    with connection.cursor() as cursor:
        for table in tables:
            with cursor.cursor.copy(f'COPY "{table}" FROM STDIN') as copy:
                copy.write(kept[table])
    return count / (time.perf_counter() - begin)
