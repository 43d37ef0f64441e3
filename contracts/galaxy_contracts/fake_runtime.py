"""A fake of the runtime in memory: games on no engine at all, whose turns a test makes when it likes.

`galaxy_contracts.testing` has it. Unlike other fakes it takes part in the caller's transaction: what a transaction did
to it is undone when that rolls back, so that tests of crashes see what the real service would leave.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import event

from galaxy_contracts.database import Connection
from galaxy_contracts.runtime import (
    Actor,
    Failure,
    GameStatus,
    GameTable,
    Launch,
    Operation,
    PositionMade,
    Question,
    Receipt,
    StoredOrders,
    Submission,
    Trigger,
    TurnSummary,
)
from galaxy_contracts.schedules import Schedule

Verdict = Callable[[int, Sequence[msgspec.Raw]], Sequence[str]]
"""What is wrong with a seat's orders; nothing: they are accepted."""


class Fault(msgspec.Struct, frozen=True):
    """One wrong field of a refusal."""

    field: str
    message: str


@dataclass
class FakeRecord:
    """A game, as the fake has it."""

    launch: Launch
    operation: UUID | None
    """The open one."""
    actors: list[tuple[Operation, Actor]] = field(default_factory=list)
    """Operations that were asked for, in their order."""
    turn: int | None = None
    awaiting: tuple[int, ...] = ()
    eliminated: tuple[int, ...] = ()
    phase: str | None = None
    next_turn_at: datetime | None = None
    remaining: timedelta | None = None
    playing: bool = False
    closed: bool = False
    """Whether the turn is being adjudicated: a test sets it."""
    ended: bool = False
    vacant: set[int] = field(default_factory=set)
    orders: dict[int, StoredOrders] = field(default_factory=dict)
    """Sets for the current turn, by seat."""
    positions: list[TurnSummary] = field(default_factory=list)
    reports: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """By turn and seat."""
    public: dict[int, bytes] = field(default_factory=dict)

    @property
    def seats(self) -> tuple[int, ...]:
        """Every seat."""
        return tuple(player.seat for player in self.launch.seats)

    @property
    def machines(self) -> set[int]:
        """Seats that the engine plays."""
        return {player.seat for player in self.launch.seats if player.machine}

    def absent(self) -> tuple[int, ...]:
        """Awaited seats with a player that have sent nothing."""
        present = self.machines | self.vacant | set(self.orders)
        return tuple(seat for seat in self.awaiting if seat not in present)


