"""A process that dies between any two lines of a turn leaves what another takes up: each turn once, told once."""

import asyncio
import os
import random
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from engine_doubles import DoubleEngine
from turn_play import LONG, made, pass_time, record, send, shows, state, wake

from galaxy_runtime.turns import claiming, commit, queries, running
from galaxy_runtime.turns.domain import LEASE

REPLICA = str(Path(__file__).parents[1] / "support" / "turn_replica.py")
LEASE_OVER = LEASE + timedelta(seconds=1)


def die(world: Any) -> None:
    """Stop everything of a replica's turns, as an end of its process would: nothing is given back."""
    worker = world.plugin.turns
    worker._stopping = True
    for task in [*worker._running, *worker._commits._tasks]:
        task.cancel()


async def _keep_told(world: Any) -> None:
    """Have the game's owner write what it hears of with the caller's transaction."""
    await world.execute("CREATE TABLE IF NOT EXISTS told (game_id uuid, turn int)")

    async def positions_made(connection: Any, told: Any) -> None:
        for each in told:
            await connection.exec_driver_sql(f"INSERT INTO told VALUES ('{each.game_id}', {each.turn})")
        world.table.made += told

    world.table.positions_made = positions_made


def _dies_at(monkeypatch: pytest.MonkeyPatch, world: Any, holder: Any, name: str, *, after: bool) -> list[str]:
    """Have the replica die as it first calls `name`, or as that returns; return where it did."""
    original, died = getattr(holder, name), []

    async def dying(*arguments: Any, **named: Any) -> Any:
        result = await original(*arguments, **named) if after or died else None
        if not died:
            died.append(name)
            die(world)
            raise asyncio.CancelledError
        return result

    monkeypatch.setattr(holder, name, dying)
    return died


BEFORE = [
    (claiming, "claim"),
    (queries, "read_inputs"),
    (running, "adjudicate"),
    (queries, "lock_held"),
    (queries, "advance"),
    (commit, "insert_positions"),
    (queries, "use_orders"),
    (commit.Commits, "_tell"),
]
AFTER = [
    (claiming, "claim"),
    (queries, "read_inputs"),
    (running, "adjudicate"),
    (commit.Commits, "_tell"),
    (commit.Commits, "_write"),
]
BOUNDARIES = [
    *(pytest.param(holder, name, False, id=f"before {name}") for holder, name in BEFORE),
    *(pytest.param(holder, name, True, id=f"after {name}") for holder, name in AFTER),
]


@pytest.mark.parametrize(("holder", "name", "after"), BOUNDARIES)
async def test_another_replica_takes_a_turn_up(
    make_world: Any, monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, after: bool
) -> None:
    """Wherever the first one dies, the turn is made once, with the orders that were accepted."""
    world = await make_world()
    await _keep_told(world)
    game = await world.playing()
    await send(world, game, 1, [{"go": 1}])
    died = _dies_at(monkeypatch, world, holder, name, after=after)
    pass_time(world, LONG)
    await world.until(lambda: bool(died) and not world.plugin.turns._running)
    other = await make_world(beside=world)
    await _keep_told(other)
    other.plugin.time.shift = world.plugin.time.shift
    pass_time(other, LEASE_OVER)
    await shows(other, game, turn=1)
    assert [entry["orders"]["1"] for entry in (await state(other, game))["log"]] == [[{"go": 1}]]
    assert await other.rows("SELECT game_id, turn FROM told") == [(game, 1)]
    assert await other.rows("SELECT turn, count(*) FROM runtime_turns GROUP BY turn ORDER BY turn") == [(0, 1), (1, 1)]
    assert await record(other, game, "orders_closed_at", "due_at", "turn_attempts") == (None, None, 0)


async def test_a_claim_that_is_late_changes_nothing(make_world: Any) -> None:
    """A process that slept through its lease finds its claim superseded."""
    world = await make_world()
    game = await world.playing()
    computed = asyncio.Event()
    go_on = asyncio.Event()
    write = world.plugin.turns._commits._write

    async def sleeping(turns: Any) -> Any:
        computed.set()
        await go_on.wait()
        return await write(turns)

    world.plugin.turns._commits._write = sleeping
    pass_time(world, LONG)
    await computed.wait()
    other = await make_world(beside=world)
    other.plugin.time.shift = world.plugin.time.shift
    pass_time(other, LEASE_OVER)
    await made(other, game, 1)
    go_on.set()
    await world.until(lambda: not world.plugin.turns._running)
    assert world.table.made == []
    assert await world.rows("SELECT count(*) FROM runtime_turns WHERE game_id = :game", game=game) == [(2,)]


async def test_leases_are_renewed_while_turns_run(world: Any) -> None:
    """A long turn is renewed, whether or not somebody has its record locked; a lost one is not."""
    games = [await world.playing() for _ in range(3)]
    held = []
    for game in games:
        await world.execute(
            "UPDATE runtime_records SET due_at = now(), turn_claimed_at = now(), turn_lease = 4,"
            " next_turn_at = now() + interval '1 hour' WHERE game_id = :game",
            game=game,
        )
        held.append((game, 4))
    async with world.database.transaction() as connection:
        await world.runtime.lock(connection, [games[1]])
        kept = await world.plugin.turns._turns.renew([held[0], held[1], (games[2], 3)])
    assert set(kept) == {held[0], held[1]}
    lengths = [await record(world, game, "next_turn_at < now() + interval '1 minute'") for game in games]
    assert lengths == [True, False, False]


