"""The interface to a host of engines: which engine of which generation should exist, and what is really there.

A driver is declarative and keeps no state of its own: every call is idempotent, and what it observes is the only truth
about engines. An implementation for another host is another class with these seven calls; one suite of tests holds all.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

import msgspec

PullPolicy = Literal["if_missing", "always", "never"]
EngineState = Literal["starting", "running", "ended", "leaving"]


class EngineId(msgspec.Struct, frozen=True):
    """Which engine: the generation grows with each replacement, and is part of the engine's name."""

    owner: str
    """The installation's id, a UUID as text: the first 8 hex digits stand in names, the whole in labels."""
    game_id: UUID
    generation: int

    @property
    def name(self) -> str:
        """The engine's name: names are unique on a host, which makes them the mutex of a generation."""
        return f"galaxy-{self.owner[:8]}-{self.game_id}-{self.generation}"


class Limits(msgspec.Struct, frozen=True):
    """What an engine may use."""

    memory: int = 256 * 1024 * 1024
    """Bytes."""
    cpus: float = 1.0
    pids: int = 64
    tmpfs: int = 16 * 1024 * 1024
    """Bytes of /tmp. It, /dev/shm and the volumes that the image declares, each as large, can be written to."""


class EngineSpec(msgspec.Struct, frozen=True):
    """An engine as it should be."""

    id: EngineId
    image: str
    """An image reference or `image@digest`; an executable's path under the driver `process`."""
    environment: Mapping[str, str]
    """Such as GALAXY_TOKEN. The driver sets PORT."""
    limits: Limits = Limits()
    port: int | None = None
    """What PORT is to be; None leaves it to the driver."""


class Observed(msgspec.Struct, frozen=True):
    """An engine as it is."""

    id: EngineId
    handle: str
    """What the host calls it: a container id, `pid:start-time`."""
    image: str
    state: EngineState
    address: str | None
    """`host:port` that this process can reach; None while there is none."""
    started_at: datetime | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    detail: str = ""
    """What the host says of it, for people."""


class Prepared(msgspec.Struct, frozen=True):
    """An image that can be launched."""

    image: str
    digest: str | None = None
    """`repository@sha256:…` where a registry gave one."""
    size: int | None = None
    """Bytes."""


class EngineDriver(Protocol):
    """A host of engines. Every call raises `HostUnreachable` where the host does not answer."""

    @property
    def name(self) -> str:
        """The name by which settings choose the driver."""
        ...

    async def check(self) -> None:
        """Return if one more engine could be launched now; raise the failure that stands in the way."""
        ...

    async def prepare(self, image: str, policy: PullPolicy) -> Prepared:
        """Ensure that the image is here. Raise `ImageNotFound` or `PullFailed`. Pulls of one image at once are one."""
        ...

    async def launch(self, spec: EngineSpec) -> Observed:
        """Create and start the engine; return the one that is there if it exists already.

        A generation is started once: one that has ended is returned as it ended. A launch that was cancelled, or whose
        process was killed, leaves at most what the next launch of the same id finishes or returns.

        Raise `NameTaken`, `StartFailed`, `PortConflict`, `ImageNotFound` or `ConfigInvalid`.
        """
        ...

    async def remove(self, handle: str, grace: timedelta) -> None:
        """Stop the engine, kill it after `grace`, and leave nothing of it. One that is gone already is fine."""
        ...

    async def observe(self, game_id: UUID | None = None) -> Sequence[Observed]:
        """Return every engine of this owner (of one game), ended ones included."""
        ...

    def watch(self) -> AsyncIterator[UUID]:
        """Yield games to look at again. Hints only: they may repeat, may be missed, and the iterator may end."""
        ...

    async def logs(self, handle: str, tail: int) -> str:
        """Return the last `tail` bytes of what the engine wrote, control characters removed; "" if it is gone."""
        ...

    async def close(self) -> None:
        """Close connections to the host. Engines go on."""
        ...
