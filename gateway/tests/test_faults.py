"""Redis that stops, restarts empty, or is shared by gateways, as clients of whole gateways see it."""

import asyncio
import json
from functools import partial

import pytest
from gateway_doubles import ACCOUNT, AS_USER, GAMES, PUBLIC, Front, Start
from push_backend import PushBackend, until
from redis_server import RedisServer

from galaxy_gateway.store.redis import RedisStore

KEYED = AS_USER | {"Idempotency-Key": '"one-of-these"'}
LIMITED = ("RateLimit", "RateLimit-Policy")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait long for Redis, so that only one that refuses connections is away: the machine may be busy."""
    monkeypatch.setattr("galaxy_gateway.store.opening.RedisStore", partial(RedisStore, timeout=30.0))


async def outcome(front: Front, method: str = "POST", path: str = GAMES, **headers: str) -> tuple[int, str]:
    """Make a call, and return its status and the code of its problem, if it has one."""
    status, _, body = await front.ask(method, path, json={} if method == "POST" else None, headers=headers)
    return status, json.loads(body).get("code", "")


async def test_without_redis_reads_and_streams_go_on_and_changes_are_refused(
    start: Start, server: RedisServer, push: PushBackend
) -> None:
    """Unsafe calls are 503 with Retry-After, with a key or without; reads are limited, and an open stream goes on."""
    front = await start(redis_url=server.url, push_addr=push.address)
    await until(lambda: front.gateway._streams.subscribed)
    client = await front.listen()
    await push.publish(1, account_id=ACCOUNT)
    await client.heard(1)
    server.stop()
    forwarded = len(front.backend.requests)
    for headers in (AS_USER, KEYED):
        status, answer, body = await front.ask("POST", GAMES, json={}, headers=headers)
        assert (status, json.loads(body)["code"], answer.headers["Retry-After"]) == (503, "limits_unavailable", "1")
    assert len(front.backend.requests) == forwarded
    for method, path in (("GET", GAMES), ("HEAD", GAMES), ("GET", PUBLIC)):
        status, answer, _ = await front.ask(method, path, headers=AS_USER)
        assert (status, [name for name in LIMITED if name not in answer.headers]) == (200, [])
    await push.publish(2, account_id=ACCOUNT)
    await client.heard(2)
    another = await front.listen()
    assert (await front.checks()) == (
        200,
        {"backend": "ok", "lifecycle": "ok", "live_events": "ok", "store": "degraded"},
    )
    await push.publish(3, account_id=ACCOUNT)
    await another.heard(1)
    assert (client.numbers[:2], another.numbers) == ([1, 2], [3])
    for each in (client, another):
        each.close()


async def test_redis_that_restarts_empty_is_used_again(start: Start, server: RedisServer) -> None:
    """Changes are accepted again without a restart here; a key whose answer is forgotten runs again, once."""
    front = await start(redis_url=server.url)
    assert await outcome(front, **KEYED) == (200, "")
    assert await outcome(front, **KEYED) == (200, "")
    assert len(front.backend.requests) == 1
    server.stop()
    assert await outcome(front, **KEYED) == (503, "limits_unavailable")
    server.start()
    async with asyncio.timeout(30):
        while (await outcome(front, **KEYED))[0] == 503:
            await asyncio.sleep(0.02)
    assert len(front.backend.requests) == 2
    status, answer, _ = await front.ask("POST", GAMES, json={}, headers=KEYED)
    assert (status, answer.headers["Idempotency-Replayed"], len(front.backend.requests)) == (200, "true", 2)
    assert (await front.checks())[1]["store"] == "ok"


async def test_a_key_sent_a_hundred_times_over_two_gateways_runs_once(start: Start, server: RedisServer) -> None:
    """Whichever gateway a repetition meets: one effect, and the others are told that it runs, or get its answer."""
    one = await start(redis_url=server.url, limit_games="0")
    two = await start(one.backend, redis_url=server.url, limit_games="0")
    outcomes = await asyncio.gather(*(outcome((one, two)[n % 2], **KEYED) for n in range(100)))
    assert set(outcomes) <= {(200, ""), (409, "request_running")}
    assert (200, "") in outcomes
    assert len(one.backend.requests) == 1
    for front in (one, two):
        status, answer, _ = await front.ask("POST", GAMES, json={}, headers=KEYED)
        assert (status, answer.headers["Idempotency-Replayed"]) == (200, "true")
    assert len(one.backend.requests) == 1


async def test_limits_count_over_all_gateways(start: Start, server: RedisServer) -> None:
    """A quota of ten games an hour is ten, not ten for each gateway."""
    one = await start(redis_url=server.url, limit_games="10")
    two = await start(one.backend, redis_url=server.url, limit_games="10")
    for front in (one, two):  # who calls is known from now on, so that each call counts once
        assert (await outcome(front, "GET", **AS_USER))[0] == 200
    assert await asyncio.gather(*(outcome((one, two)[n % 2], **AS_USER) for n in range(10))) == [(200, "")] * 10
    assert [await outcome(front, **AS_USER) for front in (one, two)] == [(429, "too_many_requests")] * 2
