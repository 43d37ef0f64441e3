"""A leased work queue in a Postgres table: what mail and notification stand on.

A row is `pending` or `retrying` until it ends as `sent`, `skipped` or `dead_lettered`. Three ideas carry it:

- **A claim is a lease.** Claiming moves `next_attempt_at` to the end of the lease, so the rows of a killed worker
  become due again by themselves: there is no rescuer. The attempt is counted at the claim, so a row that kills
  its worker still reaches its limit; `claimed_at` stands while a claim is open, so the next claim knows that one
  was lost and writes it into the history.
- **`lease` is a fencing token** (as in chapter 8 of Kleppmann, "Designing Data-Intensive Applications"). It grows
  with each claim, and a completion counts only for the lease it was claimed under: a worker that slept through its
  lease changes nothing.
- **Sets, not rows.** Claiming, completing and expiring are one statement each, whatever their number: round
  trips are what a queue's speed is made of.

Only the database's clock decides what is due, leased or expired: `statement_timestamp()`, which moves on within a
transaction and yet is stable within a statement, as an index needs it. The owner's table has a UUID `id` as its primary
key, the columns of `queue_columns()` and the indexes of `queue_indexes()`.
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
from galaxy_kernel.queue.sql import PENDING, QueueSql

DEPTH = 10_000
"""Rows that `depth` counts up to, unless told otherwise: enough to see a jam, and quick."""
MAX_DETAIL = 500
"""Characters of a detail that are kept."""


class Outcome(StrEnum):
    """How a claim ended."""

    SENT = "sent"
    RETRYING = "retrying"
    """Failed, and worth another try: back-off, or `dead_lettered` when the tries are used up."""
    DEAD_LETTERED = "dead_lettered"
    SKIPPED = "skipped"
    """Ended on purpose without being tried."""
    RELEASED = "released"
    """Handed back untried: burns no attempt."""


_OWN = 5
"""The queue's own columns, which stand first in a claimed row."""
_TRIED = (Outcome.SENT, Outcome.RETRYING, Outcome.DEAD_LETTERED)


class Claim(msgspec.Struct, frozen=True):
    """One row, leased to this worker."""

    id: UUID
    lease: int
    """The fencing token."""
    attempt: int
    """Number of this attempt in the row's whole life, from 1."""
    attempts_in_cycle: int
    """Number of this attempt since the row was made or last requeued, from 1: what back-off grows with."""
    begun: float
    """Monotonic seconds, a little before the claim."""
    deadline: float
    """Monotonic seconds at which the lease ends, rather too early than too late."""
    expires: float
    """Monotonic seconds at which the row expires, rather too early than too late; infinite when it does not."""
    row: Row[Any]
    """The columns that were asked for, by name."""

    @property
    def values(self) -> Sequence[Any]:
        """The columns that were asked for, in their order: ten times as quick as by name."""
        return self.row[_OWN:]


class Result(msgspec.Struct):
    """What became of a claim."""

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
    """A result as the completing statement reads it."""

    id: UUID
    lease: int
    outcome: Outcome
    started_ago: float
    finished_ago: float
    tried: bool
    detail: str = ""
    code: int | None = None
    delay: float = 0.0


