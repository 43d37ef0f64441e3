"""Engines as the other parts of the plugin use them."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import msgspec

from galaxy_engine.client import EngineClient
from galaxy_engine.messages import Describe
from galaxy_kernel.api import Connection


class Engine(msgspec.Struct, frozen=True):
    """A game's engine, healthy when last looked at. Its memory is worth nothing: load what it should know."""

    client: EngineClient
    describe: Describe
    generation: int
    version_id: UUID


class Replacement(Protocol):
    """An engine of the next generation, healthy, beside the one that the game has."""

    @property
    def engine(self) -> Engine:
        """The new engine."""

    async def switch(self, connection: Connection) -> None:
        """Make it the game's engine, with the caller's transaction.

        The caller writes the record's version and image itself.
        """


class Engines(Protocol):
    """Where the other parts have engines from. Failures are those of `galaxy_engine.failures`."""

    async def open(self, game_id: UUID, patience: timedelta) -> Engine:
        """Return the game's engine, healthy; start it where it sleeps, and note that it is used.

        From memory where it is up. Raise the problem 404 for a game without a record, or that has ended; 409
        `engine_stopped` where an operator has stopped it; 503 `engine_waking` when it takes longer than `patience`,
        while the start goes on; the failure that stands in the way, such as `HostUnreachable` or `Unhealthy`.
        """

    def suspect(self, game_id: UUID) -> None:
        """Have the engine looked at before it is opened again: a call to it broke off or could not be made."""

    async def wake(self, game_ids: Sequence[UUID]) -> None:
        """Have these games' engines started in the background: they will be used soon."""

    async def settle(self, game_id: UUID) -> None:
        """Bring a game's engine to what its record wants, now. Raise the failure that stands in the way."""

    def replacing(self, game_id: UUID, *, version_id: UUID, image: str) -> AbstractAsyncContextManager[Replacement]:
        """Make an engine of this version healthy beside the game's own, and hold the game's engine lease meanwhile.

        The caller loads it, and switches to it in a transaction. Whichever engine is not the game's when the block
        ends is removed. Raise what `open` raises.
        """
