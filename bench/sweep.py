"""Finding what is due among many mailboxes, beside asking each of them."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.access import system
from bench import homes, house
from bench.report import Row
from hosting import storing
from mailstore import purging, rules, sweeping
from mailstore.engine import engine
from mailstore.models import Mailbox, PurgeRun
from mailstore.policy import CountedFrom, Rule

DUE = 100
MESSAGES = 20
SIZES = (10_000, 100_000, 1_000_000)
DAYS = 30
# Among so many the sweep and the questions are compared; who asks is slower among more.
AMONG = 100_000
AIM_LESS_WORK = 200
# How much dearer the largest number of mailboxes may be and still count as the same.
FLAT = 1.2
_AT_ONCE = 10_000


def measure() -> list[Row]:
    cast = house.cast()
    rule = Rule(folder="INBOX", counted_from=CountedFrom.ARRIVAL, days=DAYS)
    rules.set_rule(actor=system("bench"), target=cast.customer, rule=rule, at=timezone.now())
    with house.dovecot() as server:
        real = homes.mailboxes(cast.domain, "real", DUE)
        homes.fill(server, real[0], messages=MESSAGES)
    homes.copy(real[0], real[1:])
    with house.dovecot() as server:
        took, asked = {}, {}
        standing = DUE
        for size in SIZES:
            _add(cast.domain, size - standing)
            standing = size
            took[size] = _swept(real)
            asked[size] = _asked_each(server, real)
    everywhere = asked[AMONG] / DUE * AMONG
    return [
        Row(
            bench="sweep",
            name=f"{AMONG:,} mailboxes asked one by one (from 100), beside the sweep",
            value=everywhere,
            unit="s",
            reference=took[AMONG] * AIM_LESS_WORK,
            aim=1.0,
        ),
        *(
            Row(
                bench="sweep",
                name=f"sweep over {size:,} mailboxes, beside {SIZES[0]:,}",
                value=took[size],
                unit="s",
                reference=took[SIZES[0]],
                aim=FLAT,
                is_ceiling=True,
            )
            for size in SIZES[1:]
        ),
    ]


def _add(domain: Any, count: int) -> None:
    """Mailboxes where nothing is due for a year."""
    far = timezone.now() + timedelta(days=365)
    for start in range(0, count, _AT_ONCE):
        rows = [_quiet(domain, far) for _ in range(min(_AT_ONCE, count - start))]
        storing.number(rows)
        storing.store(rows)


def _quiet(domain: Any, far: Any) -> Mailbox:
    name = uuid.uuid4().hex
    return Mailbox(
        address=f"{name}@{domain.name}",
        local_part=name,
        domain=domain,
        organisation_id=domain.organisation_id,
        protocol="imap",
        state=Mailbox.State.ACTIVE,
        quota_bytes=10**9,
        window_days=30,
        retention_due_at=far,
        external_ref="",
    )


def _swept(real: Sequence[Mailbox]) -> float:
    """Plan all that is due in the hundred: the median of several sweeps, in seconds."""
    at = timezone.now() + timedelta(days=DAYS, minutes=1)
    keys = [mailbox.pk for mailbox in real]
    return house.middle(lambda: _one_sweep(keys, at))


def _one_sweep(keys: Sequence[int], at: Any) -> float:
    due = at - timedelta(seconds=1)
    Mailbox.objects.filter(pk__in=keys).update(retention_due_at=due)
    begin = time.perf_counter()
    sweeping.plan_due(engine=engine(), at=at, limit=1_000)
    seconds = time.perf_counter() - begin
    runs = PurgeRun.objects.open().filter(mailbox__in=keys)
    if runs.count() != DUE:
        message = f"{runs.count()} runs were planned, not {DUE}."
        raise RuntimeError(message)
    for run in runs:
        purging.cancel(actor=system("bench"), run=run, at=at)
    return seconds


def _asked_each(server: Any, real: Sequence[Mailbox]) -> float:
    """The seconds that Dovecot's own command takes to find nothing in as many mailboxes."""
    with tempfile.NamedTemporaryFile("w", suffix=".users") as users:
        users.write("".join(f"{mailbox.address}\n" for mailbox in real))
        users.flush()
        arguments = ("expunge", "-F", users.name, "mailbox", "INBOX", "savedbefore", "1")
        return house.middle(lambda: homes.doveadm(server, *arguments))