def queue_columns(*states: str) -> list[Column[Any]]:
    """Return the queue's columns; further terminal `states` than `sent` and `dead_lettered` may be named."""
    named = ", ".join(f"'{state}'" for state in ("pending", "retrying", "sent", "dead_lettered", *states))
    now = text("now()")
    return [
        Column(
            "state",
            Text,
            CheckConstraint(f"state IN ({named})", name="state"),
            nullable=False,
            server_default="pending",
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


def queue_indexes(table: str, *, wipe: str | None = None) -> list[Index]:
    """Return the queue's indexes: what is due, what expires, and dead letters with a column still to wipe."""
    indexes = [
        Index(f"{table}_due_idx", "next_attempt_at", postgresql_where=text(PENDING)),
        Index(f"{table}_expiring_idx", "expires_at", postgresql_where=text(f"{PENDING} AND expires_at IS NOT NULL")),
    ]
    if wipe is not None:
        unwiped = text(f"state = 'dead_lettered' AND {wipe} IS NOT NULL")
        indexes.append(Index(f"{table}_unwiped_idx", "expires_at", postgresql_where=unwiped))
    return indexes


def history_columns(owner: str, *, code: str = "code") -> list[Column[Any]]:
    """Return the history's columns: `owner` is the one with the row's id, `code` is named by the owner's trade.

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
        lease: timedelta,
        max_attempts: int,
        backoff: Backoff,
        wipe: Sequence[str] = (),
        random: random_module.Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build the statements.

        `backoff` says how long a row waits after the failed attempts of its cycle. `wipe` names columns that are
        emptied when a row is sent or expires.
        """
        self.table, self.history = table, history
        self.lease, self.max_attempts = lease.total_seconds(), max_attempts
        self._backoff = backoff
        self._random = random or random_module.SystemRandom()
        self._monotonic = monotonic
        self._sql = QueueSql(table, history, tuple(wipe))
        self._claims: dict[tuple[Column[Any], ...], TextualSelect] = {}
        self._complete, self._expire, self._revive = self._sql.complete(), self._sql.expire(), self._sql.requeue()
        self._depth = self._sql.depth()

    async def claim(self, connection: Connection, limit: int, *columns: Column[Any]) -> list[Claim]:
        """Lease up to `limit` due rows, the longest due first, and give them with `columns`.

        Never gives a row that has expired. A row whose every try ended with a lost worker is dead-lettered here.
        The claims hold from the commit on: when it fails, forget them, for the same leases may be given out again.
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
        """Record results and their history, and return the ids for which the claim still held.

        The others were claimed again, requeued or ended by somebody else meanwhile: nothing changed for them.
        Recording a result a second time changes nothing either.
        """
        if not results:
            return set()
        now = self._monotonic()
        # In the order of ids, so that two completions wait for each other's rows and do not lock each other out.
        ordered = sorted(results, key=_id_of)
        records = msgspec.json.encode([self._record(result, now) for result in ordered]).decode()
        values = {"results": records, "max_attempts": self.max_attempts}
        stale = (await connection.execute(self._complete, values)).scalars()
        return {result.claim.id for result in results}.difference(stale)

    async def expire(self, connection: Connection, limit: int = 1000) -> int:
        """Dead-letter up to `limit` rows that have expired, wipe expired dead letters, and return how many ended.

        Rows under a live lease are left to their worker: they may have been sent in time.
        """
        return len((await connection.execute(self._expire, {"limit": limit})).all())

    async def requeue(self, connection: Connection, id: UUID) -> bool:  # noqa: A002 - the column's own name
        """Make a row that was not sent due now, with a fresh budget of tries; return whether there was one.

        Attempt numbers go on. A row under a live lease keeps it, so that it is not sent twice.
        """
        return (await connection.execute(self._revive, {"id": id})).first() is not None

    async def depth(self, connection: Connection, limit: int = DEPTH) -> int:
        """Return how many rows have not ended, counting no further than `limit`."""
        return int((await connection.execute(self._depth, {"limit": limit})).scalar_one())

    def state_after(self, result: Result) -> str:
        """Return the state that a result leads to, as far as can be told before it is recorded: for metrics."""
        last = result.outcome is Outcome.RETRYING and result.claim.attempts_in_cycle >= self.max_attempts
        return Outcome.DEAD_LETTERED if last else result.outcome

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
    """Cut a detail and take out what Postgres cannot store or a terminal should not show."""
    cut = detail[:MAX_DETAIL]
    if cut.isprintable():
        return cut
    return "".join(character if character.isprintable() else " " for character in cut)
