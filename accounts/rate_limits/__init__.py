"""How often programs and people may ask, and what they are told about it.

A caller names buckets, and is let through by all of them or by none:

    result = rate_limits.take(*rate_limits.of_key(key, organisation), at=now, when_away="open")
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Literal

from django.conf import settings

from accounts import keys
from accounts.rate_limits import buckets
from accounts.rate_limits.buckets import (
    Away,
    Backend,
    Bucket,
    Policy,
    Result,
    Standing,
    ten_an_hour,
)
from accounts.rate_limits.in_process import InProcess

__all__ = [
    "Bucket",
    "Policy",
    "Result",
    "Standing",
    "give_back",
    "headers",
    "is_used",
    "look",
    "of_failed_keys",
    "of_key",
    "take",
    "ten_an_hour",
]

MINUTE_SECONDS = 60
WhenAway = Literal["open", "closed", "alone"]


def take(*wanted: Bucket, at: datetime, when_away: WhenAway) -> Result:
    """One turn of each bucket, or of none.

    `when_away` says what holds while Redis cannot be asked: `open` lets everybody through, which
    suits who has proved already who they are, `closed` nobody, and `alone` has this process count
    for itself meanwhile.
    """
    policies, now = tuple(each.policy for each in wanted), buckets.microseconds(at)
    try:
        taken, amounts = _taken(wanted, now=now, may_be_alone=when_away == "alone")
    except Away as away:
        is_open = when_away == "open"
        wait = 0 if is_open else away.retry_after_seconds
        return Result(allowed=is_open, policies=policies, retry_after_seconds=wait)
    standings = tuple(
        buckets.standing(policy, amount, refused=not taken)
        for policy, amount in zip(policies, amounts, strict=True)
    )
    return Result(
        allowed=taken,
        policies=policies,
        standings=standings,
        retry_after_seconds=max(each.retry_after_seconds for each in standings),
    )


def _taken(wanted: tuple[Bucket, ...], *, now: int, may_be_alone: bool) -> tuple[bool, list[int]]:
    try:
        return backend().take(wanted, now=now)
    except Away:
        if not may_be_alone:
            raise
        return _alone().take(wanted, now=now)


def give_back(*taken: Bucket, at: datetime) -> None:
    """Undo a turn that should not have counted, if that is possible."""
    now = buckets.microseconds(at)
    try:
        backend().give_back(taken, now=now)
    except Away:
        # Where nothing was taken alone, nothing changes.
        _alone().give_back(taken, now=now)


def look(*wanted: Bucket, at: datetime) -> Result:
    """What stands in each bucket, of which nothing is taken; never refuses."""
    policies = tuple(each.policy for each in wanted)
    try:
        amounts = backend().look(wanted, now=buckets.microseconds(at))
    except Away:
        return Result(allowed=True, policies=policies)
    standings = tuple(
        buckets.standing(policy, amount, refused=False)
        for policy, amount in zip(policies, amounts, strict=True)
    )
    return Result(allowed=True, policies=policies, standings=standings)


def is_used(bucket: Bucket, *, at: datetime) -> bool:
    """Whether any turn of a bucket is taken; while Redis is away, whether one was taken alone."""
    now = buckets.microseconds(at)
    try:
        [amount] = backend().look([bucket], now=now)
    except Away:
        [amount] = _alone().look([bucket], now=now)
    return amount > 0


def backend() -> Backend:
    """Where this process counts."""
    return _backend(settings.REDIS_URL)


@cache
def _alone() -> InProcess:
    """What this process counts while Redis is away."""
    return InProcess()


@cache
def _backend(redis_url: str) -> Backend:
    if not redis_url:
        return InProcess()
    # Its client takes 5 MiB, which a house without Redis need not have.
    from accounts.rate_limits.in_redis import InRedis  # noqa: PLC0415

    return InRedis(redis_url)


def of_key(key_id: str, organisation_id: str) -> tuple[Bucket, Bucket]:
    """The turns of one API key, and those of all keys of its organisation together."""
    return (
        Bucket(policy=_per_minute("key", settings.RATE_LIMIT_KEY_PER_MINUTE), who=key_id),
        Bucket(
            policy=_per_minute("organisation", settings.RATE_LIMIT_ORGANISATION_PER_MINUTE),
            who=organisation_id,
        ),
    )


def of_failed_keys(address: str) -> Bucket:
    """The turns of an address at keys that open nothing; take one after each."""
    policy = _per_minute("failed-keys", settings.RATE_LIMIT_FAILED_KEYS_PER_MINUTE)
    return Bucket(policy=policy, who=keys.holder_of(address))


def _per_minute(name: str, limit: int) -> Policy:
    return Policy(name=name, limit=limit, window_seconds=MINUTE_SECONDS)


def headers(result: Result) -> dict[str, str]:
    """What a program is told (draft-ietf-httpapi-ratelimit-headers), and when to come again.

    `q` turns in `w` seconds; `r` of them are left, and all are there again in `t` seconds.
    """
    told = {
        "RateLimit-Policy": ", ".join(
            f'"{policy.name}";q={policy.limit};w={policy.window_seconds}'
            for policy in result.policies
        )
    }
    if not result.is_away:
        told["RateLimit"] = ", ".join(
            f'"{each.policy.name}";r={each.remaining};t={each.reset_seconds}'
            for each in result.standings
        )
    if not result.allowed:
        told["Retry-After"] = str(result.retry_after_seconds)
    return told
