"""The connection to Redis while it is away, hangs or comes back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis_server import RedisServer

from galaxy_chassis.clock import ManualClock
from galaxy_gateway.store.errors import StoreUnavailableError
from galaxy_gateway.store.pipeline import PAUSE, Pipeline

SOON = 0.1
"""Seconds that a command waits for a Redis that hangs."""


@pytest.fixture
def clock() -> ManualClock:
    """Return the pipeline's clock."""
    return ManualClock()


@pytest.fixture
async def pipeline(server: RedisServer, clock: ManualClock) -> AsyncIterator[Pipeline]:
    """Return a pipeline to a server that the test may stop."""
    pipeline = make(server, clock, 10.0)
    yield pipeline
    await pipeline.aclose()


@pytest.fixture
async def hasty(server: RedisServer, clock: ManualClock) -> AsyncIterator[Pipeline]:
    """Return a pipeline that waits only a moment."""
    pipeline = make(server, clock, SOON)
    yield pipeline
    await pipeline.aclose()


def make(server: RedisServer, clock: ManualClock, timeout: float) -> Pipeline:
    """Return a pipeline to the server."""
    client = Redis.from_url(server.url, protocol=2, retry=Retry(NoBackoff(), 0), socket_connect_timeout=timeout)
    return Pipeline(client, clock, timeout)


async def failures(pipeline: Pipeline, number: int) -> list[str]:
    """Return the reasons for which so many commands fail that are sent at once."""
    results = await asyncio.gather(*(pipeline.send("ECHO", "x") for _ in range(number)), return_exceptions=True)
    assert all(isinstance(result, StoreUnavailableError) for result in results), results
    return [str(result) for result in results]


async def test_each_command_gets_its_own_reply(pipeline: Pipeline) -> None:
    """Of many commands at once, more than fit into a batch, each gets the reply to itself."""
    replies = await asyncio.gather(*(pipeline.send("ECHO", f"{number}") for number in range(500)))
    assert replies == [b"%d" % number for number in range(500)]


async def test_commands_at_once_use_one_connection(server: RedisServer, pipeline: Pipeline) -> None:
    """However many wait, Redis sees one client."""
    before = server.run("INFO", "stats")["total_connections_received"]
    await asyncio.gather(*(pipeline.send("ECHO", "x") for _ in range(500)))
    assert server.run("INFO", "stats")["total_connections_received"] - before == 2  # the other one asks this


async def test_a_refused_command_spoils_no_other(pipeline: Pipeline) -> None:
    """An error is the reply to its own command, and Redis does not count as away."""
    first, refused, last = await asyncio.gather(
        pipeline.send("ECHO", "a"), pipeline.send("NOSUCH"), pipeline.send("ECHO", "b")
    )
    assert (first, last) == (b"a", b"b")
    assert isinstance(refused, Exception)
    assert not pipeline.away


async def test_without_redis_commands_fail_at_once(server: RedisServer, pipeline: Pipeline, clock: ManualClock) -> None:
    """The first failure is Redis's; until the pause is over it is not even tried, and then it works."""
    await asyncio.to_thread(server.stop)
    assert "away" in (await failures(pipeline, 1))[0]
    await asyncio.to_thread(server.start)
    assert await failures(pipeline, 3) == ["Redis is away"] * 3
    clock.advance(timedelta(seconds=PAUSE))
    assert await pipeline.send("ECHO", "x") == b"x"
    assert not pipeline.away
    assert await asyncio.gather(*(pipeline.send("ECHO", "x") for _ in range(5))) == [b"x"] * 5


async def test_one_command_tries_and_the_others_do_not_wait(
    server: RedisServer, hasty: Pipeline, clock: ManualClock
) -> None:
    """While Redis hangs, of those that come after a pause one waits for it, and the others fail without waiting."""
    server.pause()
    assert await failures(hasty, 3) == [f"Redis is away: no answer within {SOON} s"] * 3
    for _ in range(2):
        clock.advance(timedelta(seconds=PAUSE))
        assert await failures(hasty, 10) == [f"Redis is away: no answer within {SOON} s", *["Redis is away"] * 9]
    server.resume()


