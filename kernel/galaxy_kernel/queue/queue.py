"""A leased work queue in a Postgres table, used by mail and notification.

A row is pending or retrying until it ends as done, skipped or dead-lettered; each queue has its own words for these
states (`QueueStates`). Three ideas carry it:

- **A claim is a lease.** Claiming moves `next_attempt_at` to the end of the lease, so the rows of a killed worker
  become due again by themselves, without a clean-up job. The attempt is counted at the claim, so a row that kills its
  worker still reaches its limit; `claimed_at` is set while a claim is open, so the next claim knows that one was lost
  and writes it into the history.
- **`lease` is a fencing token** (as in chapter 8 of Kleppmann, "Designing Data-Intensive Applications"). It grows with
  each claim, and a completion counts only for the lease it was claimed under: a worker that was paused beyond its lease
  changes nothing.
- **Sets, not rows.** Claiming, completing and expiring are one statement each, whatever their number: round trips limit
  a queue's speed.

Only the database's clock decides what is due, leased or expired: `statement_timestamp()`, which advances within a
transaction but is stable within a statement, as an index requires. The owner's table has a UUID `id` as its primary
key, the columns of `queue_columns()` and the indexes of `queue_indexes()`; columns, indexes and queue name the same
states.
"""

import random as random_module
import time
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from enum import StrEnum
from math import inf
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Row,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.sql.selectable import TextualSelect

from galaxy_chassis.backoff import Backoff
from galaxy_contracts.database import Connection
from galaxy_kernel.database import Database
from galaxy_kernel.queue.leases import LeaseKeeper
from galaxy_kernel.queue.sql import QueueSql
from galaxy_kernel.queue.states import QueueStates

DEPTH = 10_000
"""The default limit of `depth`: enough to notice a backlog, and fast."""
MAX_DETAIL = 500
"""Characters of a detail that are kept."""


class Outcome(StrEnum):
    """How a claim ended; the state that it leads to has the word of the queue's own."""

    DONE = "done"
    RETRYING = "retrying"
    """Failed, to be tried again: after a back-off, or `dead_lettered` when the attempts are used up."""
    DEAD_LETTERED = "dead_lettered"
    SKIPPED = "skipped"
    """Ended on purpose without an attempt."""
    RELEASED = "released"
    """Released untried: uses no attempt."""


_OWN = 5
"""The queue's own columns, the first of a claimed row."""
_TRIED = (Outcome.DONE, Outcome.RETRYING, Outcome.DEAD_LETTERED)


LeaseKey = tuple[UUID, int]
"""The row's id and the fencing number of its claim."""


class Claim(msgspec.Struct, frozen=True):
    """One row, leased to this worker."""

    id: UUID
    lease: int
    """The fencing token."""
    attempt: int
    """Number of this attempt in the row's whole life, from 1."""
    attempts_in_cycle: int
    """Number of this attempt since the row was made or last requeued, from 1; the back-off grows with it."""
    begun: float
    """Monotonic seconds, a little before the claim."""
    deadline: float
    """Monotonic seconds at which the lease ends, rather too early than too late."""
    expires: float
    """Monotonic seconds at which the row expires, rather too early than too late; infinite when it does not."""
    row: Row[Any]
    """The requested columns, by name."""

    @property
    def key(self) -> LeaseKey:
        """What names this lease: of a later claim of the row it is another."""
        return self.id, self.lease

    @property
    def values(self) -> Sequence[Any]:
        """The requested columns, in their order: ten times as fast as by name."""
        return self.row[_OWN:]


class Result(msgspec.Struct):
    """The result of a claim."""

    claim: Claim
    outcome: Outcome
    detail: str = ""
    """Why, for operators: no personal data. Empty leaves the row's `last_error` of a released claim as it is."""
    code: int | None = None
    """The other side's status code, for the history."""
    delay: float = 0.0
    """Seconds until a released row is due again."""
    started: float | None = None
    finished: float | None = None
    """Monotonic seconds around the attempt; without them it began with the claim and ended with the completion."""


class _Record(msgspec.Struct, omit_defaults=True):
    """A result in the form for the completing statement."""

    id: UUID
    lease: int
    outcome: Outcome
    started_ago: float
    finished_ago: float
    tried: bool
    detail: str = ""
    code: int | None = None
    delay: float = 0.0


