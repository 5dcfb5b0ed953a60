"""What whoever counts requests must do: in memory and in Redis."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts.rate_limits import Bucket, Policy

NOW = 1_793_610_600_000_000
# Redis forgets by its own clock, however still `now` stands: a part of a window is so long that no
# pause of a busy machine comes near it.
PART_SECONDS = 100
PART = PART_SECONDS * 1_000_000
FIVE = Policy(name="five", limit=5, window_seconds=10 * PART_SECONDS)
THREE = Policy(name="three", limit=3, window_seconds=60 * PART_SECONDS)


def bucket(policy=FIVE, who="someone"):
    return Bucket(policy=policy, who=who)


class LimiterContract:
    """What a subclass gives: `limiter`, which has counted nothing yet."""

    def test_as_many_turns_are_taken_as_there_are(self, limiter):
        answers = [limiter.take([bucket()], now=NOW) for _ in range(7)]

        used = [2 * PART * number for number in (1, 2, 3, 4, 5, 5, 5)]
        assert answers == [
            (number < 5, [amount]) for number, amount in zip(range(7), used, strict=True)
        ]

    def test_a_turn_comes_back_after_its_part_of_the_window(self, limiter):
        for _ in range(5):
            limiter.take([bucket()], now=NOW)

        too_soon, _ = limiter.take([bucket()], now=NOW + 2 * PART - 1)
        in_time, _ = limiter.take([bucket()], now=NOW + 2 * PART)
        another, _ = limiter.take([bucket()], now=NOW + 2 * PART)

        assert (too_soon, in_time, another) == (False, True, False)

    def test_whoever_waited_has_all_turns_and_no_more(self, limiter):
        for _ in range(5):
            limiter.take([bucket()], now=NOW)

        later = NOW + 1000 * PART
        answers = [limiter.take([bucket()], now=later)[0] for _ in range(6)]

        assert answers == [True] * 5 + [False]

    def test_a_refusal_costs_nothing(self, limiter):
        for _ in range(50):
            limiter.take([bucket()], now=NOW)

        assert limiter.take([bucket()], now=NOW + 2 * PART) == (True, [10 * PART])

    def test_turns_are_taken_out_of_all_buckets_or_of_none(self, limiter):
        both = [bucket(), bucket(THREE)]
        for _ in range(3):
            assert limiter.take(both, now=NOW)[0]

        assert limiter.take(both, now=NOW) == (False, [6 * PART, 60 * PART])
        assert limiter.take([bucket()], now=NOW) == (True, [8 * PART])

    def test_callers_and_policies_do_not_mix(self, limiter):
        for _ in range(5):
            limiter.take([bucket(who="one")], now=NOW)

        assert limiter.take([bucket(who="two")], now=NOW) == (True, [2 * PART])
        assert limiter.take([bucket(THREE, who="one")], now=NOW) == (True, [20 * PART])

    def test_what_is_given_back_can_be_taken_again(self, limiter):
        for _ in range(5):
            limiter.take([bucket()], now=NOW)

        limiter.give_back([bucket()], now=NOW)

        assert limiter.take([bucket()], now=NOW)[0]
        assert not limiter.take([bucket()], now=NOW)[0]

    def test_nobody_is_given_back_more_than_all(self, limiter):
        limiter.give_back([bucket()], now=NOW)
        limiter.take([bucket()], now=NOW)
        for _ in range(3):
            limiter.give_back([bucket()], now=NOW)

        answers = [limiter.take([bucket()], now=NOW)[0] for _ in range(6)]

        assert answers == [True] * 5 + [False]

    def test_a_clock_that_was_put_back_makes_nobody_wait_beyond_a_window(self, limiter):
        for _ in range(5):
            limiter.take([bucket()], now=NOW)
        an_hour_ago = NOW - 3600 * PART

        refused = limiter.take([bucket()], now=an_hour_ago)
        limiter.give_back([bucket()], now=an_hour_ago)

        assert refused == (False, [10 * PART])
        assert limiter.take([bucket()], now=an_hour_ago)[0]

    @pytest.mark.parametrize("who", ["", "x" * 100_000, "a b\r\nc", "é\udc80", "*", "{one}"])
    def test_any_name_will_do(self, limiter, who):
        assert limiter.take([bucket(who=who)], now=NOW) == (True, [2 * PART])

    def test_a_limit_that_divides_nothing_is_kept_to_the_turn(self, limiter):
        seven = bucket(Policy(name="seven", limit=7, window_seconds=60 * PART_SECONDS))

        answers = [limiter.take([seven], now=NOW)[0] for _ in range(8)]

        assert answers == [True] * 7 + [False]

    def test_many_at_once_get_no_more_than_there_is(self, limiter):
        many = Policy(name="hundred", limit=100, window_seconds=60 * PART_SECONDS)
        hundred = [bucket(many), bucket(THREE)]

        with ThreadPoolExecutor(8) as pool:
            alone = list(
                pool.map(lambda _: limiter.take(hundred[:1], now=NOW)[0], range(300), chunksize=1)
            )
            both = list(pool.map(lambda _: limiter.take(hundred, now=NOW)[0], range(50)))

        assert sum(alone) == 100
        assert sum(both) == 0
        assert limiter.take(hundred[1:], now=NOW) == (True, [20 * PART])
