"""What people see of games that have not ended, in memory."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement

from galaxy_contracts.runtime import GameStatus
from galaxy_kernel.api import Cache
from galaxy_runtime.tables import runtime_records


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A game's record as every replica holds it. Leases are not in it: they change too often."""

    game_id: UUID
    engine_version_id: UUID
    turn: int
    awaiting: tuple[int, ...]
    phase: str | None
    sent: tuple[int, ...]
    """Seats with orders for this turn."""
    final: tuple[int, ...]
    """Those of `sent` whose orders are final."""
    orders_closed_at: datetime | None
    """Set from the turn's first claim on."""
    playing: bool
    """Whether its clock runs."""
    tick_at: datetime | None
    """When the next turn runs; None while it is suspended, and before the start."""
    made_at: datetime | None
    """When the current position was made; None before position 0."""
    wanted: str
    status: str
    generation: int
    address: str | None
    """Of the engine of this generation, where it is healthy."""
    next_turn_at: datetime | None = None
    """When its clock is looked at next. A claim moves it without a change in the feed: here it is past until the turn
    ends. None in changes that the release before has written."""
    skip_next: bool = False
    """Whether nothing happens at that time."""

    def closed(self, now: datetime | None) -> bool:
        """Return whether orders are closed at a time of the database's clock.

        They are from the turn's time on, also before somebody claims it. Where the time is not known yet (None), they
        may be closed all the same: the database refuses them then.
        """
        if self.orders_closed_at is not None:
            return True
        at = self.next_turn_at
        return self.playing and not self.skip_next and now is not None and at is not None and at <= now

    def game_status(self, now: datetime | None) -> GameStatus | None:
        """Return what the contract tells of it at a time of the database's clock; None before position 0."""
        if self.made_at is None:
            return None
        return GameStatus(
            turn=self.turn,
            awaiting=self.awaiting,
            orders_closed=self.closed(now),
            phase=self.phase,
            next_turn_at=self.tick_at,
            sent=self.sent,
            final=self.final,
        )


RECORD: tuple[ColumnElement[Any], ...] = tuple(runtime_records.c[name] for name in Record.__struct_fields__)
"""What a statement returns for a `Record`."""


def records_cache() -> Cache[UUID, Record]:
    """Return the cache `runtime.records`."""
    return Cache(
        name="runtime.records",
        table=runtime_records,
        row=Record,
        key=lambda record: record.game_id,
        where=~runtime_records.c.ended,
    )
