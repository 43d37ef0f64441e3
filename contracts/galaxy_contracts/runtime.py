"""Engines, time and positions of games: what the runtime plugin offers, and what it asks of whoever owns the games.

Every call that writes takes the caller's connection, so that a game's transition, its record and its operation commit
together; and `GameTable` is called on the runtime's connection, so that a turn is one transaction with all that
follows from it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec

from galaxy_contracts.capability import Capability
from galaxy_contracts.database import Connection
from galaxy_contracts.schedules import Schedule


class ActorKind(StrEnum):
    """Who wants an operation."""

    OPERATOR = "operator"
    OWNER = "owner"
    SCHEDULER = "scheduler"
    RECONCILER = "reconciler"


class Actor(msgspec.Struct, frozen=True):
    """Who wants an operation: an admin account, a player, or the runtime itself."""

    kind: ActorKind
    id: UUID | None = None


class Operation(StrEnum):
    """What can be done to a game's engine. `start` comes with `Runtime.launch` too."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    PATCH = "patch"
    FORCE_NEXT_TURN = "force-next-turn"


class Trigger(StrEnum):
    """Why a turn ran."""

    START = "start"
    """Position 0."""
    SCHEDULED = "scheduled"
    FORCED = "forced"
    FINAL = "final"
    """All awaited seats had final orders."""


class SeatPlayer(msgspec.Struct, frozen=True, kw_only=True):
    """A seat at the start of a game."""

    seat: int
    """From 1."""
    name: str
    """What the engine calls its player; at most 80 characters."""
    machine: bool = False
    """Whether the engine plays it (capability `suggest`)."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """A game to start."""

    game_id: UUID
    engine_version_id: UUID
    seats: tuple[SeatPlayer, ...]
    options: Mapping[str, Any]
    schedule: Schedule
    run_when_final: bool = False
    policy: str = "fixed"
    policy_options: Mapping[str, Any] = {}


class Failure(msgspec.Struct, frozen=True):
    """Why something did not work: a type of `galaxy_engine.failures`, and a sentence."""

    code: str
    message: str


class PositionMade(msgspec.Struct, frozen=True, kw_only=True):
    """A position that is being committed, and the turn that made it."""

    game_id: UUID
    turn: int
    """Of the position; 0 is the start."""
    trigger: Trigger
    final_seat: int | None = None
    """The seat whose final orders made the turn run, under the trigger `final`."""
    awaiting: tuple[int, ...]
    """Seats that may order now."""
    absent: tuple[int, ...] = ()
    """Awaited seats with a player that sent nothing for the turn that ran."""
    eliminated: tuple[int, ...] = ()
    """All that are out, not only since this turn."""
    phase: str | None = None
    finished: bool = False
    result: Mapping[str, Any] | None = None
    next_turn_at: datetime | None = None
    """None once finished, and while suspended."""


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A seat's set of orders, as its player sent it."""

    turn: int
    orders: Sequence[msgspec.Raw]
    final: bool = False
    account_id: UUID
    expected_revision: int | None = None
    """From `If-Match`: refused with 412 `orders_changed` where the stored set has another; 0: where there is one."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """That a set is committed."""

    turn: int
    revision: int
    """From 1, for each seat and turn."""
    final: bool


class StoredOrders(msgspec.Struct, frozen=True, kw_only=True):
    """A seat's set for the current turn."""

    turn: int
    orders: msgspec.Raw
    """A JSON array."""
    final: bool
    revision: int
    submitted_at: datetime


class TurnSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A position in a game's history."""

    turn: int
    trigger: Trigger
    due_at: datetime | None
    made_at: datetime
    phase: str | None
    absent: tuple[int, ...]
    eliminated: tuple[int, ...]
    finished: bool


class GameStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What people see of a running game, from memory."""

    turn: int
    awaiting: tuple[int, ...]
    orders_closed: bool
    """From the turn's time, or its claim before that, until the next position."""
    phase: str | None
    next_turn_at: datetime | None
    """The tick that will really run."""
    sent: tuple[int, ...] = ()
    final: tuple[int, ...] = ()


