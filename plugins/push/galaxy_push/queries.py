"""Every statement of the plugin, as functions of a connection.

**The order of events.** Ids are handed out before the commit, so a reader that remembers the last id it saw skips what
commits late; and one that reads only below the oldest open transaction lets a long transaction hold up revocations. So
events get their numbers after their commit: `number` takes the lock on the one row of `push_state`, and *then*, by a
statement whose snapshot is later than the lock, numbers what it sees committed and without a number. The previous
numbering has committed by then. So numbers become visible in order, without a gap, the same for every reader; and a
transaction left open for long delays only its own events.

**Generations.** A database that is restored, or a standby that takes over without the last commits, would assign
numbers again that gateways know. So the numbers belong to a generation, a random value in `push_state`. Whoever takes
the lock (`follow`) begins a new one, in the same transaction as the next numbering, when it finds either of two signs:
the numbers end before one that it has seen itself, or the place where they are kept is another one than noted.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, bindparam, delete, select, text
from sqlalchemy.exc import DBAPIError

from galaxy_kernel.api import Connection, is_unavailable
from galaxy_push.domain import MAX_CURSOR, Cursor, Draft, Range, Standing, StoredEvent
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

_STANDING = select(push_state.c.generation, push_state.c.last_seq, push_state.c.trimmed_seq)

_READ = text("""
    SELECT state.generation, state.last_seq, state.trimmed_seq,
        EXISTS (SELECT FROM push_events WHERE seq IS NULL) AS waiting,
        event.seq, event.account_id, event.session_id, event.kind, event.payload, event.request_id
    FROM push_state AS state
    LEFT JOIN LATERAL (
        SELECT * FROM push_events WHERE seq > :after ORDER BY seq LIMIT :limit
    ) AS event ON true
    ORDER BY event.seq
""").columns(account_id=Uuid, session_id=Uuid)

# each branch is an ordered scan of its own index that ends at the limit; what exceeds the bytes is not fetched
_REPLAY = text("""
    SELECT state.generation, state.last_seq, state.trimmed_seq, event.found,
        event.seq, event.account_id, event.session_id, event.kind, event.payload, event.request_id
    FROM push_state AS state
    LEFT JOIN LATERAL (
        SELECT *, count(*) OVER () AS found, sum(octet_length(payload)) OVER (ORDER BY seq) AS size
        FROM (
            (SELECT * FROM push_events
             WHERE account_id = :account_id AND seq > :after AND seq <= :up_to ORDER BY seq LIMIT :limit)
            UNION ALL
            (SELECT * FROM push_events
             WHERE session_id = :session_id AND seq > :after AND seq <= :up_to ORDER BY seq LIMIT :limit)
            ORDER BY seq LIMIT :limit
        ) AS one
    ) AS event ON event.size - octet_length(event.payload) < :bytes
    ORDER BY event.seq
""").columns(account_id=Uuid, session_id=Uuid)
_REPLAY = _REPLAY.bindparams(bindparam("account_id", type_=Uuid), bindparam("session_id", type_=Uuid))

_LOCK = text("""
    SELECT generation, last_seq, trimmed_seq, origin, CAST(pg_postmaster_start_time() AS text) AS server,
        set_config('idle_in_transaction_session_timeout', :stalled, true)
    FROM push_state FOR UPDATE OF push_state
""")

_PLACE = text("""
    SELECT concat_ws('/', (SELECT oid FROM pg_database WHERE datname = current_database()),
        CAST(CAST('push_state' AS regclass) AS oid))
""")

# the timeline of what is written now: pg_control_checkpoint() has it only from the first checkpoint after a promotion
_SERVER = text("""
    SELECT concat_ws('/', system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8)) FROM pg_control_system()
""")

_BEGIN = text("UPDATE push_state SET generation = :generation, trimmed_seq = last_seq, origin = :origin")
_NOTE = text("UPDATE push_state SET origin = :origin")

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
class Seen:
    """What a process knows of the stream from before."""

    end: Cursor | None = None
    """The furthest cursor that it has seen assigned."""
    server: str = ""
    """The run of the server on which it has compared the origin."""


@dataclass(frozen=True, slots=True)
class Followed:
    """The stream under the lock."""

    standing: Standing
    seen: Seen
    """What the process knows from now on."""
    renewed: bool
    """Whether a new generation has begun."""


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of the stream, and how far it reached in the same snapshot."""

    standing: Standing
    waiting: bool
    """Whether there are events without a number."""
    events: Sequence[StoredEvent]


