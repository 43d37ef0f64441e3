"""All SQL of the leased work queue (see `galaxy_kernel.queue.queue`)."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Column, Double, Integer, Table, Text, bindparam, text
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.sql.selectable import TextualSelect

from galaxy_kernel.queue.states import QueueStates

# The states' words are filled in literally, as constants: a planner matches a partial index only by these.

# Rows that are known by id are found by `= ANY (ARRAY (SELECT ...))`, never by a join alone: of an array the planner
# expects few elements and uses the primary key, where for a join of hundreds it scans a table of thousands.

_LOST = """
    INSERT INTO {history} ({owner}, attempt_no, started_at, outcome, detail)
    SELECT id, attempts, claimed_at, 'lost', 'the worker was lost and may have succeeded'
    FROM picked WHERE claimed_at IS NOT NULL
"""
"""Records an attempt that was claimed and never completed."""

_CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT id, attempts, claimed_at FROM {table}
    WHERE {open} AND next_attempt_at <= statement_timestamp()
        AND (expires_at IS NULL OR expires_at > statement_timestamp())
    ORDER BY next_attempt_at LIMIT :limit
    FOR UPDATE SKIP LOCKED
), lost AS ({lost})
UPDATE {table} AS q
SET attempts = q.attempts + 1,
    lease = q.lease + 1,
    claimed_at = statement_timestamp(),
    next_attempt_at = statement_timestamp() + make_interval(secs => :lease)
WHERE q.id = ANY (ARRAY (SELECT id FROM picked))
RETURNING q.id, q.lease, q.attempts, q.attempts - q.attempts_before_resend,
    CAST(extract(epoch FROM q.expires_at - clock_timestamp()) AS double precision){columns}
"""

_AFTER = """CASE r.outcome
        WHEN 'done' THEN {done}
        WHEN 'retrying' THEN CASE WHEN q.attempts - q.attempts_before_resend >= :max_attempts
            THEN {dead_lettered} ELSE {retrying} END
        WHEN 'dead_lettered' THEN {dead_lettered}
        WHEN 'skipped' THEN {skipped}
        WHEN 'released' THEN q.state END"""
"""The state that a result leads to, by its `Outcome`; NULL, which the column refuses, where there is none."""

_COUNTED = "q.attempts - CASE WHEN r.tried THEN 0 ELSE 1 END"
"""The attempts without one that does not count. Those before a resend are no more than these: a row that was resent
while it was claimed has this one among them."""

_COMPLETE = """
WITH results AS (
    SELECT * FROM json_to_recordset(CAST(:results AS json)) AS r(
        id uuid, lease integer, outcome text, started_ago double precision, finished_ago double precision,
        tried boolean, detail text, code integer, delay double precision)
), finished AS (
    UPDATE {table} AS q
    SET state = {after},
        attempts = {counted},
        attempts_before_resend = least(q.attempts_before_resend, {counted}),
        claimed_at = NULL,
        next_attempt_at = CASE WHEN {after} IN ({pending}, {retrying})
            THEN statement_timestamp() + make_interval(secs => coalesce(r.delay, 0)) END,
        finished_at = CASE WHEN {after} NOT IN ({pending}, {retrying}) THEN statement_timestamp() END,
        last_error = CASE WHEN r.outcome <> 'done' THEN coalesce(r.detail, q.last_error) END{wipe_when_done}
    FROM results AS r
    WHERE q.id = ANY (ARRAY (SELECT id FROM results)) AND q.id = r.id
        AND CASE WHEN q.claimed_at IS NOT NULL THEN q.lease = r.lease ELSE false END
    RETURNING r.*, q.state, q.attempts
), attempted AS ({attempted})
SELECT id FROM results WHERE id NOT IN (SELECT id FROM finished)
"""
"""The fence is a CASE so that the planner ignores it: with statistics from a time without claims it expects no claimed
row, and would compare every row found with every result.
"""

_ATTEMPTED = """
    INSERT INTO {history} ({owner}, attempt_no, started_at, finished_at, outcome, {code}, detail)
    SELECT id, attempts, statement_timestamp() - make_interval(secs => started_ago),
        statement_timestamp() - make_interval(secs => finished_ago), state, code, detail
    FROM finished WHERE tried
"""

_RENEW = """
WITH held AS (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:leases AS integer[])) AS r (id, lease))
UPDATE {table} AS q
SET next_attempt_at = statement_timestamp() + make_interval(secs => :seconds)
FROM held AS r
WHERE q.id = ANY (ARRAY (SELECT id FROM held)) AND q.id = r.id
    AND CASE WHEN q.claimed_at IS NOT NULL THEN q.lease = r.lease ELSE false END
RETURNING q.id, q.lease
"""

_EXPIRE = """
WITH picked AS MATERIALIZED (
    SELECT id, attempts, claimed_at FROM {table}
    WHERE {open} AND expires_at <= statement_timestamp()
        AND (claimed_at IS NULL OR next_attempt_at <= statement_timestamp())
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), lost AS ({lost}), wiped AS ({wipe_dead_letters})
UPDATE {table} AS q
SET state = {dead_lettered}, last_error = 'expired', claimed_at = NULL, next_attempt_at = NULL,
    finished_at = statement_timestamp(){wipe}
WHERE q.id = ANY (ARRAY (SELECT id FROM picked))
RETURNING q.id
"""

_WIPE_DEAD_LETTERS = """
    UPDATE {table} SET {emptied} WHERE state = {dead_lettered} AND expires_at <= statement_timestamp() AND ({unwiped})
"""

