"""Counts in the memory of one process, for the shape of the panel that has no Redis."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Sequence
from operator import itemgetter

from accounts.rate_limits.buckets import Bucket, has_turn, used

# About ten megabytes.
MOST_BUCKETS = 50_000


class InProcess:
    """One table for all threads."""

    def __init__(self, *, most: int = MOST_BUCKETS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._full_at: dict[str, int] = {}

    def take(self, buckets: Sequence[Bucket], *, now: int) -> tuple[bool, list[int]]:
        """One turn out of each bucket, or out of none."""
        with self._lock:
            amounts = self._amounts(buckets, now=now)
            pairs = list(zip(buckets, amounts, strict=True))
            if not all(has_turn(amount, policy=each.policy) for each, amount in pairs):
                return False, amounts
            amounts = [amount + each.policy.interval for each, amount in pairs]
            self._keep(buckets, amounts, now=now)
            return True, amounts

    def give_back(self, buckets: Sequence[Bucket], *, now: int) -> None:
        """One turn into each bucket."""
        with self._lock:
            amounts = self._amounts(buckets, now=now)
            pairs = zip(buckets, amounts, strict=True)
            self._keep(buckets, [amount - each.policy.interval for each, amount in pairs], now=now)

    def look(self, buckets: Sequence[Bucket], *, now: int) -> list[int]:
        """How much is used of each bucket."""
        with self._lock:
            return self._amounts(buckets, now=now)

    def clear(self) -> None:
        """Forget everybody."""
        with self._lock:
            self._full_at.clear()

    def __len__(self) -> int:
        return len(self._full_at)

    def _amounts(self, buckets: Sequence[Bucket], *, now: int) -> list[int]:
        return [
            used(self._full_at.get(each.key, 0), policy=each.policy, now=now) for each in buckets
        ]

    def _keep(self, buckets: Sequence[Bucket], amounts: Sequence[int], *, now: int) -> None:
        for each, amount in zip(buckets, amounts, strict=True):
            if amount > 0:
                self._full_at[each.key] = now + amount
            else:
                self._full_at.pop(each.key, None)
        if len(self._full_at) > self._most:
            self._forget_half()

    def _forget_half(self) -> None:
        """Those that are full or will be soonest: with them the least is forgotten."""
        kept = heapq.nlargest(self._most // 2, self._full_at.items(), key=itemgetter(1))
        self._full_at = dict(kept)
