"""A new engine beside the old one, then one commit: `restart` and `patch` are one routine (SPEC R-2).

What a crash leaves behind: until the commit the game is on its old engine, and the operation is open; whoever takes it
up removes what it does not know by the plan, and begins again. After the commit the old engine is removed by the plan.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from msgspec import Raw
from sqlalchemy import select

from galaxy_contracts.engines import ENGINE_VERSIONS, EngineVersion
from galaxy_engine.failures import ConfigInvalid, EngineFailure
from galaxy_kernel.api import Connection, Context, LeaseLostError
from galaxy_runtime.domain import seats_from
from galaxy_runtime.engines.domain import Engine, Engines, Replacement
from galaxy_runtime.operations import queries
from galaxy_runtime.operations.domain import Claim
from galaxy_runtime.records.queries import change, lock
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.tables import runtime_orders
from galaxy_runtime.turns.adjudication import TurnInput, adjudicate

_TURN_LOOK = 0.2
"""Seconds between two looks whether the game's turn is done."""


class Replacements:
    """Replaces the engines of games."""

    def __init__(self, context: Context[RuntimeSettings], engines: Engines) -> None:
        self._context, self._engines = context, engines

    async def replace(self, claim: Claim, version: EngineVersion) -> None:
        """Put a game on a new engine of a version, and end the operation. Raise the failure that prevents it."""
        patch = "to" in claim.input
        async with self._engines.replacing(claim.game_id, version_id=version.id, image=version.launchable) as new:
            result = {"same_result": await self._rerun(claim.game_id, new.engine)} if patch else None
            await self._load(claim.game_id, new.engine)  # last: the engine holds what it was asked last
            while not await self._switched(claim, version, new, result):  # noqa: ASYNC110 # of any replica
                await asyncio.sleep(_TURN_LOOK)

    async def _switched(
        self, claim: Claim, version: EngineVersion, new: Replacement, result: Mapping[str, Any] | None
    ) -> bool:
        """Put the game on the new engine, unless its turn runs on the old one: then it has to wait."""
        async with self._context.database.transaction() as connection:
            await lock(connection, [claim.game_id])
            if await queries.turn_runs(connection, claim.game_id):
                return False
            await self._finish(connection, claim, version, new.engine, result)
            await new.switch(connection)
            return True

    async def _finish(
        self,
        connection: Connection,
        claim: Claim,
        version: EngineVersion,
        engine: Engine,
        result: Mapping[str, Any] | None,
    ) -> None:
        values = {"engine_version_id": version.id, "image": version.image, "digest": version.digest, "wanted": "up"}
        await change(connection, claim.game_id, values)
        ended = {"outcome": "succeeded", "step": "done", "generation": engine.generation, "result": result}
        if not await queries.finish(connection, claim, **ended):
            raise LeaseLostError(f"operation {claim.id} is in other hands")

    async def _load(self, game_id: UUID, engine: Engine) -> None:
        async with self._context.database.reading() as connection:
            snapshot = await queries.find_snapshot(connection, game_id)
        if snapshot is None:
            raise ConfigInvalid(f"game {game_id} has no position to load")
        await engine.client.load(snapshot.turn, Raw(bytes(snapshot.state)))

    async def _rerun(self, game_id: UUID, engine: Engine) -> bool | None:
        """Return whether the new engine gives the last turn's result again; None where that cannot be tried.

        For information: a version that mends an error may differ.
        """
        async with self._context.database.reading() as connection:
            now = await queries.find_snapshot(connection, game_id)
            before = await queries.find_snapshot(connection, game_id, back=1)
            if now is None or before is None:
                return None
            orders = await self._orders(connection, game_id, before.epoch, before.turn)
        given = TurnInput(
            game_id=game_id,
            turn=before.turn,
            state=bytes(before.state),
            seats=tuple(sorted(seats_from(before.seats))),
            orders=orders,
            machines=(),
            absent=tuple(now.absent),
            vacant=tuple(now.vacant),
            seed=now.seed,
        )
        try:
            again = await adjudicate(engine.client, engine.describe, given, verify=False)
        except EngineFailure as failure:
            self._context.log.info("patched_engine_differs", game_id=str(game_id), reason=str(failure))
            return False
        return again.state_digest == bytes(now.state_digest)

    @staticmethod
    async def _orders(connection: Connection, game_id: UUID, epoch: int, turn: int) -> dict[int, bytes]:
        c = runtime_orders.c
        statement = select(c.seat, c.orders).where(c.game_id == game_id, c.epoch == epoch, c.turn == turn)
        return {row.seat: bytes(row.orders) for row in await connection.execute(statement)}

    def version(self, version_id: UUID) -> EngineVersion:
        """Return a version. Raise ConfigInvalid for one that is not there any more."""
        version = self._context.require(ENGINE_VERSIONS).get(version_id)
        if version is None:
            raise ConfigInvalid(f"there is no engine version {version_id} any more")
        return version
