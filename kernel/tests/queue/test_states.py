"""The states of a queue have words of its own: a row's life, its history, its indexes and its metrics go by them."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Column, LargeBinary, MetaData, Table, Uuid, select, text
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from galaxy_chassis.backoff import Backoff
from galaxy_chassis.logs import get_logger
from galaxy_kernel.database import Connection, Database, make_engine
from galaxy_kernel.queue.metrics import QueueMetrics, declare_queue
from galaxy_kernel.queue.queue import Claim, LeasedQueue, Outcome, Result, history_columns, queue_columns, queue_indexes
from galaxy_kernel.queue.states import QueueStates

STATES = QueueStates(
    pending="waiting", retrying="failing", done="played", dead_lettered="quarantined", skipped="postponed"
)
metadata = MetaData()
turns = Table(
    "turns",
    metadata,
    Column("id", Uuid, primary_key=True),
    *queue_columns(STATES),
    Column("orders", LargeBinary),
    *queue_indexes("turns", STATES, wipe="orders"),
)
tries = Table("turn_tries", metadata, *history_columns("turn_id"))


class Meter:
    """Keeps what is added to counters."""

    def __init__(self) -> None:
        self.added: list[tuple[int, Any]] = []

    def create_counter(self, _name: str, **_: Any) -> "Meter":
        return self

    create_gauge = create_counter

    def add(self, number: int, labels: Any) -> None:
        self.added.append((number, labels))


def make_queue() -> LeasedQueue:
    return LeasedQueue(
        turns,
        tries,
        states=STATES,
        lease=timedelta(seconds=60),
        max_attempts=2,
        backoff=Backoff(1e-6, 1e-6),
        wipe=("orders",),
        random=random.Random(1),
    )


@pytest.fixture(params=["aiopg", "asyncpg", "psycopg"])
async def connection(request: pytest.FixtureRequest, empty_database: str) -> AsyncIterator[Connection]:
    """Return a connection to a database with the tables, by each driver in turn."""
    database = Database(make_engine(empty_database.replace("postgres://", f"postgresql+{request.param}://")), "backend")
    async with database.transaction() as opened:
        await opened.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS backend")
        await opened.run_sync(metadata.create_all)
        yield opened
    await database.close()


async def claimed(connection: Connection, queue: LeasedQueue) -> Claim:
    await connection.execute(turns.insert().values(id=uuid7(), request_id="r", orders=b"hold"))
    [claim] = await queue.claim(connection, 1)
    return claim


async def found(connection: Connection, claim: Claim) -> tuple[str, list[str], bytes | None]:
    row = (await connection.execute(select(turns.c.state, turns.c.orders).where(turns.c.id == claim.id))).one()
    query = select(tries.c.outcome).where(tries.c.turn_id == claim.id).order_by(tries.c.attempt_no)
    return row.state, list((await connection.execute(query)).scalars()), row.orders


@pytest.mark.parametrize(
    ("outcome", "state", "history", "orders"),
    [
        (Outcome.DONE, "played", ["played"], None),
        (Outcome.RETRYING, "failing", ["failing"], b"hold"),
        (Outcome.DEAD_LETTERED, "quarantined", ["quarantined"], b"hold"),
        (Outcome.SKIPPED, "postponed", [], b"hold"),
        (Outcome.RELEASED, "waiting", [], b"hold"),
    ],
)
async def test_each_outcome_has_its_word(
    connection: Connection, outcome: Outcome, state: str, history: list[str], orders: bytes | None
) -> None:
    """Row and history are written in the queue's words, and only what is done is wiped."""
    queue = make_queue()
    claim = await claimed(connection, queue)
    assert await queue.complete(connection, [Result(claim, outcome)]) == {claim.id}
    assert await found(connection, claim) == (state, history, orders)
    ended = outcome in (Outcome.DONE, Outcome.DEAD_LETTERED, Outcome.SKIPPED)
    backlog = await queue.backlog(connection)
    assert (backlog.queued, backlog.dead_letters) == (0 if ended else 1, int(outcome is Outcome.DEAD_LETTERED))


