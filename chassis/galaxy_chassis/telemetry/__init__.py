"""Traces and metrics by OpenTelemetry (SPEC K-7).

Whether a request is traced is decided before OpenTelemetry is involved. An untraced request costs
about a microsecond and still has a trace id, so that its log lines correlate with the caller's.

How long requests took is counted in plain lists, and turned into the histogram `http.server.request.duration` when
a reader collects: see `durations` for why.
"""

from galaxy_chassis.telemetry.telemetry import Telemetry, make_telemetry

__all__ = ["Telemetry", "make_telemetry"]
