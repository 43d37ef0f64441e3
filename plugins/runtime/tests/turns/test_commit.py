"""Turns gathered into sets, and sets that cannot be committed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from structlog.testing import capture_logs

from galaxy_runtime.turns import commit
from galaxy_runtime.turns.commit import Commits, ComputedTurn

Write = Callable[[Sequence[ComputedTurn]], Awaitable[set[tuple[UUID, int]]]]


def computed(state: int = 1, report: int = 0) -> ComputedTurn:
    """Make a turn with a state and a report of so many bytes."""
    position: Any = SimpleNamespace(state=bytes(state), reports={1: bytes(report)})
    made: Any = SimpleNamespace(game_id=uuid4(), position=position)
    claim: Any = SimpleNamespace(game_id=made.game_id, turn=0, key=(made.game_id, 1))
    return ComputedTurn(claim=claim, made=made, orders={}, stored=frozenset())


def held(turns: Sequence[ComputedTurn]) -> set[tuple[UUID, int]]:
    """Return the keys of the claims of turns."""
    return {turn.claim.key for turn in turns}


class Sets(Commits):
    """Commits into no database: `write` stands for the transaction."""

    def __init__(self, write: Write | None = None) -> None:
        context: Any = SimpleNamespace(log=structlog.get_logger())
        nothing: Any = None
        super().__init__(context, nothing, nothing, nothing)
        self.sets: list[list[ComputedTurn]] = []
        self.write = write

    async def _write(self, turns: Sequence[ComputedTurn]) -> set[tuple[UUID, int]]:
        self.sets.append(list(turns))
        return held(turns) if self.write is None else await self.write(turns)

    async def all(self, turns: Sequence[ComputedTurn]) -> list[Any]:
        """Commit turns that are ready together; return the outcomes, errors among them."""
        return await asyncio.gather(*map(self.commit, turns), return_exceptions=True)


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("turns", "sizes"),
    [
        ([computed() for _ in range(129)], [64, 64, 1]),
        ([computed(5 * MIB), computed(1, 3 * MIB - 1), computed(), computed(9 * MIB), computed()], [2, 1, 1, 1]),
    ],
    ids=["by number", "by size"],
)
async def test_a_set_has_a_bound(turns: list[ComputedTurn], sizes: list[int]) -> None:
    """64 games, or 8 MiB of states and reports unless one game has more; those that waited longest go first."""
    commits = Sets()
    assert await commits.all(turns) == [True] * len(turns)
    assert [len(each) for each in commits.sets] == sizes
    assert [turn for each in commits.sets for turn in each] == turns


async def test_sets_are_filled_by_what_comes_in_several_rounds() -> None:
    """Whoever waits for more goes on while more comes, also where another has taken what was there."""
    commits = Sets()

    async def come(rounds: int) -> bool:
        for _ in range(rounds):
            await asyncio.sleep(0)
        return await commits.commit(computed())

    assert all(await asyncio.gather(*[come(number // 20) for number in range(100)]))
    assert [len(each) for each in commits.sets] == [64, 36]


async def test_three_sets_are_written_at_once() -> None:
    """A fourth waits; games whose claims are lost are told apart from those committed."""
    under_way = most = 0

    async def write(turns: Sequence[ComputedTurn]) -> set[tuple[UUID, int]]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return held(turns[1:])

    outcomes = await Sets(write).all([computed() for _ in range(256)])
    assert most == 3
    assert outcomes == [False, *[True] * 63] * 4


async def test_a_set_is_tried_again_and_then_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database is away, so often and no more; then each game by itself, and its error is its own."""
    monkeypatch.setattr(commit, "_AGAIN", 0)
    monkeypatch.setattr(commit, "_TRIES", 3)
    turns = [computed(), computed()]

    async def write(written: Sequence[ComputedTurn]) -> set[tuple[UUID, int]]:
        if turns[1] in written:
            raise ConnectionResetError
        return held(written)

    commits = Sets(write)
    first, second = await commits.all(turns)
    assert first is True and isinstance(second, ConnectionResetError)
    assert [len(each) for each in commits.sets] == [2] * 3 + [1] * 4


async def test_an_error_that_will_not_pass_splits_at_once() -> None:
    """What is wrong with one game is tried once for the set and once for the game."""
    turns = [computed() for _ in range(3)]

    async def write(written: Sequence[ComputedTurn]) -> set[tuple[UUID, int]]:
        if turns[1] in written:
            raise ZeroDivisionError
        return held(written)

    commits = Sets(write)
    outcomes = await commits.all(turns)
    assert [type(outcome) for outcome in outcomes] == [bool, ZeroDivisionError, bool]
    assert [len(each) for each in commits.sets] == [3, 1, 1, 1]


async def test_who_stopped_waiting_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn whose lease ended during an attempt is not in the next one."""
    monkeypatch.setattr(commit, "_AGAIN", 0)
    turns, waiting = [computed(), computed()], list[asyncio.Task[bool]]()

    async def write(written: Sequence[ComputedTurn]) -> set[tuple[UUID, int]]:
        if len(written) == 1:
            return held(written)
        waiting[0].cancel()
        await asyncio.wait([waiting[0]])
        raise ConnectionResetError

    commits = Sets(write)
    waiting += [asyncio.create_task(commits.commit(turn)) for turn in turns]
    assert await waiting[1] is True
    assert commits.sets == [turns, turns[1:]]


async def test_an_error_that_nobody_waits_for_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn whose lease ended while its set failed has no outcome, and those behind it are committed."""
    monkeypatch.setattr(commit, "_AT_ONCE", 1)
    monkeypatch.setattr(commit, "SET", 1)
    turns, waiting = [computed(), computed()], list[asyncio.Task[bool]]()

    async def write(written: Sequence[ComputedTurn]) -> set[tuple[UUID, int]]:
        if written == turns[1:]:
            return held(written)
        waiting[0].cancel()
        await asyncio.wait([waiting[0]])
        raise ZeroDivisionError

    commits = Sets(write)
    waiting += [asyncio.create_task(commits.commit(turn)) for turn in turns]
    async with asyncio.timeout(5):
        assert await waiting[1] is True


async def test_closing_leaves_nothing_running() -> None:
    """What was not committed is cancelled with its set."""

    async def write(written: Sequence[ComputedTurn]) -> set[tuple[UUID, int]]:
        await asyncio.Event().wait()
        return set()

    commits = Sets(write)
    waiting = asyncio.create_task(commits.commit(computed()))
    while not commits.sets:
        await asyncio.sleep(0)
    await commits.close()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "turn commits"] == []
    waiting.cancel()


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
    game = await world.playing(turn_lease=2, turn_claimed_at=world.clock.now(), due_at=world.clock.now())
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
