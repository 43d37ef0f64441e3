"""Games are played over several turns, against an engine in this process and a real database."""

import asyncio
import hashlib
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from engine_doubles import DoubleEngine
from turn_play import LONG, force, made, pass_time, record, send, shows, state, told, wake

from galaxy_contracts.runtime import Launch, SeatPlayer, Submission, Trigger
from galaxy_contracts.schedules import Schedule
from galaxy_kernel.api import new_id
from galaxy_runtime.turns.domain import seed_of


async def _history(world: Any, game: UUID) -> list[Any]:
    async with world.database.reading() as connection:
        summaries, _ = await world.runtime.turns(connection, game, 100, 0)
    return list(reversed(summaries))


async def test_a_turn_runs_at_its_time_with_what_was_sent(world: Any) -> None:
    """Sets count whether or not they are final; the seat that sent nothing is absent; the clock goes on."""
    game = await world.playing(seats=3)
    tick = world.runtime.status(game).next_turn_at
    await send(world, game, 1, [{"go": 1}])
    await send(world, game, 2, [], final=True)
    pass_time(world, LONG)
    position = await made(world, game, 1)
    assert (position.trigger, position.absent, position.awaiting) == (Trigger.SCHEDULED, (3,), (1, 2, 3))
    assert position.next_turn_at == tick + timedelta(days=1) == world.runtime.status(game).next_turn_at
    assert world.runtime.status(game).sent == () and not world.runtime.status(game).orders_closed
    entry = (await state(world, game))["log"][-1]
    assert entry["orders"] == {"1": [{"go": 1}], "2": [], "3": None}
    assert (entry["absent"], entry["vacant"], entry["seed"]) == ([3], [], seed_of(b"s" * 32, game, 0, 0))


async def test_everything_about_a_turn_is_kept(world: Any) -> None:
    """The position has its seed, digests, version and times, and says which sets were used (SPEC R-14)."""
    game = await world.playing()
    await send(world, game, 1, [{"go": 1}])
    pass_time(world, LONG)
    await made(world, game, 1)
    columns = "seed, state_digest, state, orders_digest, absent, engine_version_id, generation, due_at < claimed_at"
    row = (await world.rows(f"SELECT {columns} FROM runtime_turns WHERE game_id = :game AND turn = 1", game=game))[0]
    orders = json.dumps([{"go": 1}]).encode()
    assert row[0] == seed_of(b"s" * 32, game, 0, 0)
    assert bytes(row[1]) == hashlib.sha256(bytes(row[2])).digest()
    assert bytes(row[3]) == hashlib.sha256(f"1:{len(orders)}:".encode() + orders).digest()
    assert (list(row[4]), row[5], row[6], row[7]) == ([2], world.version.id, 1, True)
    used = await world.rows("SELECT seat, used_digest FROM runtime_orders WHERE game_id = :game", game=game)
    assert [(seat, bytes(digest)) for seat, digest in used] == [(1, hashlib.sha256(orders).digest())]


async def test_history_and_reports_are_read(world: Any) -> None:
    """Each seat reads its own report on each position, anybody the public one; what is not there is None."""
    game = await world.playing()
    pass_time(world, LONG)
    await made(world, game, 1)
    async with world.database.reading() as connection:
        summaries, count = await world.runtime.turns(connection, game, 1, 0)
        assert (count, [each.turn for each in summaries], summaries[0].absent) == (2, [1], (1, 2))
        assert (await world.runtime.turns(connection, game, 5, 1))[0][0].trigger is Trigger.START
        report = await world.runtime.report(connection, game, 1, 2)
        assert json.loads(bytes(report)) == {"text": "turn 1 for seat 2"}
        assert json.loads(bytes(await world.runtime.public_report(connection, game, 1))) == {"text": "turn 1"}
        assert await world.runtime.report(connection, game, 1, 3) is None
        assert await world.runtime.report(connection, game, 2, 1) is None
        assert await world.runtime.public_report(connection, game, 0) is None


