"""Operations, their steps and what may follow on what. No I/O."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from galaxy_contracts.engines import EngineVersion
from galaxy_contracts.runtime import Operation
from galaxy_contracts.schedules import Schedule
from galaxy_kernel.api import Problem, conflict
from galaxy_runtime.domain import Seats

LEASE = timedelta(seconds=10)
"""How long a process may work at an operation without renewing."""
HUNG_AFTER = timedelta(seconds=60)
"""An operation that is open for longer may be overtaken by force."""
TRANSIENT = frozenset({"pull_failed", "start_failed", "oom_killed", "unhealthy", "port_conflict"})
"""Failures of an engine's start after which it is tried again, up to `MOST_STARTS`."""
MOST_STARTS = 3


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """An open operation that this process works at."""

    id: UUID
    game_id: UUID
    operation: Operation
    input: dict[str, Any]
    lease: int
    taken_up: int
    request_id: str


class NewGame(msgspec.Struct, frozen=True, kw_only=True):
    """What a game begins with."""

    seats: Seats
    options: dict[str, Any]
    seed: bytes
    schedule: Schedule
    engine_version_id: UUID
    image: str
    epoch: int


def check_patch(now: EngineVersion, to: EngineVersion | None) -> EngineVersion:
    """Return the version that a game may be patched to: the same engine, major and minor, and a higher patch.

    Raise the problems 422 `engine_version_unknown` and 409 `patch_refused`.
    """
    if to is None:
        raise Problem(422, "engine_version_unknown", "There is no such engine version.")
    if (to.engine, to.major, to.minor) != (now.engine, now.major, now.minor) or to.patch <= now.patch:
        raise conflict(
            "patch_refused", f"{now.name} can be patched to a higher {now.major}.{now.minor}.x, not {to.name}."
        )
    if to.state == "retired":
        raise conflict("patch_refused", f"The engine version {to.name} is retired.")
    return to
