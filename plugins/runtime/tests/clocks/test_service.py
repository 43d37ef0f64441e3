"""Leaps of the clock, time without a backend, other rules of time zones, and reminders."""

import asyncio
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from turn_play import LONG, made, pass_time, record, send, shows, told, wake

from galaxy_contracts.runtime import Actor, ActorKind, Launch, Operation, SeatPlayer
from galaxy_contracts.schedules import Schedule
from galaxy_kernel.api import Problem, new_id
from galaxy_runtime.clocks import workers as clock_workers
from galaxy_runtime.clocks.domain import ClockWatch, Look, zone_database
from galaxy_runtime.clocks.service import ClockService
from galaxy_runtime.schedules import ticks

DAY = timedelta(days=1)


async def _by_cron(world: Any, cron: str, zone: str, **columns: Any) -> Any:
    launch = Launch(
        game_id=new_id(),
        engine_version_id=world.version.id,
        seats=(SeatPlayer(seat=1, name="One"), SeatPlayer(seat=2, name="Two")),
        options={},
        schedule=Schedule(cron=cron, time_zone=zone),
    )
    return await world.placed(launch, **columns)


async def _pass_slowly(world: Any, step: timedelta) -> None:
    """Let time pass with a backend that looks for due turns meanwhile."""
    for _ in range(4):
        before = await world.rows("SELECT beat_at FROM runtime_installation")
        pass_time(world, step / 4)
        async with asyncio.timeout(10):
            while await world.rows("SELECT beat_at FROM runtime_installation") == before:
                await asyncio.sleep(0.01)


def _clocks(world: Any) -> ClockService:
    """Return a process's view of the clock which no worker looks at."""
    plugin = world.plugin
    return ClockService(plugin._context, plugin._cache, plugin.time, plugin._table)


async def _look(clocks: ClockService) -> bool:
    return await clocks.look() is not None


async def test_ninety_days_of_a_daily_game_with_two_changes_of_the_clocks(world: Any) -> None:
    """One turn a day at the same local hour, through both nights in which Vienna changes its clocks (S-19 in short)."""
    async with world.database.reading() as connection:
        now = await world.plugin.time.now(connection)
    pass_time(world, datetime(2027, 1, 15, 12, tzinfo=UTC) - now)
    await world.until(lambda: not world.plugin._clocks._watch.suspicious)
    game = await _by_cron(world, "30 2 * * *", "Europe/Vienna")
    await world.execute("UPDATE runtime_records SET anchor = next_turn_at")
    run = 0
    for begin in (datetime(2027, 2, 15, 12, tzinfo=UTC), datetime(2027, 9, 20, 12, tzinfo=UTC)):
        async with world.database.reading() as connection:
            now = await world.plugin.time.now(connection)
        pass_time(world, begin - now)
        run += 1
        await made(world, game, run)
        for _ in range(45):
            pass_time(world, DAY)
            run += 1
            await made(world, game, run)
    rows = await world.rows("SELECT due_at FROM runtime_turns WHERE turn > 0 ORDER BY turn")
    local = [due.astimezone(zoneinfo.ZoneInfo("Europe/Vienna")) for (due,) in rows]
    days = [local[1:46], local[47:92]]
    for each in days:
        assert [later.date() - earlier.date() for earlier, later in pairwise(each)] == [DAY] * 44
    assert {time.strftime("%H:%M") for each in days for time in each} == {"02:30", "03:00"}
    assert len(told(world, game)) == run == 92


async def test_three_ticks_without_a_backend_are_moved(make_world: Any) -> None:
    """Who returns after longer than the grace moves what fell into the gap, and tells its owner; nothing ran."""
    world = await make_world(downtime_grace="2h")
    game, later = await world.playing(interval=DAY), await world.playing(interval=timedelta(days=9))
    await world.until(lambda: world.plugin._clocks._begun)
    pass_time(world, timedelta(days=3, hours=1))
    await world.until(lambda: bool(world.table.moved))
    ((moved, until, reason),) = world.table.moved
    assert moved == game and "away" in reason
    await shows(world, game, turn=0, next_turn_at=until, tick_at=until, orders_closed_at=None, postponed=0)
    assert await record(world, game, f"next_turn_at - now() - interval '{world.plugin.time.shift}' < interval '2h'")
    assert await record(world, later, "next_turn_at < tick_at") is False
    await _pass_slowly(world, timedelta(hours=2))
    position = await made(world, game, 1)
    assert position.next_turn_at == until + DAY
    assert told(world, later) == []


async def test_without_a_grace_late_turns_run_once_at_once(world: Any) -> None:
    """Off is the default."""
    game = await world.playing(interval=DAY)
    pass_time(world, timedelta(days=3, hours=1))
    await made(world, game, 1)
    assert world.table.moved == []


