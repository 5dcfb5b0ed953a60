from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from accounts import rate_limits
from accounts.rate_limits import Bucket, Policy
from accounts.rate_limits.in_process import InProcess
from tests.accounts.limiter_contract import NOW, PART, LimiterContract, bucket
from tests.factories import AT

WIDE = Policy(name="wide", limit=3000, window_seconds=60)
NARROW = Policy(name="narrow", limit=2, window_seconds=60)


class TestInProcess(LimiterContract):
    @pytest.fixture
    def limiter(self):
        return InProcess()

    def test_memory_is_bounded_and_whoever_waits_longest_is_kept(self):
        limiter = InProcess(most=100)
        guesser = bucket(Policy(name="hour", limit=10, window_seconds=3600), who="guesser")
        for _ in range(10):
            limiter.take([guesser], now=NOW)

        for number in range(5000):
            limiter.take([bucket(who=f"flood {number}")], now=NOW)

        assert len(limiter) <= 100
        assert not limiter.take([guesser], now=NOW)[0]

    def test_whoever_is_given_back_everything_is_forgotten(self):
        limiter = InProcess()
        limiter.take([bucket()], now=NOW)

        limiter.give_back([bucket()], now=NOW)

        assert len(limiter) == 0

    def test_all_can_be_forgotten(self):
        limiter = InProcess()
        limiter.take([bucket()], now=NOW)

        limiter.clear()

        assert limiter.take([bucket()], now=NOW) == (True, [2 * PART])


def take(*policies, at=AT, when_away="closed"):
    wanted = [Bucket(policy=policy, who="someone") for policy in policies]
    return rate_limits.take(*wanted, at=at, when_away=when_away)


def test_a_result_says_what_is_left():
    result = take(WIDE, NARROW)

    assert result.allowed
    assert not result.is_away
    assert result.retry_after_seconds == 0
    assert result.tightest.policy == NARROW
    assert [(each.remaining, each.reset_seconds) for each in result.standings] == [
        (2999, 1),
        (1, 30),
    ]


def test_a_refusal_says_when_to_come_again():
    for _ in range(2):
        take(NARROW)

    result = take(WIDE, NARROW, at=AT + timedelta(milliseconds=100))

    assert not result.allowed
    assert result.retry_after_seconds == 30
    assert (result.tightest.policy, result.tightest.remaining) == (NARROW, 0)
    assert take(NARROW, at=AT + timedelta(seconds=30)).allowed


def test_headers_are_structured_fields():
    for _ in range(2):
        allowed = take(WIDE, NARROW)
    refused = take(WIDE, NARROW)

    assert rate_limits.headers(allowed) == {
        "RateLimit-Policy": '"wide";q=3000;w=60, "narrow";q=2;w=60',
        "RateLimit": '"wide";r=2998;t=1, "narrow";r=0;t=60',
    }
    assert rate_limits.headers(refused)["Retry-After"] == "30"


def test_a_turn_can_be_given_back():
    for _ in range(2):
        take(NARROW)

    rate_limits.give_back(Bucket(policy=NARROW, who="someone"), at=AT)

    assert take(NARROW).allowed


def test_a_key_has_a_bucket_of_its_own_and_one_with_its_organisation(settings):
    settings.RATE_LIMIT_KEY_PER_MINUTE, settings.RATE_LIMIT_ORGANISATION_PER_MINUTE = 7, 9

    key, organisation = rate_limits.of_key("key", "organisation")

    assert (key.policy.name, key.policy.limit, key.who) == ("key", 7, "key")
    assert (organisation.policy.limit, organisation.who) == (9, "organisation")


def test_failing_keys_count_for_the_whole_network_of_an_ipv6_address(settings):
    settings.RATE_LIMIT_FAILED_KEYS_PER_MINUTE = 5

    one, other = (rate_limits.of_failed_keys(f"2001:db8::{each}") for each in "12")

    assert one == other
    assert one.policy.limit == 5


def test_what_people_typed_is_not_in_the_name_of_a_bucket():
    key = Bucket(policy=NARROW, who="alice@example.test").key

    assert key.startswith("restante:turns:narrow:")
    assert "alice" not in key


def test_a_look_takes_nothing():
    take(NARROW)
    bucket_of_someone = Bucket(policy=NARROW, who="someone")

    results = [rate_limits.look(bucket_of_someone, at=AT) for _each in range(3)]

    assert [each.standings[0].remaining for each in results] == [1, 1, 1]
    assert all(each.allowed for each in results)


def test_a_look_at_a_redis_that_is_away_tells_the_policy_alone(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    result = rate_limits.look(Bucket(policy=NARROW, who="someone"), at=AT)

    assert result.allowed
    assert rate_limits.headers(result) == {"RateLimit-Policy": '"narrow";q=2;w=60'}


def test_client_of_redis_is_loaded_by_a_house_that_has_one():
    start = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "hosting.settings"
from accounts import rate_limits
for url in ("", "redis://127.0.0.1:1/0"):
    rate_limits._backend(url)
    print("redis" in sys.modules)
"""

    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True)

    assert done.stdout == "False\nTrue\n"
