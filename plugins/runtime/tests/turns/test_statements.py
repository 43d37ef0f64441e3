"""The statements of turns on every driver, and what they do that a whole game does not show."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from engine_doubles import DoubleEngine
from sqlalchemy import text
from turn_play import LONG, made, pass_time, record, send, shows, state

from galaxy_contracts.runtime import Launch, SeatPlayer
from galaxy_contracts.schedules import Schedule
from galaxy_kernel.api import new_id
from galaxy_runtime.turns import claiming

DRIVERS = {"aiopg": "postgres", "asyncpg": "postgresql+asyncpg", "psycopg": "postgresql+psycopg"}


@pytest.mark.parametrize("scheme", DRIVERS.values(), ids=DRIVERS.keys())
async def test_a_turn_on_every_driver(make_world: Any, scheme: str) -> None:
    """Sets, suggestions, digests, a result and a failed attempt are written and read alike."""
    first = await make_world()
    await first.plugin.turns.close()
    world = await make_world(beside=first, scheme=scheme, verify="1", spread="1s", downtime_grace="1d")
    world.engines.make = lambda game_id: DoubleEngine(last=2)
    players = (*(SeatPlayer(seat=seat, name="x") for seat in (1, 2)), SeatPlayer(seat=3, name="R", machine=True))
    schedule = Schedule(interval=timedelta(hours=1))
    launch = Launch(game_id=new_id(), engine_version_id=world.version.id, seats=players, options={}, schedule=schedule)
    game = await world.placed(launch)
    await send(world, game, 1, [{"name": "Mira ☆"}])
    await send(world, game, 2, [])
    world.table.refuse = lambda position: RuntimeError()
    await world.until(lambda: world.plugin._clocks._begun)
    pass_time(world, timedelta(hours=1, seconds=2))
    await shows(world, game, turn_attempts=1, turn_claimed_at=None, turn_failure="owner_refused")
    world.table.refuse = lambda position: None
    pass_time(world, timedelta(seconds=1))
    assert (await made(world, game, 1)).absent == ()
    used = (await state(world, game))["log"][-1]["orders"]
    assert used == {"1": [{"name": "Mira ☆"}], "2": [], "3": [{"machine": 3}]}
    pass_time(world, timedelta(hours=1, seconds=2))
    assert (await made(world, game, 2)).finished
    rows = await world.rows("SELECT turn, finished, result, absent FROM runtime_turns ORDER BY turn DESC")
    assert rows[0] == (2, True, {"winners": [1]}, [1, 2])
    orders = await world.rows("SELECT seat FROM runtime_orders WHERE used_digest IS NOT NULL ORDER BY turn, seat")
    assert [seat for (seat,) in orders] == [1, 2, 3, 3]
    async with world.database.reading() as connection:
        assert json.loads(bytes(await world.runtime.report(connection, game, 2, 1))) == {"text": "turn 2 for seat 1"}


async def test_the_longest_due_come_first_and_locked_ones_not_at_all(world: Any) -> None:
    """A claim waits for nobody, and returns no more than it was asked for."""
    await world.plugin.turns.close()
    games = [await world.playing(interval=timedelta(hours=hours)) for hours in (3, 1, 2)]
    pass_time(world, timedelta(hours=4))
    shift = world.plugin.time.shift
    async with world.database.transaction() as other, world.database.transaction() as connection:
        await world.runtime.lock(other, [games[1]])
        now = await world.plugin.time.now(connection)
        assert not (await claiming.claim(connection, now, 5, timedelta(0), shift)).due  # it is later
        latest = now + timedelta(minutes=1)
        due = (await claiming.claim(connection, latest, 1, timedelta(0), shift)).due
        assert [each.game_id for each in due] == [games[2]]
        await claiming.unclaim(connection, due)
        due = (await claiming.claim(connection, latest, 5, timedelta(0), shift)).due
        assert [each.game_id for each in due] == [games[2], games[0]]
        assert not (await claiming.claim(connection, latest, 5, timedelta(0), shift)).due
    async with world.database.reading() as connection:
        assert (await claiming.seconds_until_due(connection, now, timedelta(0), shift) or 0) < -10_000
    for game in games:
        async with world.database.transaction() as connection:
            await world.runtime.end(connection, game)
    async with world.database.reading() as connection:
        assert await claiming.seconds_until_due(connection, now, timedelta(0), shift) is None


async def test_a_claim_that_is_undone_leaves_the_record_as_it_was(world: Any) -> None:
    """A turn that had begun stays begun, with its orders closed, and whoever holds it may still commit it."""
    await world.plugin.turns.close()
    game = await world.playing()
    await send(world, game, 1, [])
    pass_time(world, LONG)
    shift = world.plugin.time.shift
    async with world.database.transaction() as connection:
        latest = await world.plugin.time.now(connection) + timedelta(minutes=1)
        for begun in (False, True):
            before = await _whole(connection)
            [due] = (await claiming.claim(connection, latest, 1, timedelta(0), shift)).due
            assert (due.claimed, due.absent) == (begun, (2,)) and await _whole(connection) != before
            await claiming.unclaim(connection, [due])
            assert await _whole(connection) == before
            await claiming.claim(connection, latest, 1, timedelta(0), shift)
            lease_over = text("UPDATE runtime_records SET next_turn_at = due_at")
            await connection.execute(lease_over)


async def _whole(connection: Any) -> dict[str, Any]:
    row = await connection.execute(text("SELECT to_jsonb(r) FROM runtime_records AS r"))
    whole: dict[str, Any] = row.scalar_one()
    return whole


async def test_a_claim_has_memory_know_what_the_feed_has_not_told_yet(world: Any) -> None:
    """A game that memory takes for stopped, or whose engine it does not know, is shown as its row is."""
    await world.plugin.turns.close()
    game = await world.playing()
    cache = world.plugin._cache
    pass_time(world, LONG)
    async with world.database.reading() as connection:
        latest = await world.plugin.time.now(connection) + timedelta(hours=1)
    for stale in ({"wanted": "down"}, {"generation": 0}, {"address": "http://127.0.0.1:1"}):
        right = cache.get(game)
        cache._rows[game] = msgspec.structs.replace(right, **stale)
        found = await world.plugin.turns._turns.claim(1, latest)
        assert len(found.claims) == 1
        assert {name: getattr(cache.get(game), name) for name in stale} == {
            name: getattr(right, name) for name in stale
        }
        await world.plugin.turns._turns.release(found.claims)


async def test_a_claim_is_what_its_row_says(world: Any) -> None:
    """A claim, which is computed of the row before, equals the row as the claim leaves it, each time."""
    await world.plugin.turns.close()
    game = await world.playing()
    await send(world, game, 1, [])
    service = world.plugin.turns._turns
    for attempt in (1, 2):
        pass_time(world, LONG)
        async with world.database.reading() as connection:
            now = await world.plugin.time.now(connection)
        found = await service.claim(1, now + timedelta(minutes=1))
        [claim] = found.claims
        assert found.more and (claim.attempt, claim.turn) == (attempt, 0)
        held = await record(
            world, game, "turn_lease", "turn_attempts", "turn_claimed_at", "due_at", "turn_failure", "image"
        )
        assert held == (claim.lease, attempt, claim.claimed_at, claim.due_at, claim.failure, claim.image)
        assert await record(world, game, "orders_closed_at IS NOT NULL", "absent") == (True, [2])


@pytest.mark.parametrize("broken", ["trigger = 'unheard of'", """schedule = '{"interval": "soon"}'"""])
async def test_a_record_that_cannot_be_read_holds_up_no_other_game(world: Any, broken: str) -> None:
    """The other games that are due are claimed; it is locked with them, counts as one, and is looked at later."""
    await world.plugin.turns.close()
    games = [await world.playing() for _ in range(3)]
    await world.execute(f"UPDATE runtime_records SET {broken} WHERE game_id = '{games[1]}'")
    pass_time(world, LONG)
    async with world.database.reading() as connection:
        now = await world.plugin.time.now(connection)
    latest = now + timedelta(minutes=1)
    found = await world.plugin.turns._turns.claim(3, latest)
    assert {claim.game_id for claim in found.claims} == {games[0], games[2]} and found.more
    assert await record(world, games[1], "turn_attempts", "due_at") == (0, None)
    later = await record(world, games[1], "next_turn_at")
    assert later > now and world.plugin.turns._turns._cache.get(games[1]).next_turn_at == later  # memory hears of it
    found = await world.plugin.turns._turns.claim(3, latest)
    assert not found.claims and not found.more


async def test_the_claim_uses_its_index(world: Any) -> None:
    """Looking for due games costs a range of an index, however many there are."""
    await world.execute(
        "INSERT INTO runtime_records (game_id, engine_version_id, image, seats, options, seed, schedule, playing,"
        " next_turn_at, request_id) SELECT gen_random_uuid(), gen_random_uuid(), 'x', '{}', '{}', '', '{}', true,"
        " now() + n * interval '1 minute', 'tests' FROM generate_series(1, 5000) AS n"
    )
    await world.execute("ANALYZE runtime_records")
    async with world.database.reading() as connection:
        statement, none = claiming._CLAIM.element.text, "interval '0'"
        for name, value in {
            ":shift": none,
            ":spread": none,
            ":lease_time": none,
            ":limit": "16",
            ":latest": "now()",
        }.items():
            statement = statement.replace(name, value)
        plan = "\n".join((await connection.exec_driver_sql(f"EXPLAIN {statement}")).scalars())
    assert "runtime_records_due_idx" in plan and "Seq Scan" not in plan


async def test_a_turn_waits_until_nobody_uses_the_engines_memory(world: Any) -> None:
    """An engine without `bundle` is loaded once the order lease has ended; one with it at once."""
    await world.plugin.turns.close()
    world.plugin.turns._stopping = False
    world.engines.make = lambda game_id: DoubleEngine(capabilities=() if game_id == slow else ("bundle",))
    slow, quick = await world.playing(), await world.playing()
    until = "next_turn_at + interval '1 minute'"
    await world.execute(f"UPDATE runtime_records SET order_lease = 1, order_lease_until = {until}")
    pass_time(world, LONG)
    await made(world, quick, 1)
    await world.until(lambda: slow in world.engines.engines)
    assert world.engines.engines[slow].calls == []
    assert await record(world, slow, "orders_closed_at IS NOT NULL", "turn") == (True, 0)
    world.plugin.time.shift += timedelta(minutes=1)
    await made(world, slow, 1)