class FakeRuntime:
    """`Runtime` in a dict. Turns run when a test says so, by `make_position`."""

    def __init__(self, problem: Callable[..., Exception], now: Callable[[], datetime]) -> None:
        """Refuse by `problem(status, code, detail, faults=...)`, which is the kernel's `Problem`."""
        self._problem, self._now = problem, now
        self.records: dict[UUID, FakeRecord] = {}
        self.policies = {"fixed"}
        self.verdict: Verdict = lambda seat, orders: ()  # noqa: ARG005 # the signature of a verdict
        self.answers: dict[Question, bytes] = {"options": b'{"options": []}', "validate": b'{"accepted": true}'}
        self.asked: list[tuple[UUID, int, Question, bytes | None]] = []
        self.table: GameTable

    # What the contract has.

    def observe(self, table: GameTable) -> None:
        """Keep the owner of the games."""
        self.table = table

    def check_schedule(self, schedule: Schedule, shortest: timedelta) -> None:
        """Refuse what no schedule can be, and intervals that are too short."""
        if (schedule.interval is None) == (schedule.cron is None):
            raise self._invalid("schedule", "needs either interval, or cron with time_zone")
        if schedule.interval is not None and schedule.interval < shortest:
            raise self._invalid("schedule.interval", f"must be at least {shortest.total_seconds():g} s")
        if schedule.cron is not None and len(schedule.cron.split()) != 5:
            raise self._invalid("schedule.cron", "must be five fields")

    def check_policy(self, name: str, options: Mapping[str, Any]) -> None:
        """Refuse unknown policies, and options, since `fixed` has none."""
        if name not in self.policies:
            raise self._invalid("policy", "there is no such turn policy")
        if options:
            raise self._invalid("policy_options", "this policy has no options")

    async def lock(self, connection: Connection, game_ids: Sequence[UUID]) -> Sequence[UUID]:  # noqa: ARG002 # of the contract
        """Return which games have a record; nothing here happens in parallel."""
        return [each for each in game_ids if each in self.records]

    async def launch(self, connection: Connection, launch: Launch) -> UUID:
        """Keep a game to be started."""
        known = self.records.get(launch.game_id)
        if known is not None and (known.operation is not None or known.playing or known.ended):
            raise self._problem(409, "operation_in_progress", "Another operation of the game is going on.")
        self._remember(connection, launch.game_id)
        operation = uuid4()
        self.records[launch.game_id] = FakeRecord(launch, operation)
        return operation

    async def operate(
        self,
        connection: Connection,
        game_id: UUID,
        operation: Operation,
        actor: Actor,
        *,
        to_version: UUID | None = None,  # noqa: ARG002 # of the contract
        force: bool = False,  # noqa: ARG002 # of the contract
    ) -> UUID:
        """Keep an operation, open until the next position."""
        record = self._record(game_id)
        if record.operation is not None:
            raise self._problem(409, "operation_in_progress", "Another operation of the game is going on.")
        if record.closed:
            raise self._problem(409, "turn_running", "The turn is running.")
        record = self._touch(connection, game_id)
        record.operation = made = uuid4()
        record.actors.append((operation, actor))
        return made

    async def suspend(self, connection: Connection, game_id: UUID) -> None:
        """Stop the clock."""
        record = self._touch(connection, game_id)
        if record.next_turn_at is not None:
            record.remaining = record.next_turn_at - self._now()
        record.playing, record.next_turn_at = False, None

    async def resume(self, connection: Connection, game_id: UUID) -> datetime | None:
        """Start the clock again."""
        record = self._touch(connection, game_id)
        left = self._length(record.launch.schedule) if record.remaining is None else record.remaining
        record.playing, record.next_turn_at, record.remaining = True, self._now() + left, None
        return record.next_turn_at

    async def postpone(self, connection: Connection, game_id: UUID, until: datetime) -> datetime:
        """Move the next turn later."""
        record = self._record(game_id)
        if record.closed:
            raise self._problem(409, "turn_running", "The turn is running.")
        if record.next_turn_at is None or until <= record.next_turn_at:
            raise self._invalid("until", "must be later than the next turn")
        self._touch(connection, game_id).next_turn_at = until
        return until

    async def vacate(self, connection: Connection, game_id: UUID, seat: int) -> None:
        """Mark a seat as vacant."""
        self._touch(connection, game_id).vacant.add(seat)

    async def end(self, connection: Connection, game_id: UUID) -> None:
        """Close the record."""
        if game_id in self.records:
            record = self._touch(connection, game_id)
            record.ended, record.playing, record.next_turn_at, record.operation = True, False, None, None

    async def put_orders(self, game_id: UUID, seat: int, submission: Submission) -> Receipt:
        """Keep a set that the verdict accepts."""
        record = self._record(game_id)
        if submission.turn != record.turn or record.ended:
            raise self._problem(409, "turn_over", f"The current turn is {record.turn}.")
        if record.closed:
            raise self._problem(409, "turn_running", "The turn is running.")
        faults = [
            Fault(f"orders.{place}", message) for place, message in enumerate(self.verdict(seat, submission.orders))
        ]
        if faults:
            raise self._problem(422, "orders_refused", "The engine refused the orders.", faults=faults)
        stored = record.orders.get(seat)
        revision = 0 if stored is None else stored.revision
        if submission.expected_revision not in (None, revision):
            raise self._problem(412, "orders_changed", "The stored orders have another revision.")
        document = msgspec.Raw(msgspec.json.encode(list(submission.orders)))
        record.orders[seat] = StoredOrders(
            turn=submission.turn,
            orders=document,
            final=submission.final,
            revision=revision + 1,
            submitted_at=self._now(),
        )
        return Receipt(turn=submission.turn, revision=revision + 1, final=submission.final)

    async def orders(self, connection: Connection, game_id: UUID, seat: int) -> StoredOrders | None:  # noqa: ARG002 # of the contract
        """Return a set."""
        return self._record(game_id).orders.get(seat)

    async def turns(
        self,
        connection: Connection,  # noqa: ARG002 # of the contract
        game_id: UUID,
        limit: int,
        offset: int,
    ) -> tuple[list[TurnSummary], int]:
        """Return positions, the newest first."""
        positions = self._record(game_id).positions[::-1]
        return positions[offset : offset + limit], len(positions)

    async def report(self, connection: Connection, game_id: UUID, turn: int, seat: int) -> msgspec.Raw | None:  # noqa: ARG002 # of the contract
        """Return a report."""
        found = self._record(game_id).reports.get((turn, seat))
        return None if found is None else msgspec.Raw(found)

    async def public_report(self, connection: Connection, game_id: UUID, turn: int) -> msgspec.Raw | None:  # noqa: ARG002 # of the contract
        """Return a public report."""
        found = self._record(game_id).public.get(turn)
        return None if found is None else msgspec.Raw(found)

    async def ask(self, game_id: UUID, seat: int, question: Question, body: bytes | None = None) -> bytes:
        """Return the answer that the test has set."""
        self._record(game_id)
        self.asked.append((game_id, seat, question, body))
        return self.answers[question]

    def status(self, game_id: UUID) -> GameStatus | None:
        """Return what people see."""
        record = self.records.get(game_id)
        if record is None or record.ended or record.turn is None:
            return None
        return GameStatus(
            turn=record.turn,
            awaiting=record.awaiting,
            orders_closed=record.closed,
            phase=record.phase,
            next_turn_at=record.next_turn_at,
            sent=tuple(record.orders),
            final=tuple(seat for seat, stored in record.orders.items() if stored.final),
        )

    # What tests do.

    async def make_position(
        self,
        connection: Connection,
        game_id: UUID,
        *,
        trigger: Trigger | None = None,
        absent: Iterable[int] | None = None,
        awaiting: Iterable[int] | None = None,
        eliminated: Iterable[int] = (),
        final_seat: int | None = None,
        phase: str | None = None,
        finished: bool = False,
        result: Mapping[str, Any] | None = None,
        together: bool = False,
    ) -> PositionMade:
        """Make the next position of a game, the first one after its launch, and tell the table.

        Unless said otherwise who has sent nothing is absent, and every seat is awaited that is not eliminated.
        """
        record = self._touch(connection, game_id)
        turn = 0 if record.turn is None else record.turn + 1
        out = tuple(sorted({*record.eliminated, *eliminated}))
        waiting = awaiting if awaiting is not None else [seat for seat in record.seats if seat not in out]
        if trigger is None:
            trigger = Trigger.START if turn == 0 else Trigger.SCHEDULED
        record.next_turn_at = None
        if (record.playing or turn == 0) and not finished:
            record.next_turn_at = self._now() + self._length(record.launch.schedule)
        made = PositionMade(
            game_id=game_id,
            turn=turn,
            trigger=trigger,
            final_seat=final_seat,
            awaiting=() if finished else tuple(waiting),
            absent=record.absent() if absent is None else tuple(absent),
            eliminated=out,
            phase=phase,
            finished=finished,
            result=result,
            next_turn_at=record.next_turn_at,
        )
        record.playing = (record.playing or turn == 0) and not finished
        record.turn, record.awaiting, record.eliminated, record.phase = turn, made.awaiting, out, phase
        record.ended, record.closed, record.operation, record.orders = finished, False, None, {}
        self._keep(record, made)
        await (
            self.table.positions_made(connection, [made]) if together else self.table.position_made(connection, made)
        )
        return made

    async def fail_start(self, connection: Connection, game_id: UUID, failure: Failure) -> None:
        """End the operation `start` by a failure."""
        self._touch(connection, game_id).operation = None
        await self.table.start_failed(connection, game_id, failure)

    async def halt(self, connection: Connection, game_id: UUID, failure: Failure) -> None:
        """Stop a game's clock since its turn cannot be adjudicated."""
        record = self._touch(connection, game_id)
        record.playing, record.next_turn_at, record.remaining = False, None, None
        await self.table.halted(connection, game_id, failure)

    async def move(self, connection: Connection, game_id: UUID, until: datetime, reason: str) -> None:
        """Move a deadline, as a turn policy would."""
        self._touch(connection, game_id).next_turn_at = until
        await self.table.postponed(connection, game_id, until, reason)

    async def remind(self, connection: Connection, game_id: UUID) -> None:
        """Remind who has sent nothing."""
        record = self._record(game_id)
        await self.table.deadline_near(connection, game_id, record.turn or 0, record.absent())

    def _keep(self, record: FakeRecord, made: PositionMade) -> None:
        summary = TurnSummary(
            turn=made.turn,
            trigger=made.trigger,
            due_at=None,
            made_at=self._now(),
            phase=made.phase,
            absent=made.absent,
            eliminated=made.eliminated,
            finished=made.finished,
        )
        record.positions.append(summary)
        for seat in record.seats:
            record.reports[made.turn, seat] = b'{"text": "turn %d, seat %d"}' % (made.turn, seat)
        record.public[made.turn] = b'{"text": "turn %d"}' % made.turn

    def _record(self, game_id: UUID) -> FakeRecord:
        if game_id not in self.records:
            raise self._problem(404, "not_found", "There is no such game.")
        return self.records[game_id]

    def _touch(self, connection: Connection, game_id: UUID) -> FakeRecord:
        """Return a game's record, to be changed with the caller's transaction."""
        record = self._record(game_id)
        self._remember(connection, game_id)
        return record

    def _remember(self, connection: Connection, game_id: UUID) -> None:
        """Have a game's record put back as it is now when the caller rolls back; the oldest state last."""
        before = copy.deepcopy(self.records.get(game_id))
        if connection.sync_connection is not None:
            event.listen(connection.sync_connection, "rollback", lambda _: self._put_back(game_id, before), insert=True)

    def _put_back(self, game_id: UUID, before: FakeRecord | None) -> None:
        if before is None:
            self.records.pop(game_id, None)
        else:
            self.records[game_id] = before

    def _length(self, schedule: Schedule) -> timedelta:
        return schedule.interval or timedelta(days=1)

    def _invalid(self, name: str, message: str) -> Exception:
        return self._problem(422, "invalid_request", f"{name}: {message}", faults=[Fault(name, message)])
