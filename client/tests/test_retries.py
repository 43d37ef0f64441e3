"""Calls against a server that fails: what is repeated, when, and under which key."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import GAME_ID, LOST, Server, Step, Waits, account, answer, client, game, problem, raw

from galaxy_client import (
    CallTimeoutError,
    ConflictError,
    ConnectionLostError,
    Galaxy,
    GalaxyError,
    InvalidError,
    RetryPolicy,
    ThrottledError,
    UnavailableError,
    UnreachableError,
)

PASSING = {
    "lost": LOST,
    "half": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"),
    "502": answer(502),
    "503": problem(503, "engine_waking", Retry_After="1"),
    "504": answer(504),
    "429": problem(429, "too_many_requests", Retry_After="2"),
}
UNCERTAIN = {name: step for name, step in PASSING.items() if name != "429"}


async def machines(galaxy: Galaxy) -> object:
    return await galaxy.machines(GAME_ID, 2)


async def force(galaxy: Galaxy) -> object:
    return await galaxy.force_next_turn(GAME_ID)


async def sign_in(galaxy: Galaxy) -> object:
    return await galaxy.sign_in("ada@example.test", lambda _: "12345678")


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING)
async def test_a_failure_that_passes(failure: Step) -> None:
    """An unsafe call is repeated under the same quoted key until it succeeds; the next call has another key."""
    async with Server([failure, failure, failure, answer(200, game())]) as server, client(server) as galaxy:
        assert (await galaxy.join(GAME_ID)).turn == 3
        await galaxy.join(GAME_ID)
    keys = [each.headers["idempotency-key"] for each in server.received]
    assert len(keys) == 5
    assert len(set(keys[:4])) == 1
    assert keys[4] != keys[0]
    assert keys[0][0] == keys[0][-1] == '"'


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING)
async def test_three_repetitions(failure: Step) -> None:
    """After the first attempt and three more the last failure is raised; reads are repeated too, without a key."""
    async with Server([failure]) as server, client(server) as galaxy:
        with pytest.raises(GalaxyError) as raised:
            await galaxy.account()
    assert len(server.received) == 4
    assert "idempotency-key" not in server.received[0].headers
    assert not raised.value.uncertain


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 412, 413, 422, 500])
async def test_what_is_never_repeated(status: int) -> None:
    """Other refusals, and faults of the server, are raised at once."""
    async with Server([problem(status, "no")]) as server, client(server) as galaxy:
        with pytest.raises(GalaxyError):
            await galaxy.pause(GAME_ID)
    assert len(server.received) == 1


@pytest.mark.parametrize("call", [machines, force, sign_in])
@pytest.mark.parametrize("failure", UNCERTAIN.values(), ids=UNCERTAIN)
async def test_what_would_be_done_twice(call: Callable[[Galaxy], Awaitable[object]], failure: Step) -> None:
    """Machines, forced turns and sign-in codes are not repeated where the first attempt may have been carried out."""
    async with Server([failure]) as server, client(server) as galaxy:
        with pytest.raises(GalaxyError) as raised:
            await call(galaxy)
    assert len(server.received) == 1
    assert raised.value.uncertain


@pytest.mark.parametrize("code", ["starting", "stopping", "limits_unavailable"])
async def test_what_was_certainly_not_done(code: str) -> None:
    """They are repeated where the server says that it has done nothing."""
    script = [problem(503, code), problem(429, "too_many_requests", Retry_After="1"), answer(200, game())]
    async with Server(script) as server, client(server) as galaxy:
        await galaxy.machines(GAME_ID)
    assert len(server.received) == 3


async def test_a_server_that_is_not_there() -> None:
    """Without a connection nothing was sent: every call is repeated, and its failure is certain."""
    async with Server([LOST]) as server:
        pass
    waits = Waits()
    async with client(server, waits=waits) as galaxy:
        with pytest.raises(UnreachableError) as raised:
            await galaxy.machines(GAME_ID)
    assert len(waits.seconds) == 3
    assert not raised.value.uncertain


async def test_retry_after() -> None:
    """The server's own time is waited for, with jitter on top, and a growing time where it says none."""
    waits = Waits()
    script = [problem(429, "too_many_requests", Retry_After="7"), answer(502), answer(502), answer(200, account())]
    async with Server(script) as server, client(server, waits=waits) as galaxy:
        await galaxy.account()
    first, second, third = waits.seconds
    assert 7.0 < first <= 7.25
    assert 0.25 <= second <= 0.5
    assert 0.5 <= third <= 1.0


async def test_a_long_retry_after_is_left_to_the_caller() -> None:
    """More than the policy waits for is raised at once, with the seconds."""
    waits = Waits()
    async with (
        Server([problem(429, "too_many_requests", Retry_After="3600")]) as server,
        client(server, waits=waits) as galaxy,
    ):
        with pytest.raises(ThrottledError) as raised:
            await galaxy.account()
    assert (raised.value.retry_after, waits.seconds) == (3600.0, [])


