"""Turn policies: what happens at a game's deadline. Any plugin may register one; a game names it.

A policy decides at one moment, the deadline, and nowhere else. It is data in, data out: pure, so that the same
situation is decided the same way on every replica and after every crash.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
from pydantic import BaseModel

from galaxy_contracts.capability import Capability

LONGEST_POSTPONEMENT = timedelta(days=14)
"""How far from now a policy may move a deadline at a time."""


class SeatAtDeadline(msgspec.Struct, frozen=True, kw_only=True):
    """One awaited seat, as it stands at the deadline."""

    seat: int
    sent: bool
    """Whether it has a set of orders for this turn, final or not."""
    final: bool
    vacant: bool = False
    """Whether nobody plays it."""
    machine: bool = False
    """Whether the engine plays it: it counts as sent and final."""
    missed_in_row: int = 0
    """Scheduled turns before this one that its player missed without a break."""
    allowance_used: int = 0
    """How often a postponement was charged to it (`Postpone.spent`)."""
    away_until: datetime | None = None


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """A game at its deadline."""

    now: datetime
    due_at: datetime
    """The deadline; earlier than `now` where the service was late."""
    turn: int
    phase: str | None
    seats: tuple[SeatAtDeadline, ...]
    """The awaited seats."""
    postponed: int
    """How often this turn was postponed by its policy."""
    options: Mapping[str, Any]
    """The game's `policy_options`, checked against the policy's model."""


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Adjudicate the turn now."""

    absent: tuple[int, ...]
    """Awaited seats that sent nothing: the engine gives them its default orders."""


class Postpone(msgspec.Struct, frozen=True, tag="postpone"):
    """Move the deadline; players are told."""

    until: datetime
    """Later than now, by at most `LONGEST_POSTPONEMENT`."""
    spent: tuple[int, ...] = ()
    """Seats to which it is charged."""
    reason: str = ""


class Halt(msgspec.Struct, frozen=True, tag="halt"):
    """Pause the game."""

    reason: str


Decision = Run | Postpone | Halt


class TurnPolicy(Protocol):
    """What a game does at its deadline.

    Laws, which the runtime plugin's suite holds for every registered policy: the same situation gives the same
    decision; `now < until <= now + LONGEST_POSTPONEMENT`; `absent` is among the awaited seats that sent nothing;
    however a turn's deadlines repeat, with `postponed` growing, it comes to `Run` or `Halt`.
    """

    @property
    def name(self) -> str:
        """The word by which a game names it."""

    @property
    def options(self) -> type[BaseModel]:
        """The model of a game's `policy_options`."""

    def decide(self, situation: Situation) -> Decision:
        """Return what happens; no I/O, no clock but `situation.now`."""


class TurnPolicies(Protocol):
    """Where policies are registered."""

    def register(self, policy: TurnPolicy) -> None:
        """Make a policy known, in the owner's lifespan. Raise ValueError for a name given twice."""

    def find(self, name: str) -> TurnPolicy | None:
        """Return the policy of that name."""


TURN_POLICIES: Capability[TurnPolicies] = Capability("runtime.turn_policies")
