"""The leased work queue against a real server: what holds for every driver, and a model of a row's whole life."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Column, LargeBinary, MetaData, Row, Table, Uuid, select, text
from uuid_utils.compat import uuid7

from galaxy_chassis.backoff import Backoff
from galaxy_kernel.database import Connection, Database, make_engine
from galaxy_kernel.queue.queue import Claim, LeasedQueue, Outcome, Result, history_columns, queue_columns, queue_indexes
from galaxy_kernel.queue.states import QueueStates

metadata = MetaData()
STATES = QueueStates(done="sent", skipped="skipped")
jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    *queue_columns(STATES),
    Column("secret", LargeBinary),
    *queue_indexes("jobs", STATES, wipe="secret"),
)
tries = Table("tries", metadata, *history_columns("job_id"))

LEASE, FIRST_DELAY, MAX_DELAY, MAX_ATTEMPTS = 100, 100, 400, 3


class Longest(random.Random):
    """Always draws the longest back-off."""

    def random(self) -> float:
        return 1.0


def make_queue(**changed: Any) -> LeasedQueue:
    options: dict[str, Any] = {
        "states": STATES,
        "lease": timedelta(seconds=LEASE),
        "max_attempts": MAX_ATTEMPTS,
        "backoff": Backoff(FIRST_DELAY, MAX_DELAY, jitter=1.0),
        "wipe": ("secret",),
        "random": Longest(),
    }
    return LeasedQueue(jobs, tries, **{**options, **changed})


@pytest.fixture(params=["aiopg", "asyncpg", "psycopg"])
async def database(request: pytest.FixtureRequest, empty_database: str) -> AsyncIterator[Database]:
    """Return a database with the tables, by each driver in turn."""
    database = Database(make_engine(empty_database.replace("postgres://", f"postgresql+{request.param}://")), "backend")
    async with database.transaction() as connection:
        await make_tables(connection)
    yield database
    await database.close()


async def make_tables(connection: Connection) -> None:
    await connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS backend")
    await connection.run_sync(metadata.create_all)


async def add(connection: Connection, count: int = 1, *, expires_in: float | None = None) -> list[UUID]:
    ids = [uuid7() for _ in range(count)]
    for each in ids:
        await connection.execute(
            text(
                "INSERT INTO jobs (id, request_id, secret, expires_at)"
                " VALUES (:id, 'r', 'code', now() + make_interval(secs => CAST(:expires AS double precision)))"
            ).bindparams(id=each, expires=expires_in)
        )
    return ids


async def advance(connection: Connection, seconds: float) -> None:
    """Let time pass: make all times of the table so much earlier."""
    for table, columns in {
        "jobs": ("next_attempt_at", "claimed_at", "expires_at", "finished_at", "created_at"),
        "tries": ("started_at", "finished_at"),
    }.items():
        moved = ", ".join(f"{column} = {column} - make_interval(secs => {seconds})" for column in columns)
        await connection.exec_driver_sql(f"UPDATE {table} SET {moved}")


async def rows(connection: Connection) -> dict[UUID, Row[*tuple[Any, ...]]]:
    return {row.id: row for row in (await connection.execute(select(jobs))).all()}


async def row_of(connection: Connection, identity: UUID) -> Row[*tuple[Any, ...]]:
    return (await rows(connection))[identity]


async def history(connection: Connection, identity: UUID) -> list[tuple[int, str]]:
    query = select(tries.c.attempt_no, tries.c.outcome).where(tries.c.job_id == identity).order_by(tries.c.attempt_no)
    return [(row.attempt_no, row.outcome) for row in (await connection.execute(query)).all()]


async def test_claim_gives_the_columns_asked_for(database: Database) -> None:
    """A claim carries the owner's columns in Python's types, by name and in their order."""
    async with database.transaction() as connection:
        [identity] = await add(connection)
        [claim] = await make_queue().claim(connection, 10, jobs.c.secret, jobs.c.request_id)
    assert (claim.id, claim.attempt, claim.row.secret, claim.row.request_id) == (identity, 1, b"code", "r")
    assert tuple(claim.values) == (b"code", "r")


async def test_longest_due_first(database: Database) -> None:
    """A limited claim takes those that have been due for longest."""
    async with database.transaction() as connection:
        old = set(await add(connection, 3))
        await advance(connection, 10)
        await add(connection, 3)
        assert {claim.id for claim in await make_queue().claim(connection, 3)} == old


async def test_two_workers_never_share_a_row(database: Database) -> None:
    """Concurrent claims, in open transactions, get different rows and do not wait for each other."""
    queue = make_queue()
    async with database.transaction() as connection:
        ids = await add(connection, 10)
    async with database.transaction() as first, database.transaction() as second:
        mine, theirs = await queue.claim(first, 6), await queue.claim(second, 6)
    assert (len(mine), len(theirs)) == (6, 4)
    assert {claim.id for claim in (*mine, *theirs)} == set(ids)


async def test_leased_rows_come_back(database: Database) -> None:
    """A row is not claimed again during its lease, and is at its end; the lost attempt is in the history."""
    queue = make_queue()
    async with database.transaction() as connection:
        [identity] = await add(connection)
        await queue.claim(connection, 1)
        await advance(connection, LEASE - 1)
        assert await queue.claim(connection, 1) == []
        await advance(connection, 1)
        [again] = await queue.claim(connection, 1)
        assert again.attempt == 2
        assert await history(connection, identity) == [(1, "lost")]


async def test_stale_worker_changes_nothing(database: Database) -> None:
    """A worker paused beyond its lease is fenced off: row and history are its successor's."""
    queue = make_queue()
    async with database.transaction() as connection:
        [identity] = await add(connection)
        [stale] = await queue.claim(connection, 1)
        await advance(connection, LEASE)
        [fresh] = await queue.claim(connection, 1)
        assert await queue.complete(connection, [Result(stale, Outcome.DEAD_LETTERED, "stale")]) == set()
        assert await queue.complete(connection, [Result(fresh, Outcome.DONE)]) == {identity}
        assert await queue.complete(connection, [Result(stale, Outcome.RETRYING, "stale")]) == set()
        assert (await row_of(connection, identity)).state == "sent"
        assert await history(connection, identity) == [(1, "lost"), (2, "sent")]


