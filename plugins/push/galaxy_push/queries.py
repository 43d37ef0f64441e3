"""Every statement of the plugin, as functions of a connection.

**The order of events.** Ids are handed out before the commit, so a reader that remembers the last id it saw skips what
commits late; and one that reads only below the oldest open transaction lets a long transaction hold up revocations. So
events get their numbers after their commit: `number` takes the lock on the one row of `push_state`, and *then*, by a
statement whose snapshot is later than the lock, numbers what it sees committed and without a number. The previous
numbering has committed by then. So numbers become visible in order, without a gap, the same for every reader; and a
transaction left open for long delays only its own events.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, bindparam, delete, select, text

from galaxy_kernel.api import Connection
from galaxy_push.domain import Draft, Standing, StoredEvent
from galaxy_push.tables import push_events, push_state

STALLED = timedelta(seconds=5)
"""Idle time after which Postgres ends the transaction of the process that numbers, so that others continue.
"""
NUMBERED_AT_ONCE = 1000
TRIMMED_AT_ONCE = 1000

_FIELDS = tuple(field.name for field in fields(Draft))

# in the order given, which is that of their ids
_ADD = text("""
    INSERT INTO push_events (key, account_id, session_id, kind, payload, request_id)
    SELECT draft.key, draft.account_id, draft.session_id, draft.kind, draft.payload, draft.request_id
    FROM unnest(CAST(:key AS uuid[]), CAST(:account_id AS uuid[]), CAST(:session_id AS uuid[]), CAST(:kind AS text[]),
        CAST(:payload AS text[]), CAST(:request_id AS text[]))
        WITH ORDINALITY AS draft (key, account_id, session_id, kind, payload, request_id, place)
    ORDER BY draft.place
    ON CONFLICT (key) WHERE key IS NOT NULL DO NOTHING
""").bindparams(
    *(bindparam(name, type_=ARRAY(Uuid)) for name in _FIELDS[:3]),
    *(bindparam(name, type_=ARRAY(Text)) for name in _FIELDS[3:]),
)

_STANDING = select(push_state.c.last_seq, push_state.c.trimmed_seq)

_READ = text("""
    SELECT state.last_seq, state.trimmed_seq, EXISTS (SELECT FROM push_events WHERE seq IS NULL) AS waiting,
        event.seq, event.account_id, event.session_id, event.kind, event.payload, event.request_id
    FROM push_state AS state
    LEFT JOIN LATERAL (
        SELECT * FROM push_events WHERE seq > :after ORDER BY seq LIMIT :limit
    ) AS event ON true
    ORDER BY event.seq
""").columns(account_id=Uuid, session_id=Uuid)

_LOCK = text("""
    SELECT last_seq, set_config('idle_in_transaction_session_timeout', :stalled, true)
    FROM push_state FOR UPDATE OF push_state
""")

# rows locked by another transaction, which removes them, are skipped: numbering never waits
_NUMBER = text("""
    WITH fresh AS MATERIALIZED (
        SELECT id FROM push_events WHERE seq IS NULL ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    ), numbered AS (
        UPDATE push_events AS event
        SET seq = given.seq, numbered_at = clock_timestamp()
        FROM (SELECT id, CAST(:last AS bigint) + row_number() OVER (ORDER BY id) AS seq FROM fresh) AS given
        WHERE event.id = given.id
        RETURNING event.seq
    )
    UPDATE push_state SET last_seq = highest.seq
    FROM (SELECT max(seq) AS seq FROM numbered) AS highest
    WHERE highest.seq IS NOT NULL
    RETURNING last_seq
""")

# the oldest only: trimming always removes the beginning of the stream
_TRIM = text("""
    WITH oldest AS (
        SELECT seq, numbered_at FROM push_events WHERE seq IS NOT NULL ORDER BY seq LIMIT :limit
    ), trimmed AS (
        DELETE FROM push_events
        WHERE seq IN (SELECT seq FROM oldest WHERE numbered_at < clock_timestamp() - make_interval(secs => :age))
        RETURNING seq
    )
    UPDATE push_state SET trimmed_seq = greatest(trimmed_seq, highest.seq)
    FROM (SELECT max(seq) AS seq, count(*) AS number FROM trimmed) AS highest
    WHERE highest.seq IS NOT NULL
    RETURNING highest.number
""")


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of the stream, and how far it reached in the same snapshot."""

    standing: Standing
    waiting: bool
    """Whether there are events without a number."""
    events: Sequence[StoredEvent]


async def add(connection: Connection, drafts: Sequence[Draft]) -> None:
    """Write events with the caller's transaction; those whose key is there already add nothing."""
    await connection.execute(_ADD, {name: [getattr(each, name) for each in drafts] for name in _FIELDS})


async def standing(connection: Connection) -> Standing:
    """Return how far the stream reaches."""
    return Standing(*(await connection.execute(_STANDING)).one())


async def read(connection: Connection, after: int, limit: int) -> Page:
    """Return the events after a number, `limit` at most."""
    rows = (await connection.execute(_READ, {"after": after, "limit": limit})).all()
    last_seq, trimmed_seq, waiting = rows[0][:3]
    events = [StoredEvent(*row[3:]) for row in rows if row[3] is not None]
    return Page(Standing(last_seq, trimmed_seq), waiting, events)


async def number(connection: Connection) -> int:
    """Number events that are committed and have none, after any other numbering, and return the highest number."""
    stalled = f"{STALLED // timedelta(milliseconds=1)}ms"
    last: int = (await connection.execute(_LOCK, {"stalled": stalled})).one().last_seq
    given = await connection.execute(_NUMBER, {"last": last, "limit": NUMBERED_AT_ONCE})
    reached: int | None = given.scalar()
    return last if reached is None else reached


async def trim(connection: Connection, age: timedelta) -> int:
    """Remove the oldest events that were numbered longer ago than that; return how many they were."""
    trimmed = await connection.execute(_TRIM, {"age": age.total_seconds(), "limit": TRIMMED_AT_ONCE})
    return int(trimmed.scalar() or 0)


async def forget_account(connection: Connection, account_id: UUID) -> None:
    """Remove the events for an account."""
    await connection.execute(delete(push_events).where(push_events.c.account_id == account_id))


async def forget_sessions(connection: Connection, session_ids: Iterable[UUID]) -> None:
    """Remove the events for sessions."""
    await connection.execute(delete(push_events).where(push_events.c.session_id.in_(session_ids)))
