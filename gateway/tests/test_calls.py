"""Calls with an Idempotency-Key, at the edge."""

import asyncio
import json

import pytest
from aiohttp import web
from gateway_doubles import GOOD, Front, Start

GAMES = "/api/v1/user/games"
KEYED = {"Authorization": f"Bearer {GOOD}", "Idempotency-Key": '"one-of-these"'}


class Slow:
    """A backend's operation that counts its runs and lasts until it may end."""

    def __init__(self) -> None:
        self.runs = 0
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.runs += 1
        self.begun.set()
        await self.go.wait()
        return web.json_response({"run": self.runs}, status=201, headers={"Location": "/somewhere"})


async def test_a_key_sent_a_hundred_times_at_once_runs_once(start: Start) -> None:
    """One call runs; the others are told that it does; whoever asks afterwards gets its answer."""
    front = await start(limit_games="0")
    slow = front.backend.handler = Slow()

    async def ask() -> tuple[int, str]:
        status, _, body = await front.ask("POST", GAMES, json={}, headers=KEYED)
        return status, json.loads(body).get("code", "")

    asking = [asyncio.create_task(ask()) for _ in range(100)]
    async with asyncio.timeout(10):
        while sum(task.done() for task in asking) < 99:
            await asyncio.sleep(0.01)
    slow.go.set()
    answers = await asyncio.gather(*asking)
    assert sorted(set(answers)) == [(201, ""), (409, "request_running")]
    assert answers.count((201, "")) == slow.runs == 1
    status, answer, body = await front.ask("POST", GAMES, json={}, headers=KEYED)
    assert (status, json.loads(body), slow.runs) == (201, {"run": 1}, 1)
    assert (answer.headers["Idempotency-Replayed"], answer.headers["Location"]) == ("true", "/somewhere")


async def test_the_answer_is_kept_for_a_client_that_hung_up(front: Front) -> None:
    """The call goes on without it, and the same key gets the answer."""
    slow = front.backend.handler = Slow()
    asking = asyncio.create_task(front.ask("POST", GAMES, json={}, headers=KEYED))
    await slow.begun.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    slow.go.set()
    async with asyncio.timeout(5):
        while (got := await front.ask("POST", GAMES, json={}, headers=KEYED))[0] == 409:
            await asyncio.sleep(0.02)
    assert (got[0], json.loads(got[2]), slow.runs) == (201, {"run": 1}, 1)


async def test_a_key_is_of_one_body(front: Front) -> None:
    """Another body under it is refused, and forwarded to nobody."""
    await front.ask("POST", GAMES, json={"a": 1}, headers=KEYED)
    status, _, body = await front.ask("POST", GAMES, json={"a": 2}, headers=KEYED)
    assert (status, json.loads(body)["code"]) == (422, "idempotency_key_reused")
    assert len(front.backend.requests) == 1


async def test_a_key_that_is_none_is_refused_by_name(front: Front) -> None:
    """Before anything is forwarded."""
    status, _, body = await front.ask("POST", GAMES, json={}, headers={**KEYED, "Idempotency-Key": '"'})
    assert (status, json.loads(body)["code"]) == (400, "invalid_idempotency_key")
    assert not front.backend.requests


async def test_a_call_that_found_no_backend_may_run_again_at_once(start: Start) -> None:
    """Nothing is kept of it: the key is free."""
    front = await start(backend_url="http://127.0.0.1:1")
    public = "/api/v1/public/things"
    codes = []
    for _ in range(2):
        _, _, body = await front.ask("POST", public, json={}, headers={"Idempotency-Key": "bare"})
        codes.append(json.loads(body)["code"])
    assert codes == ["backend_unreachable"] * 2


async def test_a_reading_call_ignores_the_key(front: Front) -> None:
    """It is forwarded each time."""
    for _ in range(2):
        assert (await front.ask("GET", GAMES, headers=KEYED))[0] == 200
    assert len(front.backend.requests) == 2


async def test_a_key_without_a_caller_is_kept_for_nobody(front: Front) -> None:
    """A user's call whose token this gateway cannot place is forwarded each time: no stranger gets its answer."""
    unknown = {"Authorization": "Bearer not-known-here", "Idempotency-Key": '"one-of-these"'}
    for headers in (unknown, {"Idempotency-Key": '"one-of-these"'}):
        status, answer, _ = await front.ask("POST", GAMES, json={}, headers=headers)
        assert (status, "Idempotency-Replayed" in answer.headers) == (200, False)
    assert len(front.backend.requests) == 2


async def test_a_revoked_session_gets_no_replay_while_revocations_do_not_come_in(front: Front) -> None:
    """Without a subscription the session is asked about before an answer is repeated."""
    await front.ask("GET", GAMES, headers=KEYED)
    await front.ask("POST", GAMES, json={}, headers=KEYED)
    asked = front.backend.introspected
    status, answer, _ = await front.ask("POST", GAMES, json={}, headers=KEYED)
    assert (status, answer.headers["Idempotency-Replayed"]) == (200, "true")
    assert front.backend.introspected == asked + 1


async def test_a_call_that_may_still_run_keeps_its_key(start: Start) -> None:
    """After 504 the same key is 409, and runs nothing beside the first."""
    front = await start(request_timeout="1s")
    front.backend.handler = Slow()
    codes = []
    for _ in range(2):
        _, _, body = await front.ask("POST", GAMES, json={}, headers=KEYED)
        codes.append(json.loads(body)["code"])
    assert codes == ["backend_timeout", "request_running"]
    assert len(front.backend.requests) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_no_change_is_sent_twice(front: Front, method: str) -> None:
    """Where a kept connection breaks after the backend has read the call, the client hears of it."""

    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    await front.ask("GET", "/api/v1/public/things")  # a connection is kept
    front.backend.handler = hang_up
    status, _, body = await front.ask(method, "/api/v1/public/things", data=b"{}")
    assert (status, json.loads(body)["code"]) == (502, "backend_unreachable")
    assert [request.method for request, _ in front.backend.requests] == ["GET", method]


async def test_a_read_survives_a_connection_that_broke(front: Front) -> None:
    """It is asked once more."""
    first = True

    async def hang_up_once(request: web.Request) -> web.StreamResponse:
        nonlocal first
        if first:
            first = False
            assert request.transport is not None
            request.transport.close()
        return web.Response(text="read")

    front.backend.handler = hang_up_once
    assert (await front.ask("GET", "/api/v1/public/things"))[0] == 200


async def test_a_stop_gives_up_calls_whose_clients_are_gone(start: Start) -> None:
    """Within the time for it, and without leaving a task behind."""
    front = await start(shutdown_timeout="200ms")
    slow = front.backend.handler = Slow()
    asking = asyncio.create_task(front.ask("POST", GAMES, json={}, headers=KEYED))
    await slow.begun.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await front.gateway._drain()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "idempotent call"]