_REQUEUE = """
UPDATE {table}
SET state = {pending},
    attempts_before_resend = attempts,
    next_attempt_at = CASE WHEN claimed_at IS NOT NULL AND next_attempt_at > statement_timestamp()
        THEN next_attempt_at ELSE statement_timestamp() END,
    finished_at = NULL,
    last_error = NULL
WHERE id = :id AND state <> {done}
RETURNING id
"""

_REOPEN = """
WITH refused AS (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:leases AS integer[])) AS r (id, lease))
UPDATE {table} AS q
SET state = {retrying}, attempts_before_resend = q.attempts_before_resend + 1, finished_at = NULL,
    next_attempt_at = statement_timestamp()
FROM refused AS r
WHERE q.id = ANY (ARRAY (SELECT id FROM refused)) AND q.id = r.id AND q.lease = r.lease
    AND q.claimed_at IS NULL AND q.state IN ({retrying}, {dead_lettered})
RETURNING q.id
"""

_BACKLOG = """
SELECT count(*) AS queued,
    greatest(0, CAST(extract(epoch FROM statement_timestamp() - min(created_at)) AS double precision)) AS oldest_age,
    greatest(0, CAST(extract(epoch FROM statement_timestamp() - min(next_attempt_at)) AS double precision)) AS overdue,
    (SELECT count(*) FROM (SELECT 1 FROM {table} WHERE state = {dead_lettered} LIMIT :limit) AS dead) AS dead_letters
FROM (SELECT created_at, next_attempt_at FROM {table} WHERE {open} ORDER BY next_attempt_at LIMIT :limit) AS queued
"""
"""Both parts are read from partial indexes. `greatest` passes over the NULL of an empty queue."""


class QueueSql:
    """Fills the statements in with the names of one table, its states, its history and its columns to wipe."""

    def __init__(self, table: Table, history: Table | None, states: QueueStates, wipe: tuple[str, ...]) -> None:
        self._id = Column("id", table.c.id.type)
        names = {"table": table.name, "open": states.open} | _literals(states)
        names["counted"] = _COUNTED
        names["after"] = _AFTER.format_map(names)
        names["wipe"] = "".join(f", {name} = NULL" for name in wipe)
        names["wipe_when_done"] = "".join(
            f", {name} = CASE WHEN r.outcome <> 'done' THEN q.{name} END" for name in wipe
        )
        names["emptied"] = ", ".join(f"{name} = NULL" for name in wipe)
        names["unwiped"] = " OR ".join(f"{name} IS NOT NULL" for name in wipe)
        if history is not None:
            names["history"] = history.name
            names |= {column.info["queue"]: column.name for column in history.c if "queue" in column.info}
        nothing = "SELECT 1"
        self._names = names | {
            "lost": nothing if history is None else _LOST.format_map(names),
            "attempted": nothing if history is None else _ATTEMPTED.format_map(names),
            "wipe_dead_letters": _WIPE_DEAD_LETTERS.format_map(names) if wipe else nothing,
        }

    def claim(self, columns: Sequence[Column[Any]]) -> TextualSelect:
        """Parameters: `limit` and `lease` (seconds)."""
        extra = "".join(f", q.{column.name}" for column in columns)
        queue = (
            Column("lease", Integer),
            Column("attempts", Integer),
            Column("tries", Integer),
            Column("left", Double),
        )
        wanted = [Column(column.name, column.type) for column in columns]
        statement = self._text(_CLAIM, columns=extra).bindparams(
            bindparam("limit", type_=BigInteger), bindparam("lease", type_=Double)
        )
        return statement.columns(self._id, *queue, *wanted)

    def complete(self) -> TextualSelect:
        """Parameters: `results` (a JSON array of `galaxy_kernel.queue.queue._Record`) and `max_attempts`."""
        parameters = (bindparam("results", type_=Text), bindparam("max_attempts", type_=Integer))
        return self._text(_COMPLETE).bindparams(*parameters).columns(self._id)

    def renew(self) -> TextualSelect:
        """Takes `ids` and `leases`, in the same order, and `seconds`."""
        parameters = (
            bindparam("ids", type_=ARRAY(self._id.type)),
            bindparam("leases", type_=ARRAY(Integer)),
            bindparam("seconds", type_=Double),
        )
        return self._text(_RENEW).bindparams(*parameters).columns(self._id, Column("lease", Integer))

    def reopen(self) -> TextualSelect:
        """Takes `ids` and `leases`, in the same order."""
        parameters = (bindparam("ids", type_=ARRAY(self._id.type)), bindparam("leases", type_=ARRAY(Integer)))
        return self._text(_REOPEN).bindparams(*parameters).columns(self._id)

    def expire(self) -> TextualSelect:
        """Parameter: `limit`."""
        return self._text(_EXPIRE).bindparams(bindparam("limit", type_=BigInteger)).columns(self._id)

    def requeue(self) -> TextualSelect:
        """Parameter: `id`."""
        return self._text(_REQUEUE).bindparams(bindparam("id", type_=self._id.type)).columns(self._id)

    def backlog(self) -> TextualSelect:
        """Parameter: `limit`."""
        found = (
            Column("queued", BigInteger),
            Column("oldest_age", Double),
            Column("overdue", Double),
            Column("dead_letters", BigInteger),
        )
        return self._text(_BACKLOG).bindparams(bindparam("limit", type_=BigInteger)).columns(*found)

    def _text(self, template: str, **names: str) -> TextClause:
        return text(template.format_map(self._names | names))


def _literals(states: QueueStates) -> dict[str, str]:
    """Return each state as SQL has it; NULL where the queue has no such state."""
    words = {field.name: getattr(states, field.name) for field in fields(states)}
    return {name: "NULL" if word is None else f"'{word}'" for name, word in words.items()}
