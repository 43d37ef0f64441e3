"""Reading the stream for the subscribers of one process, and trimming it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import structlog
from opentelemetry.metrics import NoOpMeter
from sqlalchemy import text

from galaxy_chassis.clock import SystemClock
from galaxy_devkit.testing import Boot, ManualClock, Measured
from galaxy_push import queries
from galaxy_push.hub import Hub
from galaxy_push.metrics import Metrics
from galaxy_push.plugin import PushPlugin
from galaxy_push.workers import LATE, PAGE, Reader


async def test_workers(backend: Any) -> None:
    """Every replica reads, one of them trims."""
    workers = dict(backend.booted.kernel.assembly.plugins.call("backend_workers"))["push"]
    assert {worker.name: worker.singleton for worker in workers} == {"push.read": False, "push.trim": True}


async def test_events_written_behind_the_backend_are_found(backend: Any, gateway: Any) -> None:
    """Without any wake-up, such as after a crash following the commit, an event is still delivered."""
    async with gateway.subscribed(backend.address):
        await backend.run(
            "INSERT INTO push_events (account_id, kind, payload, request_id) "
            "VALUES (gen_random_uuid(), 'test.happened', :payload, 'request-0001')",
            payload='{"n":1}',
        )
        await gateway.heard(1)
    assert gateway.numbers == [1]


async def test_more_than_a_page_is_read(backend: Any, gateway: Any) -> None:
    """A burst larger than a page and than one numbering is delivered completely."""
    number = PAGE * 5
    async with gateway.subscribed(backend.address):
        await backend.publish(*range(number))
        await gateway.heard(number)
    assert gateway.numbers == list(range(number))


async def test_who_waited_for_a_numberer_reads_on(backend: Any) -> None:
    """A reader that finds, after its wait, that another replica has numbered the events reads again at once."""
    reader = Reader(
        backend.database, Hub(lambda: 0.0), SystemClock(), Metrics(NoOpMeter("test")), structlog.get_logger()
    )
    await reader.run()
    async with backend.database.transaction() as other:
        await queries.number(other, queries.Seen())
        await backend.publish(1)
        waiting = asyncio.create_task(reader.run())
        query = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"
        async with asyncio.timeout(30):
            while len(await backend.rows(query)) < 2:  # this reader and the backend's own
                await asyncio.sleep(0.01)
        await queries.number(other, queries.Seen())
    assert await waiting
    await reader.run()
    assert reader._hub.held == 1


async def test_a_reader_that_slept_through_the_retention_begins_anew(backend: Any) -> None:
    """When events after its position may be gone, the reader ends the streams instead of skipping them."""
    async with backend.call() as stream:
        await stream.read()
        await backend.run("UPDATE push_state SET last_seq = last_seq + 10, trimmed_seq = trimmed_seq + 10")
        _, sentence = await backend.ended(stream)
        assert "lost its position" in sentence


async def test_the_probe_tells_of_a_reader_that_is_late(boot: Boot, clock: ManualClock) -> None:
    """When the stream has not been read for a while, `/readyz` reports it without turning 503."""

    async def probed(booted: Any) -> tuple[int, str]:
        booted.kernel.probes.forget()
        async with booted.client.get("/readyz") as response:
            checks = (await response.json())["checks"]
            return response.status, next(check["state"] for check in checks if check["name"] == "events")

    async with boot(PushPlugin, clock=clock) as booted:
        reader = booted.kernel.assembly.plugins._manager.get_plugin("push")._reader
        await reader.run()
        assert await probed(booted) == (200, "ok")
        async with booted.database.transaction() as blocking:
            await blocking.execute(text("LOCK TABLE push_events"))
            clock.advance(timedelta(seconds=LATE + 1))
            health = await reader.health()
            assert (health.state, "6 s ago" in health.detail) == ("degraded", True)
        await reader.run()
        assert (await reader.health()).state == "ok"


async def test_subscribers_at_the_table_leave_connections_to_others(make_backend: Any, make_gateway: Any) -> None:
    """Many gateways that come back at once are all served, and publishing goes on meanwhile."""
    backend = await make_backend()
    gateways = [make_gateway(f"gateway-{number}") for number in range(20)]
    start = await backend.end()
    await backend.publish(*range(300))
    await backend.numbered(300)
    backend.forget_memory()

    async def come_back(gateway: Any) -> None:
        gateway.cursor = start
        async with gateway.subscribed(backend.address):
            await gateway.heard(310)

    async with asyncio.TaskGroup() as tasks:
        for gateway in gateways:
            tasks.create_task(come_back(gateway))
        for number in range(300, 310):
            await backend.publish(number)
    assert [gateway.numbers for gateway in gateways] == [list(range(310))] * 20


@pytest.mark.parametrize("lag", [200])
async def test_who_falls_too_far_behind_is_cut_off(make_backend: Any, lag: int) -> None:
    """A subscriber that was up to date and reads slower than events come is cut off, with the number it is behind."""
    backend = await make_backend(max_lag=str(lag), write_timeout="1m")
    measured = Measured(backend.booted)
    async with backend.call() as slow:
        await slow.read()
        await backend.publish(0)
        await slow.read()
        for start in range(0, 800, 100):
            await backend.publish(*range(start, start + 100), fill=60_000)
        await backend.numbered(801)
        code, sentence = await backend.ended(slow)
    assert code.name == "RESOURCE_EXHAUSTED"
    assert "BACKEND_PUSH_MAX_LAG" in sentence
    await backend.until(lambda: measured.values("push.cut_off") == {("lagging",): 1})