async def test_renewed_leases_hold_on(database: Database) -> None:
    """A renewed row does not come due for a whole lease from the renewal; the others of one statement do."""
    queue = make_queue()
    async with database.transaction() as connection:
        await add(connection, 3)
        kept, left, done = await queue.claim(connection, 3)
        await advance(connection, LEASE - 1)
        await queue.complete(connection, [Result(done, Outcome.DONE)])
        assert await queue.renew(connection, [done.key, kept.key]) == {kept.key}
        await advance(connection, LEASE - 1)
        assert [claim.id for claim in await queue.claim(connection, 3)] == [left.id]
        assert (await row_of(connection, kept.id)).attempts == 1
        await advance(connection, 2)
        assert [claim.id for claim in await queue.claim(connection, 3)] == [kept.id]
        assert await queue.renew(connection, []) == set()


async def test_a_lease_of_another_is_not_renewed(database: Database) -> None:
    """Once a row was claimed again, its former lease is over for good; one that merely ended can still be renewed."""
    queue = make_queue()
    async with database.transaction() as connection:
        await add(connection)
        [stale] = await queue.claim(connection, 1)
        await advance(connection, LEASE + 5)
        assert await queue.renew(connection, [stale.key]) == {stale.key}
        assert await queue.claim(connection, 1) == []
        await advance(connection, LEASE)
        [fresh] = await queue.claim(connection, 1)
        assert await queue.renew(connection, [stale.key, fresh.key]) == {fresh.key}
        await queue.complete(connection, [Result(fresh, Outcome.RELEASED)])
        assert await queue.renew(connection, [stale.key, fresh.key]) == set()


async def test_a_keeper_renews_claims(database: Database) -> None:
    """Work kept by the queue's keeper outlives its lease in the table; nobody else gets its row meanwhile."""
    queue = make_queue(lease=timedelta(seconds=1))
    async with database.transaction() as connection:
        [identity] = await add(connection)
        [claim] = await queue.claim(connection, 1)
    async with database.reading() as connection:
        due = (await row_of(connection, identity)).next_attempt_at
        async with asyncio.timeout(20), queue.keeper(database).keep(claim.key):
            while (await row_of(connection, identity)).next_attempt_at == due:
                await asyncio.sleep(0.01)
    async with database.transaction() as connection:
        assert await queue.claim(connection, 1) == []
        assert await queue.complete(connection, [Result(claim, Outcome.DONE)]) == {identity}


