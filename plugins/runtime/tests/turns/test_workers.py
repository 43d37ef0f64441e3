"""When the next pass is, and how many turns one may claim."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from turn_play import LONG, made, pass_time, shows

from galaxy_chassis.clock import SystemClock
from galaxy_runtime.turns import commit, queries, running, slots
from galaxy_runtime.turns.domain import INTERVAL, LEASE
from galaxy_runtime.turns.service import ClaimedTurns, TurnService
from galaxy_runtime.turns.slots import MOST_AHEAD, Slots
from galaxy_runtime.turns.workers import TurnWorker, wait_for_turn


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


@pytest.mark.parametrize(
    ("seconds", "ahead"), [(0.0, MOST_AHEAD), (0.05, 32), (0.1, 16), (1.0, 1), (10.0, 0)], ids=lambda value: f"{value}"
)
async def test_turns_are_claimed_ahead_of_quick_engines(seconds: float, ahead: int) -> None:
    """Beyond the slots as many are claimed as are answered in a tenth of a second; none before the first answer."""
    now = 0.0
    places = Slots(16, lambda: now)
    assert places.claimable == 16
    for _ in range(3):
        async with places.one():
            now += seconds
    assert places.claimable == 16 + ahead


async def test_an_engine_that_slows_down_is_noticed_within_a_few_turns() -> None:
    """The average follows, also where the engine fails; turns that ran before keep it from no slot."""
    now = 0.0
    places = Slots(16, lambda: now)
    for _ in range(100):
        async with places.one():
            pass
    for _ in range(8):
        with contextlib.suppress(ValueError):
            async with places.one():
                now += 60
                raise ValueError
    assert places.claimable == 16


async def test_fewer_are_claimed_ahead_where_states_are_large() -> None:
    """The states that wait have 16 MiB, by their average."""
    places = Slots(16, lambda: 0.0)
    for _ in range(100):
        async with places.one() as slot:
            slot.size = 2 * 1024 * 1024
    assert places.claimable == 16 + 8


async def test_no_more_engines_are_asked_at_once_than_there_are_slots() -> None:
    """Further turns wait until an earlier one has its answer."""
    places, go_on, asked = Slots(2, lambda: 0.0), asyncio.Event(), []

    async def ask(number: int) -> None:
        async with places.one():
            asked.append(number)
            await go_on.wait()

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(ask(number))
        for _ in range(10):
            await asyncio.sleep(0)
        assert asked == [0, 1]
        go_on.set()
    assert asked == [0, 1, 2, 3, 4]


async def test_a_turn_without_a_slot_is_left_to_other_replicas(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where engines that were quick hang, what was claimed ahead is given back, and its attempt does not count."""
    world = await make_world(held=True, turn_concurrency="1")
    monkeypatch.setattr(Slots, "claimable", property(lambda _: 2))
    games = [await world.playing() for _ in range(2)]
    go_on, asked, given_back = asyncio.Event(), [], []
    adjudicate, give_back = running.adjudicate, TurnService.give_back

    async def hanging(*arguments: Any, **named: Any) -> Any:
        asked.append(arguments[2].game_id)
        await go_on.wait()
        return await adjudicate(*arguments, **named)

    async def noted(self: Any, claim: Any, *more: Any) -> None:
        await give_back(self, claim, *more)
        given_back.append(claim.game_id)
        go_on.set()

    monkeypatch.setattr(running, "adjudicate", hanging)
    monkeypatch.setattr(TurnService, "give_back", noted)
    monkeypatch.setattr(slots, "PATIENCE", 0.05)
    pass_time(world, LONG)
    await world.until(lambda: len(given_back) > 0)
    assert [asked[0], given_back[0]] in (games, games[::-1])
    for game in games:
        await made(world, game, 1)
    await shows(world, given_back[0], turn_attempts=0)


def test_no_more_is_claimed_while_much_waits() -> None:
    """There is room for four sets, and for none once the bytes that wait fill one."""
    nothing: Any = None
    commits: Any = commit.Commits(nothing, nothing, nothing, nothing)
    assert commits.room == 4 * commit.SET
    commits._waiting = [SimpleNamespace(size=1)] * 5
    assert commits.room == 4 * commit.SET - 5
    commits._waiting = [SimpleNamespace(size=9 * 1024 * 1024)]
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


async def test_what_is_wrong_with_one_input_is_no_attempt_of_another(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the statement for a pass fails each turn reads by itself, and its own fault is its own."""
    world = await make_world(held=True)
    games = [await world.playing() for _ in range(3)]
    read = queries.read_inputs

    async def failing(connection: Any, keys: Any, most_bytes: int, shift: Any) -> Any:
        if games[0] in {game for game, _ in keys}:
            raise ValueError("a state that cannot be read")
        return await read(connection, keys, most_bytes, shift)

    monkeypatch.setattr(queries, "read_inputs", failing)
    pass_time(world, LONG)
    for game in games[1:]:
        await made(world, game, 1)
    await shows(world, games[0], turn_failure="internal_error", turn_claimed_at=None)


async def test_a_slow_turn_keeps_no_other_input_in_memory(make_world: Any) -> None:
    """What was read for a turn is returned to it, and forgotten."""
    world = await make_world(held=True)
    await world.plugin.turns.close()
    game = await world.playing(turn_lease=1, turn_claimed_at=world.clock.now())
    inputs: Any = running.Inputs(world.plugin._context, world.plugin.time, [SimpleNamespace(key=(game, 1))])
    claim: Any = SimpleNamespace(game_id=game, key=(game, 1))
    record, _ = await inputs.of(claim)
    assert record.game_id == game
    assert inputs._reading.result() == {}


async def test_a_slot_that_becomes_free_while_others_are_claimed_is_used_at_once() -> None:
    """The next pass follows without a wait where turns are left and a turn has ended during the claim."""
    worker: Any = None

    async def claim(limit: int, latest: datetime) -> ClaimedTurns:
        assert limit == 1
        worker._adjudicating.clear()
        one: Any = SimpleNamespace()
        return ClaimedTurns([one], more=True, now=latest)

    nothing: Any = None
    context: Any = SimpleNamespace(clock=SystemClock())
    turns: Any = SimpleNamespace(claim=claim, renew=None)
    commits = commit.Commits(nothing, nothing, nothing, nothing)
    worker = TurnWorker(context, nothing, turns, nothing, commits, Slots(2, nothing), nothing)
    worker._adjudicating.add("busy")
    worker._start = lambda claims: worker._adjudicating.add("claimed")
    assert await worker._claim(datetime.now(UTC)) is True


async def test_the_next_look_is_at_the_end_of_what_another_has_claimed(world: Any) -> None:
    """A replica wakes when the lease of a killed one ends, and looks within 15 s of the death in any case (S-18)."""
    game = await world.playing()
    claim = (
        "UPDATE runtime_records SET due_at = now(), turn_claimed_at = now(), turn_lease = 4,"
        " next_turn_at = statement_timestamp() + interval '1 hour' WHERE game_id = :game"
    )
    await world.execute(claim, game=game)
    assert timedelta(minutes=59) < await world.plugin.turns.run() <= timedelta(hours=1, seconds=1)
    assert timedelta(seconds=15) >= LEASE + INTERVAL
