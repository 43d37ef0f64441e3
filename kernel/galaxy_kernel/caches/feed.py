"""The change feed: every committed change, for every replica, once each.

**Writing.** A writer adds its change in its own transaction and *after* the UPDATE, INSERT or DELETE of the row, so
while it holds the lock on that row: the ids of one key grow in the order of the row's versions. An id is therefore the
version of its key. The order of ids of different keys means nothing.

**Reading.** Ids are handed out before the commit, so a reader that remembers the last id it saw skips what commits
late. A reader's position is a snapshot instead (`pg_current_snapshot()`): in one statement, hence in one snapshot, it
reads the rows that are visible now and were not visible then, and the snapshot to continue from. Every commit becomes
visible between exactly two consecutive snapshots, so each change is read once, whatever the order of commits, and a
transaction left open for long delays no other changes (reading in order of transactions, below the oldest open one,
would; a revoked session must not wait for a report). It only makes the range to search longer. A savepoint
makes no difference: `pg_current_xact_id()` is the whole transaction's.

**Positions end** with the server that issued them: after a fail-over transaction ids may be issued again. They also end
when trimmed changes may be missing. Then `read` raises PositionLostError, and the reader loads the tables again.

**Erasing.** A row that is deleted, or from which personal data was removed, must not live on in its older changes.
`erase` deletes them with the writer's transaction: a reader that has not come to them yet needs the newest alone.

**Trimming.** A change must outlive its *commit*, not its insertion, by the retention, or a change whose transaction
took an hour would be gone before it was read. So each row says which transactions had ended when it was written
(`horizon`), and what is trimmed is what had ended by then for some row that is old enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import msgspec
from sqlalchemy import ARRAY, Text, bindparam, text

from galaxy_chassis.errors import GalaxyError
from galaxy_chassis.request_context import request_id
from galaxy_kernel.database import Connection, Database, prepared
from galaxy_kernel.passes import found_work

RETENTION = timedelta(hours=1)
"""How long a change is kept after its commit, at least."""

_PUBLISH = prepared(
    text("""
    INSERT INTO feed_changes (topic, key, payload, request_id)
    SELECT :topic, change.key, change.payload, :request_id
    FROM ROWS FROM (
        json_array_elements_text(CAST(:keys AS json)), unnest(string_to_array(:payloads, E'\\n', ''))
    ) WITH ORDINALITY AS change (key, payload, place)
    ORDER BY change.place
    RETURNING id
""").bindparams(*(bindparam(name, type_=Text) for name in ("topic", "request_id", "keys", "payloads")))
)
"""The changes travel as two texts: as arrays of a hundred they took a quarter longer with aiopg, twice with psycopg."""

_ERASE = text("DELETE FROM feed_changes WHERE topic = :topic AND key = ANY(:keys)").bindparams(
    bindparam("topic", type_=Text), bindparam("keys", type_=ARRAY(Text))
)

_HERE = """
    (SELECT CAST(pg_current_snapshot() AS text) AS snapshot, CAST(pg_postmaster_start_time() AS text) AS server,
            CAST(extract(epoch FROM clock_timestamp()) AS float8) AS at) AS here
"""

_POSITION = text(f"SELECT here.* FROM {_HERE}")  # noqa: S608  a constant of ours

_READ = text(f"""
    SELECT here.*, change.id, change.topic, change.key, change.payload, change.request_id
    FROM {_HERE}
    LEFT JOIN feed_changes AS change
        ON change.xid >= pg_snapshot_xmin(CAST(:since AS pg_snapshot))
        AND NOT pg_visible_in_snapshot(change.xid, CAST(:since AS pg_snapshot))
    ORDER BY change.id
""").bindparams(bindparam("since", type_=Text))  # noqa: S608  a constant of ours

# it skips what a writer is just erasing: waiting for each other, the two could deadlock
_TRIM = text("""
    DELETE FROM feed_changes WHERE id IN (
        SELECT id FROM feed_changes
        WHERE xid < (SELECT max(horizon) FROM feed_changes WHERE at < clock_timestamp() - make_interval(secs => :age))
        FOR UPDATE SKIP LOCKED
    )
""")


class PositionLostError(GalaxyError):
    """The feed cannot be read from this position: load the tables again."""


@dataclass(frozen=True, slots=True)
class Position:
    """A point up to which the feed has been read."""

    snapshot: str
    server: str
    """The start time of the server that issued the snapshot, which is valid on that server only."""
    at: float
    """When, by the server's clock: seconds since 1970."""


class Change(NamedTuple):
    """A change of one key."""

    id: int
    """The version of its key."""
    topic: str
    key: str
    payload: str | None
    """JSON; None for a deleted row."""
    request_id: str


class Reading(NamedTuple):
    """Changes, and the position to continue from."""

    position: Position
    changes: list[Change]
    """By id, so each key's in its order."""


async def publish(connection: Connection, topic: str, changes: Sequence[tuple[str, str | None]]) -> list[int]:
    """Add changes, `(key, payload)`, to the feed with the connection's transaction, and return their ids in this order.

    Call it after the statement that changed the rows, in the same transaction. A payload is JSON on one line.
    """
    if not changes:
        return []
    keys = msgspec.json.encode([key for key, _ in changes]).decode()
    payloads = "\n".join(payload or "" for _, payload in changes)
    parameters = {"topic": topic, "request_id": request_id(), "keys": keys, "payloads": payloads}
    return sorted((await connection.execute(_PUBLISH, parameters)).scalars())


async def erase(connection: Connection, topic: str, keys: Sequence[str]) -> None:
    """Delete the changes of these keys so far, with the connection's transaction.

    Call it between the statement that changed the rows, which are locked by it, and `publish`.
    """
    await connection.execute(_ERASE, {"topic": topic, "keys": list(keys)})


async def position(connection: Connection) -> Position:
    """Return the position of the connection's snapshot: that of all reads of a repeatable-read transaction."""
    return Position(*(await connection.execute(_POSITION)).one())


class Feed:
    """Reads the feed, and trims it."""

    def __init__(self, database: Database, *, retention: timedelta = RETENTION) -> None:
        """Do no I/O."""
        self._database, self._retention = database, retention.total_seconds()

    async def read(self, since: Position) -> Reading:
        """Return the changes committed since the position. Raise PositionLostError when they may be incomplete."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(_READ, {"since": since.snapshot})).all()
        here = Position(*rows[0][:3])
        if here.server != since.server:
            raise PositionLostError("the feed is on another server, or one restarted, since it was last read")
        if here.at - since.at > self._retention / 2:  # half, so that a concurrent trimming does not matter
            raise PositionLostError(f"the feed was last read {here.at - since.at:.0f} s ago, too long to continue")
        return Reading(here, [Change(*row[3:]) for row in rows if row[3] is not None])

    async def trim(self) -> bool:
        """Remove what was committed longer ago than the retention; a worker's pass, with nothing left to do."""
        async with self._database.transaction() as connection:
            trimmed = await connection.execute(_TRIM, {"age": self._retention})
            found_work(trimmed.rowcount)
        return False