async def test_a_replica_that_stops_returns_its_claims(make_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is left runs the turn at once, and no attempt was counted."""
    world = await make_world()
    game = await world.playing()
    waiting = asyncio.Event()

    async def hang(*arguments: Any, **named: Any) -> Any:
        waiting.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(running, "adjudicate", hang)
        pass_time(world, LONG)
        await waiting.wait()
        await world.plugin.turns.close()
    await shows(world, game, turn_attempts=0, turn_claimed_at=None, turn=0)
    other = await make_world(beside=world)
    other.plugin.time.shift = world.plugin.time.shift
    wake(other)
    await made(other, game, 1)


async def test_two_replicas_and_twenty_deaths(make_world: Any) -> None:
    """Each turn of five games is made once, in order, with its orders, whoever dies when (S-18 in short)."""
    chosen = random.Random(18)
    world = await make_world(turn_attempts="20")
    await _keep_told(world)
    games = [await world.playing(interval=timedelta(hours=1)) for _ in range(5)]
    worlds = [world, await make_world(beside=world, turn_attempts="20")]
    await _keep_told(worlds[1])
    sent: dict[tuple[UUID, int], int] = {}
    for death in range(20):
        for game in games:
            if (game, await record(world, game, "turn")) in sent:
                continue
            if (turn := await send(world, game, 1, [{"death": death}])) is not None:
                sent[game, turn] = death
        pass_time(world, timedelta(hours=1), worlds[1])
        for _ in range(chosen.randrange(400)):
            await asyncio.sleep(0)
        victim = chosen.choice(worlds)
        die(victim)
        await victim.until(lambda victim=victim: not victim.plugin.turns._running)
        victim.plugin.turns._stopping = False
    pass_time(world, LEASE_OVER, worlds[1])
    for game in games:
        await shows(world, game, due_at=None, **{"turn > 0": True})
    for game in games:
        rows = await world.rows("SELECT turn FROM told WHERE game_id = :game ORDER BY turn", game=game)
        assert [turn for (turn,) in rows] == list(range(1, len(rows) + 1)) and rows
        used = await world.rows(
            "SELECT turn, convert_from(orders, 'UTF8') FROM runtime_orders"
            " WHERE game_id = :game AND used_digest IS NOT NULL ORDER BY turn",
            game=game,
        )
        assert used == [
            (turn, f'[{{"death": {sent[game, turn]}}}]') for turn in range(len(rows)) if (game, turn) in sent
        ]


class Replicas:
    """Replicas in processes of their own, started by one that has imported everything."""

    def __init__(self, starter: asyncio.subprocess.Process) -> None:
        self._starter, self._pids = starter, list[int]()

    @classmethod
    async def prepare(cls, *arguments: str) -> "Replicas":
        """Return none yet."""
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        command = (sys.executable, "-u", REPLICA, *arguments)
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=nothing))

    async def start(self) -> None:
        """Start one, and wait until it is ready."""
        assert self._starter.stdin is not None and self._starter.stdout is not None
        self._starter.stdin.write(b"\n")
        async for line in self._starter.stdout:
            if line.strip().isdigit():  # the others are its log
                self._pids.append(int(line))
                return
        pytest.fail("the replica did not start")

    def kill(self) -> None:
        """Kill the oldest with SIGKILL."""
        os.kill(self._pids.pop(0), signal.SIGKILL)

    async def stop(self) -> None:
        """Kill all of them, and what started them."""
        while self._pids:
            self.kill()
        self._starter.kill()
        await self._starter.communicate()


@pytest.mark.slow
async def test_twenty_processes_killed_in_mid_turn(make_world: Any) -> None:
    """Killed by SIGKILL with another beside it, no replica runs a turn twice or loses orders (S-18 in short)."""
    world = await make_world()
    await world.plugin.turns.close()
    await _keep_told(world)
    engine = DoubleEngine()
    replicas = await Replicas.prepare(world.booted.dsn, await engine.start(), str(world.version.id))
    games = [await world.playing(interval=timedelta(milliseconds=300)) for _ in range(4)]
    accepted: set[tuple[UUID, int]] = set()
    try:
        await replicas.start()
        for _ in range(20):
            for game in games:
                turn = await record(world, game, "turn")
                if (game, turn) not in accepted and await send(world, game, 1, [{"turn": turn}]) is not None:
                    accepted.add((game, turn))
            await replicas.start()
            replicas.kill()
        await world.execute("UPDATE runtime_records SET schedule = '{\"interval\": 86400}' WHERE due_at IS NULL")
        for game in games:
            await shows(world, game, **{"turn > 5": True})
    finally:
        await replicas.stop()
        await engine.stop()
    for game in games:
        rows = await world.rows("SELECT turn FROM told WHERE game_id = :game ORDER BY turn", game=game)
        assert [turn for (turn,) in rows] == list(range(1, len(rows) + 1))
    lost = "SELECT count(*) FROM runtime_orders AS o JOIN runtime_records AS r USING (game_id)"
    assert await world.rows(f"{lost} WHERE o.turn < r.turn AND o.used_digest IS NULL") == [(0,)]
    positions = "SELECT count(*) FROM runtime_turns GROUP BY game_id, turn HAVING count(*) > 1"
    assert await world.rows(positions) == []
