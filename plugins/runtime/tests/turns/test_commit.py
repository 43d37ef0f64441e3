"""Turns that are computed are committed in sets, and none is forgotten."""

import asyncio
from types import SimpleNamespace
from typing import Any

import structlog
from structlog.testing import capture_logs

from galaxy_runtime.turns import commit


def _commits(write: Any) -> Any:
    """Return commits that write by `write(turns)`."""
    context: Any = SimpleNamespace(log=structlog.get_logger())
    nothing: Any = None
    made: Any = commit.Commits(context, nothing, nothing, nothing)
    made._write = write
    return made


def _turn(game: int) -> Any:
    return SimpleNamespace(size=1, claim=SimpleNamespace(key=game))


async def test_a_turn_that_comes_as_the_last_transactions_end_is_committed() -> None:
    """Both tasks have looked for the last time, and count no more as those that will commit it."""
    go_on = asyncio.Event()

    async def write(turns: Any) -> set[int]:
        await go_on.wait()
        return {each.claim.key for each in turns}

    commits = _commits(write)

    async def late() -> None:
        await go_on.wait()
        assert await commits.commit(_turn(3))

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for game in (1, 2):
            tasks.create_task(commits.commit(_turn(game)))
            await asyncio.sleep(0.01)  # until it is being written
        tasks.create_task(late())
        await asyncio.sleep(0.01)
        go_on.set()


async def test_a_turn_that_fails_after_its_claim_is_lost_keeps_no_other_from_its_commit() -> None:
    """Its error has nobody to hear it, and the rest of the set goes on."""
    tasks: list[asyncio.Task[bool]] = []

    async def write(turns: Any) -> set[int]:
        games = {each.claim.key for each in turns}
        if games == {1}:
            tasks[0].cancel()
            await asyncio.sleep(0)
        if 1 in games:
            raise ValueError("of the first game")
        return games

    commits = _commits(write)
    with capture_logs():
        tasks += [asyncio.create_task(commits.commit(_turn(game))) for game in (1, 2, 3)]
        async with asyncio.timeout(5):
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError) and outcomes[1:] == [True, True]


async def test_a_claim_that_was_lost_is_not_committed_with_the_one_after_it(world: Any, monkeypatch: Any) -> None:
    """Two turns of one game in a set: the fence of each is its own."""
    await world.plugin.turns.close()
    game = await world.playing(turn_lease=2, turn_claimed_at=world.clock.now())
    moved: list[int] = []

    async def move(self: Any, connection: Any, turns: Any) -> None:
        moved.extend(each.lease for each in turns)

    monkeypatch.setattr(commit.Commits, "_move", move)
    monkeypatch.setattr(commit, "_advanced", lambda turn, held: turn.claim)
    commits: Any = commit.Commits(world.plugin._context, world.plugin._cache, world.plugin.time, world.table)
    turns: list[Any] = [
        SimpleNamespace(
            size=1, made=SimpleNamespace(game_id=game), claim=SimpleNamespace(key=(game, lease), lease=lease, turn=0)
        )
        for lease in (1, 2)
    ]
    outcomes = await asyncio.gather(*(commits.commit(turn) for turn in turns))
    assert (outcomes, moved) == ([False, True], [2])