async def test_recording_twice_is_once(database: Database) -> None:
    """A completion repeated because its answer was lost changes nothing."""
    queue = make_queue()
    async with database.transaction() as connection:
        [identity] = await add(connection)
        [claim] = await queue.claim(connection, 1)
        assert await queue.complete(connection, [Result(claim, Outcome.RETRYING, "busy")]) == {identity}
        assert await queue.complete(connection, [Result(claim, Outcome.RETRYING, "busy")]) == set()
        assert await history(connection, identity) == [(1, "retrying")]


async def test_every_outcome_in_one_statement(database: Database) -> None:
    """A set of results with every outcome ends or reschedules each row by its own."""
    queue = make_queue()
    async with database.transaction() as connection:
        await add(connection, len(Outcome))
        claims = await queue.claim(connection, 10)
        results = [Result(claim, outcome, f"as {outcome}") for claim, outcome in zip(claims, Outcome, strict=True)]
        assert len(await queue.complete(connection, results)) == len(Outcome)
        found = await rows(connection)
    states = {result.outcome: found[result.claim.id] for result in results}
    assert {outcome: row.state for outcome, row in states.items()} == {
        Outcome.DONE: "sent",
        Outcome.RETRYING: "retrying",
        Outcome.DEAD_LETTERED: "dead_lettered",
        Outcome.SKIPPED: "skipped",
        Outcome.RELEASED: "pending",
    }
    assert {outcome: row.attempts for outcome, row in states.items()} == {
        Outcome.DONE: 1,
        Outcome.RETRYING: 1,
        Outcome.DEAD_LETTERED: 1,
        Outcome.SKIPPED: 0,
        Outcome.RELEASED: 0,
    }
    ended = [outcome for outcome, row in states.items() if row.next_attempt_at is None and row.finished_at is not None]
    assert set(ended) == {Outcome.DONE, Outcome.DEAD_LETTERED, Outcome.SKIPPED}
    assert states[Outcome.DONE].last_error is None
    assert states[Outcome.SKIPPED].last_error == "as skipped"


async def test_history_has_the_times_of_the_attempt(database: Database) -> None:
    """The worker's own measurement, by the database's clock, dates the attempt; else its claim and completion do."""
    now = 1000.0
    queue = make_queue(monotonic=lambda: now)
    async with database.transaction() as connection:
        await add(connection, 2)
        claim, untimed = await queue.claim(connection, 2)
        now = 1060.0
        result = Result(claim, Outcome.DONE, "queued", 250, started=1010.0, finished=1013.0)
        await queue.complete(connection, [result, Result(untimed, Outcome.DONE)])
        found = await connection.execute(select(tries, text("clock_timestamp() AS now")))
        attempts = {row.job_id: row for row in found}
    row, other = attempts[claim.id], attempts[untimed.id]
    assert row.finished_at - row.started_at == pytest.approx(timedelta(seconds=3), abs=timedelta(milliseconds=100))
    assert row.now - row.finished_at == pytest.approx(timedelta(seconds=47), abs=timedelta(seconds=5))
    assert (row.outcome, row.code, row.detail) == ("sent", 250, "queued")
    assert other.finished_at - other.started_at == pytest.approx(timedelta(seconds=60), abs=timedelta(milliseconds=100))


async def test_details_cannot_break_the_row(database: Database) -> None:
    """A foreign detail is cut and made printable: without NUL for Postgres and escapes for terminals."""
    queue = make_queue()
    async with database.transaction() as connection:
        [identity] = await add(connection)
        [claim] = await queue.claim(connection, 1)
        await queue.complete(
            connection, [Result(claim, Outcome.DEAD_LETTERED, "a\x00b\x1b[31m'\"\\\ud800" + "x" * 999)]
        )
        error = (await row_of(connection, identity)).last_error
    assert error.startswith("a b [31m'\"\\ x") and len(error) == 500


