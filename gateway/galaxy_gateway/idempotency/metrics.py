"""What operators see of idempotent calls as metrics."""

from typing import Literal

from opentelemetry.metrics import Meter

from galaxy_chassis.telemetry.instruments import Counter

CALLS = Counter("gateway.idempotent_calls", "Calls with a key, by outcome.", ("outcome",))
ANSWERS = Counter("gateway.idempotent_answers", "Answers to calls that ran: `kept`, or why not.", ("outcome",))

Began = Literal["run", "replayed", "reused", "running", "unavailable"]
Ended = Literal["kept", "superseded", "abandoned", "status", "secret", "size", "unavailable"]


class IdempotencyMetrics:
    """Counters of one gateway."""

    def __init__(self, meter: Meter) -> None:
        self._began, self._ended = CALLS.on(meter), ANSWERS.on(meter)

    def began(self, outcome: Began) -> None:
        """Report a call with a key: it runs, it is answered from the store, or it is refused."""
        self._began.add(1, {"outcome": outcome})

    def ended(self, outcome: Ended) -> None:
        """Report the end of a call that ran."""
        self._ended.add(1, {"outcome": outcome})
