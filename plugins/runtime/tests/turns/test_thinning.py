"""Snapshots that are older than is kept are emptied, whenever that changed and whether the game goes on or not."""

from typing import Any
from uuid import UUID

from galaxy_runtime.turns import thinning


async def _positions(world: Any, game: UUID, turns: int) -> None:
    """Write positions up to a turn, all with their states."""
    await world.execute(
        "INSERT INTO runtime_turns (id, game_id, turn, state, state_digest, awaiting, eliminated, finished, trigger,"
        " seed, engine_version_id, generation, request_id)"
        " SELECT gen_random_uuid(), t.game_id, n, t.state, t.state_digest, t.awaiting, t.eliminated, false,"
        " 'scheduled', t.seed, t.engine_version_id, 1, 'tests' FROM runtime_turns AS t, generate_series(1, :turns) AS n"
        " WHERE t.game_id = :game AND t.turn = 0",
        game=game,
        turns=turns,
    )
    await world.execute("UPDATE runtime_records SET turn = :turns WHERE game_id = :game", game=game, turns=turns)


async def _kept(world: Any, game: UUID) -> list[int]:
    rows = await world.rows(
        "SELECT turn FROM runtime_turns WHERE state IS NOT NULL AND game_id = :game ORDER BY turn", game=game
    )
    return [turn for (turn,) in rows]


async def _round(world: Any) -> int:
    """Run a round of the worker, and return how many passes it took."""
    worker, passes = thinning.Thinning(world.plugin._context), 1
    while await worker.run() is not None:
        passes += 1
    return passes


async def test_fewer_snapshots_empty_older_ones(make_world: Any, monkeypatch: Any) -> None:
    """What was kept before the setting was lowered goes, set by set, in games that have ended too."""
    monkeypatch.setattr(thinning, "_GAMES", 2)
    monkeypatch.setattr(thinning, "_POSITIONS", 7)
    world = await make_world(keep_snapshots="3")
    games = [await world.playing() for _ in range(3)]
    for game in games:
        await _positions(world, game, 25)
    await world.execute("UPDATE runtime_records SET ended = true WHERE game_id = :game", game=games[0])
    assert await _round(world) > 3
    assert [await _kept(world, game) for game in games] == [[0, 10, 20, 23, 24, 25]] * 3


async def test_what_is_kept_stays(make_world: Any) -> None:
    """Neither a round nor a setting that was raised touches newer positions, or those of games at their start."""
    world = await make_world(keep_snapshots="100")
    game, new = await world.playing(), await world.playing()
    await _positions(world, game, 25)
    assert await _round(world) == 1
    assert (await _kept(world, game), await _kept(world, new)) == (list(range(26)), [0])
