"""Generations of the numbering: what a restored database, or another server, means for cursors."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from galaxy_devkit.testing import PostgresCluster
from galaxy_push import queries
from galaxy_push.domain import Cursor


@pytest.fixture
def cluster() -> Iterator[PostgresCluster]:
    """Return a server of the test's own."""
    with PostgresCluster() as cluster:
        yield cluster


def parts(cursor: str) -> Cursor:
    """Return generation and number of a cursor."""
    generation, _, number = cursor.rpartition("-")
    return Cursor(generation, int(number))


async def set_back(backend: Any, end: str) -> None:
    """Undo what was numbered after a cursor, behind the backend's back."""
    number = parts(end).number
    async with backend.database.transaction() as connection:
        await connection.exec_driver_sql(f"DELETE FROM push_events WHERE seq > {number}")
        await connection.exec_driver_sql(f"UPDATE push_state SET last_seq = {number}")


async def follow(backend: Any, seen: queries.Seen) -> queries.Followed:
    """Look at the stream as a process does that knows this of it."""
    async with backend.database.transaction() as connection:
        return await queries.follow(connection, seen)


async def set_origin(backend: Any, origin: str | None) -> None:
    """Note another place than the present one."""
    await backend.run("UPDATE push_state SET origin = :origin", origin=origin)


async def generation(backend: Any) -> str:
    """Return the present generation."""
    return parts(await backend.end()).generation


@asynccontextmanager
async def returned(backend: Any, gateway: Any) -> Any:
    """Subscribe once the reader has followed the stream."""
    async with asyncio.timeout(30):
        while backend.plugin._reader._hub.generation != await generation(backend):
            await asyncio.sleep(0.01)
    async with gateway.subscribed(backend.address):
        yield


def copy_data(cluster: PostgresCluster) -> Any:
    """Copy the server's files while it is stopped, and return a function that puts the copy back."""
    pgdata = cluster._folder / "data" / "pgdata"
    copy = cluster._folder / "copy"
    cluster.server.stop_sync()
    shutil.copytree(pgdata, copy)
    cluster.server.start_sync()

    def put_back() -> None:
        cluster.server.stop_sync()
        shutil.rmtree(pgdata)
        copy.rename(pgdata)
        cluster.server.start_sync()

    return put_back


@pytest.mark.slow
async def test_a_gateway_that_comes_late_after_a_restore_is_told(
    make_backend: Any, gateway: Any, cluster: PostgresCluster
) -> None:
    """A restore under a running backend, then more events than were lost: a cursor of before gets a resync."""
    backend = await make_backend(dsn=cluster.clone())
    await backend.publish(0)
    await backend.numbered(1)
    put_back = await asyncio.to_thread(copy_data, cluster)
    async with gateway.subscribed(backend.address):
        await backend.publish(*range(1, 7))
        await gateway.heard(6)
    await asyncio.to_thread(put_back)
    for n in range(12):
        await backend.publish(n)
    await backend.numbered(13)
    assert parts(await backend.end()).number > parts(gateway.cursor).number
    async with returned(backend, gateway):
        await backend.publish(99)
        await gateway.heard(7)
    assert [opening.resync_required for opening in gateway.openings] == [False, True]
    assert gateway.numbers == [*range(1, 7), 99]


@pytest.mark.slow
async def test_a_restart_of_the_server_keeps_the_generation(
    make_backend: Any, gateway: Any, cluster: PostgresCluster
) -> None:
    """Postgres restarted, with no backend running and with one: cursors stay good, nothing is missed."""
    dsn = cluster.clone()
    backend = await make_backend(dsn=dsn)
    async with gateway.subscribed(backend.address):
        await backend.publish(1)
        await gateway.heard(1)
    await backend.booted.kernel.rpc.stop(0)
    await asyncio.to_thread(cluster.server.stop_sync)
    await asyncio.to_thread(cluster.server.start_sync)
    other = await make_backend(backend)
    await other.publish(2)
    async with gateway.subscribed(other.address):
        await gateway.heard(2)
    assert gateway.numbers == [1, 2]
    assert [opening.resync_required for opening in gateway.openings] == [False, False]


async def test_streams_end_when_the_database_goes_back(backend: Any, gateway: Any) -> None:
    """A database restored to an earlier state ends the streams; the cursor from the lost future gets a resync."""
    async with backend.call() as stream:
        start = (await stream.read()).opening.cursor
        await backend.publish(1, 2)
        await backend.numbered(2)
        gateway.cursor = (await stream.read()).events[-1].cursor
        await set_back(backend, start)
        code, sentence = await backend.ended(stream)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "subscribe again" in sentence
    async with returned(backend, gateway):
        await backend.publish(3)
        await gateway.heard(1)
    assert (gateway.openings[0].resync_required, gateway.numbers) == (True, [3])


async def test_who_numbers_first_after_a_restore_begins_the_generation(settled: Any) -> None:
    """A process that has seen a later number begins a new generation with the numbering itself, which none precedes."""
    await settled.publish(1, 2, 3)
    await settled.numbered(3)
    end = await settled.end()
    seen = queries.Seen(parts(end))
    async with settled.database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE push_state SET last_seq = last_seq - 3")
        await connection.exec_driver_sql("DELETE FROM push_events")
        await settled.push.publish(connection, settled.events(*range(10)))
    async with settled.database.transaction() as connection:
        followed = await queries.number(connection, seen)
    assert followed.standing.generation != parts(end).generation
    assert not followed.standing.has_all_after(parts(end))