async def test_released_rows_keep_their_budget(database: Database) -> None:
    """However often a row is released untried, it loses no attempt, and may be delayed."""
    queue = make_queue()
    async with database.transaction() as connection:
        [identity] = await add(connection)
        for _ in range(MAX_ATTEMPTS + 2):
            [claim] = await queue.claim(connection, 1)
            await queue.complete(connection, [Result(claim, Outcome.RELEASED)])
        [claim] = await queue.claim(connection, 1)
        await queue.complete(connection, [Result(claim, Outcome.RELEASED, "relay down", delay=50)])
        assert await queue.claim(connection, 1) == []
        row = await row_of(connection, identity)
        assert (row.attempts, row.state, row.last_error) == (0, "pending", "relay down")
        assert await history(connection, identity) == []


async def test_tries_run_out(database: Database) -> None:
    """The last failed attempt dead-letters, in the history too."""
    queue = make_queue()
    async with database.transaction() as connection:
        [identity] = await add(connection)
        for _ in range(MAX_ATTEMPTS):
            await advance(connection, MAX_DELAY)
            [claim] = await queue.claim(connection, 1)
            result = Result(claim, Outcome.RETRYING, "busy")
            expected = queue.state_after(result)
            await queue.complete(connection, [result])
            assert (await row_of(connection, identity)).state == expected
        assert expected == "dead_lettered"
        assert await history(connection, identity) == [(1, "retrying"), (2, "retrying"), (3, "dead_lettered")]


async def test_a_row_that_kills_its_workers_ends(database: Database) -> None:
    """A row whose every worker dies is dead-lettered once its attempts are used up, and not claimed again."""
    queue = make_queue()
    async with database.transaction() as connection:
        [identity] = await add(connection)
        for _ in range(MAX_ATTEMPTS):
            assert len(await queue.claim(connection, 1)) == 1
            await advance(connection, LEASE)
        assert await queue.claim(connection, 1) == []
        row = await row_of(connection, identity)
        assert (row.state, row.attempts) == ("dead_lettered", MAX_ATTEMPTS)
        assert row.last_error.startswith("attempts exhausted")
        assert await history(connection, identity) == [(1, "lost"), (2, "lost"), (3, "lost")]


async def test_expired_rows_are_not_given_out(database: Database) -> None:
    """An expired row is never claimed; expire() ends it as dead-lettered and wipes it."""
    queue = make_queue()
    async with database.transaction() as connection:
        [identity] = await add(connection, expires_in=50)
        [fresh] = await add(connection)
        await advance(connection, 50)
        assert [claim.id for claim in await queue.claim(connection, 10)] == [fresh]
        assert await queue.expire(connection) == 1
        assert await queue.expire(connection) == 0
        row = await row_of(connection, identity)
        assert (row.state, row.last_error, row.secret, row.attempts) == ("dead_lettered", "expired", None, 0)


async def test_expiry_leaves_a_live_lease_alone(database: Database) -> None:
    """A row that expires while it is being sent may still be recorded as sent; one whose worker is lost ends."""
    queue = make_queue()
    async with database.transaction() as connection:
        [sent, lost] = await add(connection, 2, expires_in=50)
        claims = {claim.id: claim for claim in await queue.claim(connection, 2)}
        await advance(connection, 60)
        assert await queue.expire(connection) == 0
        assert await queue.complete(connection, [Result(claims[sent], Outcome.DONE)]) == {sent}
        await advance(connection, LEASE)
        assert await queue.expire(connection) == 1
        assert (await row_of(connection, lost)).last_error == "expired"
        assert await history(connection, lost) == [(1, "lost")]


async def test_wiping(database: Database) -> None:
    """A secret is wiped once sent, is kept in a dead letter for a resend, and is wiped there when it expires."""
    queue = make_queue()
    async with database.transaction() as connection:
        [sent, dead] = await add(connection, 2, expires_in=50)
        claims = {claim.id: claim for claim in await queue.claim(connection, 2)}
        await queue.complete(
            connection, [Result(claims[sent], Outcome.DONE), Result(claims[dead], Outcome.DEAD_LETTERED, "550")]
        )
        await queue.expire(connection)
        assert [(await row_of(connection, each)).secret for each in (sent, dead)] == [None, b"code"]
        await advance(connection, 50)
        await queue.expire(connection)
        row = await row_of(connection, dead)
        assert (row.secret, row.last_error) == (None, "550")