async def test_seven_seats_over_five_turns(world: Any) -> None:
    """Each turn sees the orders of its own turn and no other."""
    game = await world.playing(seats=7)
    for turn in range(5):
        for seat in range(1, 8):
            await send(world, game, seat, [{"turn": turn, "seat": seat}])
        pass_time(world, LONG)
        assert (await made(world, game, turn + 1)).absent == ()
        entry = (await state(world, game))["log"][-1]
        assert entry["orders"] == {str(seat): [{"turn": turn, "seat": seat}] for seat in range(1, 8)}
    assert [each.turn for each in told(world, game)] == [1, 2, 3, 4, 5]
    assert [each.turn for each in await _history(world, game)] == [0, 1, 2, 3, 4, 5]


async def test_alternate_moves_run_as_soon_as_the_awaited_seat_is_final(world: Any) -> None:
    """Where the engine awaits one seat at a time, each final set runs the turn, and nobody is absent."""
    engine = DoubleEngine()
    engine.awaiting = lambda turn, seats: [seats[turn % 2]]
    world.engines.make = lambda game_id: engine
    game = await world.playing(run_when_final=True, awaiting=[1])
    for turn in range(6):
        seat = 1 + turn % 2
        await send(world, game, seat, [{"move": turn}], final=True)
        position = await made(world, game, turn + 1)
        assert (position.trigger, position.final_seat, position.absent) == (Trigger.FINAL, seat, ())
        assert position.awaiting == (3 - seat,)


async def test_an_engine_without_bundle_is_loaded_and_ordered(world: Any) -> None:
    """The long way is load, a call for each set, and the turn, whatever its memory held."""
    engine = DoubleEngine(capabilities=())
    world.engines.make = lambda game_id: engine
    game = await world.playing()
    await send(world, game, 2, [{"go": 2}])
    pass_time(world, LONG)
    await made(world, game, 1)
    assert engine.calls == ["state", "orders", "turns"]
    assert (await state(world, game))["log"][-1]["orders"] == {"1": None, "2": [{"go": 2}]}


async def test_a_game_that_runs_when_all_are_final_begins_its_interval_again(world: Any) -> None:
    """The next turn has its whole length, and its grid begins with the commit."""
    game = await world.playing(interval=timedelta(hours=4), run_when_final=True)
    pass_time(world, timedelta(hours=1))
    for seat in (1, 2):
        await send(world, game, seat, [], final=True)
    position = await made(world, game, 1)
    at, anchor = await record(world, game, "made_at", "anchor")
    assert position.next_turn_at == at + timedelta(hours=4) and anchor == at


async def test_the_last_two_finals_at_once_make_each_turn_run_once(make_world: Any) -> None:
    """Whichever replicas they reach: no turn waits for its deadline, none runs twice, both sets are in it."""
    world = await make_world()
    other = await make_world(beside=world)
    games = [await world.playing(run_when_final=True) for _ in range(10)]
    for game in games:
        await world.engines.open(game, LONG)

    async def final(each: Any, game: UUID, seat: int, turn: int) -> None:
        orders = (msgspec.Raw(msgspec.json.encode({"turn": turn})),)
        await each.runtime.put_orders(game, seat, Submission(turn=turn, orders=orders, final=True, account_id=new_id()))

    for turn in range(3):
        await asyncio.gather(
            *(final(each, game, seat, turn) for game in games for seat, each in ((1, world), (2, other)))
        )
        for game in games:
            await shows(world, game, turn=turn + 1)
    ran = await world.rows("SELECT turn, trigger, count(*) FROM runtime_turns WHERE turn > 0 GROUP BY 1, 2 ORDER BY 1")
    assert ran == [(turn, "final", 10) for turn in (1, 2, 3)]
    for game in games:
        entries = (await state(world, game))["log"]
        assert [entry["orders"] for entry in entries] == [{"1": [{"turn": n}], "2": [{"turn": n}]} for n in range(3)]
        assert await record(world, game, "turn_lease") == 3