async def test_another_replica_ends_its_streams_too(make_backend: Any, gateway: Any) -> None:
    """A generation that one replica begins is followed by the others: their streams end, and begin with a resync."""
    one = await make_backend()
    other = await make_backend(one)
    async with other.call() as stream:
        gateway.cursor = (await stream.read()).opening.cursor
        await set_origin(one, "elsewhere")
        await follow(one, queries.Seen())  # or its own reader, which may have looked before
        assert await generation(one) != parts(gateway.cursor).generation
        code, _ = await other.ended(stream)
    assert code is grpc.StatusCode.UNAVAILABLE
    async with returned(other, gateway):
        await other.publish(1)
        await gateway.heard(1)
    assert (gateway.openings[0].resync_required, gateway.numbers) == (True, [1])


async def test_start_up_elsewhere_begins_a_generation(make_backend: Any, gateway: Any) -> None:
    """A backend that starts where the numbers were not made, such as on a copy, begins a new generation."""
    first = await make_backend()
    await first.publish(1)
    await first.numbered(1)
    gateway.cursor = await first.end()
    [(here,)] = await first.rows("SELECT origin FROM push_state")
    server, timeline, *place = here.split("/")
    await set_origin(first, "/".join([server, f"{int(timeline, 16) + 1:08X}", *place]))
    second = await make_backend(first)
    async with returned(second, gateway):
        pass
    assert gateway.openings[0].resync_required
    assert await first.rows("SELECT origin FROM push_state") == [(here,)]


async def test_the_origin_names_server_timeline_database_and_table(settled: Any) -> None:
    """The first backend notes where the stream is kept, and keeps the generation of the migration."""
    await follow(settled, queries.Seen())
    [(origin, *expected)] = await settled.rows("""
        SELECT origin, CAST((SELECT system_identifier FROM pg_control_system()) AS text),
            left(pg_walfile_name(pg_current_wal_lsn()), 8),
            CAST((SELECT oid FROM pg_database WHERE datname = current_database()) AS text),
            CAST(CAST(CAST('push_state' AS regclass) AS oid) AS text)
        FROM push_state
    """)
    assert origin.split("/") == expected


async def test_a_first_look_keeps_the_generation(settled: Any) -> None:
    """Where no origin is noted yet, as after the migration, it is noted, and cursors stay good."""
    await set_origin(settled, None)
    before = await settled.end()
    followed = await follow(settled, queries.Seen())
    assert (str(followed.standing.end), followed.renewed) == (before, False)
    assert await settled.rows("SELECT origin IS NOT NULL FROM push_state") == [(True,)]


async def test_a_server_that_refuses_to_be_asked_is_no_obstacle(settled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where server and timeline may not be read, database and table stand alone, and the transaction goes on."""
    monkeypatch.setattr(queries, "_SERVER", queries.text("SELECT system_identifier FROM not_for_you()"))
    await set_origin(settled, None)
    followed = await follow(settled, queries.Seen())
    assert not followed.renewed
    [(origin,)] = await settled.rows("SELECT origin FROM push_state")
    assert len(origin.split("/")) == 2


async def test_the_origin_is_looked_up_once_a_run_of_the_server(settled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbering asks for it only where the server has been started since, or is another one."""
    asked = 0
    origin = queries._origin

    async def counted(connection: Any) -> str:
        nonlocal asked
        asked += 1
        return await origin(connection)

    monkeypatch.setattr(queries, "_origin", counted)
    seen = (await follow(settled, queries.Seen())).seen
    seen = (await follow(settled, seen)).seen
    assert asked == 1
    await follow(settled, queries.Seen(seen.end, "an earlier run"))
    assert asked == 2


async def test_a_gateway_ahead_of_the_stream_begins_a_generation(backend: Any, gateway: Any) -> None:
    """When all backends were stopped during the restore, a gateway's own cursor gives it away."""
    await backend.publish(1)
    await backend.numbered(1)
    end = parts(await backend.end())
    ahead = str(end._replace(number=end.number + 5))
    gateway.cursor = ahead
    async with gateway.subscribed(backend.address):
        assert gateway.openings[0].resync_required
    assert await generation(backend) != end.generation
    await backend.publish(*range(10))
    await backend.numbered(11)
    gateway.cursor = ahead
    async with returned(backend, gateway):
        assert gateway.openings[1].resync_required


async def test_each_database_has_a_generation_of_its_own(make_backend: Any, cluster: PostgresCluster) -> None:
    """Two databases migrated apart begin with different generations."""
    generations = {await generation(await make_backend(dsn=cluster.clone())) for _ in range(2)}
    assert len(generations) == 2


async def test_the_runbooks_statement_begins_a_generation(make_backend: Any, gateway: Any) -> None:
    """After the statement in the runbook, the next start of a backend begins a new generation."""
    first = await make_backend()
    gateway.cursor = await first.end()
    runbook = Path(__file__).parents[3].joinpath("docs", "runbook.md").read_text()
    [statement] = re.findall(r"```sql\n(UPDATE push_state .*?);\n```", runbook, re.DOTALL)
    await first.run(statement)
    second = await make_backend(first)
    async with returned(second, gateway):
        assert gateway.openings[0].resync_required
