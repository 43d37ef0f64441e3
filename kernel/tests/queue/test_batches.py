"""Sets of work that commit with their completion: done once whatever happens; a bad row affects no other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Column, MetaData, Table, Uuid, select, text
from uuid_utils.compat import uuid7

from galaxy_chassis.backoff import Backoff
from galaxy_kernel.database import Connection, Database, make_engine
from galaxy_kernel.queue.batches import Batches
from galaxy_kernel.queue.queue import Claim, LeasedQueue, Outcome, Result, queue_columns, queue_indexes
from galaxy_kernel.queue.states import QueueStates

metadata = MetaData()
STATES = QueueStates(done="sent", skipped="skipped")
jobs = Table(
    "jobs", metadata, Column("id", Uuid, primary_key=True), *queue_columns(STATES), *queue_indexes("jobs", STATES)
)
effects = Table("effects", metadata, Column("job_id", Uuid, nullable=False))

Work = Callable[[Connection, Sequence[Claim]], Awaitable[Sequence[Result]]]


class Setting:
    """A database with a queue, and work whose effects are rows."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.queue = LeasedQueue(
            jobs,
            states=STATES,
            lease=timedelta(seconds=30),
            max_attempts=3,
            backoff=Backoff(60.0, 3600.0, jitter=1.0),
        )
        self.recorded: list[Result] = []
        self.sets: list[int] = []

    def batches(self, work: Work | None = None, **options: Any) -> Batches:
        return Batches(
            self.queue, self.database, work or self.work, columns=(), recorded=self.recorded.extend, **options
        )

    async def work(self, connection: Connection, claims: Sequence[Claim]) -> list[Result]:
        self.sets.append(len(claims))
        await connection.execute(effects.insert(), [{"job_id": claim.id} for claim in claims])
        return [Result(claim, Outcome.DONE) for claim in claims]

    async def add(self, count: int) -> list[UUID]:
        ids = [uuid7() for _ in range(count)]
        async with self.database.transaction() as connection:
            await connection.execute(jobs.insert(), [{"id": each, "request_id": "r"} for each in ids])
        return ids

    async def states(self) -> dict[UUID, str]:
        async with self.database.reading() as connection:
            return {row.id: row.state for row in await connection.execute(select(jobs.c.id, jobs.c.state))}

    async def done(self) -> list[UUID]:
        async with self.database.reading() as connection:
            return list((await connection.execute(select(effects.c.job_id))).scalars())

    async def end_leases(self) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(text("UPDATE jobs SET next_attempt_at = now() WHERE claimed_at IS NOT NULL"))


@pytest.fixture
async def setting(empty_database: str) -> AsyncIterator[Setting]:
    database = Database(make_engine(empty_database), "backend")
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE SCHEMA backend")
        await connection.run_sync(metadata.create_all)
    yield Setting(database)
    await database.close()


async def test_everything_due_is_done_once(setting: Setting) -> None:
    """All sets are processed, each row with its effect and its completion."""
    ids = await setting.add(25)
    batches = setting.batches(batch=10)
    while await batches.run():
        pass
    assert setting.sets == [10, 10, 5]
    assert sorted(await setting.done()) == sorted(ids)
    assert set((await setting.states()).values()) == {"sent"}
    assert len(setting.recorded) == 25


async def test_one_bad_row_harms_no_other(setting: Setting) -> None:
    """The set is halved down to the row at fault, which alone is tried again later."""
    ids = await setting.add(9)
    bad = ids[4]

    async def work(connection: Connection, claims: Sequence[Claim]) -> list[Result]:
        results = await setting.work(connection, claims)
        if any(claim.id == bad for claim in claims):
            raise ValueError("cannot be done")
        return results

    await setting.batches(work).run()
    states = await setting.states()
    assert states.pop(bad) == "retrying"
    assert set(states.values()) == {"sent"}
    assert sorted(await setting.done()) == sorted(set(ids) - {bad})
    assert [r.detail for r in setting.recorded if r.claim.id == bad] == ["internal error: ValueError"]


async def test_a_row_that_always_fails_ends_as_a_dead_letter(setting: Setting) -> None:
    """Its budget of attempts is the queue's."""
    [job] = await setting.add(1)

    async def work(_connection: Connection, _claims: Sequence[Claim]) -> list[Result]:
        raise ValueError("never")

    for _ in range(3):
        await setting.batches(work).run()
        async with setting.database.transaction() as connection:
            await connection.execute(text("UPDATE jobs SET next_attempt_at = now() WHERE state = 'retrying'"))
    assert (await setting.states())[job] == "dead_lettered"


