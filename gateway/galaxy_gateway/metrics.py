"""Metrics of the gateway as a whole; its parts have theirs."""

from galaxy_chassis.telemetry.instruments import Counter, Gauge

CONNECTIONS = Gauge("gateway.connections", "Open client connections.", (), "{connection}")
CONNECTIONS_ENDED = Counter(
    "gateway.connections_ended", "Client connections that a limit ended, by reason.", ("reason",), "{connection}"
)
BACKEND_FAILURES = Counter(
    "gateway.backend_failures", "Calls to a backend that came to nothing, by reason.", ("reason",)
)
