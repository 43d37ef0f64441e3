"""What the runtime's parts speak of: seats, and the values that are kept in records as JSON."""

from datetime import timedelta
from typing import Any

import msgspec

from galaxy_contracts.runtime import SeatPlayer
from galaxy_contracts.schedules import Schedule


class Seat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A seat of a running game, as its record keeps it."""

    name: str
    machine: bool = False
    vacant: bool = False
    """Whether nobody plays it any more."""
    missed_in_row: int = 0
    """Scheduled turns that its player missed without a break, up to the last."""
    allowance_used: int = 0
    """Postponements that the game's policy charged to it."""

    @property
    def played(self) -> bool:
        """Whether a person plays it."""
        return not self.machine and not self.vacant


Seats = dict[int, Seat]


def seats_of(players: tuple[SeatPlayer, ...]) -> Seats:
    """Return the seats of a new game."""
    return {player.seat: Seat(name=player.name, machine=player.machine) for player in players}


def seats_from(value: Any) -> Seats:
    """Read seats from a record's JSON."""
    return msgspec.convert(value, Seats, strict=False)


def seats_json(seats: Seats) -> Any:
    """Return seats as a record keeps them."""
    return msgspec.to_builtins(seats, str_keys=True)


def schedule_from(value: Any) -> Schedule:
    """Read a schedule from a record's JSON: lengths are seconds."""
    lengths = {
        name: timedelta(seconds=float(value[name])) for name in ("interval", "at_least") if value.get(name) is not None
    }
    return Schedule(cron=value.get("cron"), time_zone=value.get("time_zone"), **lengths)


def schedule_json(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as a record keeps it."""
    value: dict[str, Any] = {}
    for name in ("interval", "at_least"):
        length: timedelta | None = getattr(schedule, name)
        if length is not None:
            value[name] = length.total_seconds()
    if schedule.cron is not None:
        value |= {"cron": schedule.cron, "time_zone": schedule.time_zone}
    return value
