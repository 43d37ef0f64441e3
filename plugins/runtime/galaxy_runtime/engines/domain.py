"""Engines as the other parts of the plugin use them."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import msgspec

from galaxy_engine.client import EngineClient
from galaxy_engine.failures import (
    ConfigInvalid,
    EngineError,
    EngineFailure,
    EngineRefused,
    EngineTimeout,
    HostUnreachable,
    ImageNotFound,
    OutOfMemory,
    PullFailed,
    StartFailed,
    Unhealthy,
)
from galaxy_engine.messages import Describe
from galaxy_kernel.api import Connection
from galaxy_runtime.reconciling import Desired, Wanted


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

    async def cause(self, game_id: UUID, generation: int, failure: EngineFailure) -> EngineFailure:
        """Return what is behind the failure of a call to an engine: `OutOfMemory` where that ended it.

        An engine whose call broke off is suspected, and given a moment: its end shows later than the broken call.
        """

    async def log(self, game_id: UUID, generation: int) -> str:
        """Return the end of what an engine wrote; empty where there is nothing of it."""

    async def wake(self, game_ids: Sequence[UUID]) -> None:
        """Have these games' engines started in the background: they will be used soon."""

    async def settle(self, game_id: UUID) -> None:
        """Bring a game's engine to what its record wants, now. Raise the failure that stands in the way."""

    def replacing(self, game_id: UUID, *, version_id: UUID, image: str) -> AbstractAsyncContextManager[Replacement]:
        """Make an engine of this version healthy beside the game's own, and hold the game's engine lease meanwhile.

        The caller loads it, and switches to it in a transaction. Whichever engine is not the game's when the block
        ends is removed. Raise what `open` raises; a failure of the new engine, also in the block, is raised as how it
        ended, with what it wrote, and operators are told.
        """


def lines_of(*parts: str) -> str:
    """Join what is known of a failure, its engine's output last, without what is empty."""
    return "\n".join(part for part in parts if part)


def broke_off(failure: EngineFailure) -> bool:
    """Whether a call broke off, or could not be made: the engine is in doubt."""
    return isinstance(failure, EngineTimeout | EngineError) and not isinstance(failure, EngineRefused)


LEASE = timedelta(seconds=10)
"""How long one process may act on a game's engine without renewing."""
BACKOFF = tuple(timedelta(seconds=seconds) for seconds in (0, 1, 5, 30, 60, 300))
"""Between a crash and the next start, by the number of crashes."""
FORGOTTEN_AFTER = timedelta(minutes=10)
"""An engine that was healthy for so long has a fresh count of crashes."""
MOST_CRASHES = 8
"""With so many the game is paused until somebody has looked."""
STATUSES = ("none", "pulling", "starting", "healthy", "unhealthy", "crashed", "failed")
"""What a record says of its engine."""
ON_ITS_WAY = ("pulling", "starting")
"""Statuses of an engine that may be there without being noted: its launch has begun."""
LOG_TAIL = 16_384
"""Bytes of an ended engine's output that are kept."""
FAILURES = {
    failure.code: failure
    for failure in (HostUnreachable, ImageNotFound, PullFailed, StartFailed, OutOfMemory, Unhealthy, ConfigInvalid)
}
"""Those that a record may hold, by code."""


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    """What a game's record says of its engine, and when it was read."""

    game_id: UUID
    engine_version_id: UUID
    image: str
    digest: str | None
    turn: int
    playing: bool
    ended: bool
    wanted: Wanted
    generation: int
    generation_issued: int
    status: str
    handle: str | None
    address: str | None
    failure: str | None
    failure_detail: str | None
    crashes: int
    oom_generation: int | None
    not_before: datetime | None
    healthy_since: datetime | None
    unhealthy_since: datetime | None
    next_turn_at: datetime | None
    engine_lease: int
    engine_lease_until: datetime | None
    held: bool
    """Whether a process holds the lease."""
    now: datetime

    def desired(self, *, in_hand: bool) -> Desired:
        """Return it as the plan takes it."""
        return Desired(
            game_id=self.game_id,
            wanted=self.wanted,
            generation=self.generation,
            generation_issued=self.generation_issued,
            handle=self.handle,
            address=self.address,
            on_its_way=self.status in ON_ITS_WAY,
            not_before=self.not_before,
            unhealthy_since=self.unhealthy_since,
            in_hand=in_hand,
        )

    @property
    def placed(self) -> bool:
        """Whether the game has a place among the engines that may run; see `places`."""
        return self.handle is not None or self.status in ON_ITS_WAY

    @property
    def healthy(self) -> bool:
        """Whether there is an engine that answers."""
        return self.status == "healthy" and self.address is not None

    @property
    def healed(self) -> bool:
        """Whether it was healthy for so long that former crashes do not count any more."""
        return self.healthy_since is not None and self.now - self.healthy_since > FORGOTTEN_AFTER

    def next_generation(self) -> dict[str, Any]:
        """Return the columns of a record whose engine is to be another one."""
        return {
            "generation": self.generation_issued + 1,
            "generation_issued": self.generation_issued + 1,
            "handle": None,
            "address": None,
            "healthy_since": None,
            "unhealthy_since": None,
        }

    def crashed(self, failure: EngineFailure, log: str) -> dict[str, Any]:
        """Return the columns of a record whose engine has ended, or could not be started: the next one, in a while.

        Where the next one follows an engine that was there at once, the game keeps its place.
        """
        crashes = 1 if self.healed else self.crashes + 1
        delay = BACKOFF[min(crashes, len(BACKOFF)) - 1]
        detail = lines_of(str(failure), failure.detail, log)
        values = {
            "status": "crashed" if delay or self.handle is None else "starting",
            "failure": failure.code,
            "failure_detail": detail[:LOG_TAIL],
            "crashes": crashes,
            "not_before": self.now + delay,
        }
        if isinstance(failure, OutOfMemory):
            values["oom_generation"] = self.generation
        if crashes >= MOST_CRASHES:
            values |= {"status": "failed", "wanted": "idle"}
        return values | self.next_generation()
