"""How often somebody may ask: the values, and the arithmetic that both backends share. Pure.

Each bucket holds `limit` turns and fills evenly: a turn comes back after `window / limit`, so
whoever is idle for a window has all of them again (GCRA). What is kept of a bucket is one
moment: when it will be full. All is whole microseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
_NAME_BYTES = 16


class Away(Exception):
    """The server that counts cannot be reached; ask it again after `retry_after_seconds`."""

    retry_after_seconds = 1


@dataclass(frozen=True, kw_only=True)
class Policy:
    """So many turns in so many seconds. The name is told to whoever is held to it."""

    name: str
    limit: int
    window_seconds: int

    @property
    def interval(self) -> int:
        """Microseconds until one turn has come back."""
        return max(1, self.window_seconds * _SECOND // self.limit)

    @property
    def window(self) -> int:
        """Microseconds until all turns have come back."""
        return self.interval * self.limit


def ten_an_hour(name: str) -> Policy:
    """For guesses: at most ten in any hour, of which five at once and five as they come back."""
    return Policy(name=name, limit=5, window_seconds=3600)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """The turns of one caller under one policy."""

    policy: Policy
    who: str

    @property
    def key(self) -> str:
        """Its name in a store: short, and without what people typed."""
        digest = hashlib.blake2b(self.who.encode(errors="replace"), digest_size=_NAME_BYTES)
        return f"restante:turns:{self.policy.name}:{digest.hexdigest()}"


class Backend(Protocol):
    """Where turns are counted."""

    def take(self, buckets: Sequence[Bucket], *, now: int) -> tuple[bool, list[int]]:
        """One turn out of each bucket or, if one is empty, out of none; all at once.

        Returns whether they were taken, and how much is used of each. Raises `Away`.
        """
        ...

    def give_back(self, buckets: Sequence[Bucket], *, now: int) -> None:
        """One turn into each bucket that is not full. Raises `Away`."""
        ...

    def look(self, buckets: Sequence[Bucket], *, now: int) -> list[int]:
        """How much is used of each bucket, of which nothing is taken. Raises `Away`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is left in one bucket. `retry_after_seconds` is zero while there is a turn."""

    policy: Policy
    remaining: int
    reset_seconds: int
    retry_after_seconds: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """Whether the caller may go on, and what stands in each of its buckets.

    Without standings, nobody could be asked (`is_away`).
    """

    allowed: bool
    policies: tuple[Policy, ...]
    standings: tuple[Standing, ...] = ()
    retry_after_seconds: int = 0

    @property
    def is_away(self) -> bool:
        """Whether the server that counts could not be reached."""
        return not self.standings

    @property
    def tightest(self) -> Standing:
        """The bucket with the longest wait, else with the smallest part left."""
        return min(
            self.standings,
            key=lambda each: (-each.retry_after_seconds, each.remaining / each.policy.limit),
        )


def microseconds(at: datetime) -> int:
    """A moment as a whole number."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def used(full_at: int, *, policy: Policy, now: int) -> int:
    """How much of a bucket is used. A clock that was put back makes nobody wait longer."""
    return min(max(full_at - now, 0), policy.window)


def has_turn(amount: int, *, policy: Policy) -> bool:
    """Whether one more turn fits beside what is used."""
    return amount + policy.interval <= policy.window


def standing(policy: Policy, amount: int, *, refused: bool) -> Standing:
    """What is told of a bucket of which so much is used."""
    missing = max(amount + policy.interval - policy.window, 0) if refused else 0
    return Standing(
        policy=policy,
        remaining=(policy.window - amount) // policy.interval,
        reset_seconds=-(-amount // _SECOND),
        retry_after_seconds=-(-missing // _SECOND),
    )