async def test_a_whole_life(connection: Connection) -> None:
    """Out of attempts, requeued, expired and wiped: every statement knows the words."""
    queue = make_queue()
    claim = await claimed(connection, queue)
    await queue.complete(connection, [Result(claim, Outcome.RETRYING)])
    [claim] = await queue.claim(connection, 1)
    last = Result(claim, Outcome.RETRYING)
    assert queue.state_after(last) == "quarantined"
    await queue.complete(connection, [last])
    assert await found(connection, claim) == ("quarantined", ["failing", "quarantined"], b"hold")
    assert await queue.requeue(connection, claim.id)
    assert (await found(connection, claim))[0] == "waiting"
    await connection.execute(turns.update().values(expires_at=text("now()")))
    assert await queue.expire(connection) == 1
    assert await found(connection, claim) == ("quarantined", ["failing", "quarantined"], None)


async def test_what_is_done_is_not_requeued(connection: Connection) -> None:
    """What has happened does not happen twice."""
    queue = make_queue()
    claim = await claimed(connection, queue)
    await queue.complete(connection, [Result(claim, Outcome.DONE)])
    assert not await queue.requeue(connection, claim.id)


async def test_the_backlog_says_how_much_waits_and_since_when(connection: Connection) -> None:
    """How much waits, how old the oldest is, how long one has been due, and what has failed; zeros where nothing is."""
    queue = make_queue()
    assert await queue.backlog(connection) == (0, 0, 0, 0)
    await connection.exec_driver_sql(
        "INSERT INTO turns (id, request_id, state, created_at, next_attempt_at) VALUES"
        " (gen_random_uuid(), 'r', 'waiting', now() - interval '1 hour', now() + interval '1 minute'),"
        " (gen_random_uuid(), 'r', 'failing', now() - interval '10 minutes', now() - interval '30 seconds'),"
        " (gen_random_uuid(), 'r', 'quarantined', now() - interval '1 day', NULL),"
        " (gen_random_uuid(), 'r', 'played', now() - interval '1 day', NULL)"
    )
    backlog = await queue.backlog(connection)
    assert (backlog.queued, backlog.dead_letters) == (2, 1)
    assert 3600 <= backlog.oldest_age < 3660
    assert 30 <= backlog.overdue < 60
    await connection.exec_driver_sql("UPDATE turns SET next_attempt_at = now() + interval '1 hour'")
    assert (await queue.backlog(connection)).overdue == 0
    assert (await queue.backlog(connection, 1)).queued == 1


async def test_the_claim_uses_the_index_of_its_words(connection: Connection) -> None:
    """The words stand as constants in statement and index, so the planner matches them."""
    await connection.exec_driver_sql(
        "INSERT INTO turns (id, request_id, state)"
        " SELECT gen_random_uuid(), 'r', 'played' FROM generate_series(1, 20000)"
    )
    await connection.exec_driver_sql("ANALYZE turns")
    statement = make_queue()._sql.claim(()).element
    explained = text(f"EXPLAIN {statement}").bindparams(limit=500, lease=60.0)
    assert "turns_due_idx" in "\n".join((await connection.execute(explained)).scalars())


async def test_metrics_are_in_the_words_of_the_queue(connection: Connection) -> None:
    """Counters are labelled by state; what is retried is told, and what is given up is a warning."""
    queue, meter = make_queue(), Meter()
    metrics: Any = QueueMetrics(
        "turn", queue, declare_queue("turn", "turns"), log=get_logger("test", plugin="turn"), meter=meter
    )  # type: ignore[arg-type]
    claim = await claimed(connection, queue)
    with capture_logs() as logs:
        for outcome in (Outcome.DONE, Outcome.RETRYING, Outcome.DEAD_LETTERED, Outcome.SKIPPED, Outcome.RELEASED):
            metrics.note(Result(claim, outcome))
    metrics.hand_over()
    words = ("played", "failing", "quarantined", "postponed", "released")
    assert meter.added == [(1, {"outcome": word}) for word in words]
    told = {line["outcome"]: line["log_level"] for line in logs}
    assert (told["failing"], told["quarantined"]) == ("info", "warning")


@pytest.mark.parametrize("word", ["", "Done", "it's", "on hold", "1st"])
def test_a_word_that_cannot_stand_in_sql_is_refused(word: str) -> None:
    """The words are filled in literally."""
    with pytest.raises(ValueError, match="expected lower-case letters"):
        QueueStates(done=word)


def test_two_states_of_one_word_are_refused() -> None:
    """A row's state says one thing."""
    with pytest.raises(ValueError, match="a word of its own"):
        QueueStates(done="ended", skipped="ended")


def test_skipping_is_left_out_unless_named() -> None:
    """A queue that skips nothing has no state for it, and its table takes none."""
    assert QueueStates().all == ("pending", "retrying", "done", "dead_lettered")
    assert QueueStates(skipped="void").all[-1] == "void"