def queue_columns(states: QueueStates) -> list[Column[Any]]:
    """Return the queue's columns."""
    named = ", ".join(f"'{state}'" for state in states.all)
    now = text("now()")
    return [
        Column(
            "state",
            Text,
            CheckConstraint(f"state IN ({named})", name="state"),
            nullable=False,
            server_default=states.pending,
        ),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("attempts_before_resend", Integer, nullable=False, server_default="0"),
        Column("lease", Integer, nullable=False, server_default="0"),
        Column("next_attempt_at", DateTime(timezone=True), server_default=now),
        Column("claimed_at", DateTime(timezone=True)),
        Column("expires_at", DateTime(timezone=True)),
        Column("finished_at", DateTime(timezone=True)),
        Column("last_error", Text),
        Column("request_id", Text, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=now),
    ]


def queue_indexes(table: str, states: QueueStates, *, wipe: str | None = None) -> list[Index]:
    """Return the queue's indexes: what is due, what expires, and dead letters with a column still to wipe."""
    expiring = text(f"{states.open} AND expires_at IS NOT NULL")
    indexes = [
        Index(f"{table}_due_idx", "next_attempt_at", postgresql_where=text(states.open)),
        Index(f"{table}_expiring_idx", "expires_at", postgresql_where=expiring),
    ]
    if wipe is not None:
        unwiped = text(f"state = '{states.dead_lettered}' AND {wipe} IS NOT NULL")
        indexes.append(Index(f"{table}_unwiped_idx", "expires_at", postgresql_where=unwiped))
    return indexes


def history_columns(owner: str, *, code: str = "code") -> list[Column[Any]]:
    """Return the history's columns: `owner` names the column with the row's id, `code` the one with the other side's
    status code.

    There is no foreign key: rows are written together with their owner's, and a key would lock it for each attempt.
    """
    return [
        Column(owner, Uuid, primary_key=True, info={"queue": "owner"}),
        Column("attempt_no", Integer, primary_key=True),
        Column("started_at", DateTime(timezone=True), nullable=False),
        Column("finished_at", DateTime(timezone=True)),
        Column("outcome", Text, nullable=False),
        Column(code, Integer, info={"queue": "code"}),
        Column("detail", Text),
    ]