async def test_two_replicas_that_return_together_move_each_game_once(make_world: Any) -> None:
    """Many games, several sets: each owner's call is one."""
    world = await make_world(downtime_grace="2h")
    other = await make_world(beside=world, downtime_grace="2h")
    games = {await world.playing(interval=DAY) for _ in range(20)}
    await world.until(lambda: world.plugin._clocks._begun and other.plugin._clocks._begun)
    pass_time(world, LONG, other)
    await world.until(lambda: len(world.table.moved) + len(other.table.moved) >= 20)
    moved = [game for game, _, _ in [*world.table.moved, *other.table.moved]]
    assert len(moved) == 20 and set(moved) == games


async def test_a_clock_that_leaps_holds_turns_until_a_second_look(world: Any) -> None:
    """The first look claims nothing and shows in /readyz; the second believes it."""
    clocks = _clocks(world)
    assert await _look(clocks)
    world.plugin.time.shift += timedelta(hours=1)
    assert not await _look(clocks)
    assert (await clocks.health()).state == "degraded"
    assert await _look(clocks)
    assert (await clocks.health()).state == "ok"


async def test_a_clock_that_leaps_forth_and_back_runs_nothing(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only one look saw has not happened: the day's turn is not run, and the beat is not stamped."""
    game, clocks = await world.playing(interval=timedelta(minutes=30)), _clocks(world)
    assert await _look(clocks)
    monkeypatch.setattr(world.plugin.turns, "_stopping", True)
    beat = await world.rows("SELECT beat_at FROM runtime_installation")
    world.plugin.time.shift += timedelta(hours=1)
    assert not await _look(clocks)
    assert beat[0][0] + timedelta(minutes=5) > (await world.rows("SELECT beat_at FROM runtime_installation"))[0][0]
    world.plugin.time.shift -= timedelta(hours=1)
    assert await _look(clocks)
    monkeypatch.setattr(world.plugin.turns, "_stopping", False)
    wake(world)
    assert (await clocks.health()).state == "ok"
    assert await record(world, game, "turn", "turn_lease") == (0, 0)


async def test_a_clock_that_goes_back_leaves_no_turn_waiting_for_long(world: Any) -> None:
    """A turn that had begun is looked at within its back-off, not when the clock has caught up."""
    game, clocks = await world.playing(), _clocks(world)
    assert await _look(clocks)
    await world.execute(
        "UPDATE runtime_records SET due_at = now(), orders_closed_at = now(), next_turn_at = now() + interval '10 s'"
    )
    world.plugin.time.shift -= timedelta(hours=5)
    assert await _look(clocks)
    assert await record(world, game, "next_turn_at < now() - interval '4 hours'")
    pass_time(world, timedelta(seconds=26))
    await made(world, game, 1)


def test_watch_follows_slow_drift() -> None:
    """Nine minutes gained between each two passes are a bad clock, not a leap; both ways."""
    watch, now = ClockWatch(), datetime(2027, 3, 1, tzinfo=UTC)
    for step in range(20):
        assert watch.look(now + step * timedelta(minutes=9), 0.0) is Look.STEADY
    assert watch.look(now, 0.0) is Look.BACK
    assert watch.look(now + timedelta(minutes=11), 0.0) is Look.SUSPECT
    assert watch.look(now + timedelta(minutes=40), 0.0) is Look.SUSPECT
    assert watch.look(now + timedelta(minutes=41), 0.0) is Look.FORWARD
    assert watch.look(now + timedelta(minutes=41), 60.0) is Look.STEADY


async def test_other_rules_of_time_zones_move_ticks_of_cron(make_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a start under another zone database ticks are computed again; what somebody moved stays, by however little."""
    world = await make_world()
    game = await _by_cron(world, "0 18 * * *", "Europe/Vienna")
    moved, interval = await _by_cron(world, "0 18 * * *", "Europe/Vienna"), await world.playing()
    tick = await record(world, game, "tick_at")
    other_zone = tick + timedelta(hours=1)
    await world.execute(
        "UPDATE runtime_records SET next_turn_at = :at, tick_at = :at WHERE game_id = :game", at=other_zone, game=game
    )
    async with world.database.transaction() as connection:
        await world.runtime.postpone(connection, moved, tick + timedelta(hours=1))
    await world.until(lambda: world.plugin._clocks._begun)
    await world.execute("UPDATE runtime_installation SET time_zones = '2001a'")
    other = await make_world(beside=world)
    await world.until(lambda: other.plugin._clocks._begun)
    expected = next(ticks(Schedule(cron="0 18 * * *", time_zone="Europe/Vienna"), tick, tick - timedelta(seconds=1)))
    assert await record(world, game, "next_turn_at", "tick_at") == (expected, expected)
    assert await record(world, moved, "tick_at") == tick + timedelta(hours=1)
    assert [(each, until) for each, until, _ in other.table.moved] == [(game, expected)]
    assert await world.rows("SELECT time_zones FROM runtime_installation") == [(zone_database(),)]
    assert interval not in {each for each, _, _ in other.table.moved}


@pytest.fixture
def install_mars(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Return what adds the zone Mars/Olympus to this process's zone database, for the test."""
    before = zoneinfo.TZPATH

    def install() -> None:
        (tmp_path / "Mars").mkdir()
        (tmp_path / "Mars" / "Olympus").write_bytes(_zone_file("UTC"))
        zoneinfo.reset_tzpath([str(tmp_path), *before])

    yield install
    zoneinfo.reset_tzpath(before)
    zoneinfo.ZoneInfo.clear_cache()


def _zone_file(name: str) -> bytes:
    for folder in zoneinfo.TZPATH:
        if (Path(folder) / name).is_file():
            return (Path(folder) / name).read_bytes()
    return resources.files("tzdata.zoneinfo").joinpath(name).read_bytes()


_ON_MARS = """UPDATE runtime_records SET schedule = jsonb_set(schedule, '{time_zone}', '"Mars/Olympus"')
    WHERE game_id = :game"""


async def test_a_zone_that_a_replica_lacks_stops_no_other_game_when_ticks_move(make_world: Any) -> None:
    """Other games' ticks are computed again, the one game is named, and the next start computes what is left."""
    world = await make_world()
    lost, other_game = [await _by_cron(world, "0 18 * * *", "Europe/Vienna") for _ in range(2)]
    tick = await record(world, lost, "tick_at")
    moved = "UPDATE runtime_records SET next_turn_at = :at, tick_at = :at"
    await world.execute(moved, at=tick + timedelta(hours=1))
    await world.execute(_ON_MARS, game=lost)
    await world.until(lambda: world.plugin._clocks._begun)
    await world.execute("UPDATE runtime_installation SET time_zones = '2001a'")
    replica = await make_world(beside=world)
    await world.until(lambda: replica.plugin._clocks._begun)
    assert [each for each, _, _ in replica.table.moved] == [other_game]
    assert await record(world, lost, "tick_at") == tick + timedelta(hours=1)
    assert await world.rows("SELECT time_zones FROM runtime_installation") == [("2001a",)]
    health = await replica.plugin._clocks.health()
    assert health.state == "degraded" and f"Mars/Olympus (game {lost})" in health.detail


async def test_a_turn_waits_for_its_time_zone_and_runs_once_it_is_there(
    world: Any, install_mars: Callable[[], None]
) -> None:
    """It is neither run nor stopped, attempts are not counted, other games go on; the check names it until then."""
    game, other_game = await _by_cron(world, "0 18 * * *", "Europe/Vienna"), await world.playing(interval=DAY)
    await world.execute(_ON_MARS, game=game)
    pass_time(world, DAY)
    await made(world, other_game, 1)
    await world.until(lambda: bool(world.plugin._clocks.missing_zones.sentence()))
    assert str(game) in (await world.plugin._clocks.health()).detail
    install_mars()
    assert (await world.plugin._clocks.health()).state == "ok"
    pass_time(world, timedelta(minutes=1))
    assert (await made(world, game, 1)).next_turn_at.hour == 18
    assert await record(world, game, "playing", "turn_failure") == (True, None)
    assert world.table.halts == []


async def test_a_game_is_paused_where_its_time_zone_is_unknown(world: Any, install_mars: Callable[[], None]) -> None:
    """A forced turn is stopped without the zone, and costs no tick: the next one is found at resuming."""
    game = await _by_cron(world, "0 18 * * *", "Etc/UTC")
    tick = await record(world, game, "tick_at")
    async with world.database.transaction() as connection:  # in which nobody can claim it
        await world.runtime.operate(connection, game, Operation.FORCE_NEXT_TURN, Actor(ActorKind.OPERATOR))
        await connection.execute(text(_ON_MARS), {"game": game})
        await world.runtime.suspend(connection, game)
    assert await record(world, game, "playing", "tick_at") == (False, None)
    install_mars()
    async with world.database.transaction() as connection:
        assert await world.runtime.resume(connection, game) == tick
    assert await record(world, game, "skip_next", "next_turn_at", "trigger") == (False, tick, "scheduled")


async def test_what_a_person_asks_of_a_game_by_an_unknown_zone_is_refused_for_now(world: Any) -> None:
    """Resuming such a game is answered 503 with a code, not 500, and changes nothing."""
    game = await _by_cron(world, "0 18 * * *", "Europe/Vienna")
    async with world.database.transaction() as connection:
        await world.runtime.suspend(connection, game)
    await world.execute(_ON_MARS, game=game)
    with pytest.raises(Problem) as refused:
        async with world.database.transaction() as connection:
            await world.runtime.resume(connection, game)
    assert (refused.value.status, refused.value.code) == (503, "time_zone_unknown")
    assert await record(world, game, "playing") is False


def test_zone_database(tmp_path: Path) -> None:
    """The version stands in the database's own files, else in the package that Python uses."""
    (tmp_path / "tzdata.zi").write_text("# version 2031c\n")
    assert zone_database([str(tmp_path)]) == "2031c"
    assert zone_database([]) == __import__("tzdata").IANA_VERSION


async def _remind(world: Any) -> None:
    await clock_workers.Deadlines(world.plugin._context, world.plugin.time, world.plugin._table).run()


async def test_players_are_reminded_once_a_turn(world: Any) -> None:
    """A tenth of the turn before its end, those from whom nothing has come; never of a short turn, nor of one over."""
    game = await world.playing(seats=4)
    short = await world.playing(interval=timedelta(hours=2))
    async with world.database.transaction() as connection:
        await world.runtime.vacate(connection, game, 4)
    pass_time(world, LONG)
    await made(world, game, 1)
    await made(world, short, 1)
    await send(world, game, 1, [])
    pass_time(world, timedelta(hours=20))
    await _remind(world)
    assert world.table.reminded == []
    pass_time(world, timedelta(hours=2))
    for _ in range(2):
        await _remind(world)
    assert world.table.reminded == [(game, 1, (2, 3))]


async def test_an_owner_that_raises_at_a_reminder_keeps_no_other_from_theirs(world: Any) -> None:
    """One game's error is logged; the others are reminded."""
    games = [await world.playing() for _ in range(3)]
    await world.execute("UPDATE runtime_records SET remind_at = now()")
    reminded = world.table.deadline_near

    async def refuse(connection: Any, game_id: Any, *arguments: Any) -> None:
        if game_id == games[0]:
            raise RuntimeError
        await reminded(connection, game_id, *arguments)

    world.table.deadline_near = refuse
    await _remind(world)
    assert {game for game, _, _ in world.table.reminded} == set(games[1:])


async def test_adjudication_is_spread_and_deadlines_are_not(make_world: Any) -> None:
    """With a spread, turns due at one moment are claimed over a while; their deadline is the same."""
    world = await make_world(spread="1h")
    games = [await world.playing() for _ in range(12)]
    tick = max([await record(world, game, "tick_at") for game in games])
    pass_time(world, LONG)
    pass_time(world, timedelta(minutes=20))
    await world.until(lambda: len(world.table.made) > 0)
    assert len(world.table.made) < 12
    pass_time(world, timedelta(minutes=41))
    for game in games:
        await made(world, game, 1)
    due = await world.rows("SELECT max(due_at) FROM runtime_turns")
    assert due == [(tick,)]


async def test_a_process_whose_own_clock_stood_still_moves_what_fell_into_the_gap(make_world: Any) -> None:
    """As on a host that was suspended: a pass just after the last look claims nothing of the time without a backend."""
    world = await make_world(downtime_grace="2m")
    game = await world.playing(interval=timedelta(minutes=4))
    await world.until(lambda: world.plugin._clocks._begun)
    assert await world.plugin._clocks.latest() is not None  # so that the next pass would not look
    world.plugin.time.shift += timedelta(minutes=5)
    wake(world)
    await world.until(lambda: bool(world.table.moved) or bool(world.table.made))
    assert [moved[0] for moved in world.table.moved] == [game] and not world.table.made


async def test_orders_are_shown_as_closed_from_the_turns_time_on(make_world: Any) -> None:
    """By each replica, whoever claims the turn and when; a tick that will be skipped closes nothing."""
    world = await make_world(spread="1h")
    game, skipping = await world.playing(), await world.playing(skip_next=True)
    await world.plugin.turns.close()
    clocks, status = world.plugin._clocks, world.runtime.status
    await clocks.look()
    assert not status(game).orders_closed
    pass_time(world, timedelta(days=1, seconds=1))
    await clocks.look()
    await clocks.look()
    assert status(game).orders_closed and not status(skipping).orders_closed
    for each, due in ((game, True), (skipping, False)):
        found = await world.plugin._service._orders._open_turn(each)
        assert (found.closed, found.due) == (False, due)
