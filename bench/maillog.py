"""A day of Dovecot's log read into history, beside the same loop that only counts the lines."""

from __future__ import annotations

import random
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction

from bench import house
from bench.report import Row
from hosting import storing
from mailstore import logbook
from mailstore.engine import rotation
from mailstore.engine.rotation import Position
from mailstore.models import Device, LogPosition, Mailbox, SignIn
from tests.mailstore.log_lines import ended, failed, fetched, login

LINES = 1_000_000
MAILBOXES = 2_000
AIM = 0.3
_BEGINS = datetime(2026, 11, 30, tzinfo=UTC)
_DAY = 24 * 3600
# How often a program comes, in seconds, and how often mail.
_POP_EVERY = (300, 600, 900)
_IMAP_EVERY = (900, 3600)
_MAIL_EVERY = 24 * 60
# Whoever watches the ports connects and goes.
_PROBED_EVERY = 1.25
_GUESSED_EVERY = 9
_HEALTH = (
    "{day}T{at} imap-login: Info: Disconnected: Connection closed (no auth attempts in 0 secs): "
    "session=<{session}>, rip=127.0.0.1, device=<>, why=<>, mailbox=<>, secured, user=<>\n"
)
_MAIL = (
    "{day}T{at} lmtp(25993): Info: Connect from 127.0.0.1\n"
    "{day}T{at} lmtp({user})<25993><{session}><127.0.0.1><->: Info: "
    "msgid=<{session}@mail.example.test>: saved mail to INBOX\n"
    "{day}T{at} lmtp(25993): Info: Disconnect from 127.0.0.1: Logged out (state=READY)\n"
)


def measure() -> list[Row]:
    cast = house.cast()
    names = _mailboxes(cast.domain)
    with tempfile.TemporaryDirectory(prefix="bench-log-") as folder:
        log = Path(folder) / "dovecot.log"
        lines = _write(log, names)
        expected = _sign_ins(log)
        value, beside = house.alternated(
            lambda: _rate(lines, lambda: _history(log, expected)),
            lambda: _rate(lines, lambda: _counted(log, lines)),
        )
    return [
        Row(
            bench="maillog",
            name=f"log lines read into history, of {lines:,}",
            value=value,
            unit="/s",
            reference=beside,
            aim=AIM,
        ),
    ]


def _mailboxes(domain: Any) -> list[str]:
    rows = [
        Mailbox(
            address=f"box{number}@{domain.name}",
            local_part=f"box{number}",
            domain=domain,
            organisation_id=domain.organisation_id,
            protocol="pop" if number % 2 else "imap",
            state=Mailbox.State.ACTIVE,
            quota_bytes=10**9,
            window_days=30,
            external_ref="",
            created_at=_BEGINS - timedelta(days=1),
        )
        for number in range(MAILBOXES)
    ]
    storing.number(rows)
    storing.store(rows)
    return [row.address for row in rows]


def _write(log: Path, names: list[str]) -> int:
    """The log of so many lines as such a house writes it; returns how many they are."""
    chance = random.Random(6)
    events = sorted(_events(names, chance), key=lambda event: event[0])
    written = 0
    with log.open("w") as out:
        while written < LINES:
            for second, text in events:
                moment = _BEGINS + timedelta(seconds=second)
                words = {"day": f"{moment:%Y-%m-%d}", "at": f"{moment:%H:%M:%S}"}
                out.write(text.format_map({**words, "session": _session(chance)}))
                written += text.count("\n")
                if written >= LINES:
                    break
    return written


def _session(chance: random.Random) -> str:
    return f"{chance.getrandbits(48):012x}/AAAB"


def _events(names: list[str], chance: random.Random) -> Iterator[tuple[float, str]]:
    """What happens in a day, with the second of it; moment and session are filled in later."""
    later = {"day": "{day}", "at": "{at}", "session": "{session}"}
    for number, name in enumerate(names):
        who = {
            "user": name,
            "device": uuid.UUID(int=number).hex,
            "address": f"203.0.{number // 250}.{number % 250}",
            "service": "pop3" if number % 2 else "imap",
            **later,
        }
        every = chance.choice(_POP_EVERY if number % 2 else _IMAP_EVERY)
        for second in _moments(every, chance):
            end = _pop_end(who, chance) if number % 2 else _imap_end(who, chance)
            yield second, login(**who)
            yield second + (1 if number % 2 else every / 2), end
        for second in _moments(_MAIL_EVERY, chance):
            yield second, _MAIL.replace("{user}", name)
    for second in _moments(_PROBED_EVERY, chance):
        yield second, _HEALTH
    for second in _moments(_GUESSED_EVERY, chance):
        wrong = failed(
            user=chance.choice(names), address=f"81.{chance.getrandbits(8)}.0.1", **later
        )
        yield second, wrong.replace("mailbox(", "apppassword(") + wrong


def _moments(every: float, chance: random.Random) -> Iterator[float]:
    second = chance.random() * every
    while second < _DAY:
        yield second
        second += every


def _pop_end(who: dict[str, str], chance: random.Random) -> str:
    messages = chance.choice((0, 0, 0, 0, 0, 1, 2))
    return fetched(messages, removed=messages, **who)


def _imap_end(who: dict[str, str], chance: random.Random) -> str:
    bodies, expunged = chance.randrange(6), chance.choice((0, 0, 0, 1))
    counts = f"fetched={bodies} glanced={bodies} removed={expunged}; deleted={expunged} trashed=0"
    return ended(f"{counts} in={chance.randrange(5000)} out={chance.randrange(90000)}", **who)


def _sign_ins(log: Path) -> int:
    """How many sign-ins the log tells of, counted by other means."""
    with log.open() as lines:
        return sum("-login: Info: Login: " in line for line in lines)


def _rate(lines: int, work: Callable[[], None]) -> float:
    for model in (SignIn, Device, LogPosition):
        model.objects.all().delete()
    begin = time.perf_counter()
    work()
    return lines / (time.perf_counter() - begin)


def _history(log: Path, expected: int) -> None:
    logbook.read(path=log)
    found = sum(Device.objects.values_list("sign_ins", flat=True))
    if found != expected:
        message = f"The history has {found} sign-ins, not {expected}."
        raise RuntimeError(message)


def _counted(log: Path, expected: int) -> None:
    """What the reader does, part by part with its position, but for making anything of a line."""
    count, has_more = 0, True
    while has_more:
        with transaction.atomic():
            place, _ = LogPosition.objects.select_for_update().get_or_create(
                path=str(log), defaults={"inode": 0, "offset": 0}
            )
            known = Position(
                inode=place.inode,
                offset=place.offset,
                head=place.head,
                written_ns=place.written_ns,
            )
            text, position = rotation.read(log, known)
            for line in text.split(b"\n"):
                count += bool(line)
            has_more = position != known
            if position is not None:
                for name, value in asdict(position).items():
                    setattr(place, name, value)
                place.save(update_fields=list(asdict(position)))
    if count != expected:
        message = f"{count} lines were counted, not {expected}."
        raise RuntimeError(message)
