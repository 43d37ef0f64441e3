"""Sets that wait at the same time are committed together, and none at another's cost."""

import asyncio
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from galaxy_contracts.runtime import Submission
from galaxy_kernel.api import new_id
from galaxy_runtime.orders import commit, queries
from galaxy_runtime.orders.queries import NewSet


def _set(game: Any, seat: int, *, final: bool = False, expected: int | None = None) -> NewSet:
    orders = (msgspec.Raw(b'{"go":1}'),)
    submission = Submission(turn=0, orders=orders, final=final, account_id=new_id(), expected_revision=expected)
    return NewSet(game_id=game, seat=seat, submission=submission, document=b'[{"go":1}]', request_id="tests")


@pytest.fixture
async def commits(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the commits of a world without turns, and the games of each transaction in `written`."""
    await world.plugin.turns.close()
    made = commit.OrderCommits(world.plugin._context, world.plugin._cache, world.plugin.time)
    made.written = []  # type: ignore[attr-defined]
    put = queries.put

    async def noted(connection: Any, sets: Any, shift: Any, **named: Any) -> Any:
        made.written.append([each.game_id for each in sets])  # type: ignore[attr-defined]
        return await put(connection, sets, shift, **named)

    monkeypatch.setattr(queries, "put", noted)
    return made


async def test_sets_of_different_games_share_a_transaction(world: Any, commits: Any) -> None:
    """Two of one game take turns, each outcome is its sender's own, and memory shows all of them."""
    games = [await world.playing() for _ in range(3)]
    closed = await world.playing(orders_closed_at=world.clock.now())
    sets = [*(_set(game, 1) for game in games), _set(games[0], 2), _set(closed, 1), _set(games[1], 2, expected=7)]
    outcomes = await asyncio.gather(*(commits.put(each) for each in sets))
    assert [each and each.revision for each in outcomes] == [1, 1, 1, 1, None, None]
    assert all(len(set(written)) == len(written) for written in commits.written)
    assert len(commits.written) < len(sets) and len(commits.written[0]) == len({each.game_id for each in sets})
    assert [world.runtime.status(game).sent for game in games] == [(1, 2), (1,), (1,)]


async def test_the_last_final_sets_at_once_make_the_turn_due(world: Any, commits: Any) -> None:
    """The second of two final sets of a game, sent together, finds the first one."""
    game = await world.playing(run_when_final=True)
    outcomes = await asyncio.gather(*(commits.put(_set(game, seat, final=True)) for seat in (1, 2)))
    assert [each.runs for each in outcomes] == [False, True]
    rows = await world.rows("SELECT trigger, final_seat, next_turn_at <= now() FROM runtime_records")
    assert rows == [("final", 2, True)]


async def test_a_set_that_cannot_be_written_keeps_no_other_from_it(world: Any, commits: Any) -> None:
    """Where a transaction fails each set is written by itself, and the fault is heard by its sender alone."""
    games = [await world.playing() for _ in range(3)]
    sets = [_set(games[0], 1), _set(games[1], 2**14), _set(games[2], 1)]
    await world.execute("ALTER TABLE runtime_orders ADD CHECK (seat < 1000)")
    await world.execute("UPDATE runtime_records SET awaiting = '{1,2,16384}'")
    outcomes = await asyncio.gather(*(commits.put(each) for each in sets), return_exceptions=True)
    assert [getattr(each, "revision", type(each).__name__) for each in outcomes] == [1, "IntegrityError", 1]


async def test_who_stopped_waiting_is_left_out(world: Any, commits: Any) -> None:
    """A sender that was cancelled before its set was taken has sent none."""
    game = await world.playing()
    tasks = [asyncio.create_task(commits.put(_set(game, seat))) for seat in (1, 2)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    assert (await tasks[0]).revision == 1
    await asyncio.gather(*commits._tasks)
    assert await world.rows("SELECT seat FROM runtime_orders") == [(1,)]


async def test_a_set_that_comes_as_the_last_transactions_end_is_written() -> None:
    """Both tasks have looked for the last time, and count no more as those that will write it."""
    nothing: Any = None
    commits: Any = commit.OrderCommits(nothing, nothing, nothing)
    go_on = asyncio.Event()

    async def write(sets: Any, **named: Any) -> Any:
        await go_on.wait()
        return {}, ()

    async def late() -> Any:
        await go_on.wait()
        return await commits.put(_set(new_id(), 1))

    commits._write = write
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(commits.put(_set(new_id(), 1)))
            await asyncio.sleep(0.01)  # until it is being written
        tasks.create_task(late())
        await asyncio.sleep(0.01)
        go_on.set()


async def test_a_locked_record_holds_up_no_other_game(world: Any, commits: Any) -> None:
    """Sets of other games are stored meanwhile, and those of the locked one after it, in their order."""
    games = [await world.playing() for _ in range(5)]
    locked, others = games[:3], games[3:]
    async with asyncio.timeout(8), world.database.transaction() as connection:
        await connection.execute(
            text("UPDATE runtime_records SET phase = phase WHERE game_id = ANY (:ids)"), {"ids": locked}
        )
        first = []
        for game in locked:  # each by itself
            first.append(asyncio.create_task(commits.put(_set(game, 1))))
            await asyncio.sleep(0.05)
        second = [asyncio.create_task(commits.put(_set(game, 2))) for game in games]
        assert [each.revision for each in await asyncio.gather(*second[3:])] == [1] * len(others)
        assert not any(each.done() for each in first + second[:3])
    async with asyncio.timeout(5):
        assert [each.revision for each in await asyncio.gather(*first, *second[:3])] == [1] * 6
    await asyncio.sleep(0)
    assert not commits._alone
