"""The plugin's errors, as the API answers them."""

from collections.abc import Sequence
from uuid import UUID

from galaxy_engine.failures import EngineFailure
from galaxy_kernel.api import FieldError, Problem, conflict

TURN_OVER = "turn_over"
TURN_RUNNING = "turn_running"
OPERATION_IN_PROGRESS = "operation_in_progress"
ORDERS_REFUSED = "orders_refused"
ORDERS_CHANGED = "orders_changed"
ENGINE_WAKING = "engine_waking"
ENGINE_STOPPED = "engine_stopped"
ENGINE_BUSY = "engine_busy"
TIME_ZONE_UNKNOWN = "time_zone_unknown"
WAKING_RETRY = 5
"""Seconds after which to ask again for an engine that is being started."""


class UnknownZoneError(Problem):
    """This process's zone database lacks the zone of a schedule, which the one that took the schedule has."""

    def __init__(self, zone: str) -> None:
        detail = f"The time zone {zone} of the game's schedule is unknown here; nothing was changed. Try again."
        super().__init__(503, TIME_ZONE_UNKNOWN, detail, headers={"Retry-After": str(WAKING_RETRY)})
        self.zone = zone


def turn_over(turn: int) -> Problem:
    """Return the problem for orders of another turn than the current one."""
    return conflict(TURN_OVER, f"The current turn is {turn}.")


def turn_running() -> Problem:
    """Return the problem for what must wait until the turn's end."""
    return conflict(TURN_RUNNING, "The turn is running: try again when it is done.")


def operation_in_progress(operation: UUID) -> Problem:
    """Return the problem for an operation while another one is open."""
    return conflict(OPERATION_IN_PROGRESS, f"Another operation of the game is not finished: {operation}.")


def orders_refused(faults: Sequence[FieldError]) -> Problem:
    """Return the problem for orders that the engine refuses; the former set stands."""
    return Problem(422, ORDERS_REFUSED, "The engine refuses these orders; those before them stand.", faults=faults)


def orders_changed(revision: int) -> Problem:
    """Return the problem for `If-Match` with another revision than the stored one."""
    return Problem(412, ORDERS_CHANGED, f"The stored orders have revision {revision}: look at them first.")


def engine_waking() -> Problem:
    """Return the problem for an engine that takes long to start."""
    return Problem(
        503,
        ENGINE_WAKING,
        "The game's engine is being started.",
        headers={"Retry-After": str(WAKING_RETRY)},
    )


def engine_stopped() -> Problem:
    """Return the problem for what needs an engine that an operator has stopped."""
    return conflict(ENGINE_STOPPED, "The game's engine is stopped: an operator starts it again.")


def engine_busy() -> Problem:
    """Return the problem for an engine that others use, or whose memory they use for too long."""
    return Problem(503, ENGINE_BUSY, "The game's engine is busy: try again.", headers={"Retry-After": "1"})


def engine_failed(failure: EngineFailure) -> Problem:
    """Return the problem for a question that the engine did not answer; its code is the failure's type."""
    detail = f"The game's engine did not answer ({failure.code}): nothing was changed. Try again."
    return Problem(503, failure.code, detail, headers={"Retry-After": str(WAKING_RETRY)})
