"""The pump against a real queue: sent rows are recorded, rows not begun are released."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Column, MetaData, Table, Uuid, exc, select
from uuid_utils.compat import uuid7

from galaxy_chassis.backoff import Backoff
from galaxy_chassis.clock import wait_for_event
from galaxy_kernel.database import Connection, Database, make_engine
from galaxy_kernel.queue.pump import _CLAIMERS, Halt, Pump
from galaxy_kernel.queue.queue import Claim, LeasedQueue, Outcome, Result, history_columns, queue_columns, queue_indexes
from galaxy_kernel.queue.states import QueueStates

metadata = MetaData()
STATES = QueueStates(done="sent")
jobs = Table(
    "jobs", metadata, Column("id", Uuid, primary_key=True), *queue_columns(STATES), *queue_indexes("jobs", STATES)
)
tries = Table("tries", metadata, *history_columns("job_id"))


class Hands:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Watched(LeasedQueue):
    """A queue whose statements can be counted and made to fail."""

    def __init__(self, hands: Hands) -> None:
        super().__init__(
            jobs,
            tries,
            states=STATES,
            lease=timedelta(seconds=75),
            max_attempts=8,
            backoff=Backoff(60.0, 3600.0, jitter=1.0),
            monotonic=hands,
        )
        self.completions: list[int] = []
        self.claim_error: Exception | None = None
        self.before_completion: Callable[[], None] = lambda: None

    async def claim(self, connection: Connection, limit: int, *columns: Column[Any]) -> list[Claim]:
        if self.claim_error is not None:
            raise self.claim_error
        return await super().claim(connection, limit, *columns)

    async def complete(self, connection: Connection, results: Collection[Result]) -> set[UUID]:
        self.before_completion()
        self.completions.append(len(results))
        return await super().complete(connection, results)


class Setting:
    """A database with a queue, and a pump on it."""

    def __init__(self, database: Database) -> None:
        self.database, self.hands = database, Hands()
        self.queue = Watched(self.hands)
        self.sent: list[UUID] = []

    def pump(self, send: Callable[[Claim], Awaitable[Result]] | None = None, **options: Any) -> Pump:
        options = {"senders": 3, "reserve": timedelta(seconds=20), "columns": (), **options}
        return Pump(self.queue, self.database, send or self.send, monotonic=self.hands, **options)

    async def send(self, claim: Claim) -> Result:
        self.sent.append(claim.id)
        return Result(claim, Outcome.DONE)

    async def add(self, count: int) -> list[UUID]:
        ids = [uuid7() for _ in range(count)]
        async with self.database.transaction() as connection:
            await connection.execute(jobs.insert(), [{"id": each, "request_id": "r"} for each in ids])
        return ids

    async def rows(self) -> dict[UUID, tuple[str, int, bool]]:
        """Return state, attempts and whether it is claimed."""
        async with self.database.reading() as connection:
            query = select(jobs.c.id, jobs.c.state, jobs.c.attempts, jobs.c.claimed_at)
            return {
                row.id: (row.state, row.attempts, row.claimed_at is not None) for row in await connection.execute(query)
            }

    async def states(self) -> set[tuple[str, int, bool]]:
        return set((await self.rows()).values())


@pytest.fixture
async def setting(empty_database: str) -> AsyncIterator[Setting]:
    database = Database(make_engine(empty_database), "backend")
    async with database.transaction() as connection:
        await connection.exec_driver_sql("CREATE SCHEMA backend")
        await connection.run_sync(metadata.create_all)
    yield Setting(database)
    await database.close()


UNTRIED = ("pending", 0, False)
SENT = ("sent", 1, False)
OPEN = ("pending", 1, True)


async def test_everything_due_is_sent_once(setting: Setting) -> None:
    """One pass sends all due rows, each once, and returns that there are no more."""
    ids = await setting.add(100)
    assert await setting.pump().run() is False
    assert sorted(setting.sent) == ids
    assert await setting.states() == {SENT}


async def test_no_more_at_once_than_senders(setting: Setting) -> None:
    """As many rows are sent at the same time as there are senders, and no more."""
    await setting.add(20)
    under_way, most = 0, 0

    async def send(claim: Claim) -> Result:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return Result(claim, Outcome.DONE)

    await setting.pump(send).run()
    assert most == 3


async def test_batches_grow_with_the_load(setting: Setting) -> None:
    """A fast relay is served in ever larger sets, so that few statements do for many rows."""
    await setting.add(500)
    pump = setting.pump(batch=200)
    await pump.run()
    assert len(setting.queue.completions) <= 10
    assert pump.limit == 200


def test_batches_follow_the_pace() -> None:
    """A claim is for a quarter of a pass at the recent rate: at least one for each sender, at most a batch."""
    pump = Pump(None, None, None, columns=(), senders=4, reserve=timedelta(seconds=1))  # type: ignore[arg-type]
    pass_duration = 3.0
    for sent, took, limit in (
        (4, 0.001, 32),  # eightfold at most, for the rate of four is not reliable
        (32, pass_duration / 2, 16),
        (0, 9.0, 16),  # nothing was sent: nothing is known
        (16, 0.0, 128),
        (128, 0.001, 500),
        (500, pass_duration, 125),
        (1, 9.0, 4),
    ):
        pump.adapt(sent, took)
        assert pump.limit == limit


async def test_a_halt_begins_anew_with_few(setting: Setting) -> None:
    """After a relay was down the next claim is one for each sender, however quickly all were released."""
    await setting.add(60)

    async def send(claim: Claim) -> Result:
        if len(setting.sent) == 40:
            raise Halt("the relay is down")
        return await setting.send(claim)

    pump = setting.pump(send)
    with pytest.raises(Halt):
        await pump.run()
    assert pump.limit == 3


async def test_recordings_overlap_under_load(setting: Setting) -> None:
    """Another set is recorded while one waits for its COMMIT; no more than two at once, no set beyond a batch."""
    under_way = most = 0
    complete, together = setting.queue.complete, asyncio.Event()

    async def watched(connection: Connection, results: Collection[Result]) -> set[UUID]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 2:
            together.set()
        try:
            if not await wait_for_event(together, 20):
                raise AssertionError("the recordings wait for each other")  # a TimeoutError is the database's
            return await complete(connection, results)
        finally:
            under_way -= 1

    setting.queue.complete = watched  # type: ignore[method-assign]
    await setting.add(60)
    while await setting.pump(batch=5).run():
        pass
    assert most == 2
    assert max(setting.queue.completions) <= 5
    assert await setting.states() == {SENT}


async def test_claims_overlap_only_under_load(setting: Setting) -> None:
    """A second claim is under way while there is much to do, and little is claimed by one statement alone."""
    under_way = most = claims = 0
    claim, together = setting.queue.claim, asyncio.Event()

    async def watched(connection: Connection, limit: int, *columns: Column[Any]) -> list[Claim]:
        nonlocal under_way, most, claims
        under_way, claims = under_way + 1, claims + 1
        most = max(most, under_way)
        if under_way == 2:
            together.set()
        try:
            if claims > 2:  # after the first one of a pass with much to do
                async with asyncio.timeout(20):
                    await together.wait()
            return await claim(connection, limit, *columns)
        finally:
            under_way -= 1

    setting.queue.claim = watched  # type: ignore[method-assign]
    await setting.add(2)
    assert not await setting.pump().run()
    assert (claims, most) == (1, 1)
    ids = await setting.add(60)
    while await setting.pump().run():
        pass
    assert most == 2
    assert sorted(setting.sent[2:]) == sorted(ids)


async def test_results_gather_for_a_moment(setting: Setting) -> None:
    """A relay slower than the database has its results recorded in sets, the first and the last without waiting."""

    async def slowly(claim: Claim) -> Result:
        await asyncio.sleep(0.002)
        return Result(claim, Outcome.DONE)

    await setting.add(60)
    while await setting.pump(slowly, senders=1).run():
        pass
    assert sum(setting.queue.completions) == 60
    assert len(setting.queue.completions) < 20


async def test_a_pass_ends_after_its_duration(setting: Setting) -> None:
    """After its duration a pass claims no more, finishes what it has, and asks to be called again."""
    await setting.add(50)

    async def send(claim: Claim) -> Result:
        setting.hands.now += 1
        return await setting.send(claim)

    assert await setting.pump(send).run() is True
    assert 0 < len(setting.sent) < 20
    assert await setting.states() == {SENT, UNTRIED}


async def test_halt_hands_back_untried(setting: Setting) -> None:
    """When nothing can be sent, all claims are released and no attempt is lost."""
    await setting.add(10)

    async def send(claim: Claim) -> Result:
        raise Halt("the relay is down")

    with pytest.raises(Halt, match="relay is down"):
        await setting.pump(send).run()
    assert await setting.states() == {UNTRIED}


async def test_halt_lets_the_others_finish(setting: Setting) -> None:
    """Sends in progress when a sender halts are finished and recorded."""
    await setting.add(3)
    begun = asyncio.Barrier(3)

    async def send(claim: Claim) -> Result:
        first = await begun.wait() == 0
        if first:
            raise Halt("down")
        await asyncio.sleep(0)
        return Result(claim, Outcome.DONE)

    with pytest.raises(Halt):
        await setting.pump(send).run()
    assert sorted((await setting.rows()).values()) == [UNTRIED, SENT, SENT]


async def test_no_sending_on_the_last_of_a_lease(setting: Setting) -> None:
    """A claim whose remaining lease is shorter than one sending is released, not begun."""
    await setting.add(3)

    async def send(claim: Claim) -> Result:
        setting.hands.now = 56.0  # of a lease of 75 with 20 in reserve
        return await setting.send(claim)

    await setting.pump(send, senders=1, pass_duration=timedelta(seconds=1)).run()
    assert len(setting.sent) == 1
    assert await setting.states() == {SENT, UNTRIED}


async def test_recording_waits_for_the_database(setting: Setting) -> None:
    """While results cannot be recorded nothing more is sent; once they can, nothing is lost."""
    await setting.add(300)
    failures = 3
    sent_at_failure: list[int] = []

    def fail() -> None:
        nonlocal failures
        if failures:
            failures -= 1
            sent_at_failure.append(len(setting.sent))
            raise exc.TimeoutError("the pool is empty")

    async def send(claim: Claim) -> Result:
        await asyncio.sleep(0.001)  # a relay's answer
        return await setting.send(claim)

    setting.queue.before_completion = fail
    await setting.pump(send).run()
    assert sent_at_failure[1] == sent_at_failure[2] < 300  # only sends in progress were finished
    assert await setting.states() == {SENT}
    assert len(setting.sent) == len(set(setting.sent)) == 300


async def test_a_bug_in_recording_ends_the_pass(setting: Setting) -> None:
    """An error that waiting does not resolve is raised unchanged, for the supervisor."""
    await setting.add(1)

    def fail() -> None:
        raise ZeroDivisionError

    setting.queue.before_completion = fail
    with pytest.raises(ZeroDivisionError):
        await setting.pump().run()


async def test_a_bug_in_recording_spoils_no_other_set(setting: Setting) -> None:
    """Results beside a set that cannot be recorded are still recorded."""
    ids = await setting.add(60)
    complete, beside = setting.queue.complete, asyncio.Event()

    async def spoilt(connection: Connection, results: Collection[Result]) -> set[UUID]:
        if any(result.claim.id == ids[7] for result in results):
            await beside.wait()
            raise ZeroDivisionError
        beside.set()
        return await complete(connection, results)

    setting.queue.complete = spoilt  # type: ignore[method-assign]
    pump = setting.pump(batch=20)
    pump.limit = 20
    with pytest.raises(ZeroDivisionError):
        await pump.run()
    rows = await setting.rows()
    unrecorded = {each for each in setting.sent if rows[each] == OPEN}
    assert ids[7] in unrecorded and len(unrecorded) <= 20
    assert {rows[each] for each in set(setting.sent) - unrecorded} == {SENT}
    assert {rows[each] for each in set(ids) - set(setting.sent)} <= {UNTRIED, OPEN}  # a claim may have been in progress


async def test_an_idle_pass_only_claims(setting: Setting) -> None:
    """A pass that finds nothing records nothing; without a database it raises at once."""
    assert await setting.pump().run() is False
    assert setting.queue.completions == []
    setting.queue.claim_error = exc.TimeoutError("the pool is empty")
    setting.queue.before_completion = lambda: pytest.fail("there was nothing to record")
    with pytest.raises(exc.TimeoutError):
        await setting.pump().run()


async def test_a_failing_claim_does_not_lose_results(setting: Setting) -> None:
    """When the next claim fails, sends in progress are finished and recorded before the error is raised."""
    await setting.add(9)

    async def send(claim: Claim) -> Result:
        setting.queue.claim_error = ConnectionResetError("the database restarts")
        return await setting.send(claim)

    with pytest.raises(ConnectionResetError):
        await setting.pump(send).run()
    states = list((await setting.rows()).values())
    assert states.count(SENT) == len(setting.sent) > 0
    assert set(states) == {SENT, UNTRIED}


async def test_cancelled_pass_leaves_order(setting: Setting) -> None:
    """A cancelled pass records sent rows, releases those not begun, and leaves the rest their leases."""
    await setting.add(6)
    stuck = asyncio.Event()

    async def send(claim: Claim) -> Result:
        if len(setting.sent) == 2:
            stuck.set()
            await asyncio.Event().wait()
        return await setting.send(claim)

    def never() -> None:
        if not stuck.is_set():
            raise exc.TimeoutError("not yet")

    pump = setting.pump(send, senders=1)
    pump.limit = 6
    setting.queue.before_completion = never
    task = asyncio.create_task(pump.run())
    await asyncio.wait([asyncio.create_task(stuck.wait()), task], return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted((await setting.rows()).values()) == sorted([SENT, SENT, OPEN, UNTRIED, UNTRIED, UNTRIED])


async def test_a_failed_commit_leaves_others_alone(setting: Setting) -> None:
    """A pass whose claiming did not commit releases nothing: another worker may hold the same leases."""
    await setting.add(2)
    theirs: list[Claim] = []

    class Forgetful(Database):
        """Loses its connection at the COMMIT, after which another worker claims first."""

        @asynccontextmanager
        async def _losing(self) -> AsyncIterator[Connection]:
            async with self.engine.connect() as connection:
                yield connection
                await connection.rollback()
            async with setting.database.transaction() as connection:
                theirs.extend(await setting.queue.claim(connection, 2))
            raise ConnectionResetError

        def transaction(self) -> AbstractAsyncContextManager[Connection]:
            return super().transaction() if theirs else self._losing()

    pump = setting.pump()
    pump.database = Forgetful(setting.database.engine, "backend")
    with pytest.raises(ConnectionResetError):
        await pump.run()
    async with setting.database.transaction() as connection:
        held = await setting.queue.complete(connection, [Result(claim, Outcome.DONE) for claim in theirs])
    assert held == {claim.id for claim in theirs} and len(held) == 2


async def test_a_send_may_take_longer_than_its_lease(setting: Setting) -> None:
    """A pump that renews keeps the row of a long send from everybody else, and records its result."""
    [identity] = await setting.add(1)
    setting.queue.lease = 0.6

    async def send(claim: Claim) -> Result:
        async with setting.database.reading() as connection, asyncio.timeout(20):
            due = select(jobs.c.next_attempt_at).where(jobs.c.id == identity)
            first = (await connection.execute(due)).scalar_one()
            while (await connection.execute(due)).scalar_one() < first + timedelta(seconds=1):  # two renewals or more
                await asyncio.sleep(0.01)
        return Result(claim, Outcome.DONE)

    assert await setting.pump(send, reserve=timedelta(0), renew=True).run() is False
    assert await setting.rows() == {identity: SENT}


async def test_a_send_that_lost_its_lease_is_cancelled(setting: Setting) -> None:
    """What somebody else has claimed meanwhile is theirs: the send is cut off and nothing of it is recorded."""
    [identity] = await setting.add(1)
    setting.queue.lease = 0.6
    cancelled = asyncio.Event()

    async def send(claim: Claim) -> Result:
        async with setting.database.transaction() as connection:
            await connection.execute(jobs.update().values(lease=claim.lease + 1))
        try:
            async with asyncio.timeout(20):
                await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    await setting.pump(send, reserve=timedelta(0), renew=True).run()
    assert cancelled.is_set()
    assert await setting.rows() == {identity: OPEN}
    assert setting.queue.completions == []


async def test_claiming_waits_for_the_senders(setting: Setting) -> None:
    """While senders are busy no more is claimed than the batch before them and one more for each claimer."""
    await setting.add(200)
    let_go = asyncio.Event()

    async def send(claim: Claim) -> Result:
        await let_go.wait()
        return Result(claim, Outcome.DONE)

    async def claimed() -> int:
        return sum(row[2] for row in (await setting.rows()).values())

    pump = setting.pump(send, senders=3, batch=3)
    running = asyncio.create_task(pump.run())
    bound = 3 * (1 + _CLAIMERS + 1)  # one batch with the senders, one that they take next, one for each claimer
    before, same = 0, 0
    async with asyncio.timeout(20):
        while same < 20:  # until nothing more is claimed
            await asyncio.sleep(0.01)
            now = await claimed()
            same = same + 1 if now == before and now else 0
            before = now
    assert before <= bound
    let_go.set()
    await running
    assert await setting.states() == {("sent", 1, False)}


async def test_no_result_waits_for_a_send_that_takes_long(setting: Setting) -> None:
    """Of more results than one statement records, the rest follow at once, though a sender is still busy."""
    await setting.add(12)
    let_go, gathered = asyncio.Event(), asyncio.Event()
    complete = setting.queue.complete

    async def late(connection: Connection, results: Collection[Result]) -> set[UUID]:
        await gathered.wait()
        return await complete(connection, results)

    async def send(claim: Claim) -> Result:
        setting.sent.append(claim.id)
        if len(setting.sent) == 1:
            await let_go.wait()
        elif len(setting.sent) == 12:
            gathered.set()
        return Result(claim, Outcome.DONE)

    setting.queue.complete = late  # type: ignore[method-assign]
    running = asyncio.create_task(setting.pump(send, batch=3).run())
    async with asyncio.timeout(20):
        while list((await setting.rows()).values()).count(SENT) < 11:
            await asyncio.sleep(0.01)
    let_go.set()
    await running
    assert await setting.states() == {SENT}
