"""Several backends behind one gateway: one that dies, one that starts or stops, and none."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, closing

import pytest
from aiohttp import web
from gateway_doubles import AS_USER, GAMES, PUBLIC, Front, ScriptedBackend, Start, scripted_backend

KEYED = {"Idempotency-Key": '"one-of-these"'}


@pytest.fixture
async def backends() -> AsyncIterator[tuple[ScriptedBackend, ScriptedBackend]]:
    """Return two backends."""
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(scripted_backend()) for _ in range(2)]
        yield one, two


@pytest.fixture
async def front(start: Start, backends: tuple[ScriptedBackend, ScriptedBackend]) -> Front:
    """Return a gateway before both."""
    return await start(backends[0], backend_url=",".join(backend.url for backend in backends))


class Held:
    """A backend's operation that begins and is not answered."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError


async def statuses(front: Front, method: str, number: int) -> set[int]:
    """Make calls, of two kinds in turn, and return their statuses."""
    paths = (GAMES, PUBLIC)
    return {(await front.ask(method, paths[n % 2], headers=AS_USER))[0] for n in range(number)}


async def test_calls_take_turns(front: Front, backends: tuple[ScriptedBackend, ScriptedBackend]) -> None:
    """Each backend gets its share."""
    assert await statuses(front, "GET", 20) == {200}
    assert sum(len(backend.requests) for backend in backends) == 20
    assert all(len(backend.requests) >= 5 for backend in backends)


async def test_a_backend_that_dies_is_no_failure(
    front: Front, backends: tuple[ScriptedBackend, ScriptedBackend]
) -> None:
    """Reads in progress are answered by the other one, and so is every later call, until it comes back."""
    one, _ = backends
    assert await statuses(front, "GET", 8) == {200}
    held = one.handler = Held()
    reading = [asyncio.create_task(front.ask("GET", PUBLIC)) for _ in range(4)]
    await held.begun.wait()
    await one.kill()
    assert [status for status, _, _ in await asyncio.gather(*reading)] == [200] * 4
    for method in ("POST", "GET", "PUT", "HEAD"):
        assert await statuses(front, method, 6) == {200}
    failures = front.gateway._backends.failures
    assert (failures["broken"] > 0, failures["refused"], failures["late"]) == (True, 0, 0)
    one.handler, seen = None, len(one.requests)
    await one.start()
    async with asyncio.timeout(30):
        while len(one.requests) == seen:
            assert await statuses(front, "GET", 2) == {200}
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("before", [0, 8])
async def test_a_change_in_progress_is_not_sent_again(
    front: Front, backends: tuple[ScriptedBackend, ScriptedBackend], method: str, before: int
) -> None:
    """It may have taken effect: 502 says so, and its key is free for the client to decide."""
    one, two = backends
    await statuses(front, "GET", before)
    one.requests.clear(), two.requests.clear()
    held = one.handler = two.handler = Held()
    changing = asyncio.create_task(front.ask(method, PUBLIC, json={}, headers=KEYED))
    await held.begun.wait()
    begun, other = (one, two) if one.requests else (two, one)
    await begun.kill()
    await begun.start()
    status, answer, body = await changing
    problem = json.loads(body)
    assert (status, problem["code"], answer.headers["Retry-After"]) == (502, "backend_unreachable", "1")
    assert "may or may not have taken effect" in problem["detail"]
    assert (len(begun.requests), len(other.requests)) == (1, 0)
    one.handler = two.handler = None
    assert (await front.ask(method, PUBLIC, json={}, headers=KEYED))[0] == 200


async def test_a_backend_that_does_not_even_refuse_is_passed_over(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is off answers no connection: its calls have not begun, so that changes pass as well."""
    monkeypatch.setattr("galaxy_gateway.forwarding.pool.CONNECT_WITHIN", 1.0)
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as silent, ExitStack() as stack:
        for _ in range(4):  # as many as its queue holds, and more
            queued = stack.enter_context(closing(socket.socket()))
            queued.setblocking(False)
            queued.connect_ex(silent.getsockname())
        async with scripted_backend() as backend:
            front = await start(backend, backend_url=f"http://127.0.0.1:{silent.getsockname()[1]},{backend.url}")
            assert await statuses(front, "POST", 4) == {200}
    assert front.gateway._backends.failures["unreachable"] > 0


async def test_the_only_backend_is_asked_again(start: Start) -> None:
    """A read whose kept connection breaks goes over a new one to the same backend."""
    front = await start()
    assert (await front.ask("GET", PUBLIC))[0] == 200

    async def break_off(request: web.Request) -> web.StreamResponse:
        front.backend.handler = None
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    front.backend.handler = break_off
    assert (await front.ask("GET", PUBLIC))[0] == 200
    assert len(front.backend.requests) == 3


@pytest.mark.parametrize("code", ["starting", "stopping"])
async def test_a_call_that_a_backend_refuses_goes_to_the_other(
    front: Front, backends: tuple[ScriptedBackend, ScriptedBackend], code: str
) -> None:
    """A backend that starts or stops has begun nothing, so that changes pass as well."""
    one, two = backends

    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.json_response({"code": code}, status=503)

    one.handler = refuse
    assert await statuses(front, "POST", 10) == {200}
    assert len(two.requests) == 10
    assert front.gateway._backends.failures["refused"] > 0


async def test_without_any_backend_calls_are_502_and_the_gateway_is_ready(
    front: Front, backends: tuple[ScriptedBackend, ScriptedBackend]
) -> None:
    """Nothing has taken effect, `/readyz` is 200 and shows it, and the first one that is back is used."""
    for backend in backends:
        await backend.kill()
    for method in ("GET", "POST"):
        status, answer, body = await front.ask(method, PUBLIC)
        problem = json.loads(body)
        assert (status, problem["code"], answer.headers["Retry-After"]) == (502, "backend_unreachable", "1")
        assert "has not taken effect" in problem["detail"]
    status, checks = await front.checks()
    assert (status, checks["backend"], checks["lifecycle"]) == (200, "degraded", "ok")
    await backends[1].start()
    assert await statuses(front, "POST", 4) == {200}
    assert (await front.checks())[1]["backend"] == "ok"