async def test_requeued_rows_number_on(database: Database) -> None:
    """A requeued row is due at once, with a full budget of attempts and continued numbers."""
    queue = make_queue(max_attempts=1)
    async with database.transaction() as connection:
        [identity] = await add(connection)
        [claim] = await queue.claim(connection, 1)
        await queue.complete(connection, [Result(claim, Outcome.RETRYING, "busy")])
        assert await queue.requeue(connection, identity)
        assert (await rows(connection))[identity].last_error is None
        [claim] = await queue.claim(connection, 1)
        assert (claim.attempt, claim.attempts_in_cycle) == (2, 1)
        await queue.complete(connection, [Result(claim, Outcome.DONE)])
        assert await history(connection, identity) == [(1, "dead_lettered"), (2, "sent")]
        assert not await queue.requeue(connection, identity)


async def test_reopened_rows_have_their_attempt_again(database: Database) -> None:
    """A row whose failure was not its own is due at once with the attempt given back, whether or not it had ended."""
    queue = make_queue(max_attempts=2)
    async with database.transaction() as connection:
        await add(connection, 2)
        first, second = await queue.claim(connection, 2)
        results = [Result(first, Outcome.RETRYING, "busy"), Result(second, Outcome.DEAD_LETTERED, "no")]
        await queue.complete(connection, results)
        assert await queue.reopen(connection, [first.key, second.key]) == {first.id, second.id}
        again = await queue.claim(connection, 2)
        assert {(claim.attempt, claim.attempts_in_cycle) for claim in again} == {(2, 1)}
        assert await history(connection, second.id) == [(1, "dead_lettered")]


@pytest.mark.parametrize("since", ["claimed", "sent", "requeued"])
async def test_only_the_same_failure_is_reopened(database: Database, since: str) -> None:
    """A row that was claimed, sent or requeued since is left as it is."""
    queue = make_queue()
    async with database.transaction() as connection:
        await add(connection)
        [claim] = await queue.claim(connection, 1)
        if since != "sent":
            await queue.complete(connection, [Result(claim, Outcome.DEAD_LETTERED, "no")])
            await queue.requeue(connection, claim.id)
            if since == "claimed":
                await queue.claim(connection, 1)
        else:
            await queue.complete(connection, [Result(claim, Outcome.DONE)])
        before = await rows(connection)
        assert await queue.reopen(connection, [claim.key]) == set()
        assert await rows(connection) == before


async def test_reviving_does_not_send_twice(database: Database) -> None:
    """A row requeued while it is being sent stays with its worker, whose completion counts."""
    queue = make_queue()
    async with database.transaction() as connection:
        [identity] = await add(connection)
        [claim] = await queue.claim(connection, 1)
        assert await queue.requeue(connection, identity)
        assert await queue.claim(connection, 1) == []
        assert await queue.complete(connection, [Result(claim, Outcome.DONE)]) == {identity}


async def test_a_row_that_was_requeued_while_claimed_and_released_waits_like_any_other(database: Database) -> None:
    """The attempt that did not count is none of those before it was requeued: the next failure is its first."""
    queue = make_queue()
    async with database.transaction() as connection:
        [identity] = await add(connection, 1)
        [claim] = await queue.claim(connection, 1)
        assert await queue.requeue(connection, identity)
        await queue.complete(connection, [Result(claim, Outcome.RELEASED)])
        [claim] = await queue.claim(connection, 1)
        assert (claim.attempt, claim.attempts_in_cycle) == (1, 1)
        await queue.complete(connection, [Result(claim, Outcome.RETRYING)])
        assert await queue.claim(connection, 1) == []


