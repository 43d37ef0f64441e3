"""What the plugin offers to the owner of the games: each call is passed to the part that does it.

What a crash leaves behind stands with the parts: `records`, `operations`, `turns` and `orders`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from pydantic import ValidationError

from galaxy_contracts.runtime import (
    Actor,
    GameStatus,
    GameTable,
    Launch,
    Operation,
    Question,
    Receipt,
    StoredOrders,
    Submission,
    TurnSummary,
)
from galaxy_contracts.schedules import Schedule
from galaxy_kernel.api import Cache, Connection, Context, FieldError, field_errors, invalid, invalid_request
from galaxy_runtime import schedules
from galaxy_runtime.caches import Record
from galaxy_runtime.clocks.service import ClockService
from galaxy_runtime.operations.service import OperationService
from galaxy_runtime.orders.service import OrderService
from galaxy_runtime.policies import Policies
from galaxy_runtime.records.service import RecordService
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.table import ObservingTable
from galaxy_runtime.turns import positions


class RuntimeService:
    """Implements `galaxy_contracts.runtime.Runtime`."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[UUID, Record],
        table: ObservingTable,
        policies: Policies,
        records: RecordService,
        operations: OperationService,
        orders: OrderService,
        clocks: ClockService,
    ) -> None:
        self._context, self._cache, self._table = context, cache, table
        self._policies, self._records = policies, records
        self._operations, self._orders, self._clocks = operations, orders, clocks

    def observe(self, table: GameTable) -> None:
        """Keep the owner of the games; see the contract."""
        self._table.observe(table)

    def check_schedule(self, schedule: Schedule, shortest: timedelta) -> None:
        """Return if a schedule can be kept; see the contract."""
        faults = schedules.faults(schedule, now=self._context.clock.now(), shortest=shortest)
        if faults:
            raise invalid_request(faults)

    def check_policy(self, name: str, options: Mapping[str, Any]) -> None:
        """Return if there is such a policy and the options fit it; see the contract."""
        policy = self._policies.find(name)
        if policy is None:
            raise invalid("policy", f"must be one of {', '.join(self._policies.names())}")
        try:
            policy.options.model_validate(options)
        except ValidationError as error:
            found = field_errors(error, {"policy_options": options}, root="")
            faults = [FieldError(f"policy_options.{each.field}".rstrip("."), each.message) for each in found]
            raise invalid_request(faults) from None

    def status(self, game_id: UUID) -> GameStatus | None:
        """Return what people see of a game; see the contract."""
        record = self._cache.get(game_id)
        return None if record is None else record.game_status(self._clocks.now())

    async def lock(self, connection: Connection, game_ids: Sequence[UUID]) -> Sequence[UUID]:
        """Lock records; see the contract."""
        return await self._records.lock(connection, game_ids)

    async def launch(self, connection: Connection, launch: Launch) -> UUID:
        """Make a game's record and have it started; see the contract."""
        return await self._operations.launch(connection, launch)

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
        """Record an operation; see the contract."""
        return await self._operations.operate(connection, game_id, operation, actor, to_version=to_version, force=force)

    async def suspend(self, connection: Connection, game_id: UUID) -> None:
        """Stop a game's clock; see the contract."""
        await self._records.suspend(connection, game_id)

    async def resume(self, connection: Connection, game_id: UUID) -> datetime | None:
        """Let a game's clock go on; see the contract."""
        return await self._records.resume(connection, game_id)

    async def postpone(self, connection: Connection, game_id: UUID, until: datetime) -> datetime:
        """Move a game's next turn later; see the contract."""
        return await self._records.postpone(connection, game_id, until)

    async def vacate(self, connection: Connection, game_id: UUID, seat: int) -> None:
        """Note that nobody plays a seat any more; see the contract."""
        await self._records.vacate(connection, game_id, seat)

    async def end(self, connection: Connection, game_id: UUID) -> None:
        """Close a game's record; see the contract."""
        await self._records.end(connection, game_id)

    async def put_orders(self, game_id: UUID, seat: int, submission: Submission) -> Receipt:
        """Have a set of orders judged and kept; see the contract."""
        return await self._orders.put(game_id, seat, submission)

    async def orders(self, connection: Connection, game_id: UUID, seat: int) -> StoredOrders | None:
        """Return a seat's set for the current turn; see the contract."""
        return await self._orders.stored(connection, game_id, seat)

    async def ask(self, game_id: UUID, seat: int, question: Question, body: bytes | None = None) -> bytes:
        """Put a question to a game's engine; see the contract."""
        return await self._orders.ask(game_id, seat, question, body)

    async def turns(
        self, connection: Connection, game_id: UUID, limit: int, offset: int
    ) -> tuple[list[TurnSummary], int]:
        """Return a page of a game's positions; see the contract."""
        return await positions.list_positions(connection, game_id, limit, offset)

    async def report(self, connection: Connection, game_id: UUID, turn: int, seat: int) -> msgspec.Raw | None:
        """Return a seat's report on a position; see the contract."""
        return await positions.find_report(connection, game_id, turn, seat)

    async def public_report(self, connection: Connection, game_id: UUID, turn: int) -> msgspec.Raw | None:
        """Return what anybody may know of a position; see the contract."""
        return await positions.find_public_report(connection, game_id, turn)
