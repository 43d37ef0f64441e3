"""What tests of engines do to a world and see of it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

SOON = timedelta(seconds=10)


async def state(world: Any, game: UUID, *columns: str) -> tuple[Any, ...]:
    """Return columns of a game's record."""
    row: tuple[Any, ...] = (
        await world.rows(f"SELECT {', '.join(columns)} FROM runtime_records WHERE game_id = :id", id=game)
    )[0]
    return row


async def reconciled(world: Any, game: UUID) -> None:
    """Reconcile, and wait for whoever holds the lease on the engine: a pass of the worker may have begun."""
    await world.plugin._passes.reconcile()
    await world.plugin._engines.settle(game)


def held_launches(world: Any) -> tuple[asyncio.Event, asyncio.Event]:
    """Have the host's launches wait; return what is set once one does, and what lets them go on."""
    reached, gate = asyncio.Event(), asyncio.Event()

    async def hold(call: str) -> None:
        if call == "launch":
            reached.set()
            await gate.wait()

    world.host.hook = hold
    return reached, gate


async def asleep(world: Any) -> UUID:
    """Return a game whose engine sleeps and, once it is up, does not make room: its turn is to be tried again."""
    game: UUID = await world.playing(wanted="idle", due_at=datetime.now(UTC))
    return game


def running(world: Any, game: UUID) -> list[int]:
    """Return the generations of a game's engines, those that have ended too."""
    return [seen.id.generation for _, _, seen in world.host.engines.values() if seen.id.game_id == game]
