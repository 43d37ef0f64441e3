"""What operators see of turns as metrics."""

from opentelemetry.metrics import Meter


class TurnMetrics:
    """Counters and gauges of one process."""

    def __init__(self, meter: Meter) -> None:
        self._attempts = meter.create_counter("runtime.turn_attempts", description="Attempts at turns, by outcome.")
        self._duration = meter.create_histogram(
            "runtime.turn_duration", "s", description="From a turn's claim to its commit."
        )
        self._running = meter.create_gauge("runtime.turns_running", description="Turns in progress in this process.")

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
