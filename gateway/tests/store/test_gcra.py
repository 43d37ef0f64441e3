"""The rate algorithm, held against a bucket of tokens."""

import asyncio
from contextlib import closing
from datetime import timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from redis_server import RedisServer

from galaxy_chassis.clock import ManualClock
from galaxy_gateway.store.gcra import affordable, debt_at
from galaxy_gateway.store.memory import MemoryStore
from galaxy_gateway.store.scripts import SPEND
from galaxy_gateway.store.store import Demand

MINUTE = 60_000_000
"""Microseconds; longer than a test, since Redis expires its keys by its own clock."""
TIMED = SPEND.text.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}")
"""The script at a time of the test's choice, in two more arguments."""
START = 1_900_000_000_000_000

demands = st.lists(
    st.builds(
        lambda key, interval, quota: Demand(f"galaxy:{key}", interval, quota * interval),
        st.sampled_from("abc"),
        st.just(MINUTE) | st.integers(MINUTE, 60 * MINUTE),
        st.integers(1, 5),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda demand: demand.key,
)
steps = st.just(0) | st.integers(0, 2 * MINUTE) | st.integers(0, 1000 * MINUTE)


class Buckets:
    """The reference: buckets of tokens in exact fractions, of one size each."""

    def __init__(self) -> None:
        self.tokens: dict[Demand, Fraction] = {}

    def spend(self, demands: list[Demand], elapsed: int) -> tuple[bool, tuple[int, ...]]:
        for demand in self.tokens:
            quota = Fraction(demand.capacity, demand.interval)
            self.tokens[demand] = min(quota, self.tokens[demand] + Fraction(elapsed, demand.interval))
        held = [self.tokens.setdefault(demand, Fraction(demand.capacity, demand.interval)) for demand in demands]
        allowed = all(tokens >= 1 for tokens in held)
        for demand in demands if allowed else ():
            self.tokens[demand] -= 1
        return allowed, tuple(int(demand.capacity - self.tokens[demand] * demand.interval) for demand in demands)


@given(demands, st.lists(st.tuples(st.sets(st.integers(0, 2), min_size=1), steps), max_size=40))
def test_memory_is_a_bucket_of_tokens(known: list[Demand], requests: list[tuple[set[int], int]]) -> None:
    """Any requests for any of the allowances, at any times, are decided as by exact buckets, to the microsecond."""
    clock, buckets = ManualClock(), Buckets()
    store = MemoryStore(clock)

    async def run() -> None:
        for chosen, step in requests:
            clock.advance(timedelta(microseconds=step))
            wanted = [known[number % len(known)] for number in {number % len(known) for number in chosen}]
            spent = await store.spend(wanted)
            assert (spent.allowed, spent.debts) == buckets.spend(wanted, step)

    asyncio.run(run())


def test_redis_is_the_same_bucket(shared_server: RedisServer) -> None:
    """The script decides as exact buckets do, to the microsecond, at times of 16 digits."""
    with closing(shared_server.client()) as client:

        @given(demands, st.lists(st.tuples(st.sets(st.integers(0, 2), min_size=1), steps), max_size=20))
        def same(known: list[Demand], requests: list[tuple[set[int], int]]) -> None:
            client.flushall()
            now, buckets = START, Buckets()
            for chosen, step in requests:
                now += step
                wanted = [known[number % len(known)] for number in {number % len(known) for number in chosen}]
                numbers = [number for demand in wanted for number in (demand.interval, demand.capacity)]
                keys = [demand.key for demand in wanted]
                allowed, *debts = client.eval(TIMED, len(keys), *keys, *numbers, *divmod(now, 1_000_000))
                assert (bool(allowed), tuple(debts)) == buckets.spend(wanted, step)

        same()


@given(st.integers(1, 20), st.integers(1, 1000), st.lists(st.integers(0, 3000), max_size=200))
def test_never_more_than_a_burst_and_a_quota_in_any_window(quota: int, interval: int, steps: list[int]) -> None:
    """Whenever requests come, those that pass in one window are at most the burst and what refills meanwhile."""
    demand, window = Demand("galaxy:a", interval, quota * interval), quota * interval
    clock, passed = ManualClock(), list[int]()
    store = MemoryStore(clock)

    async def run() -> None:
        for step in steps:
            clock.advance(timedelta(microseconds=step))
            if (await store.spend([demand])).allowed:
                passed.append(round(clock.monotonic() * 1_000_000))

    asyncio.run(run())
    for start in passed:
        assert sum(start <= at < start + window for at in passed) <= 2 * quota


@given(st.none() | st.integers(), st.integers(), st.integers(1, 10**9), st.integers(1, 10**6))
def test_a_debt_is_within_its_bounds(full_at: int | None, now: int, interval: int, quota: int) -> None:
    """Whatever the clock did, a client waits for at most one interval."""
    demand = Demand("galaxy:a", interval, quota * interval)
    debt = debt_at(full_at, now, demand)
    assert 0 <= debt <= demand.capacity
    assert affordable(max(debt - interval, 0), demand)
