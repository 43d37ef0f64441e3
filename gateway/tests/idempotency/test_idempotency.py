"""Running a call once for each key."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis_server import RedisServer, World, memory_world

from galaxy_chassis.clock import ManualClock
from galaxy_chassis.http.problems import Problem
from galaxy_gateway.idempotency.call import Call
from galaxy_gateway.idempotency.idempotency import KEEP, LEASE, Idempotency, Replay, Run
from galaxy_gateway.idempotency.sealing import Sealer
from galaxy_gateway.store.names import Names
from galaxy_gateway.store.pipeline import PAUSE
from galaxy_gateway.store.redis import RedisStore
from galaxy_gateway.store.store import Store

CALL = Call("8e03978e", "POST", "/api/v1/user/games", "me", "203.0.113.7", "application/json", b'{"name": "x"}')
HEADERS = [("Content-Type", "application/json"), ("Location", "/api/v1/user/games/1"), ("X-Request-Id", "1")]
KEPT = (*(HEADERS[:2]), ("Idempotency-Replayed", "true"))


class Counted(Counter[str]):
    """Metrics as a counter."""

    def began(self, outcome: str) -> None:
        self[outcome] += 1

    ended = began


@pytest.fixture
def counted() -> Counted:
    """Return what is counted."""
    return Counted()


@pytest.fixture
def make(counted: Any) -> Callable[[Store], Idempotency]:
    """Return what makes an idempotency in a store."""
    return lambda store: Idempotency(store, Names(b"secret"), Sealer(b"secret"), counted)


@pytest.fixture
def idempotency(world: World, make: Callable[[Store], Idempotency]) -> Idempotency:
    """Return idempotency in each kind of store."""
    return make(world.store)


async def run(idempotency: Idempotency, call: Call = CALL) -> Run:
    """Begin a call that is to run."""
    begun = await idempotency.begin(call)
    assert isinstance(begun, Run)
    return begun


async def refusal(idempotency: Idempotency, call: Call = CALL) -> Problem:
    """Begin a call that is refused."""
    with pytest.raises(Problem) as caught:
        await idempotency.begin(call)
    return caught.value


async def test_a_repeated_call_is_answered_as_the_first(idempotency: Idempotency, counted: Counted) -> None:
    """Status, body and the fields that describe it are the same, and the answer is marked as a replay."""
    await idempotency.finish(await run(idempotency), 201, HEADERS, b'{"id": "1"}')
    for _ in range(3):
        assert await idempotency.begin(CALL) == Replay(201, KEPT, b'{"id": "1"}')
    assert counted == {"run": 1, "kept": 1, "replayed": 3}


async def test_of_many_calls_at_once_one_runs(idempotency: Idempotency) -> None:
    """The others are answered 409 and when to ask again."""
    begun = await asyncio.gather(*(idempotency.begin(CALL) for _ in range(100)), return_exceptions=True)
    assert [type(each) for each in begun].count(Run) == 1
    problems = [each for each in begun if isinstance(each, Problem)]
    assert len(problems) == 99
    assert {(each.status, each.code, each.headers["Retry-After"]) for each in problems} == {
        (409, "request_running", "1")
    }


async def test_a_key_with_another_body_is_refused(idempotency: Idempotency, counted: Counted) -> None:
    """While the first call runs and after it; the first one's answer stays."""
    running = await run(idempotency)
    other = replace(CALL, body=b'{"name": "y"}')
    for _ in range(2):
        problem = await refusal(idempotency, other)
        assert (problem.status, problem.code) == (422, "idempotency_key_reused")
        assert [fault.field for fault in problem.faults] == ["Idempotency-Key"]
        await idempotency.finish(running, 201, HEADERS, b"{}")
    assert isinstance(await idempotency.begin(CALL), Replay)
    assert counted["reused"] == 2


async def test_another_account_never_gets_the_answer(idempotency: Idempotency) -> None:
    """The same key, path and body of somebody else is a call of its own, from the same address too."""
    await idempotency.finish(await run(idempotency), 201, HEADERS, b"mine")
    await run(idempotency, replace(CALL, account_id="you"))
    await run(idempotency, replace(CALL, account_id=None))


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 503])
async def test_a_call_that_failed_for_now_may_run_again(
    idempotency: Idempotency, counted: Counted, status: int
) -> None:
    """Its key is free at once, for another body too."""
    await idempotency.finish(await run(idempotency), status, HEADERS, b"{}")
    await idempotency.finish(await run(idempotency, replace(CALL, body=b"[]")), 422, HEADERS, b"refused")
    assert counted == {"run": 2, "status": 1, "kept": 1}


async def test_a_session_token_is_nowhere_in_redis(
    shared_server: RedisServer, make: Callable[[Store], Idempotency], counted: Counted
) -> None:
    """The answer of a sign-in is not kept, and no other answer can be read."""
    shared_server.run("FLUSHALL")
    store = RedisStore(shared_server.url, ManualClock(), timeout=10.0)
    idempotency = make(store)
    confirm = replace(CALL, target="/api/v1/public/auth/confirm-email-code?x", account_id=None)
    await idempotency.finish(await run(idempotency, confirm), 201, HEADERS, b'{"session_token": "s3cr3t"}')
    assert shared_server.run("DBSIZE") == 0
    await idempotency.finish(await run(idempotency), 201, [*HEADERS, ("ETag", "s3cr3t")], b"s3cr3t")
    (key,) = shared_server.run("KEYS", "*")
    stored = repr((key, shared_server.run("HGETALL", key)))
    assert all(secret not in stored for secret in ("s3cr3t", "8e03978e", "games"))
    assert counted["secret"] == 1
    await store.aclose()


