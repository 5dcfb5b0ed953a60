"""Counting in a real Redis, and what happens when it is not there."""

from __future__ import annotations

import os
import signal
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as how
from hypothesis import strategies as st
from redis import Redis

from accounts import rate_limits
from accounts.rate_limits import Bucket, Policy, in_redis
from accounts.rate_limits.buckets import Away
from accounts.rate_limits.in_process import InProcess
from accounts.rate_limits.in_redis import PAUSE, InRedis
from tests.accounts.limiter_contract import (
    FIVE,
    NOW,
    PART,
    PART_SECONDS,
    THREE,
    LimiterContract,
    bucket,
)
from tests.factories import AT
from tests.patience import PATIENCE_SECONDS
from tests.servers import free_port, redis


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    with redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def limiter(redis_url):
    limiter = InRedis(redis_url, patience_seconds=PATIENCE_SECONDS)
    with Redis.from_url(redis_url) as client:
        client.flushall()
    yield limiter
    limiter.close()


class TestInRedis(LimiterContract):
    @pytest.fixture
    def limiter(self, limiter):
        return limiter

    def test_one_round_trip_takes_turns_out_of_two_buckets(self, limiter, redis_url):
        limiter.take([bucket(), bucket(THREE)], now=NOW)
        with Redis.from_url(redis_url) as client:
            before = client.info("commandstats")

            limiter.take([bucket(), bucket(THREE)], now=NOW)

            after = client.info("commandstats")
        assert after["cmdstat_evalsha"]["calls"] - before["cmdstat_evalsha"]["calls"] == 1
        assert after.get("cmdstat_eval") == before.get("cmdstat_eval")

    def test_full_buckets_leave_nothing_behind(self, limiter, redis_url):
        limiter.take([bucket()], now=NOW)
        with Redis.from_url(redis_url) as client:
            [key] = client.keys("*")

            turn = 2 * PART_SECONDS * 1000
            assert turn // 2 < client.pttl(key) <= turn
            limiter.give_back([bucket()], now=NOW)
            assert client.keys("*") == []

    def test_a_flushed_redis_that_forgot_the_script_goes_on(self, limiter, redis_url):
        limiter.take([bucket()], now=NOW)
        with Redis.from_url(redis_url) as client:
            client.flushall()
            client.script_flush()

        assert limiter.take([bucket()], now=NOW) == (True, [2 * PART])


@pytest.fixture
def remembering(limiter):
    """One whose Redis forgets nothing by its own clock.

    What is left of a turn may be a microsecond by the clock of a test that stands still, and is
    forgotten a thousandth of a second later.
    """
    expires = ", 'PX', math.ceil(amounts[i] / 1000)"
    assert expires in in_redis._SCRIPT
    script = in_redis._SCRIPT.replace(expires, "")
    limiter._script = limiter._redis.register_script(script)
    return limiter


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "give_back"]),
        st.sampled_from([[FIVE], [THREE], [FIVE, THREE], [THREE, FIVE]]),
        st.integers(min_value=-5 * PART, max_value=70 * PART),
    ),
    min_size=1,
    max_size=30,
)


@how(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
@example(
    steps=[
        ("take", [FIVE], 0),
        ("take", [FIVE], 2 * PART - 1),
        ("give_back", [FIVE], 0),
        ("take", [FIVE], 0),
    ]
)
def test_memory_and_redis_count_alike(remembering, counts, steps):
    # Redis remembers the example before.
    twin, now, who = InProcess(), NOW, uuid4().hex
    counts(histories=1, steps=len(steps))
    for verb, policies, later in steps:
        now += later
        wanted = [Bucket(policy=policy, who=who) for policy in policies]

        by_redis = getattr(remembering, verb)(wanted, now=now)
        by_memory = getattr(twin, verb)(wanted, now=now)

        assert by_redis == by_memory


# When Redis is away ---------------------------------------------------------------------


@pytest.fixture
def away(settings):
    """Settings that name a Redis that is not there."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"


@pytest.mark.parametrize(("when_away", "allowed"), [("open", True), ("closed", False)])
def test_the_caller_says_what_holds_while_redis_is_away(away, when_away, allowed):
    wanted = rate_limits.of_key("key", "organisation")

    result = rate_limits.take(*wanted, at=AT, when_away=when_away)

    assert result.allowed is allowed
    assert result.is_away
    told = rate_limits.headers(result)
    assert set(told) == {"RateLimit-Policy"} | (set() if allowed else {"Retry-After"})
    rate_limits.give_back(*wanted, at=AT)


def test_a_dead_redis_is_asked_once_in_a_while(caplog):
    limiter = InRedis(f"redis://127.0.0.1:{free_port()}/0")
    moments = [NOW + number * 10_000 for number in range(450)]

    for moment in moments:
        with pytest.raises(Away):
            limiter.take([bucket()], now=moment)

    assert len(caplog.records) == 1 + 449 * 10_000 // (PAUSE + 10_000)
    with pytest.raises(Away):
        limiter.take([bucket()], now=NOW - 10**12)


def test_redis_that_comes_back_counts_again(tmp_path):
    with redis(tmp_path) as url:
        limiter = InRedis(url, patience_seconds=PATIENCE_SECONDS)
        assert limiter.take([bucket()], now=NOW)[0]
        limiter._away_until = NOW + PAUSE

        with pytest.raises(Away):
            limiter.take([bucket()], now=NOW)
        answers = [limiter.take([bucket()], now=NOW + PAUSE + 1)[0] for _ in range(2)]

        limiter.close()
    assert answers == [True, True]


def test_a_redis_that_hangs_holds_up_one_request_for_a_moment(tmp_path, caplog):
    """Every other request goes on at once, for as long as it hangs: it does not ask at all."""
    with redis(tmp_path) as url:
        limiter = InRedis(url, patience_seconds=3)
        with Redis.from_url(url) as client:
            process = client.info("server")["process_id"]
        limiter.take([bucket(Policy(name="warm", limit=9, window_seconds=9))], now=NOW)
        os.kill(process, signal.SIGSTOP)
        try:
            for _ in range(1000):
                with pytest.raises(Away):
                    limiter.take([bucket()], now=NOW)
        finally:
            os.kill(process, signal.SIGCONT)
        limiter.close()

    assert [record.name for record in caplog.records] == [in_redis.__name__]
