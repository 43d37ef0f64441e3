"""Every statement about claimed turns that run, as functions of a connection.

Records are locked in the order of ids, or passed over where they are locked already, so that nothing here waits in a
circle. "Now" is the database's clock, shifted only by tests.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Integer, Interval, Text, Uuid, bindparam, column, text
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_kernel.api import Connection, prepared, uuid_array
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import NOW, SHIFT
from galaxy_runtime.records.queries import SHOWN
from galaxy_runtime.tables import runtime_records
from galaxy_runtime.turns.domain import LEASE, Claim, HeldRecord, InputRecord

_IDS, _LEASES = bindparam("ids", type_=Text), bindparam("leases", type_=Text)
"""Arrays as text."""
_LEASE = bindparam("lease_time", type_=Interval)
_records = runtime_records.c
_ROWS = bindparam("rows", type_=JSONB)
_AS_JSON = "SELECT CAST(coalesce(json_agg({0}), '[]') AS text) FROM {0}"
"""Rows as one JSON text, which is decoded into structs at once: a third of the time of reading them one by one."""
_RECORDS = msgspec.json.Decoder(list[Record])
_HELD_RECORDS = msgspec.json.Decoder(list[HeldRecord], strict=False)
_INPUT = msgspec.json.Decoder(InputRecord, strict=False)
"""Not strict: the lengths of schedules are numbers of seconds."""
_MINE = "unnest(CAST(:ids AS uuid[]), CAST(:leases AS int[])) AS mine (game_id, lease)"
_HELD = """r.game_id = mine.game_id AND r.game_id = ANY (CAST(:ids AS uuid[])) AND r.turn_lease = mine.lease
    AND r.turn_claimed_at IS NOT NULL"""
_GIVEN = "r.game_id = ANY (ARRAY (SELECT game_id FROM new)) AND r.game_id = new.game_id"
"""Joined alone, the planner reads the whole of a small table for each set, and a table of games is small for long; with
the array it takes the primary key."""

_RENEW = (
    text(f"""
    WITH held AS (
        SELECT r.game_id, r.turn_lease FROM runtime_records AS r JOIN {_MINE} ON {_HELD}
    ), free AS (
        SELECT r.game_id FROM runtime_records AS r JOIN {_MINE} ON {_HELD}
        ORDER BY r.game_id FOR UPDATE OF r SKIP LOCKED
    ), renewed AS (
        UPDATE runtime_records AS r SET next_turn_at = {NOW} + :lease_time FROM free WHERE r.game_id = free.game_id
    )
    SELECT game_id, turn_lease FROM held
    """)  # noqa: S608  constants
    .bindparams(SHIFT, _IDS, _LEASES, _LEASE)
    .columns(_records.game_id, _records.turn_lease)
)
"""A record that somebody has locked is held all the same; its lease is renewed the next time."""

_INPUTS = prepared(
    text(f"""
    WITH held AS (
        SELECT r.game_id, r.turn, r.epoch, r.seats, r.awaiting, r.absent, r.seed, r.trigger, r.final_seat,
            CAST(extract(epoch FROM r.order_lease_until - {NOW}) AS float8) AS order_lease, t.state,
            coalesce(sum(octet_length(t.state)) OVER (
                ORDER BY r.game_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
        FROM runtime_records AS r JOIN {_MINE} ON {_HELD}
        JOIN runtime_turns AS t ON t.game_id = r.game_id AND t.turn = r.turn AND t.superseded_at IS NULL
    )
    SELECT CAST(row_to_json(input) AS text) AS input, convert_from(held.state, 'UTF8') AS state
    FROM held CROSS JOIN LATERAL (
        SELECT held.game_id, held.turn, held.epoch, held.seats, held.awaiting, held.absent, held.seed, held.trigger,
            held.final_seat, held.order_lease, coalesce((
                SELECT json_agg(json_build_array(o.seat, convert_from(o.orders, 'UTF8')) ORDER BY o.seat)
                FROM runtime_orders AS o
                WHERE o.game_id = held.game_id AND o.epoch = held.epoch AND o.turn = held.turn
            ), '[]') AS orders
    ) AS input WHERE held.before <= :bytes
    """)  # noqa: S608  constants
    .bindparams(SHIFT, _IDS, _LEASES, bindparam("bytes", type_=Integer))
    .columns(column("input", Text), column("state", Text))
)
"""As many as have no more than `bytes` of states before them: the first always. What is JSON comes as text: as bytes it
would be hexadecimal digits, twice as long."""

_ORDER_LEASE = text(
    f"SELECT CAST(extract(epoch FROM order_lease_until - {NOW}) AS float8)"  # noqa: S608  constants
    " FROM runtime_records WHERE game_id = :game_id"
).bindparams(SHIFT, bindparam("game_id", type_=Uuid))

_GIVE_BACK = text(f"""
    UPDATE runtime_records SET next_turn_at = {NOW} + :delay, turn_claimed_at = NULL,
        turn_failure = coalesce(CAST(:failure AS text), turn_failure), turn_attempts = turn_attempts - :uncounted
    WHERE game_id = :game_id AND turn_lease = :lease AND turn_claimed_at IS NOT NULL
    """).bindparams(  # noqa: S608  constants
    SHIFT,
    bindparam("game_id", type_=Uuid),
    bindparam("lease", type_=Integer),
    bindparam("delay", type_=Interval),
    bindparam("failure", type_=Text),
    bindparam("uncounted", type_=Integer),
)

_RELEASE = text(f"""
    WITH free AS (
        SELECT r.game_id FROM runtime_records AS r JOIN {_MINE} ON {_HELD}
        ORDER BY r.game_id FOR UPDATE OF r SKIP LOCKED
    )
    UPDATE runtime_records AS r SET next_turn_at = {NOW}, turn_claimed_at = NULL, turn_attempts = r.turn_attempts - 1
    FROM free WHERE r.game_id = free.game_id
    """).bindparams(SHIFT, _IDS, _LEASES)  # noqa: S608  constants

_LOCK_HELD = prepared(
    text(f"""
    WITH held AS (
        SELECT r.game_id, r.seats, r.awaiting, r.trigger, r.schedule, r.anchor, r.due_at, r.skip_next,
            r.remaining IS NOT NULL AS suspended, r.turn_lease, {NOW} AS now
        FROM runtime_records AS r JOIN {_MINE} ON {_HELD} ORDER BY r.game_id FOR UPDATE OF r
    )
    {_AS_JSON.format("held")}
    """).bindparams(SHIFT, _IDS, _LEASES)  # noqa: S608  constants
)

_ADVANCE = prepared(
    text(f"""
    WITH new AS (
        SELECT * FROM jsonb_to_recordset(:rows) AS new (
            game_id uuid, turn int, awaiting smallint[], phase text, seats jsonb, made_at timestamptz,
            playing boolean, ended boolean, next_turn_at timestamptz, tick_at timestamptz, remind_at timestamptz,
            anchor timestamptz, skip_next boolean)
    ), closed AS (
        UPDATE runtime_operation_log AS o SET finished_at = statement_timestamp(),
            outcome = CASE WHEN o.operation = 'force-next-turn' THEN 'succeeded' ELSE 'superseded' END
        FROM new WHERE o.game_id = ANY (ARRAY (SELECT game_id FROM new)) AND o.game_id = new.game_id
            AND o.finished_at IS NULL AND (o.operation = 'force-next-turn' OR new.ended)
    ), thinned AS (
        UPDATE runtime_turns SET state = NULL WHERE id = ANY (ARRAY (
            SELECT (
                SELECT t.id FROM runtime_turns AS t
                WHERE t.game_id = new.game_id AND t.turn = new.turn - :keep AND t.superseded_at IS NULL
                    AND t.state IS NOT NULL
            ) FROM new WHERE new.turn > :keep AND (new.turn - :keep) % 10 <> 0
        ))
    ), advanced AS (
        UPDATE runtime_records AS r SET turn = new.turn, awaiting = new.awaiting, phase = new.phase, seats = new.seats,
            made_at = new.made_at, playing = new.playing, ended = new.ended, next_turn_at = new.next_turn_at,
            tick_at = new.tick_at, remind_at = new.remind_at, anchor = new.anchor, skip_next = new.skip_next,
            ended_at = CASE WHEN new.ended THEN new.made_at END,
            wanted = CASE WHEN new.ended THEN 'down' ELSE r.wanted END,
            sent = '{{}}', final = '{{}}', absent = NULL, due_at = NULL, remaining = NULL, orders_closed_at = NULL,
            turn_claimed_at = NULL, turn_attempts = 0, turn_failure = NULL, postponed = 0, trigger = 'scheduled',
            final_seat = NULL
        FROM new WHERE {_GIVEN}
        RETURNING {SHOWN}
    )
    {_AS_JSON.format("advanced")}
    """).bindparams(_ROWS, bindparam("keep", type_=Integer))  # noqa: S608  constants
)

_THIN = (
    text("""
    WITH games AS (
        SELECT game_id, turn FROM runtime_records WHERE game_id > :after ORDER BY game_id LIMIT :games
    ), old AS (
        SELECT t.id FROM runtime_turns AS t JOIN games ON t.game_id = games.game_id AND t.turn <= games.turn - :keep
        WHERE t.turn % 10 <> 0 AND t.superseded_at IS NULL AND t.state IS NOT NULL
        LIMIT :positions FOR UPDATE OF t SKIP LOCKED
    ), thinned AS (
        UPDATE runtime_turns AS t SET state = NULL FROM old WHERE t.id = old.id RETURNING t.id
    )
    SELECT (SELECT count(*) FROM games) AS games, (SELECT count(*) FROM thinned) AS thinned,
        (SELECT game_id FROM games ORDER BY game_id DESC LIMIT 1) AS last
    """)
    .bindparams(
        bindparam("after", type_=Uuid),
        *(bindparam(name, type_=Integer) for name in ("keep", "games", "positions")),
    )
    .columns(column("games", Integer), column("thinned", Integer), column("last", Uuid))
)

_USE_ORDERS = prepared(
    text("""
    WITH used AS (
        SELECT game_id, epoch, turn, seat, decode(suggested, 'base64') AS suggested, decode(digest, 'base64') AS digest,
            request_id
        FROM jsonb_to_recordset(:rows) AS used (
            game_id uuid, epoch int, turn int, seat smallint, suggested text, digest text, request_id text)
    ), added AS (
        INSERT INTO runtime_orders (game_id, epoch, turn, seat, orders, final, revision, request_id, used_digest)
        SELECT game_id, epoch, turn, seat, suggested, true, 1, request_id, digest FROM used WHERE suggested IS NOT NULL
    )
    UPDATE runtime_orders AS o SET used_digest = used.digest FROM used
    WHERE used.suggested IS NULL AND o.game_id = used.game_id AND o.epoch = used.epoch AND o.turn = used.turn
        AND o.seat = used.seat
    """).bindparams(_ROWS)
)


class UsedOrders(msgspec.Struct, frozen=True, kw_only=True):
    """A set that a turn was made from."""

    game_id: UUID
    epoch: int
    turn: int
    seat: int
    suggested: bytes | None
    """The set, where the engine suggested it just now; None where it is stored already."""
    digest: bytes
    request_id: str


async def renew(connection: Connection, keys: Sequence[tuple[UUID, int]], shift: timedelta) -> list[tuple[UUID, int]]:
    """Renew leases, and return the keys of those that are still held."""
    result = await connection.execute(_RENEW, {**_keys(keys), "lease_time": LEASE, "shift": shift})
    return [(row.game_id, row.turn_lease) for row in result]


async def read_inputs(
    connection: Connection, keys: Sequence[tuple[UUID, int]], most_bytes: int, shift: timedelta
) -> dict[UUID, tuple[InputRecord, bytes]]:
    """Return what claimed turns are computed from, and the states, by game; without those of claims no longer held.

    No more than some of them when the states have more than `most_bytes`, but one at least.
    """
    result = await connection.execute(_INPUTS, {**_keys(keys), "bytes": most_bytes, "shift": shift})
    read = [(_INPUT.decode(record), state.encode()) for record, state in result]
    return {record.game_id: (record, state) for record, state in read}


async def order_lease(connection: Connection, game_id: UUID, shift: timedelta) -> float | None:
    """Return for how many seconds the engine's memory may still be used for orders."""
    result = await connection.execute(_ORDER_LEASE, {"game_id": game_id, "shift": shift})
    seconds: float | None = result.scalar_one_or_none()
    return seconds


async def give_back(
    connection: Connection, held: Claim, delay: timedelta, failure: str | None, shift: timedelta
) -> None:
    """Let a claimed turn be tried again after `delay`, if the claim is held.

    Without a failure the attempt does not count: no engine could be had.
    """
    values = {
        "game_id": held.game_id,
        "lease": held.lease,
        "delay": delay,
        "failure": failure,
        "uncounted": 1 if failure is None else 0,
        "shift": shift,
    }
    await connection.execute(_GIVE_BACK, values)


async def release(connection: Connection, keys: Sequence[tuple[UUID, int]], shift: timedelta) -> None:
    """Return claims that are held, uncounted: whoever looks next takes them up."""
    await connection.execute(_RELEASE, {**_keys(keys), "shift": shift})


async def lock_held(
    connection: Connection, keys: Sequence[tuple[UUID, int]], shift: timedelta
) -> dict[tuple[UUID, int], HeldRecord]:
    """Lock, in the order of ids, the records whose claims are held, and return them by the keys of the claims."""
    document = (await connection.execute(_LOCK_HELD, {**_keys(keys), "shift": shift})).scalar_one()
    return {(record.game_id, record.turn_lease): record for record in _HELD_RECORDS.decode(document)}


async def advance(connection: Connection, rows: Sequence[Mapping[str, Any]], keep: int) -> list[Record]:
    """Move locked games to their next turn; snapshots older than `keep` turns are emptied, but for every tenth."""
    document = (await connection.execute(_ADVANCE, {"rows": rows, "keep": keep})).scalar_one()
    return _RECORDS.decode(document)


async def thin(
    connection: Connection, after: UUID, keep: int, games: int, positions: int
) -> tuple[int, int, UUID | None]:
    """Empty snapshots that `advance` would have emptied by now, of the next games with ids above `after`.

    Return how many games were looked at, how many snapshots were emptied, and the last game.
    """
    values = {"after": after, "keep": keep, "games": games, "positions": positions}
    row = (await connection.execute(_THIN, values)).one()
    return row.games, row.thinned, row.last


async def use_orders(connection: Connection, used: Sequence[UsedOrders]) -> None:
    """Note which sets turns were made from, and keep those that engines suggested."""
    await connection.execute(_USE_ORDERS, {"rows": used})


def _keys(keys: Sequence[tuple[UUID, int]]) -> dict[str, Any]:
    leases = "{" + ",".join([str(lease) for _, lease in keys]) + "}"
    return {"ids": uuid_array(game_id for game_id, _ in keys), "leases": leases}