class GameTable(Protocol):
    """The owner of the games. Called on the runtime's connection, inside its transaction.

    A call that raises rolls back that game's part of the transaction and no other game's. Whoever changes a game that
    was launched locks its record first (`Runtime.lock`), then its own rows: so the caller holds the record, has written
    its own part already, and may itself be called back on this connection (`suspend`).
    """

    async def position_made(self, connection: Connection, made: PositionMade) -> None:
        """Note a new position: the game runs or is finished, absences count, players are told."""

    async def positions_made(self, connection: Connection, made: Sequence[PositionMade]) -> None:
        """Note positions of several games, as `position_made` does each, in a few statements for all of them.

        Where it raises, nothing can be said of any of them: roll back, and note them one by one.
        """

    async def start_failed(self, connection: Connection, game_id: UUID, failure: Failure) -> None:
        """Note that a game could not be started."""

    async def halted(self, connection: Connection, game_id: UUID, failure: Failure) -> None:
        """Note that a game's clock was stopped since its turn could not be adjudicated, or by its policy."""

    async def postponed(self, connection: Connection, game_id: UUID, until: datetime, reason: str) -> None:
        """Note that a deadline was moved by the game's policy, or after a time when no backend ran."""

    async def deadline_near(self, connection: Connection, game_id: UUID, turn: int, seats: Sequence[int]) -> None:
        """Remind these awaited seats, which have sent nothing, of the deadline; once a turn."""


Question = Literal["options", "validate"]


class Runtime(Protocol):
    """Games on engines. An unknown game is a Problem 404; refusals are the Problems that routes answer."""

    def observe(self, table: GameTable) -> None:
        """Hand over the owner of the games, once, in its lifespan."""

    def check_schedule(self, schedule: Schedule, shortest: timedelta) -> None:
        """Return if the schedule can be kept. Raise Problem 422 with the fields that are wrong.

        `shortest` is how close two ticks may be.
        """

    def check_policy(self, name: str, options: Mapping[str, Any]) -> None:
        """Return if there is such a policy and the options fit it. Raise Problem 422 with the fields that are wrong."""

    async def lock(self, connection: Connection, game_ids: Sequence[UUID]) -> Sequence[UUID]:
        """Lock the records of these games, in the order of ids, until the caller's transaction ends.

        Turns lock a game's record before its owner's rows, so everybody does. Games without a record are passed over:
        return those that have one. A game may be launched before its owner's rows are locked, and then has a record
        that is not: the caller lets go of the rows and begins with the record.
        """

    async def launch(self, connection: Connection, launch: Launch) -> UUID:
        """Make the record and the operation `start` of a game, or start one again that could not; return its id."""

    async def operate(
        self,
        connection: Connection,
        game_id: UUID,
        operation: Operation,
        actor: Actor,
        *,
        to_version: UUID | None = None,
        force: bool = False,
    ) -> UUID:
        """Record an operation and return its id; a worker carries it out. 409 `operation_in_progress`.

        A turn that is due already is not forced: 409 `turn_running`.

        `to_version` is for `patch`; `force` lets a `stop` overtake an operation that has hung for a minute.
        """

    async def suspend(self, connection: Connection, game_id: UUID) -> None:
        """Stop the game's clock and keep what is left of the turn."""

    async def resume(self, connection: Connection, game_id: UUID) -> datetime | None:
        """Let the clock go on with what was left, or at the tick of cron that was told; return when the turn runs."""

    async def postpone(self, connection: Connection, game_id: UUID, until: datetime) -> datetime:
        """Move the next turn later, never earlier (422 `until`); return when it runs.

        Raise the problem 409 `turn_running` for one that is due already.
        """

    async def vacate(self, connection: Connection, game_id: UUID, seat: int) -> None:
        """Note that nobody plays the seat any more: who runs when all are final may run now. Again changes nothing."""

    async def end(self, connection: Connection, game_id: UUID) -> None:
        """Close the record: no turn runs any more, and the engine goes. A game without one is passed over."""

    async def put_orders(self, game_id: UUID, seat: int, submission: Submission) -> Receipt:
        """Have the engine judge a set, commit it, and return when it is accepted.

        Raise Problem 422 `orders_refused` (with the engine's errors; the former set stands), 409 `turn_over` or
        `turn_running`, 412 `orders_changed`, 503 `engine_waking`.
        """

    async def orders(self, connection: Connection, game_id: UUID, seat: int) -> StoredOrders | None:
        """Return the seat's set for the current turn."""

    async def turns(
        self, connection: Connection, game_id: UUID, limit: int, offset: int
    ) -> tuple[list[TurnSummary], int]:
        """Return a page of the positions, the newest first, and how many there are."""

    async def report(self, connection: Connection, game_id: UUID, turn: int, seat: int) -> msgspec.Raw | None:
        """Return the seat's report on a position, as the engine made it."""

    async def public_report(self, connection: Connection, game_id: UUID, turn: int) -> msgspec.Raw | None:
        """Return what anybody may know of a position."""

    async def ask(self, game_id: UUID, seat: int, question: Question, body: bytes | None = None) -> bytes:
        """Put a question to the engine for a seat, waking it where it sleeps; return its answer as it came."""

    def status(self, game_id: UUID) -> GameStatus | None:
        """Return what people see of the game, from memory; None for one that has ended or never started."""


RUNTIME: Capability[Runtime] = Capability("runtime.runtime")
