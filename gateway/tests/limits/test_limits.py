"""Counting requests, and the fields of their answers."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from redis_server import RedisServer, World

from galaxy_chassis.clock import ManualClock
from galaxy_chassis.http.problems import Problem
from galaxy_gateway.limits.limits import Limits
from galaxy_gateway.limits.policies import HOUR, MINUTE, Policy
from galaxy_gateway.store.memory import MemoryStore
from galaxy_gateway.store.names import Names
from galaxy_gateway.store.pipeline import PAUSE
from galaxy_gateway.store.redis import RedisStore
from galaxy_gateway.store.store import Store

ACCOUNT, ORDERS, GAMES = Policy("account", 3, HOUR), Policy("orders", 2, HOUR), Policy("games", 1, HOUR)


class Counted(Counter[str]):
    """Metrics as a counter."""

    def refused(self, policy: str) -> None:
        self[policy] += 1

    def limited_locally(self) -> None:
        self["local"] += 1

    def unavailable(self) -> None:
        self["unavailable"] += 1


@pytest.fixture
def counted() -> Counted:
    """Return what is counted."""
    return Counted()


@pytest.fixture
def make(counted: Any) -> Callable[[Store], Limits]:
    """Return what makes limits in a store."""
    return lambda store: Limits(store, MemoryStore(ManualClock()), Names(b"secret"), counted)


@pytest.fixture
def limits(world: World, make: Callable[[Store], Limits]) -> Limits:
    """Return limits in each kind of store."""
    return make(world.store)


async def test_an_allowed_request_shows_what_is_left(limits: Limits) -> None:
    """Both fields list all policies of the request, in one order: quota and window, what is left, and until when."""
    verdict = await limits.check({ACCOUNT: "me", ORDERS: "me"}, unsafe=True)
    assert verdict.allowed
    assert verdict.fields == {
        "RateLimit-Policy": '"account";q=3;w=3600, "orders";q=2;w=3600',
        "RateLimit": '"account";r=2;t=1200, "orders";r=1;t=1800',
    }


async def test_a_refused_request_is_answered_429(limits: Limits, counted: Counted) -> None:
    """The problem has the time to wait and the fields; what is left of the other policies is not spent."""
    await limits.check({ACCOUNT: "me", GAMES: "me"}, unsafe=True)
    for _ in range(3):
        verdict = await limits.check({ACCOUNT: "me", GAMES: "me"}, unsafe=True)
        assert not verdict.allowed
    problem = verdict.problem()
    assert (problem.status, problem.code) == (429, "too_many_requests")
    assert 3590 < int(problem.headers["Retry-After"]) <= 3600
    assert "'games'" in problem.detail
    assert problem.headers["RateLimit-Policy"] == '"account";q=3;w=3600, "games";q=1;w=3600'
    assert re.fullmatch(r'"account";r=2;t=1[12]\d\d, "games";r=0;t=3[56]\d\d', problem.headers["RateLimit"])
    assert counted == {"games": 3}


async def test_it_waits_for_the_longest_of_those_that_refuse(limits: Limits) -> None:
    """The time to wait is when all policies have a unit again, and never earlier than a refusing policy's own field."""
    keys = {Policy("short", 1, MINUTE): "me", Policy("long", 1, HOUR): "me", Policy("wide", 9, HOUR): "me"}
    await limits.check(keys, unsafe=False)
    verdict = await limits.check(keys, unsafe=False)
    assert verdict.refused_by == Policy("long", 1, HOUR)
    assert 3590 < verdict.retry_after <= 3600
    waits = [int(each) for each in re.findall(r"r=0;t=(\d+)", verdict.fields["RateLimit"])]
    assert len(waits) == 2
    assert max(waits) <= int(verdict.problem().headers["Retry-After"])


async def test_after_the_wait_it_is_allowed(limits: Limits, world: World) -> None:
    """Retry-After is long enough."""
    for _ in range(2):
        assert (await limits.check({ORDERS: "me"}, unsafe=True)).allowed
    refused = await limits.check({ORDERS: "me"}, unsafe=True)
    world.advance(int(refused.problem().headers["Retry-After"]))
    assert (await limits.check({ORDERS: "me"}, unsafe=True)).allowed


async def test_clients_and_policies_count_apart(limits: Limits) -> None:
    """Neither another client, nor another policy with the same client's name, takes anything."""
    await limits.check({GAMES: "me"}, unsafe=True)
    assert (await limits.check({GAMES: "you"}, unsafe=True)).allowed
    assert (await limits.check({Policy("other", 1, HOUR): "me"}, unsafe=True)).allowed
    assert not (await limits.check({GAMES: "me"}, unsafe=True)).allowed


async def test_without_policies_everything_passes(limits: Limits) -> None:
    """With all limits off there are no fields, and the store is not asked."""
    verdict = await limits.check({}, unsafe=True)
    assert (verdict.allowed, verdict.fields) == (True, {})


async def test_an_allowed_request_has_no_problem(limits: Limits) -> None:
    """To ask for one is a fault of the caller."""
    with pytest.raises(ValueError, match="allowed"):
        (await limits.check({ACCOUNT: "me"}, unsafe=True)).problem()


async def test_without_the_store_unsafe_requests_are_refused(
    server: RedisServer, make: Callable[[Store], Limits], counted: Counted
) -> None:
    """503 with Retry-After until Redis is back; safe requests are limited by this gateway alone."""
    clock = ManualClock()
    store = RedisStore(server.url, clock, timeout=10.0)
    limits = make(store)
    server.stop()
    for _ in range(2):
        with pytest.raises(Problem) as caught:
            await limits.check({ORDERS: "me"}, unsafe=True)
        assert (caught.value.status, caught.value.code) == (503, "limits_unavailable")
        assert caught.value.headers == {"Retry-After": "1"}
    reads = [await limits.check({ORDERS: "me"}, unsafe=False) for _ in range(3)]
    assert [read.allowed for read in reads] == [True, True, False]
    assert reads[0].fields["RateLimit"] == '"orders";r=1;t=1800'
    server.start()
    clock.advance(timedelta(seconds=PAUSE))
    assert (await limits.check({ORDERS: "me"}, unsafe=True)).allowed
    assert counted == {"unavailable": 2, "local": 3, "orders": 1}
    await store.aclose()


async def test_redis_shows_no_address(server: RedisServer, make: Callable[[Store], Limits]) -> None:
    """What Redis holds names no client."""
    store = RedisStore(server.url, ManualClock(), timeout=10.0)
    await make(store).check({Policy("address", 5, HOUR): "203.0.113.7"}, unsafe=True)
    (key,) = server.run("KEYS", "*")
    assert re.fullmatch(rb"galaxy:limit:[0-9a-f]{40}", key)
    await store.aclose()