@dataclass(frozen=True, slots=True)
class Replayed:
    """The events in a range, as many as one answer holds."""

    standing: Standing
    events: Sequence[StoredEvent]
    more: bool
    """Whether there are others in the range, after these."""


async def add(connection: Connection, drafts: Sequence[Draft]) -> None:
    """Write events with the caller's transaction; those whose key is there already add nothing."""
    await connection.execute(_ADD, {name: [getattr(each, name) for each in drafts] for name in _FIELDS})


async def standing(connection: Connection) -> Standing:
    """Return how far the stream reaches."""
    return Standing(*(await connection.execute(_STANDING)).one())


async def read(connection: Connection, after: int, limit: int) -> Page:
    """Return the events after a number, `limit` at most."""
    rows = (await connection.execute(_READ, {"after": after, "limit": limit})).all()
    waiting = rows[0][3]
    events = [StoredEvent(*row[4:]) for row in rows if row[4] is not None]
    return Page(Standing(*rows[0][:3]), waiting, events)


async def replay(connection: Connection, wanted: Range, max_bytes: int) -> Replayed:
    """Return the first events in a range, with payloads of about `max_bytes` at most, but one event at least.

    What it says of the stream is of the same moment: a range that is known then is complete.
    """
    values = {
        "account_id": wanted.account_id,
        "session_id": wanted.session_id,
        "after": wanted.after.number,
        "up_to": MAX_CURSOR if wanted.up_to is None else wanted.up_to.number,
        "limit": wanted.limit + 1,
        "bytes": max_bytes,
    }
    rows = (await connection.execute(_REPLAY, values)).all()
    events = [StoredEvent(*row[4:]) for row in rows[: wanted.limit] if row[4] is not None]
    return Replayed(Standing(*rows[0][:3]), events, more=(rows[0].found or 0) > len(events))


async def follow(connection: Connection, seen: Seen) -> Followed:
    """Lock the stream until the end of the transaction, and begin a new generation if it is not what it was.

    That is so when it ends before what was seen, or when it is kept elsewhere than noted. The latter is looked up once
    for each run of the server: only a restart, or another server, changes it.
    """
    stalled = f"{STALLED // timedelta(milliseconds=1)}ms"
    row = (await connection.execute(_LOCK, {"stalled": stalled})).one()
    standing = Standing(*row[:3])
    origin = row.origin if row.server == seen.server else await _origin(connection)
    renewed = row.origin not in (None, origin) or (seen.end is not None and standing.was_set_back(seen.end))
    if renewed:
        standing = Standing(secrets.token_hex(6), standing.last_seq, standing.last_seq)
        await connection.execute(_BEGIN, {"generation": standing.generation, "origin": origin})
    elif row.origin is None:
        await connection.execute(_NOTE, {"origin": origin})
    return Followed(standing, Seen(standing.end, row.server), renewed)


async def number(connection: Connection, seen: Seen) -> Followed:
    """Number events that are committed and have none, after any other numbering, and return how far that reached."""
    followed = await follow(connection, seen)
    standing = followed.standing
    given = await connection.execute(_NUMBER, {"last": standing.last_seq, "limit": NUMBERED_AT_ONCE})
    reached: int | None = given.scalar()
    if reached is None:
        return followed
    standing = replace(standing, last_seq=reached)
    return Followed(standing, replace(followed.seen, end=standing.end), followed.renewed)


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


async def _origin(connection: Connection) -> str:
    """Return where the stream is kept: database and table, with server and timeline where one may ask for them."""
    place: str = (await connection.execute(_PLACE)).scalar_one()
    try:
        async with connection.begin_nested():
            return f"{(await connection.execute(_SERVER)).scalar_one()}/{place}"
    except DBAPIError as error:
        if is_unavailable(error):
            raise
        return place  # a hosted server may refuse these functions
