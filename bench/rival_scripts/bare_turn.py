"""The rows of turns, written by asyncpg alone: in sets, one transaction each, or one turn a transaction.

What is written is what ours leaves behind: the record, the position with its reports, what became of the orders, the
lobby's row, one notification with a route for each seat and channel, and three changes of the feed. There is no claim,
lease or fence, and no engine: a set is locked, read, and written in one transaction. It runs in the rivals' environment
too, as the work of a job.
"""

import hashlib
import json
import uuid
from typing import Any

LOCK = """
    SELECT r.game_id, r.turn, r.awaiting, r.seats::text AS seats, t.state
    FROM runtime_records AS r
    JOIN runtime_turns AS t ON t.game_id = r.game_id AND t.turn = r.turn AND t.superseded_at IS NULL
    WHERE r.playing AND r.next_turn_at <= now() ORDER BY r.next_turn_at LIMIT $1 FOR UPDATE OF r SKIP LOCKED
"""
ONE = LOCK.replace("r.next_turn_at <= now() ORDER BY r.next_turn_at LIMIT $1", "r.game_id = $1")
ORDERS = """
    SELECT o.game_id, o.seat, o.orders FROM unnest($1::uuid[], $2::int[]) AS g (game_id, turn)
    JOIN runtime_orders AS o ON o.game_id = g.game_id AND o.epoch = 0 AND o.turn = g.turn
"""
TURNS = """
    INSERT INTO runtime_turns (id, game_id, turn, state, state_digest, awaiting, eliminated, finished, trigger, due_at,
        claimed_at, duration_ms, seed, engine_version_id, generation, request_id)
    SELECT id, game_id, turn, state, digest, '{1,2,3,4}', '{}', false, 'scheduled', now(), now(), 0, 'seed',
        game_id, 1, 'bare'
    FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::bytea[], $5::bytea[]) AS t (id, game_id, turn, state, digest)
"""
REPORTS = """
    INSERT INTO runtime_reports (turn_id, seat, game_id, turn, report)
    SELECT t.id, seat, t.game_id, t.turn, $4 FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS t (id, game_id, turn),
        generate_series(1, 4) AS seat
"""
RECORDS = """
    UPDATE runtime_records AS r SET turn = t.turn, sent = '{}', next_turn_at = now() + interval '1 day',
        tick_at = now() + interval '1 day', remind_at = now() + interval '18 hours', made_at = now()
    FROM unnest($1::uuid[], $2::int[]) AS t (game_id, turn) WHERE r.game_id = t.game_id
"""
USED = """
    UPDATE runtime_orders AS o SET used_digest = u.digest FROM unnest($1::uuid[], $2::int[], $3::int[], $4::bytea[])
        AS u (game_id, turn, seat, digest)
    WHERE o.game_id = u.game_id AND o.epoch = 0 AND o.turn = u.turn AND o.seat = u.seat
"""
GAMES = """
    UPDATE games AS g SET turn = t.turn, next_turn_at = now() + interval '1 day', version = version + 1
    FROM unnest($1::uuid[], $2::int[]) AS t (game_id, turn) WHERE g.id = t.game_id
"""
NOTES = """
    INSERT INTO notifications (id, kind, idempotency_key, payload, request_id)
    SELECT t.id, 'lobby.turn_ready', t.key, '{"game_id":"g","game":"Game","turn":7,"next_turn_at":"2030"}', 'bare'
    FROM unnest($1::uuid[], $2::text[]) AS t (id, key) ON CONFLICT (kind, idempotency_key) DO NOTHING
"""
ROUTES = """
    INSERT INTO notification_routes (id, notification_id, kind, account_id, channel, request_id)
    SELECT r.id, r.intent, 'lobby.turn_ready', r.account, r.channel, 'bare'
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) AS r (id, intent, account, channel)
"""
MEMBERS = "SELECT game_id, account_id FROM memberships WHERE game_id = ANY($1::uuid[]) AND state = 'playing'"
FEED = """
    INSERT INTO feed_changes (topic, key, payload, request_id)
    SELECT 'bare', f.key, f.payload, 'bare' FROM unnest($1::text[], $2::text[]) AS f (key, payload)
"""
REPORT = b'{"text":"' + b"What this seat sees of the turn. " * 8 + b'"}'


async def turns(connection: Any, statement: str, argument: object) -> int:
    """Run the turns that a statement locks, in one transaction; return how many."""
    async with connection.transaction():
        rows = await connection.fetch(statement, argument)
        if not rows:
            return 0
        games, old = [row["game_id"] for row in rows], [row["turn"] for row in rows]
        ids, new = [uuid.uuid4() for _ in rows], [turn + 1 for turn in old]
        used = await connection.fetch(ORDERS, games, old)
        members = await connection.fetch(MEMBERS, games)
        states = [row["state"] for row in rows]
        digests = [hashlib.sha256(state).digest() for state in states]
        await connection.execute(TURNS, ids, games, new, states, digests)
        await connection.execute(REPORTS, ids, games, new, REPORT)
        await connection.execute(RECORDS, games, new)
        turn_of = dict(zip(games, old, strict=True))
        sets = [(row["game_id"], turn_of[row["game_id"]], row["seat"], row["orders"]) for row in used]
        columns = [list(column) for column in zip(*sets, strict=True)]
        await connection.execute(USED, *columns[:3], [hashlib.sha256(each).digest() for each in columns[3]])
        await connection.execute(GAMES, games, new)
        intents = {game: uuid.uuid4() for game in games}
        keys = [f"{game}:turn_ready:{turn}" for game, turn in zip(games, new, strict=True)]
        await connection.execute(NOTES, list(intents.values()), keys)
        routes = [(uuid.uuid4(), intents[each["game_id"]], each["account_id"], channel)
                  for each in members for channel in ("email", "push")]  # fmt: skip
        await connection.execute(ROUTES, *[list(column) for column in zip(*routes, strict=True)])
        payload = json.dumps({"row": "x" * 400})
        await connection.execute(FEED, [str(game) for game in games] * 3, [payload] * (3 * len(games)))
    return len(rows)
