"""The first position of a game: its engine healthy, its options held against the schema, `init`, one commit.

What a crash leaves behind, by where the process dies: before the commit an open operation, which is taken up when its
lease ends; the engine is found by its name, and `init` gives the same answer to the same input. After it, everything.
"""

from collections.abc import Mapping
from datetime import timedelta
from time import monotonic
from typing import Any

from galaxy_contracts.runtime import Failure, Trigger
from galaxy_engine.checking import check_position
from galaxy_engine.failures import ConfigInvalid
from galaxy_engine.messages import Describe, Init, SeatName
from galaxy_engine.option_schema import option_faults
from galaxy_kernel.api import Cache, Connection, Context, LeaseLostError
from galaxy_runtime.caches import Record
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.engines.domain import Engine
from galaxy_runtime.notices import Notices
from galaxy_runtime.operations import queries
from galaxy_runtime.operations.domain import Claim, NewGame
from galaxy_runtime.records.domain import remind_at
from galaxy_runtime.records.queries import change, lock_clock
from galaxy_runtime.records.service import RECONCILE_WORKER, TURN_WORKER
from galaxy_runtime.schedules import next_tick
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.table import ObservingTable
from galaxy_runtime.turns.domain import seed_of
from galaxy_runtime.turns.positions import NewPosition, insert_positions


class Beginnings:
    """Begins games on their engines."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[Any, Record],
        time: DatabaseTime,
        table: ObservingTable,
        notices: Notices,
    ) -> None:
        self._context, self._cache, self._time = context, cache, time
        self._table, self._notices = table, notices

    async def begin(self, claim: Claim, game: NewGame, engine: Engine) -> None:
        """Make position 0 and commit it with the operation's end. Raise the engine's failure, or LeaseLostError."""
        check_game(game, engine.describe)
        seed = seed_of(game.seed, claim.game_id, 0, game.epoch)
        names = tuple(SeatName(number, seat.name) for number, seat in sorted(game.seats.items()))
        started = monotonic()
        position = await engine.client.init(Init(str(claim.game_id), seed, names, game.options))
        check_position(position, turn=0, seats=tuple(game.seats))
        made = NewPosition(
            game_id=claim.game_id,
            epoch=game.epoch,
            position=position,
            seats=tuple(sorted(game.seats)),
            trigger=Trigger.START,
            duration=timedelta(seconds=monotonic() - started),
            seed=seed,
            engine_version_id=engine.version_id,
            generation=engine.generation,
            request_id=claim.request_id,
        )
        async with self._context.database.transaction() as connection:
            await self._commit(connection, claim, made)

    async def fail(self, claim: Claim, game: NewGame, failure: Failure, log: str | None) -> None:
        """End the operation without a first position: the engine goes, and the game's owner and operators are told."""
        async with self._context.database.transaction() as connection:
            clock = await lock_clock(connection, claim.game_id, self._time)
            values = {"outcome": "failed", "error_code": failure.code, "error": failure.message, "log_tail": log}
            if clock is None or clock.ended or not await queries.finish(connection, claim, **values):
                return
            await self._cache.put(connection, await change(connection, claim.game_id, {"wanted": "down"}))
            await self._table.owner.start_failed(connection, claim.game_id, failure)
            await self._notices.tell(
                connection, failure, game_id=claim.game_id, image=game.image, turn=None, now=clock.now
            )
            self._context.wakeups.after_commit(connection, RECONCILE_WORKER)

    async def _commit(self, connection: Connection, claim: Claim, made: NewPosition) -> None:
        clock = await lock_clock(connection, claim.game_id, self._time)
        if clock is None or clock.ended:
            raise LeaseLostError(f"game {claim.game_id} has ended while it was started")
        if not await queries.finish(connection, claim, outcome="succeeded", step="done", generation=made.generation):
            raise LeaseLostError(f"operation {claim.id} is in other hands")
        await insert_positions(connection, [made], self._time.shift)
        finished = made.position.finished
        tick = next_tick(clock.schedule, anchor=clock.now, now=clock.now, due=None, made_at=clock.now).at
        clocks: Mapping[str, Any] = {
            "playing": True,
            "anchor": clock.now,
            "next_turn_at": tick,
            "tick_at": tick,
            "remind_at": remind_at(clock.now, tick),
        }
        closed = {"ended": True, "ended_at": clock.now, "wanted": "down"}
        position = {
            "turn": 0,
            "awaiting": list(made.awaiting),
            "phase": made.position.phase,
            "sent": [],
            "final": [],
            "made_at": clock.now,
            "used_at": clock.now,
        }
        record = await change(connection, claim.game_id, {**position, **(closed if finished else clocks)})
        if finished:
            await self._cache.drop(connection, claim.game_id)
        else:
            await self._cache.put(connection, record)
        await self._table.owner.position_made(connection, made.told(None if finished else tick))
        self._context.wakeups.after_commit(connection, RECONCILE_WORKER if finished else TURN_WORKER)


def check_game(game: NewGame, describe: Describe) -> None:
    """Return if an engine can play the game. Raise ConfigInvalid with everything that it cannot."""
    faults = list(option_faults(describe.options_schema, game.options))
    players = describe.players
    if not players.min <= len(game.seats) <= players.max:
        faults.append(f"{len(game.seats)} seats: the engine plays with {players.min} to {players.max}")
    if faults:
        raise ConfigInvalid("the engine cannot play this game: " + "; ".join(faults))
