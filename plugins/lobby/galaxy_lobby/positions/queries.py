"""Statements about several games at once, since turns are committed in sets."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from uuid import UUID

import msgspec
from sqlalchemy import Text, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from galaxy_kernel.api import Connection, prepared, request_id, uuid_array
from galaxy_lobby.caches import in_order
from galaxy_lobby.domain import LIVE, Game, Membership
from galaxy_lobby.positions.domain import Outcome
from galaxy_lobby.queries import MEMBERSHIP

_MEMBERS = prepared(
    text(f"""
    SELECT CAST(coalesce(json_agg(m), '[]') AS text) FROM (
        SELECT {", ".join(column.name for column in MEMBERSHIP)} FROM memberships
        WHERE game_id = ANY (CAST(:games AS uuid[])) AND state IN ({", ".join(f"'{state}'" for state in LIVE)})
    ) AS m
""").bindparams(bindparam("games", type_=Text))  # noqa: S608  constants
)
"""As one JSON document: a turn reads each of its game's members, which is quicker than as rows."""

_CHANGE_GAMES = prepared(
    text("""
    WITH new AS (
        SELECT * FROM jsonb_to_recordset(:rows) AS new (
            id uuid, state text, pause_reason text, state_changed_at timestamptz, turn int, phase text,
            awaiting smallint[], next_turn_at timestamptz, idle_turns int, started_at timestamptz,
            finished_at timestamptz, result jsonb)
    )
    UPDATE games AS g SET state = new.state, pause_reason = new.pause_reason, state_changed_at = new.state_changed_at,
        turn = new.turn, phase = new.phase, awaiting = new.awaiting, next_turn_at = new.next_turn_at,
        idle_turns = new.idle_turns, started_at = new.started_at, finished_at = new.finished_at,
        result = coalesce(new.result, g.result), version = g.version + 1,
        request_id = :request_id
    FROM new WHERE g.id = ANY (ARRAY (SELECT id FROM new)) AND g.id = new.id
""").bindparams(bindparam("rows", type_=JSONB), bindparam("request_id", type_=Text))
)

_CHANGE_MEMBERS = text("""
    UPDATE memberships AS m SET state = new.state, missed = new.missed, missed_in_row = new.missed_in_row,
        ended_at = CASE WHEN new.state = 'finished' THEN CAST(:now AS timestamptz) END, request_id = :request_id
    FROM jsonb_to_recordset(:rows) AS new (id uuid, state text, missed int, missed_in_row int)
    WHERE m.id = new.id
""").bindparams(bindparam("rows", type_=JSONB), bindparam("request_id", type_=Text), bindparam("now", type_=Text))

_MEMBERSHIPS = msgspec.json.Decoder(list[Membership])
_OF_GAME = (
    *("id", "state", "pause_reason", "state_changed_at", "turn", "phase", "awaiting", "next_turn_at", "idle_turns"),
    *("started_at", "finished_at"),
)
_OF_MEMBER = ("id", "state", "missed", "missed_in_row")


async def find_members_of(connection: Connection, game_ids: Collection[UUID]) -> dict[UUID, list[Membership]]:
    """Return who is in each of these games."""
    found: dict[UUID, list[Membership]] = defaultdict(list)
    document = (await connection.execute(_MEMBERS, {"games": uuid_array(game_ids)})).scalar_one()
    for member in _MEMBERSHIPS.decode(document):
        found[member.game_id].append(member)
    return {game_id: in_order(members) for game_id, members in found.items()}


async def write(connection: Connection, outcomes: Sequence[Outcome], now: str) -> list[Game]:
    """Write what positions change in locked games, and who plays them; return the games as they are."""
    rows = [
        {name: getattr(each.game, name) for name in _OF_GAME} | {"result": each.result or None} for each in outcomes
    ]
    await connection.execute(_CHANGE_GAMES, {"rows": rows, "request_id": request_id()})
    members = [{name: getattr(member, name) for name in _OF_MEMBER} for each in outcomes for member in each.changed]
    if members:
        await connection.execute(_CHANGE_MEMBERS, {"rows": members, "request_id": request_id(), "now": now})
    return [msgspec.structs.replace(each.game, version=each.game.version + 1) for each in outcomes]
