"""Every statement about turns that run, as functions of a connection.

Records are locked in the order of ids, or passed over where they are locked already, so that nothing here waits in a
circle. "Now" is the database's clock, shifted only by tests.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    DateTime,
    Float,
    Integer,
    Interval,
    Text,
    Uuid,
    bindparam,
    column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_kernel.api import Connection, prepared, uuid_array
from galaxy_runtime.caches import RECORD, Record
from galaxy_runtime.database_time import NOW, SHIFT
from galaxy_runtime.records.queries import record_of
from galaxy_runtime.tables import runtime_records
from galaxy_runtime.turns.domain import LEASE, DueRecord, HeldRecord, InputRecord

_IDS, _LEASES = bindparam("ids", type_=Text), bindparam("leases", type_=Text)
"""Arrays as text."""
_LEASE = bindparam("lease_time", type_=Interval)
_SPREAD = bindparam("spread", type_=Interval)
_LIMIT = bindparam("limit", type_=Integer)
_records = runtime_records.c
_ROWS = bindparam("rows", type_=JSONB)
_SHOWN = ", ".join(f"r.{each.name}" for each in RECORD)
_AS_JSON = "SELECT CAST(coalesce(json_agg({0}), '[]') AS text) FROM {0}"
"""Rows as one JSON text, which is decoded into structs at once: a third of the time of reading them one by one."""
_RECORDS = msgspec.json.Decoder(list[Record])
_ONE_BY_ONE = msgspec.json.Decoder(list[msgspec.Raw])
_DUE_RECORDS = msgspec.json.Decoder(list[DueRecord], strict=False)
_DUE_RECORD = msgspec.json.Decoder(DueRecord, strict=False)
_HELD_RECORDS = msgspec.json.Decoder(list[HeldRecord], strict=False)
_INPUT = msgspec.json.Decoder(InputRecord, strict=False)
"""Not strict: the lengths of schedules are numbers of seconds."""
_MINE = "unnest(CAST(:ids AS uuid[]), CAST(:leases AS int[])) AS mine (game_id, lease)"
_HELD = """r.game_id = mine.game_id AND r.game_id = ANY (CAST(:ids AS uuid[])) AND r.turn_lease = mine.lease
    AND r.turn_claimed_at IS NOT NULL"""
_GIVEN = "r.game_id = ANY (ARRAY (SELECT game_id FROM new)) AND r.game_id = new.game_id"
"""Joined alone, the planner reads the whole of a small table for each set, and a table of games is small for long; with
the array it takes the primary key."""

_CLAIMABLE = """CASE WHEN r.due_at IS NULL AND r.trigger = 'scheduled' AND CAST(:spread AS interval) > interval '0'
        THEN r.next_turn_at + mod(
            uuid_hash_extended(r.game_id, 0) & 2147483647, CAST(extract(epoch FROM CAST(:spread AS interval)) AS bigint)
        ) * interval '1 second'
        ELSE r.next_turn_at END"""
"""When a turn may be claimed: at its time, or spread over a while after it. The deadline is the same for all."""

_SILENT = """ARRAY (
    SELECT waited.seat FROM unnest(r.awaiting) AS waited (seat)
    WHERE waited.seat <> ALL (r.sent)
        AND NOT coalesce(CAST(r.seats -> CAST(waited.seat AS text) ->> 'machine' AS boolean), false))"""
"""Awaited seats that have sent nothing; the engine's own are never absent."""
_ABSENT = f"CASE WHEN r.due_at IS NOT NULL AND r.absent IS NOT NULL THEN r.absent ELSE {_SILENT} END"

