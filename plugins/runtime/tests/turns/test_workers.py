"""When the next pass is, and how many turns one may claim."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from turn_play import LONG, made, pass_time

from galaxy_runtime.turns import commit, queries, running
from galaxy_runtime.turns.workers import wait_for_turn


@pytest.mark.parametrize(
    ("seconds", "passed", "wanted"),
    [(0.5, 0.1, 401), (0.003, 0.01, 1), (0.0, 0.0, 20), (-3.0, 1.0, 20)],
    ids=["counted from the look", "due meanwhile", "due and locked", "long due and locked"],
)
def test_a_pass_is_neither_early_nor_late(seconds: float, passed: float, wanted: int) -> None:
    """The next pass is a millisecond after the next deadline, and at once where that has come during this one."""
    assert wait_for_turn(seconds, passed) == timedelta(milliseconds=wanted)


async def test_a_turn_that_waits_for_its_commit_holds_no_slot(make_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one slot all games are adjudicated while the first commit is under way, and are committed after it."""
    world = await make_world(held=True, turn_concurrency="1")
    games = [await world.playing() for _ in range(3)]
    go_on, computed = asyncio.Event(), []
    write, adjudicate = commit.Commits._write, running.adjudicate

    async def held(self: Any, turns: Any) -> Any:
        await go_on.wait()
        return await write(self, turns)

    async def noted(*arguments: Any, **named: Any) -> Any:
        computed.append(arguments[2].game_id)
        return await adjudicate(*arguments, **named)

    monkeypatch.setattr(commit.Commits, "_write", held)
    monkeypatch.setattr(running, "adjudicate", noted)
    pass_time(world, LONG)
    await world.until(lambda: set(computed) == set(games))
    go_on.set()
    for game in games:
        await made(world, game, 1)


def test_no_more_is_claimed_while_much_waits() -> None:
    """There is room for four sets, and for none once the bytes that wait fill one."""
    nothing: Any = None
    commits: Any = commit.Commits(nothing, nothing, nothing, nothing)
    assert commits.room == 4 * commit.SET
    commits._waiting = [SimpleNamespace(turn=SimpleNamespace(size=1))] * 5
    assert commits.room == 4 * commit.SET - 5
    commits._waiting = [SimpleNamespace(turn=SimpleNamespace(size=9 * 1024 * 1024))]
    assert commits.room == 0


async def test_large_states_are_read_by_themselves(make_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into the statement that reads for a pass is read by one of its own, and no turn is lost."""
    world = await make_world(held=True)
    games = [await world.playing() for _ in range(3)]
    read, statements = queries.read_inputs, []

    async def noted(connection: Any, keys: Any, most_bytes: int, shift: Any) -> Any:
        statements.append(len(keys))
        return await read(connection, keys, 1, shift)

    monkeypatch.setattr(queries, "read_inputs", noted)
    pass_time(world, LONG)
    for game in games:
        await made(world, game, 1)
    assert sorted(statements) == [1, 1, 3]
