"""The generic cell rate algorithm (ITU-T I.371), in microseconds: an allowance refills evenly, one unit an interval.

All that is kept of an allowance is the time at which it is full again (the theoretical arrival time). `scripts.SPEND`
is the same in Lua; a test compares the two.
"""

from galaxy_gateway.store.store import Demand


def debt_at(full_at: int | None, now: int, demand: Demand) -> int:
    """Return the microseconds until an allowance is full, at most its capacity.

    The bound matters when a quota was lowered, or when the clock was set back.
    """
    return 0 if full_at is None else min(max(full_at - now, 0), demand.capacity)


def affordable(debt: int, demand: Demand) -> bool:
    """Return whether one more unit is left."""
    return debt + demand.interval <= demand.capacity
