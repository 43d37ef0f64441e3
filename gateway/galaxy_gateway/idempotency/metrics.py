"""What operators see of idempotent calls as metrics."""

from typing import Literal

from opentelemetry.metrics import Meter

Began = Literal["run", "replayed", "reused", "running", "unavailable"]
Ended = Literal["kept", "superseded", "abandoned", "status", "secret", "size", "unavailable"]


class IdempotencyMetrics:
    """Counters of one gateway."""

    def __init__(self, meter: Meter) -> None:
        self._began = meter.create_counter("gateway.idempotent_calls", description="Calls with a key, by outcome.")
        self._ended = meter.create_counter(
            "gateway.idempotent_answers", description="Answers to calls that ran: kept, or why not."
        )

    def began(self, outcome: Began) -> None:
        """Report a call with a key: it runs, it is answered from the store, or it is refused."""
        self._began.add(1, {"outcome": outcome})

    def ended(self, outcome: Ended) -> None:
        """Report the end of a call that ran."""
        self._ended.add(1, {"outcome": outcome})
