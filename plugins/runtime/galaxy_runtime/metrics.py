"""The plugin's metrics: turns, engines and operations."""

from datetime import timedelta

from opentelemetry.metrics import Meter

from galaxy_kernel.api import Counter, Gauge, Histogram

LATE = timedelta(minutes=1)
COUNTED = 10_000
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

TURNS_DUE = Gauge("runtime.turns_due", f"Turns that are due, {COUNTED:,} at most.")
TURNS_LATE = Gauge("runtime.turns_late", "Those of them that have been due for longer than a minute.")
TURNS_OVERDUE = Gauge("runtime.turns_overdue", "How long the turns that are due have been so, at most.", unit="s")
TURNS_RUNNING = Gauge("runtime.turns_running", "Turns in progress in this process.")
TURN_ATTEMPTS = Counter(
    "runtime.turn_attempts",
    "Attempts at turns: `committed`, `superseded` (another claim was faster), or the type of failure.",
    ("outcome",),
)
TURN_DURATION = Histogram("runtime.turn_duration", "From a turn's claim to its commit.", unit="s", bounds=_SECONDS)
ENGINES = Gauge("runtime.engines", "Games that want an engine, by the engine's status.", ("status",))
ENGINE_STARTS = Counter("runtime.engine_starts", "Starts of engines: `healthy`, or the type of failure.", ("outcome",))
ENGINE_CRASHES = Counter(
    "runtime.engine_crashes", "Ends of engines that nobody asked for, by the type of failure.", ("reason",)
)
OPERATIONS = Counter("runtime.operations", "Operations that have ended, by outcome.", ("operation", "outcome"))
OPERATION_DURATION = Histogram(
    "runtime.operation_duration", "Operations, from their claim to their end.", ("operation",), "s", _SECONDS
)
MEASURED = (TURNS_DUE, TURNS_LATE, TURNS_OVERDUE, ENGINES)
"""What the worker `runtime.measure` reads from the database."""


class TurnMetrics:
    """What one process does about turns."""

    def __init__(self, meter: Meter) -> None:
        self._attempts, self._duration = TURN_ATTEMPTS.on(meter), TURN_DURATION.on(meter)
        self._running = TURNS_RUNNING.on(meter)

    def ran(self, seconds: float, *, committed: bool) -> None:
        """Report an attempt that came to its commit; its claim may have been lost."""
        self._attempts.add(1, {"outcome": "committed" if committed else "superseded"})
        if committed:
            self._duration.record(seconds)

    def failed(self, code: str) -> None:
        """Report a failed attempt, by the type of failure."""
        self._attempts.add(1, {"outcome": code})

    def running(self, number: int) -> None:
        """Report how many turns are in progress."""
        self._running.set(number)