_DUE_COLUMNS = (
    *("game_id", "image", "turn", "seats", "awaiting", "sent", "final", "phase", "schedule", "anchor", "policy"),
    *("policy_options", "trigger", "skip_next", "next_turn_at", "due_at", "made_at", "postponed"),
    *("turn_lease", "turn_attempts", "turn_failure", "wanted", "generation", "address"),
    "turn_claimed_at",
)
_CLAIM = prepared(
    text(f"""
    WITH due AS (
        SELECT {", ".join(f"r.{name}" for name in _DUE_COLUMNS)}, {_ABSENT} AS absent FROM runtime_records AS r
        WHERE r.playing AND r.next_turn_at <= {NOW} AND {_CLAIMABLE} <= {NOW} AND {NOW} <= :latest
        ORDER BY r.next_turn_at LIMIT :limit FOR UPDATE OF r SKIP LOCKED
    ), claimed AS (
        UPDATE runtime_records AS r SET turn_lease = r.turn_lease + 1, turn_claimed_at = {NOW},
            due_at = coalesce(r.due_at, r.next_turn_at), next_turn_at = {NOW} + :lease_time,
            turn_attempts = r.turn_attempts + 1, absent = {_ABSENT},
            orders_closed_at = coalesce(r.orders_closed_at, {NOW})
        WHERE r.game_id = ANY (ARRAY (SELECT game_id FROM due))
    )
    SELECT {NOW} AS now, CAST(json_agg(due) AS text) AS due FROM due
    """)  # noqa: S608  constants
    .bindparams(SHIFT, _SPREAD, _LEASE, bindparam("latest", type_=DateTime(timezone=True)), _LIMIT)
    .columns(column("now", DateTime(timezone=True)), column("due", Text))
)
"""Joined with `due`, the planner reads the whole of a small table; with the array it takes the primary key."""

_BEFORE = ("game_id", "next_turn_at", "due_at", "turn_claimed_at")
_UNCLAIM = text("""
    UPDATE runtime_records AS r SET turn_lease = r.turn_lease - 1, turn_attempts = r.turn_attempts - 1,
        turn_claimed_at = given.turn_claimed_at, next_turn_at = given.next_turn_at, due_at = given.due_at,
        absent = CASE WHEN given.due_at IS NOT NULL THEN r.absent END,
        orders_closed_at = CASE WHEN given.due_at IS NOT NULL THEN r.orders_closed_at END
    FROM jsonb_to_recordset(:rows) AS given (
        game_id uuid, next_turn_at timestamptz, due_at timestamptz, turn_claimed_at timestamptz)
    WHERE r.game_id = given.game_id
    """).bindparams(_ROWS)

_SET_ABSENT = text("""
    UPDATE runtime_records AS r SET absent = given.absent
    FROM jsonb_to_recordset(:rows) AS given (game_id uuid, absent smallint[]) WHERE r.game_id = given.game_id
    """).bindparams(_ROWS)

_SOONEST = prepared(
    text(f"""
    SELECT CAST(extract(epoch FROM least(
        (SELECT min(next_turn_at) FROM runtime_records WHERE playing AND next_turn_at > {NOW}),
        (SELECT min({_CLAIMABLE}) FROM runtime_records AS r WHERE r.playing AND r.next_turn_at <= {NOW})
    ) - :since) AS float8)
    """)  # noqa: S608  constants
    .bindparams(SHIFT, _SPREAD, bindparam("since", type_=DateTime(timezone=True)))
    .columns(column("seconds", Float))
)

_SHOW = (
    text(f"SELECT {_SHOWN} FROM runtime_records AS r WHERE r.game_id = ANY (CAST(:ids AS uuid[]))")  # noqa: S608  constants
    .bindparams(_IDS)
    .columns(*RECORD)
)

_SKIP = (
    text(f"""
    UPDATE runtime_records AS r SET skip_next = false, next_turn_at = new.at, tick_at = new.at
    FROM jsonb_to_recordset(:rows) AS new (game_id uuid, at timestamptz)
    WHERE r.game_id = new.game_id RETURNING {_SHOWN}
    """)  # noqa: S608  constants
    .bindparams(_ROWS)
    .columns(*RECORD)
)

_LOOK_AGAIN = (
    text(f"""
    UPDATE runtime_records AS r SET next_turn_at = {NOW} + :delay
    WHERE r.game_id = ANY (CAST(:ids AS uuid[])) RETURNING {_SHOWN}
    """)  # noqa: S608  constants
    .bindparams(SHIFT, _IDS, bindparam("delay", type_=Interval))
    .columns(*RECORD)
)

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
        RETURNING {_SHOWN}
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


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed turn: what it commits holds only for this lease."""

    game_id: UUID
    turn: int
    lease: int
    attempt: int
    """From 1: of this turn."""
    claimed_at: datetime
    due_at: datetime
    failure: str | None
    """Of the attempt before."""
    image: str

    @classmethod
    def of(cls, due: DueRecord, now: datetime) -> "Claim":
        """Return the claim of a locked game at `now`, as the statement makes it."""
        return cls(
            game_id=due.game_id,
            turn=due.turn,
            lease=due.turn_lease + 1,
            attempt=due.turn_attempts + 1,
            claimed_at=now,
            due_at=due.deadline,
            failure=due.turn_failure,
            image=due.image,
        )

    @property
    def key(self) -> tuple[UUID, int]:
        """The row and its fencing number."""
        return self.game_id, self.lease


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


class UnreadableRecord(msgspec.Struct, frozen=True):
    """A game that was due and is claimed, whose record is not what this process expects."""

    game_id: UUID
    next_turn_at: datetime
    due_at: datetime | None
    turn_claimed_at: datetime | None
    error: str = ""
    """What is wrong with it."""


_UNREADABLE = msgspec.json.Decoder(UnreadableRecord)


class DueGames(msgspec.Struct, frozen=True):
    """Games that were due and are claimed, the longest due first, as they were before."""

    now: datetime
    """The database's time of the claim."""
    due: Sequence[DueRecord] = ()
    unreadable: Sequence[UnreadableRecord] = ()

    @property
    def count(self) -> int:
        """How many games were claimed."""
        return len(self.due) + len(self.unreadable)


