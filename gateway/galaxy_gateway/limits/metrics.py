"""What operators see of rate limits as metrics."""

from opentelemetry.metrics import Meter


class LimitMetrics:
    """Counters of one gateway."""

    def __init__(self, meter: Meter) -> None:
        self._refused = meter.create_counter("gateway.limits_refused", description="Requests refused, by policy.")
        self._away = meter.create_counter(
            "gateway.limits_unavailable",
            description="Requests while the store was away, by outcome: limited locally, or refused.",
        )

    def refused(self, policy: str) -> None:
        """Report a request that had nothing left under a policy."""
        self._refused.add(1, {"policy": policy})

    def limited_locally(self) -> None:
        """Report a safe request that was counted in memory, since the store is away."""
        self._away.add(1, {"outcome": "local"})

    def unavailable(self) -> None:
        """Report an unsafe request that was refused, since the store is away."""
        self._away.add(1, {"outcome": "refused"})