async def test_rows_in_hand_are_sought_by_id(database: Database) -> None:
    """Claiming, completing, renewing and expiring read no table whole, also when statistics know of no claim."""
    queue = make_queue()
    queued = (queue._complete, queue._renew, queue._reopen, queue._expire)
    statements = [queue._sql.claim(()).element, *(each.element for each in queued)]
    given = {"limit": 500, "lease": 60.0, "results": "[]", "max_attempts": 3, "ids": [], "leases": [], "seconds": 60.0}
    async with database.transaction() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO jobs (id, request_id) SELECT gen_random_uuid(), 'r' FROM generate_series(1, 20000)"
        )
        await connection.exec_driver_sql("ANALYZE jobs")
        for statement in statements:
            known = {name: given[name] for name in statement._bindparams}
            plan = "\n".join(
                (await connection.execute(text(f"EXPLAIN {statement}").bindparams(**known))).scalars().all()
            )
            updating = plan[plan.index("Update on jobs q") :]
            assert "jobs_pkey" in updating
            assert "Seq Scan on jobs" not in plan


async def test_many_workers_once_each(database: Database) -> None:
    """Workers that claim and complete at the same time handle every row exactly once."""
    queue = make_queue()
    async with database.transaction() as connection:
        ids = await add(connection, 60)
    handled: list[UUID] = []

    async def work() -> None:
        while True:
            async with database.transaction() as connection:
                claims = await queue.claim(connection, 7)
            if not claims:
                return
            handled.extend(claim.id for claim in claims)
            async with database.transaction() as connection:
                await queue.complete(connection, [Result(claim, Outcome.DONE) for claim in claims])

    await asyncio.gather(*(work() for _ in range(3)))
    assert sorted(handled) == sorted(ids)


@dataclass
class Modelled:
    """What a row must be."""

    id: UUID
    due: int | None
    expires: int | None
    state: str = "pending"
    attempts: int = 0
    before: int = 0
    lease: int = 0
    claimed: bool = False
    secret: bool = True
    history: list[tuple[int, str]] = field(default_factory=list)

    @property
    def pending(self) -> bool:
        return self.state in ("pending", "retrying")

    def expired(self, now: int) -> bool:
        return self.expires is not None and self.expires <= now

    def end(self, state: str) -> None:
        self.state, self.due, self.claimed = state, None, False