async def claim(connection: Connection, latest: datetime, limit: int, spread: timedelta, shift: timedelta) -> DueGames:
    """Claim and return the games that are due, unless it is later than `latest`.

    Their orders close, the attempt counts, and the next look at them is a lease away. Where something else is decided
    of a game, `unclaim` follows in the same transaction.
    """
    values = {"latest": latest, "limit": limit, "spread": spread, "lease_time": LEASE, "shift": shift}
    now, rows = (await connection.execute(_CLAIM, values)).one()
    if rows is None:
        return DueGames(now)
    try:
        return DueGames(now, _DUE_RECORDS.decode(rows))
    except msgspec.ValidationError:
        return _one_by_one(now, rows)


async def unclaim(connection: Connection, games: Sequence[DueRecord | UnreadableRecord]) -> None:
    """Leave games that were claimed in this transaction as they were: nobody has seen the claim."""
    rows = [{name: getattr(game, name) for name in _BEFORE} for game in games]
    await connection.execute(_UNCLAIM, {"rows": rows})


async def show(connection: Connection, games: Collection[UUID]) -> list[Record]:
    """Return what memory is to have of locked games."""
    return [record_of(row) for row in await connection.execute(_SHOW, {"ids": uuid_array(games)})]


async def set_absent(connection: Connection, absent: Mapping[UUID, Sequence[int]]) -> None:
    """Note which seats are absent in games that are claimed, where that is not who has sent nothing."""
    rows = [{"game_id": game_id, "absent": seats} for game_id, seats in absent.items()]
    await connection.execute(_SET_ABSENT, {"rows": rows})


async def seconds_until_due(
    connection: Connection, since: datetime, spread: timedelta, shift: timedelta
) -> float | None:
    """Return how long after `since` the next turn may be claimed; None when no game plays."""
    values = {"since": since, "spread": spread, "shift": shift}
    seconds: float | None = (await connection.execute(_SOONEST, values)).scalar_one()
    return seconds


async def skip(connection: Connection, ticks: Mapping[UUID, datetime]) -> list[Record]:
    """Let locked games pass over the tick that a forced turn has replaced."""
    rows = [{"game_id": str(game_id), "at": at.isoformat()} for game_id, at in ticks.items()]
    return [record_of(row) for row in await connection.execute(_SKIP, {"rows": rows})]


async def look_again(
    connection: Connection, games: Collection[UUID], delay: timedelta, shift: timedelta
) -> list[Record]:
    """Have locked games looked at again after `delay`, as if they had not been looked at."""
    values = {"ids": uuid_array(games), "delay": delay, "shift": shift}
    return [record_of(row) for row in await connection.execute(_LOOK_AGAIN, values)]


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


def _one_by_one(now: datetime, rows: str) -> DueGames:
    """Read each record by itself, so that one which is not as expected holds up no other game."""
    due: list[DueRecord] = []
    unreadable: list[UnreadableRecord] = []
    for row in _ONE_BY_ONE.decode(rows):
        try:
            due.append(_DUE_RECORD.decode(row))
        except msgspec.ValidationError as error:
            unreadable.append(msgspec.structs.replace(_UNREADABLE.decode(row), error=str(error)))
    return DueGames(now, due, unreadable)


def _keys(keys: Sequence[tuple[UUID, int]]) -> dict[str, Any]:
    leases = "{" + ",".join([str(lease) for _, lease in keys]) + "}"
    return {"ids": uuid_array(game_id for game_id, _ in keys), "leases": leases}
