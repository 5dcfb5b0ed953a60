"""Counts in Redis, for all processes and machines together: one script, one round trip."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError
from redis.retry import Retry

from accounts.rate_limits.buckets import Away, Bucket

logger = logging.getLogger(__name__)

# A request waits so long for its count, at most; Redis in the same house answers in less than one
# thousandth.
PATIENCE_SECONDS = 0.05
# Once Redis did not answer, one request in so many microseconds finds out whether it does again.
PAUSE = 2_000_000

# The same arithmetic as in `buckets`. Numbers of Lua are exact up to 2^53, which microseconds
# since 1970 reach in the year 2255.
_SCRIPT = """
local now, step = tonumber(ARGV[1]), tonumber(ARGV[2])
local amounts, taken = {}, 1
for i, key in ipairs(KEYS) do
  local interval, window = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local full_at = tonumber(redis.call('GET', key) or '0')
  amounts[i] = math.min(math.max(full_at - now, 0), window)
  if step > 0 and amounts[i] + interval > window then taken = 0 end
end
if taken == 1 and step ~= 0 then
  for i, key in ipairs(KEYS) do
    amounts[i] = math.max(amounts[i] + step * tonumber(ARGV[2 * i + 1]), 0)
    if amounts[i] > 0 then
      local full_at = string.format('%.0f', now + amounts[i])
      redis.call('SET', key, full_at, 'PX', math.ceil(amounts[i] / 1000))
    else
      redis.call('DEL', key)
    end
  end
end
return {taken, unpack(amounts)}
"""
_TAKE, _LOOK, _GIVE_BACK = 1, 0, -1


class InRedis:
    """One Redis. While it is away, hardly anybody waits to find that out again."""

    def __init__(self, url: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        # A connection that was lost while idle is made anew once, without a wait.
        retry = Retry(NoBackoff(), 1, supported_errors=(ConnectionLost,))
        self._redis = Redis.from_url(
            url,
            socket_timeout=patience_seconds,
            socket_connect_timeout=patience_seconds,
            retry=retry,
        )
        self._script = self._redis.register_script(_SCRIPT)
        self._lock = threading.Lock()
        self._away_until = 0

    def take(self, buckets: Sequence[Bucket], *, now: int) -> tuple[bool, list[int]]:
        """One turn out of each bucket, or out of none."""
        taken, *amounts = self._ask(buckets, _TAKE, now=now)
        return bool(taken), amounts

    def give_back(self, buckets: Sequence[Bucket], *, now: int) -> None:
        """One turn into each bucket."""
        self._ask(buckets, _GIVE_BACK, now=now)

    def look(self, buckets: Sequence[Bucket], *, now: int) -> list[int]:
        """How much is used of each bucket."""
        _taken, *amounts = self._ask(buckets, _LOOK, now=now)
        return amounts

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()

    def _ask(self, buckets: Sequence[Bucket], step: int, *, now: int) -> list[int]:
        self._wait_in_line(now)
        arguments: list[int] = [now, step]
        for each in buckets:
            arguments += [each.policy.interval, each.policy.window]
        try:
            answer = self._script(keys=[each.key for each in buckets], args=cast("Any", arguments))
        except RedisError as error:
            self._away_until = now + PAUSE
            logger.warning("Redis does not count requests: %s", error)
            message = "The server that counts requests does not answer."
            raise Away(message) from error
        self._away_until = 0
        return cast("list[int]", answer)

    def _wait_in_line(self, now: int) -> None:
        """Raise `Away` during a pause; the first one after it tries, for all others.

        A clock that was put back does not make the pause longer.
        """
        if not self._away_until:
            return
        with self._lock:
            if 0 <= self._away_until - now <= PAUSE:
                message = "The server that counts requests did not answer a moment ago."
                raise Away(message)
            self._away_until = now + PAUSE
