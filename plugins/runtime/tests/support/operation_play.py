"""What tests of operations do to a world: games that were started, and their records."""

from typing import Any
from uuid import UUID


async def started(world: Any, **fields: Any) -> UUID:
    """Return a game that was started as its owner does it."""
    launch = world.a_launch(**fields)
    row = await world.finished(await world.launch(launch))
    assert (row.outcome, row.error) == ("succeeded", None)
    game: UUID = launch.game_id
    return game


async def whole_record(world: Any, game: UUID) -> Any:
    """Return a game's record."""
    return (await world.execute("SELECT * FROM runtime_records WHERE game_id = :id", id=game)).one()