class QueueMachine(RuleBasedStateMachine):
    """Random histories of many workers, among them stale ones, against a model. Time moves in steps of 100 s."""

    dsn: str
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.queue = make_queue()
        self.now = 0
        self.rows: dict[UUID, Modelled] = {}
        self.claims: list[Claim] = []

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    async def in_transaction(self, work: Any) -> Any:
        async with self.database.transaction() as connection:
            return await work(connection)

    @initialize()
    def begin(self) -> None:
        self.database = Database(make_engine(self.dsn), "backend")

        async def prepare(connection: Connection) -> None:
            await make_tables(connection)
            await connection.exec_driver_sql("TRUNCATE jobs, tries")

        self.run(self.in_transaction(prepare))

    @rule(count=st.integers(1, 3), expires=st.sampled_from([None, None, 100, 300]))
    def add(self, count: int, expires: int | None) -> None:
        for identity in self.run(self.in_transaction(lambda c: add(c, count, expires_in=expires))):
            limit = None if expires is None else self.now + expires
            self.rows[identity] = Modelled(identity, self.now, limit)

    @rule(seconds=st.sampled_from([100, 200, 500]))
    def advance(self, seconds: int) -> None:
        self.run(self.in_transaction(lambda c: advance(c, seconds)))
        self.now += seconds

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        due = [row for row in self.rows.values() if row.pending and row.due is not None and row.due <= self.now]
        due = [row for row in due if not row.expired(self.now)]
        claims: Sequence[Claim] = self.run(self.in_transaction(lambda c: self.queue.claim(c, limit)))
        found = self.run(self.in_transaction(rows))
        ended = [row for row in due if found[row.id].state == "dead_lettered"]
        taken = [self.rows[claim.id] for claim in claims]
        assert len(taken) + len(ended) == min(limit, len(due))
        assert all(row in due for row in taken)
        assert all(row.attempts - row.before >= MAX_ATTEMPTS for row in ended)
        for row in (*taken, *ended):
            if row.claimed:
                row.history.append((row.attempts, "lost"))
            row.lease += 1
        for row in ended:
            row.end("dead_lettered")
        for row, claim in zip(taken, claims, strict=True):
            row.attempts, row.claimed, row.due = row.attempts + 1, True, self.now + LEASE
            assert row.attempts - row.before <= MAX_ATTEMPTS
            assert (claim.lease, claim.attempt, claim.attempts_in_cycle) == (
                row.lease,
                row.attempts,
                row.attempts - row.before,
            )
        self.claims += claims

    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        chosen = {claim.id: claim for claim in self.claims if data.draw(st.booleans())}.values()
        results = [Result(claim, data.draw(st.sampled_from(list(Outcome))), "why") for claim in chosen]
        held = {
            claim.id for claim in chosen if self.rows[claim.id].claimed and self.rows[claim.id].lease == claim.lease
        }
        assert self.run(self.in_transaction(lambda c: self.queue.complete(c, results))) == held
        for result in results:
            if result.claim.id in held:
                self._completed(self.rows[result.claim.id], result)

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        keys = {claim.key for claim in self.claims if data.draw(st.booleans())}
        held = [row for row in self.rows.values() if row.claimed and (row.id, row.lease) in keys]
        assert self.run(self.in_transaction(lambda c: self.queue.renew(c, keys))) == {
            (row.id, row.lease) for row in held
        }
        for row in held:
            row.due = self.now + LEASE

    def _completed(self, row: Modelled, result: Result) -> None:
        outcome, used = result.outcome, row.attempts - row.before
        row.claimed = False
        if outcome in (Outcome.RELEASED, Outcome.SKIPPED):
            row.attempts -= 1
            row.before = min(row.before, row.attempts)
        if outcome is Outcome.RELEASED:
            row.due = self.now
        elif outcome is Outcome.RETRYING and used < MAX_ATTEMPTS:
            row.state, row.due = (
                "retrying",
                self.now + min(MAX_DELAY, FIRST_DELAY * 2 ** (result.claim.attempts_in_cycle - 1)),
            )
        else:
            row.end({Outcome.DONE: "sent", Outcome.SKIPPED: "skipped"}.get(outcome, "dead_lettered"))
        row.secret = row.secret and outcome is not Outcome.DONE
        if outcome in (Outcome.DONE, Outcome.RETRYING, Outcome.DEAD_LETTERED):
            row.history.append((row.attempts, row.state))

    @rule()
    def expire(self) -> None:
        over = [row for row in self.rows.values() if row.pending and row.expired(self.now)]
        over = [row for row in over if not (row.claimed and row.due is not None and row.due > self.now)]
        assert self.run(self.in_transaction(self.queue.expire)) == len(over)
        for row in self.rows.values():
            if row.state == "dead_lettered" and row.expired(self.now):
                row.secret = False
        for row in over:
            if row.claimed:
                row.history.append((row.attempts, "lost"))
            row.end("dead_lettered")
            row.secret = False

    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        if not self.rows:
            return
        row = list(self.rows.values())[data.draw(st.integers(0, len(self.rows) - 1))]  # ids differ from run to run
        revived = self.run(self.in_transaction(lambda c: self.queue.requeue(c, row.id)))
        assert revived == (row.state != "sent")
        if revived:
            leased = row.claimed and row.due is not None and row.due > self.now
            row.state, row.before, row.due = "pending", row.attempts, row.due if leased else self.now

    @invariant()
    def the_table_is_as_modelled(self) -> None:
        if not hasattr(self, "database"):
            return
        found = self.run(self.in_transaction(rows))
        assert set(found) == set(self.rows)
        for identity, row in self.rows.items():
            there = found[identity]
            assert (
                there.state,
                there.attempts,
                there.lease,
                there.claimed_at is not None,
                there.secret is not None,
            ) == (
                row.state,
                row.attempts,
                row.lease,
                row.claimed,
                row.secret,
            )
            assert (there.next_attempt_at is None) == (row.due is None)
            numbers = self.run(self.in_transaction(lambda c, i=identity: history(c, i)))
            assert numbers == sorted(row.history)
            assert len({number for number, _ in numbers}) == len(numbers)

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.run(self.database.close())


def test_any_history_of_workers(empty_database: str) -> None:
    """Whatever workers do, and however stale they are, rows, leases, wiping and history follow the model."""
    QueueMachine.dsn = empty_database
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    with asyncio.Runner() as QueueMachine.runner:
        run_state_machine_as_test(
            QueueMachine,
            settings=settings(max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=checks),
        )