async def test_a_late_reply_meets_no_other_command(server: RedisServer, hasty: Pipeline, clock: ManualClock) -> None:
    """What a Redis that hung answers in the end is not taken for the reply to a later command."""
    await hasty.send("ECHO", "before")
    server.pause()
    assert len(await failures(hasty, 5)) == 5
    server.resume()
    clock.advance(timedelta(seconds=PAUSE))
    probe = make(server, clock, 10.0)
    await probe.send("PING")  # it answers again
    await probe.aclose()
    assert await hasty.send("ECHO", "after") == b"after"
    assert await asyncio.gather(*(hasty.send("ECHO", f"{n}") for n in range(5))) == [b"%d" % n for n in range(5)]


async def test_a_large_command_does_not_hang_with_redis(
    server: RedisServer, hasty: Pipeline, clock: ManualClock
) -> None:
    """One that fills the socket's buffers fails in time too, and the next one starts on a connection of its own."""
    await hasty.send("PING")
    server.pause()
    with pytest.raises(StoreUnavailableError):
        await hasty.send("SET", "x", b"x" * 20_000_000)
    server.resume()
    clock.advance(timedelta(seconds=PAUSE))
    probe = make(server, clock, 10.0)
    await probe.send("PING")
    await probe.aclose()
    assert await hasty.send("ECHO", "after") == b"after"
    while server.run("INFO", "clients")["connected_clients"] > 2:  # the pipeline, and who asks
        await asyncio.sleep(0.01)


async def test_a_redis_that_is_killed_under_commands(
    server: RedisServer, pipeline: Pipeline, clock: ManualClock
) -> None:
    """Commands without a reply fail, those that wait behind them too, and none hangs."""
    await pipeline.send("PING")
    server.pause()
    sent = [asyncio.create_task(pipeline.send("ECHO", f"{number}")) for number in range(200)]
    await asyncio.sleep(0)
    await asyncio.to_thread(server.stop)
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailableError}
    await asyncio.to_thread(server.start)
    clock.advance(timedelta(seconds=PAUSE))
    assert await pipeline.send("ECHO", "x") == b"x"


async def test_a_waiter_that_is_cancelled_disturbs_no_other(pipeline: Pipeline) -> None:
    """A client that goes away takes no other command with it, sent or not."""
    sent = [asyncio.create_task(pipeline.send("ECHO", f"{number}")) for number in range(200)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the first batch is on its way
    for task in sent[::2]:
        task.cancel()
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert results[1::2] == [b"%d" % number for number in range(1, 200, 2)]
    assert {type(result) for result in results[::2]} == {asyncio.CancelledError}
    assert await pipeline.send("ECHO", "after") == b"after"


async def test_a_command_that_nobody_waits_for_is_not_sent(server: RedisServer, pipeline: Pipeline) -> None:
    """Cancelled before its batch, it has no effect."""
    await pipeline.send("PING")
    task = asyncio.create_task(pipeline.send("SET", "effect", "1"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await pipeline.send("PING")
    assert server.run("EXISTS", "effect") == 0


async def test_closing_fails_what_waits(server: RedisServer, clock: ManualClock) -> None:
    """A command without a reply fails when the store closes, and so does one that comes later."""
    pipeline = make(server, clock, 10.0)
    await pipeline.send("PING")
    server.pause()
    sent = [asyncio.create_task(pipeline.send("ECHO", "x")) for _ in range(100)]
    await asyncio.sleep(0)
    await pipeline.aclose()
    server.resume()
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert {str(result) for result in results} == {"the store is closed"}
    with pytest.raises(StoreUnavailableError, match="closed"):
        await pipeline.send("ECHO", "x")
    await pipeline.aclose()


async def test_losing_redis_is_logged_once(
    server: RedisServer, pipeline: Pipeline, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line when it goes and one when it is back, however many commands fail between."""
    await asyncio.to_thread(server.stop)
    for _ in range(3):
        clock.advance(timedelta(seconds=PAUSE))
        await failures(pipeline, 5)
    await asyncio.to_thread(server.start)
    clock.advance(timedelta(seconds=PAUSE))
    await pipeline.send("PING")
    output = capsys.readouterr()
    text = output.out + output.err
    assert (text.count("store_lost"), text.count("store_restored")) == (1, 1)
