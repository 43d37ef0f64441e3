"""What operators see of rate limits as metrics."""

from opentelemetry.metrics import Meter

from galaxy_chassis.telemetry.instruments import Counter

REFUSED = Counter("gateway.limits_refused", "Requests refused, by policy.", ("policy",))
UNAVAILABLE = Counter(
    "gateway.limits_unavailable",
    "Requests while the store was away: limited locally (`local`), or `refused`.",
    ("outcome",),
)


class LimitMetrics:
    """Counters of one gateway."""

    def __init__(self, meter: Meter) -> None:
        self._refused, self._away = REFUSED.on(meter), UNAVAILABLE.on(meter)

    def refused(self, policy: str) -> None:
        """Report a request that had nothing left under a policy."""
        self._refused.add(1, {"policy": policy})

    def limited_locally(self) -> None:
        """Report a safe request that was counted in memory, since the store is away."""
        self._away.add(1, {"outcome": "local"})

    def unavailable(self) -> None:
        """Report an unsafe request that was refused, since the store is away."""
        self._away.add(1, {"outcome": "refused"})