class LeasedQueue:
    """The queue over one table. Keeps no state of its own: any number of processes may work on one table."""

    def __init__(
        self,
        table: Table,
        history: Table | None = None,
        *,
        states: QueueStates,
        lease: timedelta,
        max_attempts: int,
        backoff: Backoff,
        wipe: Sequence[str] = (),
        random: random_module.Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build the statements.

        `backoff` says how long a row waits after the failed attempts of its cycle. `wipe` names columns that are
        emptied when a row is done or expires.
        """
        self.table, self.history, self.states = table, history, states
        self.lease, self.max_attempts = lease.total_seconds(), max_attempts
        self._backoff = backoff
        self._random = random or random_module.SystemRandom()
        self._monotonic = monotonic
        self._sql = QueueSql(table, history, states, tuple(wipe))
        self._claims: dict[tuple[Column[Any], ...], TextualSelect] = {}
        self._complete, self._expire, self._requeue = self._sql.complete(), self._sql.expire(), self._sql.requeue()
        self._depth, self._renew, self._reopen = self._sql.depth(), self._sql.renew(), self._sql.reopen()
        self._state_after = {
            Outcome.DONE: states.done,
            Outcome.RETRYING: states.retrying,
            Outcome.DEAD_LETTERED: states.dead_lettered,
            Outcome.SKIPPED: states.skipped or Outcome.SKIPPED,
            Outcome.RELEASED: Outcome.RELEASED,
        }

    async def claim(self, connection: Connection, limit: int, *columns: Column[Any]) -> list[Claim]:
        """Lease up to `limit` due rows, the longest due first, and return them with `columns`.

        Never returns an expired row. A row whose every attempt ended with a lost worker is dead-lettered here. The
        claims are valid from the commit on: when it fails, drop them, for the same leases may be claimed again.
        """
        statement = self._claims.get(columns)
        if statement is None:
            statement = self._claims[columns] = self._sql.claim(columns)
        begun = self._monotonic()
        rows = (await connection.execute(statement, {"limit": limit, "lease": self.lease})).all()
        claims = [self._claimed(row, begun) for row in rows]
        exhausted = [claim for claim in claims if claim.attempts_in_cycle > self.max_attempts]
        if not exhausted:
            return claims
        reason = f"attempts exhausted: {self.max_attempts} workers were lost while trying"
        await self.complete(connection, [Result(claim, Outcome.DEAD_LETTERED, reason) for claim in exhausted])
        return [claim for claim in claims if claim.attempts_in_cycle <= self.max_attempts]

    async def complete(self, connection: Connection, results: Collection[Result]) -> set[UUID]:
        """Record results and their history, and return the ids whose claim was still valid.

        The others were claimed again, requeued or ended meanwhile: they are not changed.
        Recording a result a second time changes nothing either.
        """
        if not results:
            return set()
        now = self._monotonic()
        # In the order of ids, so that two completions wait for each other and do not deadlock.
        ordered = sorted(results, key=_id_of)
        records = msgspec.json.encode([self._record(result, now) for result in ordered]).decode()
        values = {"results": records, "max_attempts": self.max_attempts}
        stale = (await connection.execute(self._complete, values)).scalars()
        return {result.claim.id for result in results}.difference(stale)

    async def renew(self, connection: Connection, keys: Collection[LeaseKey]) -> set[LeaseKey]:
        """Extend leases to a whole one from now, and return the keys of those that are still held.

        The others were claimed again, requeued or ended meanwhile: they are not changed. A lease that has ended but was
        not claimed again is held again. `Claim.deadline` stays that of the claim.
        """
        if not keys:
            return set()
        ordered = sorted(keys)  # as in `complete`
        values = {"ids": [key[0] for key in ordered], "leases": [key[1] for key in ordered], "seconds": self.lease}
        return {(row.id, row.lease) for row in await connection.execute(self._renew, values)}

    def keeper(self, database: Database) -> LeaseKeeper[LeaseKey]:
        """Return what keeps claims renewed while their work runs: one for all of a process."""

        async def renew(keys: Sequence[LeaseKey]) -> set[LeaseKey]:
            async with database.transaction() as connection:
                return await self.renew(connection, keys)

        return LeaseKeeper(renew, lease=timedelta(seconds=self.lease))

    async def expire(self, connection: Connection, limit: int = 1000) -> int:
        """Dead-letter up to `limit` rows that have expired, wipe expired dead letters, and return how many ended.

        Rows under a live lease are left to their worker: they may have been done in time.
        """
        return len((await connection.execute(self._expire, {"limit": limit})).all())

    async def requeue(self, connection: Connection, id: UUID) -> bool:  # noqa: A002 - the column's own name
        """Make a row that is not done due now, with a fresh budget of attempts; return whether there was one.

        Attempt numbers continue, and the reason of the last one is gone from the row: the history has it. A row under a
        live lease keeps it, so that it is not done twice.
        """
        return (await connection.execute(self._requeue, {"id": id})).first() is not None

    async def reopen(self, connection: Connection, keys: Collection[LeaseKey]) -> set[UUID]:
        """Make rows due now whose last attempt failed through no fault of theirs, and return their ids.

        The attempt stays in the history and is given to the row once more. A row that was claimed, requeued or ended
        otherwise since that lease is not changed.
        """
        ordered = sorted(keys)  # as in `complete`
        values = {"ids": [key[0] for key in ordered], "leases": [key[1] for key in ordered]}
        return set((await connection.execute(self._reopen, values)).scalars())

    async def depth(self, connection: Connection, limit: int = DEPTH) -> int:
        """Return how many rows have not ended, counting no further than `limit`."""
        return int((await connection.execute(self._depth, {"limit": limit})).scalar_one())

    def state_after(self, result: Result) -> str:
        """Return the state that a result leads to, `released` for one that leaves it as it is: for metrics."""
        if result.outcome is Outcome.RETRYING and result.claim.attempts_in_cycle >= self.max_attempts:
            return self.states.dead_lettered
        return self._state_after[result.outcome]

    def _claimed(self, row: Any, begun: float) -> Claim:
        # By position: names of the owner's columns may clash with the queue's own.
        expires = inf if row[4] is None else begun + row[4]
        return Claim(row[0], row[1], row[2], row[3], begun, begun + self.lease, expires, row)

    def _record(self, result: Result, now: float) -> _Record:
        claim = result.claim
        return _Record(
            id=claim.id,
            lease=claim.lease,
            outcome=result.outcome,
            tried=result.outcome in _TRIED and claim.attempts_in_cycle <= self.max_attempts,
            detail=_printable(result.detail),
            code=result.code,
            delay=self._backoff.delay(claim.attempts_in_cycle, self._random)
            if result.outcome is Outcome.RETRYING
            else result.delay,
            started_ago=now - (claim.begun if result.started is None else result.started),
            finished_ago=0.0 if result.finished is None else now - result.finished,
        )


def _id_of(result: Result) -> UUID:
    return result.claim.id


def _printable(detail: str) -> str:
    """Cut a detail and remove what Postgres cannot store or a terminal should not show."""
    cut = detail[:MAX_DETAIL]
    if cut.isprintable():
        return cut
    return "".join(character if character.isprintable() else " " for character in cut)