async def test_a_paused_worker_does_nothing_twice(setting: Setting) -> None:
    """Rows that another worker has claimed meanwhile are left out; their effects here are rolled back."""
    ids = await setting.add(4)
    overtaken = asyncio.Event()

    async def slow(connection: Connection, claims: Sequence[Claim]) -> list[Result]:
        results = await setting.work(connection, claims)
        if not overtaken.is_set():
            async with setting.database.transaction() as other:
                await other.execute(jobs.update().where(jobs.c.id.in_(ids[:2])).values(next_attempt_at=text("now()")))
            overtaken.set()
            await setting.batches().run()
        return results

    await setting.batches(slow).run()
    assert sorted(await setting.done()) == sorted(ids)
    assert set((await setting.states()).values()) == {"sent"}
    assert len({result.claim.id for result in setting.recorded}) == len(setting.recorded) == 4


async def test_killed_in_the_middle_nothing_is_lost_or_done_twice(setting: Setting) -> None:
    """A worker that dies between claim and commit leaves rows that come due again."""
    ids = await setting.add(3)

    async def die(connection: Connection, claims: Sequence[Claim]) -> list[Result]:
        await setting.work(connection, claims)
        running = asyncio.current_task()
        assert running is not None
        running.cancel()
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(setting.batches(die).run())
    assert await setting.done() == []
    await setting.end_leases()
    await setting.batches().run()
    assert sorted(await setting.done()) == sorted(ids)


async def test_a_cut_connection_is_waited_for(setting: Setting) -> None:
    """When the server cuts the connection during the work, the set is done again under the same claims."""
    ids = await setting.add(3)
    cut = False

    async def work(connection: Connection, claims: Sequence[Claim]) -> list[Result]:
        nonlocal cut
        results = await setting.work(connection, claims)
        if not cut:
            cut = True
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            async with setting.database.reading() as other:
                await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            await asyncio.sleep(0.05)  # until the server has closed it
            await connection.execute(text("SELECT 1"))
        return results

    await setting.batches(work).run()
    assert sorted(await setting.done()) == sorted(ids)
    assert [result.claim.attempt for result in setting.recorded] == [1, 1, 1]


async def test_the_database_is_waited_for_as_long_as_the_leases_last(setting: Setting) -> None:
    """After the end of its leases a set is given up, with the error: by then its rows may be another worker's."""
    ids = await setting.add(3)
    now, attempts = 0.0, 0

    async def work(_connection: Connection, claims: Sequence[Claim]) -> list[Result]:
        nonlocal now, attempts
        attempts += 1
        now = claims[0].deadline + attempts - 1.5  # a moment before the end, then one after it
        raise ConnectionResetError

    async with asyncio.timeout(20):
        with pytest.raises(ConnectionResetError):
            await setting.batches(work, monotonic=lambda: now).run()
    assert attempts == 2
    assert setting.recorded == []
    assert await setting.states() == dict.fromkeys(ids, "pending")


async def test_a_set_that_lost_to_another_transaction_is_done_again(setting: Setting) -> None:
    """A deadlock costs no row its attempt, and no set is halved for it."""
    ids = await setting.add(3)

    async def work(connection: Connection, claims: Sequence[Claim]) -> list[Result]:
        results = await setting.work(connection, claims)
        if len(setting.sets) == 1:
            await connection.execute(text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END $$"))
        return results

    await setting.batches(work).run()
    assert setting.sets == [3, 3]
    assert sorted(await setting.done()) == sorted(ids)
    assert [result.claim.attempt for result in setting.recorded] == [1, 1, 1]


async def test_a_row_whose_work_awaits_something_cancelled_fails_alone(setting: Setting) -> None:
    """A cancellation that nobody meant is the row's failure: the others of its set are done."""
    ids = await setting.add(5)

    async def work(connection: Connection, claims: Sequence[Claim]) -> list[Result]:
        if any(claim.id == ids[2] for claim in claims):
            other = asyncio.create_task(asyncio.sleep(60))
            other.cancel()
            await other
        return await setting.work(connection, claims)

    await setting.batches(work).run()
    states = await setting.states()
    assert [states[each] for each in ids] == ["sent", "sent", "retrying", "sent", "sent"]