async def test_fifty_games_that_are_due_at_once_run_once_each(make_world: Any) -> None:
    """Whose last final sets have come, on two replicas."""
    world = await make_world()
    other = await make_world(beside=world)
    games = [await world.playing(run_when_final=True) for _ in range(50)]
    for game in games:
        await world.execute(
            "UPDATE runtime_records SET sent = '{1,2}', final = '{1,2}', trigger = 'final', final_seat = 2,"
            " next_turn_at = statement_timestamp() WHERE game_id = :game",
            game=game,
        )
    wake(world)
    wake(other)
    everything = lambda: {each.game_id for each in [*world.table.made, *other.table.made]}  # noqa: E731
    await world.until(lambda: everything() == set(games))
    assert len(world.table.made) + len(other.table.made) == 50
    for game in games:
        await shows(world, game, turn=1, turn_lease=1)


async def test_a_forced_turn_leaves_the_schedule_where_it_is(world: Any) -> None:
    """The next tick does nothing; people see the one after it; the operation has succeeded."""
    game = await world.playing(interval=timedelta(hours=6))
    tick = world.runtime.status(game).next_turn_at
    pass_time(world, timedelta(hours=1))
    await send(world, game, 1, [1])
    await force(world, game)
    position = await made(world, game, 1)
    after = tick + timedelta(hours=6)
    assert (position.trigger, position.absent, position.next_turn_at) == (Trigger.FORCED, (2,), after)
    assert await record(world, game, "skip_next", "next_turn_at", "tick_at") == (True, tick, after)
    assert await world.rows("SELECT outcome FROM runtime_operation_log") == [("succeeded",)]
    pass_time(world, timedelta(hours=5, seconds=2))
    await shows(world, game, skip_next=False, next_turn_at=after, turn=1)
    pass_time(world, timedelta(hours=6))
    assert (await made(world, game, 2)).trigger is Trigger.SCHEDULED


async def test_orders_are_open_at_a_tick_that_is_skipped(world: Any) -> None:
    """The tick that a forced turn replaced closes nothing."""
    game = await world.playing(interval=timedelta(hours=6))
    await force(world, game)
    await made(world, game, 1)
    pass_time(world, timedelta(hours=6, seconds=1))
    await shows(world, game, skip_next=False, orders_closed_at=None, turn=1)


async def test_machines_play_when_the_turn_runs(world: Any) -> None:
    """Their suggestion is kept like other orders, final and used, by nobody's account; they are never absent."""
    seats = (SeatPlayer(seat=1, name="One"), SeatPlayer(seat=2, name="Robot", machine=True))
    schedule = Schedule(interval=timedelta(days=1))
    launch = Launch(game_id=new_id(), engine_version_id=world.version.id, seats=seats, options={}, schedule=schedule)
    game = await world.placed(launch)
    pass_time(world, LONG)
    assert (await made(world, game, 1)).absent == (1,)
    assert (await state(world, game))["log"][-1]["orders"] == {"1": None, "2": [{"machine": 2}]}
    rows = await world.rows("SELECT seat, final, revision, account_id, orders, used_digest FROM runtime_orders")
    stored = bytes(rows[0][4])
    assert rows[0][:4] == (2, True, 1, None) and json.loads(stored) == [{"machine": 2}]
    assert bytes(rows[0][5]) == hashlib.sha256(stored).digest()


async def test_a_vacant_seat_is_absent_and_said_to_be_vacant(world: Any) -> None:
    """The engine hears both; the owner hears of absent players only."""
    game = await world.playing(seats=3)
    async with world.database.transaction() as connection:
        await world.runtime.vacate(connection, game, 2)
    pass_time(world, LONG)
    assert (await made(world, game, 1)).absent == (1, 3)
    entry = (await state(world, game))["log"][-1]
    assert (entry["absent"], entry["vacant"]) == ([1, 2, 3], [2])


