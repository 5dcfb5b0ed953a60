"""Adds up guesses in memory and writes them down every few seconds, whoever else writes too.

What a killed process had not written yet is lost: figures for people, never turns.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections, transaction

logger = logging.getLogger(__name__)

# A spell is over when no guess came for so long.
SPELL_SECONDS = 3600
# So many sources of one spell are told apart; guesses from more are counted without theirs.
MOST_SOURCES = 5000
# What is kept in memory at most, should the database be away while somebody guesses.
MOST_NAMES = 20_000

_LOCK = "LOCK TABLE mailstore_guessing IN SHARE ROW EXCLUSIVE MODE"
_RUNNING = """
SELECT id FROM mailstore_guessing WHERE username = %s AND last_at >= %s
ORDER BY began_at DESC LIMIT 1
"""
_BEGIN = """
INSERT INTO mailstore_guessing (username, began_at, last_at, tries, looked_at)
VALUES (%s, %s, %s, 0, 0) RETURNING id
"""
_ADD = """
UPDATE mailstore_guessing SET tries = tries + %s, looked_at = looked_at + %s,
    last_at = CASE WHEN last_at < %s THEN %s ELSE last_at END
WHERE id = %s
"""
_COUNT = "SELECT count(*) FROM mailstore_guessingsource WHERE guessing_id = %s"
_ADD_SOURCE = """
INSERT INTO mailstore_guessingsource (guessing_id, holder, tries) VALUES (%s, %s, %s)
ON CONFLICT (guessing_id, holder)
DO UPDATE SET tries = mailstore_guessingsource.tries + excluded.tries
"""


@dataclass(kw_only=True)
class Sum:
    """What came in at one mailbox since it was last written down; Unix time in seconds."""

    began_at: int
    last_at: int
    tries: int = 0
    looked_at: int = 0
    holders: Counter[str] = field(default_factory=Counter)


class Tally:
    """One for all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[str, Sum] = {}

    def add(self, login: str, *, holder: str, was_looked_at: bool, at: datetime) -> None:
        """Note one guess at a mailbox that there is."""
        second = int(at.timestamp())
        with self._lock:
            if login not in self._sums and len(self._sums) >= MOST_NAMES:
                return
            found = self._sums.setdefault(login, Sum(began_at=second, last_at=second))
            found.last_at = max(found.last_at, second)
            found.tries += 1
            found.looked_at += was_looked_at
            if holder in found.holders or len(found.holders) < MOST_SOURCES:
                found.holders[holder] += 1

    def write(self) -> int:
        """Write down what came in; returns how many guesses. What fails is kept."""
        with self._lock:
            sums, self._sums = self._sums, {}
        if not sums:
            return 0
        try:
            _write(sums)
        except DatabaseError as error:
            logger.warning("Guesses could not be written down: %s", error)
            self._keep(sums)
            return 0
        return sum(each.tries for each in sums.values())

    def _keep(self, sums: Mapping[str, Sum]) -> None:
        """Put back what could not be written, before what came in meanwhile."""
        with self._lock:
            for login, former in sums.items():
                newer = self._sums.get(login)
                if newer is not None:
                    former.last_at = max(former.last_at, newer.last_at)
                    former.tries += newer.tries
                    former.looked_at += newer.looked_at
                    former.holders += newer.holders
                self._sums[login] = former


def _write(sums: Mapping[str, Sum]) -> None:
    alias = settings.REPORTS_DATABASE
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        if connections[alias].vendor == "postgresql":
            # Two processes that begin the same spell at once would make two of it.
            cursor.execute(_LOCK)
        for login in sorted(sums):
            _add(cursor, login, sums[login])


def _add(cursor: Any, login: str, found: Sum) -> None:
    cursor.execute(_RUNNING, [login, found.began_at - SPELL_SECONDS])
    row = cursor.fetchone()
    if row is None:
        cursor.execute(_BEGIN, [login, found.began_at, found.last_at])
        row = cursor.fetchone()
    [spell] = row
    numbers = [found.tries, found.looked_at, found.last_at, found.last_at, spell]
    cursor.execute(_ADD, numbers)
    cursor.execute(_COUNT, [spell])
    room = MOST_SOURCES - cursor.fetchone()[0]
    known = found.holders.most_common(max(room, 0))
    cursor.executemany(_ADD_SOURCE, [(spell, holder, tries) for holder, tries in known])