async def test_a_refusal_after_a_lost_answer_is_uncertain() -> None:
    """409 for the repetition of a call whose answer was lost may come of its own success, and says so."""
    async with Server([LOST, problem(409, "not_a_member")]) as server, client(server) as galaxy:
        with pytest.raises(ConflictError) as raised:
            await galaxy.leave(GAME_ID)
    assert raised.value.uncertain
    async with Server([problem(409, "not_a_member")]) as server, client(server) as galaxy:
        with pytest.raises(ConflictError) as raised:
            await galaxy.leave(GAME_ID)
    assert not raised.value.uncertain


async def test_an_attempt_that_still_runs() -> None:
    """409 `request_running` is our own first attempt where an answer was lost, and is waited for; else it is raised."""
    running = problem(409, "request_running", Retry_After="1")
    async with Server([LOST, running, answer(200, game())]) as server, client(server) as galaxy:
        await galaxy.join(GAME_ID)
    assert len(server.received) == 3
    async with Server([running]) as server, client(server) as galaxy:
        with pytest.raises(ConflictError, match="request_running"):
            await galaxy.join(GAME_ID)
    assert len(server.received) == 1


async def test_orders_by_revision_whose_answer_was_lost() -> None:
    """412 for a repetition is a success where the stored set is the one that was sent."""
    stored = {"turn": 3, "orders": [{"order": "x"}], "final": True, "revision": 5}
    script = [LOST, problem(412, "orders_changed"), answer(200, stored)]
    async with Server(script) as server, client(server) as galaxy:
        receipt = await galaxy.send(GAME_ID, [{"order": "x"}], final=True, if_match=4, turn=3)
    assert (receipt.revision, receipt.final) == (5, True)
    assert server.received[0].headers["if-match"] == '"4"'


@pytest.mark.parametrize(
    "stored",
    [
        {"turn": 3, "orders": [], "final": True, "revision": 5},
        {"turn": 3, "orders": [{"order": "x"}], "final": True, "revision": 6},
        {"turn": 4, "orders": [{"order": "x"}], "final": True, "revision": 5},
        {"turn": 3, "orders": [{"order": "x"}], "final": False, "revision": 5},
    ],
)
async def test_orders_that_somebody_else_changed(stored: dict[str, object]) -> None:
    """It is an error where another set is stored."""
    script = [LOST, problem(412, "orders_changed"), answer(200, stored)]
    async with Server(script) as server, client(server) as galaxy:
        with pytest.raises(ConflictError, match="orders_changed"):
            await galaxy.send(GAME_ID, [{"order": "x"}], final=True, if_match=4, turn=3)


async def test_time_limit_of_an_attempt() -> None:
    """A server that says nothing is given up, and the call repeated."""

    async def silent(_: object) -> None:
        await asyncio.sleep(60)

    async with Server([silent, answer(200, account())]) as server, client(server, attempt_seconds=0.2) as galaxy:
        assert (await galaxy.account()).display_name == "Ada"
    assert len(server.received) == 2


async def test_time_limit_of_a_call() -> None:
    """A call ends in time whatever its attempts do, and says what the last one met with."""
    async with Server([answer(502)]) as server:
        policy = RetryPolicy(call_seconds=0.3, first_delay=60, longest_delay=60)
        async with Galaxy(server.address, policy=policy) as galaxy:
            with pytest.raises(CallTimeoutError, match=r"not done within 0\.3 s; the last attempt failed: 502"):
                await galaxy.account()


async def test_cancellation_is_not_a_failure() -> None:
    """A call that is cancelled ends at once, as the program wants it."""
    asked = asyncio.Event()

    async def silent(_: object) -> None:
        asked.set()
        await asyncio.sleep(60)

    async with Server([silent]) as server, client(server) as galaxy:
        call = asyncio.create_task(galaxy.join(GAME_ID))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert len(server.received) == 1


async def test_every_failure_has_its_type() -> None:
    """Programs tell a lost connection from a refusal, and one refusal from another."""
    cases: list[tuple[Step, type[GalaxyError]]] = [
        (LOST, ConnectionLostError),
        (answer(502), UnavailableError),
        (problem(422, "invalid_request"), InvalidError),
    ]
    for step, expected in cases:
        async with Server([step]) as server, client(server, retries=0) as galaxy:
            with pytest.raises(expected):
                await galaxy.account()


@given(st.integers(1, 2000), st.integers(0, 2**32))
def test_delays(failures: int, seed: int) -> None:
    """A delay is in the upper half below its bound, which doubles up to the longest."""
    policy = RetryPolicy()
    bound = min(policy.longest_delay, policy.first_delay * 2 ** min(failures - 1, 60))
    assert bound / 2 <= policy.delay(failures, Random(seed)) <= bound