async def test_missed_turns_are_counted_in_a_row(world: Any) -> None:
    """Who misses a scheduled turn has missed one more, who sends has missed none, a forced turn counts for nobody."""
    game = await world.playing()
    for turn in (1, 2):
        await send(world, game, 1, [])
        pass_time(world, LONG)
        await made(world, game, turn)
    await force(world, game, skip=False)
    await made(world, game, 3)
    seats = await record(world, game, "seats")
    assert (seats["1"].get("missed_in_row", 0), seats["2"]["missed_in_row"]) == (0, 2)


async def test_an_engine_that_awaits_nobody_runs_by_the_schedule(world: Any) -> None:
    """An empty `awaiting` never runs a turn by itself."""
    engine = DoubleEngine()
    engine.awaiting = lambda turn, seats: []
    world.engines.make = lambda game_id: engine
    game = await world.playing(run_when_final=True)
    pass_time(world, LONG)
    assert (await made(world, game, 1)).awaiting == ()
    assert await record(world, game, "trigger") == "scheduled"
    pass_time(world, LONG)
    assert (await made(world, game, 2)).absent == ()


async def test_the_last_turn_ends_the_game(world: Any) -> None:
    """Result and winner reach the owner; the record is closed, memory forgets it, the engine is not wanted."""
    world.engines.make = lambda game_id: DoubleEngine(last=2)
    game = await world.playing()
    for turn in (1, 2):
        pass_time(world, LONG)
        position = await made(world, game, turn)
    assert (position.finished, position.result, position.next_turn_at) == (True, {"winners": [1]}, None)
    assert position.awaiting == ()
    await world.until(lambda: world.runtime.status(game) is None)
    names = ("ended", "playing", "wanted", "next_turn_at", "ended_at IS NOT NULL")
    assert await record(world, game, *names) == (True, False, "down", None, True)


async def test_snapshots_are_thinned(make_world: Any) -> None:
    """The newest few, the start and every tenth keep their state; reports stay."""
    world = await make_world(keep_snapshots="3")
    game = await world.playing(interval=timedelta(hours=1))
    for turn in range(1, 15):
        pass_time(world, timedelta(hours=1))
        await made(world, game, turn)
    kept = await world.rows("SELECT turn FROM runtime_turns WHERE state IS NOT NULL ORDER BY turn")
    assert [turn for (turn,) in kept] == [0, 10, 12, 13, 14]
    assert await world.rows("SELECT count(*) FROM runtime_reports") == [(30,)]


async def test_a_late_turn_runs_once(world: Any) -> None:
    """Three ticks without a backend make one turn; those passed over are counted."""
    game = await world.playing(interval=timedelta(hours=1))
    tick = world.runtime.status(game).next_turn_at
    pass_time(world, timedelta(hours=3, minutes=30))
    position = await made(world, game, 1)
    assert position.next_turn_at == tick + timedelta(hours=3)
    assert await world.rows("SELECT missed_ticks FROM runtime_turns WHERE turn = 1") == [(2,)]


async def test_a_game_that_is_suspended_while_its_turn_runs_stops_after_it(world: Any) -> None:
    """The turn counts, nothing is due afterwards, and the next begins whole when the game goes on."""
    engine = DoubleEngine()

    async def suspend(name: str, body: Any) -> None:
        engine.hook = None
        async with world.database.transaction() as connection:
            await world.runtime.suspend(connection, game)

    engine.hook = suspend
    world.engines.make = lambda game_id: engine
    game = await world.playing()
    pass_time(world, LONG)
    assert (await made(world, game, 1)).next_turn_at is None
    names = ("playing", "next_turn_at", "tick_at", "remaining", "due_at")
    assert await record(world, game, *names) == (False, None, None, None, None)
    async with world.database.transaction() as connection:
        resumed = await world.runtime.resume(connection, game)
    assert resumed is not None
    pass_time(world, LONG)
    await made(world, game, 2)
