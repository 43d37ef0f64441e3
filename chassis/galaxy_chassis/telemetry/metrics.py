"""The metrics that every process has."""

from galaxy_chassis.telemetry.instruments import Counter, Gauge, Histogram

UPTIME = Gauge("process.uptime", "Time since the start.", unit="s")
CPU_TIME = Counter("process.cpu.time", "CPU time used, `user` and `system`.", ("cpu.mode",), "s")
MEMORY = Gauge("process.memory.usage", "Memory in use (resident set size).", unit="By")
LOOP_DELAY = Histogram(
    "galaxy.event_loop.delay",
    "How much later than planned the event loop came to its work, measured four times a second.",
    unit="s",
    bounds=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
CHECK_STATE = Gauge(
    "galaxy.check.state", "State of each check of `/readyz`: 0 ok, 1 degraded, 2 failed.", ("plugin", "check")
)
HTTP_DURATION = Histogram(
    "http.server.request.duration",
    "Duration of HTTP server requests.",
    ("http.request.method", "http.route", "http.response.status_code", "url.scheme", "error.type"),
    "s",
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
"""The bounds that the semantic conventions for HTTP metrics recommend."""