async def test_a_call_that_reached_nobody_may_run_again(idempotency: Idempotency) -> None:
    """Abandoned, its key is free at once."""
    await idempotency.abandon(await run(idempotency))
    await run(idempotency)


async def test_a_gateway_that_dies_holds_its_keys_for_a_minute(idempotency: Idempotency, world: World) -> None:
    """Then the call runs again."""
    await run(idempotency)
    world.advance(LEASE - 5)
    assert (await refusal(idempotency)).code == "request_running"
    world.advance(6)
    await run(idempotency)


async def test_an_answer_is_kept_for_a_day(idempotency: Idempotency, world: World) -> None:
    """After it the key is as good as new."""
    await idempotency.finish(await run(idempotency), 204, [], b"")
    world.advance(KEEP - 60)
    assert await idempotency.begin(CALL) == Replay(204, (("Idempotency-Replayed", "true"),), b"")
    world.advance(61)
    await run(idempotency)


async def test_a_late_answer_does_not_replace_a_newer_one(
    idempotency: Idempotency, world: World, counted: Counted
) -> None:
    """Nor does it free the newer call's key."""
    late = await run(idempotency)
    world.advance(LEASE + 1)
    newer = await run(idempotency)
    await idempotency.finish(late, 201, HEADERS, b"late")
    await idempotency.finish(late, 500, HEADERS, b"late")
    assert (await refusal(idempotency)).code == "request_running"
    await idempotency.finish(newer, 201, HEADERS, b"newer")
    await idempotency.finish(late, 201, HEADERS, b"late")
    assert await idempotency.begin(CALL) == Replay(201, KEPT, b"newer")
    assert counted["superseded"] == 2


async def test_without_the_store_calls_with_a_key_are_refused(
    server: RedisServer, make: Callable[[Store], Idempotency], counted: Counted
) -> None:
    """503; a call that ran when Redis went is answered all the same, and may run again when it is back."""
    clock = ManualClock()
    store = RedisStore(server.url, clock, timeout=10.0)
    idempotency = make(store)
    running, other = await run(idempotency), await run(idempotency, replace(CALL, key="other"))
    server.stop()
    await idempotency.finish(running, 201, HEADERS, b"{}")
    await idempotency.abandon(other)
    problem = await refusal(idempotency, replace(CALL, key="third"))
    assert (problem.status, problem.code, problem.headers) == (503, "limits_unavailable", {"Retry-After": "1"})
    server.start()
    clock.advance(timedelta(seconds=PAUSE))
    await run(idempotency)
    assert counted == {"run": 3, "unavailable": 3}
    await store.aclose()


async def test_a_damaged_answer_does_not_run_the_call_again(
    shared_server: RedisServer, make: Callable[[Store], Idempotency]
) -> None:
    """An answer that was moved from another account's key is not shown; the call is refused, not repeated."""
    shared_server.run("FLUSHALL")
    store = RedisStore(shared_server.url, ManualClock(), timeout=10.0)
    idempotency = make(store)
    theirs = await run(idempotency, replace(CALL, account_id="you"))
    await idempotency.finish(theirs, 201, HEADERS, b"theirs")
    shared_server.run("RENAME", theirs.name, CALL.name(Names(b"secret")))
    assert (await refusal(idempotency)).code == "limits_unavailable"
    await store.aclose()


class Client:
    """One key from outside: what ran, what was answered, and what may not happen."""

    def __init__(self) -> None:
        self.world = memory_world()
        self.counted: Any = Counted()
        self.idempotency = Idempotency(self.world.store, Names(b"secret"), Sealer(b"secret"), self.counted)
        self.running: list[tuple[float, Run]] = []
        self.answer: tuple[float, bytes] | None = None

    @property
    def now(self) -> float:
        return self.world.clock.monotonic()

    async def begin(self) -> None:
        held = any(self.now < since + LEASE for since, _ in self.running)
        known = self.answer is not None and self.now < self.answer[0] + KEEP
        try:
            begun = await self.idempotency.begin(CALL)
        except Problem as problem:
            assert problem.code == "request_running"
            assert held
            assert not known
            return
        if isinstance(begun, Replay):
            assert self.answer is not None
            assert known
            assert begun.body == self.answer[1]
            return
        assert not known
        assert not held
        self.running.append((self.now, begun))

    async def finish(self, which: int, status: int) -> None:
        _, ended = self.running.pop(which % len(self.running))
        held_by_another = any(self.now < other + LEASE for other, _ in self.running)
        known = self.answer is not None and self.now < self.answer[0] + KEEP
        await self.idempotency.finish(ended, status, [], ended.owner)
        if status < 300 and not known and not held_by_another:
            self.answer = (self.now, ended.owner)


steps = st.lists(
    st.tuples(st.just("begin"), st.just(0), st.just(0))
    | st.tuples(st.just("finish"), st.integers(0, 3), st.sampled_from([200, 500]))
    | st.tuples(st.just("advance"), st.sampled_from([1, 59, 60, 86399, 86400]), st.just(0)),
    max_size=40,
)


@given(steps)
def test_no_order_of_events_runs_a_call_beside_its_answer(steps: list[tuple[str, int, int]]) -> None:
    """Whatever begins, ends and expires in whatever order, a call runs only when nothing holds its key."""

    async def play() -> None:
        client = Client()
        for what, number, status in steps:
            if what == "begin":
                await client.begin()
            elif what == "advance":
                client.world.advance(number)
            elif client.running:
                await client.finish(number, status)

    asyncio.run(play())
