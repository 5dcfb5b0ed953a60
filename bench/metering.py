"""Usage reports into the database with the meter, beside the bare update of a row."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.conf import settings
from django.db import connection, connections

from bench import house
from bench.report import Row
from mailstore.models import Usage

MAILBOXES = 2_000
REPORTS = 4_000
CLIENTS = 2
AIM = 0.7
# What Dovecot says, and the least that would keep the figure.
_REPORT = (
    "INSERT INTO mailstore_usage (bytes, messages, username) VALUES (%s, %s, %s) "
    "ON CONFLICT (username) DO UPDATE SET bytes = EXCLUDED.bytes, messages = EXCLUDED.messages"
)
_BARE = "UPDATE bench_bare SET bytes = %s, messages = %s WHERE username = %s"


def measure() -> list[Row]:
    _prepare()
    value, beside = house.alternated(_round(_REPORT), _round(_BARE))
    return [
        Row(
            bench="metering",
            name="usage reports",
            value=value,
            unit="/s",
            reference=beside,
            aim=AIM,
        ),
    ]


def _prepare() -> None:
    names = [_name(number) for number in range(MAILBOXES)]
    Usage.objects.bulk_create(Usage(username=name, bytes=1, messages=1) for name in names)
    with connections[settings.REPORTS_DATABASE].cursor() as cursor:
        cursor.execute(
            "CREATE TABLE bench_bare (username varchar(254) PRIMARY KEY, bytes bigint, "
            "messages bigint)"
        )
        cursor.execute(
            "INSERT INTO bench_bare SELECT username, bytes, messages FROM mailstore_usage"
        )


def _name(number: int) -> str:
    return f"box{number % MAILBOXES}@alder.test"


def _round(statement: str) -> Callable[[], float]:
    sizes = iter(range(1, 10**9))
    mine = threading.local()

    def work(number: int) -> None:
        if not hasattr(mine, "cursor"):
            mine.cursor = connections[settings.REPORTS_DATABASE].cursor()
        size = next(sizes)
        mine.cursor.execute(statement, [size * 1000, size, _name(number)])

    clients = CLIENTS if connection.vendor == "postgresql" else 1
    return lambda: house.rate(work, count=REPORTS, threads=clients)
