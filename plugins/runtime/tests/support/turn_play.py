"""What tests of turns do to a world: orders as the part `orders` writes them, time that passes, and what came of it."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from galaxy_runtime.records.service import TURN_WORKER

LONG = timedelta(days=1, seconds=1)
"""Longer than the interval of `world.playing()`."""


async def send(world: Any, game: UUID, seat: int, orders: list[Any], *, final: bool = False) -> int | None:
    """Store a set of a seat unless orders are closed; return for which turn it is accepted.

    The record shows it, and a game that waits for no more is due.
    """
    stored = await world.rows(
        "WITH r AS (UPDATE runtime_records SET sent = ARRAY(SELECT DISTINCT unnest(sent || CAST(:seat AS smallint))),"
        " final = CASE WHEN :final THEN ARRAY(SELECT DISTINCT unnest(final || CAST(:seat AS smallint))) ELSE final END"
        " WHERE game_id = :game AND orders_closed_at IS NULL RETURNING game_id, epoch, turn)"
        " INSERT INTO runtime_orders (game_id, epoch, turn, seat, orders, final, revision, request_id)"
        " SELECT game_id, epoch, turn, :seat, :orders, :final, 1, 'tests' FROM r RETURNING turn",
        game=game,
        seat=seat,
        final=final,
        orders=json.dumps(orders).encode(),
    )
    if final:
        await world.execute(
            f"UPDATE runtime_records SET next_turn_at = statement_timestamp() + interval '{_seconds(world)}',"
            " trigger = 'final', final_seat = :seat"
            " WHERE game_id = :game AND run_when_final AND final @> awaiting AND cardinality(awaiting) > 0",
            game=game,
            seat=seat,
        )
        wake(world)
    return stored[0][0] if stored else None


async def force(world: Any, game: UUID, *, skip: bool = True) -> None:
    """Write what the operation `force-next-turn` writes."""
    await world.execute(
        f"UPDATE runtime_records SET next_turn_at = statement_timestamp() + interval '{_seconds(world)}',"
        " trigger = 'forced', skip_next = :skip WHERE game_id = :game",
        game=game,
        skip=skip,
    )
    await world.execute(
        "INSERT INTO runtime_operation_log (id, game_id, operation, actor_kind, request_id)"
        " VALUES (gen_random_uuid(), :game, 'force-next-turn', 'operator', 'tests')",
        game=game,
    )
    wake(world)


def wake(world: Any) -> None:
    """Have due turns looked for."""
    world.plugin._context.wakeups.event(TURN_WORKER).set()


def pass_time(world: Any, step: timedelta, *beside: Any) -> None:
    """Let time pass for the database and the process alike, and for replicas `beside` it."""
    world.clock.advance(step)
    for each in (world, *beside):
        each.plugin.time.shift += step
        wake(each)


async def made(world: Any, game: UUID, turn: int) -> Any:
    """Wait for a position; return what the owner of the game heard of it."""
    await world.until(lambda: told(world, game) and told(world, game)[-1].turn >= turn)
    await world.until(lambda: _shown(world, game) is None or _shown(world, game) >= turn)
    return next(each for each in told(world, game) if each.turn == turn)


def told(world: Any, game: UUID) -> list[Any]:
    """Return the positions of a game that its owner heard of."""
    return [each for each in world.table.made if each.game_id == game]


async def state(world: Any, game: UUID) -> dict[str, Any]:
    """Return the newest snapshot of a game, as the double engine writes it."""
    rows = await world.rows(
        "SELECT state FROM runtime_turns WHERE game_id = :game ORDER BY turn DESC LIMIT 1", game=game
    )
    value: dict[str, Any] = json.loads(bytes(rows[0][0]))
    return value


async def record(world: Any, game: UUID, *names: str) -> Any:
    """Return columns of a game's record."""
    rows = await world.rows(f"SELECT {', '.join(names)} FROM runtime_records WHERE game_id = :game", game=game)
    return rows[0] if len(names) > 1 else rows[0][0]


async def shows(world: Any, game: UUID, **columns: Any) -> None:
    """Wait until a game's record has these columns."""
    async with asyncio.timeout(10):
        while await _columns(world, game, columns) != columns:
            await asyncio.sleep(0.01)


async def _columns(world: Any, game: UUID, names: Any) -> dict[str, Any]:
    rows = await world.rows(f"SELECT {', '.join(names)} FROM runtime_records WHERE game_id = :game", game=game)
    return dict(zip(names, rows[0], strict=True))


def _shown(world: Any, game: UUID) -> Any:
    status = world.runtime.status(game)
    return None if status is None else status.turn


def _seconds(world: Any) -> str:
    return f"{world.plugin.time.shift.total_seconds()} seconds"
