"""The change feed: what was committed, for every replica, once each and with nothing left out.

**Writing.** A writer adds its change in its own transaction and *after* the UPDATE, INSERT or DELETE of the row, so
while it holds the lock on that row: the ids of one key grow in the order of the row's versions. An id is therefore the
version of its key. The order of ids of different keys means nothing.

**Reading.** Ids are handed out before the commit, so a reader that remembers the last id it saw skips what commits
late. A reader's position is a snapshot instead (`pg_current_snapshot()`): in one statement, hence in one snapshot, it
reads the rows that are visible now and were not visible then, and the snapshot to go on from. Every commit becomes
visible between exactly two consecutive snapshots, so each change is read once, whatever the order of commits, and a
transaction left open for long delays nobody else's changes (reading in order of transactions, below the oldest open
one, would; a revoked session must not wait for a report). It only makes the range that is looked through longer.
A savepoint makes no difference: `pg_current_xact_id()` is the whole transaction's.

**Positions end** with the server that gave them: after a fail-over transaction ids may be given out again. And they end
when trimmed changes may be missing. Then `read` raises PositionLostError, and the reader begins anew from the tables.

**Trimming.** A change must outlive its *commit*, not its insertion, by the retention, or one that was in the making for
an hour would be gone before anybody read it. So each row says which transactions had ended when it was written
(`horizon`), and what is trimmed is what had ended by then for some row that is old enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import ARRAY, Text, bindparam, text

from galaxy_chassis.errors import GalaxyError
from galaxy_chassis.request_context import request_id
from galaxy_kernel.database import Connection, Database

RETENTION = timedelta(hours=1)
"""How long a change is kept after its commit, at least."""

_PUBLISH = text("""
    INSERT INTO feed_changes (topic, key, payload, request_id)
    SELECT :topic, change.key, change.payload, :request_id
    FROM unnest(:keys, :payloads) WITH ORDINALITY AS change (key, payload, place)
    ORDER BY change.place
    RETURNING id
""").bindparams(
    bindparam("topic", type_=Text), bindparam("request_id", type_=Text),
    bindparam("keys", type_=ARRAY(Text)), bindparam("payloads", type_=ARRAY(Text)),
)  # fmt: skip

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

_TRIM = text("""
    DELETE FROM feed_changes
    WHERE xid < (SELECT max(horizon) FROM feed_changes WHERE at < clock_timestamp() - make_interval(secs => :age))
""")


class PositionLostError(GalaxyError):
    """The feed cannot be read on from this position: begin anew from the tables."""


@dataclass(frozen=True, slots=True)
class Position:
    """A point up to which the feed has been read."""

    snapshot: str
    server: str
    """When the server that gave the snapshot was started: there, and only there, does it mean anything."""
    at: float
    """When, by the server's clock: seconds since 1970."""


class Change(NamedTuple):
    """What became of one key."""

    id: int
    """The version of its key."""
    topic: str
    key: str
    payload: str | None
    """JSON; None: it is gone."""
    request_id: str


class Reading(NamedTuple):
    """What was read, and where to go on."""

    position: Position
    changes: list[Change]
    """By id, so each key's in its order."""


async def publish(connection: Connection, topic: str, changes: Sequence[tuple[str, str | None]]) -> list[int]:
    """Add changes, `(key, payload)`, to the feed with the connection's transaction, and return their ids in this order.

    Call it after the statement that changed the rows, in the same transaction.
    """
    if not changes:
        return []
    keys, payloads = zip(*changes, strict=True)
    parameters = {"topic": topic, "request_id": request_id(), "keys": list(keys), "payloads": list(payloads)}
    return sorted((await connection.execute(_PUBLISH, parameters)).scalars())


async def position(connection: Connection) -> Position:
    """Return the position of the connection's snapshot: in a repeatable-read transaction, of all that it reads."""
    return Position(*(await connection.execute(_POSITION)).one())


class Feed:
    """Reading the feed, and keeping it short."""

    def __init__(self, database: Database, *, retention: timedelta = RETENTION) -> None:
        """Do no I/O."""
        self._database, self._retention = database, retention.total_seconds()

    async def read(self, since: Position) -> Reading:
        """Return what was committed since the position; raise PositionLostError when that cannot be told."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(_READ, {"since": since.snapshot})).all()
        here = Position(*rows[0][:3])
        if here.server != since.server:
            raise PositionLostError("the feed is on another server, or one started anew, since it was last read")
        if here.at - since.at > self._retention / 2:  # half, so that no trimming on its way matters
            raise PositionLostError(f"the feed was last read {here.at - since.at:.0f} s ago, too long to go on")
        return Reading(here, [Change(*row[3:]) for row in rows if row[3] is not None])

    async def trim(self) -> bool:
        """Remove what was committed longer ago than the retention; a worker's pass, with nothing left to do."""
        async with self._database.transaction() as connection:
            await connection.execute(_TRIM, {"age": self._retention})
        return False
